//! A comparison for programs: what `GET /api/v1/diff` answers and `diff --format json` prints, and what is read of it again.

use serde::{Deserialize, Serialize};

use super::finding::Calls;
use super::{Change, Comparison, Effect, Named};
use crate::diagnostic::Span;

/// Changes that are told, and routes of each; they are counted all the same.
const CHANGES_TOLD_MAX: usize = 2_000;
const ROUTES_TOLD_MAX: usize = 500;

/// All of it.
#[derive(Serialize, Deserialize, Debug)]
pub struct Told {
    pub version: u32,
    /// Nothing means anything else.
    pub same: bool,
    pub breaking: bool,
    /// Most dangerous first.
    pub changes: Vec<ToldChange>,
    pub effects: ToldCounts,
}

/// How many changes there are of each effect, told or not.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
pub struct ToldCounts {
    pub breaks: usize,
    pub opens: usize,
    pub loosens: usize,
    pub closes: usize,
    pub tightens: usize,
    pub changes: usize,
}

#[derive(Serialize, Deserialize, Debug)]
pub struct ToldChange {
    pub effect: Effect,
    /// The code of the rule that a break is against.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// `proto` or `json`, where a break concerns clients of one codec alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codec: Option<String>,
    pub what: String,
    pub routes: Vec<ToldRoute>,
    /// How many there are, told or not.
    pub routes_in_all: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<ToldPlace>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<ToldKey>,
}

/// A route, or a push.
#[derive(Serialize, Deserialize, Debug)]
pub struct ToldRoute {
    pub number: u32,
    pub name: String,
    /// By the gateway that runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls_last_hour: Option<u64>,
}

/// A file and a line of the second table.
#[derive(Serialize, Deserialize, Debug)]
pub struct ToldPlace {
    pub file: String,
    pub line: usize,
}

/// A key of a policy, from what to what.
#[derive(Serialize, Deserialize, Debug)]
pub struct ToldKey {
    pub name: String,
    pub from: Option<String>,
    pub to: Option<String>,
}

// === impl Comparison ===

impl Comparison {
    /// `place`: the file and the line of a span of the second table.
    pub fn told(&self, place: &dyn Fn(Span) -> (String, usize), calls: Calls<'_>) -> Told {
        let counts = self.counts();
        Told {
            version: 1,
            same: self.is_same(),
            breaking: self.is_breaking(),
            changes: self.changes.iter().take(CHANGES_TOLD_MAX).map(|change| change.told(place, calls)).collect(),
            effects: ToldCounts {
                breaks: counts[&Effect::Breaks],
                opens: counts[&Effect::Opens],
                loosens: counts[&Effect::Loosens],
                closes: counts[&Effect::Closes],
                tightens: counts[&Effect::Tightens],
                changes: counts[&Effect::Changes],
            },
        }
    }
}

// === impl Change ===

impl Change {
    fn told(&self, place: &dyn Fn(Span) -> (String, usize), calls: Calls<'_>) -> ToldChange {
        let route = |route: &Named| ToldRoute { number: route.number, name: route.name.clone(), calls_last_hour: calls(route) };
        ToldChange {
            effect: self.effect,
            code: self.rule.map(|rule| rule.code().to_owned()),
            codec: self.codec.one().map(str::to_owned),
            what: self.what.clone(),
            routes: self.routes.iter().take(ROUTES_TOLD_MAX).map(route).collect(),
            routes_in_all: self.routes.len(),
            place: self.place.map(|span| {
                let (file, line) = place(span);
                ToldPlace { file, line }
            }),
            key: self.key.clone().map(|(name, from, to)| ToldKey { name, from, to }),
        }
    }
}

// === impl ToldCounts ===

impl ToldCounts {
    /// With the effects, most dangerous first.
    pub fn each(self) -> [(Effect, usize); 6] {
        let counts = [self.breaks, self.opens, self.loosens, self.closes, self.tightens, self.changes];
        std::array::from_fn(|index| (Effect::ALL[index], counts[index]))
    }
}
