//! A collector of spans on a free port, which speaks OTLP; and a service that exports a span of its own there, as an instrumented one does.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use protogate::services::echo::v1::echo_service_server::{EchoService, EchoServiceServer};
use protogate::services::echo::v1::{EchoRequest, EchoResponse};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::PATIENCE;

pub struct Collector {
    pub address: SocketAddr,
    heard: Arc<Heard>,
    task: JoinHandle<()>,
}

/// Names and values, as they came.
type Headers = Vec<(String, String)>;

#[derive(Default)]
struct Heard {
    requests: Mutex<Vec<(Headers, ExportTraceServiceRequest)>>,
    /// How many requests are still refused.
    refusing: AtomicUsize,
}

/// A span, as a test looks at it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub trace: String,
    pub id: String,
    /// Empty: none.
    pub parent: String,
    pub name: String,
    pub kind: i32,
    pub began: u64,
    pub ended: u64,
    pub failed: Option<String>,
    pub attributes: HashMap<String, String>,
    /// Of the process that it is from.
    pub resource: HashMap<String, String>,
}

/// The echo, instrumented: for each call it exports a span `work`, a child of whatever it was told.
pub struct Instrumented {
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

struct Working(TraceServiceClient<tonic::transport::Channel>);

// === impl Collector ===

impl Collector {
    pub async fn start() -> Collector {
        Collector::start_at("127.0.0.1:0").await
    }

    pub async fn start_at(address: &str) -> Collector {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Heard::default());
        let server = Server::builder().add_service(TraceServiceServer::from_arc(Arc::clone(&heard)));
        let task = tokio::spawn(async move { server.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap() });
        Collector { address, heard, task }
    }

    /// Refuses so many requests from now on.
    pub fn refuse(&self, times: usize) {
        self.heard.refusing.store(times, Ordering::SeqCst);
    }

    /// Every span that it has heard of.
    pub fn spans(&self) -> Vec<Seen> {
        let requests = self.heard.requests.lock().unwrap();
        let resources = requests.iter().flat_map(|(_, request)| &request.resource_spans);
        resources.flat_map(|spans| seen(spans).collect::<Vec<_>>()).collect()
    }

    /// The spans, once there are so many of this name.
    pub async fn wait_for(&self, count: usize, name: &str) -> Vec<Seen> {
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            let spans = self.spans();
            if spans.iter().filter(|span| span.name == name).count() >= count {
                return spans;
            }
            assert!(tokio::time::Instant::now() < until, "expected {count} of `{name}`, heard {spans:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Everything that it has heard, headers included, as text.
    pub fn everything(&self) -> String {
        format!("{:?}", self.heard.requests.lock().unwrap())
    }

    /// What a header said in every request.
    pub fn header(&self, key: &str) -> Vec<String> {
        let requests = self.heard.requests.lock().unwrap();
        requests.iter().flat_map(|(headers, _)| headers).filter(|(name, _)| name == key).map(|(_, value)| value.clone()).collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tonic::async_trait]
impl TraceService for Heard {
    async fn export(&self, request: Request<ExportTraceServiceRequest>) -> Result<Response<ExportTraceServiceResponse>, Status> {
        if self.refusing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |times| times.checked_sub(1)).is_ok() {
            return Err(Status::unavailable("not yet"));
        }
        let headers = request.metadata().clone().into_headers();
        let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned())).collect();
        self.requests.lock().unwrap().push((headers, request.into_inner()));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn seen(spans: &ResourceSpans) -> impl Iterator<Item = Seen> + '_ {
    let said = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        other => panic!("no span of ours says {other:?}"),
    };
    let pairs = move |pairs: &[opentelemetry_proto::tonic::common::v1::KeyValue]| {
        let pair = pairs.iter().map(|pair| (pair.key.clone(), said(pair.value.as_ref().unwrap().value.as_ref().unwrap())));
        pair.collect::<HashMap<_, _>>()
    };
    let resource = pairs(spans.resource.as_ref().map(|resource| &*resource.attributes).unwrap_or_default());
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    spans.scope_spans.iter().flat_map(|scope| &scope.spans).map(move |span| Seen {
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        name: span.name.clone(),
        kind: span.kind,
        began: span.start_time_unix_nano,
        ended: span.end_time_unix_nano,
        failed: span.status.as_ref().filter(|status| status.code == 2).map(|status| status.message.clone()),
        attributes: pairs(&span.attributes),
        resource: resource.clone(),
    })
}

// === impl Instrumented ===

impl Instrumented {
    /// Exports to this collector.
    pub async fn start(collector: &Collector) -> Instrumented {
        let client = TraceServiceClient::connect(format!("http://{}", collector.address)).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::builder().add_service(EchoServiceServer::new(Working(client)));
        let task = tokio::spawn(async move { server.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap() });
        Instrumented { address, task }
    }
}

impl Drop for Instrumented {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tonic::async_trait]
impl EchoService for Working {
    async fn echo(&self, request: Request<EchoRequest>) -> Result<Response<EchoResponse>, Status> {
        let told = request.metadata().get("traceparent").expect("a service is told of its trace").to_str().unwrap().to_owned();
        let bytes = |at: usize, digits: usize| (at..at + digits).step_by(2).map(|at| u8::from_str_radix(&told[at..at + 2], 16).unwrap());
        let span = Span {
            trace_id: bytes(3, 32).collect(),
            parent_span_id: bytes(36, 16).collect(),
            span_id: b"workwork".to_vec(),
            name: "work".to_owned(),
            ..Span::default()
        };
        let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
        let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
        self.0.clone().export(ExportTraceServiceRequest { resource_spans }).await?;
        Ok(Response::new(EchoResponse { text: told }))
    }
}
