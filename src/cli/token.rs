//! `protogate token`: tokens of the development issuer, for trying things out, and API keys for programs.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::{Data, Exit, say};
use crate::config::value::{Name, Value as _};
use crate::pipeline::api_key;
use crate::pipeline::identity::is_user;

/// Make tokens for development, and API keys.
///
/// Example: protogate token issue --user alice
#[derive(Subcommand)]
pub enum Token {
    Issue(Issue),
    ApiKey(ApiKey),
}

/// Print a token that a development gateway believes.
///
/// Example: protogate token issue --user alice --roles player,moderator
#[derive(Args)]
pub struct Issue {
    #[command(flatten)]
    data: Data,

    /// Whose token: its subject.
    #[arg(long)]
    user: String,

    /// The roles it carries.
    #[arg(long, value_delimiter = ',')]
    roles: Vec<String>,

    /// How many minutes it is good for.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=60 * 24 * 30))]
    minutes: u64,
}

/// Make an API key for a program, and the line of gateway.yaml that believes it.
///
/// The key is shown this once; the gateway knows its hash alone.
///
/// Example: protogate token api-key --name ci --user service:ci --roles operator
#[derive(Args)]
pub struct ApiKey {
    /// The key's name: lower-case letters, digits and `_`.
    #[arg(long, value_parser = name)]
    name: String,

    /// Who its bearer is.
    #[arg(long, value_parser = user)]
    user: String,

    /// The roles of its bearer.
    #[arg(long, value_delimiter = ',', value_parser = name)]
    roles: Vec<String>,
}

fn name(text: &str) -> Result<String, String> {
    Name::parse(text).map(|_| text.to_owned()).map_err(|problem| problem.why)
}

fn user(text: &str) -> Result<String, String> {
    if is_user(text) { Ok(text.to_owned()) } else { Err("a user has at most 256 bytes and no control characters".to_owned()) }
}

// === impl Token ===

impl Token {
    pub fn run(self) -> Result<(), Exit> {
        match self {
            Token::Issue(issue) => issue.run(),
            Token::ApiKey(key) => {
                key.run();
                Ok(())
            }
        }
    }
}

// === impl Issue ===

impl Issue {
    fn run(self) -> Result<(), Exit> {
        let token = self.data.signer()?.issue_development(&self.user, &self.roles, Duration::from_secs(60 * self.minutes));
        say(&format!("{token}\n"));
        Ok(())
    }
}

// === impl ApiKey ===

impl ApiKey {
    fn run(self) {
        let key = api_key::generate(&self.name);
        let hash: String = api_key::hash(&key).iter().map(|byte| format!("{byte:02x}")).collect();
        let quoted = |text: &str| serde_json::to_string(text).expect("text is JSON, and JSON is YAML");
        let (user, roles) = (quoted(&self.user), self.roles.join(", "));
        say(&format!("{key}\n"));
        eprintln!("Keep this key, it is not shown again. Add to gateway.yaml:\nauth:\n  api_keys:");
        eprintln!("    - {{ name: {}, user: {user}, hash: \"sha256:{hash}\", roles: [{roles}] }}", self.name);
    }
}
