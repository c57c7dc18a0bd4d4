//! The calls of one connection that are in flight.
//!
//! Promises: an id that is in flight is known to be; every call that is pushed comes out exactly once, answered, cancelled or abandoned;
//! a connection without calls owns one pointer.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::dispatch::Answer;
use crate::id::{CallId, Protocol};

/// A call that is running. Dropping it cancels it at the backend.
pub type Running = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// Calls in flight.
#[derive(Default)]
pub struct Calls {
    open: Option<Box<Open>>,
}

/// One call in flight.
pub struct InFlight {
    pub protocol: Protocol,
    pub id: CallId,
    /// The topic that it is to hear, where the client asked for nothing else.
    pub topic: Option<Box<str>>,
    pub running: Running,
}

#[derive(Default)]
struct Open {
    futures: FuturesUnordered<InFlight>,
    /// The ids of `futures`, in no order; 0 as often as it occurs. Searched from end to end, which for dozens is faster than hashing.
    ids: Vec<CallId>,
}

// === impl Calls ===

impl Calls {
    pub fn len(&self) -> usize {
        self.open.as_ref().map_or(0, |open| open.ids.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a call that correlates has this id.
    pub fn has(&self, id: CallId) -> bool {
        id.0 != 0 && self.open.as_ref().is_some_and(|open| open.ids.contains(&id))
    }

    /// What is in flight, in no order.
    pub fn all(&self) -> impl Iterator<Item = (Protocol, CallId)> {
        self.open.iter().flat_map(|open| open.futures.iter()).map(|call| (call.protocol, call.id))
    }

    pub fn push(&mut self, call: InFlight) {
        let open = self.open.get_or_insert_default();
        open.ids.push(call.id);
        open.futures.push(call);
    }

    /// The next answer; nothing while there are no calls. Cancel-safe.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Answer>> {
        let Some(open) = &mut self.open else { return Poll::Ready(None) };
        let answer = ready!(open.futures.poll_next_unpin(cx));
        if let Some(answer) = &answer {
            let place = open.ids.iter().position(|id| *id == answer.id).expect("an answer has the id of its call");
            open.ids.swap_remove(place);
        }
        Poll::Ready(answer)
    }

    /// Takes out the call with this id, unfinished.
    pub fn cancel(&mut self, id: CallId) -> Option<InFlight> {
        if !self.has(id) {
            return None;
        }
        // The set cannot give up one of its members, so it is built again without; a cancel is rare and the set is small.
        let (mut cancelled, kept): (Vec<_>, Vec<_>) = self.take_all().into_iter().partition(|call| call.id == id);
        kept.into_iter().for_each(|call| self.push(call));
        cancelled.pop()
    }

    /// Takes out the requests to hear this topic, unfinished.
    pub fn cancel_topic(&mut self, topic: &str) -> Vec<InFlight> {
        let wanted = |call: &InFlight| call.topic.as_deref() == Some(topic);
        if !self.open.as_ref().is_some_and(|open| open.futures.iter().any(wanted)) {
            return Vec::new();
        }
        let (cancelled, kept): (Vec<_>, Vec<_>) = self.take_all().into_iter().partition(wanted);
        kept.into_iter().for_each(|call| self.push(call));
        cancelled
    }

    /// Takes out all calls, unfinished.
    pub fn take_all(&mut self) -> Vec<InFlight> {
        self.open.take().map_or_else(Vec::new, |open| open.futures.into_iter().collect())
    }

    /// Whether there is memory to give back with [`Calls::tidy`].
    pub fn is_untidy(&self) -> bool {
        self.open.is_some() && self.is_empty()
    }

    /// Gives back the memory of calls that ended. Not done after each one, because another usually follows.
    pub fn tidy(&mut self) {
        if self.is_empty() {
            self.open = None;
        }
    }
}

// === impl InFlight ===

impl Future for InFlight {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        self.running.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::task::noop_waker_ref;
    use tokio::sync::oneshot;

    use super::*;
    use crate::wire::Status;

    fn answer(id: u32) -> Answer {
        Answer { protocol: Protocol(1000), id: CallId(id), result: Err(Status::default()), silent: false, effect: None }
    }

    fn call(id: u32) -> (InFlight, oneshot::Sender<()>) {
        let (done, wait) = oneshot::channel();
        let running = wait.map(move |_: Result<(), _>| answer(id)).boxed();
        (InFlight { protocol: Protocol(1000), id: CallId(id), topic: None, running }, done)
    }

    fn next(calls: &mut Calls) -> Poll<Option<u32>> {
        calls.poll_next(&mut Context::from_waker(noop_waker_ref())).map(|answer| answer.map(|answer| answer.id.0))
    }

    #[test]
    fn each_call_comes_out_once() {
        let mut calls = Calls::default();
        let done: Vec<_> = [1, 0, 0, 2].into_iter().map(|id| (id, call(id))).map(|(_, (call, done))| (calls.push(call), done).1).collect();
        assert_eq!((calls.len(), calls.has(CallId(1)), calls.has(CallId(0)), calls.has(CallId(3))), (4, true, false, false));
        assert_eq!(next(&mut calls), Poll::Pending);
        done.into_iter().for_each(|done| done.send(()).unwrap());
        let mut came: Vec<_> = (0..4).map(|_| next(&mut calls)).collect();
        came.sort();
        assert_eq!(came, [0, 0, 1, 2].map(|id| Poll::Ready(Some(id))));
        assert_eq!(next(&mut calls), Poll::Ready(None));
        assert!(calls.is_untidy());
        calls.tidy();
        assert!(calls.open.is_none());
    }

    #[test]
    fn a_cancelled_call_is_dropped_by_whoever_cancelled_it() {
        let mut calls = Calls::default();
        let (one, one_done) = call(1);
        let (two, two_done) = call(2);
        calls.push(one);
        calls.push(two);
        assert!(calls.cancel(CallId(3)).is_none());
        let cancelled = calls.cancel(CallId(1)).unwrap();
        assert!(!one_done.is_closed());
        drop(cancelled);
        assert!(one_done.is_closed());
        assert!(!calls.has(CallId(1)));
        two_done.send(()).unwrap();
        assert_eq!(next(&mut calls), Poll::Ready(Some(2)));
    }
}
