//! The outbox: order, bounds, waking, and a count of every byte. What is lost of pushes is in `losses`, what is known of it in `marks`.

mod losses;
mod marks;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;

use futures_util::FutureExt as _;
use futures_util::task::noop_waker_ref;
use proptest::prelude::*;

use super::*;

fn outbox(outbox_bytes_max: usize, bytes_max: usize) -> (Arc<Outbox>, Arc<Budget>) {
    let budget = Arc::new(Budget::new(outbox_bytes_max, bytes_max));
    (Outbox::new(budget.clone()), budget)
}

/// For what loses nothing.
fn untold(_: &[u8], _: u32, _: &mut Vec<u8>) {
    panic!("nothing was lost");
}

fn put(outbox: &Outbox, bytes: &[u8]) -> Result<(), Full> {
    outbox.try_append(|out| out.extend_from_slice(bytes))
}

#[test]
fn what_is_appended_is_taken_in_order_and_leaves_no_buffer() {
    let (outbox, _) = outbox(100, 100);
    put(&outbox, b"one").unwrap();
    put(&outbox, b"two").unwrap();
    assert_eq!(outbox.take(untold), b"onetwo");
    assert_eq!(outbox.lock().frames.capacity(), 0);
}

#[test]
fn a_refused_append_leaves_nothing_behind() {
    let (outbox, budget) = outbox(4, 100);
    assert_eq!(put(&outbox, b"12345"), Err(Full::Own));
    assert_eq!((outbox.len(), budget.used(), outbox.lock().frames.capacity()), (0, 0, 0));
    put(&outbox, b"1234").unwrap();
    assert_eq!(put(&outbox, b"5"), Err(Full::Own));
    assert_eq!(outbox.take(untold), b"1234");
}

#[test]
fn what_was_taken_counts_until_it_is_written() {
    let (outbox, budget) = outbox(4, 100);
    put(&outbox, b"1234").unwrap();
    outbox.take(untold);
    assert_eq!(put(&outbox, b"5"), Err(Full::Own));
    assert!(outbox.is_more_than_half_full());
    outbox.written(3);
    assert_eq!((outbox.len(), budget.used()), (1, 1));
    put(&outbox, b"5").unwrap();
    drop(outbox);
    assert_eq!(budget.used(), 0);
}

#[test]
fn the_outboxes_share_one_bound() {
    let budget = Arc::new(Budget::new(10, 10));
    let (one, other) = (Outbox::new(budget.clone()), Outbox::new(budget.clone()));
    put(&one, b"1234567").unwrap();
    assert_eq!(put(&other, b"1234"), Err(Full::All), "it is not for the other to pay");
    assert_eq!(put(&one, b"1234"), Err(Full::Own));
    budget.resize(10, 20);
    put(&other, b"1234").unwrap();
    drop(one);
    assert_eq!(budget.used(), 4);
}

#[test]
fn what_is_owed_overdraws_the_common_bound_and_not_its_own() {
    let (large, budget) = outbox(6, 6);
    let small = Outbox::new(budget.clone());
    put(&large, b"123456").unwrap();
    assert_eq!(put(&small, b"1"), Err(Full::All));
    small.try_append_owed(|out| out.extend_from_slice(b"12345")).unwrap();
    assert_eq!(small.try_append_owed(|out| out.extend_from_slice(b"67")), Err(Full::Own));
    assert_eq!((budget.used(), small.take(untold)), (11, b"12345".to_vec()));
    drop((large, small));
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_farewell_fits_always() {
    let (outbox, budget) = outbox(4, 4);
    put(&outbox, b"1234").unwrap();
    outbox.append_farewell(|out| out.extend_from_slice(b"bye"));
    assert_eq!(budget.used(), 7);
    assert_eq!(outbox.take(untold), b"1234bye");
    outbox.written(7);
    assert_eq!(budget.used(), 0);
}

#[test]
fn replies_go_before_pushes_that_wait_and_a_farewell_behind_them() {
    let (outbox, budget) = outbox(100, 100);
    let push = |bytes: &[u8]| outbox.try_push(|out| out.extend_from_slice(bytes)).unwrap();
    push(b"1");
    put(&outbox, b"a").unwrap();
    push(b"2");
    assert_eq!(outbox.take(untold), b"1a2", "the task is about to write anyway");
    push(b"3");
    push(b"4");
    put(&outbox, b"b").unwrap();
    outbox.append_farewell(|out| out.extend_from_slice(b"bye"));
    assert_eq!((outbox.len(), budget.used()), (9, 9));
    assert_eq!(outbox.take(untold), b"b34bye");
    outbox.written(9);
    assert_eq!((budget.used(), outbox.lock().lane.is_none()), (0, true));
}

#[test]
fn of_pushes_no_more_is_taken_than_is_worth_a_write() {
    let (outbox, _) = outbox(1000, 1000);
    put(&outbox, b"a").unwrap();
    outbox.take(untold);
    (0..9).for_each(|_| outbox.try_push(|out| out.resize(100, 0)).unwrap());
    assert_eq!(outbox.take(untold).len(), 200, "a quarter of what may wait");
    outbox.try_append(|out| out.resize(98, 1)).unwrap();
    assert_eq!(outbox.take(untold).len(), 198, "replies count");
    assert_eq!(outbox.ready().now_or_never(), Some(Ready::Frames));
}

#[test]
fn the_task_is_woken_by_others_and_hears_the_first_who_asks_it_to_end() {
    let (outbox, _) = outbox(100, 100);
    let mut ready = pin!(outbox.ready());
    assert_eq!(ready.as_mut().poll(&mut Context::from_waker(noop_waker_ref())), Poll::Pending);
    put(&outbox, b"x").unwrap();
    assert!(outbox.lock().sleeper.is_none());

    outbox.close(Close::Shutdown);
    outbox.close(Close::Slow);
    assert_eq!(outbox.closing(), Some(Close::Shutdown));
    assert_eq!(outbox.ready().now_or_never(), Some(Ready::Close(Close::Shutdown)));
    assert_eq!(outbox.ready().now_or_never(), Some(Ready::Frames));
    outbox.take(untold);
    assert_eq!(outbox.ready().now_or_never(), None);
    assert_eq!(outbox.closing(), Some(Close::Shutdown));
}

#[test]
fn half_a_frame_of_a_writer_that_panicked_is_never_sent() {
    let (outbox, budget) = outbox(100, 100);
    put(&outbox, b"whole").unwrap();
    let half = |out: &mut Vec<u8>| {
        out.push(0);
        panic!("the writer of this test");
    };
    assert!(catch_unwind(AssertUnwindSafe(|| outbox.try_append(half))).is_err());
    assert_eq!(outbox.take(untold), b"whole");
    assert_eq!(budget.used(), 5);
}

#[test]
fn an_idle_outbox_is_small() {
    assert!(size_of::<Outbox>() + 2 * size_of::<usize>() <= 144, "{}", size_of::<Outbox>());
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Append(usize),
    Farewell(usize),
    Take,
    Written(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..40_usize).prop_map(Step::Append),
        (0..10_usize).prop_map(Step::Farewell),
        Just(Step::Take),
        (0..60_usize).prop_map(Step::Written),
    ]
}

proptest! {
    #[test]
    fn every_byte_is_counted_once(steps in prop::collection::vec((0..2_usize, step()), 0..60)) {
        let budget = Arc::new(Budget::new(100, 150));
        let outboxes = [Outbox::new(budget.clone()), Outbox::new(budget.clone())];
        // What the model says is waiting inside, and in the task's hands.
        let mut model = [(0, 0); 2];
        for (index, step) in steps {
            let total: usize = model.iter().map(|(inside, taken)| inside + taken).sum();
            let (inside, taken) = &mut model[index];
            match step {
                Step::Append(bytes) => {
                    let fits = *inside + *taken + bytes <= 100 && total + bytes <= 150;
                    prop_assert_eq!(put(&outboxes[index], &vec![0; bytes]).is_ok(), fits);
                    *inside += if fits { bytes } else { 0 };
                }
                Step::Farewell(bytes) => {
                    outboxes[index].append_farewell(|out| out.resize(out.len() + bytes, 0));
                    *inside += bytes;
                }
                Step::Take => {
                    prop_assert_eq!(outboxes[index].take(untold).len(), *inside);
                    *taken += std::mem::take(inside);
                }
                Step::Written(bytes) => {
                    outboxes[index].written(bytes);
                    *taken = taken.saturating_sub(bytes);
                }
            }
            prop_assert_eq!(outboxes[index].len(), model[index].0 + model[index].1);
            prop_assert_eq!(budget.used(), outboxes.iter().map(|outbox| outbox.len()).sum::<usize>());
        }
        drop(outboxes);
        prop_assert_eq!(budget.used(), 0);
    }
}
