//! What a connection is given: first a promise, then the session itself.
//!
//! Promises: a [`Grant`] that nobody takes is taken back; a session has a connection exactly as long as its [`Attachment`] lives.

use std::sync::Arc;

use super::identity::Identity;
use super::line::Line;
use super::live::{Replay, Session};
use super::sessions::Sessions;
use crate::wire::Close;

/// A session that was promised to a connection.
pub struct Grant {
    sessions: Sessions,
    session: Arc<Session>,
    identity: Arc<Identity>,
    generation: u64,
    granted: Granted,
    taken: bool,
}

/// How it came to be.
pub enum Granted {
    /// `instead` of one that could not be resumed.
    New {
        resume_token: String,
        instead: bool,
    },
    Resumed {
        resume_token: String,
        last_seq: u32,
    },
}

/// What came of asking for a session.
pub enum Admitted {
    /// A session, new or resumed.
    Granted(Grant),
    /// The same session with a later identity.
    Refreshed(Arc<Identity>),
}

/// Which session a connection is in, for whoever acts for it. Keeps nothing alive but memory.
#[derive(Clone)]
pub struct Held {
    pub session: Arc<Session>,
    pub generation: u64,
}

/// A session that its own connection is about to leave. While this lives, what others are told of its end does not end the connection,
/// whose client shall hear the answer to its farewell.
pub struct Leaving {
    sessions: Sessions,
    held: Held,
    left: bool,
}

/// A connection's hold on its session.
pub struct Attachment {
    sessions: Sessions,
    session: Arc<Session>,
    generation: u64,
}

// === impl Grant ===

impl Grant {
    pub(super) fn new(sessions: Sessions, session: Arc<Session>, identity: Arc<Identity>, granted: Granted) -> Grant {
        Grant { sessions, session, identity, generation: 0, granted, taken: false }
    }

    /// The store agreed, and gave it this generation.
    pub(super) fn promise(&mut self, generation: u64) {
        self.generation = generation;
        self.session.promise(generation);
    }

    pub fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    pub fn session_id(&self) -> &Arc<str> {
        &self.session.id
    }

    pub fn resume_token(&self) -> &str {
        match &self.granted {
            Granted::New { resume_token, .. } | Granted::Resumed { resume_token, .. } => resume_token,
        }
    }

    /// Gives the session to the connection behind `line`. `greet` says the first words, before any push can; if it fails, or the session
    /// ended meanwhile, the promise is taken back.
    pub fn take<E: From<Close>>(
        mut self,
        line: Arc<dyn Line>,
        greet: impl FnOnce(&Grant, Replay<'_>) -> Result<(), E>,
    ) -> Result<Attachment, E> {
        let last_seq = match self.granted {
            Granted::New { .. } => None,
            Granted::Resumed { last_seq, .. } => Some(last_seq),
        };
        let lost = matches!(self.granted, Granted::New { instead: true, .. });
        let identity = Arc::clone(&self.identity);
        let greet = |replay: Replay<'_>| greet(&self, Replay { recovered: replay.recovered && !lost, ..replay });
        self.session.attach(self.generation, line, identity, last_seq, greet)?;
        self.taken = true;
        Ok(Attachment { sessions: self.sessions.clone(), session: Arc::clone(&self.session), generation: self.generation })
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        if self.taken {
            return;
        }
        match self.granted {
            Granted::New { .. } => {
                self.session.end(self.generation, Close::GoingAway);
                self.sessions.0.registry.remove(&self.session);
                // Also where the store did not answer: it may have agreed.
                self.sessions.soil(&self.session);
            }
            // Its client may come back once more.
            Granted::Resumed { .. } => detach(&self.sessions, &self.session, self.generation),
        }
    }
}

// === impl Leaving ===

impl Leaving {
    pub(super) fn new(sessions: Sessions, held: Held) -> Leaving {
        held.session.begin_leaving();
        Leaving { sessions, held, left: false }
    }

    pub(super) fn held(&self) -> &Held {
        &self.held
    }

    /// The store agreed: the session is over.
    pub(super) fn leave(mut self) -> Held {
        self.left = true;
        self.held.session.leave();
        self.sessions.0.registry.remove(&self.held.session);
        self.held.clone()
    }
}

impl Drop for Leaving {
    /// The farewell did not succeed. If the session was ended meanwhile, it hears so now, or the store knows.
    fn drop(&mut self) {
        if !self.left {
            if self.held.session.stay() {
                self.sessions.0.registry.remove(&self.held.session);
            }
            self.sessions.soil(&self.held.session);
        }
    }
}

// === impl Attachment ===

impl Attachment {
    /// A hold on a session that no node has, for tests of the rooms above.
    #[cfg(test)]
    pub fn for_tests(id: &str, identity: &Arc<Identity>) -> Attachment {
        let session = Session::new(id, Arc::clone(identity), String::new(), None);
        Attachment { sessions: Sessions::for_tests(), session, generation: 1 }
    }

    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    pub fn held(&self) -> Held {
        Held { session: Arc::clone(&self.session), generation: self.generation }
    }

    /// Whether the session is still this connection's, and not over.
    pub fn is_current(&self) -> bool {
        self.session.is_of(self.generation)
    }

    /// The connection gives its session up for good: it speaks for somebody else from now on.
    pub fn abandon(self) {
        self.session.leave();
        self.sessions.0.registry.remove(&self.session);
        self.sessions.soil(&self.session);
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        detach(&self.sessions, &self.session, self.generation);
    }
}

fn detach(sessions: &Sessions, session: &Arc<Session>, generation: u64) {
    if session.detach(generation, sessions.until_given_up()) {
        sessions.soil(session);
    }
}
