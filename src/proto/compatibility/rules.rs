//! Whether the rules of `buf.validate` let less through than before. That is no break: it is why a service has such rules.

use std::collections::BTreeMap;

use super::{Finding, VALIDATION, Verdict};
use crate::proto::MessageType;
use crate::proto::rules::Told;

/// Rules by what they are about, and which they are.
type Known = BTreeMap<(String, String), Told>;

// === impl Finding ===

impl Finding {
    pub(super) fn rules(&mut self, before: &MessageType, after: &MessageType) {
        let [was, is] = [before, after].map(known);
        for (about, rule) in &is {
            let subject = subject(&about.0, after);
            match was.get(about) {
                None => self.note(Verdict::Tightens, VALIDATION, format!("{subject} {}", rule.says)),
                Some(before) if before.says == rule.says => {}
                Some(before) => {
                    let what = format!("{subject} {}, and before that {}", rule.says, before.says);
                    let is_wider = rule.room.zip(before.room).is_some_and(|(is, was)| is.0 <= was.0 && is.1 >= was.1);
                    self.note(if is_wider { Verdict::Loosens } else { Verdict::Tightens }, VALIDATION, what);
                }
            }
        }
        for (about, rule) in was.iter().filter(|(about, _)| !is.contains_key(*about)) {
            let what = format!("it is no longer a rule that {} {}", subject(&about.0, before), rule.says);
            self.note(Verdict::Loosens, VALIDATION, what);
        }
    }
}

fn known(kind: &MessageType) -> Known {
    let told = kind.pool().rules().told(kind.name());
    told.into_iter().map(|told| ((told.about.path(), told.rule.clone()), told)).collect()
}

fn subject(field: &str, of: &MessageType) -> String {
    if field.is_empty() { format!("`{}`", of.name()) } else { format!("`{field}` of `{}`", of.name()) }
}
