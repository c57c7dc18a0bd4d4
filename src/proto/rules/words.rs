//! What rules ask, in words for people who write a client: those in which a violation is told.

use std::collections::BTreeMap;

use super::compile::{Choice, Content, Element, Looked, Rules};

/// What is asked of messages of one type.
#[derive(Default)]
pub(in crate::proto) struct Words {
    /// By the number of the field.
    pub fields: BTreeMap<u32, Vec<String>>,
    /// Of several fields together.
    pub whole: Vec<String>,
}

// === impl Rules ===

impl Rules {
    /// In words; none for a type of which nothing is asked.
    pub fn words(&self, message: &str) -> Words {
        let Some(index) = self.find(message) else { return Words::default() };
        let program = self.program(index);
        let fields = program.fields.iter().map(|looked| (looked.number, looked.words())).filter(|(_, words)| !words.is_empty());
        Words { fields: fields.collect(), whole: program.choices.iter().flat_map(Choice::words).collect() }
    }
}

// === impl Looked ===

impl Looked {
    fn words(&self) -> Vec<String> {
        let own = self.required.then(|| "must be set".to_owned());
        let inner = match &self.content {
            Content::One(element) => element.words(""),
            Content::List { element, sizes, unique } => {
                let sizes = sizes.iter().map(|check| check.says.clone());
                let unique = unique.then(|| "must contain unique items".to_owned());
                sizes.chain(unique).chain(element.words("each item ")).collect()
            }
            Content::Map { key, value, sizes } => {
                let sizes = sizes.iter().map(|check| check.says.clone());
                sizes.chain(key.words("each key ")).chain(value.words("each value ")).collect()
            }
        };
        own.into_iter().chain(inner).collect()
    }
}

// === impl Element ===

impl Element {
    fn words(&self, whose: &str) -> Vec<String> {
        self.checks.iter().map(|check| format!("{whose}{}", check.says)).collect()
    }
}

// === impl Choice ===

impl Choice {
    fn words(&self) -> Vec<String> {
        let whose = if self.name.is_empty() { String::new() } else { format!("`{}` ", self.name) };
        let least = self.required.then(|| format!("{whose}{}", self.at_least));
        let most = (!self.at_most.is_empty()).then(|| self.at_most.clone());
        least.into_iter().chain(most).collect()
    }
}
