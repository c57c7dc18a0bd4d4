//! Whether a message holds what a test expects of it.
//!
//! Both are compared as the gateway itself writes JSON, so that `7` and `"7"` are the same 64-bit number, and an enum is its name. Only the
//! fields that are written are looked at; one that is written with its default must be absent, which is the same. Lists are compared whole.

use serde_json::Value;

use crate::config::value::camel;
use crate::proto::{MessageType, from_json, to_json};

/// The longest value that is shown of what there is.
const SHOWN_CHARS_MAX: usize = 200;

/// Where two messages differ, and how.
pub struct Difference {
    /// Such as `room.members[0].id`; empty: the message as a whole.
    pub path: String,
    pub expected: String,
    pub found: String,
}

/// A message in the gateway's own JSON; of bytes that are none, nothing.
pub fn canonical(kind: &MessageType, message: &[u8]) -> Option<Value> {
    let mut json = Vec::new();
    to_json(kind, message, &mut json).ok()?;
    serde_json::from_slice(&json).ok()
}

/// Where `found` is not what is `written`; nothing: it is.
pub fn difference(kind: &MessageType, written: &Value, found: &Value) -> Option<Difference> {
    let mut bytes = Vec::new();
    let nothing = Value::Object(serde_json::Map::new());
    let written = if written.is_null() { &nothing } else { written };
    from_json(kind, &written.to_string(), &mut bytes).ok()?;
    let meant = canonical(kind, &bytes)?;
    compare(String::new(), written, Some(&meant), Some(found))
}

fn compare(path: String, written: &Value, meant: Option<&Value>, found: Option<&Value>) -> Option<Difference> {
    let expected = || meant.map_or_else(|| format!("`{written}`, the default"), |meant| shown(Some(meant)));
    let differs = || Difference { path: path.clone(), expected: expected(), found: shown(found) };
    match (written, meant, found) {
        (Value::Object(fields), Some(Value::Object(meant)), Some(Value::Object(found))) => fields.iter().find_map(|(key, value)| {
            let name = if meant.contains_key(key) || found.contains_key(key) { key.clone() } else { camel(key) };
            let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            compare(below, value, meant.get(&name), found.get(&name))
        }),
        (Value::Array(items), Some(Value::Array(meant)), Some(Value::Array(found))) if meant.len() == found.len() => {
            let items = items.iter().zip(meant).zip(found).enumerate();
            items
                .into_iter()
                .find_map(|(index, ((item, meant), found))| compare(format!("{path}[{index}]"), item, Some(meant), Some(found)))
        }
        _ => (meant != found).then(differs),
    }
}

fn shown(value: Option<&Value>) -> String {
    let text = value.map_or_else(|| "none".to_owned(), |value| format!("`{value}`"));
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::proto::Pool;

    fn differs(written: &Value, found: &Value) -> Option<String> {
        let kind = Pool::own().message("protogate.wire.v1.Subscribed").unwrap();
        let mut bytes = Vec::new();
        from_json(&kind, &found.to_string(), &mut bytes).unwrap();
        let found = canonical(&kind, &bytes).unwrap();
        difference(&kind, written, &found).map(|difference| format!("{}: {} / {}", difference.path, difference.expected, difference.found))
    }

    #[test]
    fn what_is_not_written_is_not_looked_at_and_what_is_must_be_there() {
        let found = json!({"topic": "room/1", "at": {"epoch": "e", "offset": "7"}, "members": 3});
        assert_eq!(differs(&json!({}), &found), None);
        assert_eq!(differs(&json!({"at": {"offset": 7}}), &found), None, "a 64-bit number, however it is written");
        assert_eq!(differs(&json!({"replayed": 0}), &found), None, "a default is absent");
        assert_eq!(
            differs(&json!({"members": 0}), &found).as_deref(),
            Some("members: `0`, the default / `3`"),
            "and what is there is none"
        );
        assert_eq!(differs(&json!({"at": {"epoch": "f"}}), &found).as_deref(), Some("at.epoch: `\"f\"` / `\"e\"`"));
        assert_eq!(differs(&json!({"recovered": true}), &found).as_deref(), Some("recovered: `true` / none"));
    }
}
