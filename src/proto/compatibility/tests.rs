//! Every rule both ways: what breaks, and its neighbour that does not.

use std::path::PathBuf;

use super::Verdict::{Breaks, Loosens, Tightens};
use super::{Codec, Compatibility, Verdict, Way};
use crate::diagnostic::{Report, Sources, Span};
use crate::files::Files;
use crate::proto::{DescriptorSource, Pool, Pools, Wanted};

const BOTH: Verdict = Breaks(Codec::Both);
const PROTO: Verdict = Breaks(Codec::Proto);
const JSON: Verdict = Breaks(Codec::Json);

fn pool(text: &str) -> Pool {
    let (mut report, mut texts) = (Report::default(), Sources::default());
    let span = Span::start_of(texts.add("routes.yaml", String::new()));
    let text: &'static str = text.to_owned().leak();
    let files = Files::in_memory(vec![("proto/t.proto", text)].leak());
    let sources = [DescriptorSource::Proto { folder: PathBuf::from("proto"), span }];
    let pool = Pools::new().load(&files, &sources, &Wanted::everything(), &mut report, &mut texts).pool;
    assert!(report.is_empty(), "{text}\n{report:?}");
    pool
}

/// What becomes of `M`, but for what nobody notices: verdicts, each once.
fn judged(before: &str, after: &str, way: Way) -> Vec<Verdict> {
    let [before, after] = [before, after].map(|text| pool(text).message("t.M").expect("every text defines it"));
    let found = Compatibility::default().compare(&before, &after, way);
    let mut verdicts: Vec<Verdict> =
        found.iter().map(|alteration| alteration.verdict).filter(|verdict| *verdict != Verdict::Changes).collect();
    verdicts.dedup();
    verdicts
}

fn proto3(body: &str) -> String {
    format!("syntax = \"proto3\";\npackage t;\nimport \"buf/validate/validate.proto\";\nimport \"google/protobuf/wrappers.proto\";\n{body}")
}

fn proto2(body: &str) -> String {
    format!("syntax = \"proto2\";\npackage t;\n{body}")
}

/// What `before` becomes in `after`, for who sends it and for who reads it.
struct Case {
    before: &'static str,
    after: &'static str,
    sent: &'static [Verdict],
    read: &'static [Verdict],
}

const fn case(before: &'static str, after: &'static str, sent: &'static [Verdict], read: &'static [Verdict]) -> Case {
    Case { before, after, sent, read }
}

/// The same whichever way it goes.
const fn same(before: &'static str, after: &'static str, verdicts: &'static [Verdict]) -> Case {
    case(before, after, verdicts, verdicts)
}

fn hold(cases: &[Case], text: fn(&str) -> String) {
    for Case { before, after, sent, read } in cases {
        for (way, expected) in [(Way::FromClients, sent), (Way::ToClients, read)] {
            assert_eq!(judged(&text(before), &text(after), way), *expected, "{way:?}\n{before}\n{after}");
        }
    }
}

#[test]
fn a_field_is_not_deleted_unless_number_and_name_are_reserved() {
    let before = "message M { string a = 1; string b = 2; }";
    hold(
        &[
            same(before, before, &[]),
            same(before, "message M { string a = 1; }", &[BOTH]),
            same(before, "message M { reserved \"b\"; string a = 1; }", &[PROTO]),
            same(before, "message M { reserved 2; string a = 1; }", &[JSON]),
            case(before, "message M { reserved 2; reserved \"b\"; string a = 1; }", &[Tightens], &[Tightens]),
            // In JSON a number is nothing.
            same(before, "message M { string a = 1; string b = 3; }", &[PROTO]),
            same(before, "message M { string a = 1; int32 b = 3; }", &[BOTH]),
            // Whoever reserves the number gives it up, and not the name.
            same(before, "message M { reserved 2; string a = 1; string b = 3; }", &[Tightens]),
            same(before, "message M { reserved 2; string a = 1; int32 b = 3; }", &[JSON]),
            same(before, "message M { reserved 2; string a = 1; repeated string b = 3; }", &[JSON]),
            same(before, "message M { reserved 2; string a = 1; string b = 3 [json_name = \"c\"]; }", &[JSON]),
            same(before, "message M { reserved 2; reserved \"b\"; string a = 1; int32 c = 3 [json_name = \"b\"]; }", &[JSON]),
            same(
                "message N { string x = 1; } message M { N a = 1; }",
                "message N { string y = 1; } message M { reserved 1; N a = 2; }",
                &[JSON, Tightens],
            ),
            same(before, "message M { string a = 1; string b = 2; string c = 3; }", &[]),
        ],
        proto3,
    );
}

#[test]
fn an_extension_is_a_field_that_is_called_by_its_full_name() {
    const M: &str = "message M { extensions 100 to max; }";
    let extended = |by: &str| format!("{M} message N {{ optional string s = 1; }} extend M {{ {by} }}");
    for (before, after, sent, read) in [
        ("optional string e = 100;", "", vec![BOTH], vec![BOTH]),
        ("optional string e = 100;", "optional string e = 101;", vec![PROTO], vec![PROTO]),
        ("optional string e = 100;", "optional string f = 100;", vec![JSON], vec![JSON]),
        ("optional string e = 100;", "optional bytes e = 100;", vec![JSON], vec![JSON]),
        ("optional string e = 100;", "optional int32 e = 100;", vec![BOTH], vec![BOTH]),
        ("optional int32 e = 100;", "repeated int32 e = 100;", vec![BOTH], vec![BOTH]),
        ("optional int32 e = 100;", "optional int32 e = 100 [default = 3];", vec![BOTH], vec![BOTH]),
        ("", "optional string e = 100;", vec![], vec![]),
    ] {
        for (way, expected) in [(Way::FromClients, sent), (Way::ToClients, read)] {
            let [before, after] = [before, after].map(|by| proto2(&extended(by)).replace("extend M {  }", ""));
            assert_eq!(judged(&before, &after, way), expected, "{way:?}\n{before}\n{after}");
        }
    }
    let inner = extended("optional N e = 100;");
    let other = inner.replace("optional string s", "optional int32 s");
    assert_eq!(judged(&proto2(&inner), &proto2(&other), Way::FromClients), [BOTH], "what it holds is reached");
}

#[test]
fn a_message_set_is_written_otherwise() {
    let plain = "message M { extensions 100 to max; }";
    hold(&[same(plain, "message M { option message_set_wire_format = true; extensions 100 to max; }", &[PROTO])], proto2);
}

#[test]
fn that_absence_is_told_no_longer_is_no_break_and_yet_a_difference() {
    let text = |field: &str| pool(&proto3(&format!("message M {{ {field} string a = 1; }}"))).message("t.M").expect("it is there");
    let (plain, optional) = (text(""), text("optional"));
    let said = |before, after| -> Vec<(Verdict, String)> {
        let found = Compatibility::default().compare(before, after, Way::FromClients);
        found.iter().map(|alteration| (alteration.verdict, alteration.what.clone())).collect()
    };
    assert_eq!(said(&plain, &optional), [(Verdict::Changes, "field 1 `a` of `t.M` tells now whether it was set".to_owned())]);
    assert_eq!(said(&optional, &plain), [(Verdict::Changes, "field 1 `a` of `t.M` tells no longer whether it was set".to_owned())]);
}

#[test]
fn json_goes_by_names() {
    hold(
        &[
            same("message M { string a_b = 1; }", "message M { string c = 1; }", &[JSON]),
            same("message M { string a_b = 1; }", "message M { string a_b = 1 [json_name = \"c\"]; }", &[JSON]),
            // The name of the file may be written as well; what is read has the other one.
            case("message M { string a_b = 1; }", "message M { string c = 1 [json_name = \"aB\"]; }", &[JSON], &[]),
            same("message M { string a_b = 1; }", "message M { string a_b = 1 [json_name = \"aB\"]; }", &[]),
        ],
        proto3,
    );
}

#[test]
fn a_type_becomes_one_that_reads_the_same_bytes_and_the_same_json() {
    let field = |kind: &str| proto3(&format!("message M {{ {kind} a = 1; }} enum E {{ Z = 0; }} message N {{}}"));
    for (was, is, sent, read) in [
        ("int32", "uint32", None, None),
        ("int64", "uint64", None, None),
        ("sint32", "sint32", None, None),
        ("fixed32", "sfixed32", None, None),
        ("fixed64", "sfixed64", None, None),
        ("int32", "int64", Some(JSON), Some(JSON)),
        ("uint64", "bool", Some(JSON), Some(JSON)),
        ("sint32", "sint64", Some(JSON), Some(JSON)),
        ("int32", "sint32", Some(PROTO), Some(PROTO)),
        ("uint32", "fixed32", Some(PROTO), Some(PROTO)),
        ("int64", "sfixed64", Some(PROTO), Some(PROTO)),
        ("float", "double", Some(PROTO), Some(PROTO)),
        ("string", "bytes", Some(JSON), Some(JSON)),
        ("bytes", "string", Some(BOTH), Some(JSON)),
        ("int32", "string", Some(BOTH), Some(BOTH)),
        ("fixed32", "fixed64", Some(BOTH), Some(BOTH)),
        ("E", "int32", Some(BOTH), Some(BOTH)),
        ("int32", "E", Some(BOTH), Some(BOTH)),
        ("N", "bytes", Some(BOTH), Some(BOTH)),
        ("N", "string", Some(BOTH), Some(BOTH)),
    ] {
        for (way, expected) in [(Way::FromClients, sent), (Way::ToClients, read)] {
            assert_eq!(judged(&field(was), &field(is), way), Vec::from_iter(expected), "{was} becomes {is} {way:?}");
        }
    }
}

#[test]
fn a_field_is_there_as_often_as_before() {
    hold(
        &[
            same("message M { string a = 1; }", "message M { optional string a = 1; }", &[]),
            same("message M { optional string a = 1; }", "message M { string a = 1; }", &[]),
            same("message M { string a = 1; }", "message M { repeated string a = 1; }", &[BOTH]),
            same("message M { repeated string a = 1; }", "message M { string a = 1; }", &[BOTH]),
            same("message M { repeated int32 a = 1; }", "message M { repeated int32 a = 1 [packed = false]; }", &[]),
            // A map is a list of entries on the wire, and an object in JSON.
            same(
                "message M { map<string, int32> a = 1; }",
                "message M { repeated E a = 1; message E { string key = 1; int32 value = 2; } }",
                &[JSON],
            ),
            same("message M { map<string, int32> a = 1; }", "message M { map<string, uint32> a = 1; }", &[]),
            same("message M { map<string, int32> a = 1; }", "message M { map<string, string> a = 1; }", &[BOTH]),
        ],
        proto3,
    );
}

#[test]
fn what_is_required_breaks_who_sends_and_what_no_longer_is_who_reads() {
    let (optional, required) = ("message M { optional string a = 1; }", "message M { required string a = 1; }");
    hold(
        &[
            case(optional, required, &[BOTH], &[]),
            case(required, optional, &[], &[BOTH]),
            case("message M {}", required, &[BOTH], &[]),
            case("message M {}", optional, &[], &[]),
            case(required, "message M { reserved 1; reserved \"a\"; }", &[Tightens], &[BOTH]),
            same("message M { optional int32 a = 1; }", "message M { optional int32 a = 1 [default = 3]; }", &[BOTH]),
            same("message M { optional int32 a = 1 [default = 3]; }", "message M { optional int32 a = 1 [default = 3]; }", &[]),
            same("message M { optional int32 a = 1 [default = 0]; }", "message M { optional int32 a = 1; }", &[]),
            same("message M { optional string a = 1 [default = \"\"]; }", "message M { optional string a = 1; }", &[]),
            same("message M { optional float a = 1 [default = 1]; }", "message M { optional float a = 1 [default = 1.0]; }", &[]),
            same(
                "message M { enum E { A = 1; B = 2; } optional E a = 1; }",
                "message M { enum E { B = 2; A = 1; } optional E a = 1; }",
                &[BOTH],
            ),
            same(
                "message M { enum E { A = 1; B = 2; } optional E a = 1; }",
                "message M { enum E { B = 2; A = 1; } optional E a = 1 [default = A]; }",
                &[],
            ),
            // A group is written otherwise than a message, and looks the same in JSON.
            same(
                "message M { optional group A = 1 { optional int32 x = 1; } }",
                "message M { optional A a = 1; message A { optional int32 x = 1; } }",
                &[PROTO],
            ),
        ],
        proto2,
    );
}

#[test]
fn a_field_stays_in_its_oneof() {
    let one = "message M { oneof o { string a = 1; string b = 2; } string c = 3; }";
    hold(
        &[
            same(one, "message M { oneof other_name { string a = 1; string b = 2; } string c = 3; }", &[]),
            same(one, "message M { oneof o { string a = 1; string b = 2; string d = 4; } string c = 3; }", &[]),
            same(one, "message M { oneof o { string a = 1; string b = 2; string c = 3; } }", &[BOTH]),
            same(one, "message M { oneof o { string a = 1; } string b = 2; string c = 3; }", &[BOTH]),
            same(
                "message M { oneof o { string a = 1; string b = 2; } }",
                "message M { oneof o { string a = 1; } oneof p { string b = 2; } }",
                &[BOTH],
            ),
        ],
        proto3,
    );
}

#[test]
fn an_enum_keeps_its_numbers_and_its_names() {
    let before = "message M { E a = 1; } enum E { Z = 0; A = 1; B = 2; }";
    hold(
        &[
            same(before, "message M { E a = 1; } enum E { Z = 0; A = 1; B = 2; C = 3; }", &[]),
            same(before, "message M { E a = 1; } enum E { Z = 0; A = 1; }", &[BOTH]),
            same(before, "message M { E a = 1; } enum E { reserved 2; Z = 0; A = 1; }", &[JSON]),
            same(before, "message M { E a = 1; } enum E { reserved \"B\"; Z = 0; A = 1; }", &[PROTO]),
            same(before, "message M { E a = 1; } enum E { reserved 2; reserved \"B\"; Z = 0; A = 1; }", &[Tightens]),
            same(before, "message M { E a = 1; } enum E { Z = 0; A = 1; B = 3; }", &[PROTO]),
            same(before, "message M { E a = 1; } enum E { Z = 0; A = 1; C = 2; }", &[JSON]),
            same(before, "message M { E a = 1; } enum E { Z = 0; A = 2; B = 1; }", &[PROTO]),
            // What an enum is called is nowhere.
            same(before, "message M { Other a = 1; } enum Other { Z = 0; A = 1; B = 2; }", &[]),
            same(before, "message M { Other a = 1; } enum Other { Z = 0; A = 1; }", &[BOTH]),
        ],
        proto3,
    );
}

#[test]
fn of_several_names_of_a_value_all_are_read() {
    let one = proto3("message M { E a = 1; } enum E { Z = 0; A = 1; }");
    let two = proto3("message M { E a = 1; } enum E { option allow_alias = true; Z = 0; A = 1; B = 1; }");
    assert_eq!(judged(&one, &two, Way::FromClients), []);
    assert_eq!(judged(&two, &one, Way::FromClients), [JSON]);
}

#[test]
fn what_was_reserved_stays_so() {
    hold(
        &[
            same("message M { reserved 5 to 9; }", "message M { reserved 7 to 20; reserved 5, 6; }", &[]),
            same("message M { reserved 5 to 9; }", "message M { reserved 5 to 8; }", &[PROTO]),
            same("message M { reserved 5; }", "message M { string a = 5; }", &[PROTO]),
            same("message M { reserved \"a\"; }", "message M {}", &[JSON]),
            same(
                "message M { E e = 1; } enum E { reserved 5 to max; Z = 0; }",
                "message M { E e = 1; } enum E { reserved 6 to max; Z = 0; }",
                &[PROTO],
            ),
            same(
                "message M { E e = 1; } enum E { reserved \"A\"; Z = 0; }",
                "message M { E e = 1; } enum E { reserved \"A\", \"B\"; Z = 0; }",
                &[],
            ),
        ],
        proto3,
    );
}

#[test]
fn messages_inside_count_whatever_they_are_called() {
    hold(
        &[
            same("message M { N n = 1; } message N { string a = 1; }", "message M { Other n = 1; } message Other { string a = 1; }", &[]),
            same(
                "message M { N n = 1; } message N { string a = 1; }",
                "message M { Other n = 1; } message Other { int32 a = 1; }",
                &[BOTH],
            ),
            same(
                "message M { repeated M m = 1; N n = 2; } message N { M m = 1; }",
                "message M { repeated M m = 1; N n = 2; } message N {}",
                &[BOTH],
            ),
            // What JSON writes in a way of its own is not what looks alike.
            same("message M { google.protobuf.StringValue a = 1; }", "message M { N a = 1; } message N { string value = 1; }", &[JSON]),
            same("message M {} message N { string a = 1; }", "message M {} message N {}", &[]),
        ],
        proto3,
    );
}

#[test]
fn rules_that_let_less_through_are_tighter_for_who_sends() {
    let field = |rules: &str| format!("message M {{ string a = 1{rules}; }}");
    let long = |length: u32| field(&format!(" [(buf.validate.field).string.min_len = {length}]"));
    let compared = |before: &str, after: &str, way| judged(&proto3(before), &proto3(after), way);
    assert_eq!(compared(&field(""), &long(3), Way::FromClients), [Tightens]);
    assert_eq!(compared(&long(3), &long(5), Way::FromClients), [Tightens]);
    assert_eq!(compared(&long(5), &long(3), Way::FromClients), [Loosens]);
    assert_eq!(compared(&long(5), &field(""), Way::FromClients), [Loosens]);
    assert_eq!(compared(&long(3), &long(3), Way::FromClients), []);
    assert_eq!(compared(&field(""), &long(3), Way::ToClients), [], "a reply is not validated");
    let range = |rules: &str| format!("message M {{ int32 a = 1 [{rules}]; }}");
    let (narrow, wide) = (range("(buf.validate.field).int32 = { gte: 1, lt: 10 }"), range("(buf.validate.field).int32.gt = 0"));
    assert_eq!(compared(&narrow, &wide, Way::FromClients), [Loosens]);
    assert_eq!(compared(&wide, &narrow, Way::FromClients), [Tightens]);
}

#[test]
fn a_sentence_says_what_and_where() {
    let [before, after] = ["message M { string a = 1; int32 b = 2; }", "message M { string a = 1; int64 b = 2; string c = 3; }"]
        .map(|text| pool(&proto3(text)).message("t.M").expect("every text defines it"));
    let found = Compatibility::default().compare(&before, &after, Way::FromClients);
    let said: Vec<_> = found.iter().map(|alteration| (alteration.rule, alteration.what.as_str())).collect();
    let expected = [
        ("FIELD_WIRE_JSON_COMPATIBLE_TYPE", "field 2 `b` of `t.M` is an `int64`, and was an `int32`"),
        ("MESSAGE_SAME_REQUIRED_FIELDS", "field 3 `c` of `t.M` is new"),
    ];
    assert_eq!(said, expected);
}
