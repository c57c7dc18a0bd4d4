//! `vars:` and `${var.name}`: the only door for environment variables.
//!
//! Promises: a value is put into scalars alone, after the text was parsed, so it can never add structure; a secret is marked wherever it
//! goes, so that nothing prints it.

use std::collections::HashMap;

use super::document::{VarType, Variable};
use super::grammar::{Map, Read, Reader};
use super::tree::{Kind, Node, Scalar};
use super::value::Name;
use crate::diagnostic::{Diagnostic, Rule, Span};

/// The variables of both files, by name.
#[derive(Default)]
pub struct Variables {
    known: HashMap<String, Resolved>,
}

struct Resolved {
    declared: Span,
    /// None when it could not be resolved, which has been reported.
    value: Option<Value>,
}

struct Value {
    text: String,
    /// It may be read as a number, or as true or false.
    plain: bool,
    secret: bool,
}

// === impl Variables ===

impl Variables {
    /// Resolves what a file declares under `vars`.
    pub fn declare(&mut self, root: &Node, environment: &dyn Fn(&str) -> Option<String>, reader: &mut Reader<'_>) {
        let Some(node) = root.get("vars").filter(|node| !matches!(node.kind, Kind::Null)) else { return };
        // Reported when the whole file is read; here only what is sound matters.
        let mut unheard = crate::diagnostic::Report::default();
        let Some(declared) = Map::<Name, Variable>::read(node, &mut Reader::new(reader.sources, &mut unheard)) else { return };
        for (name, variable) in &declared.0 {
            let path = format!("vars.{}", name.as_str());
            if let Some(first) = self.known.get(name.as_str()) {
                let what = format!("the variable `{}` is declared twice", name.as_str());
                let twice = Diagnostic::new(Rule::DuplicateName, name.span, what).label("declared again here").related(first.declared, "declared first here");
                reader.report.push(twice.help("declare it in one of the files").path(path));
                continue;
            }
            let value = resolve(name.as_str(), &variable.value, environment).map_err(|finding| reader.report.push(finding.path(path))).ok();
            self.known.insert(name.as_str().to_owned(), Resolved { declared: name.span, value });
        }
    }

    /// Puts values into every scalar below `node`, except below the declarations themselves.
    pub fn expand(&self, node: &mut Node, reader: &mut Reader<'_>) {
        match &mut node.kind {
            Kind::Null => {}
            Kind::Scalar(scalar) => self.expand_scalar(scalar, node.span, reader),
            Kind::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    reader.at(&index.to_string(), |reader| self.expand(item, reader));
                }
            }
            Kind::Map(entries) => {
                for entry in entries {
                    reader.at(&entry.key, |reader| self.expand(&mut entry.value, reader));
                }
            }
        }
    }

    fn expand_scalar(&self, scalar: &mut Scalar, span: Span, reader: &mut Reader<'_>) {
        if !scalar.text.contains("${") {
            return;
        }
        let mut expanded = String::new();
        let mut rest = scalar.text.as_str();
        let mut whole = None;
        let mut secret = false;
        while let Some((before, after)) = rest.split_once("${") {
            expanded.push_str(before);
            let Some((inside, after)) = after.split_once('}') else {
                reader.push(Diagnostic::new(Rule::Variable, span, "a `${` without its `}`").help("write `${var.name}`"));
                return;
            };
            rest = after;
            let Some(value) = self.value(inside, span, reader) else { return };
            expanded.push_str(&value.text);
            secret |= value.secret;
            whole = Some(value.plain);
        }
        expanded.push_str(rest);
        let alone = scalar.text.starts_with("${") && scalar.text.ends_with('}') && scalar.text.matches("${").count() == 1;
        *scalar = Scalar {
            // A number or a truth value stays one, quoted or not, when it is all there is.
            plain: if alone { whole.unwrap_or(false) } else { scalar.plain },
            text: expanded,
            variable: true,
            secret,
        };
    }

    fn value(&self, inside: &str, span: Span, reader: &mut Reader<'_>) -> Option<&Value> {
        let Some(name) = inside.strip_prefix("var.") else {
            let what = format!("`${{{inside}}}` names no variable");
            reader.push(Diagnostic::new(Rule::Variable, span, what).help("declare it under `vars` and write `${var.name}`"));
            return None;
        };
        match self.known.get(name) {
            Some(resolved) => resolved.value.as_ref(),
            None => {
                let what = format!("the variable `{name}` is not declared");
                let finding = Diagnostic::new(Rule::Variable, span, what).did_you_mean(name, self.known.keys().map(String::as_str));
                let help = format!("declare it: `vars: {{ {name}: {{ env: {} }} }}`", name.to_ascii_uppercase().replace('-', "_"));
                reader.push(if finding.help.is_some() { finding } else { finding.help(help) });
                None
            }
        }
    }
}

fn resolve(name: &str, variable: &Variable, environment: &dyn Fn(&str) -> Option<String>) -> Result<Value, Diagnostic> {
    let Some(env) = &variable.env else {
        let what = format!("the variable `{name}` does not say which environment variable it is");
        return Err(Diagnostic::new(Rule::Variable, variable.span, what).help("write `env: NAME`"));
    };
    let secret = variable.secret.as_ref().is_some_and(|secret| secret.value);
    let set = environment(env.as_str());
    let (text, place) = match (&set, &variable.default) {
        (Some(text), _) => (text.clone(), env.span),
        (None, Some(default)) => (default.text.clone(), default.span),
        (None, None) => {
            let what = format!("the environment variable `{}` is not set, and `{name}` has no default", env.as_str());
            return Err(Diagnostic::new(Rule::Variable, env.span, what).help("set it, or write `default:`"));
        }
    };
    let kind = variable.type_.as_ref().map_or(VarType::String, |kind| kind.value);
    let fits = match kind {
        VarType::String => !text.chars().any(char::is_control),
        VarType::Integer => text.parse::<i64>().is_ok(),
        VarType::Bool => matches!(text.as_str(), "true" | "false"),
    };
    if !fits {
        let (wanted, shown) = match kind {
            VarType::String => ("a text without control characters", "its value"),
            VarType::Integer => ("a whole number", "its value"),
            VarType::Bool => ("`true` or `false`", "its value"),
        };
        let shown = if secret || set.is_some() || kind == VarType::String { shown.to_owned() } else { format!("`{text}`") };
        return Err(Diagnostic::new(Rule::Variable, place, format!("the variable `{name}` must be {wanted}, and {shown} is not")).help("change the value, or its `type`"));
    }
    Ok(Value { text, plain: kind != VarType::String, secret })
}
