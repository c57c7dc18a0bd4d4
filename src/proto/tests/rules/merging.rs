//! Bytes that no encoder writes are judged as what a decoder makes of them.

use super::{broken, pool};
use crate::proto::tests::message::delimited;
use crate::proto::{MessageType, VIOLATIONS_MAX};

fn message_type() -> MessageType {
    let pool = pool(
        "message Inner { string name = 1 [(buf.validate.field).string.min_len = 2]; int32 id = 2 [(buf.validate.field).int32.gt = 0]; }
         message M {
             string text = 1 [(buf.validate.field).string.min_len = 2];
             Inner inner = 2;
             oneof which { Inner a = 3; string b = 4; }
             map<string, Inner> inners = 5;
             repeated string texts = 6 [(buf.validate.field).repeated.items.string.min_len = 2];
         }",
    );
    pool.message("test.M").unwrap()
}

fn fields(fields: &[(u32, &[u8])]) -> Vec<u8> {
    let mut bytes = text();
    fields.iter().for_each(|(number, body)| delimited(*number, body, &mut bytes));
    bytes
}

/// The text that must be there.
fn text() -> Vec<u8> {
    b"\x0a\x02ab".to_vec()
}

#[test]
fn the_last_occurrence_is_judged_and_no_other() {
    let kind = message_type();
    assert_eq!(broken(&kind, b"\x0a\x01a\x0a\x02ab"), [] as [&str; 0]);
    assert_eq!(broken(&kind, b"\x0a\x02ab\x0a\x01a"), ["text string.min_len"]);
}

#[test]
fn the_parts_of_a_message_are_judged_together() {
    let kind = message_type();
    let (name, id) = (b"\x0a\x02ab", b"\x10\x01");
    assert_eq!(broken(&kind, &fields(&[(2, name), (2, id)])), [] as [&str; 0]);
    assert_eq!(broken(&kind, &fields(&[(2, name), (2, b"\x10\x00")])), ["inner.id int32.gt"]);
    assert_eq!(broken(&kind, &fields(&[(2, name)])), ["inner.id int32.gt"]);
}

#[test]
fn what_a_oneof_has_cleared_is_not_judged() {
    let kind = message_type();
    assert_eq!(broken(&kind, &fields(&[(3, b"\x0a\x01a"), (4, b"")])), [] as [&str; 0]);
    assert_eq!(broken(&kind, &fields(&[(3, b"\x0a\x02ab"), (4, b""), (3, b"\x10\x01")])), ["a.name string.min_len"], "the name is gone");
}

#[test]
fn of_the_entries_with_one_key_the_last_is_judged() {
    let kind = message_type();
    let (good, bad) = (b"\x12\x06\x0a\x02ab\x10\x01", b"\x12\x02\x10\x00");
    assert_eq!(broken(&kind, &fields(&[(5, bad), (5, good)])), [] as [&str; 0]);
    assert_eq!(broken(&kind, &fields(&[(5, good), (5, b"\x0a\x00\x12\x00")])), ["inners[*].name string.min_len", "inners[*].id int32.gt"]);
}

#[test]
fn a_value_of_the_client_is_in_no_violation_and_there_is_an_end_of_them() {
    let kind = message_type();
    let bytes = fields(&[(6, &b"x"[..]); 300]);
    let found = broken(&kind, &bytes);
    assert_eq!((found.len(), &*found[99]), (VIOLATIONS_MAX, "texts[99] string.min_len"));
}
