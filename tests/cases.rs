//! The corpus of wrong configurations: one file a case, its YAML files above a line of dashes, what `check` says below it.
//!
//! ```text
//! # routes/routes.yaml
//! version: 1
//! --------------------
//! (the findings, as people read them)
//! ```
//!
//! A line `# path.yaml` begins a file. Lines before the first file say how to load it: `env: production`, `set: NAME=value`,
//! `only: read` for a case of the grammar alone.
//! `UPDATE=1 cargo test` rewrites what stands below the dashes; read the difference before you commit it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::{env, fs};

use protogate::config::{self, Environment, LoadOptions};
use protogate::diagnostic::{Report, Rule, Sources, render};
use protogate::files::Files;
use protogate::proto::Pools;
use protogate::table::compile::{Context, compile};

const FOLDER: &str = "tests/cases/config";
const DASHES: &str = "--------------------";

/// Rules that no case shows yet, because the pass that finds them does not exist yet.
const WITHOUT_CASE: &[Rule] = &[
    Rule::DuplicateNumber,
    Rule::UnknownBackend,
    Rule::UnknownLimit,
    Rule::RoleInheritance,
    Rule::UnknownBuiltin,
    Rule::ProtoSource,
    Rule::DescriptorSet,
    Rule::DescriptorConflict,
    Rule::Editions,
    Rule::UnknownMethod,
    Rule::UnknownMessage,
    Rule::RequestType,
    Rule::ResponseType,
    Rule::StreamingMethod,
    Rule::FieldPath,
    Rule::FieldType,
    Rule::Stamp,
    Rule::Bounds,
    Rule::Production,
    Rule::Exposed,
    Rule::TlsFile,
    Rule::TokenKey,
    Rule::LimitKey,
    Rule::NeedsRestart,
    Rule::Unused,
    Rule::UnlimitedAnonymous,
    Rule::UnreachableRoute,
    Rule::SecretInFile,
];

/// How far a case goes.
#[derive(Clone, Copy, PartialEq)]
enum Until {
    /// Only what reading finds. A case of the grammar need not make sense.
    Read,
    /// All that `check` finds.
    Compiled,
}

/// What is said about the configuration in `routes`. The only place that touches the API.
fn check(files: &Files, until: Until, environment: Environment, variables: &[(String, String)]) -> (Report, Sources) {
    let lookup = |name: &str| variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let options = LoadOptions { folder: PathBuf::from("routes"), environment, variables: &lookup };
    let (mut document, mut report) = config::load(files, &options);
    if until == Until::Compiled {
        compile(&mut document, files, &Pools::default(), &Context::default(), None, &mut report);
    }
    (report, document.sources)
}

struct Case {
    path: PathBuf,
    until: Until,
    environment: Environment,
    variables: Vec<(String, String)>,
    files: Vec<(String, String)>,
    /// Everything above the dashes.
    given: String,
    expected: String,
}

#[test]
fn every_case_is_reported_as_its_file_says() {
    let mut wrong = Vec::new();
    for case in cases() {
        let (report, sources) = run(&case);
        let said = said(&report, &sources);
        if said == case.expected {
            continue;
        }
        if env::var_os("UPDATE").is_some() {
            fs::write(&case.path, format!("{}{DASHES}\n{said}", case.given)).unwrap();
        } else {
            wrong.push(format!("{}\nexpected:\n{}\nsaid:\n{said}", case.path.display(), case.expected));
        }
    }
    assert!(wrong.is_empty(), "{}\nUPDATE=1 rewrites the cases", wrong.join("\n"));
}

#[test]
fn every_rule_has_a_case() {
    let shown: BTreeSet<Rule> =
        cases().iter().flat_map(|case| run(case).0.sorted().iter().map(|finding| finding.rule).collect::<Vec<_>>()).collect();
    let missing: Vec<&str> =
        Rule::ALL.iter().filter(|rule| !shown.contains(rule) && !WITHOUT_CASE.contains(rule)).map(|rule| rule.code()).collect();
    let superfluous: Vec<&str> = WITHOUT_CASE.iter().filter(|rule| shown.contains(rule)).map(|rule| rule.code()).collect();
    assert!(missing.is_empty(), "no case shows {missing:?}");
    assert!(superfluous.is_empty(), "{superfluous:?} have a case now: take them from the list");
}

#[test]
fn every_finding_has_a_path_or_is_about_a_whole_file() {
    for case in cases() {
        for finding in run(&case).0.sorted() {
            let at_the_top = finding.label.span.end == 0;
            let whole_file = at_the_top || matches!(finding.rule, Rule::Syntax | Rule::RefusedYaml | Rule::MissingKey);
            assert!(whole_file || !finding.path.is_empty(), "{}: {}", case.path.display(), finding.message);
        }
    }
}

fn cases() -> Vec<Case> {
    let mut paths: Vec<PathBuf> = fs::read_dir(FOLDER).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "case"));
    paths.sort();
    paths.into_iter().map(Case::read).collect()
}

/// Loads a case from memory, so that its paths are the same everywhere. What is leaked is gone when the tests are.
fn run(case: &Case) -> (Report, Sources) {
    let leak = |text: &str| -> &'static str { text.to_owned().leak() };
    let files: Vec<_> = case.files.iter().map(|(path, text)| (leak(path), leak(text))).collect();
    check(&Files::in_memory(files.leak()), case.until, case.environment, &case.variables)
}

fn said(report: &Report, sources: &Sources) -> String {
    match render::human(report, sources, render::Color::Plain) {
        text if text.is_empty() => "(nothing)\n".to_owned(),
        text => text,
    }
}

// === impl Case ===

impl Case {
    fn read(path: PathBuf) -> Case {
        let text = fs::read_to_string(&path).unwrap();
        let (given, expected) = match text.split_once(&format!("{DASHES}\n")) {
            Some((given, expected)) => (given.to_owned(), expected.to_owned()),
            None => (text.clone(), String::new()),
        };
        let mut case = Case {
            path,
            until: Until::Compiled,
            environment: Environment::Development,
            variables: Vec::new(),
            files: Vec::new(),
            given,
            expected,
        };
        for line in case.given.clone().split_inclusive('\n') {
            case.take(line);
        }
        case
    }

    fn take(&mut self, line: &str) {
        let word = line.trim_end();
        if let Some(name) = word.strip_prefix("# ").filter(|name| name.ends_with(".yaml")) {
            self.files.push((name.to_owned(), String::new()));
        } else if let Some((_, text)) = self.files.last_mut() {
            text.push_str(line);
        } else if word == "only: read" {
            self.until = Until::Read;
        } else if let Some(name) = word.strip_prefix("env: ") {
            self.environment = Environment::ALL.into_iter().find(|environment| environment.name() == name).unwrap();
        } else if let Some((name, value)) = word.strip_prefix("set: ").and_then(|set| set.split_once('=')) {
            self.variables.push((name.to_owned(), value.to_owned()));
        } else {
            assert!(word.is_empty() || word.starts_with("//"), "{}: `{word}` is not understood", self.path.display());
        }
    }
}
