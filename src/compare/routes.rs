//! Routes that come, go, or speak otherwise.

use super::{Change, Comparing, Effect};
use crate::compare::roles::names;
use crate::compare::view::{RouteView, Who};
use crate::diagnostic::Rule;

// === impl Comparing ===

impl Comparing<'_> {
    pub(super) fn routes(&mut self) {
        let (before, after) = (self.before, self.after);
        for route in before.routes.values() {
            match after.routes.get(&route.number) {
                Some(now) => self.same_number(route, now),
                None => self.gone(route),
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
    fn gone(&mut self, route: &RouteView<'_>) {
        let known = |number: u32| self.before.routes.contains_key(&number);
        let moved = self.after.routes.values().find(|now| now.name == route.name && !known(now.number));
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

    fn same_number(&mut self, before: &RouteView<'_>, after: &RouteView<'_>) {
        let RouteView { number, name, .. } = after;
        let place = |key: &str| self.after.place(*number, key);
        let (was, is) = (before.method.kind, after.method.kind);
        let mut found = Vec::new();
        if let Some(moved) = self.moved(before, after) {
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
        found.into_iter().for_each(|change| self.note(change.of([after.named()])));
    }

    /// The number that a route has now whose own is another's, as when two are exchanged: clients would call the other one and never know.
    /// To exchange the names alone is none of clients' business.
    fn moved(&self, before: &RouteView<'_>, after: &RouteView<'_>) -> Option<u32> {
        let is_other = |one: &RouteView<'_>, other: &RouteView<'_>| one.method.path != other.method.path;
        let now = self.after.routes.values().find(|now| now.name == before.name && now.number != before.number)?;
        (before.name != after.name && is_other(before, after) && !is_other(before, now)).then_some(now.number)
    }
}
