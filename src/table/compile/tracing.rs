//! `telemetry.otlp` of the process and `trace` of routes: where spans are exported to, and of which calls.

use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::entries;
use super::process::lint_secret;
use crate::config::Document;
use crate::config::document::{GatewayFile, Otlp, Policy};
use crate::config::value::{HeaderKey, Secret};
use crate::diagnostic::{Diagnostic, Report, Rule, Spanned};
use crate::table::plan::TracePlan;
use crate::telemetry::tracer::Collector;

/// One of a hundred, where nothing is said.
const SAMPLE: u32 = 10_000;

/// How many calls are traced beyond the share, where nothing is said.
const UNSAMPLED_MAX: (u32, Duration) = (100, Duration::from_secs(1));

/// Where spans are exported to; nothing: nowhere.
pub fn collector(gateway: &GatewayFile, report: &mut Report) -> Option<Collector> {
    let otlp = otlp(gateway)?;
    let headers = entries(&otlp.headers).filter_map(|(key, value)| header(key, value, report)).collect();
    Some(Collector {
        url: otlp.endpoint.as_ref()?.to_string(),
        headers,
        service_name: otlp.service_name.as_ref().map_or("protogate", |name| name.as_str()).to_owned(),
        unsampled_max: otlp.unsampled_max.as_ref().map_or(UNSAMPLED_MAX, |rate| (rate.count, rate.per)),
    })
}

/// Which calls of a route are traced. What neither it nor its layers say, `telemetry.otlp` does.
pub fn plan(policy: &Policy, gateway: &GatewayFile) -> Option<TracePlan> {
    let otlp = otlp(gateway)?;
    let own = policy.trace.as_ref().map(|trace| &trace.value);
    let sample = own.and_then(|own| own.sample.as_ref()).or(otlp.sample.as_ref());
    let is_on = |own: Option<&Spanned<bool>>, all: &Option<Spanned<bool>>| own.or(all.as_ref()).is_some_and(|on| on.value);
    Some(TracePlan {
        sample: sample.map_or(SAMPLE, |sample| sample.0),
        errors: is_on(own.and_then(|own| own.errors.as_ref()), &otlp.errors),
        clients: is_on(own.and_then(|own| own.clients.as_ref()), &otlp.clients),
        user: is_on(None, &otlp.user),
    })
}

/// Warns of a choice that chooses nothing.
pub fn lint_nowhere(document: &Document, report: &mut Report) {
    if otlp(&document.gateway).is_some() || report.speaks_of("telemetry.otlp") || !document.complete {
        return;
    }
    let mut warn = |policy: &Policy, path: String| {
        if let Some(trace) = &policy.trace {
            let what = "`trace` chooses calls to trace, and nothing says where their spans go";
            let help = "add to gateway.yaml: `telemetry: { otlp: { endpoint: \"http://127.0.0.1:4317\" } }`";
            report.push(Diagnostic::new(Rule::TracedNowhere, trace.span, what).help(help).path(path));
        }
    };
    for group in &document.groups {
        if let Some(defaults) = &group.routes.defaults {
            warn(defaults, "defaults.trace".to_owned());
        }
        for (number, route) in entries(&group.routes.routes) {
            warn(&route.policy, format!("routes.{}.trace", number.0));
        }
    }
}

fn otlp(gateway: &GatewayFile) -> Option<&Otlp> {
    gateway.telemetry.as_ref()?.otlp.as_ref().map(|otlp| &otlp.value)
}

fn header(key: &Spanned<HeaderKey>, value: &Spanned<Secret>, report: &mut Report) -> Option<(HeaderName, HeaderValue)> {
    let path = format!("telemetry.otlp.headers.{}", key.as_str());
    if key.as_str() == "authorization" {
        lint_secret(value, &path, report);
    }
    let name = HeaderName::from_bytes(key.as_str().as_bytes()).expect("a header's key is a header's name");
    match HeaderValue::from_str(value.expose()) {
        Ok(mut value) => {
            value.set_sensitive(true);
            Some((name, value))
        }
        Err(_) => {
            let what = format!("the header `{}` for the collector holds something that a header cannot", key.as_str());
            let help = "use printable ASCII; a line break at the end of a file or variable is one too many";
            report.push(Diagnostic::new(Rule::CollectorHeader, value.span, what).help(help).path(path));
            None
        }
    }
}
