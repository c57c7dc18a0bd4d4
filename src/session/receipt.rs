//! Whether a push that went to sessions of this node was written to their sockets.
//!
//! Promises: whoever waits for it waits no longer than [`PATIENCE`]; what is counted as written was.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until};

use super::line::Line;
use super::live::Session;
use super::outbox::{Fate, Mark};

/// How long a node waits for its sessions.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// The first pause between two looks. Each is twice as long as the one before, up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(1);

/// So that a thousand sessions cost thirty looks at most, and the answer is late by so much.
const PAUSE_MAX: Duration = Duration::from_millis(32);

/// For all that a connection was given before it was made out.
pub struct Receipt {
    line: Arc<dyn Line>,
    mark: Mark,
}

/// Whether a session keeps a push until its client has it.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(rename_all = "snake_case")]
pub enum Keeping {
    Kept,
    /// Who has no connection misses it, and who is slow may.
    Passing,
}

/// Of how many sessions something is so.
#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct Counts {
    /// They were given the push.
    pub sessions: u32,
    /// Of these, it was written to their sockets.
    pub written: u32,
}

/// How a push comes to a session.
pub trait Handed: Send + 'static {
    /// Whether the session has been given the push.
    fn is_handed(&self, session: &Session) -> bool;
}

/// A push, and the sessions of this node of which it is not known yet whether they had it written.
pub struct Pending<H> {
    keeping: Keeping,
    open: Vec<Open<H>>,
    counts: Counts,
}

struct Open<H> {
    session: Arc<Session>,
    way: H,
    /// Once it was handed.
    receipt: Option<Receipt>,
}

// === impl Receipt ===

impl Receipt {
    pub fn of(line: Arc<dyn Line>) -> Receipt {
        Receipt { mark: line.mark(), line }
    }

    pub fn fate(&self) -> Fate {
        self.line.fate(self.mark)
    }
}

// === impl Pending ===

impl<H: Handed> Pending<H> {
    /// A push that is on its way to these sessions. Those without a connection count if they keep it.
    pub fn new(keeping: Keeping, sessions: impl IntoIterator<Item = (Arc<Session>, H)>) -> Pending<H> {
        let (mut open, mut counts) = (Vec::new(), Counts::default());
        for (session, way) in sessions {
            let is_connected = session.is_connected();
            counts.sessions += u32::from(is_connected || keeping == Keeping::Kept);
            if is_connected {
                open.push(Open { session, way, receipt: None });
            }
        }
        let mut pending = Pending { keeping, open, counts };
        pending.look();
        pending
    }

    /// What is known by now.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Waits until it is known of all, or nobody waits that long.
    pub async fn wait(mut self) -> Counts {
        let until = Instant::now() + PATIENCE;
        let mut pause = PAUSE;
        while !self.open.is_empty() && Instant::now() < until {
            sleep_until(until.min(Instant::now() + pause)).await;
            pause = PAUSE_MAX.min(pause * 2);
            self.look();
        }
        self.counts
    }

    fn look(&mut self) {
        let Pending { keeping, open, counts } = self;
        open.retain_mut(|open| match open.fate() {
            Fate::Waiting => open.session.is_connected(),
            Fate::Doubtful if *keeping == Keeping::Passing => false,
            Fate::Written | Fate::Doubtful => {
                counts.written += 1;
                false
            }
        });
    }
}

// === impl Open ===

impl<H: Handed> Open<H> {
    fn fate(&mut self) -> Fate {
        if self.receipt.is_none() && self.way.is_handed(&self.session) {
            self.receipt = self.session.line().map(Receipt::of);
        }
        self.receipt.as_ref().map_or(Fate::Waiting, Receipt::fate)
    }
}

// === impl Counts ===

impl Counts {
    pub fn add(&mut self, more: Counts) {
        self.sessions = self.sessions.saturating_add(more.sessions);
        self.written = self.written.saturating_add(more.written);
    }
}
