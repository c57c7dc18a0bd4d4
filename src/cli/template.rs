//! `protogate template`: define the words of notifications.

use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use super::admin_client::{AdminClient, Door};
use super::{Exit, UNREADABLE, say};

/// Define a template of notifications, or its next version, from a YAML or JSON file.
///
/// The file holds `name`, `default_locale`, under `words` a `title` and a `body` for each locale, and under `parameters` what they use:
/// `coins: { type: integer, required: true }`.
///
/// Example: protogate template welcome.yaml
#[derive(Args)]
pub struct Template {
    /// The file.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    door: Door,
}

// === impl Template ===

impl Template {
    pub fn run(self) -> Result<(), Exit> {
        let unreadable = |why: String| Exit::new(UNREADABLE, format!("error: {} cannot be read: {why}", self.file.display()));
        let text = std::fs::read_to_string(&self.file).map_err(|error| unreadable(error.to_string()))?;
        let template: Value = serde_yaml::from_str(&text).map_err(|error| unreadable(error.to_string()))?;
        let answer = AdminClient::of(self.door)?.post("/api/v1/templates", &template)?;
        match answer["version"].as_u64() {
            Some(version) => say(&format!("version {version}\n")),
            None => return Err(Exit::refused(&answer)),
        }
        Ok(())
    }
}
