//! Whether what one version of a message wrote is read by another: buf's rules of the categories WIRE and WIRE_JSON.
//!
//! Two types and everything that is reachable from them are compared field by field, by number. Names of messages are in neither codec, so
//! a message that is called otherwise is held against the one that stood in its place. Where it is certain, it matters which way a message
//! goes: a field that becomes required breaks who sends it, and one that no longer is breaks who reads it.
//!
//! Promises: each pair of types is compared once, however many routes reach it, and types may hold themselves; what breaks one codec alone
//! says which.
//!
//! - `fields`: what may become of a field, and of its type; `slot`: what a field and an extension have in common
//! - `enums`: of the values of an enum
//! - `reserved`: of what was reserved
//! - `rules`: whether the rules of `buf.validate` let less through

mod enums;
mod fields;
mod reserved;
mod rules;
mod slot;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use prost_reflect::MessageDescriptor;

use super::MessageType;
use super::print_json::is_well_known;

/// Which way a message goes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Way {
    FromClients,
    ToClients,
}

/// Whose messages are concerned.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Codec {
    Both,
    Proto,
    Json,
}

/// What a difference comes to for clients that know the message as it was.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Verdict {
    Breaks(Codec),
    /// Less is let through: by the rules of `buf.validate`, or because a field is gone that was given up by reserving it.
    Tightens,
    Loosens,
    /// Nobody notices who does not look.
    Changes,
}

/// One difference of two versions of a message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Alteration {
    pub verdict: Verdict,
    /// buf's name for it; of a rule of `buf.validate`, [`VALIDATION`].
    pub rule: &'static str,
    /// One sentence, such as ``field 2 `text` of `a.B` is gone, and its number is not reserved``.
    pub what: String,
}

/// The rule of alterations that matter only where messages are validated.
pub const VALIDATION: &str = "VALIDATION";

/// Types that were compared, of two pools.
#[derive(Default)]
pub struct Compatibility {
    known: HashMap<(String, String, Way), usize>,
    pairs: Vec<Pair>,
}

/// Two types that stand in the same place.
struct Pair {
    before: MessageType,
    after: MessageType,
    way: Way,
    /// Nothing: nobody has looked yet.
    compared: Option<Compared>,
}

/// What was found of them, and the pairs that they hold.
struct Compared {
    found: Vec<Arc<Alteration>>,
    inner: Vec<usize>,
}

/// What is being found of one pair.
struct Finding {
    way: Way,
    found: Vec<Alteration>,
    inner: Vec<(MessageDescriptor, MessageDescriptor)>,
}

// === impl Compatibility ===

impl Compatibility {
    /// Everything that differs for clients between two types and what they hold. Before and after must be of the same two pools each time.
    pub fn compare(&mut self, before: &MessageType, after: &MessageType, way: Way) -> BTreeSet<Arc<Alteration>> {
        let mut found = BTreeSet::new();
        if before == after {
            return found;
        }
        let root = self.pair(before, after, way);
        let (mut open, mut seen) = (vec![root], HashSet::from([root]));
        while let Some(place) = open.pop() {
            let compared = self.compared(place);
            found.extend(compared.found.iter().cloned());
            open.extend(compared.inner.iter().copied().filter(|inner| seen.insert(*inner)));
        }
        found
    }

    fn pair(&mut self, before: &MessageType, after: &MessageType, way: Way) -> usize {
        let key = (before.name().to_owned(), after.name().to_owned(), way);
        let pairs = &mut self.pairs;
        *self.known.entry(key).or_insert_with(|| {
            pairs.push(Pair { before: before.clone(), after: after.clone(), way, compared: None });
            pairs.len() - 1
        })
    }

    fn compared(&mut self, place: usize) -> &Compared {
        if self.pairs[place].compared.is_none() {
            let Pair { before, after, way, .. } = &self.pairs[place];
            let (before, after, way) = (before.clone(), after.clone(), *way);
            let mut finding = Finding { way, found: Vec::new(), inner: Vec::new() };
            finding.messages(&before, &after);
            let inner = finding.inner.into_iter().map(|(was, is)| {
                let (was, is) = (MessageType::new(before.pool(), was), MessageType::new(after.pool(), is));
                self.pair(&was, &is, way)
            });
            let inner = inner.collect();
            self.pairs[place].compared = Some(Compared { found: finding.found.into_iter().map(Arc::new).collect(), inner });
        }
        self.pairs[place].compared.as_ref().expect("it was just made")
    }
}

// === impl Finding ===

impl Finding {
    fn messages(&mut self, before: &MessageType, after: &MessageType) {
        let (was, is) = (before.descriptor(), after.descriptor());
        let is_special = is_well_known(was.full_name()) || is_well_known(is.full_name());
        if was.full_name() != is.full_name() && !(was.is_map_entry() && is.is_map_entry()) {
            let verdict = if is_special { Verdict::Breaks(Codec::Json) } else { Verdict::Changes };
            self.note(verdict, "FIELD_WIRE_JSON_COMPATIBLE_TYPE", format!("`{}` stands where `{}` stood", is.full_name(), was.full_name()));
        } else if is_special {
            return;
        }
        if is_message_set(was) != is_message_set(is) {
            let what = format!("`{}` is written otherwise, by `message_set_wire_format`", is.full_name());
            self.note(Verdict::Breaks(Codec::Proto), "MESSAGE_SAME_MESSAGE_SET_WIRE_FORMAT", what);
        }
        self.fields(was, is);
        self.reserved_of_messages(was, is);
        if self.way == Way::FromClients {
            self.rules(before, after);
        }
    }

    fn note(&mut self, verdict: Verdict, rule: &'static str, what: String) {
        self.found.push(Alteration { verdict, rule, what });
    }
}

/// Whether it is written as Google's messages were before there were extensions (proto2).
fn is_message_set(message: &MessageDescriptor) -> bool {
    message.descriptor_proto().options.as_ref().is_some_and(|options| options.message_set_wire_format())
}

// === impl Codec ===

impl Codec {
    /// The one that is concerned, if it is one.
    pub fn one(self) -> Option<&'static str> {
        match self {
            Codec::Both => None,
            Codec::Proto => Some("proto"),
            Codec::Json => Some("json"),
        }
    }
}
