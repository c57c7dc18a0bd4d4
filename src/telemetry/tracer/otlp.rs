//! The language of collectors: OTLP over gRPC. This is the only file that knows its messages, and the client that sends them.

use std::error::Error as _;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use hyper_rustls::HttpsConnectorBuilder;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{
    ResourceSpans, ScopeSpans, Span as OtlpSpan, Status as OtlpStatus, span::SpanKind, status::StatusCode,
};
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use super::{Collector, Kind, Span, Value};
use crate::clock::Clock;
use crate::tls;

/// How long a collector has to take a batch.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a connection to it may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// Flags of a span whose parent may be another process's: that it is known whether it is.
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;
const SAMPLED: u32 = 1;

/// What is asked of a collector with one batch.
pub(super) type Batch = ExportTraceServiceRequest;

/// A connection to a collector, made when it is first needed.
pub(super) struct Connection {
    pub(super) collector: Arc<Collector>,
    client: TraceServiceClient<Channel>,
    headers: MetadataMap,
}

/// Why a batch was not taken.
pub(super) struct Refused {
    pub(super) why: String,
    /// It may be by and by.
    pub(super) again: bool,
}

// === impl Connection ===

impl Connection {
    /// Prepares one; connects to nobody.
    pub(super) async fn to(collector: &Arc<Collector>) -> Result<Connection, Refused> {
        let unusable = |why: String| Refused { why, again: false };
        let mut roots = RootCertStore::empty();
        if collector.url.starts_with("https:") {
            // It reads files.
            roots = spawn_blocking(tls::native_roots).await.map_err(|error| unusable(error.to_string()))?;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has the suites of TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http2().build();
        let endpoint = Endpoint::from_shared(collector.url.clone()).map_err(|error| unusable(error.to_string()))?;
        let channel = endpoint.timeout(PATIENCE).connect_timeout(CONNECT_PATIENCE).connect_with_connector_lazy(connector);
        let headers = MetadataMap::from_headers(collector.headers.iter().cloned().collect());
        Ok(Connection { collector: Arc::clone(collector), client: TraceServiceClient::new(channel), headers })
    }

    /// Hands over a batch. How many of its spans the collector does not want.
    pub(super) async fn send(&mut self, batch: Batch) -> Result<usize, Refused> {
        let mut request = Request::new(batch);
        *request.metadata_mut() = self.headers.clone();
        match self.client.export(request).await {
            Ok(taken) => Ok(taken.into_inner().partial_success.map_or(0, |partial| usize::try_from(partial.rejected_spans).unwrap_or(0))),
            Err(status) => Err(Refused {
                why: why(&status),
                again: matches!(
                    status.code(),
                    Code::Cancelled
                        | Code::DeadlineExceeded
                        | Code::ResourceExhausted
                        | Code::Aborted
                        | Code::OutOfRange
                        | Code::Unavailable
                        | Code::DataLoss
                        | Code::Unknown
                ),
            }),
        }
    }
}

/// Why a batch did not get there, or the code of what the collector says: its words may hold what it was sent, headers included.
fn why(status: &Status) -> String {
    let Some(mut cause) = status.source() else { return format!("the collector answers {:?}", status.code()) };
    while let Some(below) = cause.source() {
        cause = below;
    }
    format!("it cannot be reached: {cause}")
}

/// The spans as a collector reads them. `instance` tells this gateway from others of its name.
pub(super) fn batch(spans: Vec<Span>, collector: &Collector, instance: &str) -> Batch {
    let clock = Moments::now();
    let resource = Resource {
        attributes: vec![
            attribute("service.name", text(&collector.service_name)),
            attribute("service.version", text(env!("CARGO_PKG_VERSION"))),
            attribute("service.instance.id", text(instance)),
        ],
        ..Resource::default()
    };
    let scope = InstrumentationScope { name: "protogate".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned(), ..Default::default() };
    let spans = spans.into_iter().map(|span| otlp(span, &clock)).collect();
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }];
    ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() }] }
}

/// What time it was by the wall's clock.
struct Moments {
    now: Instant,
    /// Nanoseconds since 1970.
    wall: u64,
}

// === impl Moments ===

impl Moments {
    fn now() -> Moments {
        let wall = Clock::system().now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Moments { now: Instant::now(), wall: u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX) }
    }

    fn of(&self, moment: Instant) -> u64 {
        let ago = u64::try_from(self.now.saturating_duration_since(moment).as_nanos()).unwrap_or(u64::MAX);
        self.wall.saturating_sub(ago)
    }
}

fn otlp(span: Span, clock: &Moments) -> OtlpSpan {
    let remote = if span.kind == Kind::Server { IS_REMOTE } else { 0 };
    OtlpSpan {
        trace_id: span.trace.to_be_bytes().to_vec(),
        span_id: span.id.to_be_bytes().to_vec(),
        parent_span_id: span.parent.map(|parent| parent.to_be_bytes().to_vec()).unwrap_or_default(),
        flags: SAMPLED | HAS_IS_REMOTE | remote,
        name: span.name.as_str().to_owned(),
        kind: match span.kind {
            Kind::Internal => SpanKind::Internal,
            Kind::Server => SpanKind::Server,
            Kind::Client => SpanKind::Client,
        }
        .into(),
        start_time_unix_nano: clock.of(span.began),
        end_time_unix_nano: clock.of(span.ended),
        attributes: span.attributes.into_iter().map(|(key, said)| attribute(key, value(&said))).collect(),
        status: span.failed.map(|word| OtlpStatus { message: word.to_owned(), code: StatusCode::Error.into() }),
        ..OtlpSpan::default()
    }
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn value(said: &Value) -> any_value::Value {
    match said {
        Value::Text(said) => text(said.as_str()),
        Value::Number(number) => any_value::Value::IntValue(*number),
    }
}

fn text(text: &str) -> any_value::Value {
    any_value::Value::StringValue(text.to_owned())
}
