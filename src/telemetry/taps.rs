//! Operators who watch calls as they end.
//!
//! Each has a queue, bounded in bytes, from which lines are taken as fast as they are read. Promises: while nobody watches a call pays for
//! one load of an atomic; nothing is written down for a call that nobody wants to see, or for which nobody has room; who reads too slowly
//! loses lines, and is told how many at the place where they are missing; when a tap is dropped nothing of it is left.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;
use tokio::sync::Notify;

/// Who may watch at once.
pub const TAPS_MAX: usize = 8;

/// What may wait for one of them. The line that goes beyond is still taken, so that it may be one line more.
const QUEUE_BYTES_MAX: usize = 512 << 10;

/// What is taken at once.
const TAKE_BYTES_MAX: usize = 32 << 10;

/// Those who watch now. Clones are the same.
#[derive(Clone, Default)]
pub struct Taps(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// How many there are. Written under the lock, read by every call.
    count: AtomicUsize,
    queues: Mutex<SmallVec<[Arc<Queue>; TAPS_MAX]>>,
}

/// Which calls somebody wants to see; where nothing is said, all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Filter {
    pub route: Option<Wanted>,
    pub user: Option<String>,
}

/// A route by its number or its name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wanted {
    Number(u32),
    Name(String),
}

/// What filters go by.
pub struct Subject<'a> {
    /// As the client wrote it.
    pub number: u32,
    pub route: Option<&'a str>,
    pub user: Option<&'a str>,
}

/// One who watches.
pub struct Tap {
    taps: Taps,
    queue: Arc<Queue>,
}

struct Queue {
    filter: Filter,
    waiting: Mutex<Waiting>,
    /// Told when the first line comes, and when the first is lost.
    told: Notify,
}

#[derive(Default)]
struct Waiting {
    lines: VecDeque<Bytes>,
    bytes: usize,
    /// Lines that are missing behind those that wait.
    lost: u64,
}

// === impl Taps ===

impl Taps {
    /// Whether anybody watches, so that calls keep what they say.
    pub fn is_open(&self) -> bool {
        self.watchers() > 0
    }

    /// How many watch.
    pub fn watchers(&self) -> usize {
        self.0.count.load(Ordering::Relaxed)
    }

    /// Watches calls that begin from now on. Nothing: so many watch already.
    pub fn open(&self, filter: Filter) -> Option<Tap> {
        let mut queues = self.lock();
        if queues.len() >= TAPS_MAX {
            return None;
        }
        let queue = Arc::new(Queue { filter, waiting: Mutex::default(), told: Notify::new() });
        queues.push(Arc::clone(&queue));
        self.0.count.store(queues.len(), Ordering::Relaxed);
        Some(Tap { taps: self.clone(), queue })
    }

    /// Tells whoever wants to see this call. `line` ends with the end of a line, and is made once, if somebody has room for it.
    pub fn tell(&self, subject: &Subject<'_>, line: impl FnOnce() -> Bytes) {
        let wanted = |queue: &&Arc<Queue>| queue.filter.wants(subject) && queue.has_room();
        let queues: SmallVec<[Arc<Queue>; TAPS_MAX]> = self.lock().iter().filter(wanted).cloned().collect();
        if queues.is_empty() {
            return;
        }
        let line = line();
        queues.iter().for_each(|queue| queue.push(&line));
    }

    fn lock(&self) -> MutexGuard<'_, SmallVec<[Arc<Queue>; TAPS_MAX]>> {
        self.0.queues.lock().expect("nothing that holds the list panics")
    }
}

// === impl Filter ===

impl Filter {
    fn wants(&self, subject: &Subject<'_>) -> bool {
        let of_route = match &self.route {
            None => true,
            Some(Wanted::Number(number)) => *number == subject.number,
            Some(Wanted::Name(name)) => subject.route == Some(name),
        };
        of_route && self.user.as_deref().is_none_or(|user| subject.user == Some(user))
    }
}

// === impl Wanted ===

impl Wanted {
    /// As a person says it.
    pub fn said(text: &str) -> Wanted {
        text.parse().map_or_else(|_| Wanted::Name(text.to_owned()), Wanted::Number)
    }
}

// === impl Tap ===

impl Tap {
    /// The next lines, or how many are missing; waits until there are some. Cancel-safe.
    pub async fn next(&self) -> Bytes {
        loop {
            if let Some(lines) = self.take() {
                return lines;
            }
            self.queue.told.notified().await;
        }
    }

    /// The next lines, if there are some.
    pub fn take(&self) -> Option<Bytes> {
        self.queue.lock().take()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let mut queues = self.taps.lock();
        queues.retain(|queue| !Arc::ptr_eq(queue, &self.queue));
        self.taps.0.count.store(queues.len(), Ordering::Relaxed);
    }
}

// === impl Queue ===

impl Queue {
    /// Whether there is room for a line; if not, it is lost.
    fn has_room(&self) -> bool {
        let mut waiting = self.lock();
        let has_room = waiting.bytes < QUEUE_BYTES_MAX;
        waiting.lost += u64::from(!has_room);
        has_room
    }

    fn push(&self, line: &Bytes) {
        let is_first = {
            let mut waiting = self.lock();
            let is_first = waiting.bytes == 0;
            if waiting.bytes >= QUEUE_BYTES_MAX {
                waiting.lost += 1;
            } else {
                waiting.tell_lost();
                waiting.add(line.clone());
            }
            is_first
        };
        if is_first {
            self.told.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().expect("nothing that holds the queue panics")
    }
}

// === impl Waiting ===

impl Waiting {
    fn add(&mut self, line: Bytes) {
        self.bytes += line.len();
        self.lines.push_back(line);
    }

    /// Says what is missing behind the lines that wait.
    fn tell_lost(&mut self) {
        if self.lost > 0 {
            let told = format!("{{\"lost\":{}}}\n", std::mem::take(&mut self.lost));
            self.add(told.into());
        }
    }

    fn take(&mut self) -> Option<Bytes> {
        let mut taken = BytesMut::new();
        while taken.len() < TAKE_BYTES_MAX
            && let Some(line) = self.lines.pop_front()
        {
            self.bytes -= line.len();
            taken.extend_from_slice(&line);
        }
        if self.lines.is_empty() {
            self.lines = VecDeque::new();
            self.tell_lost();
            if let Some(told) = self.lines.pop_front() {
                self.bytes -= told.len();
                taken.extend_from_slice(&told);
            }
        }
        (!taken.is_empty()).then(|| taken.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(user: &str) -> Subject<'_> {
        Subject { number: 1001, route: Some("auth.login"), user: Some(user) }
    }

    fn never() -> Bytes {
        panic!("nobody wants to see it")
    }

    #[test]
    fn who_watches_sees_what_they_asked_for_and_nothing_is_made_for_nobody() {
        let taps = Taps::default();
        assert!(!taps.is_open());
        taps.tell(&call("alice"), never);
        let filter = |route: Option<&str>, user: Option<&str>| Filter { route: route.map(Wanted::said), user: user.map(str::to_owned) };
        let fits = [filter(None, None), filter(Some("1001"), None), filter(Some("auth.login"), Some("alice")), filter(None, Some("alice"))];
        let others =
            [filter(Some("1002"), None), filter(Some("auth"), None), filter(Some("1001"), Some("bob")), filter(None, Some("alic"))];
        let tap = |filter: &Filter| taps.open(filter.clone()).unwrap();
        let (seeing, blind): (Vec<Tap>, Vec<Tap>) = (fits.iter().map(tap).collect(), others.iter().map(tap).collect());
        assert!(taps.open(Filter::default()).is_none(), "they are as many as may be");
        let mut made = 0;
        taps.tell(&call("alice"), || {
            made += 1;
            "line\n".into()
        });
        assert_eq!(made, 1);
        assert!(seeing.iter().all(|tap| tap.take().as_deref() == Some(b"line\n")));
        assert!(blind.iter().all(|tap| tap.take().is_none()));
        drop(seeing);
        taps.tell(&call("alice"), never);
        drop(blind);
        assert!(!taps.is_open() && taps.lock().is_empty());
    }

    #[test]
    fn who_does_not_read_loses_lines_is_told_where_and_costs_nothing_more() {
        let taps = Taps::default();
        let tap = taps.open(Filter::default()).unwrap();
        let line: Bytes = [vec![b'x'; 1023], vec![b'\n']].concat().into();
        let held = QUEUE_BYTES_MAX / line.len();
        (0..held).for_each(|_| taps.tell(&call("a"), || line.clone()));
        (0..3).for_each(|_| taps.tell(&call("a"), never));
        assert_eq!(tap.queue.lock().bytes, QUEUE_BYTES_MAX);
        let mut read = tap.take().unwrap().to_vec();
        taps.tell(&call("a"), || "after\n".into());
        while let Some(more) = tap.take() {
            read.extend_from_slice(&more);
        }
        let lines: Vec<&str> = std::str::from_utf8(&read).unwrap().lines().collect();
        assert_eq!((lines.len(), lines[held], lines[held + 1]), (held + 2, r#"{"lost":3}"#, "after"));

        (0..held).for_each(|_| taps.tell(&call("a"), || line.clone()));
        taps.tell(&call("a"), never);
        let mut last = Bytes::new();
        while let Some(more) = tap.take() {
            last = more;
        }
        assert!(last.ends_with(b"\n{\"lost\":1}\n"), "also where nothing follows");
        assert_eq!(tap.queue.lock().bytes, 0);
    }

    #[tokio::test]
    async fn who_waits_is_woken_by_the_first_line() {
        let taps = Taps::default();
        let tap = taps.open(Filter::default()).unwrap();
        let waiting = tokio::spawn(async move { tap.next().await });
        tokio::task::yield_now().await;
        taps.tell(&call("a"), || "line\n".into());
        assert_eq!(waiting.await.unwrap(), "line\n");
        assert!(!taps.is_open(), "it was dropped with its task");
    }
}
