//! What a stream and the client's end of it tell each other: messages, grants both ways, and why it is to end.
//!
//! Written by the edge and by the running stream, which is woken by what the edge writes. Promises: what was said is taken once, in order;
//! of several reasons to end the first counts; locked for moments, never across an await.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::time::Instant;

use crate::failure::{Failure, Reason, Result};

/// One stream's.
pub(super) struct Mailbox {
    state: Mutex<State>,
    /// How many messages the service took for which the client is granted as many again.
    batch: u32,
}

/// What went through, for the log.
#[derive(Clone, Copy, Default)]
pub(super) struct Counts {
    pub messages_in: u64,
    pub messages_out: u64,
    pub bytes_in: usize,
    pub bytes_out: usize,
}

struct State {
    /// What the service has not taken yet, as it is sent.
    waiting: VecDeque<Bytes>,
    waiting_bytes: usize,
    /// Nothing more is taken: the client has said its last, or the stream is to end.
    is_ended: bool,
    /// Why the stream is to end, as the gateway sees it.
    failure: Option<Failure>,
    /// Messages that the client may still send.
    may_hear: u32,
    /// Messages that were taken and not granted again.
    taken: u32,
    /// Messages that the client takes still.
    may_say: u32,
    /// When a message last went either way.
    last: Instant,
    counts: Counts,
    /// The running stream.
    waker: Option<Waker>,
}

// === impl Mailbox ===

impl Mailbox {
    /// For a stream on which either side may send so many messages.
    pub fn new(credit: u32, now: Instant) -> Mailbox {
        let state = State {
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            is_ended: false,
            failure: None,
            may_hear: credit,
            taken: 0,
            may_say: credit,
            last: now,
            counts: Counts::default(),
            waker: None,
        };
        Mailbox { state: Mutex::new(state), batch: (credit / 2).max(1) }
    }

    pub fn end(&self, failure: Failure) {
        self.with(|state| {
            state.failure.get_or_insert(failure);
            state.is_ended = true;
            state.waiting = VecDeque::new();
            state.waiting_bytes = 0;
        });
    }

    /// The client takes so many messages more.
    pub fn allow(&self, messages: u32) {
        self.with(|state| state.may_say = state.may_say.saturating_add(messages));
    }

    /// The client has sent one of the messages that it was granted.
    pub fn spend(&self) -> Result<()> {
        let mut state = self.lock();
        let left = state.may_hear.checked_sub(1).ok_or_else(|| {
            let what = "you sent more messages than you were granted; wait for `credit` on the stream's id";
            Failure::gateway(Reason::CreditOverrun, what)
        })?;
        state.may_hear = left;
        Ok(())
    }

    pub fn push(&self, message: Bytes, payload_bytes: usize, now: Instant) {
        self.with(|state| {
            state.waiting_bytes += message.len();
            state.waiting.push_back(message);
            state.counts.messages_in += 1;
            state.counts.bytes_in += payload_bytes;
            state.last = now;
        });
    }

    /// The client says nothing more.
    pub fn close(&self) {
        self.with(|state| state.is_ended = true);
    }

    /// Whether nothing that the client says is taken any more.
    pub fn is_deaf(&self) -> bool {
        self.lock().is_ended
    }

    /// Whether the stream is to end; who asks is woken like the running stream.
    pub fn poll_failed(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.failure.is_some() {
            return Poll::Ready(());
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Why the stream is to end; waits until it is.
    pub async fn failed(&self) -> Failure {
        self.until(|state| state.failure.take()).await
    }

    /// The next message for the service; nothing when there is no more.
    pub async fn next(&self) -> Option<Bytes> {
        self.until(|state| match state.waiting.pop_front() {
            Some(message) => {
                state.waiting_bytes -= message.len();
                Some(Some(message))
            }
            None => state.is_ended.then_some(None),
        })
        .await
    }

    /// The service has taken a message.
    pub fn handed_over(&self) {
        self.lock().taken += 1;
    }

    /// How many messages the client is granted; waits until it is worth a word.
    pub async fn grant(&self) -> u32 {
        self.until(|state| {
            let is_due = state.taken >= self.batch && !state.is_ended;
            is_due.then(|| {
                state.may_hear += state.taken;
                std::mem::take(&mut state.taken)
            })
        })
        .await
    }

    /// Waits until the client takes another message.
    pub async fn wanted(&self) {
        self.until(|state| (state.may_say > 0).then_some(())).await;
    }

    /// The client is sent a message of so many bytes.
    pub fn said(&self, bytes: usize, now: Instant) {
        let mut state = self.lock();
        state.may_say = state.may_say.saturating_sub(1);
        state.counts.messages_out += 1;
        state.counts.bytes_out += bytes;
        state.last = now;
    }

    /// Bytes that the service has not taken yet.
    pub fn waiting_bytes(&self) -> usize {
        self.lock().waiting_bytes
    }

    /// When a message last went either way.
    pub fn last(&self) -> Instant {
        self.lock().last
    }

    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// What is asked is asked again whenever the edge has changed something. All who wait are parts of one task.
    async fn until<T>(&self, mut ask: impl FnMut(&mut State) -> Option<T>) -> T {
        poll_fn(|cx: &mut Context<'_>| {
            let mut state = self.lock();
            match ask(&mut state) {
                Some(answer) => Poll::Ready(answer),
                None => {
                    match &mut state.waker {
                        Some(waker) => waker.clone_from(cx.waker()),
                        none => *none = Some(cx.waker().clone()),
                    }
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Changes something and wakes the stream.
    fn with(&self, change: impl FnOnce(&mut State)) {
        let waker = {
            let mut state = self.lock();
            change(&mut state);
            state.waker.clone()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn message(mailbox: &Mailbox, text: &'static str) -> Result<()> {
        mailbox.spend()?;
        mailbox.push(Bytes::from_static(text.as_bytes()), text.len(), Instant::now());
        Ok(())
    }

    #[test]
    fn the_service_gets_what_the_client_said_in_order_and_then_its_end() {
        let mailbox = Mailbox::new(4, Instant::now());
        assert_eq!(mailbox.next().now_or_never(), None, "nothing yet");
        message(&mailbox, "a").unwrap();
        message(&mailbox, "b").unwrap();
        mailbox.close();
        let next = || mailbox.next().now_or_never().unwrap();
        assert_eq!((next(), next(), next(), next()), (Some("a".into()), Some("b".into()), None, None));
        let counts = mailbox.counts();
        assert_eq!((counts.messages_in, counts.bytes_in, mailbox.waiting_bytes()), (2, 2, 0));
    }

    #[test]
    fn the_client_may_say_as_many_as_it_was_granted_and_is_granted_what_was_taken() {
        let mailbox = Mailbox::new(4, Instant::now());
        (0..4).for_each(|_| message(&mailbox, "x").unwrap());
        assert!(message(&mailbox, "x").unwrap_err().is(Reason::CreditOverrun));
        mailbox.handed_over();
        assert_eq!(mailbox.grant().now_or_never(), None, "one is not worth a word");
        mailbox.handed_over();
        assert_eq!((mailbox.grant().now_or_never(), mailbox.grant().now_or_never()), (Some(2), None));
        (0..2).for_each(|_| message(&mailbox, "x").unwrap());
        assert!(message(&mailbox, "x").is_err());
        (0..2).for_each(|_| mailbox.handed_over());
        mailbox.close();
        assert_eq!(mailbox.grant().now_or_never(), None, "who says no more needs no grant");
    }

    #[test]
    fn of_two_reasons_to_end_the_first_counts_and_nothing_waits_any_more() {
        let mailbox = Mailbox::new(4, Instant::now());
        message(&mailbox, "a").unwrap();
        assert!(mailbox.failed().now_or_never().is_none());
        mailbox.end(Failure::gateway(Reason::RateLimited, "first"));
        mailbox.end(Failure::gateway(Reason::Cancelled, "second"));
        assert!(mailbox.is_deaf());
        assert_eq!(mailbox.failed().now_or_never().unwrap().message(), "first");
        assert_eq!(mailbox.next().now_or_never(), Some(None));
    }

    #[test]
    fn what_the_client_takes_is_granted_once_and_never_overflows() {
        let mailbox = Mailbox::new(1, Instant::now());
        assert!(mailbox.wanted().now_or_never().is_some());
        mailbox.said(3, Instant::now());
        assert!(mailbox.wanted().now_or_never().is_none());
        mailbox.allow(u32::MAX);
        mailbox.allow(u32::MAX);
        assert_eq!(mailbox.lock().may_say, u32::MAX);
        mailbox.said(3, Instant::now());
        assert_eq!((mailbox.counts().messages_out, mailbox.counts().bytes_out), (2, 6));
    }
}
