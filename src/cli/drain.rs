//! `protogate drain`: have every client of the running gateway move, and wait until it has ended.

use std::io::{self, Write as _};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::admin_client::{AdminClient, Door};
use super::{Exit, UNREACHABLE, wait};
use crate::gateway::draining::TIME_MAX;

/// How often it is looked.
const EVERY: Duration = Duration::from_millis(500);

/// How long one answer may take. A gateway that has ended and whose socket somebody keeps answers nothing.
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);

/// Have every client of the running gateway move, then end it, as SIGTERM does; waits until it has ended.
///
/// Example: protogate drain --config routes
#[derive(Args)]
pub struct Drain {
    #[command(flatten)]
    door: Door,
}

// === impl Drain ===

impl Drain {
    pub fn run(self) -> Result<(), Exit> {
        let client = AdminClient::of(self.door)?;
        let asked = client.post("/api/v1/drain", &json!({}))?;
        if asked["draining"] != true {
            return Err(Exit::refused(&asked));
        }
        let (began, mut told) = (Instant::now(), None);
        let mut state = Some(asked);
        while let Some(left) = state.as_ref().and_then(connections) {
            if told.replace(left) != Some(left) {
                // Whoever does not read it does not wait for it either.
                _ = writeln!(io::stdout(), "draining: {left} connection{}", if left == 1 { "" } else { "s" });
            }
            if began.elapsed() > TIME_MAX + ANSWER_PATIENCE {
                return Err(Exit::new(UNREACHABLE, format!("error: the gateway has not ended in {} s", TIME_MAX.as_secs())));
            }
            wait(EVERY);
            // No answer is an end; one of a process that does not drain is its successor's.
            state = client.get_within("/api/v1/drain", ANSWER_PATIENCE).ok().filter(|state| state["draining"] == true);
        }
        _ = writeln!(io::stdout(), "ended after {:.1} s", began.elapsed().as_secs_f32());
        Ok(())
    }
}

fn connections(state: &Value) -> Option<u64> {
    state["connections"].as_u64()
}
