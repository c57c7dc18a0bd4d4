//! `schemas/` and the shipped configuration, held against the code. `UPDATE=1 cargo test` rewrites `schemas/`.

use std::path::PathBuf;
use std::{env, fs};

use protogate::config::{self, Environment, LoadOptions, schema};
use protogate::diagnostic::render;
use protogate::files::Files;

use crate::support::shipped_routes;

#[test]
fn the_schemas_are_what_the_grammar_says() {
    for (name, text) in schema::files() {
        let path = PathBuf::from("schemas").join(name);
        if env::var_os("UPDATE").is_some() {
            fs::write(&path, &text).unwrap();
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(found == text, "{} differs from the grammar; UPDATE=1 rewrites it", path.display());
    }
}

#[test]
fn every_key_has_a_sentence() {
    for (name, text) in schema::files() {
        let schema: serde_json::Value = serde_json::from_str(&text).unwrap();
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
