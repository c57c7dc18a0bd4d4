//! Every way in which the game service says no. The reasons are the contract's.

use std::time::Duration;

use tonic::Code;

use crate::services::refusal::Refusal;

/// The request does not say who asks: the gateway did not write it.
pub fn not_logged_in() -> Refusal {
    Refusal::new(Code::Unauthenticated, "NOT_LOGGED_IN", "log in first")
}

pub fn room_not_found() -> Refusal {
    Refusal::new(Code::NotFound, "ROOM_NOT_FOUND", "there is no such room; ask for the list of rooms")
}

pub fn room_closed() -> Refusal {
    Refusal::new(Code::FailedPrecondition, "ROOM_CLOSED", "this room is closed; join another")
}

pub fn room_full() -> Refusal {
    Refusal::new(Code::FailedPrecondition, "ROOM_FULL", "every seat of this room is taken; join another")
}

pub fn not_a_member() -> Refusal {
    Refusal::new(Code::PermissionDenied, "NOT_A_MEMBER", "you have no seat in this room; join it first")
}

pub fn not_host() -> Refusal {
    Refusal::new(Code::PermissionDenied, "NOT_HOST", "only the host of a room replaces its state")
}

/// The room is at another version than whoever asks thought.
pub fn stale_version(current: u64) -> Refusal {
    let message = format!("the room is at version {current}; look at what happened and decide again");
    Refusal::new(Code::FailedPrecondition, "STALE_VERSION", message).with("version", current)
}

pub fn wrong_password() -> Refusal {
    Refusal::new(Code::PermissionDenied, "WRONG_PASSWORD", "this room has another password; ask its members")
}

pub fn too_many_attempts(left: Duration) -> Refusal {
    Refusal::new(Code::ResourceExhausted, "TOO_MANY_ATTEMPTS", "too many attempts; wait and try again").retry_after(left)
}

pub fn too_many_rooms_of_yours() -> Refusal {
    Refusal::new(Code::ResourceExhausted, "TOO_MANY_ROOMS", "you have a seat in as many rooms as one may; leave one first")
}

pub fn too_many_rooms() -> Refusal {
    Refusal::new(Code::ResourceExhausted, "TOO_MANY_ROOMS", "there are as many rooms as there may be; join one, or try again later")
}

pub fn overloaded() -> Refusal {
    Refusal::new(Code::ResourceExhausted, "OVERLOADED", "too much is going on; wait and try again").retry_after(Duration::from_secs(1))
}

/// Our mistake, which the log has.
pub fn broken_off() -> Refusal {
    Refusal::new(Code::Internal, "INTERNAL", "the service made a mistake")
}
