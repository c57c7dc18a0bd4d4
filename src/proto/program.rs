//! What the walker runs: for each message type a table of its fields, and for each route the fields it wants to read.
//!
//! Promises: a pool's tables are made once and shared by all its routes, however types refer to each other; finding a field
//! is an array access for the numbers people use.

use std::collections::{HashMap, HashSet};

use prost_reflect::{Cardinality, DescriptorPool, Kind, MessageDescriptor};

use super::read::Wire;
use super::secret::is_secret;
use super::{FieldPath, Value};

/// Field numbers below this are found by index, others by binary search. With 8 bytes a field, a table stays within 2 KiB
/// however sparse its numbers are.
const DENSE: u32 = 256;

/// The tables of all messages of one pool.
pub(super) struct Shapes {
    shapes: Vec<Shape>,
    by_name: HashMap<String, u32>,
}

/// The fields of one message type.
pub(super) struct Shape {
    /// A map's entry: on the wire a message, to people a part of the one that holds the map.
    pub is_entry: bool,
    /// `google.protobuf.Any`, whose bytes are another message.
    pub is_any: bool,
    dense: Box<[Field]>,
    sparse: Box<[(u32, Field)]>,
}

/// One field: how its value is laid out, and which shape a message in it has.
#[derive(Clone, Copy)]
pub(super) struct Field {
    pub layout: Layout,
    /// The wire type that `layout` has, as its three bits in a key.
    pub wire: u8,
    /// Lists and maps.
    pub repeated: bool,
    /// Marked `debug_redact` in the descriptor, or called as secrets are.
    pub redact: bool,
    pub shape: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Layout {
    Unknown,
    Varint,
    Fixed32,
    Fixed64,
    String,
    Bytes,
    Message,
    Group,
    /// Lists of numbers. Readers take single elements for these too, and packed lists for fields that say `packed = false`.
    PackedVarint,
    PackedFixed32,
    PackedFixed64,
}

/// The fields of one message that a route reads, or that lead to such fields.
#[derive(Clone, Default)]
pub(super) struct Track {
    /// Bit `n` is set when a field is watched whose number ends in these six bits: most fields are not, and are passed by.
    mask: u64,
    watches: Vec<Watch>,
}

/// What happens when a field is met.
#[derive(Clone)]
pub(super) struct Watch {
    number: u32,
    /// Values of the other members of this field's oneof: they are gone.
    pub clears: Vec<u16>,
    pub action: Action,
}

#[derive(Clone)]
pub(super) enum Action {
    /// It matters for its oneof only.
    Nothing,
    /// It is decoded into these values; two users of one field have one each.
    Read(Vec<u16>, Decode),
    /// It is a message that holds what is wanted.
    Enter(Track),
}

/// How the bits of a number become a value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Decode {
    Bool,
    Int32,
    Int64,
    Sint32,
    Sint64,
    Uint32,
    Uint64,
    Float,
    Double,
    /// A string or bytes: no bits to decode.
    Bytes,
}

/// A field that the type does not have; no key has its wire type.
static UNKNOWN: Field = Field { layout: Layout::Unknown, wire: u8::MAX, repeated: false, redact: false, shape: 0 };

// === impl Shapes ===

impl Shapes {
    /// `redacted` holds the full names of the fields marked `debug_redact`.
    pub fn compile(pool: &DescriptorPool, redacted: &HashSet<String>) -> Shapes {
        let by_name: HashMap<String, u32> = pool.all_messages().map(|message| message.full_name().to_owned()).zip(0..).collect();
        let shapes = pool.all_messages().map(|message| Shape::compile(&message, &by_name, redacted)).collect();
        Shapes { shapes, by_name }
    }

    #[inline(always)]
    pub fn shape(&self, index: u32) -> &Shape {
        &self.shapes[index as usize]
    }

    pub fn index(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }
}

// === impl Shape ===

impl Shape {
    #[inline(always)]
    pub fn field(&self, number: u32) -> &Field {
        match self.dense.get(number as usize) {
            Some(field) => field,
            None => self.sparse_field(number),
        }
    }

    #[inline(never)]
    fn sparse_field(&self, number: u32) -> &Field {
        self.sparse.binary_search_by_key(&number, |(number, _)| *number).map_or(&UNKNOWN, |at| &self.sparse[at].1)
    }

    fn compile(message: &MessageDescriptor, by_name: &HashMap<String, u32>, redacted: &HashSet<String>) -> Shape {
        let known = message.fields().map(|field| {
            let redact = redacted.contains(field.full_name()) || is_secret(field.name(), &field.kind());
            (field.number(), Field::of(&field.kind(), field.is_group(), field.cardinality(), redact, by_name))
        });
        let extensions = message.extensions().map(|field| {
            let redact = redacted.contains(field.full_name()) || is_secret(field.name(), &field.kind());
            (field.number(), Field::of(&field.kind(), field.is_group(), field.cardinality(), redact, by_name))
        });
        let mut fields: Vec<(u32, Field)> = known.chain(extensions).collect();
        fields.sort_by_key(|(number, _)| *number);
        let sparse = fields.split_off(fields.partition_point(|(number, _)| *number < DENSE));
        let mut dense = vec![UNKNOWN; fields.last().map_or(0, |(number, _)| *number as usize + 1)];
        for (number, field) in fields {
            dense[number as usize] = field;
        }
        Shape {
            is_entry: message.is_map_entry(),
            is_any: message.full_name() == "google.protobuf.Any",
            dense: dense.into(),
            sparse: sparse.into(),
        }
    }
}

// === impl Field ===

impl Field {
    fn of(kind: &Kind, is_group: bool, cardinality: Cardinality, redact: bool, by_name: &HashMap<String, u32>) -> Field {
        let repeated = cardinality == Cardinality::Repeated;
        let layout = Layout::of(kind, is_group, repeated);
        let shape = kind.as_message().map_or(0, |message| by_name[message.full_name()]);
        Field { layout, wire: layout.wire() as u8, repeated, redact, shape }
    }
}

// === impl Layout ===

impl Layout {
    fn of(kind: &Kind, is_group: bool, repeated: bool) -> Layout {
        match (kind, repeated) {
            (Kind::Fixed32 | Kind::Sfixed32 | Kind::Float, false) => Layout::Fixed32,
            (Kind::Fixed32 | Kind::Sfixed32 | Kind::Float, true) => Layout::PackedFixed32,
            (Kind::Fixed64 | Kind::Sfixed64 | Kind::Double, false) => Layout::Fixed64,
            (Kind::Fixed64 | Kind::Sfixed64 | Kind::Double, true) => Layout::PackedFixed64,
            (Kind::String, _) => Layout::String,
            (Kind::Bytes, _) => Layout::Bytes,
            (Kind::Message(_), _) if is_group => Layout::Group,
            (Kind::Message(_), _) => Layout::Message,
            (_, false) => Layout::Varint,
            (_, true) => Layout::PackedVarint,
        }
    }

    fn wire(self) -> Wire {
        match self {
            Layout::Unknown | Layout::Varint => Wire::Varint,
            Layout::Fixed32 => Wire::Fixed32,
            Layout::Fixed64 => Wire::Fixed64,
            Layout::Group => Wire::StartGroup,
            Layout::String | Layout::Bytes | Layout::Message => Wire::Len,
            Layout::PackedVarint | Layout::PackedFixed32 | Layout::PackedFixed64 => Wire::Len,
        }
    }
}

// === impl Track ===

impl Track {
    /// The fields of `root` that the paths lead to; `None` when there are none. A path that can lead to more than one value, or
    /// to a message, is not followed.
    pub fn compile(root: &MessageDescriptor, paths: &[FieldPath]) -> Option<Track> {
        let mut track = Track::default();
        for (slot, path) in (0..).zip(paths) {
            if path.is_scalar() {
                track.insert(path.numbers(), slot, Decode::of(&path.leaf().kind()));
            }
        }
        track.clear_oneofs(root);
        (!track.watches.is_empty()).then_some(track)
    }

    #[inline(always)]
    pub fn find(&self, number: u32) -> Option<&Watch> {
        if self.mask & bit(number) == 0 { None } else { self.watches.iter().find(|watch| watch.number == number) }
    }

    fn insert(&mut self, numbers: &[u32], slot: u16, decode: Decode) {
        let (number, below) = numbers.split_first().expect("a path has at least one field");
        let action = &mut self.watch(*number).action;
        if below.is_empty() {
            match action {
                Action::Read(slots, _) => slots.push(slot),
                other => *other = Action::Read(vec![slot], decode),
            }
        } else {
            if !matches!(action, Action::Enter(_)) {
                *action = Action::Enter(Track::default());
            }
            if let Action::Enter(track) = action {
                track.insert(below, slot, decode);
            }
        }
    }

    fn watch(&mut self, number: u32) -> &mut Watch {
        let at = self.watches.iter().position(|watch| watch.number == number).unwrap_or_else(|| {
            self.mask |= bit(number);
            self.watches.push(Watch { number, clears: Vec::new(), action: Action::Nothing });
            self.watches.len() - 1
        });
        &mut self.watches[at]
    }

    /// Makes each member of a oneof that holds something wanted clear what the other members hold.
    fn clear_oneofs(&mut self, message: &MessageDescriptor) {
        for oneof in message.oneofs() {
            let members: Vec<u32> = oneof.fields().map(|field| field.number()).collect();
            let held: Vec<(u32, Vec<u16>)> = members.iter().filter_map(|number| Some((*number, self.find(*number)?.slots()))).collect();
            if held.is_empty() {
                continue;
            }
            for number in members {
                let others = held.iter().filter(|(member, _)| *member != number);
                self.watch(number).clears = others.flat_map(|(_, slots)| slots).copied().collect();
            }
        }
        for watch in &mut self.watches {
            if let Action::Enter(track) = &mut watch.action {
                let kind = message.get_field(watch.number).expect("paths are resolved against this message").kind();
                track.clear_oneofs(kind.as_message().expect("paths go on in messages only"));
            }
        }
    }
}

// === impl Watch ===

impl Watch {
    /// What is wanted of the message in this field.
    #[inline]
    pub fn track(&self) -> Option<&Track> {
        match &self.action {
            Action::Enter(track) => Some(track),
            Action::Nothing | Action::Read(..) => None,
        }
    }

    /// Every value that is read here or below.
    fn slots(&self) -> Vec<u16> {
        match &self.action {
            Action::Nothing => Vec::new(),
            Action::Read(slots, _) => slots.clone(),
            Action::Enter(track) => track.watches.iter().flat_map(Watch::slots).collect(),
        }
    }
}

// === impl Decode ===

impl Decode {
    /// Narrow kinds keep the low bits of what is on the wire, as every protobuf implementation does.
    pub fn value<'m>(self, bits: u64) -> Value<'m> {
        match self {
            Decode::Bool => Value::Bool(bits != 0),
            Decode::Int32 => Value::Int((bits as i32).into()),
            Decode::Int64 => Value::Int(bits as i64),
            Decode::Sint32 => Value::Int(((bits as u32 >> 1) as i32 ^ -((bits & 1) as i32)).into()),
            Decode::Sint64 => Value::Int((bits >> 1) as i64 ^ -((bits & 1) as i64)),
            Decode::Uint32 => Value::Uint((bits as u32).into()),
            Decode::Uint64 => Value::Uint(bits),
            Decode::Float => Value::Float(f32::from_bits(bits as u32).into()),
            Decode::Double => Value::Float(f64::from_bits(bits)),
            Decode::Bytes => Value::Absent,
        }
    }

    pub fn of(kind: &Kind) -> Decode {
        match kind {
            Kind::Bool => Decode::Bool,
            Kind::Int32 | Kind::Sfixed32 | Kind::Enum(_) => Decode::Int32,
            Kind::Int64 | Kind::Sfixed64 => Decode::Int64,
            Kind::Sint32 => Decode::Sint32,
            Kind::Sint64 => Decode::Sint64,
            Kind::Uint32 | Kind::Fixed32 => Decode::Uint32,
            Kind::Uint64 | Kind::Fixed64 => Decode::Uint64,
            Kind::Float => Decode::Float,
            Kind::Double => Decode::Double,
            Kind::String | Kind::Bytes | Kind::Message(_) => Decode::Bytes,
        }
    }
}

fn bit(number: u32) -> u64 {
    1 << (number % 64)
}
