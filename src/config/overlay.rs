//! A file's overlay for one environment, merged into its tree before anything else looks at it.
//!
//! Scalars replace, maps merge, lists say whether they append or replace, nothing is an error. Routes are addressed by number or name, and
//! an overlay never creates one. Values keep the place where they are written, so a mistake in an overlay is shown in the overlay.

use super::tree::{Entry, Kind, Node};
use crate::diagnostic::{Diagnostic, Report, Rule};

/// Merges `over` into `base`.
pub fn merge(base: &mut Node, over: Node, report: &mut Report) {
    merge_at(base, over, &mut Vec::new(), report);
}

fn merge_at(base: &mut Node, over: Node, path: &mut Vec<String>, report: &mut Report) {
    match over.kind {
        Kind::Null => {
            let help = "an overlay changes values; it cannot take one away";
            report.push(Diagnostic::new(Rule::Overlay, over.span, "nothing stands here").help(help).path(path.join(".")));
        }
        Kind::Map(changes) => match &mut base.kind {
            Kind::List(items) => edit_list(items, Node { span: over.span, kind: Kind::Map(changes) }, path, report),
            Kind::Map(entries) if is_edit(entries) && is_edit(&changes) => edit_edit(entries, changes, path, report),
            Kind::Map(entries) => merge_maps(entries, changes, path, report),
            Kind::Null | Kind::Scalar(_) => *base = Node { span: over.span, kind: Kind::Map(changes) },
        },
        Kind::List(_) if matches!(base.kind, Kind::List(_)) || matches!(&base.kind, Kind::Map(entries) if is_edit(entries)) => {
            let finding = Diagnostic::new(Rule::ListEdit, over.span, "this list stands over another, and does not say what becomes of that");
            let help = "write `{ append: [...] }` or `{ replace: [...] }`";
            report.push(finding.related(base.span, "the list below it").help(help).path(path.join(".")));
        }
        kind => *base = Node { span: over.span, kind },
    }
}

fn merge_maps(entries: &mut Vec<Entry>, changes: Vec<Entry>, path: &mut Vec<String>, report: &mut Report) {
    let routes = path.len() == 1 && path[0] == "routes";
    for change in changes {
        path.push(change.key.clone());
        let found = entries.iter().position(|entry| entry.key == change.key || (routes && is_named(&entry.value, &change.key)));
        match found {
            Some(index) => merge_at(&mut entries[index].value, change.value, path, report),
            None if routes => {
                let what = format!("there is no route `{}` to change", change.key);
                let finding = Diagnostic::new(Rule::Overlay, change.key_span, what).label("an overlay never creates a route");
                let known = entries.iter().flat_map(|entry| [Some(entry.key.as_str()), name_of(&entry.value)]).flatten();
                report.push(finding.did_you_mean(&change.key, known).path(path.join(".")));
            }
            None if matches!(change.value.kind, Kind::Null) => {
                let help = "an overlay changes values; remove the key";
                report.push(Diagnostic::new(Rule::Overlay, change.value.span, "nothing stands here").help(help).path(path.join(".")));
            }
            None => entries.push(change),
        }
        path.pop();
    }
}

fn name_of(route: &Node) -> Option<&str> {
    match &route.get("name")?.kind {
        Kind::Scalar(scalar) => Some(&scalar.text),
        _ => None,
    }
}

fn is_named(route: &Node, name: &str) -> bool {
    name_of(route) == Some(name)
}

/// `{ append: [...] }` or `{ replace: [...] }`.
fn is_edit(entries: &[Entry]) -> bool {
    matches!(entries, [Entry { key, value: Node { kind: Kind::List(_), .. }, .. }] if key == "append" || key == "replace")
}

/// A change to a list.
fn edit_list(items: &mut Vec<Node>, change: Node, path: &[String], report: &mut Report) {
    let span = change.span;
    match change.kind {
        Kind::Map(mut entries) if is_edit(&entries) => {
            let Entry { key, value, .. } = entries.remove(0);
            let Kind::List(more) = value.kind else { return };
            if key == "replace" {
                items.clear();
            }
            items.extend(more);
        }
        _ => {
            let what = "a list is changed by exactly one of `append` and `replace`";
            report.push(Diagnostic::new(Rule::ListEdit, span, what).help("write `{ append: [x] }` or `{ replace: [x] }`").path(path.join(".")));
        }
    }
}

/// A change to a list that is itself a change to a lower layer: appending adds to what is appended, or to what replaces.
fn edit_edit(entries: &mut Vec<Entry>, mut changes: Vec<Entry>, path: &[String], report: &mut Report) {
    if changes[0].key == "replace" {
        *entries = changes;
        return;
    }
    let change = Node { span: changes[0].value.span, kind: Kind::Map(vec![changes.remove(0)]) };
    if let Kind::List(items) = &mut entries[0].value.kind {
        edit_list(items, change, path, report);
    }
}
