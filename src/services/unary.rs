//! One call of a gRPC service by another part of this process: a message there, a message back, by a deadline.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut as _, BytesMut};
use http::HeaderMap;
use http::uri::PathAndQuery;
use prost::Message;
use tokio::time::Instant;

use crate::backend::{self, Backend};
use crate::failure::{Failure, Reason, Result};
use crate::id::WorkerId;

/// The way to a service, and what every call of it has in common.
#[derive(Clone)]
pub struct Way {
    /// Opened for one worker.
    pub backend: Arc<Backend>,
    pub headers: Arc<HeaderMap>,
    /// How long the service may take to answer.
    pub patience: Duration,
    /// Its largest answer.
    pub reply_bytes_max: usize,
}

// === impl Way ===

impl Way {
    pub async fn call<Q: Message, A: Message + Default>(&self, path: &'static str, request: &Q) -> Result<A> {
        let length = request.encoded_len();
        let mut body = BytesMut::with_capacity(backend::frame(length).len() + length);
        body.put_slice(&backend::frame(length));
        request.encode(&mut body).expect("there is room for all of it");
        let request = backend::Request {
            path: PathAndQuery::from_static(path),
            headers: Arc::clone(&self.headers),
            metadata: Vec::new(),
            trace: None,
            choice: backend::Choice::default(),
            body: body.freeze(),
            deadline: Instant::now() + self.patience,
            hurried: false,
            retry: None,
            reply_bytes_max: self.reply_bytes_max,
        };
        let reply = self.backend.call(WorkerId(0), request).await?;
        let unreadable = |error: prost::DecodeError| {
            let what = format!("the service `{}` gave a reply that cannot be read", self.backend.name());
            Failure::gateway(Reason::BadReply, what).because(error)
        };
        A::decode(reply.message).map_err(unreadable)
    }
}
