//! The line of the log that every change by an operator leaves, whatever became of it.
//!
//! Promise: a change that is asked for leaves one line, of target `protogate::audit`: also when it was refused, and when whoever asked for
//! it did not wait for the answer.

use std::net::SocketAddr;
use std::sync::OnceLock;

use http::StatusCode;
use tracing::info;

use crate::telemetry::mask::cut;

/// The most that is said about what is changed.
const WHAT_BYTES_MAX: usize = 256;

/// One change while it is made.
pub struct Audit {
    /// Nothing: it changes nothing, or has ended.
    action: Option<&'static str>,
    peer: SocketAddr,
    what: OnceLock<String>,
}

// === impl Audit ===

impl Audit {
    /// `action` is the path that is asked for, if that changes something; `peer` is who asks.
    pub fn begin(action: Option<&'static str>, peer: SocketAddr) -> Audit {
        Audit { action, peer, what: OnceLock::new() }
    }

    /// What is changed, once that is known: `user alice`. Never a secret, and never a payload.
    pub fn what(&self, what: impl Into<String>) {
        // It is known once.
        let _ = self.what.set(cut(&what.into(), WHAT_BYTES_MAX).into_owned());
    }

    pub fn end(mut self, status: StatusCode) {
        let outcome = if status.is_success() { "done" } else { "refused" };
        self.leave(outcome, Some(status.as_u16()));
    }

    fn leave(&mut self, outcome: &'static str, status: Option<u16>) {
        let Some(action) = self.action.take() else { return };
        let (what, peer) = (self.what.get().map(String::as_str), self.peer);
        info!(target: "protogate::audit", action, what, outcome, status, %peer, "asked for by the operator");
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        // Whoever asked is gone; what was begun may come to its end all the same.
        self.leave("unknown", None);
    }
}
