//! `health` and `grpc.connections` of a backend: what keeps its endpoints fit.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::backend::{ConnectionsSpec, GrpcSpec, HealthSpec, SpecKind};
use crate::config::document::{Backend, BackendConnections, Health};
use crate::config::value;
use crate::diagnostic::{Diagnostic, Report, Rule, Spanned};

/// Asking more often would cost the endpoint more than it tells.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// A connection that is younger has hardly been of use.
const AGE_MIN: Duration = Duration::from_secs(1);

/// Each is a socket for every worker and endpoint.
const CONNECTIONS: RangeInclusive<u32> = 1..=256;

/// More would take minutes.
const IN_A_ROW: RangeInclusive<u32> = 1..=100;

/// Reads both into the spec of a backend, where there is one.
pub fn compile(name: &str, backend: &Backend, kind: Option<&mut SpecKind>, path: &str, report: &mut Report) {
    let mut read = Reading { path, report };
    match (kind, &backend.health) {
        (Some(SpecKind::Grpc(spec)), health) => {
            let GrpcSpec { health: spec_health, connections: spec_connections, .. } = &mut **spec;
            *spec_health = health.as_ref().map(|health| read.health(health));
            if let Some(connections) = backend.grpc.as_ref().and_then(|grpc| grpc.connections.as_ref()) {
                *spec_connections = read.connections(connections);
            }
        }
        (Some(SpecKind::Builtin(_)), Some(health)) => {
            let what = format!("`health` does nothing: `{name}` is a service of this process");
            let finding = Diagnostic::new(Rule::BadValue, health.span, what).help("remove it");
            read.report.push(finding.path(format!("{path}.health")));
        }
        _ => {}
    }
}

struct Reading<'r> {
    path: &'r str,
    report: &'r mut Report,
}

// === impl Reading ===

impl Reading<'_> {
    fn health(&mut self, written: &Health) -> HealthSpec {
        let built_in = HealthSpec::default();
        let milli = Duration::from_millis(1);
        HealthSpec {
            service: written.service.as_ref().map_or(built_in.service, |service| service.as_str().to_owned()),
            interval: self.duration(&written.interval, INTERVAL_MIN, "health.interval").unwrap_or(built_in.interval),
            timeout: self.duration(&written.timeout, milli, "health.timeout").unwrap_or(built_in.timeout),
            healthy: self.number(&written.healthy, IN_A_ROW, "health.healthy").unwrap_or(built_in.healthy),
            unhealthy: self.number(&written.unhealthy, IN_A_ROW, "health.unhealthy").unwrap_or(built_in.unhealthy),
        }
    }

    fn connections(&mut self, written: &BackendConnections) -> ConnectionsSpec {
        let built_in = ConnectionsSpec::default();
        ConnectionsSpec {
            max: self.number(&written.max, CONNECTIONS, "grpc.connections.max").map_or(built_in.max, |max| max as usize),
            age_max: self.duration(&written.max_age, AGE_MIN, "grpc.connections.max_age").or(built_in.age_max),
        }
    }

    fn duration(&mut self, written: &Option<Spanned<value::Duration>>, min: Duration, key: &str) -> Option<Duration> {
        let written = written.as_ref()?;
        if written.value.0 < min {
            self.out_of_bounds(written, key, format!("shorter than {min:?}"), format!("write `{min:?}` or more"));
        }
        Some(written.value.0)
    }

    fn number(&mut self, written: &Option<Spanned<u32>>, within: RangeInclusive<u32>, key: &str) -> Option<u32> {
        let written = written.as_ref()?;
        if !within.contains(&written.value) {
            let (first, last) = (within.start(), within.end());
            self.out_of_bounds(written, key, format!("not between {first} and {last}"), format!("write a number from {first} to {last}"));
        }
        Some(written.value)
    }

    fn out_of_bounds<T>(&mut self, written: &Spanned<T>, key: &str, what: String, help: String) {
        let name = key.rsplit('.').next().unwrap_or(key);
        let finding = Diagnostic::new(Rule::Bounds, written.span, format!("`{name}` is {what}")).help(help);
        self.report.push(finding.path(format!("{}.{key}", self.path)));
    }
}
