//! What clients send and read: the messages of routes and pushes that both tables have, and all that these hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Change, Comparing, Effect, Named};
use crate::diagnostic::Rule;
use crate::proto::{Alteration, Codec, Compatibility, MessageType, VALIDATION, Verdict, Way};

/// A difference, and whom it reaches.
struct Reaching {
    alteration: Arc<Alteration>,
    routes: BTreeSet<Named>,
    pushes: BTreeSet<Named>,
}

/// Differences by what they say: the same one may be met on the way in and on the way out.
#[derive(Default)]
struct Met {
    compatibility: Compatibility,
    found: BTreeMap<String, Reaching>,
}

// === impl Comparing ===

impl Comparing<'_> {
    pub(super) fn messages(&mut self) {
        let (before, after) = (self.before, self.after);
        let mut met = Met::default();
        for (number, route) in &after.routes {
            let Some(was) = before.routes.get(number) else { continue };
            let is_validated = || after.lines(*number).iter().any(|line| line.key == "validate" && line.value != "false");
            let (was, is) = (was.method, route.method);
            met.compare((&was.input, &is.input), Way::FromClients, is_validated, |reaching| _ = reaching.routes.insert(route.named()));
            met.compare((&was.output, &is.output), Way::ToClients, || false, |reaching| _ = reaching.routes.insert(route.named()));
        }
        for (number, push) in &after.pushes {
            let Some(was) = before.pushes.get(number) else { continue };
            let named = Named { number: *number, name: push.name.to_string() };
            met.compare((&was.message, &push.message), Way::ToClients, || false, |reaching| _ = reaching.pushes.insert(named.clone()));
        }
        for (what, reaching) in met.found {
            let place = match (reaching.routes.first(), reaching.pushes.first()) {
                (Some(route), _) => after.place(route.number, "rpc"),
                (None, push) => push.and_then(|push| after.explained.push(push.number)),
            };
            let change = match reaching.alteration.verdict {
                Verdict::Breaks(codec) => Change { codec, ..Change::breaks(Rule::MessageBroken, what) },
                Verdict::Tightens => Change::new(Effect::Tightens, what),
                Verdict::Loosens => Change::new(Effect::Loosens, what),
                Verdict::Changes => Change::new(Effect::Changes, what),
            };
            self.note(change.of(reaching.routes.into_iter().chain(reaching.pushes)).at(place));
        }
    }
}

// === impl Met ===

impl Met {
    fn compare(
        &mut self,
        (before, after): (&MessageType, &MessageType),
        way: Way,
        is_validated: impl FnOnce() -> bool,
        reach: impl Fn(&mut Reaching),
    ) {
        let found = self.compatibility.compare(before, after, way);
        if found.is_empty() {
            return;
        }
        let is_validated = is_validated();
        for alteration in found.into_iter().filter(|alteration| is_validated || alteration.rule != VALIDATION) {
            let reaching = self.found.entry(alteration.what.clone()).or_insert_with(|| Reaching {
                alteration: Arc::clone(&alteration),
                routes: BTreeSet::new(),
                pushes: BTreeSet::new(),
            });
            // The worse of both counts; what breaks one codec one way and the other the other way breaks both.
            reaching.alteration = match (reaching.alteration.verdict, alteration.verdict) {
                (Verdict::Breaks(one), Verdict::Breaks(other)) if one != other => {
                    Arc::new(Alteration { verdict: Verdict::Breaks(Codec::Both), ..Alteration::clone(&alteration) })
                }
                (was, is) if is < was => alteration,
                _ => Arc::clone(&reaching.alteration),
            };
            reach(reaching);
        }
    }
}
