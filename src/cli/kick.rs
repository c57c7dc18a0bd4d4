//! `protogate kick`: end sessions, on every node, and leave their tokens good.

use clap::{ArgGroup, Args};
use serde_json::json;

use super::admin_client::{AdminClient, Door};
use super::{Exit, harmless, say};

/// End the sessions of a user, or one session, on every node that shares the store.
///
/// Their clients do not come back by themselves. The tokens stay good: `revoke` is for those that should not be believed any more.
///
/// Example: protogate kick --user alice
#[derive(Args)]
#[command(group(ArgGroup::new("what").required(true).args(["user", "session"])))]
pub struct Kick {
    /// All sessions of this user.
    #[arg(long, value_name = "USER")]
    user: Option<String>,

    /// One session, by its id.
    #[arg(long, value_name = "ID")]
    session: Option<String>,

    #[command(flatten)]
    door: Door,
}

// === impl Kick ===

impl Kick {
    pub fn run(self) -> Result<(), Exit> {
        let (document, of) = match (self.user, self.session) {
            (Some(user), _) => (json!({ "user": user }), user),
            (_, Some(session)) => (json!({ "session": session }), session),
            (None, None) => unreachable!("one of them is required"),
        };
        let answer = AdminClient::of(self.door)?.post("/api/v1/kick", &document)?;
        let Some(ended) = answer["sessions"].as_array() else { return Err(Exit::refused(&answer)) };
        let noun = if ended.len() == 1 { "session is" } else { "sessions are" };
        say(&format!("kicked {}: {} {noun} over\n", harmless(&of), ended.len()));
        Ok(())
    }
}
