//! A lost connection is replaced by another one, on which the session is resumed.
//!
//! Promises: only where the close code, the gateway's last words and the session allow it; at most [`TRIES`] times in a row, about a minute
//! altogether, after pauses that grow and are nobody else's.

use std::time::Duration;

use tokio::time::sleep;

use super::client::{Client, Lost};
use super::follow::{Follow, show};
use super::{Exit, lines};
use crate::jitter;
use crate::wire::number;

/// How often a connection is tried again, until one is good.
const TRIES: u32 = 8;

/// The first pause, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

// === impl Follow ===

impl Follow {
    /// Another connection for the same session, or why there is none.
    pub(super) async fn come_back(&mut self, lost: Lost) -> Result<Client, Exit> {
        let goodbye = self.goodbye.take();
        let resumable = goodbye.as_ref().is_none_or(|goodbye| goodbye.can_resume);
        let mut at_least = goodbye.map_or(Duration::ZERO, |goodbye| Duration::from_millis(goodbye.retry_after_ms.into()));
        let mut why = lost.why();
        while lost.reconnects() && resumable && self.tries < TRIES {
            let Some((resume, url)) = self.standing.resume(self.way.token().filter(|_| self.is_by_token())) else { break };
            // What the gateway named may be gone with it.
            let named = url.filter(|url| self.tries.is_multiple_of(2) && is_as_safe(url, &self.way.url));
            let url = named.unwrap_or(&self.way.url).to_owned();
            let pause = if self.tries == 0 && matches!(lost, Lost::Moved) { Duration::ZERO } else { pause(self.tries) };
            let pause = pause.max(at_least.min(PAUSES.1));
            (self.tries, at_least) = (self.tries + 1, Duration::ZERO);
            show(&lines::notice(&format!("connection lost: {why}; trying again in {} ms", pause.as_millis())))?;
            sleep(pause).await;
            match Client::connect(&url, self.way.codec, None, self.way.patience).await {
                Err(exit) => why = exit.message,
                Ok(mut client) => match self.ask(&mut client, number::RESUME, &self.dictionary.write("Resume", &resume)).await {
                    Ok(()) => return Ok(client),
                    Err(_) => self.waiting.clear(),
                },
            }
        }
        Err(lost.into())
    }
}

/// What resumes a session is never sent in clear text where the person asked for TLS.
fn is_as_safe(named: &str, own: &str) -> bool {
    !own.starts_with("wss:") || named.starts_with("wss:")
}

/// Twice as long each time, and for nobody the same.
fn pause(tries: u32) -> Duration {
    let longest = PAUSES.0.saturating_mul(2u32.saturating_pow(tries)).min(PAUSES.1);
    jitter::between(longest / 2, longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_tls_was_asked_for_nobody_is_sent_to_clear_text() {
        assert!(is_as_safe("ws://b/ws", "ws://a/ws") && is_as_safe("wss://b/ws", "wss://a/ws") && is_as_safe("wss://b/ws", "ws://a/ws"));
        assert!(!is_as_safe("ws://b/ws", "wss://a/ws"));
    }

    #[test]
    fn pauses_grow_are_not_all_the_same_and_have_an_end() {
        for tries in 0..40 {
            let longest = PAUSES.0.saturating_mul(2u32.saturating_pow(tries)).min(PAUSES.1);
            let drawn: Vec<Duration> = (0..20).map(|_| pause(tries)).collect();
            assert!(drawn.iter().all(|one| (longest / 2..=longest).contains(one)), "{drawn:?}");
            assert!(drawn.iter().any(|one| *one != drawn[0]));
        }
    }
}
