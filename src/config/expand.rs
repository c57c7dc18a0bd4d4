//! Puts the values of variables in place of `${var.name}`.
//!
//! Only scalars are looked at, and what takes their place is a scalar too: a value can hold any text and never becomes a key, a list or a
//! second line of YAML. A scalar that is one variable and nothing else has the variable's type; within other text it is text.

use super::leaves::Expanded;
use super::path::DocPath;
use super::tree::{Entry, Kind, Node, Origin, Scalar, Style, shorten};
use super::vars::{Declared, Variables};
use crate::diagnostic::{Diagnostic, Report, Rule, Span, nearest};

/// Where a variable begins in a text.
const OPENING: &str = "${";

/// Puts values in place of variables everywhere in a file but in its `vars`.
///
/// What they make of texts is noted in `expanded`.
pub fn expand(root: &mut Node, variables: &Variables, expanded: &mut Expanded, report: &mut Report) {
    let Kind::Map(entries) = &mut root.kind else { return };
    let mut expansion = Expansion { variables, expanded, report, path: DocPath::default() };
    for entry in entries.iter_mut() {
        if entry.key.text == "vars" {
            expansion.refuse(entry);
        } else {
            expansion.entry(entry);
        }
    }
}

struct Expansion<'a> {
    variables: &'a Variables,
    expanded: &'a mut Expanded,
    report: &'a mut Report,
    path: DocPath,
}

// === impl Expansion ===

impl Expansion<'_> {
    fn entry(&mut self, entry: &mut Entry) {
        let before = self.path.enter_key(&entry.key.text);
        self.node(&mut entry.value);
        self.path.leave(before);
    }

    fn node(&mut self, node: &mut Node) {
        match &mut node.kind {
            Kind::Scalar(scalar) if scalar.text.contains(OPENING) => {
                let mut declared = Vec::new();
                let text = self.text(&scalar.text, node.span, &mut declared);
                match &text {
                    Some(scalar) => self.expanded.note(node.span, scalar, declared),
                    // Something is written here, whatever it is.
                    None => self.report.doubt(self.path.to_string()),
                }
                node.kind = text.map_or(Kind::Broken, Kind::Scalar);
            }
            Kind::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    let before = self.path.enter_item(index);
                    self.node(item);
                    self.path.leave(before);
                }
            }
            Kind::Map(entries) => entries.iter_mut().for_each(|entry| self.entry(entry)),
            Kind::Scalar(_) | Kind::Broken => {}
        }
    }

    /// The text with values in it, and where those are `declared`; none when one has no value, which is reported here or was there.
    fn text(&mut self, text: &str, span: Span, declared: &mut Vec<Span>) -> Option<Scalar> {
        let mut expanded = Scalar { text: String::new(), style: Style::Quoted, origin: Origin::File };
        let mut rest = text;
        while let Some(at) = rest.find(OPENING) {
            expanded.text.push_str(&rest[..at]);
            if self.is_of_a_call(&rest[at + OPENING.len()..]) {
                expanded.text.push_str(OPENING);
                rest = &rest[at + OPENING.len()..];
                continue;
            }
            let (name, after) = self.name(&rest[at + OPENING.len()..], span)?;
            let variable = self.declared(name, span)?;
            declared.push(variable.span);
            let value = variable.value.as_ref()?;
            if rest.len() == text.len() && at == 0 && after.is_empty() {
                return Some(value.clone());
            }
            expanded.text.push_str(&value.text);
            expanded.origin = expanded.origin.max(value.origin);
            rest = after;
        }
        expanded.text.push_str(rest);
        Some(expanded)
    }

    /// Whether what stands behind `${` is known only when there is a call, where such may stand.
    fn is_of_a_call(&self, text: &str) -> bool {
        let of_a_call = ["request.", "response.", "session.", "peer."].iter().any(|source| text.starts_with(source));
        // Also where that is misspelt, which is reported.
        of_a_call && self.path.as_str().split('.').skip(2).any(|key| nearest(key, ["on_success"]).is_some())
    }

    /// The name that a text behind `${` begins with, and what follows the `}`.
    fn name<'t>(&mut self, text: &'t str, span: Span) -> Option<(&'t str, &'t str)> {
        let Some((inner, after)) = text.split_once('}') else {
            return self.push(Diagnostic::new(Rule::Variable, span, "`${` without a `}`").help("a variable is written `${var.name}`"));
        };
        match inner.strip_prefix("var.") {
            Some(name) => Some((name, after)),
            None => self.push(
                Diagnostic::new(Rule::Variable, span, format!("`${{{}}}` is not a variable", shorten(inner)))
                    .help("declare it under `vars`, and write `${var.name}`"),
            ),
        }
    }

    fn declared(&mut self, name: &str, span: Span) -> Option<&Declared> {
        let variables = self.variables;
        variables.get(name).or_else(|| {
            if !variables.complete || variables.is_refused(name) {
                return None;
            }
            let finding = Diagnostic::new(Rule::Variable, span, format!("the variable `{}` is not declared", shorten(name)));
            let finding = match variables.names().next() {
                Some(_) => finding.did_you_mean(name, variables.names()),
                None => finding.help("declare it: `vars: { name: { env: NAME } }`"),
            };
            self.push(match nearest(name, variables.names()).and_then(|near| Some((near, variables.place(near)?))) {
                Some((near, place)) => finding.related(place, format!("`{near}` is declared here")),
                None => finding,
            })
        })
    }

    /// A declaration is where values come from; it has none in it.
    fn refuse(&mut self, entry: &Entry) {
        let before = self.path.enter_key(&entry.key.text);
        let value = &entry.value;
        if value.scalar().is_some_and(|scalar| scalar.text.contains("${var.")) {
            let finding = Diagnostic::new(Rule::Variable, value.span, "a declaration of a variable cannot use a variable");
            self.push::<()>(finding.help("write the value out"));
        }
        value.entries().iter().for_each(|entry| self.refuse(entry));
        self.path.leave(before);
    }

    fn push<T>(&mut self, finding: Diagnostic) -> Option<T> {
        self.report.push(finding.path(self.path.to_string()));
        None
    }
}
