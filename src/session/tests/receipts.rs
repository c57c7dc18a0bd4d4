//! Whether pushes were written: what nodes say of it, and how long they wait.

use super::*;
use crate::session::{Counts, Handed, Keeping, Pending, Place, Question, Session};

/// A push on its way, which never arrives.
struct Never;

impl Handed for Never {
    fn is_handed(&self, _: &Session) -> bool {
        false
    }
}

fn here(client: &Client, place: u64) -> (Arc<Session>, Place) {
    (Arc::clone(client.attachment.session()), Place(place))
}

async fn pushed(world: &World, keeping: Keeping) -> Counts {
    let asking = world.sessions(0).begin_asking().unwrap();
    let reached = world.sessions(0).push("alice", None, 2101, Bytes::from_static(b"news")).await.unwrap();
    asking.about(reached, keeping).await
}

#[tokio::test(start_paused = true)]
async fn sessions_of_all_nodes_count_and_those_without_a_connection_are_not_written_to() {
    let mut world = World::of(2, SessionSettings::default()).await;
    let (_here, there) = (world.login(0, "alice").await.unwrap(), world.login(1, "alice").await.unwrap());
    assert_eq!(pushed(&world, Keeping::Kept).await, Counts { sessions: 2, written: 2 });
    drop(there);
    world.settle().await;
    assert_eq!(pushed(&world, Keeping::Kept).await, Counts { sessions: 2, written: 1 });
}

#[tokio::test(start_paused = true)]
async fn a_node_waits_a_second_for_its_sessions_and_no_longer() {
    let world = World::of(1, SessionSettings::default()).await;
    let client = world.login(0, "alice").await.unwrap();
    let began = tokio::time::Instant::now();
    let session = Arc::clone(client.attachment.session());
    let counts = Pending::new(Keeping::Kept, [(session, Never)]).wait().await;
    assert_eq!((counts, began.elapsed()), (Counts { sessions: 1, written: 0 }, Duration::from_secs(1)));
}

#[tokio::test(start_paused = true)]
async fn what_is_in_the_inbox_counts_when_the_session_has_got_so_far() {
    let world = World::of(1, SessionSettings::default()).await;
    let client = world.login(0, "alice").await.unwrap();
    client.attachment.session().begin_inbox(0);
    let pending = Pending::new(Keeping::Kept, [here(&client, 1)]);
    assert_eq!(pending.counts(), Counts { sessions: 1, written: 0 });
    let look = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        client.attachment.session().push_of_inbox(2101, Bytes::from_static(b"news"), 1, 1 << 10);
    };
    let began = tokio::time::Instant::now();
    assert_eq!(tokio::join!(pending.wait(), look).0, Counts { sessions: 1, written: 1 });
    assert!(began.elapsed() < Duration::from_millis(400), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_answer_is_not_waited_for_much_longer() {
    let world = World::of(1, SessionSettings::default()).await;
    let began = tokio::time::Instant::now();
    let asking = world.sessions(0).begin_asking().unwrap();
    world.sessions(0).answer(asking.question(), Pending::<Never>::new(Keeping::Kept, [])).await;
    assert_eq!((asking.answers(2).await, began.elapsed()), (Counts::default(), Duration::from_millis(1200)));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_asked_too_much_says_what_it_knows() {
    let world = World::of(1, SessionSettings::default()).await;
    let client = world.login(0, "alice").await.unwrap();
    let sessions = world.sessions(0);
    for _ in 0..1024 {
        let nobody = Question { id: 0, by: "nobody".to_owned() };
        sessions.answer(nobody, Pending::new(Keeping::Kept, [(Arc::clone(client.attachment.session()), Never)])).await;
    }
    let asking = sessions.begin_asking().unwrap();
    let began = tokio::time::Instant::now();
    sessions.answer(asking.question(), Pending::new(Keeping::Kept, [(Arc::clone(client.attachment.session()), Never)])).await;
    assert_eq!((asking.answers(1).await, began.elapsed()), (Counts { sessions: 1, written: 0 }, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn questions_are_bounded_and_forgotten() {
    let world = World::of(1, SessionSettings::default()).await;
    let asking: Vec<_> = (0..1024).map(|_| world.sessions(0).begin_asking().unwrap()).collect();
    assert!(world.sessions(0).begin_asking().is_err_and(|failure| failure.is(crate::failure::Reason::Overloaded)));
    drop(asking);
    assert!(world.sessions(0).begin_asking().is_ok());
}
