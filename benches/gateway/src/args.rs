//! Arguments of the form `--name value`, and nothing else: a script types them, not a person.

use std::collections::HashMap;
use std::str::FromStr;

pub struct Args(HashMap<String, String>);

// === impl Args ===

impl Args {
    /// Reads pairs from what follows the program's name and `skip` words.
    pub fn read(skip: usize) -> Result<Args, String> {
        let mut words = std::env::args().skip(1 + skip);
        let mut pairs = HashMap::new();
        while let Some(word) = words.next() {
            let name = word.strip_prefix("--").ok_or_else(|| format!("expected `--name value`, found `{word}`"))?;
            let value = words.next().ok_or_else(|| format!("`--{name}` lacks its value"))?;
            pairs.insert(name.to_owned(), value);
        }
        Ok(Args(pairs))
    }

    pub fn required<T: FromStr>(&self, name: &str) -> Result<T, String> {
        self.optional(name)?.ok_or_else(|| format!("`--{name}` is missing"))
    }

    pub fn optional<T: FromStr>(&self, name: &str) -> Result<Option<T>, String> {
        let read = |value: &String| value.parse().map_err(|_| format!("`--{name} {value}` is not understood"));
        self.0.get(name).map(read).transpose()
    }
}
