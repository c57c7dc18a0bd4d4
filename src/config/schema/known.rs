//! What there is in one configuration, written into its schemas, so that an editor completes names as it does keys.
//!
//! A name that must exist is one of a closed list: `check` refuses any other as well. What is free to be new, such as a permission, is offered
//! beside whatever else is of its kind. Promise: a list has at most [`LIST_BYTES_MAX`] bytes, and one that would have more is left out, so
//! that a schema stays of a size that editors take.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{FileSchema, variable};

/// Twenty thousand names of the usual length.
const LIST_BYTES_MAX: usize = 2 << 20;

/// What comments may take of all that.
const COMMENTS_BYTES_MAX: usize = 1 << 19;

/// A comment is shown beside a name: its first line does, cut.
const COMMENT_CHARS_MAX: usize = 160;

/// Names by what they are of.
#[derive(Default)]
pub struct Known {
    /// `package.Service/Method`, and what its file says of it.
    pub methods: BTreeMap<String, String>,
    pub messages: Vec<String>,
    pub backends: Vec<String>,
    pub limits: Vec<String>,
    pub roles: Vec<String>,
    /// Required by a route or granted to a role, patterns included.
    pub permissions: Vec<String>,
    /// Patterns of topics.
    pub topics: Vec<String>,
    /// Numbers of pushes, and their names.
    pub pushes: BTreeMap<u32, String>,
}

/// Whether a name that is not there is wrong.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Closed,
    Open,
}

/// Which keys take names of a list.
const KEYS: &[(&str, &str, &str, Kind)] = &[
    ("Route", "rpc", "methods", Kind::Closed),
    ("Guard", "rpc", "methods", Kind::Closed),
    ("Route", "request", "messages", Kind::Closed),
    ("Route", "response", "messages", Kind::Closed),
    ("Push", "message", "messages", Kind::Closed),
    ("Route", "backend", "backends", Kind::Closed),
    ("Policy", "backend", "backends", Kind::Closed),
    ("Guard", "backend", "backends", Kind::Closed),
    ("Descriptor", "reflection", "backends", Kind::Closed),
    ("Route", "rate_limits", "limits", Kind::Closed),
    ("Policy", "rate_limits", "limits", Kind::Closed),
    ("Role", "inherit", "roles", Kind::Closed),
    ("Issuer", "default_roles", "roles", Kind::Open),
    ("ApiKey", "roles", "roles", Kind::Open),
    ("Accounts", "default_roles", "roles", Kind::Open),
    ("Route", "permissions", "permissions", Kind::Open),
    ("Policy", "permissions", "permissions", Kind::Open),
    ("Role", "grant", "permissions", Kind::Open),
    ("Role", "deny", "permissions", Kind::Open),
    ("Topic", "join", "permissions", Kind::Open),
    ("OnSuccess", "subscribe", "topics", Kind::Open),
    ("OnSuccess", "unsubscribe", "topics", Kind::Open),
    ("PublishEffect", "topic", "topics", Kind::Open),
    ("PublishEffect", "number", "pushes", Kind::Closed),
    ("Topic", "pushes", "pushes", Kind::Closed),
    ("Topic", "presence_events", "pushes", Kind::Closed),
];

/// The schemas with the names in them, and the lists that were too long.
pub fn with(known: &Known, files: Vec<FileSchema>) -> (Vec<FileSchema>, Vec<&'static str>) {
    let (lists, left_out) = known.lists();
    let files = files.into_iter().map(|file| FileSchema { schema: written_into(file.schema, &lists), ..file }).collect();
    (files, left_out)
}

fn written_into(mut schema: Value, lists: &BTreeMap<&'static str, Value>) -> Value {
    let definitions = schema["$defs"].as_object_mut().expect("every schema of ours has definitions");
    let mut used = BTreeMap::new();
    for (section, key, list, kind) in KEYS {
        let Some(names) = lists.get(list) else { continue };
        let Some(property) = definitions.get_mut(*section).and_then(|section| section["properties"].get_mut(*key)) else { continue };
        offer(property, &format!("known_{list}"), *kind);
        used.insert(format!("known_{list}"), names.clone());
    }
    // The keys of a map, which no value of a key is.
    if let Some(names) = lists.get("backends") {
        for section in ["Route", "Policy"] {
            let split = definitions.get_mut(section).and_then(|section| section["properties"]["split"].get_mut("propertyNames"));
            if let Some(split) = split {
                *split = json!({"$ref": "#/$defs/known_backends"});
                used.insert("known_backends".to_owned(), names.clone());
            }
        }
    }
    definitions.extend(used);
    schema
}

/// Puts a list wherever a text or number stands in what a key takes.
fn offer(schema: &mut Value, list: &str, kind: Kind) {
    let is_leaf = schema.get("pattern").is_some() || schema["type"] == "integer";
    let names = json!({"$ref": format!("#/$defs/{list}")});
    match schema {
        Value::Object(parts) if is_leaf => {
            let about = parts.remove("description");
            let choice = match kind {
                Kind::Closed => vec![names, variable()],
                Kind::Open => vec![names, Value::Object(std::mem::take(parts))],
            };
            *schema = json!({"anyOf": choice});
            if let Some(about) = about {
                schema["description"] = about;
            }
        }
        Value::Object(parts) => {
            for (key, part) in parts {
                match part {
                    Value::Array(parts) if key == "anyOf" => parts.iter_mut().for_each(|part| offer(part, list, kind)),
                    Value::Object(_) if ["items", "append", "replace", "properties"].contains(&key.as_str()) => offer(part, list, kind),
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

// === impl Known ===

impl Known {
    /// Every list that is of a size to be written.
    fn lists(&self) -> (BTreeMap<&'static str, Value>, Vec<&'static str>) {
        let (mut lists, mut left_out) = (BTreeMap::new(), Vec::new());
        let topics: Vec<String> = self.topics.iter().map(|pattern| pattern.replace('{', "${response.")).collect();
        let named = [
            ("messages", &self.messages),
            ("backends", &self.backends),
            ("limits", &self.limits),
            ("roles", &self.roles),
            ("permissions", &self.permissions),
            ("topics", &topics),
        ];
        let plain = named.map(|(list, names)| (list, names.iter().map(|name| (name.as_str(), "")).collect::<Vec<_>>()));
        let methods = ("methods", self.methods.iter().map(|(name, comment)| (name.as_str(), comment.as_str())).collect());
        for (list, names) in plain.into_iter().chain([methods]) {
            match names.iter().map(|(name, _)| name.len() + 4).sum::<usize>() {
                bytes if bytes > LIST_BYTES_MAX => left_out.push(list),
                _ => drop(lists.insert(list, choice(list, &names))),
            }
        }
        let numbers: Vec<Value> = self.pushes.keys().flat_map(|number| [json!(number), json!(number.to_string())]).collect();
        let names: Vec<&String> = self.pushes.values().flat_map(|name| [name, name]).collect();
        lists.insert("pushes", json!({"enum": numbers, "enumDescriptions": names}));
        (lists, left_out)
    }
}

/// One of some names, each with what there is to say about it. An editor that is not told what to say of another name would list them all.
fn choice(list: &str, names: &[(&str, &str)]) -> Value {
    let mut room = COMMENTS_BYTES_MAX;
    let comments: Vec<String> = names
        .iter()
        .map(|(_, comment)| {
            let line: String = comment.lines().next().unwrap_or_default().chars().take(COMMENT_CHARS_MAX).collect();
            room = room.saturating_sub(line.len());
            if room > 0 { line } else { String::new() }
        })
        .collect();
    let mut choice = json!({"type": "string", "enum": names.iter().map(|(name, _)| name).collect::<Vec<_>>()});
    choice["errorMessage"] = json!(format!("This is none of the {list} that there are; `protogate check` says which are near."));
    if comments.iter().any(|comment| !comment.is_empty()) {
        choice["enumDescriptions"] = json!(comments);
    }
    choice
}

#[cfg(test)]
mod tests {
    use super::super::files;
    use super::*;

    #[test]
    fn every_key_that_takes_names_is_a_key() {
        let files = files();
        for (section, key, list, _) in KEYS {
            let there = files.iter().any(|file| file.schema["$defs"][section]["properties"].get(key).is_some());
            assert!(there, "{section}.{key}");
            assert!(Known::default().lists().0.contains_key(list), "{list}");
        }
    }

    #[test]
    fn as_many_names_as_anybody_has_make_a_schema_that_an_editor_takes() {
        let method = |n: usize| {
            (format!("google.cloud.product_{}.v1.SomeServiceOfIt/DoSomethingToThings{n}", n % 300), "Does something.".repeat(20))
        };
        let methods = (0..13_458).map(method).collect();
        let messages = (0..50_747).map(|n| format!("google.cloud.product_{}.v1.DoSomethingToThingsRequest{n}", n % 300)).collect();
        let (files, left_out) = with(&Known { methods, messages, ..Known::default() }, files());
        assert_eq!(left_out, ["messages"]);
        for file in files {
            assert!(file.text().len() < 3 << 20, "{}: {} bytes", file.name, file.text().len());
        }
    }
}
