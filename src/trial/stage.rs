//! The services of a test: whoever the gateway calls is answered by the test's script, and what they are sent is written down.
//!
//! Promises: a script is taken one answer for each attempt, and its last answer is repeated; whatever is called without a script says OK
//! and nothing more; nothing here waits but an answer that shall come too late.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::DuplexStream;
use tokio::runtime::Handle;
use tonic::Status;
use tonic::body::Body;
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::backend::{self, Builtins, Network, Stage};
use crate::failure::Code;

/// What may be under way between the gateway and a service.
const PIPE_BYTES: usize = 64 << 10;

/// What a service answers.
#[derive(Clone)]
pub enum Answer {
    Reply(Bytes),
    Failure {
        code: Code,
        message: String,
        reason: Option<String>,
        retry_after: Option<Duration>,
    },
    /// Nothing, however long one waits.
    Never,
}

/// What a service was sent.
pub struct Heard {
    /// `/package.Service/Method`.
    pub path: String,
    /// Who was asked: `host:port`, or the name of a service of this process.
    pub endpoint: String,
    pub metadata: HeaderMap,
    pub message: Bytes,
}

/// All services. Clones are the same.
#[derive(Clone)]
pub struct Services(Arc<Inner>);

struct Inner {
    runtime: Handle,
    seed: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    scripts: HashMap<String, Script>,
    heard: Vec<Heard>,
}

#[derive(Default)]
struct Script {
    answers: Vec<Answer>,
    given: usize,
}

// === impl Services ===

impl Services {
    /// Services that run on `runtime`. What the gateway draws at random begins with `seed`.
    pub fn new(runtime: Handle, seed: u64) -> Services {
        Services(Arc::new(Inner { runtime, seed, state: Mutex::default() }))
    }

    /// What a gateway calls: these for the services of its process, and for every other backend.
    pub fn builtins(&self, names: &'static [&'static str]) -> Builtins {
        let network = Network::on(Arc::new(self.clone()));
        let mut builtins = Builtins::new(self.0.runtime.clone()).reaching(network);
        for &name in names {
            let services = self.clone();
            builtins.add(
                name,
                tower::service_fn(move |request| {
                    let services = services.clone();
                    async move { services.answer(name, request).await }
                }),
            );
        }
        builtins
    }

    /// From now on these are the answers, by the path of the method; and nothing has been heard yet.
    pub fn play(&self, scripts: impl IntoIterator<Item = (String, Vec<Answer>)>) {
        let mut state = self.lock();
        state.heard.clear();
        state.scripts.clear();
        for (path, answers) in scripts {
            // Guards of one method are asked one after the other.
            state.scripts.entry(path).or_default().answers.extend(answers);
        }
    }

    /// What was heard since.
    pub fn take_heard(&self) -> Vec<Heard> {
        std::mem::take(&mut self.lock().heard)
    }

    async fn answer<B>(&self, endpoint: &str, request: http::Request<B>) -> Result<http::Response<Body>, Infallible>
    where
        B: http_body::Body<Data = Bytes, Error: Send>,
    {
        let (head, body) = request.into_parts();
        let Ok(body) = body.collect().await.map(http_body_util::Collected::to_bytes) else {
            return Ok(Status::cancelled("the request broke off").into_http());
        };
        let message = body.slice(backend::frame(0).len().min(body.len())..);
        let path = head.uri.path().to_owned();
        let answer = self.next_answer(&path);
        self.lock().heard.push(Heard { path, endpoint: endpoint.to_owned(), metadata: head.headers, message });
        Ok(match answer {
            Answer::Reply(message) => reply(&message),
            Answer::Failure { code, message, reason, retry_after } => {
                let mut details = ErrorDetails::new();
                if let Some(reason) = reason {
                    details.set_error_info(reason, "", HashMap::new());
                }
                if retry_after.is_some() {
                    details.set_retry_info(retry_after);
                }
                let code = tonic::Code::from_i32(i32::try_from(code.number()).expect("codes are few"));
                Status::with_error_details(code, message, details).into_http()
            }
            Answer::Never => pending().await,
        })
    }

    fn next_answer(&self, path: &str) -> Answer {
        let mut state = self.lock();
        let nothing = Answer::Reply(Bytes::new());
        let Some(script) = state.scripts.get_mut(path) else { return nothing };
        let answer = script.answers.get(script.given).or(script.answers.last()).cloned();
        script.given += 1;
        answer.unwrap_or(nothing)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("nothing that holds the state panics")
    }
}

impl Stage for Services {
    fn connect(&self, _: &str, endpoint: &str) -> DuplexStream {
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        let (services, endpoint) = (self.clone(), endpoint.to_owned());
        let answer = service_fn(move |request| {
            let (services, endpoint) = (services.clone(), endpoint.clone());
            async move { services.answer(&endpoint, request).await }
        });
        let serving = http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(ours), answer);
        // It ends with the other end; and with the runtime, which is the test's own.
        self.0.runtime.spawn(async move { drop(serving.await) });
        theirs
    }

    fn first_turn(&self) -> u64 {
        self.0.seed
    }
}

/// A reply of one message that ends well.
fn reply(message: &[u8]) -> http::Response<Body> {
    let mut framed = BytesMut::with_capacity(backend::frame(0).len() + message.len());
    framed.put_slice(&backend::frame(message.len()));
    framed.put_slice(message);
    let trailers = HeaderMap::from_iter([(Status::GRPC_STATUS, HeaderValue::from_static("0"))]);
    let frames = [Frame::data(framed.freeze()), Frame::trailers(trailers)];
    let body = StreamBody::new(futures_util::stream::iter(frames.map(Ok::<_, Infallible>)));
    let mut response = http::Response::new(Body::new(body.map_err(|never| -> Status { match never {} })));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}
