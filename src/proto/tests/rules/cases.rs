//! A table of cases for every rule.

use super::{broken_json, pool};

/// What is declared, then messages in JSON and what each breaks.
type Case = (&'static str, &'static [(&'static str, &'static [&'static str])]);

/// Declares the messages `M0`, `M1`, … of the cases at once, and goes through their messages.
fn check(cases: &[Case]) {
    let declared: String = cases.iter().enumerate().map(|(at, (body, _))| format!("message M{at} {{ {body} }}\n")).collect();
    let pool = pool(&format!(
        "enum Color {{ NONE = 0; RED = 1; BLUE = 5; }}\nmessage Name {{ string name = 1 [(buf.validate.field).string.min_len = 2]; }}\n{declared}"
    ));
    for (at, (body, messages)) in cases.iter().enumerate() {
        let kind = pool.message(&format!("test.M{at}")).unwrap();
        assert_eq!(kind.rule_problems(), [], "{body}");
        for (json, expected) in *messages {
            assert_eq!(broken_json(&kind, json), *expected, "{body}: {json}");
        }
    }
}

macro_rules! rule {
    ($kind:literal, $rules:literal) => {
        concat!($kind, " f = 1 [(buf.validate.field).", $rules, "];")
    };
}

const F: &str = r#"{"f": "#;

#[test]
fn texts() {
    check(&[
        (
            rule!("string", "string.const = 'yes'"),
            &[(r#"{"f":"yes"}"#, &[]), (r#"{"f":"no"}"#, &["f string.const"]), ("{}", &["f string.const"])],
        ),
        (rule!("string", "string.len = 2"), &[(r#"{"f":"äö"}"#, &[]), (r#"{"f":"abc"}"#, &["f string.len"])]),
        (rule!("string", "string.min_len = 2"), &[(r#"{"f":"漢字"}"#, &[]), (r#"{"f":"漢"}"#, &["f string.min_len"])]),
        (rule!("string", "string.max_len = 2"), &[(r#"{"f":"漢字"}"#, &[]), (r#"{"f":"abc"}"#, &["f string.max_len"])]),
        (rule!("string", "string.len_bytes = 3"), &[(r#"{"f":"漢"}"#, &[]), (r#"{"f":"ab"}"#, &["f string.len_bytes"])]),
        (rule!("string", "string.min_bytes = 3"), &[(r#"{"f":"漢"}"#, &[]), (r#"{"f":"ab"}"#, &["f string.min_bytes"])]),
        (rule!("string", "string.max_bytes = 3"), &[(r#"{"f":"漢"}"#, &[]), (r#"{"f":"漢a"}"#, &["f string.max_bytes"])]),
        (rule!("string", "string.prefix = 'ab'"), &[(r#"{"f":"abc"}"#, &[]), (r#"{"f":"bc"}"#, &["f string.prefix"])]),
        (rule!("string", "string.suffix = 'bc'"), &[(r#"{"f":"abc"}"#, &[]), (r#"{"f":"bcd"}"#, &["f string.suffix"])]),
        (rule!("string", "string.contains = 'b'"), &[(r#"{"f":"abc"}"#, &[]), (r#"{"f":"ac"}"#, &["f string.contains"])]),
        (rule!("string", "string.not_contains = 'b'"), &[(r#"{"f":"ac"}"#, &[]), (r#"{"f":"abc"}"#, &["f string.not_contains"])]),
        ("string f = 1 [(buf.validate.field).string = { in: ['a', 'b'] }];", &[(r#"{"f":"b"}"#, &[]), (r#"{"f":"c"}"#, &["f string.in"])]),
        (
            "string f = 1 [(buf.validate.field).string = { not_in: ['a', 'b'] }];",
            &[(r#"{"f":"c"}"#, &[]), (r#"{"f":"b"}"#, &["f string.not_in"])],
        ),
        (
            "string f = 1 [(buf.validate.field).string = { min_len: 2, pattern: '^[a-z]+$' }];",
            &[(r#"{"f":"ab"}"#, &[]), (r#"{"f":"A"}"#, &["f string.min_len", "f string.pattern"])],
        ),
        (rule!("string", "string.pattern = '^\\\\d+$'"), &[(r#"{"f":"12"}"#, &[]), (r#"{"f":"٣"}"#, &["f string.pattern"])]),
        (rule!("string", "string.pattern = '^[\\\\w-]+\\\\b'"), &[(r#"{"f":"a-b"}"#, &[]), (r#"{"f":"ä"}"#, &["f string.pattern"])]),
        (rule!("string", "string.email = false"), &[(r#"{"f":"nobody"}"#, &[])]),
        (
            rule!("string", "string.well_known_regex = KNOWN_REGEX_HTTP_HEADER_VALUE"),
            &[(r#"{"f":"a\tb"}"#, &[]), (r#"{"f":"a\nb"}"#, &["f string.well_known_regex.header_value"])],
        ),
        (
            "string f = 1 [(buf.validate.field).string = { well_known_regex: KNOWN_REGEX_HTTP_HEADER_NAME, strict: false }];",
            &[(r#"{"f":"a b"}"#, &[]), (r#"{"f":""}"#, &["f string.well_known_regex.header_name_empty"])],
        ),
    ]);
}

/// A format, texts that are of it, and texts that are not.
const FORMATS: [(&str, &[&str], &[&str]); 20] = [
    ("email", &["a@b", "foo.bar+x@example.com"], &["a", "a@", "@b", "a@b@c", "a@-b", "a b@c", "a@b..c", "ä@b", "a@b.c "]),
    ("hostname", &["a", "a-b.example.com", "example.com.", "a.1b"], &["-a", "a-", "a..b", "127.0.0.1", "a_b", "1", "."]),
    ("ip", &["127.0.0.1", "::1", "fe80::1%en0"], &["127.0.0", "1.2.3.04", ":::", "::1%"]),
    ("ipv4", &["0.0.0.0", "255.255.255.255"], &["256.0.0.1", "01.2.3.4", "::1", "1.2.3.4 "]),
    ("ipv6", &["::", "1:2:3:4:5:6:7:8", "::ffff:1.2.3.4", "::1%a%b"], &["1.2.3.4", "1:2", "::1::2", "12345::", ":1"]),
    (
        "uri",
        &[
            "https://example.com/a?b=c#d",
            "mailto:a@b",
            "http://[::1]:80/",
            "a:",
            "http://u:p@h:1/%20",
            "x://[v1.a:b]",
            "http://[fe80::1%25en0]/",
            "a+b://%61",
        ],
        &[
            "a",
            "/a",
            "1a:b",
            "http://a b",
            "http://[::1",
            "http://a:b/",
            "a:%zz",
            "a:b#c#d",
            "http://[::1]x/",
            "http://[1.2.3.4]/",
            "http://%ff/",
            "ä:b",
            "a:[b]",
        ],
    ),
    ("uri_ref", &["", "a/b:c", "/a?b#c", "//host/x", "?q", "#f", "https://a"], &["a b", ":a", "1:b", "//a:b", "[", "%"]),
    ("address", &["example.com", "127.0.0.1", "::1"], &["a_b", "127.0.0", "[::1]"]),
    (
        "uuid",
        &["123e4567-e89b-12d3-a456-426614174000"],
        &["123e4567e89b12d3a456426614174000", "123e4567-e89b-12d3-a456-42661417400g", "123e4567-e89b-12d3-a456-426614174000-", "-"],
    ),
    ("tuuid", &["123e4567e89b12d3a456426614174000"], &["123e4567-e89b-12d3-a456-426614174000", "123e"]),
    ("ip_with_prefixlen", &["10.0.0.1/8", "::1/128"], &["10.0.0.1", "10.0.0.1/33", "10.0.0.1/08", "::1/129", "::1%a/64"]),
    ("ipv4_with_prefixlen", &["10.0.0.1/32", "10.0.0.1/0"], &["::1/8", "10.0.0.1/+8", "10.0.0.1/"]),
    ("ipv6_with_prefixlen", &["2001:db8::1/64"], &["10.0.0.1/8"]),
    ("ip_prefix", &["10.0.0.0/8", "2001:db8::/32", "0.0.0.0/0", "1.2.3.4/32"], &["10.0.0.1/8", "2001:db8::1/32"]),
    ("ipv4_prefix", &["192.168.0.0/16"], &["192.168.1.0/16", "::/0"]),
    ("ipv6_prefix", &["::/0", "::1/128"], &["::1/127"]),
    ("host_and_port", &["example.com:80", "[::1]:0", "1.2.3.4:65535"], &["example.com", "a:65536", "a:080", "::1:80", "[::1]", ":1", "a:"]),
    ("ulid", &["01ARZ3NDEKTSV4RRFFQ69G5FAV"], &["81ARZ3NDEKTSV4RRFFQ69G5FAV", "01ARZ3NDEKTSV4RRFFQ69G5FAI", "01A"]),
    ("protobuf_fqn", &["a.B_1.c", "a"], &["a.", "1a", ".a", "a-b"]),
    ("protobuf_dot_fqn", &[".a.b"], &["a.b", "..a", "."]),
];

#[test]
fn formats() {
    for (format, good, bad) in FORMATS {
        let pool = pool(&format!("message M {{ string f = 1 [(buf.validate.field).string.{format} = true]; }}"));
        let kind = pool.message("test.M").unwrap();
        let broken = |text: &str| broken_json(&kind, &format!("{F}{}}}", serde_json::to_string(text).unwrap()));
        good.iter().for_each(|text| assert!(broken(text).is_empty(), "{format}: {text:?}"));
        bad.iter().for_each(|text| assert_eq!(broken(text), [format!("f string.{format}")], "{format}: {text:?}"));
        if format != "uri_ref" {
            assert_eq!(broken(""), [format!("f string.{format}_empty")]);
        }
    }
}

#[test]
fn bytes() {
    check(&[
        (rule!("bytes", "bytes.const = 'ab'"), &[(r#"{"f":"YWI="}"#, &[]), (r#"{"f":"YQ=="}"#, &["f bytes.const"])]),
        (rule!("bytes", "bytes.len = 1"), &[(r#"{"f":"YQ=="}"#, &[]), (r#"{"f":"YWI="}"#, &["f bytes.len"])]),
        (rule!("bytes", "bytes.min_len = 2"), &[(r#"{"f":"YWI="}"#, &[]), (r#"{"f":"YQ=="}"#, &["f bytes.min_len"])]),
        (rule!("bytes", "bytes.max_len = 1"), &[(r#"{"f":"YQ=="}"#, &[]), (r#"{"f":"YWI="}"#, &["f bytes.max_len"])]),
        (rule!("bytes", "bytes.prefix = '\\xff'"), &[(r#"{"f":"/2E="}"#, &[]), (r#"{"f":"YQ=="}"#, &["f bytes.prefix"])]),
        (rule!("bytes", "bytes.suffix = 'b'"), &[(r#"{"f":"YWI="}"#, &[]), (r#"{"f":"YQ=="}"#, &["f bytes.suffix"])]),
        (rule!("bytes", "bytes.contains = '\\xff'"), &[(r#"{"f":"Yf9h"}"#, &[]), (r#"{"f":"YQ=="}"#, &["f bytes.contains"])]),
        (rule!("bytes", "bytes.pattern = '^a'"), &[(r#"{"f":"YWI="}"#, &[]), (r#"{"f":"Yf8="}"#, &["f bytes.pattern"])]),
        ("bytes f = 1 [(buf.validate.field).bytes = { in: ['a'] }];", &[(r#"{"f":"YQ=="}"#, &[]), (r#"{"f":"YWI="}"#, &["f bytes.in"])]),
        (
            "bytes f = 1 [(buf.validate.field).bytes = { not_in: ['a'] }];",
            &[(r#"{"f":"YWI="}"#, &[]), (r#"{"f":"YQ=="}"#, &["f bytes.not_in"])],
        ),
        (
            rule!("bytes", "bytes.ip = true"),
            &[(r#"{"f":"YWFhYQ=="}"#, &[]), (r#"{"f":"YQ=="}"#, &["f bytes.ip"]), ("{}", &["f bytes.ip_empty"])],
        ),
        (rule!("bytes", "bytes.ipv6 = true"), &[(r#"{"f":"YWFhYQ=="}"#, &["f bytes.ipv6"])]),
        (rule!("bytes", "bytes.uuid = true"), &[(r#"{"f":"YWFhYWFhYWFhYWFhYWFhYQ=="}"#, &[]), (r#"{"f":"YWFhYQ=="}"#, &["f bytes.uuid"])]),
    ]);
}

#[test]
fn numbers() {
    for (kind, least) in [
        ("int32", "-1"),
        ("int64", "-1"),
        ("sint32", "-1"),
        ("sint64", "-1"),
        ("sfixed32", "-1"),
        ("sfixed64", "-1"),
        ("uint32", "0"),
        ("uint64", "0"),
        ("fixed32", "0"),
        ("fixed64", "0"),
        ("float", "-1.5"),
        ("double", "-1.5"),
    ] {
        let cases = [
            ("const: 7", "7", "8", "const"),
            ("lt: 7", "6", "7", "lt"),
            ("lte: 7", "7", "8", "lte"),
            ("gt: 7", "8", "7", "gt"),
            ("gte: 7", "7", "6", "gte"),
            ("gt: 3, lt: 7", "4", "7", "gt_lt"),
            ("gt: 3, lte: 7", "7", "3", "gt_lte"),
            ("gte: 3, lt: 7", "3", "7", "gte_lt"),
            ("gte: 3, lte: 7", "3", "8", "gte_lte"),
            ("gt: 7, lt: 3", "8", "3", "gt_lt_exclusive"),
            ("gt: 7, lte: 3", "3", "7", "gt_lte_exclusive"),
            ("gte: 7, lt: 3", least, "5", "gte_lt_exclusive"),
            ("gte: 7, lte: 3", "7", "4", "gte_lte_exclusive"),
            ("gt: 5, lt: 5", "", "5", "gt_lt"),
            ("in: [1, 2]", "2", "3", "in"),
            ("not_in: [1, 2]", "3", "2", "not_in"),
        ];
        let declared: String = cases
            .iter()
            .enumerate()
            .map(|(at, case)| format!("message M{at} {{ {kind} f = 1 [(buf.validate.field).{kind} = {{ {} }}]; }}", case.0))
            .collect();
        let pool = pool(&declared);
        for (at, (rules, good, bad, rule)) in cases.iter().enumerate() {
            let message = pool.message(&format!("test.M{at}")).unwrap();
            if !good.is_empty() {
                assert!(broken_json(&message, &format!("{F}{good}}}")).is_empty(), "{kind} {rules}: {good}");
            }
            assert_eq!(broken_json(&message, &format!("{F}{bad}}}")), [format!("f {kind}.{rule}")], "{kind} {rules}: {bad}");
        }
    }
}

#[test]
fn what_is_no_number_lies_nowhere() {
    check(&[
        (
            rule!("double", "double.finite = true"),
            &[(r#"{"f":1}"#, &[]), (r#"{"f":"NaN"}"#, &["f double.finite"]), (r#"{"f":"-Infinity"}"#, &["f double.finite"])],
        ),
        (rule!("float", "float.gt = 1"), &[(r#"{"f":"Infinity"}"#, &[]), (r#"{"f":"NaN"}"#, &["f float.gt"])]),
        ("double f = 1 [(buf.validate.field).double = { gt: 5, lt: 1 }];", &[(r#"{"f":"NaN"}"#, &["f double.gt_lt_exclusive"])]),
    ]);
}

#[test]
fn booleans_and_enums() {
    check(&[
        (rule!("bool", "bool.const = true"), &[(r#"{"f":true}"#, &[]), ("{}", &["f bool.const"])]),
        (rule!("bool", "bool.const = false"), &[("{}", &[]), (r#"{"f":true}"#, &["f bool.const"])]),
        (rule!("Color", "enum.const = 1"), &[(r#"{"f":"RED"}"#, &[]), (r#"{"f":"BLUE"}"#, &["f enum.const"])]),
        (rule!("Color", "enum.defined_only = true"), &[(r#"{"f":5}"#, &[]), (r#"{"f":4}"#, &["f enum.defined_only"])]),
        ("Color f = 1 [(buf.validate.field).enum = { in: [0, 5] }];", &[(r#"{"f":5}"#, &[]), (r#"{"f":1}"#, &["f enum.in"])]),
        ("Color f = 1 [(buf.validate.field).enum = { not_in: [0] }];", &[(r#"{"f":5}"#, &[]), ("{}", &["f enum.not_in"])]),
    ]);
}

#[test]
fn lists() {
    check(&[
        (
            rule!("repeated int32", "repeated.min_items = 2"),
            &[(r#"{"f":[1,2]}"#, &[]), (r#"{"f":[1]}"#, &["f repeated.min_items"]), ("{}", &["f repeated.min_items"])],
        ),
        (rule!("repeated string", "repeated.max_items = 1"), &[(r#"{"f":["a"]}"#, &[]), (r#"{"f":["a","b"]}"#, &["f repeated.max_items"])]),
        (
            rule!("repeated string", "repeated.unique = true"),
            &[(r#"{"f":["a","b"]}"#, &[]), (r#"{"f":["a","b","a"]}"#, &["f repeated.unique"])],
        ),
        (
            rule!("repeated double", "repeated.unique = true"),
            &[(r#"{"f":["NaN","NaN"]}"#, &[]), (r#"{"f":[0,-0.0]}"#, &["f repeated.unique"])],
        ),
        (
            rule!("repeated Color", "repeated.items.enum.defined_only = true"),
            &[(r#"{"f":[1,5]}"#, &[]), (r#"{"f":[1,4]}"#, &["f[1] enum.defined_only"])],
        ),
        (
            "repeated string f = 1 [(buf.validate.field).repeated.items = { string: { min_len: 2 }, ignore: IGNORE_IF_ZERO_VALUE }];",
            &[(r#"{"f":["ab",""]}"#, &[]), (r#"{"f":["ab","a"]}"#, &["f[1] string.min_len"])],
        ),
        ("repeated Name f = 1;", &[(r#"{"f":[{"name":"ab"}]}"#, &[]), (r#"{"f":[{"name":"ab"},{}]}"#, &["f[1].name string.min_len"])]),
        ("repeated Name f = 1 [(buf.validate.field).repeated.items.ignore = IGNORE_ALWAYS];", &[(r#"{"f":[{}]}"#, &[])]),
        (rule!("repeated Name", "required = true"), &[(r#"{"f":[{"name":"ab"}]}"#, &[]), ("{}", &["f required"])]),
    ]);
}

#[test]
fn maps() {
    check(&[
        (rule!("map<string, int32>", "map.min_pairs = 1"), &[(r#"{"f":{"a":1}}"#, &[]), ("{}", &["f map.min_pairs"])]),
        (rule!("map<string, int32>", "map.max_pairs = 1"), &[(r#"{"f":{"a":1}}"#, &[]), (r#"{"f":{"a":1,"b":2}}"#, &["f map.max_pairs"])]),
        (
            rule!("map<string, int32>", "map.keys.string.min_len = 2"),
            &[(r#"{"f":{"ab":1}}"#, &[]), (r#"{"f":{"a":1,"b":2}}"#, &["f[*] string.min_len"])],
        ),
        (rule!("map<int64, int32>", "map.values.int32.gt = 1"), &[(r#"{"f":{"1":2}}"#, &[]), (r#"{"f":{"1":1}}"#, &["f[*] int32.gt"])]),
        ("map<bool, Name> f = 1;", &[(r#"{"f":{"true":{"name":"ab"}}}"#, &[]), (r#"{"f":{"true":{}}}"#, &["f[*].name string.min_len"])]),
    ]);
}

#[test]
fn presence() {
    check(&[
        (rule!("string", "required = true"), &[(r#"{"f":"a"}"#, &[]), ("{}", &["f required"])]),
        (rule!("optional string", "required = true"), &[(r#"{"f":""}"#, &[]), ("{}", &["f required"])]),
        (
            rule!("Name", "required = true"),
            &[(r#"{"f":{"name":"ab"}}"#, &[]), (r#"{"f":{}}"#, &["f.name string.min_len"]), ("{}", &["f required"])],
        ),
        (rule!("optional string", "string.min_len = 2"), &[("{}", &[]), (r#"{"f":""}"#, &["f string.min_len"])]),
        (
            "string f = 1 [(buf.validate.field) = { string: { min_len: 2 }, ignore: IGNORE_IF_ZERO_VALUE }];",
            &[("{}", &[]), (r#"{"f":"a"}"#, &["f string.min_len"])],
        ),
        ("string f = 1 [(buf.validate.field) = { required: true, string: { min_len: 2 }, ignore: IGNORE_ALWAYS }];", &[("{}", &[])]),
        ("Name f = 1 [(buf.validate.field).ignore = IGNORE_ALWAYS];", &[(r#"{"f":{}}"#, &[])]),
        ("Name f = 1;", &[("{}", &[]), (r#"{"f":{}}"#, &["f.name string.min_len"])]),
    ]);
}

#[test]
fn oneofs() {
    check(&[
        (
            "oneof which { option (buf.validate.oneof).required = true; string a = 1 [(buf.validate.field).string.min_len = 2]; Name b = 2; int32 c = 3; }",
            &[
                (r#"{"a":"ab"}"#, &[]),
                (r#"{"c":0}"#, &[]),
                (r#"{"a":"a"}"#, &["a string.min_len"]),
                (r#"{"b":{}}"#, &["b.name string.min_len"]),
                ("{}", &["which required"]),
            ],
        ),
        (
            "option (buf.validate.message).oneof = { fields: ['a', 'b'] }; string a = 1 [(buf.validate.field).string.min_len = 2]; repeated int32 b = 2;",
            &[
                ("{}", &[]),
                (r#"{"a":"ab"}"#, &[]),
                (r#"{"b":[1]}"#, &[]),
                (r#"{"a":"ab","b":[1]}"#, &[" message.oneof"]),
                (r#"{"a":"a"}"#, &["a string.min_len"]),
            ],
        ),
        (
            "option (buf.validate.message).oneof = { fields: ['a'], required: true }; string a = 1;",
            &[(r#"{"a":"a"}"#, &[]), ("{}", &[" message.oneof"])],
        ),
    ]);
}

#[test]
fn messages_that_stand_for_a_value() {
    check(&[
        (
            rule!("google.protobuf.StringValue", "string.min_len = 2"),
            &[("{}", &[]), (r#"{"f":"ab"}"#, &[]), (r#"{"f":""}"#, &["f string.min_len"])],
        ),
        (rule!("google.protobuf.Int32Value", "int32.gt = 1"), &[(r#"{"f":2}"#, &[]), (r#"{"f":-1}"#, &["f int32.gt"])]),
        (rule!("google.protobuf.FloatValue", "float.lt = 1"), &[(r#"{"f":0.5}"#, &[]), (r#"{"f":1}"#, &["f float.lt"])]),
        (
            rule!("repeated google.protobuf.BoolValue", "repeated.items.bool.const = true"),
            &[(r#"{"f":[true]}"#, &[]), (r#"{"f":[true,false]}"#, &["f[1] bool.const"])],
        ),
        (
            "google.protobuf.Duration f = 1 [(buf.validate.field).duration = { gte: { seconds: 1 }, lt: { seconds: 2 } }];",
            &[(r#"{"f":"1.999999999s"}"#, &[]), (r#"{"f":"2s"}"#, &["f duration.gte_lt"]), (r#"{"f":"0.5s"}"#, &["f duration.gte_lt"])],
        ),
        (
            "google.protobuf.Timestamp f = 1 [(buf.validate.field).timestamp = { gt: { seconds: 10 } }];",
            &[(r#"{"f":"2020-01-01T00:00:00Z"}"#, &[]), (r#"{"f":"1970-01-01T00:00:10Z"}"#, &["f timestamp.gt"])],
        ),
        (
            "google.protobuf.Any f = 1 [(buf.validate.field).any = { in: ['type.googleapis.com/test.Name'] }];",
            &[
                (r#"{"f":{"@type":"type.googleapis.com/test.Name","name":""}}"#, &[]),
                (r#"{"f":{"@type":"type.googleapis.com/test.M0"}}"#, &["f any.in"]),
            ],
        ),
    ]);
}
