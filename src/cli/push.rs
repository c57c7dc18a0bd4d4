//! `protogate push`: send a user a message that nobody asked for.

use clap::Args;
use serde_json::json;
use serde_json::value::RawValue;

use super::admin_client::{AdminClient, Door};
use super::{Exit, USAGE, say};

/// Send a message to the sessions of a user, on whichever nodes they are. Its number must be declared under `pushes:`.
///
/// Example: protogate push --user alice 2101 '{"text":"hello"}'
#[derive(Args)]
pub struct Push {
    /// The protocol number.
    protocol: u32,

    /// The message, as JSON.
    #[arg(default_value = "{}")]
    payload: String,

    /// Whose sessions.
    #[arg(long, value_name = "USER")]
    user: String,

    /// This one of them alone.
    #[arg(long, value_name = "ID")]
    session: Option<String>,

    #[command(flatten)]
    door: Door,
}

// === impl Push ===

impl Push {
    pub fn run(self) -> Result<(), Exit> {
        // As it was written: a number in it may have more digits than fit into a double.
        let payload = serde_json::from_str::<&RawValue>(&self.payload)
            .map_err(|error| Exit::new(USAGE, format!("error: the message is not JSON: {error}")))?;
        let mut document = format!(r#"{{"user":{},"protocol":{},"payload":{payload}"#, json!(self.user), self.protocol);
        if let Some(session) = self.session {
            document += &format!(r#","session":{}"#, json!(session));
        }
        document.push('}');
        let answer = AdminClient::of(self.door)?.post_text("/api/v1/push", document)?;
        match answer["reached"].as_u64() {
            Some(1) => say("1 session reached\n"),
            Some(reached) => say(&format!("{reached} sessions reached\n")),
            None => return Err(Exit::refused(&answer)),
        }
        Ok(())
    }
}
