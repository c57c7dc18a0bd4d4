//! What a slow client misses, and what it is told of that.

use super::*;

/// A frame as these tests write it: number, key, and its place in what was offered.
const FRAME_BYTES: usize = 6;

/// The numbers of these tests, and their rules.
const KEPT: u32 = 1000;
const DISCONNECT: u32 = 2101;
const OLDEST: u32 = 2102;
const LATEST: u32 = 2103;

fn publication(number: u32, key: u8) -> Arc<Publication> {
    let rule = match number {
        OLDEST => OnSlow::DropOldest,
        LATEST => OnSlow::Conflate([key].into()),
        _ => OnSlow::Disconnect,
    };
    Arc::new(Publication::new(number, Bytes::new(), rule))
}

fn frame(number: u32, key: u8, place: u16) -> Bytes {
    let mut frame = vec![(number % 1000) as u8, key, 0, FRAME_BYTES as u8];
    frame.extend(place.to_be_bytes());
    frame.into()
}

fn offer(outbox: &Outbox, number: u32, key: u8, place: u16) -> Result<(), Full> {
    match number {
        KEPT => outbox.try_push(|out| out.extend_from_slice(&frame(number, key, place))),
        _ => outbox.publish(&publication(number, key), &frame(number, key, place)),
    }
}

/// What a client reads: number, key, place, and how many it was told it had missed.
type Read = (u32, u8, u16, u32);

fn tell(frame: &[u8], dropped: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(frame);
    let start = out.len() - FRAME_BYTES;
    (out[start + 2], out[start + 3]) = (1, FRAME_BYTES as u8 + 4);
    out.extend(dropped.to_be_bytes());
}

/// Reads all that waits, in as many steps as it takes.
fn read_all(outbox: &Outbox) -> Vec<Read> {
    let mut read = Vec::new();
    loop {
        let taken = outbox.take(tell);
        if taken.is_empty() {
            return read;
        }
        outbox.written(taken.len());
        parse(&taken, &mut read);
    }
}

fn parse(mut bytes: &[u8], read: &mut Vec<Read>) {
    while let [number, key, told, length, high, low, ..] = *bytes {
        let dropped = if told == 1 { u32::from_be_bytes(bytes[6..10].try_into().unwrap()) } else { 0 };
        let number = if number == 0 { KEPT } else { 2000 + u32::from(number) };
        read.push((number, key, u16::from_be_bytes([high, low]), dropped));
        bytes = &bytes[usize::from(length)..];
    }
}

/// An outbox for ten frames whose client reads nothing.
fn stalled() -> (Arc<Outbox>, Arc<Budget>) {
    let (outbox, budget) = outbox(11 * FRAME_BYTES, 1000);
    outbox.try_append(|out| out.extend_from_slice(&frame(KEPT, 0, 0))).unwrap();
    assert_eq!(outbox.take(tell).len(), FRAME_BYTES);
    (outbox, budget)
}

#[test]
fn beyond_the_bound_the_oldest_is_dropped_and_the_next_says_so() {
    let (outbox, budget) = stalled();
    (1..=13).for_each(|place| offer(&outbox, OLDEST, 0, place).unwrap());
    assert_eq!(budget.used(), 11 * FRAME_BYTES);
    let read = read_all(&outbox);
    assert_eq!((read.len(), read[0], read[1]), (10, (OLDEST, 0, 4, 3), (OLDEST, 0, 5, 0)));
}

#[test]
fn what_nothing_follows_is_told_with_what_comes_then() {
    let (outbox, _) = stalled();
    offer(&outbox, OLDEST, 0, 1).unwrap();
    (2..=11).for_each(|place| offer(&outbox, KEPT, 0, place).unwrap());
    assert_eq!(read_all(&outbox).len(), 10, "what a session is promised is not dropped for it");
    outbox.written(FRAME_BYTES);
    offer(&outbox, DISCONNECT, 0, 12).unwrap();
    offer(&outbox, OLDEST, 0, 13).unwrap();
    assert_eq!(read_all(&outbox), [(DISCONNECT, 0, 12, 0), (OLDEST, 0, 13, 1)]);
    assert!(outbox.lock().lane.is_none());
}

#[test]
fn of_what_waits_the_latest_of_each_key_stays() {
    let (outbox, budget) = stalled();
    (0..30).for_each(|place| offer(&outbox, LATEST, (place % 3) as u8, place).unwrap());
    assert_eq!(budget.used(), 4 * FRAME_BYTES);
    assert_eq!(read_all(&outbox), [(LATEST, 0, 27, 9), (LATEST, 1, 28, 9), (LATEST, 2, 29, 9)]);
}

#[test]
fn a_state_of_another_topic_is_another() {
    let (outbox, _) = stalled();
    for topic in ["room/1", "room/2", "room/1"] {
        let publication = Publication::new(LATEST, Bytes::new(), OnSlow::Conflate([0].into())).at(topic.into(), "e".into(), 1);
        outbox.publish(&Arc::new(publication), &frame(LATEST, 0, 1)).unwrap();
    }
    assert_eq!(read_all(&outbox), [(LATEST, 0, 1, 0), (LATEST, 0, 1, 1)]);
}

#[test]
fn the_latest_state_is_the_last_that_gives_way() {
    let (outbox, _) = stalled();
    (0..5).for_each(|key| offer(&outbox, LATEST, key, key.into()).unwrap());
    (5..10).for_each(|place| offer(&outbox, OLDEST, 0, place).unwrap());
    (10..16).for_each(|place| offer(&outbox, KEPT, 0, place).unwrap());
    let read = read_all(&outbox);
    assert_eq!(read[..4], [1, 2, 3, 4].map(|key| (LATEST, key, key.into(), if key == 1 { 1 } else { 0 })));
    assert!(read[4..].iter().all(|read| read.0 == KEPT));
}

#[test]
fn a_client_that_is_to_be_closed_is_when_nothing_can_be_dropped() {
    let (outbox, _) = stalled();
    (1..=4).for_each(|place| offer(&outbox, OLDEST, 0, place).unwrap());
    (5..=14).for_each(|place| offer(&outbox, DISCONNECT, 0, place).unwrap());
    assert_eq!(offer(&outbox, DISCONNECT, 0, 15), Err(Full::Own));
    assert_eq!(offer(&outbox, LATEST, 0, 15), Err(Full::Own), "the latest state must not be lost");
    offer(&outbox, OLDEST, 0, 15).unwrap();
    outbox.written(FRAME_BYTES);
    assert_eq!(read_all(&outbox).len(), 10);
    offer(&outbox, OLDEST, 0, 16).unwrap();
    assert_eq!(read_all(&outbox), [(OLDEST, 0, 16, 5)]);
}

#[test]
fn the_bound_on_all_is_kept_by_the_same_rules() {
    let budget = Arc::new(Budget::new(1000, 10 * FRAME_BYTES));
    let (other, outbox) = (Outbox::new(budget.clone()), Outbox::new(budget.clone()));
    other.try_append(|out| out.resize(5 * FRAME_BYTES, 0)).unwrap();
    offer(&outbox, KEPT, 0, 0).unwrap();
    outbox.take(tell);
    (1..=6).for_each(|place| offer(&outbox, OLDEST, 0, place).unwrap());
    assert_eq!(budget.used(), 10 * FRAME_BYTES);
    put(&outbox, &frame(KEPT, 0, 7)).unwrap();
    assert_eq!(read_all(&outbox), [(KEPT, 0, 7, 0), (OLDEST, 0, 4, 3), (OLDEST, 0, 5, 0), (OLDEST, 0, 6, 0)]);
}

#[test]
fn an_outbox_is_relieved_of_what_may_be_dropped_and_of_no_state() {
    let (outbox, budget) = stalled();
    (0..3).for_each(|key| offer(&outbox, LATEST, key, 0).unwrap());
    (0..3).for_each(|place| offer(&outbox, OLDEST, 0, place).unwrap());
    assert_eq!(outbox.relieve(FRAME_BYTES + 1), 2 * FRAME_BYTES);
    assert_eq!(outbox.relieve(100), FRAME_BYTES);
    assert_eq!(budget.used(), 4 * FRAME_BYTES);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Offer(u32, u8),
    Reply,
    Read,
    Written,
}

fn step() -> impl Strategy<Value = Step> {
    let number = prop_oneof![Just(KEPT), Just(OLDEST), Just(LATEST), Just(OLDEST), Just(LATEST), Just(DISCONNECT)];
    prop_oneof![8 => (number, 0..4_u8).prop_map(|(number, key)| Step::Offer(number, key)), 1 => Just(Step::Reply), 2 => Just(Step::Read), 2 => Just(Step::Written)]
}

proptest! {
    #[test]
    fn everything_is_delivered_or_told_to_be_lost(steps in prop::collection::vec(step(), 0..200)) {
        let (outbox, budget) = outbox(20 * FRAME_BYTES, 18 * FRAME_BYTES);
        let (mut read, mut taken) = (Vec::new(), 0);
        let mut offered: Vec<(u32, u8, u16)> = Vec::new();
        let mut ended_by = None;
        for (place, step) in (1..).zip(steps) {
            match step {
                Step::Offer(number, key) => match offer(&outbox, number, key, place) {
                    Ok(()) => offered.push((number, key, place)),
                    // The connection ends here.
                    Err(_) => {
                        prop_assert!(number != OLDEST);
                        prop_assert!(outbox.len() + FRAME_BYTES > 18 * FRAME_BYTES || number == LATEST);
                        ended_by = Some(number);
                        break;
                    }
                },
                // A reply is told from pushes by its key.
                Step::Reply => _ = put(&outbox, &frame(KEPT, 9, place)),
                Step::Read => {
                    let bytes = outbox.take(tell);
                    taken += bytes.len();
                    parse(&bytes, &mut read);
                }
                Step::Written => {
                    outbox.written(taken);
                    taken = 0;
                }
            }
            prop_assert_eq!(budget.used(), outbox.len());
            let lane = outbox.lock().lane.as_ref().map_or(0, |lane| lane.bytes());
            prop_assert_eq!(outbox.len(), outbox.lock().appended + taken + lane);
        }
        outbox.written(taken);
        read.extend(read_all(&outbox));
        // What was lost last is told with what comes next.
        for number in [OLDEST, LATEST] {
            offer(&outbox, number, 8, 9999).unwrap();
            offered.push((number, 8, 9999));
        }
        read.extend(read_all(&outbox));
        outbox.append_farewell(|out| out.extend(b"bye"));
        prop_assert_eq!(outbox.take(tell), b"bye");

        read.retain(|read| read.1 != 9);
        prop_assert!(read.is_sorted_by_key(|read| read.2), "in order");
        for number in [KEPT, DISCONNECT, OLDEST, LATEST] {
            let delivered: Vec<&Read> = read.iter().filter(|read| read.0 == number).collect();
            let told: u32 = delivered.iter().map(|read| read.3).sum();
            let offers = offered.iter().filter(|offer| offer.0 == number).count();
            // A connection that ends because a state does not fit tells of no state that this one would have replaced.
            if ended_by != Some(number) {
                prop_assert_eq!(delivered.len() + told as usize, offers, "of {}", number);
                let counted = match number {
                    OLDEST => budget.pushes.dropped.of(Dropped::DropOldest),
                    LATEST => budget.pushes.dropped.of(Dropped::Conflate),
                    _ => 0,
                };
                prop_assert_eq!(counted, u64::from(told), "what is counted of {} is what was told", number);
            }
            if number == KEPT || number == DISCONNECT {
                prop_assert_eq!(told, 0);
            }
        }
    }

    #[test]
    fn where_there_is_room_for_every_state_the_latest_arrives(offers in prop::collection::vec((any::<bool>(), 0..4_u8), 0..100)) {
        let (outbox, _) = stalled();
        let mut latest = [None; 4];
        for (place, (state, key)) in (1..).zip(offers) {
            let number = if state { LATEST } else { OLDEST };
            offer(&outbox, number, key, place).unwrap();
            if state {
                latest[usize::from(key)] = Some(place);
            }
        }
        let read = read_all(&outbox);
        let mut arrived = [None; 4];
        read.iter().filter(|read| read.0 == LATEST).for_each(|read| assert_eq!(arrived[usize::from(read.1)].replace(read.2), None));
        prop_assert_eq!(arrived, latest);
    }
}
