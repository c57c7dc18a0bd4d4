//! Masks what must not be shown, in place and without changing a length, so that a masked message still decodes and logs tell its shape.
//!
//! Masked are the fields that a path names, the fields that the schema marks `debug_redact`, wherever their type is used, everything
//! inside them, and every field that the schema does not name: nobody has said that those may be shown. Text and bytes become asterisks,
//! numbers become zero.

use super::program::{Field, Program, Shape, Table};
use super::raw::{self, COUNTED, DEPTH_MAX, END, FIXED32, FIXED64, GROUP, VARINT};
use super::walk::WalkProblem;
use super::{FieldPath, MessageType};

/// A compiled mask of one message type.
pub struct Redact {
    program: Program,
}

/// Where in the types and in the paths the mask stands.
#[derive(Clone, Copy)]
struct Place {
    table: Table,
    node: Option<u32>,
    depth: u32,
    /// The number of the group that is open, or 0 in a message, which ends where its bytes end.
    group: u32,
    /// Everything here is secret.
    secret: bool,
}

// === impl Redact ===

impl Redact {
    /// Compiles a mask. Paths may lead through lists and maps, and may end in a message, which is then masked as a whole.
    pub fn compile(root: &MessageType, paths: &[FieldPath]) -> Redact {
        let mut program = Program::compile(root.descriptor(), true);
        for path in paths {
            program.hide(path.fields());
        }
        Redact { program }
    }

    /// Masks a message. If this fails the message is masked up to some point only, and must not be shown.
    pub fn apply(&self, message: &mut [u8]) -> Result<(), WalkProblem> {
        let (table, node) = self.program.start();
        self.fields(message, Place { table, node, depth: 0, group: 0, secret: false }).map(|_| ())
    }

    /// Masks the fields of one message or group and returns how many bytes they took.
    fn fields(&self, message: &mut [u8], place: Place) -> Result<usize, WalkProblem> {
        let near = self.program.near(place.table);
        let node = self.program.node(place.node);
        let mut at = 0;
        while at < message.len() {
            let (number, wire, after) = raw::key(&message[at..])?;
            at = message.len() - after.len();
            if wire == END {
                return if number == place.group { Ok(at) } else { Err(WalkProblem::Group(number)) };
            }
            let field = near.get(number as usize).copied().unwrap_or_else(|| self.program.far(place.table, number));
            let step = node.and_then(|node| node.at(number));
            let secret = place.secret || field.secret || field.shape == Shape::Unknown || step.is_some_and(|step| step.secret);
            let inside = Place {
                // Of an unknown field also the inside is unknown.
                table: if field.shape == Shape::Unknown { Table::default() } else { self.program.table(field.table) },
                node: step.and_then(|step| step.node),
                depth: place.depth + 1,
                group: if wire == GROUP { number } else { 0 },
                secret,
            };
            at += self.value(&mut message[at..], number, wire, field, inside)?;
        }
        if place.group == 0 { Ok(at) } else { Err(WalkProblem::Truncated) }
    }

    /// Masks one value and returns how many bytes it took.
    fn value(&self, bytes: &mut [u8], number: u32, wire: u32, field: Field, inside: Place) -> Result<usize, WalkProblem> {
        let length = bytes.len();
        match wire {
            VARINT => {
                let taken = length - raw::varint(bytes)?.1.len();
                if inside.secret {
                    zero(&mut bytes[..taken]);
                }
                Ok(taken)
            }
            FIXED32 | FIXED64 => {
                let width = if wire == FIXED32 { 4 } else { 8 };
                let value = bytes.get_mut(..width).ok_or(WalkProblem::Truncated)?;
                if inside.secret {
                    value.fill(0);
                }
                Ok(width)
            }
            GROUP if !matches!(field.shape, Shape::Group | Shape::Unknown) => Err(WalkProblem::WireType(number)),
            GROUP if inside.depth > DEPTH_MAX => Err(WalkProblem::Deep),
            GROUP => self.fields(bytes, inside),
            COUNTED => {
                let (value, rest) = raw::counted(bytes)?;
                let (end, start) = (length - rest.len(), length - rest.len() - value.len());
                self.counted(&mut bytes[start..end], field, inside)?;
                Ok(end)
            }
            _ => Err(WalkProblem::Key),
        }
    }

    fn counted(&self, value: &mut [u8], field: Field, inside: Place) -> Result<(), WalkProblem> {
        match field.shape {
            Shape::Message | Shape::Map if inside.depth > DEPTH_MAX => return Err(WalkProblem::Deep),
            Shape::Message | Shape::Map => {
                self.fields(value, inside)?;
            }
            _ if !inside.secret => {}
            Shape::Fixed32 | Shape::Fixed64 => value.fill(0),
            Shape::Varint => zero(value),
            Shape::Text | Shape::Bytes | Shape::Unknown | Shape::Group => value.fill(b'*'),
        }
        Ok(())
    }
}

/// Turns whole varints into zeros of the same lengths: the continuation bits stay, the rest goes.
fn zero(varints: &mut [u8]) {
    for byte in varints {
        *byte &= 0x80;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;
    use prost_reflect::{DynamicMessage, Value};

    use super::*;
    use crate::proto::fixture::{self, Dice};
    use crate::proto::{UnknownPolicy, Values, Walk, WalkOptions};

    fn mask(name: &str, paths: &[&str]) -> Redact {
        let kind = fixture::kind(name);
        let paths: Vec<FieldPath> = paths.iter().map(|path| FieldPath::resolve(&kind, path).expect("the path exists")).collect();
        Redact::compile(&kind, &paths)
    }

    fn applied(mask: &Redact, name: &str, mut message: Vec<u8>) -> (Vec<u8>, DynamicMessage) {
        let length = message.len();
        mask.apply(&mut message).expect("the message is whole");
        assert_eq!(message.len(), length);
        let decoded = DynamicMessage::decode(fixture::kind(name).descriptor().clone(), &message[..]).expect("a masked message decodes");
        (message, decoded)
    }

    fn contains(bytes: &[u8], part: &[u8]) -> bool {
        bytes.windows(part.len()).any(|window| window == part)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

        #[test]
        fn what_the_walker_accepts_can_be_masked_and_decodes(seed: u64) {
            let mut dice = Dice(seed);
            for (name, paths) in [("t.All", &["texts", "trees.left", "forest.name", "right", "packed", "real"][..]), ("o.Old", &["part", "named"])] {
                let kind = fixture::kind(name);
                let walk = Walk::compile(&kind, &[], WalkOptions { unknown_fields: UnknownPolicy::Pass });
                let mask = mask(name, paths);
                for _ in 0..10 {
                    let message = fixture::random_bytes(kind.descriptor(), &mut dice);
                    if walk.run(&message, &mut Values::default()).is_ok() {
                        applied(&mask, name, message);
                    } else {
                        // It must not panic; what it says does not matter.
                        mask.apply(&mut message.clone()).ok();
                    }
                }
            }
        }

        #[test]
        fn masking_everything_leaves_nothing(seed: u64) {
            let kind = fixture::kind("t.Tree");
            let paths = ["name", "left", "right", "weight", "named", "rest", "apple", "pear", "worm"];
            let message = fixture::random(kind.descriptor(), &mut Dice(seed), 4).encode_to_vec();
            let (bytes, _) = applied(&mask("t.Tree", &paths), "t.Tree", message);
            prop_assert!(!contains(&bytes, "can".as_bytes()));
        }
    }

    #[test]
    fn marked_fields_are_masked_wherever_they_are() {
        let kind = fixture::kind("t.All");
        let mut message = DynamicMessage::new(kind.descriptor().clone());
        let pool = kind.descriptor().parent_pool().clone();
        let tree = |key: &str| {
            let mut tree = DynamicMessage::new(pool.get_message_by_name("t.Tree").expect("declared"));
            tree.set_field_by_name("key", Value::String(key.to_owned()));
            tree.set_field_by_name("name", Value::String("shown".to_owned()));
            tree
        };
        let mut outer = tree("canary");
        outer.set_field_by_name("rest", Value::List(vec![Value::Message(tree("canary"))]));
        outer.set_field_by_name(
            "named",
            Value::Map([(prost_reflect::MapKey::String("k".to_owned()), Value::Message(tree("canary")))].into()),
        );
        let mut vault = DynamicMessage::new(pool.get_message_by_name("t.Vault").expect("declared"));
        vault.set_field_by_name("gold", Value::Bytes(b"canary".as_slice().into()));
        vault.set_field_by_name("pins", Value::List(vec![Value::U64(1234), Value::U64(u64::MAX)]));
        vault.set_field_by_name(
            "map",
            Value::Message({
                let mut tree = tree("canary");
                tree.set_field_by_name("name", Value::String("canary".to_owned()));
                tree
            }),
        );
        vault.set_field_by_name("door", Value::String("open".to_owned()));
        message.set_field_by_name("forest", Value::Map([(prost_reflect::MapKey::I32(4), Value::Message(outer))].into()));
        message.set_field_by_name("vault", Value::Message(vault));
        message.set_field_by_name("secret", Value::String("canary".to_owned()));

        let (bytes, decoded) = applied(&mask("t.All", &[]), "t.All", message.encode_to_vec());
        assert!(!contains(&bytes, b"canary"));
        assert_eq!(bytes.windows(5).filter(|window| window == b"shown").count(), 3, "what is not marked stays");
        assert!(contains(&bytes, b"open"));
        let vault = decoded.get_field_by_name("vault").expect("declared").into_owned();
        let pins = vault.as_message().expect("a message").get_field_by_name("pins").expect("declared").into_owned();
        assert!(pins == Value::List(vec![Value::U64(0), Value::U64(0)]));
    }

    #[test]
    fn paths_lead_through_lists_and_maps() {
        // trees { name: "secret" left { name: "shown" } }, forest { key: 4 value { name: "secret" } }, labels { "shown": "shown" }
        let message = b"\xb2\x01\x11\x0a\x06secret\x12\x07\x0a\x05shown\x9a\x03\x0c\x08\x04\x12\x08\x0a\x06secret\x92\x03\x0e\x0a\x05shown\x12\x05shown";
        let (bytes, _) = applied(&mask("t.All", &["trees.name", "forest.name"]), "t.All", message.to_vec());
        assert!(!contains(&bytes, b"secret"));
        assert_eq!(bytes.windows(5).filter(|window| window == b"shown").count(), 3);
        let (bytes, _) = applied(&mask("t.All", &["trees", "forest", "labels"]), "t.All", message.to_vec());
        assert!(!contains(&bytes, b"secret") && !contains(&bytes, b"shown"));
    }

    #[test]
    fn numbers_become_long_zeros_and_unknown_fields_are_masked() {
        let (bytes, _) = applied(&mask("t.All", &["i64"]), "t.All", b"\x18\xff\xff\x03\x10\x05\xfa\x3f\x02hi\xf8\x3f\x07".to_vec());
        assert_eq!(bytes, b"\x18\x80\x80\x00\x10\x05\xfa\x3f\x02**\xf8\x3f\x00");
    }
}
