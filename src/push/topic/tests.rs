//! One topic, heard by sessions whose connections write down what they get.

use std::convert::Infallible;
use std::time::{Duration, SystemTime};

use super::*;
use crate::session::outbox::{Fate, Mark};
use crate::session::publication::OnSlow;
use crate::session::ring::Entry;
use crate::session::{Identity, Line};
use crate::wire::Close;

/// Writes down epoch, offset and what was lost before it.
#[derive(Default)]
struct Paper(Mutex<Vec<(u64, u32)>>);

impl Line for Paper {
    fn push(&self, _: &Entry) -> bool {
        true
    }

    fn publish(&self, publication: &Arc<Publication>) -> bool {
        self.0.lock().unwrap().push((publication.offset, publication.lost));
        true
    }

    fn expel(&self, _: &str, _: &str) -> bool {
        true
    }

    fn mark(&self) -> Mark {
        Mark::default()
    }

    fn fate(&self, _: Mark) -> Fate {
        Fate::Written
    }

    fn close(&self, _: Close) {}
}

/// A topic that has been said up to a place, and one who hears it.
struct Scene {
    topic: Topic,
    session: Arc<Session>,
    paper: Arc<Paper>,
    seat: Option<Seat>,
}

impl Scene {
    fn at(epoch: &str, offset: u64) -> Scene {
        let identity = Arc::new(Identity {
            user: "alice".into(),
            roles: Vec::new(),
            token_id: None,
            issued_ms: 0,
            expires: SystemTime::now() + Duration::from_secs(60),
            token: None,
            api_key: None,
        });
        let session = Session::new("s1", Arc::clone(&identity), String::new(), None);
        let paper = Arc::new(Paper::default());
        session.promise(1);
        session.attach(1, Arc::clone(&paper) as Arc<dyn Line>, identity, None, |_| Ok::<(), Close>(())).unwrap();
        let pattern = crate::topic::Pattern::parse("room/{id}").unwrap();
        let rule = TopicRule { pattern, history: None, presence: false, presence_events: None, pushes: Vec::new() };
        let topic = Topic::new("room/1".into(), Arc::new(rule));
        topic.begin(place(epoch, offset));
        Scene { topic, session, paper, seat: None }
    }

    fn seat(&mut self, turn: u64) {
        self.seat = Some(self.topic.seat(&self.session, self.seat, Turn(turn), Back::No));
    }

    fn say(&self, epoch: &str, offsets: impl IntoIterator<Item = u64>) {
        offsets.into_iter().for_each(|offset| _ = self.topic.say(&publication(offset, 0), Some(place(epoch, offset))));
    }

    /// Catches up by what the history held.
    fn catch_up(&self, turn: u64, asked: Asked) -> (bool, Option<Position>) {
        let mut told = None;
        let seat = self.seat.unwrap();
        let tell = |caught_up: &CaughtUp| {
            told = Some((caught_up.recovered, caught_up.at.clone()));
            Ok::<(), Infallible>(())
        };
        let Ok(_) = self.topic.catch_up(seat, Turn(turn), &self.session, asked, tell);
        told.unwrap()
    }

    fn heard(&self) -> Vec<u64> {
        self.paper.0.lock().unwrap().iter().map(|(offset, _)| *offset).collect()
    }
}

fn place(epoch: &str, offset: u64) -> Position {
    Position { epoch: epoch.into(), offset }
}

fn publication(offset: u64, bytes: usize) -> Arc<Publication> {
    Arc::new(Publication::new(2101, vec![0; bytes].into(), OnSlow::Disconnect).at("room/1".into(), "".into(), offset))
}

/// The history held these, the last of them in `epoch`; when it was read, `said` was said here.
fn behind(missed: impl IntoIterator<Item = u64>, epoch: &str, end: u64, said: &str) -> Asked {
    let missed = missed.into_iter().map(|offset| publication(offset, 0)).collect();
    Asked::Behind { missed, whole: true, end: place(epoch, end), said: Some(said.into()) }
}

#[test]
fn what_was_read_ahead_of_the_node_is_not_heard_again() {
    let mut scene = Scene::at("e", 3);
    scene.seat(1);
    scene.say("e", [4]);
    assert_eq!(scene.catch_up(1, behind(2..=6, "e", 6, "e")), (true, Some(place("e", 6))));
    scene.say("e", 5..=8);
    assert_eq!(scene.heard(), [2, 3, 4, 5, 6, 7, 8]);
}

#[test]
fn what_was_said_behind_what_was_read_is_heard() {
    let mut scene = Scene::at("e", 3);
    scene.seat(1);
    scene.say("e", 4..=8);
    assert_eq!(scene.catch_up(1, behind(2..=6, "e", 6, "e")), (true, Some(place("e", 8))));
    scene.say("e", [9]);
    assert_eq!(scene.heard(), [2, 3, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn the_end_of_an_epoch_is_nothing_to_whoever_has_read_in_the_next() {
    let mut scene = Scene::at("old", 100);
    scene.seat(1);
    scene.say("old", [101]);
    assert_eq!(scene.catch_up(1, behind([2, 3], "new", 3, "old")), (true, Some(place("new", 3))));
    scene.say("old", [102]);
    scene.say("new", 1..=5);
    assert_eq!(scene.heard(), [2, 3, 4, 5]);
    scene.say("newest", 1..=2);
    assert_eq!(scene.heard(), [2, 3, 4, 5, 1, 2]);
}

#[test]
fn an_epoch_that_ends_while_one_catches_up_is_followed_by_the_next() {
    let mut scene = Scene::at("old", 7);
    scene.seat(1);
    scene.say("old", [8]);
    scene.say("new", 1..=2);
    assert_eq!(scene.catch_up(1, behind([7], "old", 7, "old")), (true, Some(place("new", 2))));
    assert_eq!(scene.heard(), [7, 8, 1, 2]);
}

#[test]
fn a_turn_that_comes_to_nothing_leaves_no_gap() {
    let mut scene = Scene::at("e", 3);
    scene.seat(1);
    scene.catch_up(1, Asked::FromNow);
    scene.say("e", [4]);
    for turn in [2, 3] {
        scene.seat(turn);
        scene.say("e", [3 + turn]);
    }
    assert!(!scene.topic.give_up(scene.seat.unwrap(), Turn(2)), "a later one has taken its place");
    assert!(!scene.topic.give_up(scene.seat.unwrap(), Turn(3)));
    scene.say("e", [7]);
    assert_eq!(scene.heard(), [4, 5, 6, 7]);
}

#[test]
fn a_turn_whose_place_was_taken_is_told_all_the_same() {
    let mut scene = Scene::at("e", 3);
    scene.seat(1);
    scene.seat(2);
    scene.say("e", [4]);
    assert_eq!(scene.catch_up(1, behind([2, 3], "e", 3, "e")), (true, Some(place("e", 4))));
    scene.say("e", [5]);
    assert!(!scene.topic.give_up(scene.seat.unwrap(), Turn(2)), "it was told, so it hears");
    scene.say("e", [6]);
    assert_eq!(scene.heard(), [2, 3, 4, 5, 6]);
}

#[test]
fn who_comes_back_keeps_the_seat_when_that_comes_to_nothing() {
    let scene = Scene::at("e", 3);
    let (comes, begins) =
        (scene.topic.seat(&scene.session, None, Turn(1), Back::Yes), scene.topic.seat(&scene.session, None, Turn(2), Back::No));
    assert!(!scene.topic.give_up(comes, Turn(1)));
    assert!(scene.topic.give_up(begins, Turn(2)));
    assert_eq!(scene.topic.hearers().len(), 1);
}

#[test]
fn what_could_not_be_held_back_is_said_to_be_missing() {
    let mut scene = Scene::at("e", 0);
    scene.seat(1);
    scene.catch_up(1, Asked::FromNow);
    scene.seat(2);
    for offset in 1..=5 {
        scene.topic.say(&publication(offset, HELD_MAX / 3), Some(place("e", offset)));
    }
    scene.topic.give_up(scene.seat.unwrap(), Turn(2));
    scene.say("e", 6..=7);
    assert_eq!(*scene.paper.0.lock().unwrap(), [(6, 5), (7, 0)]);
    scene.seat(3);
    scene.topic.say(&publication(8, HELD_MAX + 1), Some(place("e", 8)));
    assert_eq!(scene.catch_up(3, behind([8], "e", 8, "e")), (false, Some(place("e", 8))));
}
