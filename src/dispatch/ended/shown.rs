//! What a person is shown of a request or a reply: JSON without what is hidden, and a little of it.
//!
//! Hidden are the fields that the route or the descriptor says are, those that hold secrets by their name (`proto/redact`), and in all
//! texts what looks like a token; how long a hidden text was is not seen either. Promises: a message that cannot be read, or hidden in, is not shown; what is shown has a bound, and what
//! is missing a mark, so that it may be no whole JSON.

use crate::proto::{self, MessageType, Redact};
use crate::table::Route;
use crate::telemetry::mask;

/// Of one message. A line of the log should be read by people.
const SHOWN_BYTES_MAX: usize = 2 << 10;

/// A longer message is not made into JSON, most of which would be thrown away.
const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// The request as the service was sent it.
pub(super) fn request(route: &Route, message: &[u8]) -> Option<String> {
    shown(&route.method.input, &route.redact, message)
}

/// The reply as the service gave it.
pub(super) fn reply(route: &Route, message: &[u8]) -> Option<String> {
    shown(&route.method.output, &route.redact_reply, message)
}

fn shown(kind: &MessageType, redact: &Redact, message: &[u8]) -> Option<String> {
    if message.len() > MESSAGE_BYTES_MAX {
        return Some(format!("({} bytes)", message.len()));
    }
    let mut message = message.to_vec();
    redact.apply(&mut message).ok()?;
    let mut json = Vec::new();
    proto::to_json(kind, &message, &mut json).ok()?;
    let json = String::from_utf8(json).ok()?;
    Some(mask::shown(&json, SHOWN_BYTES_MAX))
}
