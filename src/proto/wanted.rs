//! Which names somebody needs of the descriptors: what is not needed is not compiled.

use std::collections::BTreeSet;

/// What to load.
#[derive(Default)]
pub struct Wanted {
    everything: bool,
    /// Full names of services, messages and enums, whichever source declares them.
    names: BTreeSet<String>,
    /// By the place of their source among all.
    patterns: Vec<(usize, Pattern)>,
}

/// `pkg.Message`, or `pkg.*` for every name that begins with `pkg.`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern {
    text: String,
}

// === impl Wanted ===

impl Wanted {
    /// All that the sources declare.
    pub fn everything() -> Wanted {
        Wanted { everything: true, ..Wanted::default() }
    }

    /// A service or a type, by its full name.
    pub fn name(&mut self, name: &str) {
        self.names.insert(name.to_owned());
    }

    /// The service of `package.Service/Method`.
    pub fn method(&mut self, method: &str) {
        self.name(method.split_once('/').map_or(method, |(service, _)| service));
    }

    /// What one source declares, besides.
    pub fn pattern(&mut self, source: usize, pattern: Pattern) {
        self.patterns.push((source, pattern));
    }

    /// Whether something of this name, from this source, is wanted.
    pub(super) fn wants(&self, source: usize, name: &str) -> bool {
        self.everything || self.names.contains(name) || self.patterns.iter().any(|(of, pattern)| *of == source && pattern.matches(name))
    }

    /// Whether a file is wanted whatever it declares.
    pub(super) fn wants_all(&self) -> bool {
        self.everything
    }
}

// === impl Pattern ===

impl Pattern {
    pub fn new(text: &str) -> Pattern {
        Pattern { text: text.to_owned() }
    }

    pub fn matches(&self, name: &str) -> bool {
        match self.text.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == self.text,
        }
    }
}
