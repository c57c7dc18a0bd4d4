//! Asking connections what they are like.
//!
//! An operator's question is put to connections in the order in which they came, a batch at a time; each is woken and answers from its own
//! state. Promises: of a page nobody is woken but who may be on it; a search wakes a batch at a time, and a bounded number of them; nobody
//! waits longer than [`PATIENCE`] for a batch, and who did not answer by then is counted.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, timeout_at};

use super::conversation::Conversation;
use super::pulse::{Found, Tick};
use super::questions::{Mark, Question};
use super::worker::Worker;
use crate::id::ConnectionId;
use crate::session::connected::{Connected, Connections, Page, Search};
use crate::wire::Close;

/// How long a batch may take to answer. Waking and answering takes microseconds each; this is a worker that is stuck.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many are asked together. Each costs its worker a few microseconds, and a batch must not be felt by anybody.
const BATCH: usize = 128;

/// How many are asked at most for one page: a search that finds few goes on with the next page.
const ASKED_MAX: usize = 128 * BATCH;

/// Batches may take so long together, however many they are.
const PAGE_PATIENCE: Duration = Duration::from_secs(5);

/// Whoever asks the connections of all workers.
pub struct Inquirer {
    workers: Vec<Arc<Worker>>,
}

/// A question that is out. Whoever has not answered when it is dropped is not asked any more.
struct Asking<'a> {
    workers: &'a [Arc<Worker>],
    mark: Mark,
}

// === impl Inquirer ===

impl Inquirer {
    pub fn new(workers: Vec<Arc<Worker>>) -> Inquirer {
        Inquirer { workers }
    }

    async fn page(&self, search: Search, after: ConnectionId, count_max: usize) -> Page {
        let mut page = Page { next: Some(after), ..Page::default() };
        let (until, mut asked) = (Instant::now() + PAGE_PATIENCE, 0);
        while let Some(after) = page.next {
            let room = count_max - page.connections.len();
            if room == 0 || asked >= ASKED_MAX || Instant::now() >= until {
                break;
            }
            let batch_max = if search.is_for_all() { BATCH.min(room) } else { BATCH };
            // One more tells whether there are more.
            let mut batch = self.behind(after, batch_max + 1);
            let is_all = batch.len() <= batch_max;
            batch.truncate(batch_max);
            asked += batch.len();
            page.next = batch.last().filter(|_| !is_all).map(|(_, found)| found.id);
            let mut found = self.ask(&batch, search.clone(), &mut page.unanswered).await;
            if found.len() > room {
                found.truncate(room);
                page.next = found.last().map(|connected| connected.id);
            }
            page.connections.append(&mut found);
        }
        page
    }

    /// The first of all workers' connections behind this one, each with the index of its worker.
    fn behind(&self, after: ConnectionId, count_max: usize) -> Vec<(usize, Found)> {
        let of_worker = |(index, worker): (usize, &Arc<Worker>)| {
            worker.pulse.behind(after, count_max).into_iter().map(move |found| (index, found)).collect::<Vec<_>>()
        };
        let mut all: Vec<(usize, Found)> = self.workers.iter().enumerate().flat_map(of_worker).collect();
        all.sort_unstable_by_key(|(_, found)| found.id);
        all.truncate(count_max);
        all
    }

    /// Asks these. Who answered, in the order of their numbers; who did not is counted.
    async fn ask(&self, batch: &[(usize, Found)], search: Search, unanswered: &mut usize) -> Vec<Connected> {
        let (question, mut answers) = Question::to(batch.len(), search);
        let asking = Asking { workers: &self.workers, mark: question.mark() };
        for (index, worker) in self.workers.iter().enumerate() {
            let theirs: Vec<Found> = batch.iter().filter(|(of, _)| *of == index).map(|(_, found)| *found).collect();
            // All of a worker with one crossing.
            worker.pulse.ask(&theirs, &question).into_iter().for_each(|waker| worker.bell.ring(waker));
        }
        // Only they still have a way to answer.
        drop(question);
        let until = Instant::now() + PATIENCE;
        let mut found = Vec::new();
        loop {
            // Receiving is cancel-safe.
            match timeout_at(until, answers.recv()).await {
                Ok(Some(connected)) => found.push(connected),
                Ok(None) => break,
                Err(_) => {
                    *unanswered += asking.withdraw();
                    break;
                }
            }
        }
        found.sort_unstable_by_key(|connected| connected.id);
        found
    }
}

impl Connections for Inquirer {
    fn list(&self, search: Search, after: ConnectionId, count_max: usize) -> BoxFuture<'_, Page> {
        self.page(search, after, count_max).boxed()
    }

    fn one(&self, id: ConnectionId) -> BoxFuture<'_, Option<Connected>> {
        async move {
            let batch: Vec<(usize, Found)> =
                self.workers.iter().enumerate().filter_map(|(index, worker)| Some((index, worker.pulse.find(id)?))).collect();
            self.ask(&batch, Search::default(), &mut 0).await.pop()
        }
        .boxed()
    }

    fn close(&self, id: ConnectionId) -> bool {
        self.workers.iter().any(|worker| worker.pulse.close(id, Close::Rebalance))
    }
}

// === impl Asking ===

impl Asking<'_> {
    /// How many had not answered.
    fn withdraw(&self) -> usize {
        self.workers.iter().map(|worker| worker.pulse.questions().withdraw(&self.mark)).sum()
    }
}

impl Drop for Asking<'_> {
    /// Whoever asks may give up at any time.
    fn drop(&mut self) {
        self.withdraw();
    }
}

// === impl Conversation ===

impl Conversation {
    /// Answers questions with what the connection is like. `since` it has been there, and `heard` was when something last came.
    pub fn answer_questions(&self, questions: &[Question], now: Tick, since: Tick, heard: Tick) {
        let (identity, held) = (self.caller.identity(), self.caller.held());
        let user = identity.map(|identity| &*identity.user);
        for question in questions {
            if !question.search.finds(user, held.as_ref().map(|held| &*held.session.id), self.caller.peer) {
                continue;
            }
            question.answer(Connected {
                id: self.caller.connection,
                worker: self.caller.worker,
                peer: self.caller.peer,
                codec: self.speaker.codec,
                identity: identity.cloned(),
                session: held.as_ref().map(|held| (Arc::clone(&held.session.id), held.generation)),
                age: now.since(since),
                idle: now.since(heard),
                outbox_bytes: self.speaker.outbox.len(),
                calls: self.calls.all().collect(),
                streams: self.streams.known().iter().map(|known| (known.inlet.protocol(), known.id)).collect(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Outbox;
    use crate::table::{Table, live};

    #[tokio::test(start_paused = true)]
    async fn who_does_not_answer_is_counted_and_not_waited_for_any_longer() {
        let (_writer, tables) = live(Arc::new(Table::empty()));
        let workers = [(); 2].map(|()| Arc::new(Worker::by_hand(tables.clone())));
        // Nobody polls who has these.
        let _places: Vec<_> = (1..=2)
            .zip(&workers)
            .map(|(id, worker)| worker.pulse.enter(ConnectionId(id), Outbox::new(Arc::clone(&worker.shared.outboxes))))
            .collect();
        let inquirer = Inquirer::new(workers.to_vec());
        let list = || inquirer.list(Search::default(), ConnectionId(0), 10);
        let is_asked = || workers.iter().any(|worker| worker.pulse.questions().is_any());

        let began = Instant::now();
        let page = list().await;
        assert_eq!((page.connections.len(), page.unanswered, page.next), (0, 2, None));
        assert!(began.elapsed() <= PATIENCE + Duration::from_millis(1) && !is_asked());
        assert!(inquirer.one(ConnectionId(1)).await.is_none() && inquirer.one(ConnectionId(3)).await.is_none());

        // Who asked gives up.
        assert!(tokio::time::timeout(PATIENCE / 2, list()).await.is_err());
        assert!(!is_asked());
    }
}
