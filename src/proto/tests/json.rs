//! JSON that every canonical reader and writer agrees on, and nothing else.

use proptest::prelude::*;
use prost_reflect::SerializeOptions;
use prost_types::Any;
use serde_json::json;

use super::message::bytes_of;
use super::{decode, message_type};
use crate::proto::{any_to_json, from_json, to_json};

fn print(name: &str, bytes: &[u8]) -> Result<serde_json::Value, String> {
    let mut out = Vec::new();
    to_json(&message_type(name), bytes, &mut out)?;
    Ok(serde_json::from_slice(&out).expect("it is JSON"))
}

fn read(name: &str, json: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    from_json(&message_type(name), json, &mut out).map(|()| out)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn printing_agrees_with_the_library(name in prop::sample::select(&["test.v1.Kinds", "test.v2.Legacy"][..]), seed in bytes_of(&message_type("test.v1.Kinds"))) {
        let Some(message) = decode(&message_type(name), &seed) else { return Ok(()) };
        let Ok(ours) = print(name, &seed) else { return Ok(()) };
        let mut theirs = Vec::new();
        message.serialize_with_options(&mut serde_json::Serializer::new(&mut theirs), &SerializeOptions::new()).unwrap();
        prop_assert_eq!(ours, serde_json::from_slice::<serde_json::Value>(&theirs).unwrap());
    }

    #[test]
    fn what_is_printed_is_read_back(bytes in bytes_of(&message_type("test.v1.Kinds"))) {
        let kind = message_type("test.v1.Kinds");
        let Ok(text) = print(kind.name(), &bytes) else { return Ok(()) };
        let back = read(kind.name(), &text.to_string()).map_err(TestCaseError::fail)?;
        prop_assert_eq!(text, print(kind.name(), &back).unwrap());
    }
}

#[test]
fn an_any_of_an_unknown_type_is_printed_as_its_bytes() {
    // any { type_url: "x/no.Such" value: "abc" } custom: "kept"
    let bytes = b"\x0a\x10\x0a\x09x/no.Such\x12\x03abc\x52\x04kept";
    assert_eq!(print("test.v1.Special", bytes).unwrap(), json!({ "any": { "@type": "x/no.Such", "value": "YWJj" }, "other": "kept" }));
}

#[test]
fn an_any_that_is_not_of_its_type_is_printed_as_its_bytes() {
    // The value is an unfinished field.
    let bytes = b"\x0a\x13\x0a\x0ex/test.v1.Leaf\x12\x01\x08";
    assert_eq!(print("test.v1.Special", bytes).unwrap(), json!({ "any": { "@type": "x/test.v1.Leaf", "value": "CA==" } }));
}

#[test]
fn the_details_of_googles_own_are_known_whatever_the_descriptors_hold() {
    // google.rpc.ErrorInfo { reason: "WHY", domain: "here" }, and google.rpc.RetryInfo { retry_delay: 1.5s }
    let detail = |name: &str, value: &[u8]| Any { type_url: format!("type.googleapis.com/google.rpc.{name}"), value: value.to_vec() };
    let told = |name: &str, value: &[u8]| any_to_json(&message_type("test.v1.Kinds"), &detail(name, value));
    let info = r#"{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"WHY","domain":"here"}"#;
    assert_eq!(told("ErrorInfo", b"\x0a\x03WHY\x12\x04here").as_deref(), Some(info));
    let retry = r#"{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"1.500s"}"#;
    assert_eq!(told("RetryInfo", b"\x0a\x08\x08\x01\x10\x80\xca\xb5\xee\x01").as_deref(), Some(retry));
    for name in
        ["BadRequest", "QuotaFailure", "PreconditionFailure", "DebugInfo", "ResourceInfo", "RequestInfo", "Help", "LocalizedMessage"]
    {
        assert!(told(name, b"").is_some(), "{name}");
    }
    assert_eq!(told("NoSuch", b""), None);
}

#[test]
fn a_known_any_is_printed_as_its_type_and_read_back() {
    let text = r#"{"any":{"@type":"type.googleapis.com/test.v1.Leaf","on":true,"big":"7"},"anys":[{"@type":"x/google.protobuf.StringValue","value":"s"}]}"#;
    let bytes = read("test.v1.Special", text).unwrap();
    assert_eq!(print("test.v1.Special", &bytes).unwrap(), serde_json::from_str::<serde_json::Value>(text).unwrap());
}

#[test]
fn anys_in_anys_do_not_exhaust_the_stack() {
    let mut any = Vec::new();
    for _ in 0..2000 {
        let inner = std::mem::take(&mut any);
        super::message::delimited(1, b"x/google.protobuf.Any", &mut any);
        super::message::delimited(2, &inner, &mut any);
    }
    let mut bytes = Vec::new();
    super::message::delimited(1, &any, &mut bytes);
    assert!(print("test.v1.Special", &bytes).is_ok());
}

#[test]
fn wrappers_times_and_numbers_have_their_own_spelling() {
    let text = r#"{"time":"2026-11-23T10:00:00Z","struct":{"a":[1.0,null,{"b":"c"}]},"value":null,"text":"t","number":"NaN","big":"18446744073709551615"}"#;
    let bytes = read("test.v1.Special", text).unwrap();
    assert_eq!(print("test.v1.Special", &bytes).unwrap(), serde_json::from_str::<serde_json::Value>(text).unwrap());
}

#[test]
fn a_wrong_value_is_not_repeated() {
    for (json, kind) in [
        (r#"{"custom":4815162342}"#, "integer, expected"),
        (r#"{"custom":48.5}"#, "floating point, expected"),
        (r#"{"custom":true}"#, "boolean, expected"),
    ] {
        let problem = read("test.v1.Special", json).unwrap_err();
        assert!(problem.contains(kind) && !problem.contains("48") && !problem.contains("true"), "{problem}");
    }
    let problem = read("test.v1.Leaf", r#"{"on":"my secret, expected \" `x`"}"#).unwrap_err();
    assert!(problem.contains("string, expected") && !problem.contains("secret"), "{problem}");
}

#[test]
fn neither_a_value_nor_a_key_of_a_map_is_repeated() {
    for (kind, json) in [
        ("test.v1.Kinds", r#"{"fColor":"my-secret"}"#),
        ("test.v1.Kinds", r#"{"packedColor":["my-secret"]}"#),
        ("test.v1.Kinds", r#"{"texts":{"my-secret":{"a":1}}}"#),
        ("test.v1.Kinds", r#"{"colors":{"true":"my-secret"}}"#),
        ("test.v1.Kinds", r#"{"texts":{"my-secret":"a","my-secret":"b"}}"#),
        ("test.v1.Kinds", r#"{"innerById":{"my-secret":{}}}"#),
        ("test.v1.Kinds", r#"{"innerById":{"1":{"id":"my-secret"}}}"#),
        ("test.v1.Special", r#"{"any":{"@type":"my-secret"}}"#),
        ("test.v1.Special", r#"{"any":{"@type":"x/my-secret"}}"#),
        ("test.v1.Special", r#"{"any":{"@type":"x/test.v1.Leaf","on":"my-secret"}}"#),
        ("test.v1.Special", r#"{"any":{"my-secret":1,"my-secret":2}}"#),
        ("test.v1.Special", r#"{"struct":{"my-secret":1,"my-secret":2}}"#),
        ("test.v1.Special", r#"{"time":"my-secret"}"#),
        ("test.v1.Special", r#"{"number":"my-secret"}"#),
        ("test.v1.Special", r#"{"big":"my-secret"}"#),
    ] {
        let problem = read(kind, json).unwrap_err();
        assert!(!problem.contains("my-secret"), "{json}: {problem}");
    }
}

#[test]
fn a_wrong_value_is_named_by_its_path() {
    for (json, place) in [
        (r#"{"inners":[{"id":1},{"id":"x"}]}"#, "`inners[1].id`: "),
        (r#"{"innerById":{"1":{"id":"x"}}}"#, "`innerById[*].id`: "),
        (r#"{"id":1}"#, "message `test.v1.Kinds` has no field `id`"),
    ] {
        let problem = read("test.v1.Kinds", json).unwrap_err();
        assert!(problem.starts_with(place), "{problem}");
    }
}

#[test]
fn what_json_readers_differ_about_is_refused() {
    let deep = format!("{}{}", r#"{"self":"#.repeat(40), "{}".to_owned() + &"}".repeat(40));
    let many = format!(r#"{{"packedInt32":[{}0]}}"#, "0,".repeat(10_000));
    for (text, problem) in [
        (r#"{"fInt32":1,"fInt32":2}"#, "field `fInt32` stands twice, under one name or both of its names"),
        (r#"{"fInt32":1,"f_int32":2}"#, "field `f_int32` stands twice, under one name or both of its names"),
        (
            r#"{"inner":{"nmae":"a"}}"#,
            "`inner`: message `test.v1.Inner` has no field `nmae`; it has `id`, `name`, `numbers`, `left`, `right`, `back`",
        ),
        (r#"{"inners":[{"id":1},{"id":1,"id":2}]}"#, "`inners[1]`: field `id` stands twice, under one name or both of its names"),
        (r#"{"texts":{"a":"1","a":"2"}}"#, "`texts`: a key stands twice"),
        (
            r#"{"innerById":{"1":{"x":1}}}"#,
            "`innerById[*]`: message `test.v1.Inner` has no field `x`; it has `id`, `name`, `numbers`, `left`, `right`, `back`",
        ),
        (&deep, "nested more than 32 deep"),
        (&many, "`packedInt32`: lists and maps hold more than 10000 elements together"),
        ("{} x", "not JSON: trailing characters at line 1 column 4"),
        ("[", "not JSON: EOF while parsing a list at line 1 column 1"),
    ] {
        let refused = read("test.v1.Kinds", text).unwrap_err();
        assert!(refused.ends_with(problem), "{refused}");
    }
    assert!(read("test.v1.Kinds", r#"{"texts":{"fInt32":"1","f_int32":"2"}}"#).is_ok());
    for text in [
        r#"{"struct":{"a":1,"a":2}}"#,
        r#"{"any":{"on":true,"on":false,"@type":"x/test.v1.Leaf"}}"#,
        r#"{"any":{"@type":"x/test.v1.Kinds","f_int32":1,"fInt32":2}}"#,
        r#"{"any":{"@type":"x/no.Such"}}"#,
    ] {
        assert!(read("test.v1.Special", text).is_err(), "{text}");
    }
}

#[test]
fn a_broken_message_is_not_printed() {
    assert!(print("test.v1.Kinds", b"\x08").is_err());
}
