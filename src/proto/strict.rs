//! The checks on a client's JSON that the reflection library does not make, with errors that say where.
//!
//! Refused are: unknown fields, a field given twice (also once as `userId` and once as `user_id`), a key given twice anywhere, and
//! nesting deeper than any peer would decode. The library alone would take the last of two values, which lets one message mean two
//! things to two readers. Values of plain fields are left to the library, which reads the same text after this pass.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::fmt;

use prost_reflect::{Kind, MessageDescriptor};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::json::Form;

/// Deepest nesting of objects, and of lists that are not a field's own. The same bound as on the wire, where an object is a message.
const DEPTH_MAX: u32 = 32;

/// Most names listed in one error, and most characters of a name that the client chose.
const NAMES_MAX: usize = 12;
const NAME_CHARS_MAX: usize = 64;

/// Checks the JSON form of a message; the error is one sentence for the client.
pub(super) fn check(kind: &MessageDescriptor, json: &str) -> Result<(), String> {
    let problem = RefCell::new(None);
    let check = Check { shape: Shape::of_message(kind.clone()), path: &Path::Root, depth: 0, problem: &problem };
    let mut reader = serde_json::Deserializer::from_str(json);
    let result = check.deserialize(&mut reader).and_then(|()| reader.end());
    result.map_err(|error| problem.take().unwrap_or_else(|| format!("the payload is not JSON: {error}")))
}

/// What is expected at one place.
enum Shape {
    Message(MessageDescriptor),
    Any(MessageDescriptor),
    List(Kind),
    Map(Kind),
    /// A plain value or free JSON; only duplicates and depth are looked at.
    Free,
}

/// Where in the payload we are, as a list on the stack.
enum Path<'a> {
    Root,
    Field(&'a Path<'a>, &'a str),
    Key(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

/// Checks one value.
struct Check<'a> {
    shape: Shape,
    path: &'a Path<'a>,
    depth: u32,
    /// The first problem. It travels beside the parser's error type, which would add a line and a column to it.
    problem: &'a RefCell<Option<String>>,
}

// === impl Shape ===

impl Shape {
    fn of_message(kind: MessageDescriptor) -> Shape {
        match Form::of(&kind) {
            Form::Fields => Shape::Message(kind),
            Form::Any => Shape::Any(kind),
            Form::Special if kind.full_name() == "google.protobuf.Empty" => Shape::Message(kind),
            Form::Special => Shape::Free,
        }
    }

    fn of_kind(kind: &Kind) -> Shape {
        kind.as_message().map_or(Shape::Free, |message| Shape::of_message(message.clone()))
    }

    fn of_field(kind: &Kind, is_list: bool, is_map: bool) -> Shape {
        match kind {
            Kind::Message(entry) if is_map => Shape::Map(entry.map_entry_value_field().kind()),
            kind if is_list => Shape::List(kind.clone()),
            kind => Shape::of_kind(kind),
        }
    }

    fn expected(&self) -> Option<&'static str> {
        match self {
            Shape::Message(_) | Shape::Any(_) | Shape::Map(_) => Some("an object"),
            Shape::List(_) => Some("a list"),
            Shape::Free => None,
        }
    }
}

// === impl Path ===

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => f.write_str("payload"),
            Path::Field(up, name) => write!(f, "{up}.{}", short(name)),
            Path::Key(up, key) => write!(f, "{up}[\"{}\"]", short(key)),
            Path::Index(up, index) => write!(f, "{up}[{index}]"),
        }
    }
}

// === impl Check ===

impl<'a> Check<'a> {
    fn below<'b>(&self, shape: Shape, path: &'b Path<'b>) -> Check<'b>
    where
        'a: 'b,
    {
        Check { shape, path, depth: self.depth + 1, problem: self.problem }
    }

    fn refuse<E: Error>(&self, path: &Path<'_>, what: &str) -> E {
        let text = format!("{path}: {what}");
        let error = E::custom(&text);
        self.problem.borrow_mut().get_or_insert(text);
        error
    }

    fn plain<E: Error>(&self) -> Result<(), E> {
        match self.shape.expected() {
            Some(expected) => Err(self.refuse(self.path, &format!("expected {expected}"))),
            None => Ok(()),
        }
    }

    /// Finds a field by either of its names and notes that it was given.
    fn field<E: Error>(&self, kind: &MessageDescriptor, key: &str, given: &mut HashMap<u32, String>) -> Result<Shape, E> {
        let path = Path::Field(self.path, key);
        let (number, shape) = if let Some(field) = kind.get_field_by_json_name(key).or_else(|| kind.get_field_by_name(key)) {
            (field.number(), Shape::of_field(&field.kind(), field.is_list(), field.is_map()))
        } else if let Some(field) = kind.get_extension_by_json_name(key) {
            (field.number(), Shape::of_field(&field.kind(), field.is_list(), field.is_map()))
        } else {
            let known: Vec<String> = kind.fields().take(NAMES_MAX).map(|field| format!("`{}`", field.json_name())).collect();
            let more = if kind.fields().len() > NAMES_MAX { ", …" } else { "" };
            let has = if known.is_empty() { "no fields".to_owned() } else { known.join(", ") + more };
            return Err(self.refuse(&path, &format!("`{}` has no field `{}`; it has {has}", kind.full_name(), short(key))));
        };
        match given.insert(number, key.to_owned()) {
            Some(first) if first == key => Err(self.refuse(&path, "the field is given twice")),
            Some(first) => Err(self.refuse(&path, &format!("the field is given twice, as `{first}` and as `{key}`"))),
            None => Ok(shape),
        }
    }

    fn message<'de, A: MapAccess<'de>>(&self, kind: &MessageDescriptor, mut map: A) -> Result<(), A::Error> {
        let mut given = HashMap::new();
        while let Some(key) = map.next_key::<String>()? {
            let shape = self.field(kind, &key, &mut given)?;
            map.next_value_seed(self.below(shape, &Path::Field(self.path, &key)))?;
        }
        Ok(())
    }

    /// The keys depend on `@type`, which may come last; so the values are kept as text until it is known.
    fn any<'de, A: MapAccess<'de>>(&self, near: &MessageDescriptor, mut map: A) -> Result<(), A::Error> {
        let mut values: Vec<(String, Box<RawValue>)> = Vec::new();
        let (mut seen, mut url) = (HashSet::new(), None);
        while let Some(key) = map.next_key::<String>()? {
            if !seen.insert(key.clone()) {
                return Err(self.refuse(&Path::Field(self.path, &key), "the key is given twice"));
            }
            if key == "@type" {
                url = Some(map.next_value::<String>()?);
            } else {
                values.push((key, map.next_value()?));
            }
        }
        let Some(url) = url else {
            return Err(self.refuse(self.path, "expected the key `@type`"));
        };
        let name = url.rsplit('/').next().unwrap_or_default();
        let Some(kind) = near.parent_pool().get_message_by_name(name) else {
            return Err(self.refuse(self.path, &format!("there is no message type `{}`", short(name))));
        };
        let mut given = HashMap::new();
        for (key, value) in values {
            let path = Path::Field(self.path, &key);
            let shape = match Form::of(&kind) {
                Form::Fields => self.field(&kind, &key, &mut given)?,
                _ if key == "value" => Shape::of_message(kind.clone()),
                _ => return Err(self.refuse(&path, &format!("a `{}` has only the keys `@type` and `value`", kind.full_name()))),
            };
            let mut reader = serde_json::Deserializer::from_str(value.get());
            self.below(shape, &path).deserialize(&mut reader).map_err(A::Error::custom)?;
        }
        Ok(())
    }

    fn keys<'de, A: MapAccess<'de>>(&self, shape: impl Fn() -> Shape, mut map: A) -> Result<(), A::Error> {
        let mut seen: HashSet<String> = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            let path = Path::Key(self.path, &key);
            if seen.contains(&key) {
                return Err(self.refuse(&path, "the key is given twice"));
            }
            map.next_value_seed(self.below(shape(), &path))?;
            seen.insert(key);
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Check<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Check<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shape.expected().unwrap_or("a value"))
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.plain()
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.plain()
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.plain()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.plain()
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        self.plain()
    }

    /// `null` means that a field is not set, whatever its kind.
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        // A field's own list is not a level on the wire: its elements are.
        let depth = match &self.shape {
            Shape::List(_) => self.depth,
            Shape::Free if self.depth < DEPTH_MAX => self.depth + 1,
            Shape::Free => return Err(self.refuse(self.path, &too_deep())),
            _ => return Err(self.refuse(self.path, "expected an object")),
        };
        let mut index = 0;
        loop {
            let shape = if let Shape::List(kind) = &self.shape { Shape::of_kind(kind) } else { Shape::Free };
            let path = Path::Index(self.path, index);
            if list.next_element_seed(Check { shape, path: &path, depth, problem: self.problem })?.is_none() {
                return Ok(());
            }
            index += 1;
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        if self.depth >= DEPTH_MAX {
            return Err(self.refuse(self.path, &too_deep()));
        }
        match &self.shape {
            Shape::Message(kind) => self.message(kind, map),
            Shape::Any(near) => self.any(near, map),
            Shape::Map(kind) => self.keys(|| Shape::of_kind(kind), map),
            Shape::Free => self.keys(|| Shape::Free, map),
            Shape::List(_) => Err(self.refuse(self.path, "expected a list")),
        }
    }
}

fn too_deep() -> String {
    format!("nested deeper than {DEPTH_MAX} levels")
}

fn short(name: &str) -> &str {
    name.char_indices().nth(NAME_CHARS_MAX).map_or(name, |(end, _)| &name[..end])
}
