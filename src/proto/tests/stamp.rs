//! What the gateway stamps is what the backend reads, whatever the client sent.

use proptest::prelude::*;
use prost_reflect::Value as Reflected;

use super::message::damaged_bytes_of;
use super::{decode, message_type, path, same};
use crate::proto::{Stamp, Values, Walk, WalkOptions, copy_stamped};

fn stamped(name: &str, field: &str, value: &str, message: &[u8]) -> Option<Vec<u8>> {
    let stamp = Stamp::compile(&path(&message_type(name), field)).expect("it can be stamped");
    let mut out = Vec::new();
    copy_stamped(message, &[(&stamp, value)], &mut out).ok().map(|()| out)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_stamp_is_read_and_nothing_else_changes(bytes in damaged_bytes_of(&message_type("test.v1.Kinds")), which in 0..8usize) {
        let kind = message_type("test.v1.Kinds");
        if Walk::compile(&kind, &[], WalkOptions::default()).run(&bytes, &mut Values::new()).is_err() {
            return Ok(());
        }
        let (field, value, read) = [
            ("f_string", "u-1", Reflected::String("u-1".into())),
            ("f_string", "", Reflected::String(String::new())),
            ("f_bytes", "raw", Reflected::Bytes("raw".into())),
            ("f_int64", "-5", Reflected::I64(-5)),
            ("f_uint32", "0", Reflected::U32(0)),
            ("f_sfixed32", "7", Reflected::I32(7)),
            ("f_bool", "true", Reflected::Bool(true)),
            ("f_color", "BLUE", Reflected::EnumNumber(-3)),
        ][which].clone();
        let out = stamped("test.v1.Kinds", field, value, &bytes).expect("it converts");
        let mut expected = decode(&kind, &bytes).expect("the walker accepted it");
        expected.set_field_by_name(field, read);
        let read = decode(&kind, &out).expect("a stamped message is one");
        prop_assert!(same(&read, &expected), "{field} in {bytes:02x?}");
    }
}

#[test]
fn an_unfinished_unknown_field_cannot_swallow_the_stamp() {
    // An unknown field of nine bytes that are not there: a reader that only appends would lose the stamp in it.
    let forged = b"\x72\x05admin\xc2\x3e\x09";
    let kind = message_type("test.v1.Kinds");
    assert!(Walk::compile(&kind, &[], WalkOptions::default()).run(forged, &mut Values::new()).is_err());
    assert!(stamped("test.v1.Kinds", "f_string", "user-1234567", forged).is_none());
}

#[test]
fn an_open_unknown_group_cannot_swallow_the_stamp() {
    assert!(stamped("test.v1.Kinds", "f_string", "user", b"\xc3\x3e").is_none());
}

#[test]
fn every_occurrence_is_left_out_and_one_is_written() {
    let out = stamped("test.v1.Kinds", "f_string", "me", b"\x72\x01a\x18\x05\x72\x01b").unwrap();
    assert_eq!(out, b"\x18\x05\x72\x02me");
}

#[test]
fn a_default_value_is_written() {
    assert_eq!(stamped("test.v1.Kinds", "f_int32", "0", b"\x18\x05").unwrap(), b"\x18\x00");
}

#[test]
fn what_does_not_convert_is_refused() {
    for (field, value) in
        [("f_int32", "4294967296"), ("f_uint64", "-1"), ("f_bool", "yes"), ("f_color", "PURPLE"), ("f_color", "9"), ("f_sint32", "")]
    {
        assert!(stamped("test.v1.Kinds", field, value, b"").is_none(), "{field} {value}");
    }
    assert_eq!(stamped("test.v1.Kinds", "f_color", "1", b"").unwrap(), b"\x80\x01\x01");
}

#[test]
fn what_cannot_be_stamped_says_why() {
    let kind = message_type("test.v1.Kinds");
    for (field, why) in [
        ("inner.name", "not a field of the request itself"),
        ("strings", "a list or a map"),
        ("texts", "a list or a map"),
        ("chosen_string", "in a oneof"),
        ("inner", "a message"),
        ("f_double", "a floating point number"),
    ] {
        let problem = Stamp::compile(&path(&kind, field)).err().expect(field);
        assert!(problem.contains(why), "{problem}");
    }
    // A proto3 `optional` is in a oneof only for old readers of descriptors.
    assert!(Stamp::compile(&path(&kind, "maybe_string")).is_ok());
}
