//! Where in a document the reader stands, written as people write it: `routes.1001.timeout`, `descriptors[0].proto`.

use std::fmt;

/// A path that grows on the way down and shrinks on the way up, in one buffer.
#[derive(Default, Clone)]
pub struct DocPath(String);

impl DocPath {
    /// The path of a part of a document, to go on from.
    pub fn new(start: impl Into<String>) -> DocPath {
        DocPath(start.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Steps into a key; hand the result to [`DocPath::leave`].
    pub fn enter_key(&mut self, key: &str) -> usize {
        let before = self.0.len();
        if before > 0 {
            self.0.push('.');
        }
        self.0.push_str(key);
        before
    }

    /// Steps into an item of a list; hand the result to [`DocPath::leave`].
    pub fn enter_item(&mut self, index: usize) -> usize {
        let before = self.0.len();
        self.0.push_str(&format!("[{index}]"));
        before
    }

    /// Steps back to where the matching `enter` began.
    pub fn leave(&mut self, before: usize) {
        self.0.truncate(before);
    }
}

impl fmt::Display for DocPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
