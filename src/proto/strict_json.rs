//! Reads JSON once before a message is made of it, and refuses what JSON readers differ about.
//!
//! Refused: a key that stands twice, a field under both of its names, a key that names no field, more than [`DEPTH_MAX`] levels, more
//! than [`ELEMENTS_MAX`] elements. Whether values have the right type is for the reader after this one.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::fmt;

use prost_reflect::{Kind, MessageDescriptor};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::print_json::is_well_known;
use super::walk::{DEPTH_MAX, ELEMENTS_MAX};

/// What a value has to be.
#[derive(Clone)]
enum Expect {
    /// An object with the fields of this type.
    Fields(MessageDescriptor),
    /// A message wrapped by its type's name, from this type's pool.
    Any(MessageDescriptor),
    /// A list of these.
    List(Box<Expect>),
    /// An object with free keys and values like this.
    Map(Box<Expect>),
    /// Anything.
    Free,
}

/// What holds for the whole text.
struct Whole {
    elements: Cell<u32>,
    problem: RefCell<Option<String>>,
}

/// One value in the text.
struct Node<'a> {
    whole: &'a Whole,
    expect: Expect,
    place: Place<'a>,
    depth: u32,
}

/// The way to a value, from the top.
#[derive(Clone, Copy)]
enum Place<'a> {
    Top,
    Key(&'a Place<'a>, &'a str),
    Index(&'a Place<'a>, usize),
}

/// Checks a text that is to become a message of this type. The error is public.
pub(super) fn check(kind: &MessageDescriptor, json: &str) -> Result<(), String> {
    let whole = Whole { elements: Cell::new(ELEMENTS_MAX), problem: RefCell::default() };
    let node = Node { whole: &whole, expect: Expect::message(kind), place: Place::Top, depth: DEPTH_MAX };
    let mut text = serde_json::Deserializer::from_str(json);
    let read = node.deserialize(&mut text).and_then(|()| text.end());
    match (read, whole.problem.into_inner()) {
        (Ok(()), _) => Ok(()),
        (Err(_), Some(problem)) => Err(problem),
        (Err(error), None) => Err(format!("not JSON: {error}")),
    }
}

/// An error and its place, in one sentence.
pub(super) fn sentence(place: &str, what: &str) -> String {
    let what = without_value(what);
    if place.is_empty() || place == "." { what } else { format!("`{place}`: {what}") }
}

/// What serde says of a value of the wrong type, without the value: it may be a password that somebody wrote as a number, and what we say
/// is logged.
fn without_value(what: &str) -> String {
    let begins = ["invalid type: ", "invalid value: "].into_iter().find(|begin| what.starts_with(begin));
    let parts = begins.and_then(|begin| Some((begin, what[begin.len()..].rsplit_once(", expected ")?)));
    let Some((begin, (found, expected))) = parts else { return what.to_owned() };
    let kind = found.split(['`', '"']).next().unwrap_or_default().trim_end();
    // Whoever writes JSON calls them otherwise than serde.
    let kind = if kind == "sequence" { "list" } else { kind };
    format!("{begin}{kind}, expected {}", expected.replacen("a map", "an object", 1))
}

// === impl Expect ===

impl Expect {
    fn message(message: &MessageDescriptor) -> Expect {
        match message.full_name() {
            "google.protobuf.Any" => Expect::Any(message.clone()),
            name if is_well_known(name) => Expect::Free,
            _ => Expect::Fields(message.clone()),
        }
    }

    fn kind(kind: &Kind) -> Expect {
        kind.as_message().map_or(Expect::Free, Expect::message)
    }

    /// What stands under `key` in an object of this type, and the field's number.
    fn field(message: &MessageDescriptor, key: &str) -> Option<(u32, Expect)> {
        if let Some(field) = message.get_field_by_json_name(key).or_else(|| message.get_field_by_name(key)) {
            let expect = match field.kind() {
                Kind::Message(entry) if field.is_map() => Expect::Map(Box::new(Expect::kind(&entry.map_entry_value_field().kind()))),
                kind if field.is_list() => Expect::List(Box::new(Expect::kind(&kind))),
                kind => Expect::kind(&kind),
            };
            return Some((field.number(), expect));
        }
        let extension = message.get_extension_by_json_name(key)?;
        let expect = Expect::kind(&extension.kind());
        Some((extension.number(), if extension.is_list() { Expect::List(Box::new(expect)) } else { expect }))
    }
}

// === impl Node ===

impl<'a> Node<'a> {
    fn refuse<E: Error>(&self, what: String) -> E {
        *self.whole.problem.borrow_mut() = Some(sentence(&self.place.to_string(), &what));
        E::custom("refused")
    }

    /// The depth of what is inside this list or object.
    fn inside<E: Error>(&self) -> Result<u32, E> {
        self.depth.checked_sub(1).ok_or_else(|| self.refuse(format!("nested more than {DEPTH_MAX} deep")))
    }

    fn count<E: Error>(&self) -> Result<(), E> {
        let left = self.whole.elements.get().checked_sub(1);
        let left = left.ok_or_else(|| self.refuse(format!("lists and maps hold more than {ELEMENTS_MAX} elements together")))?;
        self.whole.elements.set(left);
        Ok(())
    }

    /// An object with the fields of `message`.
    fn fields<'de, A: MapAccess<'de>>(&self, message: &MessageDescriptor, mut map: A, depth: u32) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            let (number, expect) = self.known_field(message, &key)?;
            if !seen.insert(number) {
                return Err(self.refuse(format!("field `{key}` stands twice, under one name or both of its names")));
            }
            map.next_value_seed(Node { whole: self.whole, expect, place: Place::Key(&self.place, &key), depth })?;
        }
        Ok(())
    }

    fn known_field<E: Error>(&self, message: &MessageDescriptor, key: &str) -> Result<(u32, Expect), E> {
        Expect::field(message, key)
            .ok_or_else(|| self.refuse(format!("message `{}` has no field `{key}`{}", message.full_name(), known_fields(message))))
    }

    /// An object with any keys, each once.
    fn entries<'de, A: MapAccess<'de>>(&self, expect: &Expect, mut map: A, depth: u32) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            self.count()?;
            map.next_value_seed(Node { whole: self.whole, expect: expect.clone(), place: Place::Key(&self.place, &key), depth })?;
            if let Some(key) = seen.replace(key) {
                return Err(self.refuse(format!("key `{key}` stands twice")));
            }
        }
        Ok(())
    }

    /// An object whose `@type`, which may come last, says what its other keys are.
    fn any<'de, A: MapAccess<'de>>(&self, any: &MessageDescriptor, mut map: A, depth: u32) -> Result<(), A::Error> {
        let mut values: Vec<(String, Box<RawValue>)> = Vec::new();
        while let Some((key, value)) = map.next_entry::<String, Box<RawValue>>()? {
            self.count()?;
            if values.iter().any(|(known, _)| *known == key) {
                return Err(self.refuse(format!("key `{key}` stands twice")));
            }
            values.push((key, value));
        }
        let url = values.iter().find(|(key, _)| key == "@type").and_then(|(_, value)| serde_json::from_str::<String>(value.get()).ok());
        let kind = url.as_deref().and_then(|url| any.parent_pool().get_message_by_name(url.rsplit_once('/')?.1));
        if kind.is_none() && url.as_deref().is_some_and(|url| url.contains('/')) {
            // Whoever sent it may have misspelt it, or the operator has to name it: the place in the documents is under that word.
            return Err(self.refuse("`@type` is none of the types that are reached here, nor named under `types`".to_owned()));
        }
        let mut seen = HashSet::new();
        for (key, value) in values.iter().filter(|(key, _)| key != "@type") {
            let expect = match &kind {
                Some(kind) if !is_well_known(kind.full_name()) => {
                    let (number, expect) = self.known_field(kind, key)?;
                    if !seen.insert(number) {
                        return Err(self.refuse(format!("field `{key}` stands under both of its names")));
                    }
                    expect
                }
                Some(kind) => Expect::message(kind),
                None => Expect::Free,
            };
            let node = Node { whole: self.whole, expect, place: Place::Key(&self.place, key), depth };
            let mut text = serde_json::Deserializer::from_str(value.get());
            node.deserialize(&mut text).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let depth = self.inside()?;
        let expect = match &self.expect {
            Expect::List(expect) => (**expect).clone(),
            _ => Expect::Free,
        };
        let mut index = 0;
        loop {
            let node = Node { whole: self.whole, expect: expect.clone(), place: Place::Index(&self.place, index), depth };
            if list.next_element_seed(node)?.is_none() {
                return Ok(());
            }
            self.count()?;
            index += 1;
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let depth = self.inside()?;
        match &self.expect {
            Expect::Fields(message) => self.fields(message, map, depth),
            Expect::Any(any) => self.any(any, map, depth),
            Expect::Map(expect) => self.entries(expect, map, depth),
            Expect::List(_) | Expect::Free => self.entries(&Expect::Free, map, depth),
        }
    }
}

// === impl Place ===

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Top => Ok(()),
            Place::Key(Place::Top, key) => f.write_str(key),
            Place::Key(within, key) => write!(f, "{within}.{key}"),
            Place::Index(within, index) => write!(f, "{within}[{index}]"),
        }
    }
}

/// What there is instead, as far as it fits a line.
fn known_fields(message: &MessageDescriptor) -> String {
    const SHOWN_MAX: usize = 8;
    let mut fields: Vec<String> = message.fields().map(|field| format!("`{}`", field.json_name())).collect();
    if fields.is_empty() {
        return ", it has none".to_owned();
    }
    if fields.len() > SHOWN_MAX {
        fields.truncate(SHOWN_MAX);
        fields.push("…".to_owned());
    }
    format!("; it has {}", fields.join(", "))
}
