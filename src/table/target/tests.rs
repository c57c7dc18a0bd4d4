//! Who answers whom, for every set of shares.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::SystemTime;

use proptest::prelude::*;
use tokio::runtime::Runtime;

use super::*;
use crate::backend::{Spec, SpecKind};
use crate::id::{ConnectionId, WorkerId};
use crate::pipeline::identity::Identity;
use crate::services::builtins_in_memory;
use crate::session::Attachment;

const USERS: u64 = 600;

/// Backends `b0`, `b1` and so on.
fn alive(count: usize) -> Vec<Arc<Backend>> {
    let runtime = Runtime::new().expect("a runtime");
    let _inside = runtime.enter();
    let builtins = builtins_in_memory();
    let open = |place: usize| {
        let spec = Spec { name: format!("b{place}").into(), kind: SpecKind::Builtin("echo".into()) };
        Backend::open(spec, 1, &builtins, None).expect("the echo is there")
    };
    (0..count).map(open).collect()
}

fn split(shares: &[u32], alive: &[Arc<Backend>]) -> Target {
    Target::new(&BackendsPlan::Split(shares.iter().copied().enumerate().collect()), None, alive)
}

fn hashed(hash: HashPlan) -> Target {
    Target::new(&BackendsPlan::One(0), Some(hash), &alive(1))
}

fn anonymous(connection: u64) -> Caller {
    Caller::new(ConnectionId(connection), WorkerId(0), Ipv4Addr::LOCALHOST.into())
}

fn user(name: &str, session: &str, connection: u64) -> Caller {
    let identity = Arc::new(Identity {
        user: name.into(),
        roles: Vec::new(),
        token_id: None,
        issued_ms: 0,
        expires: SystemTime::UNIX_EPOCH,
        token: None,
        api_key: None,
    });
    let attachment = Attachment::for_tests(session, &identity);
    let mut caller = anonymous(connection);
    caller.enter(identity, attachment);
    caller
}

fn answers(target: &Target, caller: &Caller) -> String {
    target.backend_for(caller).name().to_string()
}

/// Who answers each of many users.
fn everybody(target: &Target) -> Vec<String> {
    (0..USERS).map(|number| answers(target, &user(&format!("user-{number}"), "s", number))).collect()
}

#[test]
fn a_user_stays_with_one_backend_whatever_the_connection_and_the_order_of_the_shares() {
    let alive = alive(3);
    let target = split(&[50, 30, 20], &alive);
    let turned = Target::new(&BackendsPlan::Split(vec![(2, 20), (0, 50), (1, 30)]), None, &alive);
    for name in ["ada", "bob", "eve", "mallory", "zoe"] {
        let first = answers(&target, &user(name, "s1", 1));
        assert_eq!(answers(&target, &user(name, "s2", 99)), first);
        assert_eq!(answers(&turned, &user(name, "s3", 7)), first);
    }
    assert_eq!(answers(&target, &anonymous(5)), answers(&target, &anonymous(5)), "who is nobody stays as long as it is connected");
}

#[test]
fn a_share_of_nothing_answers_nobody() {
    let alive = alive(2);
    assert!(everybody(&split(&[100, 0], &alive)).iter().all(|name| name == "b0"));
}

#[test]
fn a_route_with_one_backend_asks_nothing() {
    let alive = alive(2);
    let target = Target::new(&BackendsPlan::One(1), None, &alive);
    assert_eq!(answers(&target, &anonymous(1)), "b1");
    assert_eq!(target.choice(&anonymous(1), &[]), Choice { key: None });
}

#[test]
fn a_key_is_of_what_the_route_says() {
    let key = |hash, caller: &Caller, fields: &[KeyValue<'_>]| hashed(hash).choice(caller, fields).key;
    let (ada, again, bob) = (user("ada", "s1", 1), user("ada", "s2", 2), user("bob", "s3", 3));
    assert_eq!(key(HashPlan::User, &ada, &[]), Some(hash(b"ada")));
    assert_eq!(key(HashPlan::User, &ada, &[]), key(HashPlan::User, &again, &[]));
    assert_ne!(key(HashPlan::User, &ada, &[]), key(HashPlan::User, &bob, &[]));
    assert_ne!(key(HashPlan::Session, &ada, &[]), key(HashPlan::Session, &again, &[]));
    assert_eq!(key(HashPlan::PeerIp, &ada, &[]), key(HashPlan::PeerIp, &bob, &[]), "both come from here");
    let fields = [KeyValue::Str("other"), KeyValue::Str("room-1")];
    assert_eq!(key(HashPlan::Field(1), &ada, &fields), Some(hash(b"room-1")));
    assert_eq!(key(HashPlan::Field(0), &ada, &[KeyValue::Int(7)]), key(HashPlan::Field(0), &ada, &[KeyValue::Uint(7)]));
}

#[test]
fn what_is_absent_or_nobodys_is_no_key() {
    let key = |hash, fields: &[KeyValue<'_>]| hashed(hash).choice(&anonymous(1), fields).key;
    assert_eq!((key(HashPlan::User, &[]), key(HashPlan::Session, &[])), (None, None));
    for nothing in [KeyValue::Absent, KeyValue::Str(""), KeyValue::Int(0), KeyValue::Bool(false), KeyValue::Bytes(b"")] {
        assert_eq!(key(HashPlan::Field(0), &[nothing]), None, "{nothing:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_share_that_is_raised_takes_users_and_moves_no_other(
        shares in proptest::collection::vec(1u32..100, 2..5),
        more in 1u32..200,
        who in any::<prop::sample::Index>(),
    ) {
        let alive = alive(shares.len());
        let who = who.index(shares.len());
        let mut raised = shares.clone();
        raised[who] += more;
        let (before, after) = (everybody(&split(&shares, &alive)), everybody(&split(&raised, &alive)));
        for (from, to) in before.iter().zip(&after) {
            prop_assert!(from == to || *to == format!("b{who}"), "{} went to {}", from, to);
        }
        let mut counts = BTreeMap::new();
        after.iter().for_each(|name| *counts.entry(name.clone()).or_insert(0u32) += 1);
        for (place, share) in raised.iter().enumerate() {
            let due = f64::from(*share) / f64::from(raised.iter().sum::<u32>());
            let has = f64::from(counts.get(&format!("b{place}")).copied().unwrap_or(0)) / USERS as f64;
            prop_assert!((has - due).abs() < 0.11, "{} of the users where {} are due", has, due);
        }
    }
}
