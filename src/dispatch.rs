//! **The data path**: one call in, exactly one answer out.
//!
//! [`admit`] does all that needs no waiting, in this order: find the route, ask whether the caller may, turn the payload into checked
//! protobuf bytes, spend from the limits, write the gRPC request. [`Call::run`] waits for the backend and judges its answer.
//! Promises: one table snapshot a call; exactly one [`Answer`] a call, even when something panics; a refusal costs no backend anything.

use std::any::Any;
use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue};
use tokio::time::Instant;

use crate::backend;
use crate::failure::{Code, Failure, Reason, Result, Source};
use crate::id::{CallId, Protocol};
use crate::pipeline::access_log;
use crate::pipeline::call::Caller;
use crate::pipeline::metadata;
use crate::pipeline::rate_limit;
use crate::proto::{self, Values};
use crate::table::plan::{LogPayload, SessionValue};
use crate::table::{Access, Route, Table};
use crate::wire::{Codec, Envelope, Payload};

/// Bytes of the gRPC prefix before a message.
const PREFIX: usize = backend::PREFIX_BYTES;

/// A call that was admitted and waits to be run.
pub struct Call {
    route: Arc<Route>,
    id: CallId,
    codec: Codec,
    request: backend::Request,
    caller: access_log::Who,
    worker: crate::id::WorkerId,
    began: Instant,
    payload_bytes: usize,
}

/// The one end of a call.
pub struct Answer {
    pub protocol: Protocol,
    pub id: CallId,
    pub result: Result<Reply>,
    /// Nothing is sent: the route answers failures only, and this is none.
    pub silent: bool,
}

/// A successful reply's payload, in the client's own encoding.
pub enum Reply {
    Proto(Bytes),
    Json(Vec<u8>),
}
