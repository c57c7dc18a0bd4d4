//! What is taken out of a message is what a reader of the whole would find there.

use bytes::Bytes;
use proptest::prelude::*;
use prost_reflect::Value as Reflected;

use super::message::damaged_bytes_of;
use super::{decode, message_type, path, same};
use crate::proto::{Submessage, Values, Walk, WalkOptions};

#[test]
fn only_what_may_be_one_message_is_taken_out() {
    let kind = message_type("test.v1.Kinds");
    for (field, is_one) in
        [("inner", true), ("self.inner", true), ("inner.right", true), ("inners", false), ("f_string", false), ("inner_by_id", false)]
    {
        let compiled = Submessage::compile(&path(&kind, field));
        assert_eq!(compiled.is_some(), is_one, "{field}");
    }
    assert_eq!(Submessage::compile(&path(&kind, "self.inner")).unwrap().1, "test.v1.Inner");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_message_that_is_taken_out_is_the_one_inside(bytes in damaged_bytes_of(&message_type("test.v1.Kinds")), deep: bool) {
        let kind = message_type("test.v1.Kinds");
        if Walk::compile(&kind, &[], WalkOptions::default()).run(&bytes, &mut Values::new()).is_err() {
            return Ok(());
        }
        let (part, name) = Submessage::compile(&path(&kind, if deep { "self.inner" } else { "inner" })).unwrap();
        let whole = decode(&kind, &bytes).expect("the walker accepted it");
        let inside = match deep {
            false => Some(whole),
            true => whole.has_field_by_name("self").then(|| match whole.get_field_by_name("self").unwrap().into_owned() {
                Reflected::Message(inside) => inside,
                _ => unreachable!("it is a message"),
            }),
        };
        let expected = inside.filter(|inside| inside.has_field_by_name("inner")).map(|inside| {
            match inside.get_field_by_name("inner").unwrap().into_owned() {
                Reflected::Message(inner) => inner,
                _ => unreachable!("it is a message"),
            }
        });
        let found = part.read(&Bytes::from(bytes)).map(|found| decode(&message_type(&name), &found).expect("a part of a sound message is sound"));
        prop_assert_eq!(found.is_some(), expected.is_some());
        if let (Some(found), Some(expected)) = (found, expected) {
            prop_assert!(same(&found, &expected));
        }
    }
}
