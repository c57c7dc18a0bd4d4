//! The grammar of traces: where spans are exported to, and which calls are traced.

use super::super::grammar::{Map, section};
use super::super::value::{EndpointUrl, HeaderKey, Line, Percent, Rate, Secret};

section! {
    /// Where spans of calls are exported to: a collector that speaks OTLP over gRPC.
    pub struct Otlp {
        /// The collector, such as `http://127.0.0.1:4317`; `https://` for TLS by the authorities that the system trusts.
        endpoint: EndpointUrl [required],
        /// Which share of calls is traced, where routes do not say; 1% where nothing is said.
        sample: Percent,
        /// Whether calls that failed by a fault of a service or of the gateway are traced as well, where routes do not say.
        errors: bool,
        /// Whether calls are traced as well whose client says in its `traceparent` that it samples them, where routes do not say.
        clients: bool,
        /// The most calls that are traced by `errors` and `clients`; 100/s where nothing is said.
        unsampled_max: Rate,
        /// The name of this gateway among what is traced; `protogate` where nothing is said.
        service_name: Line,
        /// Whether spans say which user calls.
        user: bool,
        /// Headers for the collector, such as the token that it wants.
        headers: Map<HeaderKey, Secret>,
    }
}

section! {
    /// Which calls are traced.
    pub struct TracePolicy {
        /// Which share of them.
        sample: Percent,
        /// Whether those are traced as well that failed by a fault of a service or of the gateway.
        errors: bool,
        /// Whether those are traced as well whose client says in its `traceparent` that it samples them.
        clients: bool,
    }
}
