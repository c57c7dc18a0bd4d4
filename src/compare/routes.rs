//! Routes that come, go, or speak otherwise.

use std::collections::HashMap;

use super::{Change, Comparing, Effect};
use crate::compare::roles::names;
use crate::compare::view::{RouteView, Who};
use crate::diagnostic::Rule;
use crate::proto::Kind;

/// The routes of the second table, by their names.
type Names<'a> = HashMap<&'a str, &'a RouteView<'a>>;

// === impl Comparing ===

impl Comparing<'_> {
    pub(super) fn routes(&mut self) {
        let (before, after) = (self.before, self.after);
        let named: Names<'_> = after.routes.values().map(|route| (route.name, route)).collect();
        for route in before.routes.values() {
            match after.routes.get(&route.number) {
                Some(now) => self.same_number(route, now, &named),
                None => self.gone(route, &named),
            }
        }
        for route in after.routes.values().filter(|route| !before.routes.contains_key(&route.number)) {
            let may = Who::all(before, after).into_iter().filter(|who| route.admits(*who, &after.grants(*who)));
            let may: Vec<Who<'_>> = may.collect();
            let effect = if may.contains(&Who::Anonymous) { Effect::Opens } else { Effect::Changes };
            let what = format!("route {} `{}` is new; {} may call it", route.number, route.name, names(&may));
            self.note(Change::new(effect, what).of([route.named()]).at(after.place(route.number, "rpc")));
        }
    }

    /// Clients go by the number alone.
    fn gone(&mut self, route: &RouteView<'_>, named: &Names<'_>) {
        let known = |number: u32| self.before.routes.contains_key(&number);
        let moved = named.get(route.name).filter(|now| !known(now.number));
        let RouteView { number, name, .. } = route;
        let (what, place) = match moved {
            Some(now) => (format!("route {number} `{name}` has another number, {}", now.number), self.after.place(now.number, "rpc")),
            None => {
                let written = self.before.explained.written(*number);
                let place = written.and_then(|(file, _)| self.after.explained.top_of(&file));
                (format!("route {number} `{name}` is gone"), place)
            }
        };
        self.note(Change::breaks(Rule::RouteGone, what).of([route.named()]).at(place));
    }

    fn same_number(&mut self, before: &RouteView<'_>, after: &RouteView<'_>, named: &Names<'_>) {
        let RouteView { number, name, .. } = after;
        let place = |key: &str| self.after.place(*number, key);
        let (was, is) = (before.method.kind, after.method.kind);
        let mut found = Vec::new();
        if let Some(moved) = moved(before, after, named) {
            let what = format!("route {number} `{}` has another number, {moved}", before.name);
            found.push(Change::breaks(Rule::RouteGone, what).at(self.after.place(moved, "rpc")));
        }
        if was != is {
            let what = format!("route {number} `{name}` is {}, and was {}", is.name(), was.name());
            found.push(Change::breaks(Rule::RouteSpeaks, what).at(place("rpc")));
        }
        match (before.answers_success, after.answers_success) {
            (true, false) => {
                let what = format!("route {number} `{name}` answers no longer when a call succeeds");
                found.push(Change::breaks(Rule::RouteSpeaks, what).at(place("reply")));
            }
            (false, true) => {
                let what = format!("route {number} `{name}` answers when a call succeeds, and did not");
                found.push(Change::new(Effect::Changes, what).at(place("reply")));
            }
            _ => {}
        }
        if was == is && self.repeats_no_more(before, after) {
            let what = format!("calls of route {number} `{name}` may no longer be repeated, by its `idempotency_level`");
            found.push(Change::breaks(Rule::RouteSpeaks, what).at(place("rpc")));
        }
        found.into_iter().for_each(|change| self.note(change.of([after.named()])));
    }

    /// Typed clients say such a call again when a connection was lost, and now it may act twice; unless the route itself says that it may.
    fn repeats_no_more(&self, before: &RouteView<'_>, after: &RouteView<'_>) -> bool {
        let allows = || self.after.lines(after.number).iter().any(|line| line.key == "idempotent" && line.value == "true");
        before.method.kind == Kind::Unary && before.method.idempotent && !after.method.idempotent && !allows()
    }
}

/// The number that a route has now whose own is another's, as when two are exchanged: clients would call the other one and never know.
/// To exchange the names alone is none of clients' business.
fn moved(before: &RouteView<'_>, after: &RouteView<'_>, named: &Names<'_>) -> Option<u32> {
    let is_other = |one: &RouteView<'_>, other: &RouteView<'_>| one.method.path != other.method.path;
    let now = named.get(before.name).filter(|now| now.number != before.number)?;
    (before.name != after.name && is_other(before, after) && !is_other(before, now)).then_some(now.number)
}
