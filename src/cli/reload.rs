//! `protogate reload`: ask the running gateway to read its files again.

use clap::Args;
use serde_json::{Value, json};

use super::admin_client::{AdminClient, Door};
use super::{Exit, harmless, say};

/// Make the running gateway read its files again, and say what came of it.
///
/// Example: protogate reload --config routes
#[derive(Args)]
pub struct Reload {
    /// Take over what breaks clients, whatever `reload.allow_breaking` says.
    #[arg(long)]
    allow_breaking: bool,

    #[command(flatten)]
    door: Door,
}

// === impl Reload ===

impl Reload {
    pub fn run(self) -> Result<(), Exit> {
        let answer = AdminClient::of(self.door)?.post("/api/v1/reload", &json!({ "allow_breaking": self.allow_breaking }))?;
        let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
        match text("outcome").as_str() {
            "swapped" => say(&format!("reloaded: generation {}, {}, {} ms\n", answer["generation"], routes(&answer), answer["took_ms"])),
            "unchanged" => say(&format!("unchanged: generation {}, {}\n", answer["generation"], routes(&answer))),
            "refused" => return Err(Exit::new(1, refusal(&answer["check"]) + "error: not reloaded, the old table stays")),
            _ => return Err(Exit::new(1, format!("error: the gateway answered: {answer}"))),
        }
        Ok(())
    }
}

fn routes(answer: &Value) -> String {
    let routes = &answer["check"]["summary"]["routes"];
    format!("{routes} route{}", if routes == 1 { "" } else { "s" })
}

/// The findings of a gateway, as `check` would say them.
pub fn refusal(check: &Value) -> String {
    let mut told = String::new();
    for found in check["diagnostics"].as_array().into_iter().flatten() {
        let text = |key: &str| found[key].as_str().unwrap_or_default();
        told += &format!(
            "{}[{}]: {}\n  --> {}:{}:{}\n",
            text("severity"),
            text("code"),
            text("message"),
            text("file"),
            found["line"],
            found["column"]
        );
        if !text("help").is_empty() {
            told += &format!("  help: {}\n", text("help"));
        }
    }
    harmless(&told)
}
