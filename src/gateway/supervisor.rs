//! What systemd and its like are told, if one started this process and wants to know (`Type=notify`, `Type=notify-reload`).
//!
//! Without `NOTIFY_SOCKET` in the environment nothing is said to anybody; that nobody listens is no reason to fail.

use std::net::SocketAddr;

use sd_notify::NotifyState;
use tracing::debug;

/// Connections are accepted.
pub fn is_ready(edge: SocketAddr) {
    tell(&[NotifyState::Ready, NotifyState::Status(&format!("listening on {edge}"))]);
}

/// The files are being read again; [`is_ready`] follows.
pub fn is_reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => debug!(%error, "the supervisor cannot be told what time it is"),
    }
}

/// No more connections are taken, and so many are to end.
pub fn is_stopping(connections: u32) {
    tell(&[NotifyState::Stopping, NotifyState::Status(&format!("draining {connections} connections"))]);
}

fn tell(what: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(what) {
        debug!(%error, "the supervisor cannot be told");
    }
}
