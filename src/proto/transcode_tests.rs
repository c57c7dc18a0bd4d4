//! JSON both ways: the canonical form, what is refused and how it is said, and `Any` known and unknown.

use prost_types::Any;

use super::*;
use crate::proto::pool::tests::pool_of;

const TEXT: &str = r#"
    syntax = "proto3"; package p;
    import "google/protobuf/any.proto"; import "google/protobuf/struct.proto"; import "google/protobuf/timestamp.proto";
    import "google/protobuf/empty.proto"; import "google/protobuf/wrappers.proto";
    enum Color { NONE = 0; RED = 1; }
    message Item { string text = 1; int32 user_id = 2; }
    message M {
        int64 big = 1; uint64 user_id = 2; Color color = 3; bytes raw = 4; double ratio = 5; float part = 6;
        repeated Item items = 7; map<int32, Item> named = 8; map<string, string> labels = 9; optional string note = 10;
        google.protobuf.Any any = 11; google.protobuf.Value free = 12; google.protobuf.Timestamp at = 13; M self = 14;
        oneof one { string a = 15; string b = 16; } google.protobuf.Empty empty = 17; google.protobuf.Int64Value boxed = 18;
        repeated google.protobuf.Any many = 19;
    }
"#;

fn kind() -> MessageType {
    pool_of(TEXT).message("p.M").expect("p.M is declared")
}

fn wire(json: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    from_json(&kind(), json, &mut out).map(|()| out)
}

fn json(message: &[u8]) -> Result<String, String> {
    let mut out = b"before".to_vec();
    to_json(&kind(), message, &mut out)?;
    Ok(String::from_utf8(out).expect("JSON is text").strip_prefix("before").expect("it was appended").to_owned())
}

fn again(text: &str) -> Result<String, String> {
    json(&wire(text)?)
}

fn refused(text: &str) -> String {
    wire(text).err().unwrap_or_else(|| panic!("{text} was accepted"))
}

#[test]
fn the_canonical_form_is_written() {
    let canonical = [
        r#"{"big":"-9007199254740993","userId":"18446744073709551615","color":"RED","raw":"AP8=","ratio":0.1,"part":0.1}"#,
        r#"{"ratio":"NaN","part":"-Infinity","items":[{"text":"a"},{}],"named":{"-1":{},"2":{"userId":3},"10":{}},"labels":{"":"x","userId":"1","user_id":"2"}}"#,
        r#"{"note":"","free":{"a":[1.0,null,"x",{}]},"at":"2026-01-02T03:04:05Z","self":{"b":""},"empty":{},"boxed":"5"}"#,
        r#"{"free":null}"#,
        "{}",
    ];
    for text in canonical {
        assert_eq!(again(text).as_deref(), Ok(text));
    }
    let loose = r#" {"big": 5, "user_id": "7", "color": 1, "note": null, "items": [], "ratio": 0} "#;
    assert_eq!(again(loose).as_deref(), Ok(r#"{"big":"5","userId":"7","color":"RED"}"#));
    assert_eq!(again(r#"{"color": 9}"#).as_deref(), Ok(r#"{"color":9}"#));
}

#[test]
fn what_is_ambiguous_or_unknown_is_refused_with_its_place() {
    let cases = [
        (r#"{"items":[{},{},{"txt":"x"}]}"#, "payload.items[2].txt: `p.Item` has no field `txt`; it has `text`, `userId`"),
        (r#"{"userId":1,"userId":2}"#, "payload.userId: the field is given twice"),
        (r#"{"userId":1,"user_id":1}"#, "payload.user_id: the field is given twice, as `userId` and as `user_id`"),
        (
            r#"{"self":{"named":{"1":{"user_id":1,"userId":1}}}}"#,
            "payload.self.named[\"1\"].userId: the field is given twice, as `user_id` and as `userId`",
        ),
        (r#"{"labels":{"a":"x","a":"y"}}"#, "payload.labels[\"a\"]: the key is given twice"),
        (r#"{"free":[{"k":1,"k":2}]}"#, "payload.free[0][\"k\"]: the key is given twice"),
        (r#"{"note":null,"note":"x"}"#, "payload.note: the field is given twice"),
        (r#"{"self":5}"#, "payload.self: expected an object"),
        (r#"{"self":[]}"#, "payload.self: expected an object"),
        (r#"{"items":{}}"#, "payload.items: expected a list"),
        (r#"{"empty":{"x":1}}"#, "payload.empty.x: `google.protobuf.Empty` has no field `x`; it has no fields"),
        ("[]", "payload: expected an object"),
    ];
    for (text, said) in cases {
        assert_eq!(refused(text), said);
    }
    for text in
        [r#"{"a":"x","b":"y"}"#, r#"{"big":"x"}"#, r#"{"big":1.5}"#, r#"{"color":"BLUE"}"#, r#"{"items":[null]}"#, r#"{"raw":"!"}"#, "null"]
    {
        assert!(refused(text).starts_with("payload: "), "{text}");
    }
    for text in ["", "{", "{} {}", r#"{"note":"x",}"#, r#"{"note":'x'}"#] {
        assert!(refused(text).starts_with("the payload is not JSON: "), "{text}");
    }
}

#[test]
fn depth_is_bounded() {
    let nested = |levels: usize| r#"{"self":"#.repeat(levels - 1) + "{}" + &"}".repeat(levels - 1);
    assert!(wire(&nested(32)).is_ok());
    assert!(refused(&nested(33)).ends_with("nested deeper than 32 levels"));
    assert!(refused(&format!(r#"{{"free":{}1{}}}"#, "[".repeat(32), "]".repeat(32))).ends_with("nested deeper than 32 levels"));
    assert!(wire(&"[".repeat(100_000)).is_err() && wire(&r#"{"free":["#.repeat(100_000)).is_err());
    assert!(wire(&r#"{"any":{"any":"#.repeat(50_000)).is_err());
}

#[test]
fn an_any_of_a_known_type_is_its_fields() {
    for text in [
        r#"{"any":{"@type":"type.googleapis.com/p.Item","text":"x"}}"#,
        r#"{"any":{"@type":"type.googleapis.com/google.protobuf.Timestamp","value":"2026-01-02T03:04:05Z"}}"#,
        r#"{"any":{"@type":"type.googleapis.com/google.protobuf.Empty","value":{}}}"#,
    ] {
        assert_eq!(again(text).as_deref(), Ok(text));
    }
    assert!(wire(r#"{"any":{"text":"x","@type":"type.googleapis.com/p.Item"}}"#).is_ok());
    let cases = [
        (r#"{"any":{"txt":"x","@type":"a/p.Item"}}"#, "payload.any.txt: `p.Item` has no field `txt`; it has `text`, `userId`"),
        (
            r#"{"any":{"userId":1,"user_id":1,"@type":"a/p.Item"}}"#,
            "payload.any.user_id: the field is given twice, as `userId` and as `user_id`",
        ),
        (r#"{"any":{"@type":"a/p.Item","@type":"a/p.M"}}"#, "payload.any.@type: the key is given twice"),
        (r#"{"any":{"@type":"a/p.Nothing"}}"#, "payload.any: there is no message type `p.Nothing`"),
        (r#"{"any":{"text":"x"}}"#, "payload.any: expected the key `@type`"),
    ];
    for (text, said) in cases {
        assert_eq!(refused(text), said);
    }
}

#[test]
fn an_any_that_cannot_be_read_does_not_spoil_the_reply() {
    let strange = Any { type_url: "type.googleapis.com/x.Y".into(), value: vec![1, 2] };
    let wrong = Any { type_url: "type.googleapis.com/p.Item".into(), value: vec![0xff] };
    let mut message = wire(r#"{"note":"kept"}"#).expect("it is valid");
    for any in [&Any::default(), &strange, &wrong] {
        prost::encoding::message::encode(19, any, &mut message);
    }
    let expected = concat!(
        r#"{"note":"kept","many":[{},{"@type":"type.googleapis.com/x.Y","value":"AQI="},"#,
        r#"{"@type":"type.googleapis.com/p.Item","value":"/w=="}]}"#
    );
    assert_eq!(json(&message).as_deref(), Ok(expected));

    let near = kind();
    assert!(any_to_json(&near, &strange).is_none() && any_to_json(&near, &wrong).is_none());
    let item = Any { type_url: "type.googleapis.com/p.Item".into(), value: b"\x0a\x01x".to_vec() };
    assert_eq!(any_to_json(&near, &item).as_deref(), Some(r#"{"@type":"type.googleapis.com/p.Item","text":"x"}"#));
}

#[test]
fn an_any_in_an_any_without_end_is_written_as_bytes() {
    let mut any = Any { type_url: "a/google.protobuf.Any".into(), value: Vec::new() };
    for _ in 0..20_000 {
        any = Any { type_url: "a/google.protobuf.Any".into(), value: any.encode_to_vec() };
        if any.value.len() > 500_000 {
            break;
        }
    }
    let mut message = Vec::new();
    prost::encoding::message::encode(11, &any, &mut message);
    assert!(json(&message).is_ok());
}

#[test]
fn bytes_that_are_no_message_leave_the_buffer_alone() {
    let mut out = b"before".to_vec();
    assert!(to_json(&kind(), b"\xff", &mut out).is_err());
    assert!(from_json(&kind(), "{\"x\":1}", &mut out).is_err());
    // 0x6a: a timestamp far outside the years that its text form has.
    assert!(to_json(&kind(), b"\x6a\x0a\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f", &mut out).is_err());
    assert_eq!(out, b"before");
}
