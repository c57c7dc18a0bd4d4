//! Limits from outside: by key, all or nothing, in dry run, and against a model.

use std::collections::HashMap;
use std::time::SystemTime;

use proptest::prelude::*;

use super::*;
use crate::id::{ConnectionId, WorkerId};
use crate::pipeline::identity::Identity;
use crate::session::Attachment;

fn limit(name: &str, key: &[KeyPart], count: u32, burst: u32, now: Instant) -> LimitUse {
    limit_in(Mode::Enforce, name, key, count, burst, now)
}

/// `count` a second.
fn limit_in(mode: Mode, name: &str, key: &[KeyPart], count: u32, burst: u32, now: Instant) -> LimitUse {
    let spec = LimitSpec {
        name: name.into(),
        key: key.to_vec(),
        count: count.try_into().unwrap(),
        per: Duration::from_secs(1),
        burst: burst.try_into().unwrap(),
        mode,
        keys_max: KEYS_MAX,
    };
    let fields = (0..key.iter().filter(|part| matches!(part, KeyPart::Field(_))).count()).collect();
    LimitUse { limiter: Limiter::new(spec, now), fields }
}

fn caller(connection: u64, user: Option<&str>, peer: &str) -> Caller {
    let mut caller = Caller::new(ConnectionId(connection), WorkerId(0), peer.parse().unwrap());
    if let Some(user) = user {
        let (roles, expires) = (Vec::new(), SystemTime::UNIX_EPOCH);
        let identity = Identity { user: user.into(), roles, token_id: None, issued_ms: 0, expires, token: None, api_key: None };
        let identity = Arc::new(identity);
        let attachment = Attachment::for_tests(&format!("session {connection}"), &identity);
        caller.enter(identity, attachment);
    }
    caller
}

fn passes(limits: &[LimitUse], caller: &Caller, fields: &[KeyValue<'_>], now: Instant) -> bool {
    admit(limits, &Facts { route: Protocol(9001), caller, fields }, now).is_ok()
}

#[test]
fn a_refusal_names_the_limit_and_the_wait() {
    let now = Instant::now();
    let limits = [limit("login", &[KeyPart::Global], 20, 1, now)];
    let caller = caller(1, None, "10.0.0.1");
    let facts = Facts { route: Protocol(9001), caller: &caller, fields: &[] };
    admit(&limits, &facts, now).unwrap();
    let refused = admit(&limits, &facts, now).err().unwrap();
    assert_eq!(refused.reason(), "RATE_LIMITED");
    assert_eq!(refused.wait(), Some(Duration::from_millis(50)));
    assert_eq!(refused.message(), "rate limit `login` is exhausted; try again in 50 ms");
    assert_eq!(limits[0].limiter.refused(), 1);
    admit(&limits, &facts, now + Duration::from_millis(50)).unwrap();
}

#[test]
fn a_refused_call_spends_nothing() {
    let now = Instant::now();
    let limits = [limit("wide", &[KeyPart::Global], 1, 3, now), limit("narrow", &[KeyPart::Connection], 1, 1, now)];
    let (one, two) = (caller(1, None, "10.0.0.1"), caller(2, None, "10.0.0.1"));
    assert!(passes(&limits, &one, &[], now));
    for _ in 0..10 {
        assert!(!passes(&limits, &one, &[], now));
    }
    assert!(passes(&limits, &two, &[], now));
    assert!(passes(&limits[..1], &one, &[], now));
    assert!(!passes(&limits[..1], &one, &[], now));
}

#[test]
fn a_dry_run_says_what_it_would_refuse_and_lets_it_pass() {
    let now = Instant::now();
    let limits = [limit_in(Mode::DryRun, "new", &[KeyPart::Global], 1, 1, now)];
    let caller = caller(1, None, "10.0.0.1");
    let facts = Facts { route: Protocol(9001), caller: &caller, fields: &[] };
    assert!(admit(&limits, &facts, now).unwrap().would_refuse.is_empty());
    assert_eq!(admit(&limits, &facts, now).unwrap().would_refuse, [std::sync::Arc::from("new")]);
    assert_eq!(limits[0].limiter.refused(), 1);
}

/// Whether two callers share a bucket of this key.
fn share(key: KeyPart, one: &Caller, other: &Caller) -> bool {
    let now = Instant::now();
    let limits = [limit("x", &[key], 1, 1, now)];
    assert!(passes(&limits, one, &[], now));
    !passes(&limits, other, &[], now)
}

#[test]
fn keys_keep_apart_what_they_say() {
    let alice = caller(1, Some("alice"), "10.0.0.1");
    let alice_elsewhere = caller(2, Some("alice"), "10.0.0.2");
    let bob = caller(3, Some("bob"), "10.0.0.1");
    let anonymous = caller(4, None, "10.0.0.1");
    assert!(share(KeyPart::Global, &alice, &bob));
    assert!(share(KeyPart::Route, &alice, &bob));
    assert!(share(KeyPart::User, &alice, &alice_elsewhere));
    assert!(share(KeyPart::Caller, &alice, &alice_elsewhere));
    assert!(!share(KeyPart::Caller, &alice, &bob));
    assert!(!share(KeyPart::Caller, &alice, &anonymous));
    assert!(share(KeyPart::PeerIp, &alice, &bob));
    assert!(!share(KeyPart::Connection, &alice, &alice_elsewhere));
    assert!(!share(KeyPart::Session, &alice, &alice_elsewhere));
    assert!(share(KeyPart::Caller, &anonymous, &caller(5, None, "10.0.0.1")));
    // A user cannot choose a name that is an address.
    assert!(!share(KeyPart::Caller, &anonymous, &caller(6, Some("\0\0\0\0\n\0\0\u{1}"), "10.0.0.9")));
}

#[test]
fn an_address_is_a_customer() {
    let at = |peer| caller(1, None, peer);
    assert!(share(KeyPart::PeerIp, &at("2001:db8:1:2::1"), &at("2001:db8:1:2:ffff::9")));
    assert!(!share(KeyPart::PeerIp, &at("2001:db8:1:2::1"), &at("2001:db8:1:3::1")));
    assert!(share(KeyPart::PeerIp, &at("10.0.0.1"), &at("::ffff:10.0.0.1")));
    assert!(!share(KeyPart::PeerIp, &at("10.0.0.1"), &at("10.0.0.2")));
}

#[test]
fn fields_are_compared_by_value_and_an_absent_one_is_its_default() {
    let now = Instant::now();
    let one = caller(1, None, "10.0.0.1");
    let limits = [limit("x", &[KeyPart::Field("a".into()), KeyPart::Field("b".into())], 1, 1, now)];
    assert!(passes(&limits, &one, &[KeyValue::Str("ab"), KeyValue::Str("c")], now));
    assert!(passes(&limits, &one, &[KeyValue::Str("a"), KeyValue::Str("bc")], now));
    assert!(!passes(&limits, &one, &[KeyValue::Str("ab"), KeyValue::Bytes(b"c")], now));
    assert!(passes(&limits, &one, &[KeyValue::Str(""), KeyValue::Int(0)], now));
    assert!(!passes(&limits, &one, &[], now));
}

proptest! {
    /// Three limits over two keys each, against buckets that are counted by hand.
    #[test]
    fn it_does_what_the_model_does(
        limits in prop::collection::vec((1..50_u32, 1..6_u32, any::<bool>()), 1..4),
        calls in prop::collection::vec((0..80_000_000_u64, 0..2_u64), 1..150),
    ) {
        let start = Instant::now();
        let mode = |dry_run| if dry_run { Mode::DryRun } else { Mode::Enforce };
        let uses: Vec<LimitUse> =
            limits.iter().map(|&(count, burst, dry)| limit_in(mode(dry), "x", &[KeyPart::Connection], count, burst, start)).collect();
        let callers = [caller(0, None, "10.0.0.1"), caller(1, None, "10.0.0.1")];

        // By limit and caller: how many nanoseconds' worth of tokens are missing.
        let mut missing: HashMap<(usize, u64), u64> = HashMap::new();
        let mut now = start;
        for (pause, who) in calls {
            now += Duration::from_nanos(pause);
            missing.values_mut().for_each(|missing| *missing = missing.saturating_sub(pause));

            let cost = |index: usize| 1_000_000_000_u64.div_ceil(limits[index].0.into());
            let has_token = |index: usize| {
                let missing = missing.get(&(index, who)).copied().unwrap_or(0);
                missing + cost(index) <= cost(index) * u64::from(limits[index].1)
            };
            let expected = (0..limits.len()).all(|index| limits[index].2 || has_token(index));
            let spends: Vec<usize> = (0..limits.len()).filter(|&index| expected && has_token(index)).collect();
            for index in spends {
                *missing.entry((index, who)).or_default() += cost(index);
            }
            prop_assert_eq!(passes(&uses, &callers[who as usize], &[], now), expected);
        }
    }
}
