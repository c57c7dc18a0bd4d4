//! The spans of a call: until it has ended, a few ids and moments; after that, and only if it is to be exported, what a collector is told.
//!
//! Promises: nothing that a client or a service wrote is in a span, and no text of a failure; who calls is said only where that was asked
//! for; a backend is told that a call is sampled only if that is certain.

use std::sync::Arc;

use http::uri::PathAndQuery;
use smallvec::SmallVec;
use tokio::time::Instant;

use super::Ending;
use crate::backend::{Attempt, Journey};
use crate::failure::{Code, Failure};
use crate::pipeline::call::Caller;
use crate::table::Route;
use crate::telemetry::trace::{Part, Trace};
use crate::telemetry::tracer::{Kind, Span, Text, Value};
use crate::wire::Envelope;

/// What is known of a call that may be traced.
pub(in super::super) struct Traced {
    /// The call's own span; `sampled`: it is exported, whatever becomes of it.
    trace: Trace,
    /// The client's span.
    parent: Option<u64>,
    /// When it was let in.
    admitted: Instant,
    /// The guards that were asked, in their order.
    guards: SmallVec<[Asked; 1]>,
}

/// A guard that was asked.
struct Asked {
    began: Instant,
    ended: Option<Instant>,
    journey: Journey,
}

type Attributes = Vec<(&'static str, Value)>;

// === impl Traced ===

impl Traced {
    /// A call of the route that is let in now. Nothing: whatever becomes of it, it is not traced.
    pub fn begin(route: &Route, caller: &mut Caller, envelope: &Envelope<'_>) -> Option<Box<Traced>> {
        let plan = route.trace?;
        let client = Trace::read(&envelope.traceparent);
        let traces = caller.traces();
        let mut trace = match client {
            Some(client) => Trace { span: traces.span(), ..client },
            None => traces.begin(),
        };
        // By our own dice: ids are the client's to choose. What it asks for beyond the share is bounded, and only done where it is believed.
        let asked = plan.clients && client.is_some_and(|client| client.sampled);
        trace.sampled = traces.chance(plan.sample) || (asked && route.observers.tracer.allows_another());
        let parent = client.map(|client| client.span);
        Some(Box::new(Traced { trace, parent, admitted: Instant::now(), guards: SmallVec::new() }))
    }

    /// What the backend is told. Nothing: what the client says of itself, because it is not certain that there will be a span of ours.
    pub fn told(&self) -> Option<Trace> {
        (self.trace.sampled || self.parent.is_none()).then_some(self.trace)
    }

    /// What the next guard is told.
    pub fn told_guard(&self) -> Option<Trace> {
        self.told().map(|trace| Trace { span: trace.part(Part::Guard(self.guards.len())), ..trace })
    }

    /// The next guard is asked, and notes where that leads.
    pub fn begin_guard(&mut self) -> &mut Journey {
        self.guards.push(Asked { began: Instant::now(), ended: None, journey: Journey::default() });
        &mut self.guards.last_mut().expect("pushed just now").journey
    }

    pub fn end_guard(&mut self) {
        if let Some(asked) = self.guards.last_mut() {
            asked.ended = Some(Instant::now());
        }
    }
}

// === impl Ending ===

impl Ending<'_> {
    pub(super) fn trace(&self) {
        let (Some(traced), Some(route)) = (self.traced, self.route) else { return };
        if traced.trace.sampled || self.is_exported_as_error(route) {
            self.observers.tracer.offer(self.spans(traced, route));
        }
    }

    fn is_exported_as_error(&self, route: &Route) -> bool {
        let errors = route.trace.is_some_and(|plan| plan.errors);
        errors && self.outcome.is_err_and(|failure| is_fault(failure.code())) && self.observers.tracer.allows_another()
    }

    fn spans(&self, traced: &Traced, route: &Route) -> Vec<Span> {
        let is_admitted = self.backend.is_some();
        let attempts = self.journey.attempts();
        let mut spans = Vec::with_capacity(4 + attempts.len() + 2 * traced.guards.len());
        spans.push(self.whole(traced, route));

        let admitted = if is_admitted { traced.admitted } else { self.ended };
        let part = |part, name: &'static str, began, ended| Span {
            trace: traced.trace.id,
            id: traced.trace.part(part),
            parent: Some(traced.trace.span),
            name: name.into(),
            kind: Kind::Internal,
            began,
            ended,
            failed: None,
            attributes: Vec::new(),
        };
        spans.push(Span { failed: self.failed().filter(|_| !is_admitted), ..part(Part::Admit, "admit", self.began, admitted) });
        if is_admitted {
            let asked = traced.guards.first().map(|asked| asked.began);
            let asked = asked.or(attempts.first().map(|attempt| attempt.began)).unwrap_or(self.ended);
            spans.push(part(Part::Queue, "queue", admitted, asked));
        }
        for (index, (asked, guard)) in traced.guards.iter().zip(route.guards.iter()).enumerate() {
            let ended = asked.ended.unwrap_or(self.ended);
            spans.push(part(Part::Guard(index), "guard", asked.began, ended));
            let trace = Trace { span: traced.trace.part(Part::Guard(index)), ..traced.trace };
            let asked = asked.journey.attempts().iter().enumerate();
            spans.extend(asked.map(|(index, attempt)| self.attempt(&trace, index, attempt, &guard.path, guard.backend.name(), ended)));
        }
        let backend = Arc::from(self.backend.unwrap_or_default());
        for (index, attempt) in attempts.iter().enumerate() {
            spans.push(self.attempt(&traced.trace, index, attempt, &route.method.path, &backend, self.ended));
        }
        if let (Ok(()), None, Some((answered, _))) = (self.outcome, self.messages, attempts.last().and_then(|attempt| attempt.ended)) {
            spans.push(part(Part::Write, "write", answered, self.ended));
        }
        spans
    }

    /// The span of the whole call.
    fn whole(&self, traced: &Traced, route: &Route) -> Span {
        let code = self.outcome.map_or_else(Failure::code, |()| Code::Ok);
        let mut attributes = rpc(&route.method.path, code);
        attributes.extend([
            ("protogate.route", Value::from(&route.name)),
            ("protogate.protocol", self.protocol.into()),
            ("protogate.generation", self.generation.0.into()),
            ("protogate.connection", self.connection.0.into()),
            ("protogate.bytes_in", self.bytes_in.into()),
            ("protogate.bytes_out", self.bytes_out.into()),
        ]);
        if let Some((messages_in, messages_out)) = self.messages {
            attributes.extend([("protogate.messages_in", messages_in.into()), ("protogate.messages_out", messages_out.into())]);
        }
        if let Some(reason) = self.failed() {
            attributes.push(("protogate.reason", reason.into()));
        }
        if let Some(identity) = self.identity.filter(|_| route.trace.is_some_and(|plan| plan.user)) {
            attributes.push(("user.id", Value::from(&identity.user)));
        }
        Span {
            trace: traced.trace.id,
            id: traced.trace.span,
            parent: traced.parent,
            name: Text::from(&route.name),
            kind: Kind::Server,
            began: self.began,
            ended: self.ended,
            failed: self.failed().filter(|_| is_fault(code)),
            attributes,
        }
    }

    /// One that is not over ends with what it is a part of.
    fn attempt(&self, of: &Trace, index: usize, attempt: &Attempt, path: &PathAndQuery, backend: &Arc<str>, over: Instant) -> Span {
        let outcome = self.outcome.map_or_else(Failure::code, |()| Code::Ok);
        let (ended, code) = attempt.ended.unwrap_or((over, outcome));
        let mut attributes = rpc(path, code);
        attributes.extend([("protogate.backend", Value::from(backend)), ("protogate.attempt", (index + 1).into())]);
        match attempt.endpoint.rsplit_once(':').map(|(host, port)| (host, port.parse::<u32>())) {
            Some((host, Ok(port))) => {
                let host: Arc<str> = host.trim_matches(['[', ']']).into();
                attributes.extend([("server.address", Value::from(&host)), ("server.port", port.into())]);
            }
            // A service of this process.
            _ => attributes.push(("server.address", Value::from(&attempt.endpoint))),
        }
        Span {
            trace: of.id,
            id: of.part(Part::Attempt(index)),
            parent: Some(of.span),
            name: named(path),
            kind: Kind::Client,
            began: attempt.began,
            ended,
            failed: (code != Code::Ok).then(|| code.name()),
            attributes,
        }
    }

    /// Why it failed, in the gateway's words: a service chooses its own, perhaps from what clients wrote.
    fn failed(&self) -> Option<&'static str> {
        let failure = self.outcome.err()?;
        Some(failure.own_reason().unwrap_or("BACKEND"))
    }
}

/// Whether a failure is a server's fault rather than its caller's, as OpenTelemetry draws the line.
fn is_fault(code: Code) -> bool {
    matches!(code, Code::Unknown | Code::DeadlineExceeded | Code::Unimplemented | Code::Internal | Code::Unavailable | Code::DataLoss)
}

fn rpc(path: &PathAndQuery, code: Code) -> Attributes {
    let (service, method) = path.path().trim_start_matches('/').split_once('/').unwrap_or_default();
    let shared = |text: &str| Value::from(&Arc::from(text));
    vec![
        ("rpc.system", "grpc".into()),
        ("rpc.service", shared(service)),
        ("rpc.method", shared(method)),
        ("rpc.grpc.status_code", code.number().into()),
    ]
}

/// The name of a call, as OpenTelemetry gives it: `package.Service/Method`.
fn named(path: &PathAndQuery) -> Text {
    Text::from(&Arc::from(path.path().trim_start_matches('/')))
}
