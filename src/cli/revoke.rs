//! `protogate revoke`: end sessions, and no longer believe tokens, on every node.

use clap::{ArgGroup, Args};
use serde_json::json;

use super::admin_client::{AdminClient, Door};
use super::{Exit, harmless, say};

/// End what a user, a session or a token is good for, on every node that shares the store.
///
/// Example: protogate revoke --user alice
#[derive(Args)]
#[command(group(ArgGroup::new("what").required(true).args(["user", "session", "jti"])))]
pub struct Revoke {
    /// Every token this user was given until now, and the sessions made with them. They may log in again.
    #[arg(long, value_name = "USER")]
    user: Option<String>,

    /// One session, by its id. Its token may make another.
    #[arg(long, value_name = "ID")]
    session: Option<String>,

    /// One token, by its `jti`, and the sessions made with it.
    #[arg(long = "jti", value_name = "JTI")]
    jti: Option<String>,

    #[command(flatten)]
    door: Door,
}

// === impl Revoke ===

impl Revoke {
    pub fn run(self) -> Result<(), Exit> {
        let (document, done) = match (self.user, self.session, self.jti) {
            (Some(user), _, _) => (json!({ "user": user }), format!("no token that {user} had until now is believed any more")),
            (_, Some(session), _) => (json!({ "session": session }), format!("session {session} is over")),
            (_, _, Some(token)) => (json!({ "token": token }), format!("the token {token} is not believed any more")),
            (None, None, None) => unreachable!("one of them is required"),
        };
        let answer = AdminClient::of(self.door)?.post("/api/v1/revoke", &document)?;
        match answer.get("revoked") {
            Some(_) => say(&format!("revoked: {}\n", harmless(&done))),
            None => return Err(Exit::refused(&answer)),
        }
        Ok(())
    }
}
