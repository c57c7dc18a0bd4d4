//! What cannot be enforced is said, and nothing else is lost with it.

use super::{broken_json, load, pool};

/// `subject rule` of every problem of `test.M`.
fn problems(messages: &str) -> Vec<String> {
    let problems = pool(messages).message("test.M").unwrap().rule_problems();
    problems.iter().map(|problem| format!("{} {}: {}", problem.subject, problem.rule, problem.why)).collect()
}

#[test]
fn a_rule_that_is_not_supported_is_a_problem() {
    let of_field = |rules: &str| problems(&format!("message M {{ string f = 1 [(buf.validate.field).{rules}]; }}"));
    assert_eq!(of_field("cel = { id: 'x', expression: 'true' }"), ["test.M.f cel: CEL expressions are not supported"]);
    assert_eq!(of_field("int32.gt = 1"), ["test.M.f int32: the field has another type"]);
    assert_eq!(of_field("repeated.min_items = 1"), ["test.M.f repeated: the field has another type"]);
    assert_eq!(of_field("string.pattern = '('"), ["test.M.f string.pattern: it is no pattern: unclosed group"]);
    assert_eq!(of_field("string.pattern = '[a&&b]'"), ["test.M.f string.pattern: an operator in a class is not what it is to RE2"]);
    assert_eq!(of_field("string.pattern = '(a{1000}){1000}'"), ["test.M.f string.pattern: it is too large when it is compiled"]);
    assert_eq!(
        problems("message M { google.protobuf.Timestamp f = 1 [(buf.validate.field).timestamp.lt_now = true]; }"),
        ["test.M.f timestamp.lt_now: it compares with the time of the call, which is not supported"]
    );
    assert_eq!(
        problems("message M { option (buf.validate.message).cel = { id: 'x', expression: 'true' }; }"),
        ["test.M cel: CEL expressions are not supported"]
    );
    assert_eq!(
        problems("message M { option (buf.validate.message).oneof = { fields: ['a', 'z'] }; string a = 1; }"),
        ["test.M message.oneof: it names fields that the message does not have"]
    );
}

#[test]
fn a_problem_of_an_inner_message_is_one_of_the_outer() {
    let inner = "message Inner { string f = 1 [(buf.validate.field).cel = { id: 'x', expression: 'true' }]; M again = 2; }";
    let told = ["test.Inner.f cel: CEL expressions are not supported"];
    assert_eq!(problems(&format!("{inner} message M {{ map<string, Inner> inner = 1; }}")), told);
    assert_eq!(problems("message M { string f = 1; }"), [] as [&str; 0]);
}

#[test]
fn a_folder_that_has_its_own_copy_of_the_options_is_read_by_it() {
    let copy = r#"syntax = "proto2"; package buf.validate; import "google/protobuf/descriptor.proto";
        extend google.protobuf.FieldOptions { optional FieldRules field = 1159; }
        message FieldRules { oneof type { StringRules string = 14; } optional bool skipped = 24; }
        message StringRules { optional uint64 min_len = 2; extensions 1000 to max; }
        extend StringRules { optional bool shouted = 1234; }"#;
    let text = r#"syntax = "proto3"; package test; import "buf/validate/validate.proto";
        message M {
            string f = 1 [(buf.validate.field).string = { min_len: 2, [buf.validate.shouted]: true }];
            string g = 2 [(buf.validate.field).skipped = true];
        }"#;
    let (pool, report) = load(&[("buf/validate/validate.proto", copy), ("test.proto", text)]);
    assert!(report.is_empty(), "{report:?}");
    let kind = pool.message("test.M").unwrap();
    assert_eq!(broken_json(&kind, r#"{"f": "a"}"#), ["f string.min_len"]);
    let problems: Vec<_> = kind.rule_problems().into_iter().map(|problem| (problem.subject, problem.rule)).collect();
    let problem = |subject: &str, rule: &str| (subject.to_owned(), rule.to_owned());
    assert_eq!(problems, [problem("test.M.f", "string.1234"), problem("test.M.g", "24")]);
}
