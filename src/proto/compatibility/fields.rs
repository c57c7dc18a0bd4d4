//! What may become of a field: of its name, its number, how often it is there, its type, its oneof, its default.

use std::collections::BTreeSet;

use prost_reflect::{Cardinality, Kind, MessageDescriptor};

use super::slot::Slot;
use super::{Codec, Finding, Verdict, Way};

/// How often a field is there. Whether the absence of one can be told from its default is no matter of the wire.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Often {
    Optional,
    Required,
    Repeated,
    Map,
}

// === impl Finding ===

impl Finding {
    pub(super) fn fields(&mut self, before: &MessageDescriptor, after: &MessageDescriptor) {
        for field in Slot::all(before) {
            match Slot::numbered(after, field.number()) {
                Some(now) => self.field(&field, &now),
                None => self.gone(&field, after),
            }
        }
        for field in Slot::all(after).iter().filter(|field| Slot::numbered(before, field.number()).is_none()) {
            let verdict = match (field.is_required(), self.way) {
                (true, Way::FromClients) => Verdict::Breaks(Codec::Both),
                _ => Verdict::Changes,
            };
            let required = if field.is_required() { ", and must be set" } else { "" };
            self.note(verdict, "MESSAGE_SAME_REQUIRED_FIELDS", format!("{} is new{required}", field.shown()));
        }
    }

    fn field(&mut self, before: &Slot, after: &Slot) {
        self.names(before, after);
        let is_entry = before.message().is_map_entry() && after.message().is_map_entry();
        if !is_entry {
            self.often(before, after);
            self.presence(before, after);
            self.oneof(before, after);
            self.default(before, after);
        }
        match type_break(before, after, self.way) {
            Some(codec) => {
                let rule = if codec == Codec::Json { "FIELD_WIRE_JSON_COMPATIBLE_TYPE" } else { "FIELD_WIRE_COMPATIBLE_TYPE" };
                let what = format!("{} is {}, and was {}", before.shown(), type_name(after), type_name(before));
                self.note(Verdict::Breaks(codec), rule, what);
            }
            None if type_name(before) != type_name(after) && before.kind().as_message().is_none() && before.kind().as_enum().is_none() => {
                let what = format!("{} is {}, and was {}", before.shown(), type_name(after), type_name(before));
                self.note(Verdict::Changes, "FIELD_SAME_TYPE", what);
            }
            None => {}
        }
        self.values(before, after);
    }

    /// A field whose number is no field's any more. JSON goes by names, and knows nothing of numbers.
    fn gone(&mut self, field: &Slot, after: &MessageDescriptor) {
        let has_number = after.reserved_ranges().any(|range| range.contains(&field.number()));
        let has_name = after.reserved_names().any(|name| name == field.name());
        if let Some(moved) = field.namesake(after) {
            return self.moved(field, &moved, has_number);
        }
        let name = field.shown();
        let (verdict, rule, what) = match (has_number, has_name) {
            _ if field.is_required() && self.way == Way::ToClients => {
                (Verdict::Breaks(Codec::Both), "MESSAGE_SAME_REQUIRED_FIELDS", format!("{name} is gone, and clients require it"))
            }
            (false, false) => {
                let what = format!("{name} is gone, and neither its number nor its name is reserved");
                (Verdict::Breaks(Codec::Both), "FIELD_NO_DELETE_UNLESS_NUMBER_RESERVED", what)
            }
            (false, true) => {
                let what = format!("{name} is gone, and its number is not reserved");
                (Verdict::Breaks(Codec::Proto), "FIELD_NO_DELETE_UNLESS_NUMBER_RESERVED", what)
            }
            (true, false) => {
                let what = format!("{name} is gone, and its name is not reserved");
                (Verdict::Breaks(Codec::Json), "FIELD_NO_DELETE_UNLESS_NAME_RESERVED", what)
            }
            // Whoever still says it in JSON is refused.
            (true, true) => (Verdict::Tightens, "FIELD_NO_DELETE", format!("{name} is gone and reserved")),
        };
        self.note(verdict, rule, what);
    }

    /// A field of the same name, which in protobuf is another one.
    fn moved(&mut self, before: &Slot, after: &Slot, is_reserved: bool) {
        let is_named = before.json_name() == after.json_name();
        let is_as_often = (before.is_list(), before.is_map()) == (after.is_list(), after.is_map());
        let is_typed = !matches!(type_break(before, after, self.way), Some(Codec::Both | Codec::Json));
        let is_read = is_named && is_as_often && is_typed;
        let verdict = match (is_read, is_reserved) {
            (true, true) => Verdict::Tightens,
            (true, false) => Verdict::Breaks(Codec::Proto),
            (false, true) => Verdict::Breaks(Codec::Json),
            (false, false) => Verdict::Breaks(Codec::Both),
        };
        let other = if is_read { "" } else { ", and is another one in JSON" };
        let what = format!("{} has another number, {}{other}", before.shown(), after.number());
        self.note(verdict, "FIELD_NO_DELETE_UNLESS_NUMBER_RESERVED", what);
        if is_read {
            self.values(before, after);
        }
    }

    /// What the values of a field hold.
    fn values(&mut self, before: &Slot, after: &Slot) {
        match (before.kind(), after.kind()) {
            (Kind::Message(was), Kind::Message(is)) => self.inner.push((was, is)),
            (Kind::Enum(was), Kind::Enum(is)) => self.enums(&was, &is),
            _ => {}
        }
    }

    /// JSON is read by either name, and written by the one.
    fn names(&mut self, before: &Slot, after: &Slot) {
        if before.json_name() != after.json_name() {
            let what = format!("{} is `{}` in JSON, and was `{}`", before.shown(), after.json_name(), before.json_name());
            self.note(Verdict::Breaks(Codec::Json), "FIELD_SAME_JSON_NAME", what);
        } else if before.name() != after.name() {
            let verdict = if self.way == Way::FromClients { Verdict::Breaks(Codec::Json) } else { Verdict::Changes };
            self.note(verdict, "FIELD_SAME_NAME", format!("{} is called `{}`", before.shown(), after.name()));
        }
    }

    fn often(&mut self, before: &Slot, after: &Slot) {
        let (was, is) = (Often::of(before), Often::of(after));
        let verdict = match (was, is) {
            _ if was == is => return,
            (Often::Optional, Often::Required) => self.breaks_if(Way::FromClients),
            (Often::Required, Often::Optional) => self.breaks_if(Way::ToClients),
            // A map is a list of entries on the wire.
            (Often::Repeated, Often::Map) | (Often::Map, Often::Repeated) => Verdict::Breaks(Codec::Json),
            _ => Verdict::Breaks(Codec::Both),
        };
        let what = format!("{} is {}, and was {}", before.shown(), is.name(), was.name());
        self.note(verdict, "FIELD_WIRE_COMPATIBLE_CARDINALITY", what);
    }

    fn breaks_if(&self, way: Way) -> Verdict {
        if self.way == way { Verdict::Breaks(Codec::Both) } else { Verdict::Changes }
    }

    /// Whether who reads it can tell what was not set from what was set to the default. Nobody is misread by it.
    fn presence(&mut self, before: &Slot, after: &Slot) {
        let is_plain = |field: &Slot| !field.is_list() && !field.is_map() && field.oneof().is_none() && field.kind().as_message().is_none();
        if is_plain(before) && is_plain(after) && before.has_presence() != after.has_presence() {
            let tells = if after.has_presence() { "tells now whether it was set" } else { "tells no longer whether it was set" };
            self.note(Verdict::Changes, "FIELD_SAME_CARDINALITY", format!("{} {tells}", before.shown()));
        }
    }

    /// Of the fields of a oneof the last one said counts, so that it matters which are in one. What it is called does not.
    fn oneof(&mut self, before: &Slot, after: &Slot) {
        let (was, is) = (siblings(before, after), siblings(after, before));
        let what = match (was, is) {
            (was, is) if was == is => return,
            (None, _) => "is in a oneof, and was in none",
            (_, None) => "is in no oneof, and was in one",
            _ => "shares its oneof with other fields than before",
        };
        self.note(Verdict::Breaks(Codec::Both), "FIELD_SAME_ONEOF", format!("{} {what}", before.shown()));
    }

    /// What is absent means something else to either side.
    fn default(&mut self, before: &Slot, after: &Slot) {
        let is_one = |field: &Slot| field.cardinality() != Cardinality::Repeated;
        let [was, is] = [before, after].map(default_of);
        if is_one(before) && is_one(after) && was != is && type_break(before, after, self.way).is_none() {
            let what = format!("the default of {} is `{is}`, and was `{was}`", before.shown());
            self.note(Verdict::Breaks(Codec::Both), "FIELD_SAME_DEFAULT", what);
        }
    }
}

/// What a field that is absent is read as: what is written, or its type's own. Values of enums by their numbers, which names may change.
fn default_of(field: &Slot) -> String {
    let written = field.default();
    let own = |own: &str| written.clone().unwrap_or_else(|| own.to_owned());
    match field.kind() {
        Kind::Enum(values) => {
            let written = written.and_then(|name| values.get_value_by_name(&name)).map(|value| value.number());
            written.unwrap_or_else(|| values.default_value().number()).to_string()
        }
        Kind::Float | Kind::Double => own("0").parse::<f64>().map_or_else(|_| own("0"), |number| number.to_string()),
        Kind::Bool => own("false"),
        Kind::String | Kind::Bytes | Kind::Message(_) => own(""),
        _ => own("0"),
    }
}

/// The numbers of a field's oneof that both versions have; nothing: it is in none.
fn siblings(field: &Slot, other: &Slot) -> Option<BTreeSet<u32>> {
    let (oneof, message) = (field.oneof()?, other.message());
    let known = |number: &u32| message.get_field(*number).is_some();
    Some(oneof.fields().map(|field| field.number()).filter(known).collect())
}

/// Whether a value is no longer read as it was written, and by whom.
fn type_break(before: &Slot, after: &Slot, way: Way) -> Option<Codec> {
    let (was, is) = (before.kind(), after.kind());
    let proto = match (&was, &is) {
        (Kind::String, Kind::Bytes) => true,
        // Bytes need not be text; text is bytes to whoever reads it.
        (Kind::Bytes, Kind::String) => way == Way::ToClients,
        _ => on_the_wire(before) == on_the_wire(after),
    };
    match (proto, in_json(&was) == in_json(&is)) {
        (true, true) => None,
        (true, false) => Some(Codec::Json),
        (false, true) => Some(Codec::Proto),
        (false, false) => Some(Codec::Both),
    }
}

/// Types with the same letter are read from each other's bytes.
fn on_the_wire(field: &Slot) -> char {
    match field.kind() {
        Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Bool => 'v',
        Kind::Sint32 | Kind::Sint64 => 'z',
        Kind::Fixed32 | Kind::Sfixed32 => '4',
        Kind::Fixed64 | Kind::Sfixed64 => '8',
        Kind::Float => 'f',
        Kind::Double => 'd',
        Kind::String => 's',
        Kind::Bytes => 'b',
        // Numbers are read, and may be none of the enum's.
        Kind::Enum(_) => 'e',
        Kind::Message(_) if field.is_group() => 'g',
        Kind::Message(_) => 'm',
    }
}

/// And here, from each other's JSON.
fn in_json(kind: &Kind) -> char {
    match kind {
        Kind::Int32 | Kind::Sint32 | Kind::Uint32 | Kind::Fixed32 | Kind::Sfixed32 => 'i',
        // As text.
        Kind::Int64 | Kind::Sint64 | Kind::Uint64 | Kind::Fixed64 | Kind::Sfixed64 => 'l',
        Kind::Float | Kind::Double => 'f',
        Kind::Bool => '1',
        Kind::String => 's',
        Kind::Bytes => 'b',
        Kind::Enum(_) => 'e',
        Kind::Message(_) => 'm',
    }
}

/// With its article.
fn type_name(field: &Slot) -> String {
    match field.kind() {
        Kind::Message(message) if field.is_group() => format!("a group `{}`", message.full_name()),
        Kind::Message(message) => format!("a message `{}`", message.full_name()),
        Kind::Enum(values) => format!("an enum `{}`", values.full_name()),
        // As it is written.
        scalar => {
            let name = format!("{scalar:?}").to_lowercase();
            format!("{} `{name}`", if name.starts_with('i') { "an" } else { "a" })
        }
    }
}

// === impl Often ===

impl Often {
    fn of(field: &Slot) -> Often {
        match field.cardinality() {
            _ if field.is_map() => Often::Map,
            Cardinality::Repeated => Often::Repeated,
            Cardinality::Required => Often::Required,
            Cardinality::Optional => Often::Optional,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Often::Optional => "optional",
            Often::Required => "required",
            Often::Repeated => "repeated",
            Often::Map => "a map",
        }
    }
}
