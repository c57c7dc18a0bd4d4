//! The binary codec against prost, and what it refuses.

use std::collections::HashMap;

use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::wire::v1;

proptest! {
    #[test]
    fn what_we_write_prost_reads_and_writes_back(theirs in envelope()) {
        let bytes = theirs.encode_to_vec();
        let ours = decode(&bytes).unwrap();
        prop_assert_eq!(&as_prost(&ours), &theirs);

        let mut again = Vec::new();
        encode(&ours, &mut again);
        prop_assert_eq!(&again, &bytes);
        prop_assert_eq!(decode(&again).unwrap(), ours);
    }

    #[test]
    fn what_we_accept_prost_accepts_and_reads_the_same(bytes in broken(), cut in any::<prop::sample::Index>()) {
        for bytes in [&bytes[..], &bytes[..cut.index(bytes.len() + 1)]] {
            if let Ok(ours) = decode(bytes) {
                let mut theirs = v1::Envelope::decode(bytes).unwrap();
                // A source that nobody knows is the gateway, to whoever reads it.
                theirs.status.iter_mut().for_each(|status| status.source = status.source().into());
                prop_assert_eq!(as_prost(&ours), theirs);
            }
        }
    }

    #[test]
    fn what_prost_accepts_we_accept_unless_it_has_groups_or_too_many_entries(bytes in broken()) {
        if v1::Envelope::decode(&bytes[..]).is_ok() && let Err(refused) = decode(&bytes) {
            prop_assert!(refused.what.contains("groups") || refused.what.contains("64 entries"), "{}", refused.what);
        }
    }
}

#[test]
fn a_refusal_names_the_field_and_finds_its_caller() {
    let refused = decode(&[0x10, 7, 0x4a, 1, 0xff]).unwrap_err();
    assert_eq!(refused, Malformed { id: Some(7), what: "field 9 (`topic`) of protogate.wire.v1.Envelope: is not UTF-8".into() });

    let refused = decode(b"{\"protocol\":9001}").unwrap_err();
    assert_eq!(refused.id, None);
}

#[test]
fn an_ordinary_call_owns_nothing() {
    let message = [0x08, 0xa9, 0x46, 0x10, 7, 0x1a, 4, 0x0a, 2, b'h', b'i', 0x5a, 2, b'0', b'0'];
    let envelope = decode(&message).unwrap();
    assert_eq!(envelope.payload, Payload::Proto(&message[7..11]));
    assert!(matches!(envelope.traceparent, Cow::Borrowed("00")));
    assert_eq!((envelope.metadata.capacity(), envelope.status), (0, None));
}

#[test]
fn unknown_fields_are_skipped_and_groups_are_not() {
    assert_eq!(decode(&[0xf8, 0x7f, 1, 0x10, 7]).unwrap().id, 7);
    assert!(decode(&[0xfb, 0x7f, 0xfc, 0x7f]).unwrap_err().what.contains("groups"));
}

#[test]
fn entries_are_bounded_before_they_are_kept() {
    let metadata = [0x62, 0].repeat(ENTRIES_MAX);
    assert_eq!(decode(&metadata).unwrap().metadata.len(), 1);
    assert!(decode(&[&metadata[..], &[0x62, 0]].concat()).is_err());

    let detail = [0x22, 2, 0x32, 0].repeat(ENTRIES_MAX);
    assert_eq!(decode(&detail).unwrap().status.unwrap().details.len(), ENTRIES_MAX);
    assert!(decode(&[&detail[..], &[0x22, 2, 0x32, 0]].concat()).is_err());
}

#[test]
fn an_empty_payload_is_none() {
    assert_eq!(decode(&[0x1a, 1, 5, 0x1a, 0]).unwrap().payload, Payload::None);
}

fn as_prost(envelope: &Envelope<'_>) -> v1::Envelope {
    let status = envelope.status.as_ref().map(|status| v1::Status {
        code: status.code,
        reason: status.reason.clone(),
        message: status.message.clone(),
        retry_after_ms: status.retry_after_ms,
        source: (status.source == Source::Backend).into(),
        details: status.details.iter().map(|detail| detail.any.clone()).collect(),
    });
    v1::Envelope {
        protocol: envelope.protocol,
        id: envelope.id,
        payload: match envelope.payload {
            Payload::None => bytes::Bytes::new(),
            Payload::Proto(bytes) => bytes::Bytes::copy_from_slice(bytes),
            Payload::Json(_) => unreachable!("a binary message has no JSON"),
        },
        status,
        seq: envelope.seq,
        ack: envelope.ack,
        deadline_ms: envelope.deadline_ms,
        more: envelope.more,
        topic: envelope.topic.to_string(),
        offset: envelope.offset,
        traceparent: envelope.traceparent.to_string(),
        metadata: envelope.metadata.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
        idempotency_key: envelope.idempotency_key.to_string(),
        epoch: envelope.epoch.to_string(),
        dropped: envelope.dropped,
        credit: envelope.credit,
    }
}

fn envelope() -> impl Strategy<Value = v1::Envelope> {
    let number = || prop_oneof![Just(0), any::<u32>(), 0..300_u32];
    let text = || prop_oneof![Just(String::new()), "[a-zé\\n]{0,200}"];
    let detail = (text(), prop::collection::vec(any::<u8>(), 0..200)).prop_map(|(type_url, value)| Any { type_url, value });
    let status = (number(), text(), text(), number(), 0..2_i32, prop::collection::vec(detail, 0..3)).prop_map(
        |(code, reason, message, retry_after_ms, source, details)| v1::Status { code, reason, message, retry_after_ms, source, details },
    );
    let numbers = (number(), number(), number(), number(), number(), number(), number(), any::<u64>(), any::<bool>());
    let texts = (text(), text(), text(), text());
    // At most one entry, because prost writes the entries of a map in any order.
    let metadata = prop::collection::hash_map(text(), text(), 0..=1);
    (numbers, texts, prop::collection::vec(any::<u8>(), 0..300), prop::option::of(status), metadata).prop_map(
        |(numbers, texts, payload, status, metadata): (_, _, _, _, HashMap<_, _>)| v1::Envelope {
            protocol: numbers.0,
            id: numbers.1,
            payload: payload.into(),
            status,
            seq: numbers.2,
            ack: numbers.3,
            deadline_ms: numbers.4,
            more: numbers.8,
            topic: texts.0,
            offset: numbers.7,
            traceparent: texts.1,
            metadata,
            idempotency_key: texts.2,
            epoch: texts.3,
            dropped: numbers.5,
            credit: numbers.6,
        },
    )
}

/// Noise, and envelopes of which a few bytes were changed.
fn broken() -> impl Strategy<Value = Vec<u8>> {
    let noise = prop::collection::vec(prop_oneof![any::<u8>(), (1..18_u8, 0..6_u8).prop_map(|(number, wire)| number << 3 | wire)], 0..60);
    let changed = (envelope(), prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)).prop_map(|(envelope, changes)| {
        let mut bytes = envelope.encode_to_vec();
        for (at, byte) in changes {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        bytes
    });
    prop_oneof![noise, changed]
}
