//! What is known of one span: made on the data path for calls that are exported alone, and so of what is there already.

use std::sync::Arc;

use tokio::time::Instant;

/// A part of a call that has ended.
pub struct Span {
    pub trace: u128,
    pub id: u64,
    pub parent: Option<u64>,
    pub name: Text,
    pub kind: Kind,
    pub began: Instant,
    pub ended: Instant,
    /// In a word; nothing: it did not fail.
    pub failed: Option<&'static str>,
    pub attributes: Vec<(&'static str, Value)>,
}

/// Which side of a call it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Neither.
    Internal,
    /// Who is asked.
    Server,
    /// Who asks.
    Client,
}

/// Text that is not copied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Text {
    Word(&'static str),
    Shared(Arc<str>),
}

/// What an attribute says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    Text(Text),
    Number(i64),
}

// === impl Span ===

impl Span {
    /// Roughly what it holds in memory, as if nobody else held its texts.
    pub(super) fn bytes(&self) -> usize {
        let attribute = |(_, value): &(&str, Value)| match value {
            Value::Text(text) => text.as_str().len(),
            Value::Number(_) => 0,
        };
        let texts: usize = self.attributes.iter().map(attribute).sum();
        size_of::<Span>() + self.name.as_str().len() + self.attributes.capacity() * size_of::<(&str, Value)>() + texts
    }
}

// === impl Text ===

impl Text {
    pub fn as_str(&self) -> &str {
        match self {
            Text::Word(word) => word,
            Text::Shared(text) => text,
        }
    }
}

impl From<&'static str> for Text {
    fn from(word: &'static str) -> Text {
        Text::Word(word)
    }
}

impl From<&Arc<str>> for Text {
    fn from(text: &Arc<str>) -> Text {
        Text::Shared(Arc::clone(text))
    }
}

// === impl Value ===

impl<T: Into<Text>> From<T> for Value {
    fn from(text: T) -> Value {
        Value::Text(text.into())
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Value {
        Value::Number(number.into())
    }
}

impl From<u64> for Value {
    /// One that is larger than any number of OTLP is the largest.
    fn from(number: u64) -> Value {
        Value::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Value {
        Value::from(number as u64)
    }
}
