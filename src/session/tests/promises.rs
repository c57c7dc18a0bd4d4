//! One promise a test, as a conversation between clients and nodes.

use super::*;
use crate::session::lease::lease_key;
use crate::session::publication::OnSlow;
use crate::session::revocation::Revocation;
use crate::session::roster::{Roster, WhenFull};
use crate::store::{Batch, Expect};

#[tokio::test(start_paused = true)]
async fn a_session_too_many_ends_the_oldest_on_whatever_node_it_is() {
    let mut world = World::of(2, settings()).await;
    let first = world.login(0, "alice").await.unwrap();
    let second = world.login(1, "alice").await.unwrap();
    let third = world.login(1, "alice").await.unwrap();
    world.settle().await;
    assert_eq!([&first, &second, &third].map(Client::closed), [Some(Close::Replaced), None, None]);
    assert!(!first.attachment.is_current() && world.sessions(0).is_empty());
}

#[tokio::test(start_paused = true)]
async fn where_the_next_is_refused_the_first_stays() {
    let world = World::of(2, SessionSettings { per_user_max: 1, when_full: WhenFull::Refuse, ..settings() }).await;
    let first = world.login(0, "alice").await.unwrap();
    assert_eq!(reason(world.login(1, "alice").await), "SESSION_LIMIT");
    assert_eq!(reason(world.login(1, "bob").await), "OK");
    assert_eq!(first.closed(), None);
    assert!(world.sessions(1).of_user("alice").is_empty(), "what was refused left nothing behind");
}

#[tokio::test(start_paused = true)]
async fn a_dead_nodes_sessions_are_over_after_lease_and_window() {
    let mut world = World::of(2, SessionSettings { per_user_max: 1, when_full: WhenFull::Refuse, ..settings() }).await;
    let client = world.login(0, "alice").await.unwrap();
    world.kill(0).await;
    world.clock.advance(Duration::from_secs(125));
    world.settle().await;
    assert_eq!(reason(world.login(1, "alice").await), "SESSION_LIMIT", "its client may still come back");
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(reason(world.resume(1, &client.resume_token, 0).await), "RESUME_FAILED");
    assert_eq!(reason(world.login(1, "alice").await), "OK");
    std::mem::forget(client.attachment);
}

#[tokio::test(start_paused = true)]
async fn a_revocation_ends_sessions_everywhere_and_prevents_the_next() {
    let mut world = World::of(2, settings()).await;
    let (first, second) = (world.login(0, "alice").await.unwrap(), world.login(1, "alice").await.unwrap());
    let bob = world.login(1, "bob").await.unwrap();
    world.sessions(0).revoke(&Revocation::Session(second.id().to_owned())).await.unwrap();
    world.settle().await;
    assert_eq!([&first, &second, &bob].map(Client::closed), [None, Some(Close::Revoked), None]);
    assert_eq!(reason(world.resume(0, &second.resume_token, 0).await), "RESUME_FAILED");

    world.sessions(1).revoke(&Revocation::Token("token of bob".to_owned())).await.unwrap();
    world.settle().await;
    assert_eq!([&first, &bob].map(Client::closed), [None, Some(Close::Revoked)]);
    assert_eq!(reason(world.login(0, "bob").await), "INVALID_TOKEN");

    let before = world.identity("alice");
    world.clock.advance(Duration::from_secs(1));
    let issued_before_ms = world.clock.now_ms();
    world.sessions(0).revoke(&Revocation::User { user: "alice".to_owned(), issued_before_ms }).await.unwrap();
    world.settle().await;
    assert_eq!(first.closed(), Some(Close::Revoked));
    let old = world.sessions(0).bind(before).await.and_then(|grant| Client::enter(grant).map_err(|_| unreachable!("it was refused")));
    assert_eq!(reason(old), "INVALID_TOKEN", "a token from before is refused");
    assert_eq!(reason(world.login(0, "alice").await), "OK", "a later one is not");
}

#[tokio::test(start_paused = true)]
async fn whoever_leaves_is_gone_and_its_token_with_it_but_its_own_connection_goes_on() {
    let mut world = World::of(2, settings()).await;
    let (leaving, other) = (world.login(0, "alice").await.unwrap(), world.login(1, "alice").await.unwrap());
    let farewell = world.sessions(0).leaving(leaving.attachment.held());
    world.sessions(0).leave(farewell).await.unwrap();
    world.settle().await;
    assert_eq!([&leaving, &other].map(Client::closed), [None, Some(Close::Revoked)], "the same token was on another connection");
    assert_eq!(reason(world.resume(0, &leaving.resume_token, 0).await), "RESUME_FAILED");
    assert_eq!(reason(world.login(0, "alice").await), "INVALID_TOKEN");
}

#[tokio::test(start_paused = true)]
async fn what_was_promised_to_nobody_is_taken_back() {
    let mut world = World::of(2, SessionSettings { per_user_max: 1, when_full: WhenFull::Refuse, ..settings() }).await;
    drop(world.sessions(0).bind(world.identity("alice")).await.unwrap());
    world.settle().await;
    let client = world.login(1, "alice").await.unwrap();
    let token = client.resume_token.clone();
    drop(client);
    drop(world.sessions(0).resume(&ResumeToken::parse(&token).unwrap(), None, 0).await.unwrap());
    world.settle().await;
    assert_eq!(reason(world.resume(1, &token, 0).await), "OK", "its client may come back once more");
}

#[tokio::test(start_paused = true)]
async fn without_a_store_nobody_enters_and_nobody_is_sent_away() {
    let mut world = World::of(1, settings()).await;
    let client = world.login(0, "alice").await.unwrap();
    let gone = world.login(0, "alice").await.unwrap();
    let token = gone.resume_token.clone();
    world.memory.set_broken(true);
    drop(gone);
    assert!(world.sessions(0).store_changes().await.is_err());
    assert_eq!(reason(world.login(0, "bob").await), "UNAVAILABLE");
    assert_eq!(reason(world.resume(0, &token, 0).await), "UNAVAILABLE");
    let farewell = world.sessions(0).leaving(client.attachment.held());
    assert!(world.sessions(0).leave(farewell).await.is_err());
    assert!(client.attachment.is_current() && client.closed().is_none());
    world.memory.set_broken(false);
    world.settle().await;
    assert!(world.sessions(0).of_user("bob").is_empty());
    assert_eq!(reason(world.resume(0, &token, 0).await), "OK");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_lost_its_memory_is_told_again() {
    let mut world = World::of(2, SessionSettings { per_user_max: 1, ..settings() }).await;
    let client = world.login(0, "alice").await.unwrap();
    let waiting = world.login(1, "bob").await.unwrap();
    let token = waiting.resume_token.clone();
    drop(waiting);
    world.memory.forget_everything();
    world.settle().await;
    assert_eq!(client.closed(), None);
    assert_eq!(reason(world.resume(1, &token, 0).await), "OK");
    let next = world.login(1, "alice").await.unwrap();
    world.settle().await;
    assert_eq!((client.closed(), next.closed()), (Some(Close::Replaced), None), "so that a limit still holds");
}

#[tokio::test(start_paused = true)]
async fn a_client_without_room_is_sent_away_and_finds_what_it_missed() {
    let world = World::of(1, settings()).await;
    let grant = world.sessions(0).bind(world.identity("alice")).await.unwrap();
    let slow = Client::enter_by(grant, Arc::new(Wire { full: true, ..Wire::default() })).unwrap();
    world.sessions(0).push("alice", None, 2101, payload()).await.unwrap();
    assert_eq!(slow.closed(), Some(Close::Slow));
    let back = world.resume(0, &slow.resume_token, 0).await.unwrap();
    assert_eq!((back.recovered, back.pushed()), (true, vec![1]));
}

#[tokio::test(start_paused = true)]
async fn a_later_identity_of_the_same_user_stays_in_the_session() {
    let world = World::of(1, settings()).await;
    let client = world.login(0, "alice").await.unwrap();
    world.clock.advance(Duration::from_secs(60));
    let later = world.identity("alice");
    let expires = later.expires;
    let Ok(Admitted::Refreshed(identity)) = world.sessions(0).admit(Some(client.attachment.held()), later).await else {
        panic!("the session was refreshed in place")
    };
    assert_eq!(identity.expires, expires);
    assert_eq!(world.sessions(0).len(), 1);
    let Ok(Admitted::Granted(_)) = world.sessions(0).admit(Some(client.attachment.held()), world.identity("bob")).await else {
        panic!("another user gets another session")
    };
}

#[tokio::test(start_paused = true)]
async fn whoever_is_about_to_leave_hears_the_answer_before_the_end_that_it_brings_about() {
    let mut world = World::of(1, settings()).await;
    let client = world.login(0, "alice").await.unwrap();
    let farewell = world.sessions(0).leaving(client.attachment.held());
    // A service that logs people out revokes the token itself.
    world.sessions(0).revoke(&Revocation::Token("token of alice".to_owned())).await.unwrap();
    world.settle().await;
    assert_eq!(client.closed(), None);
    drop(farewell);
    world.settle().await;
    assert_eq!(client.closed(), Some(Close::Revoked), "if it does not leave after all, it is ended like everybody");
}

#[tokio::test(start_paused = true)]
async fn a_farewell_that_fails_delays_an_end_no_longer_than_itself() {
    let mut world = World::of(1, settings()).await;
    let client = world.login(0, "alice").await.unwrap();
    let [first, _second] = [(); 2].map(|()| world.sessions(0).leaving(client.attachment.held()));
    world.sessions(0).revoke(&Revocation::Token("token of alice".to_owned())).await.unwrap();
    world.settle().await;
    // Whoever compares it with the store meanwhile does not wait for it either.
    world.sessions(0).soil_all();
    world.sessions(0).store_changes().await.unwrap();
    assert_eq!(client.closed(), None);
    world.memory.set_broken(true);
    drop(first);
    assert_eq!(client.closed(), Some(Close::Revoked), "though another is under way, and the store out of reach");
    assert_eq!(world.sessions(0).len(), 0);
}

#[tokio::test(start_paused = true)]
async fn whoever_came_by_an_api_key_leaves_and_the_key_stays_good_for_others() {
    let mut world = World::of(1, settings()).await;
    let of_key = |world: &World| Identity { api_key: Some(Arc::new([7; 32])), ..world.identity("ci") };
    let grant = world.sessions(0).bind(of_key(&world)).await.unwrap();
    let leaving = Client::enter(grant).unwrap();
    let farewell = world.sessions(0).leaving(leaving.attachment.held());
    world.sessions(0).leave(farewell).await.unwrap();
    world.settle().await;
    assert_eq!(reason(world.resume(0, &leaving.resume_token, 0).await), "RESUME_FAILED");
    let grant = world.sessions(0).bind(of_key(&world)).await.unwrap();
    let token = Client::enter(grant).unwrap().resume_token;
    let resumed = world.sessions(0).resume(&ResumeToken::parse(&token).unwrap(), None, 0).await.unwrap();
    assert_eq!(resumed.identity().api_key.as_deref(), Some(&[7; 32]), "by which it is known whether the key is still listed");
}

#[tokio::test(start_paused = true)]
async fn a_roster_that_cannot_be_read_holds_up_nobody_elses() {
    let world = World::of(1, settings()).await;
    let mut clients = vec![world.login(0, "mallory").await.unwrap()];
    let garbage = Batch::default().put(Roster::key("mallory"), "garbage", Expect::Anything, None);
    world.store.write(garbage).await.unwrap();
    for number in 0..200 {
        clients.push(world.login(0, &format!("user{number}")).await.unwrap());
    }
    drop(clients);
    assert!(world.sessions(0).store_changes().await.is_err(), "it stays to be stored");
    for number in 0..200 {
        let document = world.store.get(&Roster::key(&format!("user{number}"))).await.unwrap();
        assert!(Roster::read(document.as_ref()).unwrap().records()[0].detached_until_ms.is_some(), "{number}");
    }
    assert_eq!(reason(world.login(0, "mallory").await), "UNAVAILABLE");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_was_told_is_found_out() {
    let mut world = World::of(2, settings()).await;
    let client = world.login(0, "alice").await.unwrap();
    // Another node takes the session over in the store, and dies before it says so.
    let key = Roster::key("alice");
    let document = world.store.get(&key).await.unwrap();
    let mut roster = Roster::read(document.as_ref()).unwrap();
    roster.take_over(client.id(), "a node that is no more").unwrap();
    let lease = (world.clock.now_ms() + 10_000).to_string();
    let batch = Batch::default().put(key, roster.write(), Expect::Anything, None);
    world.store.write(batch.put(lease_key("a node that is no more"), lease, Expect::Anything, None)).await.unwrap();
    world.settle().await;
    assert_eq!(client.closed(), None, "how should it know");
    (0..300).for_each(|turn| world.sessions(0).sweep(turn));
    world.settle().await;
    assert_eq!(client.closed(), Some(Close::Replaced));
}

#[tokio::test(start_paused = true)]
async fn what_is_published_reaches_connections_on_every_node_and_waits_for_nobody() {
    let world = World::of(2, settings()).await;
    let (here, there) = (world.login(0, "alice").await.unwrap(), world.login(1, "alice").await.unwrap());
    let state = OnSlow::Conflate(b"a key".as_slice().into());
    let publication = Arc::new(Publication::new(2101, Bytes::from_static(b"news"), state).at("room/1".into(), "e".into(), 7));
    let publish = async || world.sessions(0).publish("alice", None, &publication).await.unwrap();
    assert_eq!(publish().await.len(), 2);
    tokio::time::sleep(Duration::from_millis(1)).await;
    for client in [&here, &there] {
        let published = client.wire.published.lock().unwrap();
        let got = &published[0];
        assert_eq!((published.len(), got.number, &*got.payload), (1, 2101, &b"news"[..]));
        assert_eq!((&*got.topic, &*got.epoch, got.offset, &got.rule), ("room/1", "e", 7, &publication.rule));
        assert!(client.pushed().is_empty());
    }

    let token = here.resume_token.clone();
    drop(here);
    assert_eq!(publish().await.len(), 1, "one is away and misses it");
    let back = world.resume(0, &token, 0).await.unwrap();
    assert_eq!((back.recovered, back.replayed, back.wire.published.lock().unwrap().len()), (true, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_to_go_when_it_is_slow_goes() {
    let world = World::of(1, settings()).await;
    let grant = world.sessions(0).bind(world.identity("alice")).await.unwrap();
    let client = Client::enter_by(grant, Arc::new(Wire { full: true, ..Wire::default() })).unwrap();
    let publication = Arc::new(Publication::new(2101, Bytes::new(), OnSlow::Disconnect));
    assert_eq!(world.sessions(0).publish("alice", None, &publication).await.unwrap().len(), 1);
    assert_eq!(client.closed(), Some(Close::Slow));
    assert_eq!(world.sessions(0).publish("alice", None, &publication).await.unwrap().len(), 0, "it has no connection any more");
}
