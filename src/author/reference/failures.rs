//! How calls may fail at the gateway: every reason with what it means for a client, and which of them a route can have.

use crate::failure::Reason;
use crate::proto::Kind;
use crate::table::plan::{Access, EffectKind, RoutePlan};

/// A reason, its code, and what it means.
pub struct Mistake {
    pub reason: &'static str,
    pub code: u32,
    pub means: &'static str,
}

/// What any call can have.
const COMMON: [Reason; 16] = [
    Reason::InvalidMessage,
    Reason::UnknownProtocol,
    Reason::TooLarge,
    Reason::ReplyTooLarge,
    Reason::MetadataRefused,
    Reason::DeadlineExceeded,
    Reason::Unavailable,
    Reason::Overloaded,
    Reason::Cancelled,
    Reason::BadReply,
    Reason::Internal,
    Reason::SessionReplaced,
    Reason::Revoked,
    Reason::Expired,
    Reason::Shutdown,
    Reason::ConnectionClosed,
];

/// How every call may fail.
pub fn common() -> Vec<Mistake> {
    COMMON.into_iter().map(Mistake::of).collect()
}

/// How this one may fail besides.
pub fn of_route(route: &RoutePlan) -> Vec<Mistake> {
    let is_stream = route.method.kind != Kind::Unary;
    let effect = route.effect.as_ref();
    let binds = effect.is_some_and(|effect| matches!(effect.session, Some(EffectKind::Bind(_))));
    let reasons = [
        (route.access == Access::Authenticated, Reason::Unauthenticated),
        (!route.permissions.is_empty(), Reason::PermissionDenied),
        (route.walk.judges(), Reason::ValidationFailed),
        (!route.limits.is_empty(), Reason::RateLimited),
        (!route.stamps.is_empty(), Reason::IdentityType),
        (!route.guards.is_empty(), Reason::GuardDenied),
        (!route.guards.is_empty(), Reason::GuardUnavailable),
        (!is_stream, Reason::TooManyCalls),
        (is_stream, Reason::TooManyStreams),
        (is_stream, Reason::CreditOverrun),
        (is_stream, Reason::StreamIdle),
        (is_stream, Reason::StreamTooOld),
        (effect.is_some(), Reason::EffectFailed),
        (binds, Reason::SessionLimit),
        (effect.is_some_and(|effect| !effect.subscribe.is_empty()), Reason::TooManyTopics),
    ];
    reasons.into_iter().filter(|(can, _)| *can).map(|(_, reason)| Mistake::of(reason)).collect()
}

// === impl Mistake ===

impl Mistake {
    fn of(reason: Reason) -> Mistake {
        let (code, token) = reason.parts();
        Mistake { reason: token, code: code.number(), means: means(reason) }
    }
}

/// For who writes a client.
fn means(reason: Reason) -> &'static str {
    match reason {
        Reason::InvalidMessage => "the envelope or the payload cannot be understood",
        Reason::ValidationFailed => "the payload breaks rules of its type; `details` names every field and rule",
        Reason::UnknownProtocol => "no route has this number",
        Reason::Unauthenticated => "it needs a token",
        Reason::InvalidToken => "the token is not acceptable",
        Reason::PermissionDenied => "no role of yours grants what it needs",
        Reason::GuardDenied => "a service that is asked about every such call said no; it may have a code and a reason of its own",
        Reason::GuardUnavailable => "that service did not answer; try again",
        Reason::RateLimited => "a limit is used up; `retry_after_ms` says until when",
        Reason::TooLarge => "the payload is larger than it takes",
        Reason::ReplyTooLarge => "the answer is larger than it gives",
        Reason::TooManyCalls => "more calls are in flight than Hello allowed",
        Reason::TooManyStreams => "more streams are open than one connection may have; end one first",
        Reason::CreditOverrun => "more messages were sent on the stream than were granted",
        Reason::StreamIdle => "nothing was said on the stream for long; open it again",
        Reason::StreamTooOld => "the stream is as old as it may be; open it again",
        Reason::MetadataRefused => "a metadata key that it does not take",
        Reason::IdentityType => "your identity does not fit a field that the gateway writes",
        Reason::DeadlineExceeded => "time ran out",
        Reason::Unavailable => "the service cannot be reached; try again",
        Reason::Overloaded => "there is no room now; try again later",
        Reason::Cancelled => "you cancelled it",
        Reason::EffectFailed => "the service said yes, but what should follow here could not be done; try again",
        Reason::SessionLimit => "you have as many sessions as you may",
        Reason::ResumeFailed => "there is no such session to resume any more; authenticate instead",
        Reason::SessionReplaced => "the session is on another connection now, or another one took its place",
        Reason::Revoked => "the session or its token was revoked",
        Reason::Expired => "the token expired",
        Reason::Shutdown => "this gateway goes; connect again",
        Reason::ConnectionClosed => "the connection ended before the answer came",
        Reason::UnknownTopic => "there is no such topic",
        Reason::WrongTopic => "what is published is not declared for the topic",
        Reason::TooManyTopics => "the session hears as many topics as it may; leave one first",
        Reason::UnknownPush => "a service pushes a number that is not declared",
        Reason::InvalidPayload => "a service pushes bytes that are not of the declared type",
        Reason::NoTarget => "a service pushes to nobody, or to too many at once",
        Reason::BadReply => "the service's answer is broken",
        Reason::Internal => "the gateway is wrong",
    }
}
