//! What a reload cannot change: the part of `gateway.yaml` that a process has from its start to its end.

use super::process::{Process, log_format, place_of_gateway};
use crate::config::Document;
use crate::diagnostic::{Diagnostic, Report, Rule};
use crate::table::settings::Fixed;

/// Reports what differs from the running process in the part that is fixed.
pub fn needs_restart(document: &Document, process: &Process, running: &Fixed, report: &mut Report) {
    let gateway = &document.gateway;
    let listen = gateway.listen.as_ref();
    let admin = gateway.admin.as_ref();
    let Some(whole) = place_of_gateway(document) else { return };
    let changes = [
        (
            "listen.address",
            process.fixed.listen != running.listen,
            listen.and_then(|listen| listen.address.as_ref()).map(|address| address.span),
            format!("the gateway listens on {}", running.listen),
        ),
        (
            "listen.workers",
            process.fixed.workers != running.workers,
            listen.and_then(|listen| listen.workers.as_ref()).map(|workers| workers.span),
            format!("the gateway runs {}", running.workers),
        ),
        (
            "admin.address",
            process.fixed.admin != running.admin,
            admin.and_then(|admin| admin.address.as_ref()).map(|address| address.span),
            format!("the gateway listens on {}", running.admin),
        ),
        (
            "admin.token",
            process.fixed.admin_token != running.admin_token,
            admin.and_then(|admin| admin.token.as_ref()).map(|token| token.span),
            "the gateway was started with another one".to_owned(),
        ),
        (
            "store",
            process.fixed.store != running.store,
            gateway.store.as_ref().map(|store| store.span),
            format!("the gateway keeps what it keeps in another one ({})", running.store.name()),
        ),
        (
            "push",
            process.fixed.push != running.push,
            gateway.push.as_ref().map(|push| push.span),
            running.push.as_ref().map_or("the gateway was started without one", |_| "the gateway was started with another one").to_owned(),
        ),
        (
            "telemetry.log.format",
            process.fixed.log_json != running.log_json,
            log_format(gateway).map(|format| format.span),
            format!("the gateway writes {}", if running.log_json { "json" } else { "human" }),
        ),
    ];
    for (key, changed, place, now) in changes {
        if changed && !report.speaks_of(key) {
            report.push(
                Diagnostic::new(Rule::NeedsRestart, place.unwrap_or(whole), format!("a change of `{key}` needs a restart"))
                    .label(now)
                    .help("put the old value back, or restart the gateway")
                    .path(key),
            );
        }
    }
}
