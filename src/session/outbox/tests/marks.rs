//! What is known of what waited: written, or perhaps not.

use super::*;

fn publication(rule: OnSlow<crate::session::publication::Key>) -> Arc<Publication> {
    Arc::new(Publication::new(2101, Bytes::from_static(b"1234"), rule))
}

fn write_all(outbox: &Outbox) {
    let taken = outbox.take(|frame, _, out| out.extend_from_slice(frame));
    outbox.written(taken.len());
}

#[test]
fn what_waits_is_written_when_all_of_it_is() {
    let (outbox, _) = outbox(100, 100);
    assert_eq!(outbox.fate(outbox.mark()), Fate::Written, "nothing waits");
    put(&outbox, b"1234").unwrap();
    let mark = outbox.mark();
    assert_eq!(outbox.fate(mark), Fate::Waiting);
    outbox.take(untold);
    outbox.written(3);
    assert_eq!(outbox.fate(mark), Fate::Waiting, "the client has a part of it");
    outbox.written(1);
    assert_eq!(outbox.fate(mark), Fate::Written);
}

#[test]
fn what_comes_later_does_not_matter() {
    let (outbox, _) = outbox(100, 100);
    put(&outbox, b"1234").unwrap();
    let before = outbox.mark();
    write_all(&outbox);
    put(&outbox, b"5678").unwrap();
    assert_eq!((outbox.fate(before), outbox.fate(outbox.mark())), (Fate::Written, Fate::Waiting));
}

#[test]
fn what_may_have_been_dropped_is_not_called_written() {
    let (outbox, _) = outbox(8, 100);
    put(&outbox, b"1234").unwrap();
    outbox.take(untold);
    outbox.publish(&publication(OnSlow::DropOldest), &Bytes::from_static(b"abcd")).unwrap();
    let mark = outbox.mark();
    outbox.publish(&publication(OnSlow::DropOldest), &Bytes::from_static(b"efgh")).unwrap();
    outbox.written(4);
    write_all(&outbox);
    assert_eq!(outbox.fate(mark), Fate::Doubtful);
    outbox.publish(&publication(OnSlow::DropOldest), &Bytes::from_static(b"ijkl")).unwrap();
    let mark = outbox.mark();
    write_all(&outbox);
    assert_eq!(outbox.fate(mark), Fate::Written, "the client was told of the loss, and nothing more was lost");
}

#[test]
fn what_was_dropped_as_it_came_is_not_called_written() {
    let (outbox, _) = outbox(4, 100);
    put(&outbox, b"1234").unwrap();
    outbox.take(untold);
    outbox.publish(&publication(OnSlow::DropOldest), &Bytes::from_static(b"abcd")).unwrap();
    let mark = outbox.mark();
    outbox.written(4);
    assert_eq!((outbox.len(), outbox.fate(mark)), (0, Fate::Doubtful));
}

#[test]
fn a_state_that_was_replaced_is_not_called_written() {
    let (outbox, _) = outbox(100, 100);
    put(&outbox, b"1234").unwrap();
    let state = || publication(OnSlow::Conflate(b"player 1".as_slice().into()));
    outbox.publish(&state(), &Bytes::from_static(b"abcd")).unwrap();
    let mark = outbox.mark();
    outbox.publish(&state(), &Bytes::from_static(b"efgh")).unwrap();
    write_all(&outbox);
    assert_eq!(outbox.fate(mark), Fate::Doubtful);
}
