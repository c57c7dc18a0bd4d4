//! Who is woken and when, and who goes where memory runs out.

use std::sync::atomic::AtomicUsize;
use std::task::Wake;

use bytes::Bytes;

use super::*;
use crate::session::budget::Budget;
use crate::session::connected::Search;
use crate::session::{OnSlow, Publication};

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn outbox(outbox_bytes_max: usize, bytes_max: usize) -> Arc<Outbox> {
    Outbox::new(Arc::new(Budget::new(outbox_bytes_max, bytes_max)))
}

#[test]
fn over_the_bound_the_fullest_outboxes_go() {
    let pulse = Pulse::new(Arc::default());
    let budget = Arc::new(Budget::new(1000, 1000));
    let places: Vec<(Place, Arc<Outbox>)> = [10, 400, 20, 300, 0]
        .into_iter()
        .map(|bytes| {
            let outbox = Outbox::new(Arc::clone(&budget));
            outbox.try_append(|out| out.resize(bytes, 0)).unwrap();
            (pulse.enter(ConnectionId(1), Arc::clone(&outbox)), outbox)
        })
        .collect();
    let closing = || places.iter().map(|(_, outbox)| outbox.closing().is_some()).collect::<Vec<_>>();
    pulse.shed_outboxes(budget.used(), 730);
    assert_eq!(closing(), [false; 5]);
    pulse.shed_outboxes(budget.used(), 729);
    assert_eq!(closing(), [false, true, false, false, false], "one is enough");
    pulse.shed_outboxes(budget.used(), 400);
    assert_eq!(closing(), [false, true, false, false, false], "what is on its way out counts as gone");
    // Half of what waits is another worker's, and so is half of what must go.
    pulse.shed_outboxes(2 * budget.used(), 2 * 100);
    assert_eq!(closing(), [false, true, false, true, false]);
}

#[test]
fn what_may_be_dropped_goes_before_anybody_is_closed() {
    let pulse = Pulse::new(Arc::default());
    let budget = Arc::new(Budget::new(1000, 1000));
    let (full, droppable) = (Outbox::new(Arc::clone(&budget)), Outbox::new(Arc::clone(&budget)));
    let places = [&full, &droppable].map(|outbox| pulse.enter(ConnectionId(1), Arc::clone(outbox)));
    full.try_append(|out| out.resize(300, 0)).unwrap();
    droppable.try_append(|out| out.push(0)).unwrap();
    droppable.take(|_, _, _| {});
    let publication = Arc::new(Publication::new(2101, Bytes::new(), OnSlow::DropOldest));
    (0..4).for_each(|_| droppable.publish(&publication, &vec![0; 100].into()).unwrap());
    pulse.shed_outboxes(budget.used(), 450);
    assert_eq!((full.len(), droppable.len()), (300, 101));
    assert!(full.closing().is_none() && droppable.closing().is_none());
    pulse.shed_outboxes(budget.used(), 299);
    assert!(full.closing().is_some() && droppable.closing().is_none(), "the largest, when nothing can be dropped");
    drop(places);
}

fn enter(pulse: &Arc<Pulse>) -> (Place, Arc<Woken>) {
    let (place, woken) = (pulse.enter(ConnectionId(1), outbox(1000, 1000)), Arc::new(Woken::default()));
    place.set_waker(&Waker::from(Arc::clone(&woken)));
    (place, woken)
}

fn count(woken: &Woken) -> usize {
    woken.0.swap(0, Ordering::Relaxed)
}

#[test]
fn a_place_is_woken_when_it_is_due_and_until_it_says_when_next() {
    let pulse = Pulse::new(Arc::default());
    let (mut place, woken) = enter(&pulse);
    place.set_due(Tick::ZERO.after(Duration::from_millis(600)));
    let woken_at: Vec<usize> = (0..4).map(|_| (pulse.beat(), count(&woken)).1).collect();
    assert_eq!(woken_at, [0, 0, 1, 1]);
    place.set_due(Tick::NEVER);
    pulse.beat();
    assert_eq!(count(&woken), 0);
}

#[test]
fn a_new_table_wakes_those_that_have_streams() {
    let pulse = Pulse::new(Arc::default());
    let ((mut streaming, woken), (_other, idle)) = (enter(&pulse), enter(&pulse));
    streaming.set_streaming(true);
    pulse.wake_streaming();
    assert_eq!((count(&woken), count(&idle)), (1, 0));
    streaming.set_streaming(false);
    pulse.wake_streaming();
    assert_eq!(count(&woken), 0);
}

#[test]
fn the_end_wakes_everybody_and_reaches_late_comers() {
    let pulse = Pulse::new(Arc::default());
    let (place, woken) = enter(&pulse);
    assert!(!place.is_wanted());
    pulse.end(Duration::from_secs(1));
    assert_eq!(count(&woken), 1);
    assert_eq!(pulse.enter(ConnectionId(1), outbox(1000, 1000)).end_by(), Some(Tick::ZERO.after(Duration::from_secs(1))));
}

#[test]
fn over_the_bound_the_largest_holder_goes_alone() {
    let held = Arc::new(AtomicUsize::new(0));
    let pulse = Pulse::new(Arc::clone(&held));
    let (mut small, _) = enter(&pulse);
    let (mut large, woken) = enter(&pulse);
    large.set_held(80, 100);
    small.set_held(20, 100);
    assert!(!large.is_shed());
    small.set_held(30, 100);
    small.set_held(40, 100);
    assert!(large.is_shed() && !small.is_shed());
    assert_eq!(count(&woken), 1);
    drop(large);
    assert!(!small.is_shed());
    assert_eq!(held.load(Ordering::Relaxed), 40);
    drop(small);
    assert_eq!(held.load(Ordering::Relaxed), 0);
}

#[test]
fn connections_are_found_in_their_order_and_asked_only_while_they_are_there() {
    let pulse = Pulse::new(Arc::default());
    let mut places: Vec<Place> = [5, 2, 9, 4].map(|id| pulse.enter(ConnectionId(id), outbox(1000, 1000))).into();
    let ids = |after, count| pulse.behind(ConnectionId(after), count).iter().map(|found| found.id.0).collect::<Vec<_>>();
    assert_eq!((ids(0, 2), ids(4, 2), ids(9, 2), ids(0, 9)), (vec![2, 4], vec![5, 9], vec![], vec![2, 4, 5, 9]));

    let found = pulse.behind(ConnectionId(0), 9);
    drop(places.remove(1));
    // Another has the place by now.
    places.push(pulse.enter(ConnectionId(10), outbox(1000, 1000)));
    let (question, mut answers) = Question::to(9, Search::default());
    assert_eq!(pulse.ask(&found, &question).len(), 3);
    drop(question);
    assert!(places[0].questions(ConnectionId(10)).is_empty());
    drop(places);
    assert!(answers.blocking_recv().is_none() && !pulse.questions().is_any(), "who goes is not waited for");
    assert!(pulse.find(ConnectionId(5)).is_none() && !pulse.close(ConnectionId(5), Close::GoingAway));
}

#[test]
fn a_place_is_small() {
    assert!(size_of::<Slot>() <= 48 && size_of::<Place>() <= 32, "{} {}", size_of::<Slot>(), size_of::<Place>());
}
