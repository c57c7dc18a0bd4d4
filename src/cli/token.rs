//! `protogate token issue`: a token of the development issuer, for trying things out.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::{Data, Exit};

/// Tokens for development.
///
/// Example: protogate token issue --user alice
#[derive(Subcommand)]
pub enum Token {
    Issue(Issue),
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

// === impl Token ===

impl Token {
    pub fn run(self) -> Result<(), Exit> {
        let Token::Issue(issue) = self;
        let token = issue.data.signer()?.issue_development(&issue.user, &issue.roles, Duration::from_secs(60 * issue.minutes));
        println!("{token}");
        Ok(())
    }
}
