//! Asking all nodes that a push went to whether their sessions had it written.
//!
//! Whoever asks lays its question behind the push, in the same channel; each node answers into the mailbox of whoever asked. Promises: who
//! listens for questions does not wait for sessions; who asks gets an answer within [`ANSWERS_PATIENCE`], of those nodes that gave one;
//! what is waited for is bounded on both sides, and forgotten when nobody waits any more.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::letter::{Letter, mailbox};
use super::push::{Place, Reached};
use super::receipt::{Counts, Handed, Keeping, Pending};
use super::sessions::Sessions;
use crate::failure::{Failure, Reason, Result};

/// How long the answers of nodes are waited for: longer than they wait for their sessions, by the way there and back.
pub const ANSWERS_PATIENCE: Duration = Duration::from_millis(1200);

/// Questions that one node may have open.
const ASKED_MAX: usize = 1024;

/// Questions of other nodes and its own for which a node waits at once; others are answered with what is known.
const WAITING_MAX: usize = 1024;

/// What is asked, and by whom.
#[derive(Clone, Serialize, Deserialize)]
pub struct Question {
    pub id: u64,
    pub by: String,
}

/// A question that is open. It is forgotten when this is dropped.
pub struct Asking {
    sessions: Sessions,
    id: u64,
    tally: watch::Receiver<Tally>,
}

/// The questions of this node, and for whom it waits.
pub(super) struct Questions {
    next: AtomicU64,
    open: Mutex<HashMap<u64, watch::Sender<Tally>>>,
    waiting: Arc<Semaphore>,
}

/// The answers so far.
#[derive(Default)]
struct Tally {
    answers: u64,
    counts: Counts,
}

// === impl Questions ===

impl Questions {
    pub fn new() -> Questions {
        Questions { next: AtomicU64::new(1), open: Mutex::default(), waiting: Arc::new(Semaphore::new(WAITING_MAX)) }
    }

    /// One more node has answered. If nobody waits any more, that is nothing to anybody.
    pub fn answered(&self, id: u64, counts: Counts) {
        if let Some(tally) = self.open().get(&id) {
            tally.send_modify(|tally| {
                tally.answers += 1;
                tally.counts.add(counts);
            });
        }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, watch::Sender<Tally>>> {
        self.open.lock().expect("nothing that holds the list panics")
    }
}

// === impl Sessions ===

impl Sessions {
    /// Opens a question. To be done before the push, so that one which cannot be asked about is not sent either.
    pub fn begin_asking(&self) -> Result<Asking> {
        let mut open = self.0.questions.open();
        if open.len() >= ASKED_MAX {
            let what = format!("{ASKED_MAX} pushes wait until they are written, which is as many as may; push without waiting, or later");
            return Err(Failure::gateway(Reason::Overloaded, what));
        }
        let id = self.0.questions.next.fetch_add(1, Relaxed);
        let (tell, tally) = watch::channel(Tally::default());
        open.insert(id, tell);
        Ok(Asking { sessions: self.clone(), id, tally })
    }

    /// Answers a question about a push, once its sessions have it written. Nobody waits for that here.
    pub async fn answer(&self, question: Question, pending: Pending<impl Handed>) {
        match Arc::clone(&self.0.questions.waiting).try_acquire_owned() {
            Ok(room) => {
                let sessions = self.clone();
                self.runtime().spawn(async move {
                    let counts = pending.wait().await;
                    sessions.send_answer(question, counts).await;
                    drop(room);
                });
            }
            Err(_) => self.send_answer(question, pending.counts()).await,
        }
    }

    async fn send_answer(&self, Question { id, by }: Question, counts: Counts) {
        if by == self.node() {
            return self.0.questions.answered(id, counts);
        }
        // If it does not arrive, whoever asked goes on without.
        let _ = self.0.store.publish(&mailbox(&by), Letter::Answer { id, counts }.write().into()).await;
    }

    /// Another node asks about sessions of this one.
    pub(super) async fn asked(&self, question: Question, keeping: Keeping, sessions: Vec<(String, Place)>) {
        let here = sessions.into_iter().filter_map(|(id, place)| Some((self.get(&id)?, place)));
        self.answer(question, Pending::new(keeping, here)).await;
    }
}

// === impl Asking ===

impl Asking {
    /// What other nodes have to be asked.
    pub fn question(&self) -> Question {
        Question { id: self.id, by: self.sessions.node().to_owned() }
    }

    /// Asks whether a push was written to those that it reached, wherever they are.
    pub async fn about(self, reached: Reached, keeping: Keeping) -> Counts {
        let here = Pending::new(keeping, reached.here);
        let elsewhere = async {
            let asked = reached.elsewhere.into_iter().map(|(node, sessions)| {
                let letter = Letter::Asked { question: self.question(), keeping, sessions };
                let (sessions, letter) = (&self.sessions, letter.write());
                async move { sessions.0.store.publish(&mailbox(&node), letter.into()).await.is_ok_and(|heard| heard > 0) }
            });
            join_all(asked).await.into_iter().filter(|is_asked| *is_asked).count()
        };
        let elsewhere = async {
            let asked = elsewhere.await;
            self.answers(asked as u64).await
        };
        let (mut counts, more) = tokio::join!(here.wait(), elsewhere);
        counts.add(more);
        counts
    }

    /// Waits until so many nodes have answered, or any longer would be too long. What they have said.
    pub async fn answers(&self, expected: u64) -> Counts {
        let mut tally = self.tally.clone();
        // The other end is in a list from which only dropping this takes it.
        let _ = timeout(ANSWERS_PATIENCE, tally.wait_for(|tally| tally.answers >= expected)).await;
        self.tally.borrow().counts
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.sessions.0.questions.open().remove(&self.id);
    }
}
