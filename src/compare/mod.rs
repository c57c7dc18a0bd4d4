//! What two tables do differently: routes, policies, who may do what, and what clients say and hear on the wire.
//!
//! Nothing here reads a file or changes anything: two [`View`]s come in, of a plan or of the live table, and a [`Comparison`] goes out.
//! Promises: every pair of a role and a route that opens or closes is named; what is said to break clients does break some of them, and
//! comes first; what differs in the files and means the same is no difference.
//!
//! - `view`: what a plan and a table have in common
//! - `routes`, `policy`: routes that come and go, and what else holds for those that stay
//! - `roles`: who may call what
//! - `limits`: rate limits and bounds
//! - `messages`: what clients send and read
//! - `pushes`: pushes and topics
//! - `process`: backends, and what of `gateway.yaml` whoever connects notices
//! - `identity`: whose tokens and keys are believed
//! - `finding`: what breaks clients, as diagnostics
//! - `told`: all of it, for programs

mod finding;
mod identity;
mod limits;
mod messages;
mod policy;
mod process;
mod pushes;
mod roles;
mod routes;
mod told;
mod view;

#[cfg(test)]
mod tests;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

pub use finding::Calls;
pub use told::{Told, ToldChange, ToldCounts, ToldKey, ToldPlace, ToldRoute};
pub use view::View;

use crate::diagnostic::{Rule, Span};
use crate::proto::Codec;

/// What a change does to whoever calls, most dangerous first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Clients that work now will not.
    Breaks,
    /// Somebody may do, see or choose what they could not.
    Opens,
    /// A bound is wider, or gone.
    Loosens,
    /// Somebody may no longer do something, and is told so.
    Closes,
    /// A bound is narrower, or new.
    Tightens,
    /// Neither.
    Changes,
}

/// A route, as people and programs know it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Named {
    pub number: u32,
    pub name: String,
}

/// One difference.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    pub effect: Effect,
    /// Which rule a break is against.
    pub rule: Option<Rule>,
    /// Whose clients a break concerns.
    pub codec: Codec,
    /// One sentence, lower case, names in backquotes.
    pub what: String,
    /// The routes that it is about.
    pub routes: Vec<Named>,
    /// Where it is written in the files of the second table, or where it is missing from them.
    pub place: Option<Span>,
    /// The key of a policy that is another, from what to what.
    pub key: Option<(String, Option<String>, Option<String>)>,
}

/// All that is different.
#[derive(Default)]
pub struct Comparison {
    /// Most dangerous first.
    pub changes: Vec<Change>,
    /// Routes that only one has.
    pub added: Vec<Named>,
    pub removed: Vec<Named>,
}

/// What every part of the comparison gets: both sides, and where it notes what it finds.
struct Comparing<'a> {
    before: &'a View<'a>,
    after: &'a View<'a>,
    changes: Vec<Change>,
}

/// Everything that `after` does otherwise than `before`.
pub fn compare(before: &View<'_>, after: &View<'_>) -> Comparison {
    let mut comparing = Comparing { before, after, changes: Vec::new() };
    comparing.routes();
    comparing.policies();
    comparing.roles();
    comparing.limits();
    comparing.messages();
    comparing.pushes();
    comparing.topics();
    comparing.backends();
    comparing.process();
    comparing.identity();
    let mut changes = comparing.merged();
    changes
        .sort_by(|one, other| (one.effect, one.rule, &one.routes, &one.what).cmp(&(other.effect, other.rule, &other.routes, &other.what)));
    Comparison { changes, added: after.only(before), removed: before.only(after) }
}

// === impl Comparison ===

impl Comparison {
    pub fn is_same(&self) -> bool {
        self.changes.is_empty()
    }

    /// What breaks clients.
    pub fn breaks(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| change.effect == Effect::Breaks)
    }

    pub fn is_breaking(&self) -> bool {
        self.breaks().next().is_some()
    }

    /// How many changes there are of each effect.
    pub fn counts(&self) -> BTreeMap<Effect, usize> {
        let mut counts: BTreeMap<Effect, usize> = Effect::ALL.map(|effect| (effect, 0)).into();
        self.changes.iter().for_each(|change| *counts.get_mut(&change.effect).expect("all are there") += 1);
        counts
    }
}

// === impl Comparing ===

impl Comparing<'_> {
    fn note(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// What is said of several routes alike is said once, at the first of them: a default reaches hundreds.
    fn merged(self) -> Vec<Change> {
        let mut merged: Vec<Change> = Vec::new();
        let mut places: HashMap<_, usize> = HashMap::new();
        for change in self.changes {
            match places.entry((change.effect, change.rule, change.codec, change.what.clone())) {
                Entry::Occupied(at) => merged[*at.get()].routes.extend(change.routes),
                Entry::Vacant(at) => {
                    at.insert(merged.len());
                    merged.push(change);
                }
            }
        }
        for change in &mut merged {
            change.routes.sort();
            change.routes.dedup();
        }
        merged
    }
}

// === impl Change ===

impl Change {
    fn new(effect: Effect, what: impl Into<String>) -> Change {
        Change { effect, rule: None, codec: Codec::Both, what: what.into(), routes: Vec::new(), place: None, key: None }
    }

    fn breaks(rule: Rule, what: impl Into<String>) -> Change {
        Change { rule: Some(rule), ..Change::new(Effect::Breaks, what) }
    }

    fn of(self, routes: impl IntoIterator<Item = Named>) -> Change {
        Change { routes: routes.into_iter().collect(), ..self }
    }

    fn at(self, place: Option<Span>) -> Change {
        Change { place, ..self }
    }
}

// === impl Effect ===

impl Effect {
    pub const ALL: [Effect; 6] = [Effect::Breaks, Effect::Opens, Effect::Loosens, Effect::Closes, Effect::Tightens, Effect::Changes];

    /// The word for programs.
    pub fn name(self) -> &'static str {
        match self {
            Effect::Breaks => "breaks",
            Effect::Opens => "opens",
            Effect::Loosens => "loosens",
            Effect::Closes => "closes",
            Effect::Tightens => "tightens",
            Effect::Changes => "changes",
        }
    }
}
