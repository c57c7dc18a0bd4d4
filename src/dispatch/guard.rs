//! Guards: services of somebody else that decide whether a call may happen, asked after everything of the gateway's own has said yes.
//!
//! Promises: a call goes on only when every guard of its route has allowed it, or is one that the route does without when it cannot be
//! asked; they are asked one after the other, within the call's deadline; what a guard adds for the service is of the keys that the route
//! file lists, and no client can send those.

use std::borrow::Cow;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderName, HeaderValue};
use prost::Message as _;
use tokio::time::Instant;
use tracing::warn;

use self::v1::{CheckRequest, CheckResponse};
use super::ended::Traced;
use super::request::FRAME;
use crate::backend::{self, Journey};
use crate::failure::{Code, Failure, Reason, Result, Source};
use crate::id::WorkerId;
use crate::pipeline::call::Caller;
use crate::pipeline::metadata as client_metadata;
use crate::table::plan::WhenUnavailable;
use crate::table::{Guard, Route};
use crate::telemetry::trace::Trace;
use crate::wire::Envelope;

/// The messages that guards speak, and a service with them.
pub mod v1 {
    tonic::include_proto!("protogate.guard.v1");
}

/// The largest answer of a guard: a message for people and a few values.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// The longest message of a guard that a client is shown.
const MESSAGE_BYTES_MAX: usize = 1024;

/// The longest reason, as google.rpc.ErrorInfo has it.
const REASON_BYTES_MAX: usize = 63;

/// What a guard made of a call.
enum Decision {
    /// With metadata for the service.
    Allowed(Vec<(HeaderName, HeaderValue)>),
    Denied(Failure),
    /// There is no decision, and this is why not.
    Missing(String),
}

/// What guards are told of this call. Nothing: the route has none.
pub(super) fn question(route: &Route, caller: &Caller, envelope: &Envelope<'_>, body: &Bytes) -> Option<Box<CheckRequest>> {
    if route.guards.is_empty() {
        return None;
    }
    let identity = caller.identity();
    Some(Box::new(CheckRequest {
        protocol: route.number.0,
        route: route.name.to_string(),
        rpc: route.method.path.path().trim_start_matches('/').to_owned(),
        user: identity.map(|identity| identity.user.to_string()).unwrap_or_default(),
        roles: identity.map(|identity| identity.roles.iter().map(|role| role.to_string()).collect()).unwrap_or_default(),
        session: caller.session().map(|session| session.to_string()).unwrap_or_default(),
        peer_ip: caller.peer.to_string(),
        metadata: envelope.metadata.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
        payload: if route.guards.iter().any(|guard| guard.send_payload) { body.slice(FRAME..) } else { Bytes::new() },
    }))
}

/// Asks every guard of the route. What they add for the service is in the request then.
pub(super) async fn pass(
    route: &Route,
    worker: WorkerId,
    mut question: Box<CheckRequest>,
    deadline: Instant,
    metadata: &mut Vec<(HeaderName, HeaderValue)>,
    mut traced: Option<&mut Traced>,
) -> Result<()> {
    let payload = std::mem::take(&mut question.payload);
    for guard in &*route.guards {
        question.payload = if guard.send_payload { payload.clone() } else { Bytes::new() };
        let (trace, mut nowhere) = (traced.as_ref().and_then(|traced| traced.told_guard()), Journey::default());
        let journey = traced.as_mut().map_or(&mut nowhere, |traced| traced.begin_guard());
        let decision = guard.ask(worker, &question, deadline, trace, journey).await;
        if let Some(traced) = &mut traced {
            traced.end_guard();
        }
        match decision {
            Decision::Allowed(more) => metadata.extend(more),
            Decision::Denied(failure) => return Err(failure),
            // That a caller was in a hurry is not the guard's fault.
            Decision::Missing(why) if Instant::now() >= deadline => {
                let what = "the time of the call was over before its guards had decided";
                return Err(Failure::gateway(Reason::DeadlineExceeded, what).because(why));
            }
            Decision::Missing(why) => guard.missing(route, why)?,
        }
    }
    Ok(())
}

// === impl Guard ===

impl Guard {
    async fn ask(
        &self,
        worker: WorkerId,
        question: &CheckRequest,
        deadline: Instant,
        trace: Option<Trace>,
        journey: &mut Journey,
    ) -> Decision {
        let length = question.encoded_len();
        let mut body = BytesMut::with_capacity(backend::frame(length).len() + length);
        body.put_slice(&backend::frame(length));
        question.encode(&mut body).expect("there is room for all of it");
        let patience = Instant::now() + self.timeout;
        let request = backend::Request {
            path: self.path.clone(),
            headers: self.headers.clone(),
            metadata: Vec::new(),
            trace,
            choice: backend::Choice::default(),
            body: body.freeze(),
            deadline: deadline.min(patience),
            hurried: deadline < patience,
            retry: None,
            reply_bytes_max: ANSWER_BYTES_MAX,
        };
        match self.backend.call_noting(worker, request, journey).await {
            Ok(reply) => self.read(reply.message),
            // A guard that says no by a status must not be taken for one that is not there.
            Err(no) if no.source() == Source::Backend && matches!(no.code(), Code::PermissionDenied | Code::Unauthenticated) => {
                Decision::Denied(no)
            }
            Err(failure) => Decision::Missing(match failure.cause() {
                Some(cause) => format!("{failure}: {cause}"),
                None => failure.to_string(),
            }),
        }
    }

    fn read(&self, answer: Bytes) -> Decision {
        let answer = match CheckResponse::decode(answer) {
            Ok(answer) => answer,
            Err(error) => return Decision::Missing(format!("its answer cannot be read: {error}")),
        };
        let read = if answer.allow { self.allowed(answer).map(Decision::Allowed) } else { denied(answer).map(Decision::Denied) };
        read.unwrap_or_else(Decision::Missing)
    }

    fn allowed(&self, answer: CheckResponse) -> std::result::Result<Vec<(HeaderName, HeaderValue)>, String> {
        let metadata: Vec<(Cow<'_, str>, Cow<'_, str>)> = answer.metadata.iter().map(|(key, value)| (key.into(), value.into())).collect();
        client_metadata::admit(&self.metadata, &metadata).map_err(|refused| format!("its answer: {}", refused.message()))?;
        let header = |(key, value): &(Cow<'_, str>, Cow<'_, str>)| {
            let key = HeaderName::from_bytes(key.as_bytes()).expect("a key on the guard's list is a header's name");
            (key, HeaderValue::from_str(value).expect("printable ASCII, as `admit` has seen"))
        };
        Ok(metadata.iter().map(header).collect())
    }

    /// There is no decision: refuses the call, or lets it go on.
    fn missing(&self, route: &Route, why: String) -> Result<()> {
        self.misses.one();
        if let Some(times) = self.missed.happened() {
            let (route, guard, backend) = (&*route.name, self.path.path(), &**self.backend.name());
            match self.when_unavailable {
                WhenUnavailable::Deny => warn!(route, guard, backend, times, why, "a guard does not decide, its calls are refused"),
                WhenUnavailable::Allow => warn!(route, guard, backend, times, why, "a guard does not decide, its calls go on"),
            }
        }
        match self.when_unavailable {
            WhenUnavailable::Allow => Ok(()),
            WhenUnavailable::Deny => {
                let what = format!("nobody can say right now whether you may call `{}`; try again", route.name);
                Err(Failure::gateway(Reason::GuardUnavailable, what).because(why))
            }
        }
    }
}

/// A no in the words of the guard, where it has any.
fn denied(answer: CheckResponse) -> std::result::Result<Failure, String> {
    let CheckResponse { code, reason, message, retry_after_ms, .. } = answer;
    if !reason.is_empty() && !is_reason(&reason) {
        return Err("its answer has a `reason` that is none".to_owned());
    }
    let message = match message.trim() {
        "" => "a guard of this route does not allow this call".to_owned(),
        message => message[..message.floor_char_boundary(MESSAGE_BYTES_MAX)].to_owned(),
    };
    let code = match Code::from_number(code) {
        Code::Ok => Code::PermissionDenied,
        code => code,
    };
    let failure = match (code, reason) {
        (Code::PermissionDenied, reason) if reason.is_empty() => Failure::gateway(Reason::GuardDenied, message),
        (code, reason) if reason.is_empty() => Failure::backend(code, Some(Reason::GuardDenied.parts().1.to_owned()), message, Vec::new()),
        (code, reason) => Failure::backend(code, Some(reason), message, Vec::new()),
    };
    Ok(if retry_after_ms > 0 { failure.retry_after(Duration::from_millis(retry_after_ms.into())) } else { failure })
}

fn is_reason(text: &str) -> bool {
    text.len() <= REASON_BYTES_MAX
        && text.bytes().next().is_some_and(|first| first.is_ascii_uppercase())
        && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}
