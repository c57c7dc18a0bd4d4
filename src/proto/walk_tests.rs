//! The walker against the reflecting decoder, and against bombs.

use proptest::prelude::*;
use prost::Message;
use prost::encoding::encode_varint;
use prost_reflect::{DynamicMessage, Value as Reflected};

use super::*;
use crate::proto::fixture::{self, Dice};

const PASS: WalkOptions = WalkOptions { unknown_fields: UnknownPolicy::Pass };

/// A walk with all the paths it takes out.
struct Case {
    kind: MessageType,
    paths: Vec<FieldPath>,
    walk: Walk,
}

fn case(name: &str) -> Case {
    let kind = fixture::kind(name);
    let texts = fixture::scalar_paths(kind.descriptor(), 2);
    let paths: Vec<FieldPath> = texts.iter().map(|text| FieldPath::resolve(&kind, text).expect("the path exists")).collect();
    let walk = Walk::compile(&kind, &paths, PASS);
    Case { kind, paths, walk }
}

fn run<'m>(walk: &Walk, message: &'m [u8]) -> Result<Values<'m>, WalkProblem> {
    let mut values = Values::default();
    walk.run(message, &mut values).map(|()| values)
}

fn verdict(name: &str, message: &[u8]) -> Result<(), WalkProblem> {
    run(&Walk::compile(&fixture::kind(name), &[], PASS), message).map(|_| ())
}

/// What the reflecting decoder has at a path, as text, because its values borrow and ours do too.
fn reflected(message: &DynamicMessage, path: &FieldPath) -> String {
    let (last, way) = path.fields().split_last().expect("a path is not empty");
    let mut message = message.clone();
    for field in way {
        if !message.has_field(field) {
            return format!("{:?}", Value::Absent);
        }
        message = message.get_field(field).as_message().expect("only the end of a path is a scalar").clone();
    }
    if !message.has_field(last) {
        return format!("{:?}", Value::Absent);
    }
    let value = message.get_field(last).into_owned();
    let expected = match &value {
        Reflected::Bool(value) => Value::Bool(*value),
        Reflected::I32(value) | Reflected::EnumNumber(value) => Value::Int(i64::from(*value)),
        Reflected::I64(value) => Value::Int(*value),
        Reflected::U32(value) => Value::Uint(u64::from(*value)),
        Reflected::U64(value) => Value::Uint(*value),
        Reflected::String(value) => Value::Str(value),
        Reflected::Bytes(value) => Value::Bytes(value),
        _ => unreachable!("the path ends in a scalar"),
    };
    format!("{expected:?}")
}

/// True for refusals that the decoder does not share on purpose: the bounds, and map fields (50 to 59 here) of another wire type.
fn is_stricter(problem: WalkProblem) -> bool {
    match problem {
        WalkProblem::Deep | WalkProblem::Elements | WalkProblem::UnknownCount => true,
        WalkProblem::WireType(number) | WalkProblem::Group(number) => (50..60).contains(&number),
        _ => false,
    }
}

fn check(case: &Case, bytes: &[u8]) {
    let decoded = DynamicMessage::decode(case.kind.descriptor().clone(), bytes);
    match (decoded, run(&case.walk, bytes)) {
        (Ok(message), Ok(values)) => {
            for (index, path) in case.paths.iter().enumerate() {
                assert_eq!(format!("{:?}", values.get(index)), reflected(&message, path), "{} in {bytes:02x?}", path.text());
            }
        }
        (Ok(_), Err(problem)) => assert!(is_stricter(problem), "refused: {problem} in {bytes:02x?}"),
        (Err(problem), Ok(_)) => panic!("accepted, but {problem}: {bytes:02x?}"),
        (Err(_), Err(_)) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_walk_judges_as_the_decoder_does(seed: u64) {
        thread_local! { static CASES: [Case; 3] = [case("t.All"), case("t.Tree"), case("o.Old")]; }
        let mut dice = Dice(seed);
        CASES.with(|cases| for case in cases {
            for _ in 0..60 {
                check(case, &fixture::random_bytes(case.kind.descriptor(), &mut dice));
            }
        });
    }

    #[test]
    fn a_walk_survives_anything(bytes: Vec<u8>) {
        thread_local! { static CASE: Case = case("o.Old"); }
        CASE.with(|case| check(case, &bytes));
    }
}

#[test]
fn every_prefix_is_judged_as_the_decoder_does() {
    for name in ["t.All", "o.Old"] {
        let case = case(name);
        let bytes = fixture::random(case.kind.descriptor(), &mut Dice(7), 3).encode_to_vec();
        (0..=bytes.len().min(400)).for_each(|end| check(&case, &bytes[..end]));
    }
}

#[test]
fn a_path_means_one_place_of_a_type() {
    let kind = fixture::kind("t.All");
    let path = FieldPath::resolve(&kind, "tree.left.name").expect("the path exists");
    let walk = Walk::compile(&kind, &[path.clone(), path], PASS);
    // tree { name: "a", right { name: "b" }, left { name: "c" } }, trees { left { name: "d" } }
    let message = b"\x8a\x01\x0d\x0a\x01a\x1a\x03\x0a\x01b\x12\x03\x0a\x01c\xb2\x01\x05\x12\x03\x0a\x01d";
    let values = run(&walk, message).expect("the message is whole");
    assert_eq!((values.get(0), values.get(1), values.get(2)), (Value::Str("c"), Value::Str("c"), Value::Absent));
}

#[test]
fn a_later_member_clears_what_is_inside_an_earlier_one() {
    let kind = fixture::kind("t.Tree");
    let walk = Walk::compile(&kind, &[FieldPath::resolve(&kind, "apple.apple.name").expect("the path exists")], PASS);
    let apple = b"\x32\x05\x32\x03\x0a\x01x";
    assert_eq!(run(&walk, apple).expect("whole").get(0), Value::Str("x"));
    for later in [&b"\x42\x00"[..], b"\x3a\x00", b"\x32\x02\x3a\x00"] {
        assert_eq!(run(&walk, &[apple, later].concat()).expect("whole").get(0), Value::Absent, "{later:02x?}");
    }
    assert_eq!(run(&walk, &[&apple[..], b"\x32\x00"].concat()).expect("whole").get(0), Value::Str("x"), "the same member merges");
}

#[test]
fn a_map_of_another_wire_type_is_refused() {
    // labels as a varint: the decoder reads a map entry of two bytes, a service would read an unknown number and then field 1.
    let message = [0x90, 0x03, 0x02, 0x08, 0x01];
    assert_eq!(verdict("t.All", &message), Err(WalkProblem::WireType(50)));
}

#[test]
fn unknown_fields_pass_or_not() {
    let kind = fixture::kind("t.Tree");
    let strict = Walk::compile(&kind, &[], WalkOptions { unknown_fields: UnknownPolicy::Reject });
    assert_eq!(run(&strict, b"\x12\x03\xf8\x3f\x01").map(|_| ()), Err(WalkProblem::Unknown(1023)));
    assert_eq!(WalkProblem::Unknown(1023).to_string(), "field 1023 is unknown");
    assert_eq!(verdict("t.Tree", &b"\xf8\x3f\x01".repeat(64)), Ok(()));
    assert_eq!(verdict("t.Tree", &b"\xf8\x3f\x01".repeat(65)), Err(WalkProblem::UnknownCount));
}

#[test]
fn bombs_are_refused() {
    let counted = |key: u64, inside: &[u8]| {
        let mut bytes = Vec::new();
        encode_varint(key << 3 | 2, &mut bytes);
        encode_varint(inside.len() as u64, &mut bytes);
        bytes.extend_from_slice(inside);
        bytes
    };
    let nested = |depth: usize| (0..depth).fold(Vec::new(), |inside, _| counted(2, &inside));
    let groups = |depth: usize| [b"\xf3\x3f".repeat(depth), b"\xf4\x3f".repeat(depth)].concat();
    let table: [(&str, &str, Vec<u8>, Option<WalkProblem>); 11] = [
        ("packed numbers", "t.All", counted(18, &[1; 1_000_000]), Some(WalkProblem::Elements)),
        ("packed long numbers", "t.All", counted(18, &b"\xff\x01".repeat(1_000_000)), Some(WalkProblem::Elements)),
        ("packed words", "t.All", counted(21, &[1; 4_000_000]), Some(WalkProblem::Elements)),
        ("tiny messages", "t.All", counted(22, b"").repeat(1_000_000), Some(WalkProblem::Elements)),
        ("as many elements as are allowed", "t.All", counted(18, &[1; 9_999]), None),
        ("one more", "t.All", counted(18, &[1; 10_000]), Some(WalkProblem::Elements)),
        ("as deep as is allowed", "t.Tree", nested(32), None),
        ("one deeper", "t.Tree", nested(33), Some(WalkProblem::Deep)),
        ("messages nested 100 deep", "t.Tree", nested(100), Some(WalkProblem::Deep)),
        ("groups as deep as is allowed", "t.Tree", groups(32), None),
        ("unknown groups nested 100 deep", "t.Tree", groups(100), Some(WalkProblem::Deep)),
    ];
    for (what, name, bytes, expected) in table {
        assert_eq!(verdict(name, &bytes).err(), expected, "{what}");
    }
}
