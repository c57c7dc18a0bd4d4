//! The one list of everything that is measured, and how each of it is written.
//!
//! What a metric is called, of what kind it is and which labels it has stands here and nowhere else: whoever writes one names its entry,
//! and `docs/metrics.md` is made of the list. Promise: label values are names from the configuration or of fixed sets, never a client's.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Unit;
use smallvec::SmallVec;

use super::histogram::Spread;

/// One entry of the list.
#[derive(PartialEq, Eq, Debug)]
pub struct Metric {
    /// As Prometheus shows it: of a counter with `_total`, of an info with `_info`, of a histogram without what its parts have.
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    help: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
    Info,
}

/// Where metrics are written to.
pub struct Writer<'e>(DescriptorEncoder<'e>);

/// Where the samples of one metric are written to.
pub struct Samples<'e> {
    metric: &'static Metric,
    encoder: MetricEncoder<'e>,
}

macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $entry:ident = $kind:ident($name:literal $(, $label:literal)*);)+) => {
        $($(#[doc = $help])+ pub const $entry: &Metric =
            &Metric { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: concat!($($help),+) };)+

        /// All of them, in the order of the page.
        pub const ALL: &[&Metric] = &[$($entry),+];
    };
}

metrics! {
    /// Calls and streams that ended. The reason is the gateway's own, `OK`, or `BACKEND` for whatever a service answered; numbers that are not routed are of the route `unknown`.
    REQUESTS = Counter("protogate_requests_total", "route", "code", "reason");
    /// How long calls took that were let in, from the message read to its answer encoded. Streams are as long as they are, and not in it.
    REQUEST_SECONDS = Histogram("protogate_request_seconds", "route");
    /// How long calls and streams were in the gateway before their first attempt began: checked, asked about at guards.
    REQUEST_QUEUE_SECONDS = Histogram("protogate_request_queue_seconds", "route");
    /// How long calls were with their backend, from the beginning of the first attempt to the end of the last.
    REQUEST_BACKEND_SECONDS = Histogram("protogate_request_backend_seconds", "route");
    /// Bytes of payloads, from clients and to them.
    REQUEST_BYTES = Counter("protogate_request_bytes_total", "route", "direction");
    /// Messages of streams that ended, from clients and to them.
    STREAM_MESSAGES = Counter("protogate_stream_messages_total", "route", "direction");
    /// Calls that a limit refused, or would have refused in dry run.
    LIMIT_REFUSALS = Counter("protogate_limit_refusals_total", "limit", "mode");
    /// Questions that a guard did not decide.
    GUARD_MISSES = Counter("protogate_guard_misses_total", "guard");
    /// Sockets that are connected, handshakes included.
    CONNECTIONS = Gauge("protogate_connections");
    /// How many there may be: `connections.max`.
    CONNECTIONS_MAX = Gauge("protogate_connections_max");
    /// Those of the sockets whose clients have not said who they are.
    CONNECTIONS_ANONYMOUS = Gauge("protogate_connections_anonymous");
    /// Sockets that were accepted, whatever became of them.
    ACCEPTS = Counter("protogate_accepts_total");
    /// Sockets that became no connection, and why.
    REFUSALS = Counter("protogate_refusals_total", "cause");
    /// Connections that ended: the close code of the gateway, `client` where the client closed, `gone` where it went without a word.
    CLOSES = Counter("protogate_closes_total", "code");
    /// Bytes that wait to be written, over all outboxes.
    OUTBOX_BYTES = Gauge("protogate_outbox_bytes");
    /// How many of them there may be: `memory.outboxes`.
    OUTBOX_BYTES_MAX = Gauge("protogate_outbox_bytes_max");
    /// Connections that were closed because their clients read more slowly than messages came.
    SLOW_CONSUMERS = Counter("protogate_slow_consumers_total");
    /// The round trip of heartbeats: measured on one connection of each worker at a time.
    HEARTBEAT_SECONDS = Histogram("protogate_heartbeat_seconds");
    /// Tokens that were refused, and why.
    TOKENS_REFUSED = Counter("protogate_tokens_refused_total", "cause");
    /// Sessions of this node, those included that wait for their clients.
    SESSIONS = Gauge("protogate_sessions");
    /// Clients that came back for their session, and what came of it.
    RESUMES = Counter("protogate_resumes_total", "outcome");
    /// Calls and streams that are under way.
    BACKEND_IN_FLIGHT = Gauge("protogate_backend_in_flight", "backend");
    /// Those of them that wait for a connection.
    BACKEND_PENDING = Gauge("protogate_backend_pending", "backend");
    /// Attempts that repeated another by their route's leave.
    BACKEND_RETRIES = Counter("protogate_backend_retries_total", "backend");
    /// Calls that were refused because the backend has all that it takes.
    BACKEND_SHEDS = Counter("protogate_backend_sheds_total", "backend");
    /// Calls that came without the key by which the backend chooses endpoints.
    BACKEND_UNKEYED = Counter("protogate_backend_unkeyed_total", "backend");
    /// How many attempts that repeat another there may be at once, as many calls as are in flight now.
    BACKEND_RETRY_BUDGET = Gauge("protogate_backend_retry_budget", "backend");
    /// How many there are.
    BACKEND_RETRIES_IN_FLIGHT = Gauge("protogate_backend_retries_in_flight", "backend");
    /// Attempts that are under way.
    ENDPOINT_IN_FLIGHT = Gauge("protogate_endpoint_in_flight", "backend", "endpoint");
    /// Attempts that were made, and whether they failed in a way that counts against the endpoint.
    ENDPOINT_ATTEMPTS = Counter("protogate_endpoint_attempts_total", "backend", "endpoint", "outcome");
    /// 1 for the state that the endpoint is in: `well`, `ill` (its health checks fail), `open` (left alone for what it answered), `down` (there is no connection).
    ENDPOINT_STATE = Gauge("protogate_endpoint_state", "backend", "endpoint", "state");
    /// How often the endpoint was left alone for what it answered.
    ENDPOINT_EJECTIONS = Counter("protogate_endpoint_ejections_total", "backend", "endpoint");
    /// Messages that were published on this node, however many get each.
    PUSHES_PUBLISHED = Counter("protogate_pushes_published_total");
    /// Pushes that were put into the outboxes of connections of this node, once for each.
    PUSHES_DELIVERED = Counter("protogate_pushes_delivered_total");
    /// Pushes that a slow client lost, by the rule of their number, and those of effects that could not be published (`unpublished`).
    PUSHES_DROPPED = Counter("protogate_pushes_dropped_total", "rule");
    /// From publishing a message to a topic or to everyone, on whatever node, to hearing it on this one. Clocks that differ show in it.
    BUS_LAG_SECONDS = Histogram("protogate_bus_lag_seconds");
    /// Topics that somebody hears on this node.
    TOPICS = Gauge("protogate_topics");
    /// What the histories of these topics hold, estimated from the messages that were heard.
    HISTORY_BYTES = Gauge("protogate_history_bytes");
    /// Which table is live: 1 at the start, one more for each reload that changed something.
    CONFIG_GENERATION = Gauge("protogate_config_generation");
    /// What the live table was compiled from.
    CONFIG_INFO = Info("protogate_config_info", "hash");
    /// Reloads, and what came of them.
    CONFIG_RELOADS = Counter("protogate_config_reloads_total", "outcome");
    /// Errors that the last reload found in the files, by their code; none after a success.
    CONFIG_ERRORS = Gauge("protogate_config_errors", "code");
    /// Whether the last reload found the files sound.
    CONFIG_LAST_RELOAD_SUCCESSFUL = Gauge("protogate_config_last_reload_successful");
    /// When the files were last found sound.
    CONFIG_LAST_SUCCESS = Gauge("protogate_config_last_success_timestamp_seconds");
    /// When they were last looked at.
    CONFIG_LAST_ATTEMPT = Gauge("protogate_config_last_attempt_timestamp_seconds");
    /// Tables that somebody still holds: one, and for a moment those before it.
    TABLES_ALIVE = Gauge("protogate_tables_alive");
    /// Spans that were not exported because there was no room, or nobody to take them.
    SPANS_DROPPED = Counter("protogate_spans_dropped_total");
    /// Operators who watch calls as they end.
    TAPS = Gauge("protogate_taps");
    /// The version of this gateway.
    BUILD_INFO = Info("protogate_build_info", "version");
    /// Processor time of this process.
    PROCESS_CPU_SECONDS = Counter("process_cpu_seconds_total");
    /// Its memory.
    PROCESS_RESIDENT_MEMORY_BYTES = Gauge("process_resident_memory_bytes");
    /// Its open files, sockets among them.
    PROCESS_OPEN_FDS = Gauge("process_open_fds");
    /// How many it may have.
    PROCESS_MAX_FDS = Gauge("process_max_fds");
    /// When it began.
    PROCESS_START_TIME_SECONDS = Gauge("process_start_time_seconds");
}

// === impl Metric ===

impl Metric {
    /// What it says, in plain sentences.
    pub fn help(&self) -> &'static str {
        self.help.trim()
    }

    /// The unit that its name ends with, behind which come only what its kind has.
    pub fn unit(&self) -> Option<&'static Unit> {
        self.stem_and_unit().1
    }

    /// The name as the writer wants it: without unit, and without what kinds have.
    fn stem_and_unit(&self) -> (&'static str, Option<&'static Unit>) {
        let name = match self.kind {
            Kind::Counter => self.name.strip_suffix("_total").expect("a counter is called so"),
            Kind::Info => self.name.strip_suffix("_info").expect("an info is called so"),
            Kind::Gauge | Kind::Histogram => self.name,
        };
        let units = [("_seconds", &Unit::Seconds), ("_bytes", &Unit::Bytes)];
        let found = units.into_iter().find_map(|(suffix, unit)| Some((name.strip_suffix(suffix)?, Some(unit))));
        found.unwrap_or((name, None))
    }
}

// === impl Kind ===

impl Kind {
    /// As OpenMetrics calls it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Info => "info",
        }
    }
}

impl From<Kind> for MetricType {
    fn from(kind: Kind) -> MetricType {
        match kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
            Kind::Info => MetricType::Info,
        }
    }
}

// === impl Writer ===

impl<'e> Writer<'e> {
    pub fn new(encoder: DescriptorEncoder<'e>) -> Writer<'e> {
        Writer(encoder)
    }

    /// Writes a metric, once for all its samples.
    pub fn metric(&mut self, metric: &'static Metric, write: impl FnOnce(&mut Samples<'_>) -> fmt::Result) -> fmt::Result {
        let (stem, unit) = metric.stem_and_unit();
        let encoder = self.0.encode_descriptor(stem, metric.help(), unit, metric.kind.into())?;
        write(&mut Samples { metric, encoder })
    }

    /// Writes a counter that has no labels.
    pub fn count(&mut self, metric: &'static Metric, value: u64) -> fmt::Result {
        self.metric(metric, |samples| samples.count(&[], value))
    }

    /// Writes a gauge that has no labels.
    pub fn gauge(&mut self, metric: &'static Metric, value: f64) -> fmt::Result {
        self.metric(metric, |samples| samples.gauge(&[], value))
    }

    /// Writes a histogram that has no labels.
    pub fn histogram(&mut self, metric: &'static Metric, value: &Spread) -> fmt::Result {
        self.metric(metric, |samples| samples.histogram(&[], value))
    }

    /// Writes a counter by its one label.
    pub fn counts<L: AsRef<str>>(&mut self, metric: &'static Metric, counts: impl IntoIterator<Item = (L, u64)>) -> fmt::Result {
        self.metric(metric, |samples| counts.into_iter().try_for_each(|(label, count)| samples.count(&[label.as_ref()], count)))
    }

    /// Writes a gauge by its one label.
    pub fn gauges<L: AsRef<str>>(&mut self, metric: &'static Metric, values: impl IntoIterator<Item = (L, f64)>) -> fmt::Result {
        self.metric(metric, |samples| values.into_iter().try_for_each(|(label, value)| samples.gauge(&[label.as_ref()], value)))
    }
}

// === impl Samples ===

impl Samples<'_> {
    /// A counter's, by the values of its labels in their order.
    pub fn count(&mut self, labels: &[&str], value: u64) -> fmt::Result {
        self.with(labels, |encoder| encoder.encode_counter(&value, None::<&Exemplar<NoLabelSet, f64>>))
    }

    /// The same for one that counts parts.
    pub fn amount(&mut self, labels: &[&str], value: f64) -> fmt::Result {
        self.with(labels, |encoder| encoder.encode_counter(&value, None::<&Exemplar<NoLabelSet, f64>>))
    }

    pub fn gauge(&mut self, labels: &[&str], value: f64) -> fmt::Result {
        self.with(labels, |encoder| encoder.encode_gauge(&value))
    }

    pub fn histogram(&mut self, labels: &[&str], value: &Spread) -> fmt::Result {
        self.with(labels, |encoder| encoder.encode_histogram::<NoLabelSet>(value.sum, value.count(), &value.buckets(), None))
    }

    pub fn info(&mut self, labels: &[&str]) -> fmt::Result {
        let labels = self.named(labels);
        self.encoder.encode_info(&&*labels)
    }

    fn with(&mut self, labels: &[&str], write: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result) -> fmt::Result {
        let labels = self.named(labels);
        if labels.is_empty() {
            return write(&mut self.encoder);
        }
        write(&mut self.encoder.encode_family(&&*labels)?)
    }

    fn named<'l>(&self, values: &[&'l str]) -> SmallVec<[(&'static str, &'l str); 4]> {
        debug_assert_eq!(values.len(), self.metric.labels.len(), "{} has these labels", self.metric.name);
        self.metric.labels.iter().copied().zip(values.iter().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_of_what_kind_it_is_and_stands_for_one_metric() {
        for (index, metric) in ALL.iter().enumerate() {
            assert_eq!(metric.name.ends_with("_total"), metric.kind == Kind::Counter, "{}", metric.name);
            assert_eq!(metric.name.ends_with("_info"), metric.kind == Kind::Info, "{}", metric.name);
            assert!(metric.kind != Kind::Histogram || metric.unit().is_some(), "{} has a unit", metric.name);
            assert!(metric.help().ends_with('.'), "{} says what it is", metric.name);
            assert!(ALL[..index].iter().all(|other| other.stem_and_unit() != metric.stem_and_unit()), "{} is there twice", metric.name);
        }
    }
}
