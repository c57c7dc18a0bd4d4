//! A service of streams to talk to, over the network and inside: its methods are served by tonic, in all the kinds there are.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use futures_util::stream::{self, Stream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::sync::Notify;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;
use tower::{Service, service_fn};

use crate::services::echo::v1::{EchoRequest, EchoResponse};

/// `Count` (server), `Gather` (client), `Chat` (bidirectional) and `Echo` (unary).
#[derive(Clone, Default)]
pub struct Talkative(pub Arc<Heard>);

/// What the service knows. `gate` holds whoever says `wait`.
#[derive(Default)]
pub struct Heard {
    /// Messages that it has said.
    pub said: AtomicUsize,
    /// Messages that it has heard.
    pub heard: AtomicUsize,
    pub gate: Notify,
    /// Streams that were dropped, by whoever it was.
    gone: AtomicUsize,
    going: Notify,
}

/// Counts its stream as gone when it is dropped.
struct Here(Arc<Heard>);

type Messages = stream::BoxStream<'static, Result<EchoResponse, Status>>;

// === impl Heard ===

impl Heard {
    pub fn said(&self) -> usize {
        self.said.load(Ordering::SeqCst)
    }

    pub fn heard(&self) -> usize {
        self.heard.load(Ordering::SeqCst)
    }

    pub async fn until_gone(&self, streams: usize) {
        while self.gone.load(Ordering::SeqCst) < streams {
            self.going.notified().await;
        }
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        self.0.gone.fetch_add(1, Ordering::SeqCst);
        self.0.going.notify_one();
    }
}

// === impl Talkative ===

impl Talkative {
    /// As many messages as the first number says, and as long as the second.
    fn count(&self, request: EchoRequest) -> Messages {
        let (messages, bytes) = request.text.split_once(' ').expect("two numbers");
        let (messages, bytes) = (messages.parse::<u64>().expect("a number"), bytes.parse::<usize>().expect("a number"));
        let here = Here(Arc::clone(&self.0));
        stream::iter(0..messages)
            .map(move |number| {
                here.0.said.fetch_add(1, Ordering::SeqCst);
                Ok(EchoResponse { text: format!("{number:.<bytes$}") })
            })
            .boxed()
    }

    async fn gather(&self, requests: Streaming<EchoRequest>) -> Result<EchoResponse, Status> {
        let here = Here(Arc::clone(&self.0));
        let texts = requests.and_then(|request| here.0.hear(request)).try_collect::<Vec<_>>().await?;
        Ok(EchoResponse { text: texts.join(" ") })
    }

    fn chat(&self, requests: Streaming<EchoRequest>) -> impl Stream<Item = Result<EchoResponse, Status>> + Send + 'static {
        let here = Here(Arc::clone(&self.0));
        stream::try_unfold((requests, here), |(mut requests, here)| async move {
            let Some(request) = requests.message().await? else { return Ok(None) };
            match here.0.hear(request).await?.as_str() {
                "bye" => Ok(None),
                text => Ok(Some((EchoResponse { text: text.to_owned() }, (requests, here)))),
            }
        })
    }
}

impl Heard {
    async fn hear(&self, request: EchoRequest) -> Result<String, Status> {
        self.heard.fetch_add(1, Ordering::SeqCst);
        match request.text.as_str() {
            "fail" => return Err(Status::failed_precondition("enough")),
            "panic" => panic!("a mistake"),
            "wait" => self.gate.notified().await,
            _ => {}
        }
        Ok(request.text)
    }
}

impl NamedService for Talkative {
    const NAME: &'static str = "test.Talkative";
}

impl Service<http::Request<Body>> for Talkative {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            let mut grpc = Grpc::new(ProstCodec::<EchoResponse, EchoRequest>::default());
            Ok(match request.uri().path() {
                "/test.Talkative/Count" => {
                    let count = |request: Request<EchoRequest>| async { Ok(Response::new(service.count(request.into_inner()))) };
                    grpc.server_streaming(service_fn(count), request).await
                }
                "/test.Talkative/Gather" => {
                    let gather = |requests: Request<Streaming<EchoRequest>>| async {
                        service.gather(requests.into_inner()).await.map(Response::new)
                    };
                    grpc.client_streaming(service_fn(gather), request).await
                }
                "/test.Talkative/Chat" => {
                    let chat = |requests: Request<Streaming<EchoRequest>>| async { Ok(Response::new(service.chat(requests.into_inner()))) };
                    grpc.streaming(service_fn(chat), request).await
                }
                _ => {
                    let echo =
                        |request: Request<EchoRequest>| async { Ok(Response::new(EchoResponse { text: request.into_inner().text })) };
                    grpc.unary(service_fn(echo), request).await
                }
            })
        })
    }
}
