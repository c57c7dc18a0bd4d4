//! Where everything that routes say is written, for [`Explained`].

use std::collections::HashMap;

use super::routes::{Written, built_in};
use super::{entries, guards, size, streams};
use crate::backend::RetryPolicy;
use crate::config::document::{Policy, Route};
use crate::config::grammar::{Leaves, Read as _, Section as _};
use crate::config::{Document, Group};
use crate::diagnostic::{FileId, Sources, Span};
use crate::proto::Kind;
use crate::table::explain::{self, BuiltIn, Explained, Layer, Nature, Row, duration};
use crate::table::plan::{Repeatable, RoutePlan};

/// Notes the places of one route after the other.
pub struct Explaining<'a> {
    sources: &'a Sources,
    /// Files of routes; whatever stands elsewhere is in an overlay.
    files: Vec<FileId>,
    /// The places of what the defaults of each file say, where that is not routes.yaml.
    groups: Vec<Vec<Span>>,
    keys: HashMap<Box<str>, u32>,
    routes: Vec<explain::Written>,
}

/// What was noted, without what the document still needs.
pub struct Noted {
    keys: HashMap<Box<str>, u32>,
    routes: Vec<explain::Written>,
}

// === impl Explaining ===

impl<'a> Explaining<'a> {
    pub fn new(document: &'a Document) -> Explaining<'a> {
        let sources = &document.sources;
        let files = document.groups.iter().map(|group| group.file).collect();
        let defaults = |(index, group): (usize, &Group)| match &group.routes.defaults {
            Some(defaults) if index > 0 => places(defaults, sources),
            _ => Vec::new(),
        };
        let groups = document.groups.iter().enumerate().map(defaults).collect();
        Explaining { sources, files, groups, keys: HashMap::new(), routes: Vec::new() }
    }

    /// Notes a route.
    pub fn route(&mut self, written: &Written<'_>, plan: &RoutePlan) {
        let own = places(&written.route.policy, self.sources);
        let group = &self.groups[written.group];
        let layer = |place: &Span, is_policy: bool, files: &[FileId]| match () {
            () if !files.contains(&place.file) => Layer::Overlay,
            () if !is_policy || own.contains(place) => Layer::Route,
            () if group.contains(place) => Layer::Group,
            () => Layer::Defaults,
        };
        let mut lines = Vec::new();
        let (keys, files, sources) = (&mut self.keys, &self.files, self.sources);
        let mut note = |key: &str, place: Span, is_policy: bool| {
            let next = index(keys.len());
            let key = keys.get(key).copied().unwrap_or_else(|| *keys.entry(key.into()).or_insert(next));
            lines.push(Row {
                key,
                layer: layer(&place, is_policy, files),
                file: place.file,
                start: index(place.start),
                end: index(place.end),
            });
        };
        written.route.tell_own(&mut Leaves::new(sources, &mut |key, place| note(key, place, false)));
        written.policy.tell(written.place, &mut Leaves::new(sources, &mut |key, place| note(key, place, true)));
        let nature = Nature {
            has_streams: plan.method.kind != Kind::Unary,
            idempotent: plan.method.idempotent,
            backoff_max: match &plan.retry {
                Repeatable::Never => None,
                Repeatable::Always(policy) | Repeatable::ByKey(policy) => Some(policy.backoff_max),
            },
        };
        self.routes.push(explain::Written { number: written.number, lines: lines.into(), nature });
    }

    pub fn end(self) -> Noted {
        Noted { keys: self.keys, routes: self.routes }
    }
}

// === impl Noted ===

impl Noted {
    /// With the document's texts, once secrets in them are masked.
    pub fn explained(self, document: &mut Document, shortcuts: bool) -> Explained {
        let mut keys: Vec<(Box<str>, u32)> = self.keys.into_iter().collect();
        keys.sort_unstable_by_key(|(_, index)| *index);
        Explained {
            sources: document.sources.clone(),
            expanded: std::mem::take(&mut document.expanded),
            keys: keys.into_iter().map(|(key, _)| key).collect(),
            routes: self.routes.into(),
            built_in: built_in_values(shortcuts),
            pushes: pushes(document),
            order: Route::keys().iter().map(|key| key.name).collect(),
        }
    }
}

/// Where pushes stand.
fn pushes(document: &Document) -> Box<[(u32, Span)]> {
    let all = document.groups.iter().flat_map(|group| entries(&group.routes.pushes));
    let mut places: Vec<(u32, Span)> = all.map(|(number, _)| (number.value.0, number.span)).collect();
    places.sort_unstable_by_key(|(number, _)| *number);
    places.into()
}

/// The places of all values of a policy.
fn places(policy: &Policy, sources: &Sources) -> Vec<Span> {
    let mut places = Vec::new();
    policy.tell_own(&mut Leaves::new(sources, &mut |_, place| places.push(place)));
    places
}

fn index(at: usize) -> u32 {
    u32::try_from(at).expect("files of configuration are smaller than 4 GiB, and keys are fewer than their bytes")
}

/// What holds where nothing is said, as `docs/configuration.md` lists it.
fn built_in_values(shortcuts: bool) -> BuiltIn {
    let retry = RetryPolicy::default();
    let codes = retry.codes.iter().map(|code| code.name()).collect::<Vec<_>>().join(", ");
    let text = |word: &str| word.to_owned();
    BuiltIn {
        always: vec![
            ("access", text("authenticated")),
            ("request_bytes_max", size(built_in::REQUEST_BYTES_MAX)),
            ("reply_bytes_max", size(built_in::REPLY_BYTES_MAX)),
            ("unknown_fields", text("pass")),
            ("validate", text("true")),
            ("forward_token", text("false")),
            ("expose_errors", shortcuts.to_string()),
            ("log.sample", text("0%")),
            ("log.payload", text("none")),
            ("log.slow", duration(built_in::SLOW)),
        ],
        calls: vec![("timeout", duration(built_in::TIMEOUT)), ("reply", text("always"))],
        streams: vec![("stream.idle", duration(streams::IDLE)), ("stream.max_age", duration(streams::MAX_AGE))],
        repeated: vec![
            ("retry.attempts", retry.attempts.to_string()),
            ("retry.codes", format!("[{codes}]")),
            ("retry.backoff.min", duration(retry.backoff_min)),
        ],
        guards: vec![("timeout", duration(guards::TIMEOUT)), ("when_unavailable", text("deny")), ("send_payload", text("false"))],
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_yaml::Value;

    use super::*;

    /// What stands in backquotes.
    fn quoted(cell: &str) -> impl Iterator<Item = &str> {
        cell.split('`').skip(1).step_by(2)
    }

    fn flatten(key: &str, value: &Value, found: &mut BTreeMap<String, String>) {
        let text = |value: &Value| serde_yaml::to_string(value).expect("it was YAML").trim().to_owned();
        match value {
            Value::Mapping(map) => map.iter().for_each(|(inner, value)| flatten(&format!("{key}.{}", text(inner)), value, found)),
            Value::Sequence(items) => {
                drop(found.insert(key.to_owned(), format!("[{}]", items.iter().map(text).collect::<Vec<_>>().join(", "))))
            }
            other => drop(found.insert(key.to_owned(), text(other))),
        }
    }

    #[test]
    fn the_built_in_values_are_those_that_the_guide_lists() {
        let guide = include_str!("../../../docs/configuration.md");
        let rows = guide.lines().skip_while(|line| *line != "| key | built-in |").skip(2).take_while(|line| line.starts_with('|'));
        let mut listed = BTreeMap::new();
        for row in rows {
            let cells: Vec<&str> = row.split('|').collect();
            for (key, value) in quoted(cells[1]).zip(quoted(cells[2])) {
                flatten(key, &serde_yaml::from_str(value).expect("it is YAML"), &mut listed);
            }
        }
        // What the method says, and what the process does.
        listed.retain(|key, _| !["idempotent", "trace"].contains(&&**key));
        let BuiltIn { always, calls, streams, repeated, guards: _ } = built_in_values(true);
        let backoff_max = ("retry.backoff.max", duration(RetryPolicy::default().backoff_max));
        let told = always.into_iter().chain(calls).chain(streams).chain(repeated).chain([backoff_max]);
        assert_eq!(told.map(|(key, value)| (key.to_owned(), value)).collect::<BTreeMap<_, _>>(), listed);
    }
}
