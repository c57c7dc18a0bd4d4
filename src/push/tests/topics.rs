//! What hearers are said, and when: turns that cross each other, and what is held back meanwhile.

use super::*;
use crate::push::topic::{Asked, CaughtUp, Next, Topic, Turn};

fn topic() -> Topic {
    let topic = Topic::new("room/one".into(), rules().topics[0].clone());
    topic.begin(at(0));
    topic
}

fn at(offset: u64) -> Position {
    Position { epoch: "e".into(), offset }
}

fn publication(offset: u64) -> Arc<Publication> {
    Arc::new(rules().pushes[0].publication(Bytes::new()).at("room/one".into(), "".into(), offset))
}

fn say(topic: &Topic, offset: u64) {
    topic.say(&publication(offset), Some(at(offset)));
}

fn behind(missed: impl IntoIterator<Item = u64>, end: u64) -> Asked {
    Asked::Behind { missed: missed.into_iter().map(publication).collect(), whole: true, end: at(end) }
}

/// Whether nothing is missing, how much was missed, and where the topic is.
fn told(caught_up: &CaughtUp) -> Result<(bool, usize, u64), ()> {
    Ok((caught_up.recovered, caught_up.missed.len(), caught_up.at.as_ref().map_or(0, |at| at.offset)))
}

struct Hearing {
    topic: Topic,
    client: Client,
    seat: Option<crate::push::topic::Seat>,
    _world: World,
}

impl Hearing {
    async fn new() -> Hearing {
        let world = World::new().await;
        let client = world.login("alice").await;
        Hearing { topic: topic(), client, seat: None, _world: world }
    }

    fn seat(&mut self, turn: u64) {
        self.seat = Some(self.topic.seat(self.client.session(), self.seat, Turn(turn)));
    }

    /// Nothing: the seat is given up.
    fn commit(&self, turn: u64, asked: Asked) -> Option<(bool, usize, u64)> {
        let mut said = None;
        let tell = |caught_up: &CaughtUp| told(caught_up).map(|what| said = Some(what));
        let heard = self.topic.catch_up(self.seat.unwrap(), self.client.session(), Turn(turn), asked, tell).unwrap();
        assert_eq!(heard, said.is_some());
        said
    }
}

#[tokio::test]
async fn what_is_said_before_a_hearer_is_told_is_not_for_it() {
    let mut hearing = Hearing::new().await;
    hearing.seat(1);
    say(&hearing.topic, 1);
    assert_eq!(hearing.commit(1, Asked::FromNow), Some((false, 0, 1)));
    say(&hearing.topic, 2);
    assert_eq!(hearing.client.published(), [2]);
}

#[tokio::test]
async fn what_the_history_held_and_what_was_said_since_are_one_row() {
    let mut hearing = Hearing::new().await;
    (1..=3).for_each(|offset| say(&hearing.topic, offset));
    hearing.seat(1);
    say(&hearing.topic, 4);
    say(&hearing.topic, 5);
    assert_eq!(hearing.commit(1, behind(2..=4, 4)), Some((true, 4, 5)), "four is in both");
    say(&hearing.topic, 6);
    assert_eq!(hearing.client.published(), [2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn a_history_that_is_ahead_of_its_signals_is_not_said_twice() {
    let mut hearing = Hearing::new().await;
    say(&hearing.topic, 1);
    hearing.seat(1);
    assert_eq!(hearing.commit(1, behind(1..=3, 3)), Some((true, 1, 1)), "two and three are said when the signals come");
    (2..=3).for_each(|offset| say(&hearing.topic, offset));
    assert_eq!(hearing.client.published(), [1, 2, 3]);
}

#[tokio::test]
async fn another_history_than_the_one_that_is_heard_recovers_nothing() {
    let mut hearing = Hearing::new().await;
    hearing.seat(1);
    let end = Position { epoch: "another".into(), offset: 1 };
    assert_eq!(hearing.commit(1, Asked::Behind { missed: vec![publication(1)], whole: true, end }), Some((false, 0, 0)));
    assert_eq!(hearing.client.published(), [] as [u64; 0]);
}

#[tokio::test]
async fn whoever_joins_again_misses_nothing() {
    let mut hearing = Hearing::new().await;
    hearing.seat(1);
    hearing.commit(1, Asked::FromNow);
    hearing.seat(2);
    say(&hearing.topic, 1);
    assert_eq!(hearing.client.published(), [] as [u64; 0], "it waits until it is told again");
    assert_eq!(hearing.commit(2, Asked::FromNow), Some((false, 0, 1)));
    hearing.seat(3);
    say(&hearing.topic, 2);
    assert!(!hearing.topic.give_up(hearing.seat.unwrap(), Turn(3)), "it keeps its seat");
    assert_eq!(hearing.client.published(), [1, 2]);
}

#[tokio::test]
async fn turns_that_cross_each_other_are_all_kept() {
    let mut hearing = Hearing::new().await;
    hearing.seat(1);
    hearing.seat(2);
    say(&hearing.topic, 1);
    assert_eq!(hearing.commit(1, Asked::FromNow), Some((false, 0, 1)));
    say(&hearing.topic, 2);
    assert_eq!(hearing.commit(2, Asked::FromNow), Some((false, 0, 2)));
    say(&hearing.topic, 3);
    assert_eq!(hearing.client.published(), [2, 3], "what is behind the first that it was told");

    // The later one comes first, or to nothing.
    hearing.seat(3);
    hearing.seat(4);
    say(&hearing.topic, 4);
    assert_eq!(hearing.commit(4, behind(3..=4, 4)), Some((true, 2, 4)));
    assert_eq!(hearing.commit(3, behind(3..=4, 4)), Some((false, 0, 4)), "which was not the last to ask reads again");
    hearing.seat(5);
    hearing.seat(6);
    assert!(hearing.commit(5, Asked::FromNow).is_some());
    say(&hearing.topic, 5);
    assert!(!hearing.topic.give_up(hearing.seat.unwrap(), Turn(6)));
    assert_eq!(hearing.client.published(), [2, 3, 3, 4, 5]);
}

#[tokio::test]
async fn what_nothing_comes_of_leaves_no_hearer() {
    let mut hearing = Hearing::new().await;
    hearing.seat(1);
    assert!(hearing.topic.give_up(hearing.seat.unwrap(), Turn(1)) && hearing.topic.is_deserted());
    hearing.seat = None;
    hearing.seat(2);
    assert!(hearing.topic.leave(hearing.seat.unwrap(), hearing.client.session()));
    assert_eq!(hearing.commit(2, Asked::FromNow), None, "left meanwhile");
    say(&hearing.topic, 1);
    assert_eq!(hearing.client.published(), [] as [u64; 0]);
}

#[tokio::test]
async fn what_is_held_back_is_bounded_and_lost_to_nobody_who_heard() {
    let large = |offset| {
        let payload = Bytes::from(vec![0; 100 << 10]);
        Arc::new(rules().pushes[0].publication(payload).at("room/one".into(), "".into(), offset))
    };
    let mut hearing = Hearing::new().await;
    hearing.seat(1);
    (1..=4).for_each(|offset| _ = hearing.topic.say(&large(offset), Some(at(offset))));
    assert_eq!(hearing.commit(1, behind([], 0)), Some((false, 0, 4)), "a new hearer begins anew");
    assert_eq!(hearing.client.published(), [] as [u64; 0]);
    hearing.seat(2);
    (5..=8).for_each(|offset| _ = hearing.topic.say(&large(offset), Some(at(offset))));
    assert_eq!(hearing.client.published(), [5, 6, 7, 8], "one that heard before does not wait longer than that");
    assert_eq!(hearing.commit(2, behind([], 4)), Some((false, 0, 8)));
}

#[test]
fn entries_are_said_in_the_order_of_their_offsets() {
    let topic = topic();
    assert_eq!(topic.next("e", 1), Next::Say { new_epoch: false });
    assert_eq!(topic.next("e", 2), Next::Missing);
    topic.pass(Some(at(1)));
    assert_eq!(topic.next("e", 1), Next::Old);
    assert_eq!(topic.next("f", 1), Next::Say { new_epoch: true });
    assert_eq!(topic.next("f", 2), Next::Missing);
}
