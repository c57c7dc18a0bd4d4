//! What messages and enums look like, for a reference: every type once, however often it is used.
//!
//! Promises: what is described is everything that clients can meet below some types, in the order in which it is met; of what the gateway
//! enforces the words are those that a refusal has.

use std::collections::{BTreeMap, HashSet, VecDeque};

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};

use super::print_json::is_well_known;
use super::rules::About;
use super::sample::{in_order, type_of};
use super::{MessageType, Pool};

/// A type.
pub enum Described {
    Message(DescribedMessage),
    Enum(DescribedEnum),
}

pub struct DescribedMessage {
    /// The full name.
    pub name: String,
    pub comment: Option<String>,
    pub deprecated: bool,
    /// In the order of the file.
    pub fields: Vec<DescribedField>,
    /// What is asked of several fields together.
    pub rules: Vec<String>,
}

pub struct DescribedField {
    /// As it is written in JSON.
    pub name: String,
    pub number: u32,
    /// As the .proto file says it, such as `uint64` or `map<string, pkg.Message>`.
    pub r#type: String,
    /// The full name in `type` of what is described as well.
    pub refers: Option<String>,
    pub repeated: bool,
    /// Being absent differs from being empty.
    pub optional: bool,
    /// Of proto2.
    pub required: bool,
    /// Of those with the same name here one may be said.
    pub oneof: Option<String>,
    pub deprecated: bool,
    /// It is not to be shown: marked `debug_redact`, or called as secrets are.
    pub secret: bool,
    pub comment: Option<String>,
    /// What is asked of it in a request.
    pub rules: Vec<String>,
}

pub struct DescribedEnum {
    /// The full name.
    pub name: String,
    pub comment: Option<String>,
    pub values: Vec<DescribedValue>,
}

pub struct DescribedValue {
    pub name: String,
    pub number: i32,
    pub comment: Option<String>,
}

/// What waits to be described, and what waited once.
#[derive(Default)]
struct Waiting {
    open: VecDeque<Kind>,
    seen: HashSet<String>,
}

/// These types and everything below them. Types whose JSON is not an object of their fields are as the protocol says, and left out.
pub fn describe<'m>(roots: impl IntoIterator<Item = &'m MessageType>) -> Vec<Described> {
    let mut waiting = Waiting::default();
    let mut pool = None;
    for root in roots {
        pool.get_or_insert_with(|| root.pool().clone());
        waiting.add(&Kind::Message(root.descriptor().clone()));
    }
    let Some(pool) = pool else { return Vec::new() };
    let mut described = Vec::new();
    while let Some(kind) = waiting.open.pop_front() {
        described.extend(match kind {
            Kind::Message(message) => Some(Described::Message(of_message(&pool, &message, &mut waiting))),
            Kind::Enum(values) => Some(Described::Enum(of_enum(&pool, &values))),
            _ => None,
        });
    }
    described
}

fn of_message(pool: &Pool, message: &MessageDescriptor, waiting: &mut Waiting) -> DescribedMessage {
    let (mut asked, together) = asked(pool, message.full_name());
    let mut fields = Vec::new();
    for field in in_order(message) {
        let rules = asked.remove(&field.number()).unwrap_or_default();
        fields.push(of_field(pool, &field, rules, waiting));
    }
    let options = message.descriptor_proto().options.as_ref();
    DescribedMessage {
        name: message.full_name().to_owned(),
        comment: comment(pool, message.full_name()),
        deprecated: options.is_some_and(|options| options.deprecated()),
        fields,
        rules: together,
    }
}

/// What is asked of each field, by its number, and of several together.
fn asked(pool: &Pool, message: &str) -> (BTreeMap<u32, Vec<String>>, Vec<String>) {
    let (mut fields, mut together) = (BTreeMap::<u32, Vec<String>>::new(), Vec::new());
    for told in pool.rules().told(message) {
        match told.about {
            About::Field { number, part, .. } => fields.entry(number).or_default().push(format!("{}{}", part.words(), told.says)),
            About::Several(name) if name.is_empty() => together.push(told.says),
            About::Several(name) => together.push(format!("`{name}` {}", told.says)),
        }
    }
    (fields, together)
}

fn of_field(pool: &Pool, field: &FieldDescriptor, rules: Vec<String>, waiting: &mut Waiting) -> DescribedField {
    let oneof = field.containing_oneof().filter(|oneof| !oneof.is_synthetic());
    let inner = match field.kind() {
        Kind::Message(entry) if field.is_map() => entry.map_entry_value_field().kind(),
        kind => kind,
    };
    let options = field.field_descriptor_proto().options.as_ref();
    DescribedField {
        name: field.json_name().to_owned(),
        number: field.number(),
        r#type: type_of(field),
        refers: waiting.add(&inner),
        repeated: field.is_list(),
        optional: field.supports_presence() && oneof.is_none() && !field.is_required() && field.kind().as_message().is_none(),
        required: field.is_required(),
        oneof: oneof.map(|oneof| oneof.name().to_owned()),
        deprecated: options.is_some_and(|options| options.deprecated()),
        secret: pool.is_redacted(field.full_name()) || super::secret::is_secret(field.name(), &field.kind()),
        comment: comment(pool, field.full_name()),
        rules,
    }
}

fn of_enum(pool: &Pool, values: &EnumDescriptor) -> DescribedEnum {
    let value = |value: prost_reflect::EnumValueDescriptor| DescribedValue {
        name: value.name().to_owned(),
        number: value.number(),
        comment: comment(pool, value.full_name()),
    };
    DescribedEnum {
        name: values.full_name().to_owned(),
        comment: comment(pool, values.full_name()),
        values: values.values().map(value).collect(),
    }
}

fn comment(pool: &Pool, name: &str) -> Option<String> {
    pool.comment(name).map(str::to_owned)
}

// === impl Waiting ===

impl Waiting {
    /// The name of what is described, now or in a moment.
    fn add(&mut self, kind: &Kind) -> Option<String> {
        let name = match kind {
            Kind::Message(message) if !is_well_known(message.full_name()) => message.full_name(),
            Kind::Enum(values) if values.full_name() != "google.protobuf.NullValue" => values.full_name(),
            _ => return None,
        };
        if self.seen.insert(name.to_owned()) {
            self.open.push_back(kind.clone());
        }
        Some(name.to_owned())
    }
}
