//! Schemas and random messages for the tests of this room.

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

use super::MessageType;

/// Every kind of field. Map fields have the numbers 50 to 59, and nothing else has.
pub(super) const NEW: &str = r#"
    syntax = "proto3"; package t;
    enum Colour { NONE = 0; RED = 1; BLUE = 7; }
    message All {
        bool truth = 1; int32 i32 = 2; int64 i64 = 3; sint32 s32 = 4; sint64 s64 = 5; uint32 u32 = 6; uint64 u64 = 7;
        fixed32 f32 = 8; fixed64 f64 = 9; sfixed32 sf32 = 10; sfixed64 sf64 = 11; float real = 12; double wide = 13;
        string text = 14; bytes data = 15; Colour colour = 16; Tree tree = 17;
        repeated int32 packed = 18; repeated sint64 unpacked = 19 [packed = false]; repeated string texts = 20; repeated fixed32 words = 21;
        repeated Tree trees = 22; optional string maybe = 23; optional int32 maybe_int = 24; optional bytes maybe_data = 25;
        oneof choice { string left = 26; Tree right = 27; int32 third = 28; Colour fourth = 29; bool far_choice = 2000; }
        map<string, string> labels = 50; map<int32, Tree> forest = 51; map<bool, Colour> colours = 52;
        string far = 1000; repeated double far_list = 1001; string secret = 1002 [debug_redact = true]; Vault vault = 1003;
        repeated bool truths = 1004; repeated Colour palette = 1005; optional Colour maybe_colour = 1006;
    }
    message Tree {
        string name = 1; Tree left = 2; Tree right = 3; int64 weight = 4; map<string, Tree> named = 53; repeated Tree rest = 5;
        oneof fruit { Tree apple = 6; Tree pear = 7; string worm = 8; }
        string key = 9 [debug_redact = true];
    }
    message Vault { bytes gold = 1 [debug_redact = true]; repeated uint64 pins = 2 [debug_redact = true]; Tree map = 3 [debug_redact = true]; string door = 4; }
"#;

/// What only proto2 has.
pub(super) const OLD: &str = r#"
    syntax = "proto2"; package o;
    enum Closed { ONE = 1; TWO = 2; }
    message Old {
        required string must = 1; optional int32 with_default = 2 [default = 41]; optional Closed closed = 3; repeated Closed many = 4;
        optional group Part = 5 { optional string name = 1; optional Old back = 2; repeated group Deep = 3 { optional bytes data = 1; } }
        repeated group Parts = 6 { optional int64 number = 1; }
        repeated int32 packed = 7 [packed = true]; optional bool yes = 8;
        oneof choice { string a = 9; group B = 10 { optional string inside = 1; } }
        map<string, Closed> named = 54;
        extensions 100 to 200;
    }
    extend Old { optional Old more = 100; repeated sint32 numbers = 101; optional string note = 102; }
"#;

struct Inline;

/// A small generator, so that a message is one number.
pub(super) struct Dice(pub u64);

/// The schemas, compiled once a thread.
pub(super) fn pool() -> DescriptorPool {
    thread_local! { static POOL: DescriptorPool = compile(); }
    POOL.with(DescriptorPool::clone)
}

fn compile() -> DescriptorPool {
    let mut resolver = ChainFileResolver::new();
    resolver.add(Inline);
    resolver.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).open_files(["new.proto", "old.proto"]).expect("the schemas compile");
    compiler.descriptor_pool()
}

pub(super) fn kind(name: &str) -> MessageType {
    MessageType::new(pool().get_message_by_name(name).expect("the type is declared"))
}

/// The dotted paths of all single scalars down to a depth.
pub(super) fn scalar_paths(kind: &MessageDescriptor, depth: u32) -> Vec<String> {
    let mut paths = Vec::new();
    for field in kind.fields().filter(|field| !field.is_list() && !field.is_map()) {
        match field.kind() {
            Kind::Message(inside) if depth > 0 => {
                paths.extend(scalar_paths(&inside, depth - 1).into_iter().map(|path| format!("{}.{path}", field.name())));
            }
            Kind::Message(_) | Kind::Float | Kind::Double => {}
            _ => paths.push(field.name().to_owned()),
        }
    }
    paths
}

/// A random message; strings are not masked text, so that masking can be seen.
pub(super) fn random(kind: &MessageDescriptor, dice: &mut Dice, depth: u32) -> DynamicMessage {
    let mut message = DynamicMessage::new(kind.clone());
    for field in kind.fields().collect::<Vec<_>>() {
        if dice.roll(3) != 0 || (depth == 0 && field.kind().as_message().is_some()) {
            continue;
        }
        let value = if field.is_map() {
            let entry = field.kind().as_message().expect("a map has entries").clone();
            let entries = (0..dice.roll(4)).map(|_| {
                let key = scalar(&entry.map_entry_key_field(), dice, depth);
                (key.into_map_key().expect("a key is a number, a bool or a string"), scalar(&entry.map_entry_value_field(), dice, depth))
            });
            Value::Map(entries.collect())
        } else if field.is_list() {
            Value::List((0..dice.roll(5)).map(|_| scalar(&field, dice, depth)).collect())
        } else {
            scalar(&field, dice, depth)
        };
        message.set_field(&field, value);
    }
    for extension in kind.extensions().filter(|_| depth > 0).collect::<Vec<_>>() {
        if dice.roll(3) == 0 && extension.name() == "note" {
            message.set_extension(&extension, Value::String("note".to_owned()));
        }
    }
    message
}

/// The encoding of a random message, then up to a few mutations.
pub(super) fn random_bytes(kind: &MessageDescriptor, dice: &mut Dice) -> Vec<u8> {
    let mut bytes = random(kind, dice, 3).encode_to_vec();
    for _ in 0..dice.roll(5) {
        mutate(&mut bytes, kind, dice);
    }
    bytes
}

fn mutate(bytes: &mut Vec<u8>, kind: &MessageDescriptor, dice: &mut Dice) {
    let at = dice.roll(bytes.len() as u64 + 1) as usize;
    match dice.roll(9) {
        0 => bytes.truncate(at),
        1 if at < bytes.len() => bytes[at] ^= 1 << dice.roll(8),
        2 if at < bytes.len() => drop(bytes.remove(at)),
        3 => bytes.insert(at, dice.roll(256) as u8),
        4 => bytes.extend(random(kind, dice, 2).encode_to_vec()),
        5 => bytes.extend([dice.field(), dice.roll(4) as u8, dice.roll(256) as u8]),
        // An unknown group with another inside, sometimes ended wrongly.
        6 => bytes.extend([0xf3, 0x3f, 0x08, 0x80, 0x00, 0xfb, 0x3f, 0xfc, 0x3f, 0xf4, 0x3f + (dice.roll(4) == 0) as u8]),
        7 => bytes.splice(at..at, [dice.field(), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, dice.roll(4) as u8]).for_each(drop),
        _ => {
            // A known field with a wire type of chance, and a value that may or may not fit.
            let fields: Vec<FieldDescriptor> = kind.fields().collect();
            let number = fields[dice.roll(fields.len() as u64) as usize].number();
            prost::encoding::encode_varint(u64::from(number << 3) | dice.roll(6), bytes);
            bytes.extend((0..dice.roll(9)).map(|_| dice.roll(6) as u8));
        }
    }
}

fn scalar(field: &FieldDescriptor, dice: &mut Dice, depth: u32) -> Value {
    // Small numbers and zeros matter as much as large ones.
    let number = if dice.roll(2) == 0 { dice.roll(3) } else { dice.next() };
    match field.kind() {
        Kind::Bool => Value::Bool(number.is_multiple_of(2)),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(number as i32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(number as i64),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(number as u32),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(number),
        Kind::Float => Value::F32(number as f32),
        Kind::Double => Value::F64(number as f64),
        Kind::String => Value::String("canäry".repeat(dice.roll(3) as usize)),
        Kind::Bytes => Value::Bytes(vec![0xca; dice.roll(40) as usize].into()),
        Kind::Enum(_) => Value::EnumNumber(number as i32),
        Kind::Message(inside) => Value::Message(if depth == 0 { DynamicMessage::new(inside) } else { random(&inside, dice, depth - 1) }),
    }
}

// === impl Dice ===

impl Dice {
    fn next(&mut self) -> u64 {
        // The mixer of splitmix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn roll(&mut self, sides: u64) -> u64 {
        self.next() % sides
    }

    /// A key of one byte.
    fn field(&mut self) -> u8 {
        8 + self.roll(120) as u8
    }
}

// === impl Inline ===

impl FileResolver for Inline {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match name {
            "new.proto" => File::from_source(name, NEW),
            "old.proto" => File::from_source(name, OLD),
            _ => Err(protox::Error::file_not_found(name)),
        }
    }
}
