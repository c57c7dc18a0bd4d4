//! Who may call what: every pair of a role and a route that both tables have, and that opened or closed.

use super::view::Who;
use super::{Change, Comparing, Effect, Named};

// === impl Comparing ===

impl Comparing<'_> {
    pub(super) fn roles(&mut self) {
        let (before, after) = (self.before, self.after);
        for who in Who::all(before, after) {
            let (granted, grants) = (before.grants(who), after.grants(who));
            let (mut opened, mut closed) = (Vec::<Named>::new(), Vec::<Named>::new());
            for (number, route) in &after.routes {
                let Some(was) = before.routes.get(number) else { continue };
                match (was.admits(who, &granted), route.admits(who, &grants)) {
                    (false, true) => opened.push(route.named()),
                    (true, false) => closed.push(route.named()),
                    _ => {}
                }
            }
            for (effect, may, routes) in [(Effect::Opens, "may", opened), (Effect::Closes, "may no longer", closed)] {
                if let Some(first) = routes.first() {
                    let place = after.place(first.number, "permissions");
                    let call = match &*routes {
                        [one] => format!("call {} `{}`", one.number, one.name),
                        several => format!("call {} routes", several.len()),
                    };
                    let what = format!("{} {may} {call}", who.name());
                    self.note(Change::new(effect, what).of(routes).at(place));
                }
            }
        }
    }
}

/// Who may, in words. Who is least is last: it says all.
pub(super) fn names(who: &[Who<'_>]) -> String {
    let names: Vec<String> = who.iter().rev().map(|who| who.name()).collect();
    match &*names {
        [] => "nobody".to_owned(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
