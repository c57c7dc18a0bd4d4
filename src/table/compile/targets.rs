//! `backend`, `split` and `hash` of a route: who answers it, and what leads a call to its endpoint.

use super::missing;
use super::routes::{Scope, Written, spoken_of};
use crate::backend::{BalancePolicy, Spec, SpecKind};
use crate::config::grammar::Map;
use crate::config::value::{HashKey, Name};
use crate::diagnostic::{Diagnostic, Report, Rule, Spanned};
use crate::table::plan::BackendsPlan;

/// Who answers a route; nothing, if what is said about it makes no sense, which is reported.
pub fn backends(written: &Written<'_>, scope: &Scope<'_>, report: &mut Report) -> Option<BackendsPlan> {
    let path = &written.path;
    match (&written.policy.backend, &written.policy.split) {
        (Some(backend), None) => scope.backends.find(backend, &format!("{path}.backend"), report).map(BackendsPlan::One),
        (None, Some(shares)) => split(shares, &format!("{path}.split"), scope, report),
        (Some(backend), Some(split)) => {
            report.push(
                Diagnostic::new(Rule::BadValue, split.span, "`split` and `backend` both say who answers")
                    .related(backend.span, "said here too")
                    .help("remove one of them; `split: { game: 1 }` sends everybody to one backend")
                    .path(format!("{path}.split")),
            );
            None
        }
        (None, None) if spoken_of(written, "backend", report) || spoken_of(written, "split", report) => None,
        (None, None) => {
            let help = "write `backend: NAME` here or under `defaults`";
            report.push(missing(written.place, format!("route {} has no backend", written.number), help).path(path.as_str()));
            None
        }
    }
}

fn split(shares: &Spanned<Map<Name, u32>>, path: &str, scope: &Scope<'_>, report: &mut Report) -> Option<BackendsPlan> {
    let backends: Vec<_> = shares
        .iter()
        .map(|(name, share)| scope.backends.find(name, &format!("{path}.{}", name.as_str()), report).map(|backend| (backend, share.value)))
        .collect();
    if shares.iter().all(|(_, share)| share.value == 0) && shares.broken().is_empty() {
        let finding = Diagnostic::new(Rule::BadValue, shares.span, "nobody has a share, so that nobody could answer");
        report.push(finding.help("give a backend a share, such as `{ game: 90, game_v2: 10 }`").path(path));
        return None;
    }
    backends.into_iter().collect::<Option<Vec<_>>>().map(BackendsPlan::Split)
}

/// The key that leads a call to its endpoint, if one of the route's backends asks for that.
pub fn hash<'w>(written: &'w Written<'_>, plan: &BackendsPlan, scope: &Scope<'_>, report: &mut Report) -> Option<&'w Spanned<HashKey>> {
    let backends = || plan.all().map(|backend| scope.backends.get(backend));
    let asking = backends().find(|backend| asks(backend));
    match (&written.policy.hash, asking) {
        (Some(hash), Some(_)) => return Some(hash),
        (None, Some(backend)) if !spoken_of(written, "hash", report) => {
            let what = format!("route {} has no `hash`, by which `{}` would choose the endpoint", written.number, backend.name);
            report.push(
                Diagnostic::new(Rule::Unkeyed, written.place, what)
                    .label("its calls go to the endpoint with the fewest")
                    .help("write `hash: request.<field>`, `session.user`, `session.id` or `peer.ip`")
                    .path(written.path.as_str()),
            );
        }
        // In `defaults` it may be meant for other routes.
        (Some(hash), None) if written.route.policy.hash.is_some() => {
            let is_other = spoken_of(written, "backend", report) || spoken_of(written, "split", report);
            if is_other || backends().any(|backend| report.speaks_of_part(&format!("backends.{}.balance", backend.name))) {
                return None;
            }
            let names: Vec<_> = backends().map(|backend| format!("`{}`", backend.name)).collect();
            let what = format!("`hash` does nothing: {} does not choose endpoints by it", names.join(" or "));
            report.push(
                Diagnostic::new(Rule::BadValue, hash.span, what)
                    .help("write `balance: { policy: consistent_hash }` in the backend, or remove `hash`")
                    .path(format!("{}.hash", written.path)),
            );
        }
        _ => {}
    }
    None
}

fn asks(backend: &Spec) -> bool {
    matches!(&backend.kind, SpecKind::Grpc(grpc) if grpc.balance == BalancePolicy::ConsistentHash)
}
