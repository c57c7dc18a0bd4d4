//! Variables: the only door through which the environment reaches the configuration.
//!
//! `vars` of every file declares them, in one set of names; each gets its value here, of its type. `expand.rs` puts values into documents.
//! Promise: what comes from a secret variable is marked, and no finding shows it.

use std::cell::Cell;
use std::collections::BTreeMap;

use super::document::{VarType, Variable};
use super::grammar::{Map, Read};
use super::reader::Reader;
use super::tree::{Node, Origin, Scalar, Style};
use super::value::{Name, Value as _, VarValue};
use crate::diagnostic::{Diagnostic, Report, Rule, Span, Spanned, nearest};

/// Every variable of the configuration by name.
pub struct Variables {
    declared: BTreeMap<String, Declared>,
    /// Names that are none, which is reported where they are read.
    refused: Vec<String>,
    /// False when `vars` of a file could not be read: what seems not to be declared may stand there.
    pub complete: bool,
}

/// A variable that is declared, whatever became of it.
pub struct Declared {
    pub span: Span,
    /// None when it has no value, which was reported.
    pub value: Option<Scalar>,
    used: Cell<bool>,
}

/// Looks up environment variables.
type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

// === impl Variables ===

impl Variables {
    /// Reads the `vars` of every file and gives each variable its value.
    pub fn declare(roots: &[&Node], lookup: Lookup<'_>, report: &mut Report) -> Variables {
        let is_misspelt = |key: &str| key != "vars" && nearest(key, ["vars"]).is_some();
        let complete = !roots.iter().any(|root| root.entries().iter().any(|entry| is_misspelt(&entry.key.text)));
        let mut variables = Variables { declared: BTreeMap::new(), refused: Vec::new(), complete };
        for section in roots.iter().filter_map(|root| root.get("vars")) {
            // What is wrong with a declaration is reported when its file is read.
            let Some(map) = Map::<Name, Variable>::read(section, &mut Reader::new(&mut Report::default(), "".as_ref())) else {
                variables.complete = false;
                continue;
            };
            let keys = section.entries().iter().map(|entry| entry.key.text.as_str());
            variables.refused.extend(keys.filter(|key| Name::parse(key).is_err()).map(str::to_owned));
            for name in map.broken() {
                variables.declared.entry(name.to_string()).or_insert(Declared::new(section.span, None, true));
            }
            for (name, variable) in map.iter() {
                variables.declare_one(name, variable, section.get(name.as_str()), lookup, report);
            }
        }
        variables
    }

    fn declare_one(&mut self, name: &Spanned<Name>, variable: &Variable, written: Option<&Node>, lookup: Lookup<'_>, report: &mut Report) {
        let path = format!("vars.{}", name.value);
        if let Some(first) = self.declared.get(name.as_str()) {
            let finding = Diagnostic::new(Rule::DuplicateName, name.span, format!("the variable `{}` is declared twice", name.value));
            return report.push(finding.label("and again here").related(first.span, "first here").path(path));
        }
        // What could not be read, or stands under a misspelt key, is reported when the file is read.
        let entries = written.map(Node::entries).unwrap_or_default();
        let has_other = |known: &[&str]| entries.iter().any(|entry| !known.contains(&entry.key.text.as_str()));
        if variable.type_.is_none() && has_other(&["env", "default", "secret"]) {
            self.declared.insert(name.to_string(), Declared::new(name.span, None, false));
            return;
        }
        let value = value_of(variable, lookup).unwrap_or_else(|finding| {
            if variable.default.is_some() || !has_other(&["env", "type", "secret"]) {
                report.push((*finding).path(path));
            }
            None
        });
        self.declared.insert(name.to_string(), Declared::new(name.span, value, false));
    }

    /// Whoever looks a variable up uses it.
    pub fn get(&self, name: &str) -> Option<&Declared> {
        self.declared.get(name).inspect(|declared| declared.used.set(true))
    }

    /// What nobody has looked up: names, and where they are declared.
    pub fn unused(&self) -> Vec<Spanned<String>> {
        let unused = self.declared.iter().filter(|(_, declared)| !declared.used.get());
        unused.map(|(name, declared)| Spanned::new(name.clone(), declared.span)).collect()
    }

    /// Whether a declaration was probably meant to be of this name, and could not be used.
    pub fn is_refused(&self, name: &str) -> bool {
        nearest(name, self.refused.iter().map(String::as_str)).is_some()
    }

    /// Where a variable is declared.
    pub fn place(&self, name: &str) -> Option<Span> {
        self.declared.get(name).map(|declared| declared.span)
    }

    /// Every name, for remedies.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.declared.keys().map(String::as_str)
    }
}

// === impl Declared ===

impl Declared {
    fn new(span: Span, value: Option<Scalar>, used: bool) -> Declared {
        Declared { span, value, used: Cell::new(used) }
    }
}

/// The value of a variable: the environment's, else its default. None for a declaration that is broken, which is reported elsewhere.
fn value_of(variable: &Variable, lookup: Lookup<'_>) -> Result<Option<Scalar>, Box<Diagnostic>> {
    let finding = |span, what| Box::new(Diagnostic::new(Rule::Variable, span, what));
    let Some(env) = &variable.env else { return Ok(None) };
    let kind = variable.type_.as_ref().map_or(VarType::String, |kind| kind.value);
    let is_secret = variable.secret.as_ref().is_some_and(|secret| secret.value);
    let origin = if is_secret { Origin::Secret } else { Origin::Variable };
    if let Some(text) = lookup(env.as_str()) {
        let wrong = || finding(env.span, format!("the environment variable `{}` is not {}", env.as_str(), name_of(kind)));
        return typed(&text, kind, origin).map(Some).ok_or_else(wrong);
    }
    let Some(default) = &variable.default else {
        let unset = finding(env.span, format!("the environment variable `{}` is not set", env.as_str()));
        return Err(Box::new(unset.help("set it, or give the variable a `default`")));
    };
    let text = match &default.value {
        VarValue::String(text) => text.clone(),
        VarValue::Integer(number) => number.to_string(),
        VarValue::Bool(value) => value.to_string(),
    };
    typed(&text, kind, origin).map(Some).ok_or_else(|| finding(default.span, format!("the default is not {}", name_of(kind))))
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
