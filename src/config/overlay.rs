//! Overlays: a second file for one environment, merged into the first as trees, before anything is read.
//!
//! Scalars replace, maps merge, lists say append or replace. An overlay changes what is there: it never removes anything, and never creates
//! a route. What it brings keeps its own place, so that a finding points into the overlay.

use std::path::{Path, PathBuf};

use super::Environment;
use super::collection::list_over_list;
use super::document::Route;
use super::grammar::{Read, Shape};
use super::path::DocPath;
use super::tree::{Entry, Kind, Node, shorten};
use super::value::{RouteName, Value as _};
use crate::diagnostic::{Diagnostic, Report, Rule, Span, nearest};

/// The overlay beside a file: `auth.production.yaml` of `auth.yaml`.
pub fn path(file: &Path, environment: Environment) -> PathBuf {
    let extension = file.extension().unwrap_or_default().to_string_lossy();
    file.with_extension(format!("{}.{extension}", environment.name()))
}

/// The file with its overlay merged in, both of the given shape.
pub fn merge(base: Node, overlay: Node, shape: &Shape, report: &mut Report) -> Node {
    let (below, file, errors) = (base.clone(), overlay.span.file, report.errors());
    let mut merge = Merge { report, path: DocPath::default(), whole: true };
    let merged = merge.node(Some(base), overlay, Some(shape));
    if merge.whole && merged.is_same(&below) && report.errors() == errors {
        let finding = Diagnostic::new(Rule::IdleOverlay, Span::start_of(file), "this overlay changes nothing");
        report.push(finding.help("write what is different in this environment, or remove the file"));
    }
    merged
}

struct Merge<'a> {
    report: &'a mut Report,
    path: DocPath,
    /// False when what something is about could not be found, which is told where that stands.
    whole: bool,
}

/// What a list says about the list below it.
#[derive(Clone, Copy, PartialEq)]
enum Verb {
    Append,
    Replace,
}

// === impl Merge ===

impl Merge<'_> {
    fn node(&mut self, base: Option<Node>, overlay: Node, shape: Option<&Shape>) -> Node {
        // An empty value, a section of comments alone, is as good as none.
        let base = base.filter(|base| !base.is_null());
        if overlay.is_null() {
            self.push(
                Diagnostic::new(Rule::Overlay, overlay.span, "an overlay cannot remove anything")
                    .help("give it a value, or leave the key out"),
            );
            return base.unwrap_or(Node { kind: Kind::Broken, span: overlay.span });
        }
        match shape {
            Some(Shape::List(_)) => return self.list(base, overlay, false),
            Some(Shape::Edit(_)) => return self.list(base, overlay, true),
            _ => {}
        }
        let Some(base) = base else {
            return match overlay.kind {
                Kind::Map(changes) => self.map(Vec::new(), overlay.span, changes, shape),
                kind => Node { kind, span: overlay.span },
            };
        };
        match (base.kind, overlay.kind) {
            (Kind::Map(entries), Kind::Map(changes)) => self.map(entries, base.span, changes, shape),
            (Kind::Scalar(_), kind @ Kind::Scalar(_)) => Node { kind, span: overlay.span },
            (kind, Kind::Broken) | (kind @ Kind::Broken, _) => Node { kind, span: base.span },
            (kind, other) => {
                let (base, overlay) = (Node { kind, span: base.span }, Node { kind: other, span: overlay.span });
                let what = format!("{} cannot take the place of {}", overlay.describe(), base.describe());
                self.push(Diagnostic::new(Rule::Overlay, overlay.span, what).related(base.span, "the value below it"));
                base
            }
        }
    }

    fn map(&mut self, mut entries: Vec<Entry>, span: Span, changes: Vec<Entry>, shape: Option<&Shape>) -> Node {
        for change in changes {
            let before = self.path.enter_key(&change.key.text);
            if before == 0 && change.key.text == "routes" {
                self.routes(&mut entries, change);
            } else if is_misspelt_below(&entries, &change.key.text, shape) {
                self.whole = false;
            } else {
                let shape = shape.and_then(|shape| shape.of_key(&change.key.text));
                let at = entries.iter().position(|entry| entry.key.text == change.key.text);
                self.entry(&mut entries, at, change, shape);
            }
            self.path.leave(before);
        }
        Node { kind: Kind::Map(entries), span }
    }

    /// Merges one change into the entry at `at`, or adds it.
    fn entry(&mut self, entries: &mut Vec<Entry>, at: Option<usize>, change: Entry, shape: Option<&Shape>) {
        match at.map(|at| &mut entries[at].value) {
            Some(value) => {
                let base = std::mem::replace(value, Node { kind: Kind::Broken, span: change.key.span });
                *value = self.node(Some(base), change.value, shape);
            }
            None => {
                let value = self.node(None, change.value, shape);
                entries.push(Entry { key: change.key, value });
            }
        }
    }

    /// Routes are addressed by number or by name, and must be there.
    fn routes(&mut self, file: &mut [Entry], overlay: Entry) {
        let shape = Route::shape();
        let mut none = Vec::new();
        let is_misspelt = |entry: &Entry| entry.key.text != "routes" && nearest(&entry.key.text, ["routes"]).is_some();
        if file.iter().any(is_misspelt) {
            // They stand under a key that is told where it stands.
            self.whole = false;
            return;
        }
        let routes = match file.iter_mut().find(|entry| entry.key.text == "routes").map(|entry| &mut entry.value.kind) {
            Some(Kind::Map(routes)) => routes,
            Some(Kind::Broken) => return,
            _ => &mut none,
        };
        if !matches!(overlay.value.kind, Kind::Map(_) | Kind::Broken) {
            let what = format!("expected a map of routes, found {}", overlay.value.describe());
            return self.push(Diagnostic::new(Rule::Overlay, overlay.value.span, what));
        }
        let Kind::Map(changes) = overlay.value.kind else { return };
        for change in changes {
            let before = self.path.enter_key(&change.key.text);
            match routes.iter().position(|route| is_called(route, &change.key.text)) {
                at @ Some(_) => self.entry(routes, at, change, Some(&shape)),
                // It may be the one whose name cannot be read, which is told there.
                None if routes.iter().any(|route| name_of(route).is_none()) => self.whole = false,
                None => {
                    let what = format!("`{}` is not a route of the file below", shorten(&change.key.text));
                    let finding =
                        Diagnostic::new(Rule::Overlay, change.key.span, what).label("an overlay changes routes and never creates one");
                    let names = routes.iter().filter_map(name_of);
                    self.push(finding.did_you_mean(&change.key.text, names));
                }
            }
            self.path.leave(before);
        }
    }

    /// What cannot be a list is handed on: the reader says so with the place in the overlay.
    fn list(&mut self, base: Option<Node>, overlay: Node, edit: bool) -> Node {
        let span = overlay.span;
        let Some((verb, items)) = split(&overlay) else {
            if let (Kind::List(_), Some(base)) = (&overlay.kind, &base) {
                self.push(list_over_list(span, base.span));
            }
            return overlay;
        };
        let list = |items| Node { kind: Kind::List(items), span };
        let below_span = base.as_ref().map_or(span, |base| base.span);
        match base {
            None if edit => overlay,
            None => list(items),
            Some(base) => match (verb, split(&base), base.kind) {
                (Verb::Append, _, Kind::List(below)) => list(below.into_iter().chain(items).collect()),
                (Verb::Replace, _, Kind::List(_)) => list(items),
                (Verb::Append, Some((_, below)), Kind::Map(mut entries)) => {
                    entries[0].value = list(below.into_iter().chain(items).collect());
                    Node { kind: Kind::Map(entries), span }
                }
                // What an overlay cannot be appended to is wrong by itself, and the reader says so.
                (_, None, kind @ (Kind::Scalar(_) | Kind::Map(_) | Kind::Broken)) => Node { kind, span: below_span },
                _ => overlay,
            },
        }
    }

    fn push(&mut self, finding: Diagnostic) {
        self.report.push(finding.path(self.path.to_string()));
    }
}

/// Whether what a change is about stands in the file below under a key that is told there: nothing is known of what it changes.
fn is_misspelt_below(entries: &[Entry], key: &str, shape: Option<&Shape>) -> bool {
    let Some(section @ Shape::Section { .. }) = shape else { return false };
    let is_there = entries.iter().any(|entry| entry.key.text == key);
    let unknown = || entries.iter().map(|entry| entry.key.text.as_str()).filter(|key| section.of_key(key).is_none());
    !is_there && section.of_key(key).is_some() && nearest(key, unknown()).is_some()
}

/// `{append: [x]}` and `{replace: [x]}` as verb and items.
fn split(node: &Node) -> Option<(Verb, Vec<Node>)> {
    let [entry] = node.entries() else { return None };
    let verb = match entry.key.text.as_str() {
        "append" => Verb::Append,
        "replace" => Verb::Replace,
        _ => return None,
    };
    match &entry.value.kind {
        Kind::List(items) => Some((verb, items.clone())),
        _ => None,
    }
}

fn is_called(route: &Entry, name: &str) -> bool {
    route.key.text == name || name_of(route) == Some(name)
}

fn name_of(route: &Entry) -> Option<&str> {
    let name = route.value.get("name")?.scalar()?.text.as_str();
    RouteName::parse(name).is_ok().then_some(name)
}
