//! What connections of one worker are asked and have not answered yet.
//!
//! A connection looks in here whenever it is woken, which costs one load of an atomic while nobody asks. It answers with what it is like at
//! that moment, into a channel that has room for everybody who was asked. Promise: a question that nobody will answer is dropped, and with
//! it its end of the channel, so that whoever asks need not wait for it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use foldhash::fast::RandomState;
use smallvec::SmallVec;
use tokio::sync::mpsc;

use crate::id::ConnectionId;
use crate::session::connected::{Connected, Search};

/// One question, as everybody who is asked has it. Clones are the same.
#[derive(Clone)]
pub struct Question {
    pub search: Search,
    /// With room for all answers.
    answers: mpsc::Sender<Connected>,
    mark: Mark,
}

/// By which a question is known. It keeps no way to answer.
#[derive(Clone)]
pub struct Mark(Arc<()>);

/// The questions to the connections of one worker.
#[derive(Default)]
pub struct Questions {
    /// Whether there are any. Written under the lock, by whoever asks and whoever takes the last; read by every connection that is woken.
    some: AtomicBool,
    /// A few for each operator who asks at the moment, and no more than a batch for each of them.
    open: Mutex<HashMap<ConnectionId, SmallVec<[Question; 1]>, RandomState>>,
}

// === impl Question ===

impl Question {
    /// A question to so many, and where their answers come.
    pub fn to(count: usize, search: Search) -> (Question, mpsc::Receiver<Connected>) {
        let (answers, receiver) = mpsc::channel(count.max(1));
        (Question { search, answers, mark: Mark(Arc::default()) }, receiver)
    }

    pub fn mark(&self) -> Mark {
        self.mark.clone()
    }

    pub fn answer(&self, connected: Connected) {
        // Whoever asked may have gone.
        _ = self.answers.try_send(connected);
    }
}

// === impl Questions ===

impl Questions {
    /// Whether somebody is asked something.
    pub fn is_any(&self) -> bool {
        self.some.load(Ordering::Relaxed)
    }

    /// Puts a question to a connection, which is then to be woken.
    pub fn put(&self, id: ConnectionId, question: &Question) {
        let mut open = self.lock();
        open.entry(id).or_default().push(question.clone());
        self.some.store(true, Ordering::Relaxed);
    }

    /// What a connection is asked; it answers, or drops them.
    pub fn take(&self, id: ConnectionId) -> SmallVec<[Question; 1]> {
        if !self.is_any() {
            return SmallVec::new();
        }
        let mut open = self.lock();
        let taken = open.remove(&id).unwrap_or_default();
        self.tidy(&mut open);
        taken
    }

    /// Takes back a question. From how many who had not answered.
    pub fn withdraw(&self, Mark(mark): &Mark) -> usize {
        if !self.is_any() {
            return 0;
        }
        let (mut open, mut withdrawn) = (self.lock(), 0);
        open.retain(|_, questions| {
            let before = questions.len();
            questions.retain(|question| !Arc::ptr_eq(&question.mark.0, mark));
            withdrawn += before - questions.len();
            !questions.is_empty()
        });
        self.tidy(&mut open);
        withdrawn
    }

    /// Nothing is left behind of the last question.
    fn tidy(&self, open: &mut HashMap<ConnectionId, SmallVec<[Question; 1]>, RandomState>) {
        if open.is_empty() {
            *open = HashMap::default();
            self.some.store(false, Ordering::Relaxed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ConnectionId, SmallVec<[Question; 1]>, RandomState>> {
        self.open.lock().expect("nothing that holds the list panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_answer_is_not_waited_for_once_the_question_is_dropped() {
        let questions = Questions::default();
        assert!(!questions.is_any() && questions.take(ConnectionId(1)).is_empty());
        let (question, mut answers) = Question::to(2, Search::default());
        [1, 2].into_iter().for_each(|id| questions.put(ConnectionId(id), &question));
        drop(question);
        assert!(questions.take(ConnectionId(3)).is_empty(), "it is asked nothing");
        assert_eq!(questions.take(ConnectionId(1)).len(), 1);
        assert!(questions.is_any() && matches!(answers.try_recv(), Err(mpsc::error::TryRecvError::Empty)));
        drop(questions.take(ConnectionId(2)));
        assert!(!questions.is_any() && matches!(answers.try_recv(), Err(mpsc::error::TryRecvError::Disconnected)));
    }

    #[test]
    fn a_question_is_taken_back_and_others_stay() {
        let questions = Questions::default();
        let ((one, _one), (other, _other)) = (Question::to(9, Search::default()), Question::to(9, Search::default()));
        [1, 2].into_iter().for_each(|id| questions.put(ConnectionId(id), &one));
        questions.put(ConnectionId(2), &other);
        assert_eq!((questions.withdraw(&one.mark()), questions.withdraw(&one.mark())), (2, 0));
        assert_eq!(questions.take(ConnectionId(2)).len(), 1);
        assert!(!questions.is_any());
    }
}
