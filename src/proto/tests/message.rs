//! Random bytes that are messages, nearly messages, or were messages until something happened to them.

use proptest::prelude::*;
use prost::encoding::{WireType, encode_key, encode_varint};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use crate::proto::MessageType;

/// Decisions, taken one after the other from random bytes; zero when there are none left, so that less is simpler.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        let Some((byte, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *byte
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 1
    }

    /// Small, negative, large, and everything that is near a boundary.
    fn number(&mut self) -> u64 {
        match self.below(6) {
            0 => 0,
            1 => u64::from(self.byte()),
            2 => (self.byte() as i8) as i64 as u64,
            3 => u64::MAX >> (self.byte() % 64),
            4 => 1 << (self.byte() % 64),
            _ => u64::from_le_bytes(std::array::from_fn(|_| self.byte())),
        }
    }
}

/// The bytes of a message of this type: fields in any order, some twice, some unknown, some of the wrong wire type.
pub fn bytes_of(kind: &MessageType) -> impl Strategy<Value = Vec<u8>> + use<> {
    let descriptor = kind.descriptor().clone();
    prop::collection::vec(any::<u8>(), 0..400).prop_map(move |choices| {
        let mut out = Vec::new();
        message(&descriptor, &mut Choices(&choices), 4, &mut out);
        out
    })
}

/// Such bytes after an accident: cut, changed, or with something put in.
pub fn damaged_bytes_of(kind: &MessageType) -> impl Strategy<Value = Vec<u8>> + use<> {
    let accidents = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..5u8), 0..4);
    (bytes_of(kind), accidents).prop_map(|(mut bytes, accidents)| {
        for (at, byte, accident) in accidents {
            let at = at.index(bytes.len() + 1);
            match accident {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, byte),
                _ if at == bytes.len() => bytes.push(byte),
                2 => _ = bytes.remove(at),
                3 => bytes[at] ^= 1 << (byte % 8),
                _ => bytes[at] = byte,
            }
        }
        bytes
    })
}

fn message(descriptor: &MessageDescriptor, choices: &mut Choices<'_>, depth: usize, out: &mut Vec<u8>) {
    let fields: Vec<FieldDescriptor> = descriptor.fields().collect();
    for _ in 0..choices.below(8) {
        if choices.chance(12) {
            unknown(choices, 3, out);
        } else {
            field(&fields[choices.below(fields.len())], choices, depth, out);
        }
    }
}

fn field(field: &FieldDescriptor, choices: &mut Choices<'_>, depth: usize, out: &mut Vec<u8>) {
    let (number, kind) = (field.number(), field.kind());
    let packed = field.is_list() && packable(&kind) && choices.chance(2);
    if packed {
        let mut body = Vec::new();
        (0..choices.below(12)).for_each(|_| scalar(&kind, choices, &mut body));
        delimited(number, &body, out);
        return;
    }
    match &kind {
        Kind::Message(_) if depth == 0 => {}
        Kind::Message(inner) if field.is_group() => {
            encode_key(number, WireType::StartGroup, out);
            message(inner, choices, depth - 1, out);
            encode_key(number, WireType::EndGroup, out);
        }
        Kind::Message(inner) => {
            let mut body = Vec::new();
            message(inner, choices, depth - 1, &mut body);
            delimited(number, &body, out);
        }
        Kind::String => {
            let text = if choices.chance(20) {
                vec![0xff, 0x61]
            } else {
                "aé漢🎲".chars().cycle().take(choices.below(9)).collect::<String>().into()
            };
            delimited(number, &text, out);
        }
        Kind::Bytes => delimited(number, &vec![choices.byte(); choices.below(5)], out),
        kind => {
            encode_key(number, kind.wire_type(), out);
            scalar(kind, choices, out);
        }
    }
}

fn scalar(kind: &Kind, choices: &mut Choices<'_>, out: &mut Vec<u8>) {
    let number = choices.number();
    match kind.wire_type() {
        WireType::ThirtyTwoBit => out.extend_from_slice(&number.to_le_bytes()[..4]),
        WireType::SixtyFourBit => out.extend_from_slice(&number.to_le_bytes()),
        _ if choices.chance(8) => out.extend_from_slice(&[0x80 | number as u8, 0x80, 0]),
        _ => encode_varint(number, out),
    }
}

fn unknown(choices: &mut Choices<'_>, depth: usize, out: &mut Vec<u8>) {
    let number = 1000 + choices.below(3) as u32;
    match choices.below(5) {
        0 => {
            encode_key(number, WireType::Varint, out);
            encode_varint(choices.number(), out);
        }
        1 => delimited(number, b"unknown", out),
        2 => {
            encode_key(number, WireType::ThirtyTwoBit, out);
            out.extend_from_slice(&[1, 2, 3, 4]);
        }
        3 if depth > 0 => {
            encode_key(number, WireType::StartGroup, out);
            (0..choices.below(3)).for_each(|_| unknown(choices, depth - 1, out));
            encode_key(number, WireType::EndGroup, out);
        }
        _ => {
            encode_key(number, WireType::SixtyFourBit, out);
            out.extend_from_slice(&[8; 8]);
        }
    }
}

fn packable(kind: &Kind) -> bool {
    !matches!(kind, Kind::String | Kind::Bytes | Kind::Message(_))
}

pub fn delimited(number: u32, body: &[u8], out: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(body.len() as u64, out);
    out.extend_from_slice(body);
}
