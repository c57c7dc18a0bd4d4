//! What the client is sent: the backend's message in the client's encoding, or a failure in the words of the wire.

use bytes::Bytes;

use crate::failure::{Code, Failure, Reason, Result, Source};
use crate::proto;
use crate::table::Route;
use crate::wire::{Codec, Status};

/// A successful reply's payload, in the client's own encoding.
pub enum Reply {
    Proto(Bytes),
    Json(String),
}

/// The backend's message as the client reads it. Binary passes as it is.
pub(super) fn encode(route: &Route, codec: Codec, message: Bytes) -> Result<Reply> {
    match codec {
        Codec::Proto => Ok(Reply::Proto(message)),
        Codec::Json => {
            let mut json = Vec::with_capacity(2 * message.len());
            proto::to_json(&route.method.output, &message, &mut json).map_err(|problem| {
                Failure::gateway(Reason::BadReply, format!("the service's reply is no valid `{}`", route.method.output.name()))
                    .because(problem)
            })?;
            Ok(Reply::Json(String::from_utf8(json).expect("JSON is text")))
        }
    }
}

/// Hides what a backend says in its own defence; its code and details always pass.
pub(super) fn presentable(route: &Route, failure: Failure) -> Failure {
    let inward = matches!(failure.code(), Code::Unknown | Code::Internal | Code::DataLoss);
    match failure.source() {
        Source::Backend if inward && !route.expose_errors => failure.with_message_hidden("the service failed"),
        _ => failure,
    }
}

/// The failure in the words of the wire; a JSON client sees details as JSON where the route's descriptors know their type.
pub(super) fn status(route: &Route, codec: Codec, failure: &Failure) -> Status {
    let mut status = Status::from(failure);
    if codec == Codec::Json {
        for detail in &mut status.details {
            detail.json = proto::any_to_json(&route.method.input, &detail.any);
        }
    }
    status
}

// === impl Reply ===

impl Reply {
    /// Bytes of the payload as the client will see it.
    pub fn len(&self) -> usize {
        match self {
            Reply::Proto(bytes) => bytes.len(),
            Reply::Json(json) => json.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
