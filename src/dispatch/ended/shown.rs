//! What a person is shown of a request or a reply: JSON without what is hidden, and a little of it.

use crate::proto::{self, MessageType, Redact};
use crate::table::Route;

/// Of one message.
const SHOWN_BYTES_MAX: usize = 2 << 10;

/// A longer message is not made into JSON, most of which would be thrown away.
const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// The request as the service was sent it.
pub(super) fn request(route: &Route, message: &[u8]) -> Option<String> {
    shown(&route.method.input, &route.redact, message)
}

/// The reply as the service gave it.
pub(super) fn reply(route: &Route, message: &[u8]) -> Option<String> {
    shown(&route.method.output, &Redact::compile(&route.method.output, &[]), message)
}

fn shown(kind: &MessageType, redact: &Redact, message: &[u8]) -> Option<String> {
    if message.len() > MESSAGE_BYTES_MAX {
        return Some(format!("({} bytes)", message.len()));
    }
    let mut message = message.to_vec();
    redact.apply(&mut message).ok()?;
    let mut json = Vec::new();
    proto::to_json(kind, &message, &mut json).ok()?;
    let mut json = String::from_utf8(json).ok()?;
    if json.len() > SHOWN_BYTES_MAX {
        json.truncate(json.floor_char_boundary(SHOWN_BYTES_MAX));
        json.push('…');
    }
    Some(json)
}
