//! What the scanner finds in a text is what protox finds, and any bytes are scanned to their end.

use std::cell::Cell;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::TestRunner;
use prost::Message as _;
use prost_types::FileDescriptorProto;

use crate::proto::declared::Declared;
use crate::proto::scan::scan;

/// Stands between two tokens until it is decided what does.
const GAP: char = '\u{1}';

/// Words that begin statements, and are names as well.
const KEYWORDS: [&str; 15] =
    ["message", "enum", "group", "stream", "rpc", "option", "service", "extend", "oneof", "map", "returns", "package", "import", "to", "m"];

const GAPS: [&str; 7] = [" ", "\n", "\t", "// } \" {\n", "/* ' ; */", " /**/ ", "\r\n // import \"no.proto\";\n"];

/// What protox finds; nothing when it refuses the text.
fn compiled(text: &str) -> Option<Declared> {
    let file = protox::file::File::from_source("a.proto", text).ok()?;
    let file: FileDescriptorProto = file.into();
    Some(Declared::of_compiled(&file.encode_to_vec()).expect("a descriptor is one").1)
}

/// The order of groups is not that of the text.
fn sorted(mut declared: Declared) -> Declared {
    declared.messages.sort();
    declared.extended.sort();
    declared
}

/// Holds the scanner against protox where protox accepts the text. Whether it did.
fn agree(text: &str) -> bool {
    let scanned = scan(text.as_bytes());
    let Some(compiled) = compiled(text) else { return false };
    assert_eq!(sorted(scanned), sorted(compiled), "{text}");
    true
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[A-Za-z_][a-zA-Z0-9_]{0,4}", 1 => select(&KEYWORDS[..]).prop_map(str::to_owned)]
}

/// A name of a field's type that is no keyword.
fn type_name() -> impl Strategy<Value = String> {
    "(\\.)?[A-Z][a-z]{0,2}(\\.[A-Z][a-z]{0,2}){0,2}".prop_map(|name| format!("{GAP}{name}"))
}

fn value() -> impl Strategy<Value = &'static str> {
    select(&["1", "-1.5", "true", "\"} ; {\"", "'\\'{'", "{ a: 1 b { c: \"]\" } }", "{ a: [ 1, 2 ] b < c: 'x' > }", "1.5e3"][..])
}

fn options() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => Just(String::new()),
        1 => value().prop_map(|value| format!("{GAP}[{GAP}(a.b).c{GAP}={GAP}{value}{GAP}]")),
        1 => Just(format!("{GAP}[deprecated = true,{GAP}json_name = \"[{{\"]")),
    ]
}

fn option() -> impl Strategy<Value = String> {
    value().prop_map(|value| format!("option{GAP} (a){GAP}={GAP}{value};"))
}

fn field(label: &'static str) -> impl Strategy<Value = String> {
    (type_name(), name(), 1..1000u32, options())
        .prop_map(move |(kind, name, number, options)| format!("{label}{kind}{GAP} {name}{GAP}={GAP}{number}{options};"))
}

fn enumeration() -> impl Strategy<Value = String> {
    (name(), name(), option()).prop_map(|(name, value, option)| {
        format!("enum{GAP} {name}{GAP}{{{option} {value} = 0{GAP}; message = 1; reserved 5 to max; reserved \"a\"; }}")
    })
}

fn group(label: &'static str, body: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    ("[A-Z][a-z]{0,3}", 1..1000u32, options(), body)
        .prop_map(move |(name, number, options, body)| format!("{label}{GAP} group{GAP} {name}{GAP}={GAP}{number}{options}{GAP}{{{body}}}"))
}

fn body() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        field("optional "),
        enumeration(),
        option(),
        Just(format!("repeated{GAP} map{GAP} x = 7;")),
        Just(format!("map{GAP}<{GAP}string{GAP},{GAP}.A.B{GAP}>{GAP}entries = 9;")),
        Just("extensions 100 to 200, 300;".to_owned()),
        Just("reserved 1, 2 to 5; reserved \"b\";".to_owned()),
        Just(";".to_owned()),
    ];
    let none = Just(String::new());
    prop_oneof![none, leaf].prop_recursive(4, 24, 4, |inner| {
        let body = || vec(inner.clone(), 0..3).prop_map(|items| items.join("\u{1}"));
        prop_oneof![
            (name(), body()).prop_map(|(name, body)| format!("message{GAP} {name}{GAP}{{{body}}}")),
            group("optional", body()),
            (name(), field(""), group("", body())).prop_map(|(name, field, group)| format!("oneof{GAP} {name}{GAP}{{{field}{group}}}")),
            (type_name(), field("optional "), group("repeated", body()))
                .prop_map(|(name, field, group)| format!("extend{GAP} {name}{GAP}{{{field}{group}}}")),
            body(),
        ]
    })
}

fn method() -> impl Strategy<Value = String> {
    let side = || {
        (any::<bool>(), type_name())
            .prop_map(|(stream, kind)| if stream { format!("({GAP}stream{kind}{GAP})") } else { format!("({kind}{GAP})") })
    };
    let end = prop_oneof![Just(";".to_owned()), option().prop_map(|option| format!("{{{option}}}")), Just(format!("{{{GAP}}};"))];
    (name(), side(), side(), end)
        .prop_map(|(name, takes, answers, end)| format!("rpc{GAP} {name}{GAP}{takes}{GAP}returns{GAP}{answers}{GAP}{end}"))
}

fn service() -> impl Strategy<Value = String> {
    let item = prop_oneof![3 => method(), 1 => option(), 1 => Just(";".to_owned())];
    (name(), vec(item, 0..4)).prop_map(|(name, items)| format!("service{GAP} {name}{GAP}{{{}}}", items.join("\u{1}")))
}

/// A text that protox accepts, but for rare mistakes.
fn file() -> impl Strategy<Value = String> {
    let item = prop_oneof![
        4 => (name(), body()).prop_map(|(name, body)| format!("message{GAP} {name}{GAP}{{{body}}}")),
        2 => service(),
        1 => enumeration(),
        1 => option(),
        1 => (type_name(), field("optional "), group("repeated", body()))
            .prop_map(|(name, field, group)| format!("extend{GAP} {name}{GAP}{{{field}{group}}}")),
        1 => ("(public |weak )?", "[a-z]{1,3}/[a-z]{1,3}").prop_map(|(kind, path)| format!("import{GAP} {kind}{GAP}'{path}'{GAP}\".proto\";")),
        1 => Just(";".to_owned()),
    ];
    let package = prop_oneof![Just(String::new()), name().prop_map(|name| format!("package{GAP} a{GAP}.{GAP}{name}{GAP};"))];
    (vec(item, 0..6), package, any::<Index>(), vec(select(&GAPS[..]), 1..20)).prop_map(|(mut items, package, at, gaps)| {
        items.insert(at.index(items.len() + 1), package);
        let mut gaps = gaps.iter().cycle();
        let text: String = items.join("\u{1}").chars().fold(String::new(), |mut text, c| {
            if c == GAP {
                text.push_str(gaps.next().expect("it never ends"))
            } else {
                text.push(c)
            }
            text
        });
        format!("syntax = \"proto2\";{text}")
    })
}

/// What may go wrong in a text, at a place of it.
fn damage() -> impl Strategy<Value = (Index, usize, String)> {
    let instead = prop_oneof![
        Just(String::new()),
        select(&["{", "}", "[", "]", "\"", "'", "/*", "//", ";", "(", "\\", "#", "message A {", "é", "\n"][..]).prop_map(str::to_owned),
        name().prop_map(|name| format!(" {name} ")),
    ];
    (any::<Index>(), 0..12usize, instead)
}

#[test]
fn the_scanner_finds_what_protox_finds() {
    let (accepted, tried) = (Cell::new(0), Cell::new(0));
    let found = TestRunner::default().run(&file(), |text| {
        tried.set(tried.get() + 1);
        accepted.set(accepted.get() + u32::from(agree(&text)));
        Ok(())
    });
    found.unwrap_or_else(|difference| panic!("{difference}"));
    // What protox refuses says nothing.
    assert!(accepted.get() * 4 >= tried.get() * 3, "protox accepts {} of {} texts", accepted.get(), tried.get());
}

proptest! {
    #[test]
    fn a_damaged_text_is_scanned_as_protox_reads_it(text in file(), damages in vec(damage(), 1..4)) {
        let mut chars: Vec<char> = text.chars().collect();
        for (at, len, instead) in damages {
            let at = at.index(chars.len() + 1);
            chars.splice(at..(at + len).min(chars.len()), instead.chars());
        }
        let text: String = chars.into_iter().collect();
        // An import is kept as it is written, escapes and all.
        if !text.contains('\\') {
            agree(&text);
        }
        scan(text.as_bytes());
    }

    #[test]
    fn any_bytes_end(bytes in vec(prop_oneof![4 => select(&b"{}[]()\"'/*\n;=. messagnurvicxtd#\\"[..]), 1 => any::<u8>()], 0..200)) {
        scan(&bytes);
        // Not every text is a descriptor, but every one is tried as one.
        _ = Declared::of_compiled(&bytes);
    }
}

#[test]
fn what_makes_no_sense_is_doubtful() {
    for text in ["message A {", "message A { } }", "message A \"", "/* ", "mesage A { }", "package a; nonsense;", "rpc A(B) returns (C);"] {
        assert!(scan(text.as_bytes()).doubtful, "{text}");
    }
    let half = scan(b"package a; message A { message B { } string c = 1;\n service S { rpc M(A) returns (A); }");
    assert!(half.doubtful && half.messages.iter().map(|name| &**name).eq(["a.A", "a.A.B"]), "{half:?}");
}

#[test]
fn nesting_is_bounded() {
    let deep = "message A {".repeat(100_000);
    let declared = scan(deep.as_bytes());
    assert!(declared.doubtful && declared.messages.len() < 200);
}

#[test]
fn extended_messages_are_looked_for_from_the_inside_out() {
    let declared = scan(b"package a.b; message M { extend N { optional int32 x = 1; } extend .c.D { } }");
    let candidates: Vec<Vec<String>> = declared.extended.iter().map(|extended| extended.candidates().collect()).collect();
    assert_eq!(candidates, [vec!["a.b.M.N", "a.b.N", "a.N", "N"], vec!["c.D"]]);
}
