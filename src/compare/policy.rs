//! What else holds for a route than before, key by key, and what that does to whoever calls.
//!
//! Lists whose order means nothing are sets here, so that whoever sorts one has changed nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::{Change, Comparing, Effect};
use crate::table::explain::Line;

/// Keys that other parts of the comparison judge, by what they come to.
const JUDGED: [&str; 7] = ["rate_limits", "timeout", "request_bytes_max", "reply_bytes_max", "stream.idle", "stream.max_age", "reply"];

/// Lists in which the order of items means something.
const ORDERED: [&str; 1] = ["guards"];

/// The values of one key: of a list, all of them.
type Values = BTreeSet<String>;

// === impl Comparing ===

impl Comparing<'_> {
    pub(super) fn policies(&mut self) {
        let (before, after) = (self.before, self.after);
        for (number, route) in after.routes.iter().filter(|(number, _)| before.routes.contains_key(number)) {
            let (was, is) = (values(&before.lines(*number)), values(&after.lines(*number)));
            let keys: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
            for key in keys.into_iter().filter(|key| !JUDGED.contains(&key.as_str())) {
                let (none, was, is) = (Values::new(), was.get(key), is.get(key));
                if was == is {
                    continue;
                }
                let effect = effect(key, was.unwrap_or(&none), is.unwrap_or(&none));
                let (from, to) = (was.map(shown), is.map(shown));
                let what = format!("`{key}` {}", sentence(from.as_deref(), to.as_deref()));
                let place = is.map_or_else(|| after.place(*number, "rpc"), |_| after.place(*number, key));
                self.note(Change { key: Some((key.clone(), from, to)), ..Change::new(effect, what).of([route.named()]).at(place) });
            }
        }
    }
}

/// What a key that is another does to whoever calls.
fn effect(key: &str, was: &Values, is: &Values) -> Effect {
    let is_now = |value: &str| is.contains(value) && !was.contains(value);
    let opens_if = |opens: bool, otherwise: Effect| if opens { Effect::Opens } else { otherwise };
    let fewer = !was.is_subset(is);
    let more = !is.is_subset(was);
    match key {
        "access" => opens_if(is_now("anonymous"), Effect::Closes),
        "validate" => opens_if(is_now("false"), Effect::Tightens),
        "forward_token" | "expose_errors" => opens_if(is_now("true"), Effect::Changes),
        "unknown_fields" => {
            if is_now("pass") {
                Effect::Loosens
            } else {
                Effect::Tightens
            }
        }
        // A field that the log showed not, or that no client could choose.
        "redact" => opens_if(fewer, Effect::Changes),
        "metadata" => opens_if(more, Effect::Closes),
        _ if key.starts_with("set.") => opens_if(is.is_empty(), Effect::Changes),
        _ if key.starts_with("on_success.bind_session") => opens_if(was.is_empty(), Effect::Changes),
        _ if key.starts_with("guards[") => match key.rsplit_once('.').map(|(_, key)| key) {
            Some("when_unavailable") => opens_if(is_now("allow"), Effect::Closes),
            Some("metadata") => opens_if(more, Effect::Changes),
            // Another one may let through what this one did not.
            Some("rpc") => opens_if(fewer, Effect::Closes),
            _ => Effect::Changes,
        },
        _ => Effect::Changes,
    }
}

/// Every key with what it says. Quotes are a matter of taste.
fn values(lines: &[Line]) -> BTreeMap<String, Values> {
    let mut values: BTreeMap<String, Values> = BTreeMap::new();
    for line in lines {
        let key = list(&line.key).unwrap_or(&line.key);
        values.entry(key.to_owned()).or_default().insert(unquoted(&line.value).to_owned());
    }
    values
}

/// The key of a list, of one of its items; nothing: it is none, or its order matters.
fn list(key: &str) -> Option<&str> {
    let (list, index) = key.strip_suffix(']')?.rsplit_once('[')?;
    let is_item = !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit());
    (is_item && !ORDERED.contains(&list)).then_some(list)
}

fn unquoted(text: &str) -> &str {
    ['"', '\''].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote)).unwrap_or(text)
}

fn shown(values: &Values) -> String {
    values.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn sentence(from: Option<&str>, to: Option<&str>) -> String {
    match (from, to) {
        (None, Some(to)) => format!("is {to}, and was not there"),
        (Some(from), None) => format!("is not there any more, and was {from}"),
        (from, to) => format!("is {}, and was {}", to.unwrap_or_default(), from.unwrap_or_default()),
    }
}
