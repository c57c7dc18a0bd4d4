//! `schemas/` and the shipped configuration, held against the code. `UPDATE=1 cargo test` rewrites `schemas/`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{env, fs};

use jsonschema::Validator;
use jsonschema::error::ValidationErrorKind;
use protogate::config::{self, Environment, LoadOptions, schema};
use protogate::diagnostic::{Diagnostic, Pass, Rule, render};
use protogate::files::Files;
use serde_json::Value;

use crate::cases::cases;
use crate::support::shipped_routes;

#[test]
fn the_schemas_are_what_the_grammar_says() {
    for file in schema::files() {
        let (path, text) = (PathBuf::from("schemas").join(file.file_name()), file.text());
        if env::var_os("UPDATE").is_some() {
            fs::write(&path, &text).unwrap();
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(found == text, "{} differs from the grammar; UPDATE=1 rewrites it", path.display());
    }
}

#[test]
fn every_key_has_a_sentence() {
    for schema::FileSchema { name, schema } in schema::files() {
        for (section, definition) in schema["$defs"].as_object().unwrap() {
            for (key, property) in definition["properties"].as_object().into_iter().flatten() {
                let sentence = property["description"].as_str().unwrap_or_default();
                assert!(sentence.ends_with('.'), "{name}: {section}.{key}: `{sentence}` is no sentence");
            }
        }
    }
}

#[test]
fn the_shipped_configuration_has_no_findings_in_any_environment() {
    for environment in Environment::ALL {
        let options = LoadOptions { folder: PathBuf::from("routes"), environment, variables: &|_| None };
        let (document, report) = config::load(&Files::on_disk(), &options);
        assert!(report.is_empty(), "{}", render::human(&report, &document.sources, render::Color::Plain));
        assert!(document.complete);
    }
}

#[test]
fn every_default_that_the_shipped_gateway_file_shows_can_be_uncommented() {
    let text = fs::read_to_string("routes/gateway.yaml").unwrap();
    let (head, keys) = text.split_once("version: 1\n").unwrap();
    // Prose begins with a capital letter or is an item of an example; keys do not and are not.
    let is_key = |line: &str| line.trim_start().starts_with(|c: char| c.is_ascii_lowercase()) && line.contains(':');
    let uncommented: String = keys
        .lines()
        .filter_map(|line| line.strip_prefix("# ").filter(|line| is_key(line) && !line.starts_with("    ")))
        .map(|line| format!("{line}\n"))
        .collect();
    let gateway: &'static str = format!("{head}version: 1\n{uncommented}").leak();
    let routes = shipped_routes().into_iter().map(|(path, text)| -> (&'static str, &'static str) { (path.leak(), text.leak()) });
    let files = routes.chain([("routes/gateway.yaml", gateway)]).collect::<Vec<_>>().leak();
    let options = LoadOptions { folder: PathBuf::from("routes"), environment: Environment::Development, variables: &|_| None };
    let (document, report) = config::load(&Files::in_memory(files), &options);
    assert!(report.is_empty(), "{}", render::human(&report, &document.sources, render::Color::Plain));
    let shown = &document.gateway;
    assert!(shown.reload.is_some() && shown.tls.is_some() && shown.sessions.is_some() && shown.auth.is_some(), "{gateway}");
}

/// What a schema cannot say, and what it would take to know. Every entry is met by a case, so that the list stays as short as it can be.
const BEYOND_SCHEMAS: &[(Rule, &str, &str)] = &[
    (Rule::Syntax, "", "an editor says by itself what is no YAML"),
    (Rule::RefusedYaml, "", "a schema sees what tags, anchors and merge keys stand for"),
    (Rule::DuplicateKey, "", "a schema sees one of the two; editors mark the other by themselves"),
    (Rule::AmbiguousWord, "", "a schema sees text"),
    (Rule::ListEdit, "a list over another list", "the other list is in another file"),
    (Rule::BadValue, "bits set behind the prefix", "takes arithmetic"),
    (Rule::BadValue, "two segments have the same name", "takes a memory that patterns of editors lack"),
];

/// One place at which two readers may disagree: the path that `check` gives it.
fn touches(one: &str, other: &str) -> bool {
    let within = |inner: &str, outer: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
    let shallow = one.is_empty() || other.is_empty();
    if shallow { one == other } else { within(one, other) || within(other, one) }
}

/// Where a schema objects, as paths of ours. An unknown key is its own place, not that of the map around it.
fn objections(schema: &Validator, file: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for error in schema.iter_errors(file) {
        let (mut path, mut at) = (String::new(), Some(file));
        for part in error.instance_path().as_str().split('/').skip(1) {
            let part = part.replace("~1", "/").replace("~0", "~");
            match at {
                Some(Value::Array(items)) => {
                    path.push_str(&format!("[{part}]"));
                    at = part.parse::<usize>().ok().and_then(|index| items.get(index));
                }
                other => {
                    let dot = if path.is_empty() { "" } else { "." };
                    path.push_str(&format!("{dot}{part}"));
                    at = other.and_then(|map| map.get(&part));
                }
            }
        }
        let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => found.extend(unexpected.iter().map(|key| below(key))),
            ValidationErrorKind::PropertyNames { error } => found.extend(error.instance().as_str().map(below)),
            _ => found.push(path),
        }
    }
    found
}

fn schema(name: &str) -> Validator {
    let file = schema::files().into_iter().find(|file| file.name == name).unwrap();
    jsonschema::validator_for(&file.schema).unwrap()
}

/// The name of the schema that an editor would use for a file: the one that its first line names in what is shipped.
fn schema_of(path: &Path) -> &'static str {
    let name = path.file_name().unwrap().to_str().unwrap();
    let is_overlay = Environment::ALL.iter().any(|environment| name.ends_with(&format!(".{}.yaml", environment.name())));
    match (name.starts_with("gateway."), is_overlay) {
        (true, false) => "gateway",
        (true, true) => "gateway-overlay",
        (false, true) => "routes-overlay",
        (false, false) if name == "routes.yaml" => "routes",
        (false, false) => "group",
    }
}

#[test]
fn a_schema_objects_where_the_first_look_does_and_nowhere_else() {
    let schemas: BTreeMap<&str, Validator> =
        ["routes", "group", "gateway", "routes-overlay", "gateway-overlay"].map(|name| (name, schema(name))).into();
    let (mut wrong, mut met) = (Vec::new(), BTreeSet::new());
    for case in cases() {
        let (report, sources) = case.read_alone();
        let findings = report.sorted();
        for source in sources.iter() {
            let name = schema_of(&source.path);
            // As it is written: what `check` keeps is without secrets.
            let file = case.text(&source.path).and_then(schema::plain);
            let objections = file.as_ref().map(|file| objections(&schemas[name], file)).unwrap_or_default();
            let here: Vec<_> = findings.iter().filter(|finding| sources.file(finding.label.span.file).path == source.path).collect();
            // Nothing else is said of a file in another version of the language.
            if here.iter().any(|finding| finding.rule == Rule::Version) {
                assert!(objections.iter().any(|place| place == "version"), "{}", case.path.display());
                continue;
            }
            // Nor does a schema know the values of variables.
            let written = |finding: &Diagnostic| {
                source.text.get(finding.label.span.start..finding.label.span.end).unwrap_or_default().contains("${var.")
            };
            for finding in here.iter().filter(|finding| finding.rule.pass() == Pass::Shape && !written(finding)) {
                // What overlays say of lists has another place once they are merged.
                let objects = match name.ends_with("overlay") {
                    true => !objections.is_empty(),
                    false => objections.iter().any(|place| touches(place, &finding.path)),
                };
                let beyond = BEYOND_SCHEMAS.iter().position(|(rule, words, _)| {
                    let said = format!("{} {}", finding.message, finding.label.text);
                    *rule == finding.rule && said.contains(words)
                });
                match (objects, beyond) {
                    (true, _) => {}
                    (false, Some(at)) => drop(met.insert(at)),
                    (false, None) => wrong.push(format!(
                        "{}: {}: no objection at `{}`: {} {}: {}",
                        case.path.display(),
                        source.path.display(),
                        finding.path,
                        finding.rule.code(),
                        finding.message,
                        finding.label.text
                    )),
                }
            }
            for place in objections {
                let known = here.iter().any(|finding| match name.ends_with("overlay") {
                    true => true,
                    false => touches(&place, &finding.path),
                });
                if !known {
                    wrong.push(format!("{}: {}: objects at `{place}`, where nothing is wrong", case.path.display(), source.path.display()));
                }
            }
        }
    }
    let idle: Vec<_> = (0..BEYOND_SCHEMAS.len()).filter(|at| !met.contains(at)).map(|at| BEYOND_SCHEMAS[at]).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(idle.is_empty(), "no case needs these any more: {idle:?}");
}

#[test]
fn a_schema_takes_every_file_that_is_shipped_or_an_example() {
    let mut seen = 0;
    for folder in ["routes", "examples/greeter/routes", "examples/policy/routes", "examples/deploy/routes", "examples/deploy/systemd"] {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "yaml") || path.to_string_lossy().ends_with(".test.yaml") {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let name = schema_of(&path);
            assert_eq!(objections(&schema(name), &schema::plain(&text).unwrap()), Vec::<String>::new(), "{}", path.display());
            if text.starts_with("# yaml-language-server") {
                assert!(text.lines().next().unwrap().ends_with(&format!("schemas/{name}.schema.json")), "{}", path.display());
            }
            seen += 1;
        }
    }
    assert!(seen > 10);
}
