//! `protogate tap`: watch calls as they end.
//!
//! ```text
//! 12:03:04.123 1001 auth.login alice OK 3.2 ms auth 127.0.0.1:50051
//!     → {"username":"alice","password":"********"}
//!     ← {"accessToken":"***"}
//! 12:03:04.310 2003 game.join bob RATE_LIMITED 0.1 ms refused by `joins`: rate limit `joins` is exhausted; try again in 900 ms
//! ```
//! Promise: a line is one line, whatever a peer wrote into it, and none of it is obeyed by a terminal.

use std::io::{self, Write as _};

use clap::Args;
use serde_json::Value;

use super::admin_client::{AdminClient, Door, escaped};
use super::{Exit, harmless};

/// Watch calls as they end, decoded and redacted, until Ctrl-C.
///
/// Calls are shown that begin from now on, with the limits that refused them or would have, and the endpoint that answered.
///
/// Example: protogate tap --route 1001 --seconds 1
#[derive(Args)]
pub struct Tap {
    /// Only calls of this route, by its number or its name.
    #[arg(long, value_name = "ROUTE")]
    route: Option<String>,

    /// Only calls of this user.
    #[arg(long, value_name = "USER")]
    user: Option<String>,

    /// For so long; an hour is the most.
    #[arg(long, default_value_t = 3600, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,

    /// As JSON, one line a call.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    door: Door,
}

// === impl Tap ===

impl Tap {
    pub fn run(self) -> Result<(), Exit> {
        let mut path = format!("/api/v1/tap?seconds={}", self.seconds);
        for (name, value) in [("route", &self.route), ("user", &self.user)] {
            if let Some(value) = value {
                path += &format!("&{name}={}", escaped(value));
            }
        }
        AdminClient::of(self.door)?.follow(&path, |line| {
            let shown = match serde_json::from_str::<Value>(line) {
                // It only says that it is there.
                Ok(quiet) if !self.json && quiet["lost"] == 0 => return Ok(()),
                Ok(call) if !self.json => call_shown(&call),
                _ => harmless(line),
            };
            // Whoever reads may have seen enough.
            writeln!(io::stdout(), "{shown}").map_err(|_| Exit::new(0, ""))
        })
    }
}

/// A call as a person reads it.
fn call_shown(call: &Value) -> String {
    if let Some(lost) = call["lost"].as_u64() {
        return format!("* {lost} calls are not shown: they ended faster than they were read");
    }
    let text = |key: &str| call[key].as_str().unwrap_or("-");
    let outcome = call["reason"].as_str().unwrap_or(text("code"));
    let mut head = format!(
        "{} {} {} {} {outcome} {} ms",
        time(call["at_ms"].as_u64().unwrap_or(0)),
        call["protocol"],
        text("route"),
        text("user"),
        call["duration_ms"],
    );
    for key in ["backend", "endpoint"] {
        if let Some(name) = call[key].as_str() {
            head += &format!(" {name}");
        }
    }
    if let Some(attempts) = call["attempts"].as_u64().filter(|attempts| *attempts > 1) {
        head += &format!(" in {attempts} attempts");
    }
    if let Some(limit) = call["limits"]["refused_by"].as_str() {
        head += &format!(" refused by `{limit}`");
    }
    for limit in call["limits"]["would_refuse"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        head += &format!(" would be refused by `{limit}`");
    }
    if let Some(message) = call["message"].as_str() {
        head += &format!(": {message}");
    }
    let mut shown = one_line(&head);
    for (arrow, payload) in [("→", &call["request"]), ("←", &call["reply"])] {
        match payload {
            Value::Null => {}
            Value::String(cut_off) => shown += &format!("\n    {arrow} {}", one_line(cut_off)),
            whole => shown += &format!("\n    {arrow} {}", one_line(&whole.to_string())),
        }
    }
    shown
}

fn one_line(text: &str) -> String {
    harmless(&text.replace(['\n', '\r', '\t'], " "))
}

/// The time of day, in UTC.
fn time(at_ms: u64) -> String {
    let seconds = at_ms / 1000 % 86_400;
    format!("{:02}:{:02}:{:02}.{:03}", seconds / 3600, seconds / 60 % 60, seconds % 60, at_ms % 1000)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_call_is_a_line_and_what_was_said_stands_below() {
        let call = json!({
            "at_ms": 1_700_000_000_123_u64, "route": "auth.login", "protocol": 1001, "id": 3, "user": null, "code": "OK", "reason": null,
            "message": null, "limits": { "refused_by": null, "would_refuse": ["logins"] }, "backend": "auth", "endpoint": "127.0.0.1:1",
            "attempts": 2, "duration_ms": 3.25, "request": { "username": "alice" }, "reply": "{\"accessTok…",
        });
        let expected = "22:13:20.123 1001 auth.login - OK 3.25 ms auth 127.0.0.1:1 in 2 attempts would be refused by `logins`\n    \
                        → {\"username\":\"alice\"}\n    ← {\"accessTok…";
        assert_eq!(call_shown(&call), expected);
        let refused = json!({ "at_ms": 0, "protocol": 1, "code": "RESOURCE_EXHAUSTED", "reason": "RATE_LIMITED", "message": "slower", "user": "bob",
            "limits": { "refused_by": "joins", "would_refuse": [] }, "duration_ms": 0.1 });
        assert_eq!(call_shown(&refused), "00:00:00.000 1 - bob RATE_LIMITED 0.1 ms refused by `joins`: slower");
        assert_eq!(call_shown(&json!({ "lost": 7 })), "* 7 calls are not shown: they ended faster than they were read");
    }

    #[test]
    fn no_peer_commands_a_terminal_or_makes_a_line_of_its_own() {
        let evil = "\u{1b}]0;x\u{7}\n\u{9b}31m";
        let call = json!({ "user": evil, "message": evil, "reason": evil, "request": { "text": evil }, "reply": evil });
        let shown = call_shown(&call);
        assert_eq!(shown.lines().count(), 3);
        assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{}", shown.escape_debug());
    }
}
