//! What is hidden is nowhere: neither in the bytes nor in the JSON that a log would show.

use proptest::prelude::*;

use super::message::{bytes_of, damaged_bytes_of};
use super::{message_type, path};
use crate::proto::{Redact, Values, Walk, WalkOptions, from_json, to_json};

fn redacted(json: &str, paths: &[&str]) -> (Vec<u8>, String) {
    let kind = message_type("test.v1.Login");
    let mut bytes = Vec::new();
    from_json(&kind, json, &mut bytes).unwrap();
    let len = bytes.len();
    let paths: Vec<_> = paths.iter().map(|text| path(&kind, text)).collect();
    Redact::compile(&kind, &paths).apply(&mut bytes).unwrap();
    assert_eq!(bytes.len(), len);
    let mut text = Vec::new();
    to_json(&kind, &bytes, &mut text).unwrap();
    (bytes, String::from_utf8(text).unwrap())
}

fn assert_hidden((bytes, text): &(Vec<u8>, String), canary: &str) {
    assert!(!text.contains(canary), "{text}");
    assert!(!bytes.windows(canary.len()).any(|window| window == canary.as_bytes()));
}

#[test]
fn marked_fields_are_hidden_at_any_depth() {
    let shown = redacted(
        r#"{ "user": "ann", "password": "CANARY",
             "cards": [ { "holder": "ann", "number": "CANARY", "pin": 4711, "digits": [4711, -9] } ],
             "cardsByName": { "main": { "number": "CANARY" } },
             "hiddenCard": { "holder": "CANARY" },
             "again": { "password": "CANARY", "card": { "number": "CANARY" } },
             "extra": { "@type": "type.googleapis.com/test.v1.Login", "user": "bob", "password": "CANARY" } }"#,
        &[],
    );
    assert_hidden(&shown, "CANARY");
    assert_hidden(&shown, "4711");
    for visible in ["ann", "bob", "main"] {
        assert!(shown.1.contains(visible), "{}", shown.1);
    }
}

#[test]
fn extensions_are_hidden_too_and_what_is_called_as_secrets_are() {
    let kind = message_type("test.v2.Legacy");
    // id: 1, and the extensions 103, 104 and 105.
    let mut bytes = b"\x08\x01\xba\x06\x06CANARY\xc2\x06\x06CANARY\xca\x06\x06CANARY".to_vec();
    Redact::compile(&kind, &[]).apply(&mut bytes).unwrap();
    assert_eq!(bytes, b"\x08\x01\xba\x06\x06******\xc2\x06\x06******\xca\x06\x06******");
}

#[test]
fn what_is_called_as_secrets_are_is_hidden_in_wrappers_and_maps_too() {
    let shown = redacted(r#"{ "user": "ann", "apiKey": "CANARY", "sessionTokens": { "CANARY": "CANARY" }, "secrets": ["Q0FOQVJZ"] }"#, &[]);
    assert_hidden(&shown, "CANARY");
    assert!(!shown.1.contains("Q0FOQVJZ") && shown.1.contains("ann"), "{}", shown.1);
}

#[test]
fn paths_are_hidden_through_lists_and_maps() {
    let shown = redacted(
        r#"{ "user": "CANARY", "cards": [ { "holder": "CANARY" } ], "cardsByName": { "main": { "holder": "CANARY" } }, "pins": [4711, 1] }"#,
        &["user", "cards.holder", "cards_by_name.holder", "pins"],
    );
    assert_hidden(&shown, "CANARY");
    assert_hidden(&shown, "4711");
    assert!(shown.1.contains("main"));
}

#[test]
fn a_hidden_map_hides_its_keys() {
    let shown = redacted(r#"{ "cardsByName": { "CANARY": { "holder": "CANARY" } } }"#, &["cards_by_name"]);
    assert_hidden(&shown, "CANARY");
}

#[test]
fn an_any_of_an_unknown_type_is_hidden_whole() {
    let kind = message_type("test.v1.Login");
    // extra { type_url: "x/no.Such" value: "CANARY" }
    let mut bytes = b"\x2a\x13\x0a\x09x/no.Such\x12\x06CANARY".to_vec();
    Redact::compile(&kind, &[]).apply(&mut bytes).unwrap();
    assert!(bytes.ends_with(b"******"));
}

#[test]
fn a_route_may_hide_the_value_of_an_any_whose_type_is_known() {
    let kind = message_type("test.v1.Login");
    // extra { type_url: "x/test.v1.Card" value: { holder: "CANARY" } }
    let mut bytes = b"\x2a\x1a\x0a\x0ex/test.v1.Card\x12\x08\x0a\x06CANARY".to_vec();
    Redact::compile(&kind, &[path(&kind, "extra.value")]).apply(&mut bytes).unwrap();
    assert!(bytes.ends_with(b"********"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_redacted_message_is_still_one(bytes in bytes_of(&message_type("test.v1.Login")), hide in prop::sample::subsequence(vec!["user", "cards", "pins", "again", "card", "extra"], 0..4)) {
        let kind = message_type("test.v1.Login");
        let walk = Walk::compile(&kind, &[], WalkOptions::default());
        prop_assume!(walk.run(&bytes, &mut Values::new()).is_ok());
        let paths: Vec<_> = hide.iter().map(|text| path(&kind, text)).collect();
        let mut hidden = bytes.clone();
        Redact::compile(&kind, &paths).apply(&mut hidden).unwrap();
        prop_assert_eq!(hidden.len(), bytes.len());
        prop_assert!(walk.run(&hidden, &mut Values::new()).is_ok(), "{:02x?} became {:02x?}", bytes, hidden);
    }

    #[test]
    fn no_bytes_make_it_fail_otherwise_than_by_saying_so(mut bytes in damaged_bytes_of(&message_type("test.v1.Login"))) {
        let _ = Redact::compile(&message_type("test.v1.Login"), &[]).apply(&mut bytes);
    }
}
