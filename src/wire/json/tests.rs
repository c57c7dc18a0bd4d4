//! The JSON codec: what it reads, what it refuses, and that it reads what it writes.

use proptest::prelude::*;
use prost_types::Any;

use super::*;

#[track_caller]
fn refused(text: &str) -> String {
    decode(text.as_bytes()).expect_err("this is no envelope").what
}

fn encoded(envelope: &Envelope<'_>) -> String {
    let mut out = Vec::new();
    encode(envelope, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn both_spellings_of_a_key_are_read_and_camel_case_is_written() {
    let camel = decode(br#"{"deadlineMs":5,"idempotencyKey":"k"}"#).unwrap();
    let snake = decode(br#"{"deadline_ms":5,"idempotency_key":"k"}"#).unwrap();
    assert_eq!(camel, snake);
    assert_eq!(encoded(&snake), r#"{"deadlineMs":5,"idempotencyKey":"k"}"#);
}

#[test]
fn an_unknown_key_is_refused_with_the_keys_there_are() {
    let what = refused(r#"{"protocol":9001,"paylod":{}}"#);
    assert!(what.contains("unknown field `paylod`, expected one of `protocol`, `id`, `payload`, `status`"), "{what}");
    assert!(refused(r#"{"status":{"cod":1}}"#).contains("`retryAfterMs`"));
}

#[test]
fn duplicates_and_twins_are_refused() {
    assert!(refused(r#"{"id":1,"id":1}"#).contains("duplicate field `id`"));
    assert!(refused(r#"{"deadlineMs":1,"deadline_ms":1}"#).contains("duplicate field `deadlineMs`"));
    assert!(refused(r#"{"metadata":{"a":"1","a":"1"}}"#).contains("duplicate metadata key `a`"));
}

#[test]
fn numbers_are_read_as_proto3_json_allows() {
    for (text, offset) in [("7", 7), ("\"7\"", 7), ("7.0", 7), ("7e0", 7), ("null", 0), ("\"18446744073709551615\"", u64::MAX)] {
        assert_eq!(decode(format!("{{\"offset\":{text}}}").as_bytes()).unwrap().offset, offset, "{text}");
    }
    for text in ["-1", "7.5", "\"+7\"", "\"\"", "\" 7\"", "true", "1e40", "\"18446744073709551616\"", "[]"] {
        assert!(refused(&format!("{{\"offset\":{text}}}")).contains("a whole number of 64 bits"), "{text}");
    }
    assert!(refused(r#"{"id":4294967296}"#).contains("a whole number of 32 bits"));
    assert_eq!(encoded(&Envelope { offset: u64::MAX, ..Envelope::default() }), r#"{"offset":"18446744073709551615"}"#);
}

#[test]
fn null_is_the_default_of_every_key() {
    let keys = ["protocol", "id", "payload", "status", "more", "topic", "offset", "metadata", "idempotencyKey", "credit"];
    for key in keys {
        assert_eq!(decode(format!("{{\"{key}\":null}}").as_bytes()).unwrap(), Envelope::default(), "{key}");
    }
}

#[test]
fn a_refusal_finds_its_caller_if_the_message_is_json_at_all() {
    assert_eq!(decode(br#"{"x":1,"id":7}"#).unwrap_err().id, Some(7));
    assert_eq!(decode(br#"{"id":7,"id":8}"#).unwrap_err().id, None);
    assert_eq!(decode(br#"{"id":7,"#).unwrap_err().id, None);
}

#[test]
fn only_an_object_is_an_envelope() {
    for text in ["[9001,7]", "7", "\"x\"", "null", "", "{} {}", "{\"status\":[8]}"] {
        refused(text);
    }
    assert!(decode(b"{\"topic\":\"\xff\"}").is_err());
    assert!(decode(b"{\"payload\":{\"a\":\"\xff\"}}").is_err());
}

#[test]
fn a_text_about_a_message_is_short() {
    let what = refused(&format!("{{\"{}\":1}}", "é".repeat(100_000)));
    assert!(what.len() <= WHAT_BYTES_MAX && what.contains("`idempotencyKey`"), "{what}");
}

#[test]
fn entries_are_bounded() {
    let entries = |count: usize| {
        let list: Vec<String> = (0..count).map(|index| format!("\"k{index}\":\"v\"")).collect();
        format!("{{\"metadata\":{{{}}}}}", list.join(","))
    };
    assert_eq!(decode(entries(64).as_bytes()).unwrap().metadata.len(), 64);
    assert!(refused(&entries(65)).contains("64 entries"));
}

#[test]
fn a_detail_of_an_unknown_type_is_written_in_base64() {
    let any = Any { type_url: "type.googleapis.com/x.Y".into(), value: vec![8, 1] };
    let status = Status { code: 3, source: Source::Backend, details: vec![Detail { any, json: None }], ..Status::default() };
    let text = encoded(&Envelope { status: Some(status), ..Envelope::default() });
    let detail = r#"{"@type":"type.googleapis.com/x.Y","value":"CAE="}"#;
    assert_eq!(text, format!(r#"{{"status":{{"code":3,"source":"BACKEND","details":[{detail}]}}}}"#));

    let read = decode(text.as_bytes()).unwrap().status.unwrap().details.remove(0);
    assert_eq!((&*read.any.type_url, read.json.as_deref()), ("type.googleapis.com/x.Y", Some(detail)));
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        numbers in any::<(u32, u32, u32, u32, u32, u64, bool)>(),
        texts in prop::collection::vec(any::<String>(), 5),
        metadata in prop::collection::btree_map(any::<String>(), any::<String>(), 0..4),
        status in prop::option::of(status()),
        payload in prop::option::of(Just(r#"{"text":"hi","n":[1,2]}"#)),
    ) {
        let envelope = Envelope {
            protocol: numbers.0,
            id: numbers.1,
            payload: payload.map_or(Payload::None, Payload::Json),
            status,
            seq: numbers.2,
            ack: numbers.3,
            deadline_ms: numbers.4,
            more: numbers.6,
            topic: texts[0].as_str().into(),
            offset: numbers.5,
            traceparent: texts[1].as_str().into(),
            metadata: metadata.iter().map(|(key, value)| (key.into(), value.into())).collect(),
            idempotency_key: texts[2].as_str().into(),
            epoch: texts[3].as_str().into(),
            dropped: numbers.3,
            credit: numbers.4,
        };
        let text = encoded(&envelope);
        prop_assert_eq!(decode(text.as_bytes()).unwrap(), envelope);
    }

    #[test]
    fn no_text_panics(text in "[\\[\\]{}\":,a-e0-9\\\\ ]{0,40}", key in "(id|payload|status|metadata|details|@type)") {
        let _ = decode(text.as_bytes());
        let _ = decode(format!("{{\"{key}\":{text}}}").as_bytes());
        let _ = decode(format!("{{\"status\":{{\"{key}\":{text}}}}}").as_bytes());
    }
}

fn status() -> impl Strategy<Value = Status> {
    // A detail that was read has no bytes, and the text of its object.
    let detail = any::<String>().prop_map(|type_url| {
        let json = Some(serde_json::json!({ "@type": type_url, "x": 1 }).to_string());
        Detail { any: Any { type_url, value: Vec::new() }, json }
    });
    let source = prop_oneof![Just(Source::Gateway), Just(Source::Backend)];
    (any::<(u32, String, String, u32)>(), source, prop::collection::vec(detail, 0..3)).prop_map(|(parts, source, details)| Status {
        code: parts.0,
        reason: parts.1,
        message: parts.2,
        retry_after_ms: parts.3,
        source,
        details,
    })
}
