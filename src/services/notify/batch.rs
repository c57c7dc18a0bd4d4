//! A batch: what is told, whom, and how far it got. As it stands in the store.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::v1::{self, BatchState};
use super::words::Words;

/// Recipients in one document: a multiple of every [`Stage::slice`], so that no slice lies in two.
pub const CHUNK: usize = 100;

/// Errors that are kept: the last of them.
pub const ERRORS_MAX: usize = 10;

/// What everybody is told.
#[derive(Clone, Serialize, Deserialize)]
pub struct Message {
    /// Numbers of the contract.
    pub kind: i32,
    pub importance: i32,
    pub data: BTreeMap<String, String>,
    /// In every language that somebody wants.
    pub words: Vec<Words>,
}

/// Whom.
#[derive(Clone, Serialize, Deserialize)]
pub struct Recipient {
    pub user: String,
    /// Where mail goes, if not where the account says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Which of the words.
    #[serde(default)]
    pub words: usize,
}

/// How far it is.
#[derive(Clone, Serialize, Deserialize)]
pub struct Head {
    pub id: String,
    /// A number of the contract.
    pub state: i32,
    pub total: u32,
    pub ways: Ways,
    /// How many have it in their histories, of a batch that goes there.
    pub delivered: u32,
    /// What became of those with whom the last stage is done.
    pub counts: Counts,
    pub errors: Vec<Problem>,
    pub created_ms: u64,
    pub expires_ms: u64,
    pub ended_ms: u64,
    /// Whose hands a slice is in, and until when.
    pub lease: Option<(String, u64)>,
    /// When it was last somebody's turn to work on it.
    pub worked_ms: u64,
}

/// How they are told. At least one of these.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ways {
    pub in_app: bool,
    pub mail: bool,
}

/// What a batch is at. Mail is slow, so nobody's history waits for it: all of them come first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    Histories,
    Mails,
}

/// What became of recipients.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Counts {
    pub sent: u32,
    pub failed: u32,
    pub skipped: u32,
}

/// Why somebody was not told.
#[derive(Clone, Serialize, Deserialize)]
pub struct Problem {
    /// Empty if it concerns several.
    pub user: String,
    pub channel: i32,
    pub message: String,
}

// === impl Stage ===

impl Stage {
    /// How many recipients one slice has. Their mails are sent at once, so that a slice takes as long as the slowest.
    pub fn slice(self) -> usize {
        match self {
            Stage::Histories => 100,
            Stage::Mails => 4,
        }
    }

    /// How long a slice is somebody's: longer than it can take. A mail may take half a minute, three times, and the pauses between.
    pub fn lease(self) -> Duration {
        match self {
            Stage::Histories => Duration::from_secs(60),
            Stage::Mails => Duration::from_secs(180),
        }
    }
}

// === impl Counts ===

impl Counts {
    pub fn all(self) -> u32 {
        self.sent + self.failed + self.skipped
    }
}

// === impl Head ===

impl Head {
    pub fn shown(&self) -> v1::Batch {
        let millis = |millis: u64| i64::try_from(millis).unwrap_or(i64::MAX);
        let error = |Problem { user, channel, message }: &Problem| v1::BatchError {
            user_id: user.clone(),
            channel: *channel,
            message: message.clone(),
        };
        v1::Batch {
            batch_id: self.id.clone(),
            state: self.state,
            total: self.total,
            sent: self.counts.sent,
            failed: self.counts.failed,
            skipped: self.counts.skipped,
            errors: self.errors.iter().map(error).collect(),
            created_ms: millis(self.created_ms),
            ended_ms: millis(self.ended_ms),
        }
    }

    pub fn stage(&self) -> Stage {
        if self.ways.in_app && self.delivered < self.total { Stage::Histories } else { Stage::Mails }
    }

    /// With how many recipients its stage is done.
    pub fn reached(&self) -> u32 {
        match self.stage() {
            Stage::Histories => self.delivered,
            Stage::Mails => self.counts.all(),
        }
    }

    /// Counts a slice of its stage. What histories came to counts where there is no other way.
    pub fn count(&mut self, recipients: u32, counts: Counts) {
        let stage = self.stage();
        if stage == Stage::Histories {
            self.delivered += recipients;
        }
        if stage == Stage::Mails || !self.ways.mail {
            self.counts.sent += counts.sent;
            self.counts.failed += counts.failed;
            self.counts.skipped += counts.skipped;
        }
    }

    pub fn is_open(&self) -> bool {
        self.state == i32::from(BatchState::Open)
    }

    pub fn is_free(&self, now_ms: u64) -> bool {
        self.is_open() && self.lease.as_ref().is_none_or(|(_, until_ms)| *until_ms <= now_ms)
    }

    pub fn is_of(&self, lease: &str) -> bool {
        self.lease.as_ref().is_some_and(|(token, _)| token == lease)
    }

    pub fn end(&mut self, state: BatchState, now_ms: u64) {
        self.state = state.into();
        self.ended_ms = now_ms;
    }

    /// Which documents hold its recipients.
    pub fn chunks(&self) -> Range<usize> {
        0..(self.total as usize).div_ceil(CHUNK)
    }
}
