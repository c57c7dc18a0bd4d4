//! Every no that is chat's own, in one place: what clients may rely on.

use std::time::Duration;

use tonic::Code;

use crate::services::refusal::Refusal;

pub fn not_logged_in() -> Refusal {
    Refusal::new(Code::Unauthenticated, "NOT_LOGGED_IN", "nobody is logged in; log in first")
}

/// Also of a private room, to whoever is not to know of it.
pub fn room_not_found() -> Refusal {
    Refusal::new(Code::NotFound, "ROOM_NOT_FOUND", "there is no such room; ListRooms says which there are")
}

pub fn room_closed() -> Refusal {
    Refusal::new(Code::FailedPrecondition, "ROOM_CLOSED", "the room has ended because its last member left; join or make another")
}

pub fn room_full() -> Refusal {
    Refusal::new(Code::FailedPrecondition, "ROOM_FULL", "the room has as many members as it can have; try again when somebody has left")
}

pub fn not_a_member() -> Refusal {
    Refusal::new(Code::PermissionDenied, "NOT_A_MEMBER", "only members may do this; join the room first")
}

pub fn too_many_rooms() -> Refusal {
    Refusal::new(Code::FailedPrecondition, "TOO_MANY_ROOMS", "you are in as many rooms as one can be; leave one first")
}

pub fn too_many_public_rooms() -> Refusal {
    Refusal::new(Code::ResourceExhausted, "TOO_MANY_PUBLIC_ROOMS", "there are as many public rooms as can be; make a private one")
}

pub fn too_many_messages(wait: Duration) -> Refusal {
    Refusal::new(Code::ResourceExhausted, "TOO_MANY_MESSAGES", "you send faster than one may; wait a moment").retry_after(wait)
}

pub fn too_many_invited() -> Refusal {
    Refusal::invalid("invited", "TOO_MANY_INVITED", "too many users are invited; name at most 100")
}

pub fn user_not_found() -> Refusal {
    Refusal::new(Code::NotFound, "USER_NOT_FOUND", "nobody is known by this id; check it")
}

/// `field`: where the request has it.
pub fn invalid_user(field: &'static str) -> Refusal {
    Refusal::invalid(field, "INVALID_USER", "this cannot be the id of another user; check it")
}

pub fn invalid_name() -> Refusal {
    Refusal::invalid("name", "INVALID_NAME", "a room's name has 1 to 64 characters that can be seen; choose such a one")
}

/// `why` says what is wrong with it and what to do.
pub fn invalid_text(why: &'static str) -> Refusal {
    Refusal::invalid("text", "INVALID_TEXT", why)
}

pub fn invalid_client_key() -> Refusal {
    Refusal::invalid("client_key", "INVALID_CLIENT_KEY", "a client key has at most 64 characters and no control characters; shorten it")
}

/// `field`: where the request has it.
pub fn invalid_page(field: &'static str, why: &'static str) -> Refusal {
    Refusal::invalid(field, "INVALID_PAGE", why)
}

pub fn overloaded() -> Refusal {
    Refusal::new(Code::Unavailable, "OVERLOADED", "too much is being said at once; try again later")
}
