//! One conversation without a socket: what it says where there is no room, and what it holds against its client.

use std::future::{poll_fn, ready};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::task::noop_waker_ref;

use super::*;
use crate::dispatch::Reply;
use crate::edge::own::OwnMessages;
use crate::edge::seats::Seats;
use crate::id::{ConnectionId, WorkerId};
use crate::pipeline::auth::Verifier;
use crate::pipeline::signer::Signer;
use crate::proto::Pool;
use crate::session::Admitted;
use crate::session::budget::Budget;
use crate::session::outbox::Outbox;
use crate::table::{Settings, live};

fn conversation(budget: &Arc<Budget>) -> Conversation {
    let settings = Settings::default();
    let speaker = Speaker::new(Codec::Json, Outbox::new(Arc::clone(budget)), Arc::new(OwnMessages::new(&Pool::own())));
    let caller = Caller::new(ConnectionId(1), WorkerId(0), IpAddr::V4(Ipv4Addr::LOCALHOST));
    Conversation::new(speaker, caller, Standing::anonymous(Tick::ZERO, &settings), Seats::new(1).take(&settings).unwrap())
}

fn batch(table: Table) -> Batch {
    Batch { table: Arc::new(table), now: Instant::now(), tick: Tick::ZERO }
}

/// A call that ends with a reply of so many bytes.
fn replied(id: u32, bytes: usize) -> InFlight {
    let (protocol, id) = (Protocol(1000), CallId(id));
    let answer = Answer { protocol, id, result: Ok(Reply::Json(format!("\"{}\"", "x".repeat(bytes)))), silent: false, effect: None };
    InFlight { protocol, id, topic: None, running: ready(answer).boxed() }
}

fn poll(conversation: &mut Conversation) -> Poll<bool> {
    let (_writer, tables) = live(Arc::new(Table::empty()));
    conversation.poll_answer(&mut Context::from_waker(noop_waker_ref()), &tables, Tick::ZERO).map(|end| end.is_ok())
}

fn written(conversation: &Conversation) -> String {
    let bytes = conversation.speaker.take();
    conversation.speaker.outbox.written(bytes.len());
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn an_answer_that_fits_no_outbox_is_refused_and_the_conversation_goes_on() {
    let mut conversation = conversation(&Arc::new(Budget::new(1000, 10_000)));
    conversation.calls.push(replied(7, 2000));
    assert_eq!(poll(&mut conversation), Poll::Ready(true));
    let said = written(&conversation);
    assert!(said.contains("REPLY_TOO_LARGE") && said.contains(r#""id":7"#), "{said}");
}

#[test]
fn an_answer_waits_while_others_hold_all_the_room_there_is() {
    let budget = Arc::new(Budget::new(1000, 1000));
    let hog = Outbox::new(Arc::clone(&budget));
    hog.try_append(|out| out.resize(900, 0)).unwrap();
    let mut conversation = conversation(&budget);
    conversation.calls.push(replied(7, 200));
    assert_eq!((poll(&mut conversation), conversation.put_off()), (Poll::Pending, Some(Full::All)));
    let failure = Failure::gateway(Reason::UnknownTopic, "what is owed is said all the same".to_owned() + &"!".repeat(100));
    assert!(conversation.refuse(4, 8, &failure, Tick::ZERO).is_ok());
    assert!(written(&conversation).contains("UNKNOWN_TOPIC"));
    drop(hog);
    assert_eq!((poll(&mut conversation), conversation.put_off()), (Poll::Ready(true), None));
    assert!(written(&conversation).contains("xxx"));
}

#[test]
fn calls_that_come_while_the_gateway_ends_are_not_held_against_the_client() {
    let mut conversation = conversation(&Arc::new(Budget::new(1 << 20, 1 << 20)));
    conversation.draining = true;
    let batch = batch(Table::empty());
    for _ in 0..200 {
        assert!(conversation.hear(Event::Message { text: true, payload: br#"{"protocol":1000,"id":1}"# }, &batch).is_ok());
    }
    assert!(written(&conversation).contains("SHUTDOWN"));
}

#[test]
fn a_payload_without_a_number_is_answered_unless_it_may_be_for_a_stream_that_is_over() {
    let mut conversation = conversation(&Arc::new(Budget::new(1 << 20, 1 << 20)));
    let batch = batch(Table::empty());
    let mut answer = |message: &str| {
        assert!(conversation.hear(Event::Message { text: true, payload: message.as_bytes() }, &batch).is_ok());
        written(&conversation)
    };
    assert_eq!((answer("{}"), answer(r#"{"ack":3}"#), answer(r#"{"id":7,"credit":3}"#)), Default::default());
    let forgotten = answer(r#"{"id":4,"payload":{"text":"hi"}}"#);
    assert!(forgotten.contains("there is no `protocol`") && forgotten.contains(r#""id":4"#), "{forgotten}");
    // Whoever streams may say more before it hears that it may not.
    assert!(answer(r#"{"protocol":5001,"id":7,"payload":{},"more":true}"#).contains("UNKNOWN_PROTOCOL"));
    assert_eq!(answer(r#"{"id":7,"payload":{},"more":true}"#), "");
    assert!(answer(r#"{"payload":{}}"#).contains("INVALID_MESSAGE"), "no stream has id 0");
}

#[tokio::test]
async fn nothing_is_read_until_it_is_known_who_the_client_is() {
    let signer = Signer::generate();
    let mut table = Table::empty();
    table.verifier = Arc::new(Verifier::new(&[signer.development_issuer()]).unwrap_or_else(|_| panic!("the signer's issuer is sound")));
    let (_writer, tables) = live(Arc::new(table.clone()));
    let mut conversation = conversation(&Arc::new(Budget::new(1 << 20, 1 << 20)));
    let batch = batch(table);
    let token = signer.issue_development("alice", &[], Duration::from_secs(60));
    let [authenticate, refresh] = [2, 8].map(|number| format!(r#"{{"protocol":{number},"id":1,"payload":{{"token":"{token}"}}}}"#));
    let mut say = async |message: &str| {
        let flow = conversation.hear(Event::Message { text: true, payload: message.as_bytes() }, &batch)?;
        assert!(flow == Flow::Pause && conversation.is_being_admitted());
        poll_fn(|cx| match conversation.poll_admission(cx, &tables, Tick::ZERO) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => Poll::Ready(Ok(())),
            Err(end) => Poll::Ready(Err(end)),
        })
        .await?;
        let said = written(&conversation);
        assert!(!conversation.is_being_admitted() && said.contains("alice"), "{said}");
        Ok::<(), End>(())
    };
    say(&authenticate).await.unwrap();
    let mut heard = 0;
    while say(&refresh).await.is_ok() {
        heard += 1;
    }
    assert_eq!(heard, 108, "ten good tokens are free, and a hundred strikes the end");
}

#[test]
fn a_refresh_of_a_session_that_was_left_meanwhile_is_answered() {
    let (_writer, tables) = live(Arc::new(Table::empty()));
    let mut conversation = conversation(&Arc::new(Budget::new(1 << 20, 1 << 20)));
    let signer = Signer::generate();
    let verifier = Verifier::new(&[signer.development_issuer()]).unwrap_or_else(|_| panic!("the signer's issuer is sound"));
    let token = signer.issue_development("alice", &[], Duration::from_secs(60));
    let identity = Arc::new(verifier.verify(&token, std::time::SystemTime::now()).unwrap());
    for (way, number) in [(Way::Refresh, 8), (Way::Authenticate, 2)] {
        let refreshed = Admitted::Refreshed(Arc::clone(&identity));
        conversation
            .enter(refreshed, Entry { way, id: 7, topics: Resumption::default() }, &tables, &Settings::default(), Tick::ZERO)
            .unwrap();
        let said = written(&conversation);
        assert!(said.contains("UNAUTHENTICATED") && said.contains(&format!(r#""protocol":{number},"id":7"#)), "{said}");
    }
}

#[tokio::test]
async fn whoever_is_sent_away_while_it_is_found_out_who_it_is_is_answered() {
    let mut conversation = conversation(&Arc::new(Budget::new(1 << 20, 1 << 20)));
    let batch = batch(Table::empty());
    let message = br#"{"protocol":2,"id":7,"payload":{"token":"x"}}"#;
    assert!(conversation.hear(Event::Message { text: true, payload: message }, &batch).is_ok() && conversation.is_being_admitted());
    conversation.part(&End::drained(Close::GoingAway, true));
    let said = written(&conversation);
    assert!(said.contains(r#""protocol":2,"id":7"#) && said.contains("SHUTDOWN") && said.contains("GOING_AWAY"), "{said}");
}
