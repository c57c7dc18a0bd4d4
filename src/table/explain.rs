//! What holds for a route, key by key, and where each of it is written: built-in, in `defaults`, in the route, or in an overlay.
//!
//! Made when a table is compiled, and kept with it. Promises: it costs a few hundred bytes a route and the text of the files, because it
//! holds places and no values; what is shown is what the table was compiled from, whatever became of the files; a secret is not shown.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::plan::Access;
use crate::config::leaves::Expanded;
use crate::diagnostic::{FileId, Sources, Span};

/// Every route of a table, explained.
#[derive(Default)]
pub struct Explained {
    pub(super) sources: Sources,
    pub(super) expanded: Expanded,
    /// Every key that some route has a value under; lines hold indices.
    pub(super) keys: Box<[Box<str>]>,
    /// By number, ascending.
    pub(super) routes: Box<[Written]>,
    pub(super) built_in: BuiltIn,
    /// Where the numbers of pushes stand, by number.
    pub(super) pushes: Box<[(u32, Span)]>,
    /// The keys of a route in the order of the grammar.
    pub(super) order: Vec<&'static str>,
}

/// One route, as it is written.
pub(super) struct Written {
    pub number: u32,
    pub lines: Box<[Row]>,
    pub nature: Nature,
}

/// A value that is written: which, by whom, and where. A file of configuration has less than 4 GiB.
pub(super) struct Row {
    pub key: u32,
    pub layer: Layer,
    pub file: FileId,
    pub start: u32,
    pub end: u32,
}

/// What of a route's method decides which built-in values mean something.
#[derive(Clone, Copy)]
pub(super) struct Nature {
    pub has_streams: bool,
    /// Its method says that it may be called again.
    pub idempotent: bool,
    /// The longest wait before a repetition, if it may be repeated.
    pub backoff_max: Option<Duration>,
}

/// Built-in values of a route's keys, as text.
#[derive(Default)]
pub(super) struct BuiltIn {
    pub always: Vec<(&'static str, String)>,
    pub calls: Vec<(&'static str, String)>,
    pub streams: Vec<(&'static str, String)>,
    pub repeated: Vec<(&'static str, String)>,
    /// Below `guards[0].` and so on.
    pub guards: Vec<(&'static str, String)>,
}

/// Who says so, lowest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Layer {
    BuiltIn,
    /// `defaults` of routes.yaml.
    Defaults,
    /// `defaults` of the file of the group.
    Group,
    Route,
    /// A file for one environment, over any of them.
    Overlay,
}

/// One value that holds for a route.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// Such as `timeout`, `log.slow` or `permissions[1]`.
    pub key: String,
    /// As YAML writes it.
    pub value: String,
    pub layer: Layer,
    /// The file and the line, from 1, unless it is built in.
    pub place: Option<(String, usize)>,
}

/// What another table would do otherwise.
#[derive(PartialEq, Eq, Debug)]
pub struct Difference {
    /// Numbers and names.
    pub added: Vec<(u32, String)>,
    pub removed: Vec<(u32, String)>,
    pub changed: Vec<ChangedRoute>,
}

/// A route of both tables, and which of its keys mean something else.
#[derive(PartialEq, Eq, Debug)]
pub struct ChangedRoute {
    pub number: u32,
    /// As it is in the second table.
    pub name: String,
    pub changes: Vec<ChangedKey>,
}

/// A key that means something else; nothing is a key that is not there.
#[derive(PartialEq, Eq, Debug)]
pub struct ChangedKey {
    pub key: String,
    pub from: Option<String>,
    pub to: Option<String>,
}

// === impl Explained ===

impl Explained {
    /// What holds for a route, in the order of the grammar. Nothing: there is no such route.
    pub fn route(&self, number: u32) -> Option<Vec<Line>> {
        let found = self.routes.binary_search_by_key(&number, |route| route.number).ok()?;
        Some(self.lines(&self.routes[found]))
    }

    /// What `other` does that this does otherwise.
    pub fn difference(&self, other: &Explained) -> Difference {
        let [before, after] =
            [self, other].map(|explained| explained.routes.iter().map(|route| (route.number, route)).collect::<BTreeMap<_, _>>());
        let named = |explained: &Explained, route: &Written| (route.number, explained.name(route));
        let only = |these: &BTreeMap<u32, &Written>, those: &BTreeMap<u32, &Written>, of: &Explained| {
            these.iter().filter(|(number, _)| !those.contains_key(number)).map(|(_, route)| named(of, route)).collect()
        };
        let changed = before.iter().filter_map(|(number, route)| {
            let now = *after.get(number)?;
            let changes = changes(&self.lines(route), &other.lines(now));
            (!changes.is_empty()).then(|| ChangedRoute { number: *number, name: other.name(now), changes })
        });
        Difference { added: only(&after, &before, other), removed: only(&before, &after, self), changed: changed.collect() }
    }

    fn name(&self, route: &Written) -> String {
        let name = route.lines.iter().find(|row| &*self.keys[row.key as usize] == "name");
        name.map(|row| unquoted(&self.text(row)).to_owned()).unwrap_or_default()
    }

    fn lines(&self, route: &Written) -> Vec<Line> {
        let mut lines: Vec<Line> = route.lines.iter().map(|row| self.line(row)).collect();
        let written: BTreeSet<&str> = route.lines.iter().map(|row| &*self.keys[row.key as usize]).collect();
        let guards: BTreeSet<&str> =
            written.iter().filter_map(|key| key.strip_prefix("guards[")?.split_once(']').map(|(index, _)| index)).collect();
        let nature = route.nature;
        let mut add = |key: String, value: &str| {
            if !written.contains(&*key) {
                lines.push(Line { key, value: value.to_owned(), layer: Layer::BuiltIn, place: None });
            }
        };
        let own = if nature.has_streams { &self.built_in.streams } else { &self.built_in.calls };
        let repeated = self.built_in.repeated.iter().filter(|_| nature.backoff_max.is_some());
        self.built_in.always.iter().chain(own).chain(repeated).for_each(|(key, value)| add((*key).to_owned(), value));
        nature.backoff_max.iter().for_each(|max| add("retry.backoff.max".to_owned(), &duration(*max)));
        if !nature.has_streams {
            add("idempotent".to_owned(), if nature.idempotent { "true" } else { "false" });
        }
        for index in guards {
            self.built_in.guards.iter().for_each(|(key, value)| add(format!("guards[{index}].{key}"), value));
        }
        let head = |key: &str| key.split(['.', '[']).next().and_then(|head| self.order.iter().position(|known| *known == head));
        lines.sort_by_key(|line| head(&line.key).unwrap_or(usize::MAX));
        lines
    }

    fn line(&self, row: &Row) -> Line {
        let file = self.sources.file(row.file);
        let place = (file.path.to_string_lossy().into_owned(), file.position(row.start as usize).line);
        Line { key: self.keys[row.key as usize].to_string(), value: self.text(row), layer: row.layer, place: Some(place) }
    }

    fn text(&self, row: &Row) -> String {
        let place = Span { file: row.file, start: row.start as usize, end: row.end as usize };
        self.expanded.text(place, &self.sources)
    }
}

fn changes(before: &[Line], after: &[Line]) -> Vec<ChangedKey> {
    // Quotes are a matter of taste.
    let values = |lines: &[Line]| lines.iter().map(|line| (line.key.clone(), unquoted(&line.value).to_owned())).collect::<BTreeMap<_, _>>();
    let (before, after) = (values(before), values(after));
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let changed = keys.into_iter().map(|key| ChangedKey { key: key.clone(), from: before.get(key).cloned(), to: after.get(key).cloned() });
    changed.filter(|key| key.from != key.to).collect()
}

fn unquoted(text: &str) -> &str {
    ['"', '\''].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote)).unwrap_or(text)
}

/// A time as people write it: `500ms`, `5m`.
pub(super) fn duration(time: Duration) -> String {
    let milliseconds = time.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
    match units.into_iter().find(|(unit, _)| milliseconds >= *unit && milliseconds.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{}{name}", milliseconds / unit),
        None => format!("{milliseconds}ms"),
    }
}

// === impl Layer ===

impl Layer {
    pub fn name(self) -> &'static str {
        match self {
            Layer::BuiltIn => "built-in",
            Layer::Defaults => "defaults",
            Layer::Group => "group",
            Layer::Route => "route",
            Layer::Overlay => "overlay",
        }
    }
}

// === impl Access ===

impl Access {
    /// As it is written in a route file.
    pub fn name(self) -> &'static str {
        match self {
            Access::Anonymous => "anonymous",
            Access::Authenticated => "authenticated",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_costs_few_bytes() {
        assert!(size_of::<Row>() <= 20);
    }

    #[test]
    fn times_are_shown_as_people_write_them() {
        let shown = [0, 25, 999, 1000, 1500, 90_000, 300_000, 86_400_000].map(|millis| duration(Duration::from_millis(millis)));
        assert_eq!(shown, ["0ms", "25ms", "999ms", "1s", "1500ms", "90s", "5m", "1d"]);
    }

    #[test]
    fn a_difference_names_what_came_what_went_and_what_means_something_else() {
        let line = |key: &str, value: &str| Line { key: key.to_owned(), value: value.to_owned(), layer: Layer::Route, place: None };
        let (before, after) = ([line("a", "'1'"), line("b", "1"), line("c", "1")], [line("a", "1"), line("b", "2"), line("d", "1")]);
        let changed = |key: &str, from: Option<&str>, to: Option<&str>| ChangedKey {
            key: key.to_owned(),
            from: from.map(str::to_owned),
            to: to.map(str::to_owned),
        };
        let expected = [changed("b", Some("1"), Some("2")), changed("c", Some("1"), None), changed("d", None, Some("1"))];
        assert_eq!(changes(&before, &after), expected);
    }
}
