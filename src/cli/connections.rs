//! `protogate connections`: who is connected to a node.

use std::io::{self, Write as _};

use clap::Args;
use serde_json::Value;

use super::admin_client::{AdminClient, Door, escaped};
use super::{Exit, harmless};

/// How many are asked for at once.
const PAGE: usize = 1000;

/// Show the connections of a gateway, or one of them in detail.
///
/// Example: protogate connections --search alice
#[derive(Args)]
pub struct Connections {
    /// This one, in detail.
    #[arg(conflicts_with = "search")]
    id: Option<u64>,

    /// Only those with this text in their user, session or address.
    #[arg(long, value_name = "TEXT", default_value = "")]
    search: String,

    /// As JSON, one line each.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    door: Door,
}

// === impl Connections ===

impl Connections {
    pub fn run(self) -> Result<(), Exit> {
        let client = AdminClient::of(self.door)?;
        if let Some(id) = self.id {
            let connection = client.get(&format!("/api/v1/connections/{id}"))?;
            return match connection["id"].is_u64() {
                true => say(&if self.json { harmless(&connection.to_string()) } else { detail(&connection) }),
                false => Err(Exit::refused(&connection)),
            };
        }
        if !self.json {
            say(&row(["ID", "USER", "PEER", "CODEC", "CALLS", "STREAMS", "WAITING", "SESSION"].map(str::to_owned)))?;
        }
        let (mut after, mut unanswered) = ("0".to_owned(), 0);
        loop {
            let page = client.get(&format!("/api/v1/connections?search={}&after={after}&limit={PAGE}", escaped(&self.search)))?;
            let Some(connections) = page["connections"].as_array() else { return Err(Exit::refused(&page)) };
            for connection in connections {
                say(&if self.json { harmless(&connection.to_string()) } else { line(connection) })?;
            }
            unanswered += page["unanswered"].as_u64().unwrap_or(0);
            match page["next"].as_str() {
                Some(next) => after = escaped(next),
                None => break,
            }
        }
        if unanswered > 0 {
            eprintln!("warning: {unanswered} did not answer in time and are not shown");
        }
        Ok(())
    }
}

fn line(connection: &Value) -> String {
    row(["id", "user", "peer", "codec", "in_flight", "streams", "outbox_bytes", "session"].map(|key| text(&connection[key])))
}

fn row([id, user, peer, codec, calls, streams, waiting, session]: [String; 8]) -> String {
    format!("{id:<8} {user:<20} {peer:<16} {codec:<6} {calls:>5} {streams:>7} {waiting:>8} {session}").trim_end().to_owned()
}

fn detail(connection: &Value) -> String {
    let fields = connection.as_object().into_iter().flatten();
    fields.map(|(key, value)| format!("{key:<14} {}", text(value))).collect::<Vec<_>>().join("\n")
}

/// A value as a person reads it, on one line; what is not there is a dash.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => harmless(&text.replace('\n', " ")),
        value => harmless(&value.to_string()),
    }
}

/// Whoever reads may have seen enough.
fn say(line: &str) -> Result<(), Exit> {
    writeln!(io::stdout(), "{line}").map_err(|_| Exit::new(0, ""))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_connection_is_a_line_whatever_somebody_is_called() {
        let evil = json!({ "id": 7, "user": "a\u{1b}]0;x\u{7}\nb", "peer": "::1", "codec": "json", "in_flight": 1, "streams": 0,
            "outbox_bytes": 12, "session": null });
        let line = line(&evil);
        assert!(!line.chars().any(char::is_control), "{}", line.escape_debug());
        assert!(line.starts_with("7        a\\u001b]0;x\\u0007 b") && line.ends_with(" -"), "{line}");
        assert_eq!(detail(&json!({ "id": 7, "topics": 2 })), "id             7\ntopics         2");
    }
}
