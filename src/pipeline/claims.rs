//! A JSON object out of a token, read strictly.
//!
//! Promise: a key that stands twice makes the object unreadable, in every object that is looked into; two readers that disagree on which
//! of two values counts would disagree on who somebody is.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The longest quotation of somebody else's text.
const QUOTED_CHARS_MAX: usize = 64;

/// An object whose values are not looked at until they are asked for.
pub struct Object<'a>(BTreeMap<Cow<'a, str>, &'a RawValue>);

// === impl Object ===

impl<'a> Object<'a> {
    pub fn parse(json: &'a [u8]) -> Result<Object<'a>, String> {
        serde_json::from_slice(json).map_err(|error| error.to_string())
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A text that must be there and say something.
    pub fn required_text(&self, name: &str) -> Result<Cow<'a, str>, String> {
        match self.text(name)? {
            Some(text) if !text.is_empty() => Ok(text),
            Some(_) => Err(format!("its `{name}` is empty")),
            None => Err(format!("it has no `{name}`")),
        }
    }

    pub fn text(&self, name: &str) -> Result<Option<Cow<'a, str>>, String> {
        #[derive(Deserialize)]
        struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

        self.read(name, "a text").map(|text| text.map(|Text(text)| text))
    }

    /// A moment in seconds since 1970. Fractions are allowed by the standard and of no use.
    pub fn seconds(&self, name: &str) -> Result<Option<u64>, String> {
        Ok(self.moment(name)?.map(|seconds| seconds as u64))
    }

    /// The same moment in milliseconds, of which a fraction of a second is some.
    pub fn milliseconds(&self, name: &str) -> Result<Option<u64>, String> {
        Ok(self.moment(name)?.map(|seconds| (seconds * 1000.0) as u64))
    }

    /// A whole number, if it is there and one.
    pub fn count(&self, name: &str) -> Option<u64> {
        serde_json::from_str(self.0.get(name)?.get()).ok()
    }

    fn moment(&self, name: &str) -> Result<Option<f64>, String> {
        let seconds: Option<f64> = self.read(name, "a number of seconds")?;
        match seconds {
            // Every value below is exact; 2^53 seconds are 285 million years.
            Some(seconds) if !(0.0..9_007_199_254_740_992.0).contains(&seconds) => Err(format!("its `{name}` is no moment in time")),
            seconds => Ok(seconds),
        }
    }

    /// A text or a list of texts.
    pub fn texts(&self, name: &str) -> Result<Option<Texts<'a>>, String> {
        self.read(name, "a text or a list of texts")
    }

    /// The object at the end of a path of names; None if a name is missing on the way.
    pub fn descend(self, path: &[String]) -> Result<Option<Object<'a>>, String> {
        let mut object = self;
        for name in path {
            let Some(raw) = object.0.get(name.as_str()) else { return Ok(None) };
            object = Object::parse(raw.get().as_bytes()).map_err(|error| format!("its {} is no object: {error}", quoted(name)))?;
        }
        Ok(Some(object))
    }

    fn read<T: Deserialize<'a>>(&self, name: &str, expected: &str) -> Result<Option<T>, String> {
        let Some(raw) = self.0.get(name) else { return Ok(None) };
        serde_json::from_str(raw.get()).map(Some).map_err(|_| format!("its `{name}` is not {expected}"))
    }
}

/// One text or several.
#[derive(Deserialize)]
#[serde(untagged)]
pub enum Texts<'a> {
    One(#[serde(borrow)] Cow<'a, str>),
    Several(Vec<String>),
}

/// Somebody else's text, short and without control characters.
pub fn quoted(text: &str) -> String {
    let shown: String = text.chars().take(QUOTED_CHARS_MAX).flat_map(char::escape_debug).collect();
    format!("`{shown}`")
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
        struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some((Name(name), value)) = map.next_entry()? {
                    if entries.contains_key(&name) {
                        return Err(A::Error::custom(format_args!("{} stands twice", quoted(&name))));
                    }
                    entries.insert(name, value);
                }
                Ok(Object(entries))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}
