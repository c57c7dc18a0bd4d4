//! What is proposed to a person is a message of its type, and bounded; what is told of its fields is what the file says.

use serde_json::{Value, json};

use super::super::comments::COMMENT_BYTES_MAX;
use super::super::{DescriptorSource, Field, Pool, Pools, Sample, Wanted, from_json};
use super::POOL;
use crate::diagnostic::{Report, Sources, Span};
use crate::files::Files;

/// A pool of one file.
fn pool(text: &str) -> Pool {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.proto"), text).unwrap();
    let (mut report, mut texts) = (Report::default(), Sources::default());
    let yaml = texts.add("routes.yaml", String::new());
    let source = DescriptorSource::Proto { folder: folder.path().to_owned(), span: Span { file: yaml, start: 0, end: 0 } };
    let pool = Pools::new().load(&Files::on_disk(), &[source], &Wanted::everything(), &mut report, &mut texts).pool;
    assert!(report.is_empty(), "{report:?}");
    pool
}

fn sample(pool: &Pool, message: &str) -> Sample {
    Sample::of(&pool.message(message).expect("it is declared"), [])
}

fn count(fields: &[Field]) -> usize {
    fields.iter().map(|field| 1 + count(&field.fields)).sum()
}

#[test]
fn what_is_proposed_is_a_message_of_its_type() {
    let own = Pool::own();
    let mut tried = 0;
    for pool in [&*POOL, &own, Pool::of_details()] {
        for name in pool.messages() {
            let kind = pool.message(&name).unwrap();
            let template = Sample::of(&kind, []).template.to_string();
            let read = from_json(&kind, &template, &mut Vec::new());
            // `Any` has no value that says nothing: what it holds has to be named.
            assert!(read.is_ok() || template == "null", "{name}: {template}: {read:?}");
            tried += 1;
        }
    }
    assert!(tried > 60, "{tried}");
}

#[test]
fn a_field_is_told_with_its_type_its_comment_and_the_values_it_may_have() {
    let pool = pool(
        "syntax = 'proto3'; package a;
        // Asks for something.
        message Ask {
          // How much of it.
          // At most ten.
          uint64 much = 1;
          Kind kind = 2; // Of which sort.
          optional string note = 3;
          repeated Part parts = 4;
          map<string, Part> by_name = 5;
          oneof what { string text = 6; Part part = 7; }
          string password = 8 [debug_redact = true];
          message Part { bool on = 1; Ask again = 2; repeated int32 sizes = 3; }
        }
        enum Kind {
          KIND_UNSPECIFIED = 0;
          /** The good one. */
          KIND_GOOD = 1;
        }",
    );
    let kind = pool.message("a.Ask").unwrap();
    assert_eq!(kind.comment(), Some("Asks for something."));
    let sample = Sample::of(&kind, []);
    let part = json!({ "on": false, "again": null, "sizes": [] });
    let expected =
        json!({ "much": "0", "kind": "KIND_UNSPECIFIED", "note": null, "parts": [part], "byName": {}, "text": "", "password": "" });
    assert_eq!(sample.template, expected);
    let fields = serde_json::to_value(&sample.fields).unwrap();
    assert_eq!(fields[0], json!({ "name": "much", "type": "uint64", "kind": "integer", "comment": "How much of it.\nAt most ten." }));
    let values = json!([{ "name": "KIND_UNSPECIFIED" }, { "name": "KIND_GOOD", "comment": "The good one." }]);
    assert_eq!(fields[1], json!({ "name": "kind", "type": "a.Kind", "kind": "enum", "comment": "Of which sort.", "values": values }));
    assert_eq!(fields[2], json!({ "name": "note", "type": "string", "kind": "string", "optional": true }));
    let (parts, by_name) = (&fields[3], &fields[4]);
    assert_eq!(
        (&parts["repeated"], &parts["fields"][0]["name"], &parts["fields"][1]["fields"]),
        (&json!(true), &json!("on"), &Value::Null)
    );
    assert_eq!((&by_name["type"], &by_name["kind"]), (&json!("map<string, a.Ask.Part>"), &json!("map")));
    assert_eq!((&fields[5]["oneof"], &fields[6]["oneof"]), (&json!("what"), &json!("what")));
    assert_eq!((&fields[7]["secret"], &fields[0]["secret"]), (&json!(true), &Value::Null));
}

#[test]
fn what_the_gateway_writes_is_told_and_not_proposed() {
    use super::super::{FieldPath, Stamp};
    let pool = pool("syntax = 'proto3'; package a; message Ask { string user_id = 1; string text = 2; }");
    let kind = pool.message("a.Ask").unwrap();
    let stamp = Stamp::compile(&FieldPath::resolve(&kind, "user_id").ok().unwrap()).unwrap();
    let sample = Sample::of(&kind, [&stamp]);
    assert_eq!(sample.template, json!({ "text": "" }));
    assert!(sample.fields[0].stamped && !sample.fields[1].stamped);
}

/// Twenty types of twenty fields, each field of the next type: all of it would be 20^20 fields.
#[test]
fn types_that_contain_each_other_are_told_within_bounds() {
    let fields = |next: usize| (1..=20).map(|n| format!("M{next} f{n} = {n};")).collect::<String>();
    let messages: String = (0..20).map(|n| format!("message M{n} {{ {} }}", fields((n + 1) % 20))).collect();
    let sample = sample(&pool(&format!("syntax = 'proto3'; package a; {messages}")), "a.M0");
    assert!(count(&sample.fields) <= 500, "{}", count(&sample.fields));
    assert!(sample.template.to_string().len() < 20_000);
}

#[test]
fn a_comment_is_cut_where_it_is_too_long_and_never_inside_a_character() {
    let pool = pool(&format!("syntax = 'proto3'; package a;\n// {}\nmessage Ask {{}}", "ü".repeat(COMMENT_BYTES_MAX)));
    let kind = pool.message("a.Ask").unwrap();
    let comment = kind.comment().unwrap();
    assert!(comment.len() <= COMMENT_BYTES_MAX && comment.ends_with("ü…"), "{}", comment.len());
}
