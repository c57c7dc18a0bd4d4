//! Backends, and what of `gateway.yaml` whoever connects notices.

use ipnet::IpNet;

use super::limits::{by_size, bytes, time};
use super::{Change, Comparing, Effect};
use crate::backend::{GrpcSpec, Source, Spec, SpecKind};
use crate::diagnostic::Rule;

/// A number that is shown as it is.
fn number(number: u128) -> String {
    number.to_string()
}

// === impl Comparing ===

impl Comparing<'_> {
    pub(super) fn backends(&mut self) {
        let (before, after) = (self.before, self.after);
        let mut found = Vec::new();
        for (name, spec) in &before.backends {
            match after.backends.get(name) {
                None => found.push(format!("the backend `{name}` is gone")),
                Some(now) => {
                    found.extend(parts(spec, now).into_iter().map(|what| format!("the backend `{name}` {what}")));
                    if let (Some(was), Some(is)) = (registering(spec), registering(now)) {
                        self.members(was, is, |network| format!("endpoints in `{network}` may register for `{name}`"));
                    }
                }
            }
        }
        let new = after.backends.keys().filter(|name| !before.backends.contains_key(*name));
        found.extend(new.map(|name| format!("the backend `{name}` is new")));
        found.into_iter().for_each(|what| self.note(Change::new(Effect::Changes, what)));
    }

    pub(super) fn process(&mut self) {
        let (was, is) = (self.before.settings, self.after.settings);
        if was.path != is.path {
            let what = format!("clients connect at `{}`, and did at `{}`", is.path, was.path);
            self.note(Change::breaks(Rule::DoorMoved, what).at(self.after.explained.top()));
        }
        self.members(&was.origins, &is.origins, |page| format!("pages of `{page}` may connect"));
        // Where none are listed, and there alone.
        let own = |origins: &[String]| origins.is_empty().then_some("the gateway's own host");
        self.members(own(&was.origins), own(&is.origins), |host| format!("pages of {host} may connect"));
        self.members(&was.trusted_proxies, &is.trusted_proxies, |network| format!("what proxies in `{network}` tell is believed"));
        if was.tls.is_some() != is.tls.is_some() {
            let (are, were) = if is.tls.is_some() { ("with", "without") } else { ("without", "with") };
            let what = format!("clients connect {are} TLS, and did {were}");
            self.note(Change::breaks(Rule::DoorMoved, what).at(self.after.explained.top()));
        }
        if was.shortcuts != is.shortcuts {
            let (effect, are) = if is.shortcuts { (Effect::Opens, "are") } else { (Effect::Closes, "are no longer") };
            self.note(Change::new(effect, format!("the shortcuts of development {are} in force")));
        }
        self.bounds();
        self.others();
    }

    /// What is told without a judgement.
    fn others(&mut self) {
        let (was, is) = (self.before.settings, self.after.settings);
        let others = [
            ("public_url", was.public_url != is.public_url),
            ("proxy_protocol", was.proxy_protocol != is.proxy_protocol),
            ("connections.heartbeat", was.heartbeat != is.heartbeat),
            ("connections.heartbeat_grace", was.heartbeat_grace != is.heartbeat_grace),
            ("sessions.when_full", was.sessions.when_full != is.sessions.when_full),
            ("telemetry.log.level", was.log_level != is.log_level),
            ("reload.watch", was.watch != is.watch),
            ("reload.debounce", was.debounce != is.debounce),
            ("reload.allow_breaking", was.allow_breaking != is.allow_breaking),
            ("drain", was.drain != is.drain),
        ];
        for (key, _) in others.into_iter().filter(|(_, other)| *other) {
            self.note(Change::new(Effect::Changes, format!("`{key}` is another")));
        }
        let (Some(was), Some(is)) = (self.before.fixed, self.after.fixed) else { return };
        let fixed = [
            ("listen.address", was.listen != is.listen),
            ("listen.workers", was.workers != is.workers),
            ("admin.address", was.admin != is.admin),
            ("admin.token", was.admin_token != is.admin_token),
            ("store", was.store != is.store),
            ("push", was.push != is.push),
            ("telemetry.log.format", was.log_json != is.log_json),
        ];
        for (key, _) in fixed.into_iter().filter(|(_, other)| *other) {
            self.note(Change::new(Effect::Changes, format!("`{key}` is another, which needs a restart")));
        }
    }

    fn bounds(&mut self) {
        let (was, is) = (self.before.settings, self.after.settings);
        let (sessions, now) = (&was.sessions, &is.sessions);
        type Bound = (&'static str, u128, u128, fn(u128) -> String);
        let bounds: [Bound; 15] = [
            ("connections.max", was.connections_max.into(), is.connections_max.into(), number),
            ("connections.per_ip_max", was.per_ip_max.into(), is.per_ip_max.into(), number),
            ("connections.inflight_max", was.inflight_max as u128, is.inflight_max as u128, number),
            ("connections.streams_max", was.streams_max as u128, is.streams_max as u128, number),
            ("connections.stream_credit", was.stream_credit.into(), is.stream_credit.into(), number),
            ("connections.message_bytes_max", was.message_bytes_max as u128, is.message_bytes_max as u128, bytes),
            ("connections.outbox_bytes_max", was.outbox_bytes_max as u128, is.outbox_bytes_max as u128, bytes),
            ("connections.auth_timeout", was.auth_timeout.as_millis(), is.auth_timeout.as_millis(), time),
            ("connections.anonymous_max_age", was.anonymous_max_age.as_millis(), is.anonymous_max_age.as_millis(), time),
            ("memory.outboxes", was.memory_outboxes as u128, is.memory_outboxes as u128, bytes),
            ("memory.partial_messages", was.memory_partial as u128, is.memory_partial as u128, bytes),
            ("sessions.per_user_max", sessions.per_user_max as u128, now.per_user_max as u128, number),
            ("sessions.topics_max", sessions.topics_max as u128, now.topics_max as u128, number),
            ("sessions.resume_window", sessions.resume_window.as_millis(), now.resume_window.as_millis(), time),
            ("sessions.ring_bytes_max", sessions.ring_bytes_max as u128, now.ring_bytes_max as u128, bytes),
        ];
        for (key, was, is, shown) in bounds.into_iter().filter(|(_, was, is, _)| was != is) {
            self.note(Change::new(by_size(was, is), format!("`{key}` is {}, and was {}", shown(is), shown(was))));
        }
    }
}

/// What of a backend is another.
fn parts(was: &Spec, is: &Spec) -> Vec<String> {
    let (was, is) = match (&was.kind, &is.kind) {
        (was, is) if was == is => return Vec::new(),
        (SpecKind::Grpc(was), SpecKind::Grpc(is)) => (&**was, &**is),
        (_, SpecKind::Builtin(name)) => return vec![format!("is the built-in `{name}`")],
        (SpecKind::Builtin(_), SpecKind::Grpc(is)) => return vec![format!("is {}, and was built in", place(is))],
    };
    let mut found = Vec::new();
    let registry = |spec: &GrpcSpec| matches!(spec.source, Source::Registry { .. });
    if was.source != is.source && !(registry(was) && registry(is)) {
        found.push(format!("is {}, and was {}", place(is), place(was)));
    }
    let others = [
        ("`tls`", was.tls != is.tls),
        ("`connect_timeout`", was.connect_timeout != is.connect_timeout),
        ("`connections`", was.connections != is.connections),
        ("`balance`", was.balance != is.balance),
        ("`health`", was.health != is.health),
        ("`breaker`", was.breaker != is.breaker),
        ("`limits`", was.limits != is.limits),
        ("`retry_budget`", was.retry_budget != is.retry_budget),
    ];
    found.extend(others.into_iter().filter(|(_, other)| *other).map(|(part, _)| format!("has another {part}")));
    found
}

/// The networks of those that may register for a backend, where somebody may.
fn registering(spec: &Spec) -> Option<&[IpNet]> {
    match &spec.kind {
        SpecKind::Grpc(grpc) => match &grpc.source {
            Source::Registry { allow } => Some(allow),
            _ => None,
        },
        SpecKind::Builtin(_) => None,
    }
}

fn place(spec: &GrpcSpec) -> String {
    match &spec.source {
        Source::Static(endpoints) => {
            let endpoints = endpoints.iter().map(|endpoint| match endpoint.weight {
                1 => endpoint.name(),
                weight => format!("{} (weight {weight})", endpoint.name()),
            });
            format!("at {}", endpoints.collect::<Vec<_>>().join(", "))
        }
        Source::Dns { host, port, .. } => format!("wherever `{host}:{port}` is"),
        Source::File(path) => format!("where `{}` says", path.display()),
        Source::Registry { .. } => "whoever registers".to_owned(),
    }
}
