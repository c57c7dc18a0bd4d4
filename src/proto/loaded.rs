//! What a configuration has of its descriptors: all that they declare, and compiled, what it needs of that.

use std::collections::BTreeMap;

use super::{Index, MessageType, Method, Pool};

/// What came of loading.
pub struct Loaded {
    /// What was needed.
    pub pool: Pool,
    /// What there is.
    pub index: Index,
}

/// A name that is not there.
#[derive(Debug)]
pub struct Missing {
    pub what: String,
    /// What could have been meant, written as the missing name was.
    pub known: Vec<String>,
    /// A file that makes no sense, so that the name may be in it.
    pub doubtful: Option<String>,
}

// === impl Loaded ===

impl Loaded {
    /// The method `pkg.Service/Method`.
    pub fn method(&self, name: &str) -> Result<Method, Missing> {
        self.pool.method(name).ok_or_else(|| self.index.missing_method(name))
    }

    /// The message type `pkg.Message`.
    pub fn message(&self, name: &str) -> Result<MessageType, Missing> {
        self.pool.message(name).ok_or_else(|| self.index.missing_message(name))
    }

    /// The message type, known or not: it need not be compiled to be told from another.
    pub fn has_message(&self, name: &str) -> Result<(), Missing> {
        let is_there = self.pool.message(name).is_some() || self.index.messages().any(|known| known == name);
        if is_there { Ok(()) } else { Err(self.index.missing_message(name)) }
    }

    /// Every method, `pkg.Service/Method`, and what its file says of it, if it was needed.
    pub fn methods_said(&self) -> BTreeMap<String, String> {
        let said = |name: String| {
            let comment = self.pool.comment(&name.replacen('/', ".", 1)).unwrap_or_default().to_owned();
            (name, comment)
        };
        self.index.services().flat_map(|(service, _)| service.methods().map(said).collect::<Vec<_>>()).collect()
    }

    /// False when something was reported broken: then a missing name may be a consequence and is not worth a word.
    pub fn is_complete(&self) -> bool {
        self.pool.is_complete()
    }
}
