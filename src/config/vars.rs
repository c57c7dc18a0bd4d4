//! Variables: the only door through which the environment reaches the configuration.
//!
//! `${var.name}` stands in scalars, and what takes its place is a scalar too: a value can hold any text and never becomes a key, a list or a
//! second line of YAML. A scalar that is one variable and nothing else has the variable's type; within other text it is text.
//! Promise: what came from a secret variable is marked, and no finding shows it.

use std::collections::BTreeMap;

use super::document::{VarType, Variable};
use super::grammar::{Map, Read};
use super::path::DocPath;
use super::reader::Reader;
use super::tree::{Kind, Node, Origin, Scalar, Style};
use super::value::{Name, VarValue};
use crate::diagnostic::{Diagnostic, Report, Rule, Span, Spanned};

/// Where a variable begins in a text.
const OPENING: &str = "${";

/// Every variable of the configuration by name.
#[derive(Default)]
pub struct Variables {
    declared: BTreeMap<String, Declared>,
}

struct Declared {
    span: Span,
    /// None when it has no value, which was reported.
    value: Option<Scalar>,
}

/// Looks up environment variables.
type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

// === impl Variables ===

impl Variables {
    /// Reads the `vars` of every file and gives each variable its value. All files share one set of names.
    pub fn declare(roots: &[&Node], lookup: Lookup<'_>, report: &mut Report) -> Variables {
        let mut variables = Variables::default();
        for section in roots.iter().filter_map(|root| root.get("vars")) {
            // What is wrong with a declaration is reported when its file is read.
            let Some(map) = Map::<Name, Variable>::read(section, &mut Reader::new(&mut Report::default(), "".as_ref())) else { continue };
            for name in map.broken() {
                variables.declared.entry(name.to_string()).or_insert(Declared { span: section.span, value: None });
            }
            for (name, variable) in map.iter() {
                variables.declare_one(name, variable, lookup, report);
            }
        }
        variables
    }

    fn declare_one(&mut self, name: &Spanned<Name>, variable: &Variable, lookup: Lookup<'_>, report: &mut Report) {
        let path = format!("vars.{}", name.value);
        if let Some(first) = self.declared.get(name.as_str()) {
            let finding = Diagnostic::new(Rule::DuplicateName, name.span, format!("the variable `{}` is declared twice", name.value));
            return report.push(finding.label("and again here").related(first.span, "first here").path(path));
        }
        let value = match value_of(variable, lookup) {
            Ok(value) => value,
            Err(finding) => {
                report.push(finding.path(path));
                None
            }
        };
        self.declared.insert(name.to_string(), Declared { span: name.span, value });
    }

    /// Puts values in place of variables everywhere but in `vars` itself.
    pub fn expand(&self, root: &mut Node, report: &mut Report) {
        let Kind::Map(entries) = &mut root.kind else { return };
        let mut path = DocPath::default();
        for entry in entries.iter_mut() {
            let before = path.enter_key(&entry.key.text);
            match entry.key.text.as_str() {
                "vars" => refuse_in_declarations(&entry.value, &mut path, report),
                _ => self.expand_node(&mut entry.value, &mut path, report),
            }
            path.leave(before);
        }
    }

    fn expand_node(&self, node: &mut Node, path: &mut DocPath, report: &mut Report) {
        match &mut node.kind {
            Kind::Scalar(scalar) if scalar.text.contains(OPENING) => match self.expand_text(&scalar.text, node.span) {
                Ok(Some(expanded)) => *scalar = expanded,
                Ok(None) => node.kind = Kind::Broken,
                Err(finding) => {
                    report.push((*finding).path(path.to_string()));
                    node.kind = Kind::Broken;
                }
            },
            Kind::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    let before = path.enter_item(index);
                    self.expand_node(item, path, report);
                    path.leave(before);
                }
            }
            Kind::Map(entries) => {
                for entry in entries {
                    let before = path.enter_key(&entry.key.text);
                    self.expand_node(&mut entry.value, path, report);
                    path.leave(before);
                }
            }
            Kind::Scalar(_) | Kind::Broken => {}
        }
    }

    /// The text with values in it; none when a variable has no value, which was reported at its declaration.
    fn expand_text(&self, text: &str, span: Span) -> Result<Option<Scalar>, Box<Diagnostic>> {
        let mut expanded = Scalar { text: String::new(), style: Style::Quoted, origin: Origin::File };
        let mut rest = text;
        while let Some(at) = rest.find(OPENING) {
            expanded.text.push_str(&rest[..at]);
            let (name, after) = name_at(&rest[at + OPENING.len()..]).map_err(|finding| Box::new(finding.at(span)))?;
            let Some(value) = &self.find(name, span)?.value else { return Ok(None) };
            if at == 0 && after.is_empty() && expanded.text.is_empty() {
                return Ok(Some(value.clone()));
            }
            expanded.text.push_str(&value.text);
            expanded.origin = expanded.origin.max(value.origin);
            rest = after;
        }
        expanded.text.push_str(rest);
        Ok(Some(expanded))
    }

    fn find(&self, name: &str, span: Span) -> Result<&Declared, Box<Diagnostic>> {
        self.declared.get(name).ok_or_else(|| {
            let finding = Diagnostic::new(Rule::Variable, span, format!("the variable `{name}` is not declared"));
            let names: Vec<&str> = self.declared.keys().map(String::as_str).collect();
            Box::new(match names.as_slice() {
                [] => finding.help(format!("declare it: `vars: {{ {name}: {{ env: {} }} }}`", name.to_uppercase())),
                _ => finding.did_you_mean(name, names),
            })
        })
    }
}

/// Why `${…}` is not a variable.
struct Malformed {
    what: String,
    help: String,
}

// === impl Malformed ===

impl Malformed {
    fn at(self, span: Span) -> Diagnostic {
        Diagnostic::new(Rule::Variable, span, self.what).help(self.help)
    }
}

/// The name of the variable that a text begins with, behind `${`, and what follows it.
fn name_at(text: &str) -> Result<(&str, &str), Malformed> {
    let Some((inner, after)) = text.split_once('}') else {
        return Err(Malformed { what: "`${` without a `}`".to_owned(), help: "a variable is written `${var.name}`".to_owned() });
    };
    match inner.strip_prefix("var.") {
        Some(name) => Ok((name, after)),
        None => Err(Malformed {
            what: format!("`${{{}}}` is not a variable", super::tree::shorten(inner)),
            help: "declare it under `vars`, and write `${var.name}`".to_owned(),
        }),
    }
}

/// The value of a declared variable: the environment's, else its default.
fn value_of(variable: &Variable, lookup: Lookup<'_>) -> Result<Option<Scalar>, Diagnostic> {
    // Without `env` the declaration is broken, and that is reported elsewhere.
    let Some(env) = &variable.env else { return Ok(None) };
    let kind = variable.type_.as_ref().map_or(VarType::String, |kind| kind.value);
    let is_secret = variable.secret.as_ref().is_some_and(|secret| secret.value);
    let origin = if is_secret { Origin::Secret } else { Origin::Variable };
    if let Some(text) = lookup(env.as_str()) {
        return typed(&text, kind, origin).map(Some).ok_or_else(|| {
            Diagnostic::new(Rule::Variable, env.span, format!("the environment variable `{}` is not {}", env.as_str(), name_of(kind)))
                .label("its value has another type")
        });
    }
    let Some(default) = &variable.default else {
        return Err(Diagnostic::new(Rule::Variable, env.span, format!("the environment variable `{}` is not set", env.as_str()))
            .help("set it, or give the variable a `default`"));
    };
    let text = match &default.value {
        VarValue::String(text) => text.clone(),
        VarValue::Integer(number) => number.to_string(),
        VarValue::Bool(value) => value.to_string(),
    };
    typed(&text, kind, origin)
        .map(Some)
        .ok_or_else(|| Diagnostic::new(Rule::Variable, default.span, format!("the default is not {}", name_of(kind))))
}

/// Text as a scalar of a type: a number or bool reads as one, text never does.
fn typed(text: &str, kind: VarType, origin: Origin) -> Option<Scalar> {
    let (fits, style) = match kind {
        VarType::String => (true, Style::Quoted),
        VarType::Integer => (text.parse::<i64>().is_ok(), Style::Plain),
        VarType::Bool => (matches!(text, "true" | "false"), Style::Plain),
    };
    fits.then(|| Scalar { text: text.to_owned(), style, origin })
}

fn name_of(kind: VarType) -> &'static str {
    match kind {
        VarType::String => "text",
        VarType::Integer => "a whole number",
        VarType::Bool => "`true` or `false`",
    }
}

/// A declaration is where values come from; it has none in it.
fn refuse_in_declarations(node: &Node, path: &mut DocPath, report: &mut Report) {
    if node.scalar().is_some_and(|scalar| scalar.text.contains("${var.")) {
        let finding = Diagnostic::new(Rule::Variable, node.span, "a declaration of a variable cannot use a variable");
        report.push(finding.help("write the value out").path(path.to_string()));
    }
    for entry in node.entries() {
        let before = path.enter_key(&entry.key.text);
        refuse_in_declarations(&entry.value, path, report);
        path.leave(before);
    }
}
