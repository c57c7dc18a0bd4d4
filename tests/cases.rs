//! The corpus of wrong configurations: one file a case, its files above a line of dashes, what `check` says below it.
//!
//! ```text
//! # routes/routes.yaml
//! version: 1
//! --------------------
//! (the findings, as people read them)
//! ```
//!
//! A line `# path.yaml` begins a file; so does one that ends in `.proto`, `.pem` or `.json`. A line `# set.binpb <- folder/file.proto`
//! is a descriptor set of a file of the case, compiled without its imports. Lines before the first file say how to load it:
//! `env: production`, `set: NAME=value`, `running: LISTEN ADMIN WORKERS` for a reload of a gateway that was started so, `only: read`
//! for a case of the grammar alone. Where there is a file `*.test.yaml`, what is said is about the tests in it. Files below `before/` are
//! what is live: then what a reload would refuse is said as well. Each says `pass: shape` when the first look, at one file by itself, finds
//! something wrong in it, else `pass: meaning`: an editor with a schema finds the former (`tests/schemas.rs`).
//! `UPDATE=1 cargo test` rewrites what stands below the dashes, and adds a `pass` that is missing; read the difference before you commit it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{env, fs};

use protogate::compare::{View, compare};
use protogate::config::{self, Environment, LoadOptions};
use protogate::diagnostic::{Pass, Report, Rule, Sources, render};
use protogate::files::Files;
use protogate::proto::Pools;
use protogate::store::StoreSpec;
use protogate::table::Fixed;
use protogate::table::compile::{Context, compile};
use protogate::table::plan::Plan;
use protogate::trial::{self, Suite};
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

const FOLDER: &str = "tests/cases/config";
const DASHES: &str = "--------------------";

/// How far a case goes.
#[derive(Clone, Copy, PartialEq)]
enum Until {
    /// Only what reading finds. A case of the grammar need not make sense.
    Read,
    /// All that `check` finds.
    Compiled,
}

/// What is said about the configuration in `routes`. The only place that touches the API.
fn check(files: &Files, case: &Case) -> (Report, Sources) {
    let lookup = |name: &str| case.variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let options = LoadOptions { folder: PathBuf::from("routes"), environment: case.environment, variables: &lookup };
    let (mut document, mut report) = config::load(files, &options);
    if case.until == Until::Compiled {
        let compiled = compile(&mut document, files, &Pools::default(), &Context::default(), case.running.as_ref(), &mut report);
        if case.files.iter().any(|(path, _)| path.ends_with(".test.yaml")) {
            return tried(files, &compiled.plan.expect("tests are of a configuration that is sound"), &options);
        }
        if case.files.iter().any(|(path, _)| path.starts_with("before/")) {
            broken(files, &compiled.plan.expect("what comes is sound"), &options, &mut report);
        }
    }
    (report, document.sources)
}

/// Adds what breaks clients of what is live, which lies below `before/`, when `plan` comes. Each route was called as often as its number says.
pub fn broken(files: &Files, plan: &Plan, options: &LoadOptions<'_>, report: &mut Report) {
    let options = LoadOptions { folder: PathBuf::from("before/routes"), environment: options.environment, variables: options.variables };
    let (mut live, mut sound) = config::load(files, &options);
    let live = compile(&mut live, files, &Pools::default(), &Context::default(), None, &mut sound).plan.expect("what is live is sound");
    let comparison = compare(&View::from(&live), &View::from(plan));
    report.extend(comparison.report(&plan.explained, &|route| Some(u64::from(route.number))));
}

/// What is said about the tests of routes below `routes`: their mistakes, or what is not as they expect.
pub fn tried(files: &Files, plan: &Plan, options: &LoadOptions<'_>) -> (Report, Sources) {
    let paths = trial::files_of(files, std::slice::from_ref(&options.folder)).unwrap();
    let suite = Suite::read(files, &paths, plan);
    if suite.report.has_errors() {
        return (suite.report, suite.sources);
    }
    let mut report = Report::default();
    suite.run(|_| true, plan, 0).tests.into_iter().for_each(|ran| report.extend(ran.report));
    (report, suite.sources)
}

pub struct Case {
    pub path: PathBuf,
    /// What is to be found by the first look, or what is wrong with all of it together.
    pub pass: Option<Pass>,
    until: Until,
    environment: Environment,
    variables: Vec<(String, String)>,
    /// The fixed part of the gateway that reads this again.
    running: Option<Fixed>,
    files: Vec<(String, String)>,
    /// Descriptor sets: the path, and the .proto file that is in it.
    sets: Vec<(String, String)>,
    /// Everything above the dashes.
    given: String,
    expected: String,
}

/// .proto files by the name that others import them by.
struct Protos(BTreeMap<String, String>);

#[test]
fn every_case_is_reported_as_its_file_says() {
    let mut wrong = Vec::new();
    for case in cases() {
        let (report, sources) = run(&case);
        let said = said(&report, &sources);
        let updates = env::var_os("UPDATE").is_some();
        if said == case.expected && (case.pass.is_some() || !updates) {
            continue;
        }
        if updates {
            let head = if case.pass.is_none() { format!("pass: {}\n", case.found().name()) } else { String::new() };
            fs::write(&case.path, format!("{head}{}{DASHES}\n{said}", case.given)).unwrap();
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
    let missing: Vec<&str> = Rule::ALL.iter().filter(|rule| !shown.contains(rule)).map(|rule| rule.code()).collect();
    assert!(missing.is_empty(), "no case shows {missing:?}");
}

#[test]
fn every_case_says_which_look_finds_what_is_wrong() {
    let mut wrong = Vec::new();
    for case in cases() {
        let pass = case.found();
        if case.pass != Some(pass) {
            wrong.push(format!("{}: its head must say `pass: {}`", case.path.display(), pass.name()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn twelve_mistakes_in_three_files_are_reported_in_one_run() {
    let case = Case::read(PathBuf::from(FOLDER).join("twelve_mistakes.case"));
    let (report, sources) = run(&case);
    let findings = report.sorted();
    let rules: BTreeSet<Rule> = findings.iter().map(|finding| finding.rule).collect();
    let files: BTreeSet<&Path> = findings.iter().map(|finding| sources.file(finding.label.span.file).path.as_path()).collect();
    assert_eq!((findings.len(), rules.len()), (12, 12), "{}", said(&report, &sources));
    assert_eq!(files.len(), 3, "{files:?}");
}

#[test]
fn every_finding_has_a_path_or_is_about_a_whole_file() {
    for case in cases() {
        let (report, sources) = run(&case);
        for finding in report.sorted() {
            let in_proto = sources.file(finding.label.span.file).path.extension().is_some_and(|extension| extension == "proto");
            let at_the_top = finding.label.span.end == 0;
            let whole_file = at_the_top || in_proto || matches!(finding.rule, Rule::Syntax | Rule::RefusedYaml | Rule::MissingKey);
            assert!(whole_file || !finding.path.is_empty(), "{}: {}", case.path.display(), finding.message);
        }
    }
}

pub fn cases() -> Vec<Case> {
    let mut paths: Vec<PathBuf> = fs::read_dir(FOLDER).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "case"));
    paths.sort();
    paths.into_iter().map(Case::read).collect()
}

/// Loads a case from memory, so that its paths are the same everywhere. What is leaked is gone when the tests are.
pub fn run(case: &Case) -> (Report, Sources) {
    check(&case.files(), case)
}

fn said(report: &Report, sources: &Sources) -> String {
    match render::human(report, sources, render::Color::Plain) {
        text if text.is_empty() => "(nothing)\n".to_owned(),
        text => text,
    }
}

// === impl Case ===

impl Case {
    fn files(&self) -> Files {
        let leak = |text: &str| -> &'static str { text.to_owned().leak() };
        let files: Vec<_> = self.files.iter().map(|(path, text)| (leak(path), leak(text))).collect();
        self.sets.iter().fold(Files::in_memory(files.leak()), |files, (path, proto)| files.with(path, self.set(proto)))
    }

    /// The look that finds what is wrong.
    fn found(&self) -> Pass {
        let (report, _) = self.read_alone();
        let is_of_shape = report.sorted().iter().any(|finding| finding.rule.pass() == Pass::Shape);
        if is_of_shape { Pass::Shape } else { Pass::Meaning }
    }

    /// What the first look finds, and the files that it read.
    pub fn read_alone(&self) -> (Report, Sources) {
        let lookup = |name: &str| self.variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        let options = LoadOptions { folder: PathBuf::from("routes"), environment: self.environment, variables: &lookup };
        let (document, report) = config::load(&self.files(), &options);
        (report, document.sources)
    }

    /// A file of it, as it is written.
    pub fn text(&self, path: &Path) -> Option<&str> {
        self.files.iter().find(|(name, _)| Path::new(name) == path).map(|(_, text)| text.as_str())
    }

    fn read(path: PathBuf) -> Case {
        let text = fs::read_to_string(&path).unwrap();
        let (given, expected) = match text.split_once(&format!("{DASHES}\n")) {
            Some((given, expected)) => (given.to_owned(), expected.to_owned()),
            None => (text.clone(), String::new()),
        };
        let mut case = Case {
            path,
            pass: None,
            until: Until::Compiled,
            environment: Environment::Development,
            variables: Vec::new(),
            running: None,
            sets: Vec::new(),
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
        let named = word.strip_prefix("# ");
        let text = |name: &&str| [".yaml", ".proto", ".pem", ".json"].iter().any(|extension| name.ends_with(extension));
        if let Some((set, proto)) = named.and_then(|named| named.split_once(" <- ")) {
            self.sets.push((set.to_owned(), proto.to_owned()));
        } else if let Some(name) = named.filter(text) {
            self.files.push((name.to_owned(), String::new()));
        } else if let Some((_, text)) = self.files.last_mut() {
            text.push_str(line);
        } else if let Some(name) = word.strip_prefix("pass: ") {
            self.pass = [Pass::Shape, Pass::Meaning].into_iter().find(|pass| pass.name() == name);
        } else if word == "only: read" {
            self.until = Until::Read;
        } else if let Some(name) = word.strip_prefix("env: ") {
            self.environment = Environment::ALL.into_iter().find(|environment| environment.name() == name).unwrap();
        } else if let Some((name, value)) = word.strip_prefix("set: ").and_then(|set| set.split_once('=')) {
            self.variables.push((name.to_owned(), value.to_owned()));
        } else if let Some(running) = word.strip_prefix("running: ") {
            let [listen, admin, workers] = running.split(' ').collect::<Vec<_>>()[..] else { panic!("three words") };
            self.running = Some(running_at(listen, admin, workers.parse().unwrap()));
        } else {
            assert!(word.is_empty() || word.starts_with("//"), "{}: `{word}` is not understood", self.path.display());
        }
    }
    /// A set of one of the .proto files alone; what it imports is found below the same folder.
    fn set(&self, proto: &str) -> Vec<u8> {
        let (folder, name) = proto.split_once('/').expect("a .proto file of a set lies in a folder");
        let below = self.files.iter().filter_map(|(path, text)| Some((path.strip_prefix(folder)?.strip_prefix('/')?, text)));
        set_of(name, below.map(|(name, text)| (name.to_owned(), text.clone())).collect())
    }
}

/// A set of one .proto file alone, which imports others by their names.
pub fn set_of(name: &str, texts: BTreeMap<String, String>) -> Vec<u8> {
    let mut resolver = ChainFileResolver::new();
    resolver.add(Protos(texts));
    resolver.add(GoogleFileResolver::new());
    protox::Compiler::with_file_resolver(resolver).open_file(name).unwrap().encode_file_descriptor_set()
}

/// The fixed part of a gateway that was started so.
pub fn running_at(listen: &str, admin: &str, workers: usize) -> Fixed {
    Fixed {
        listen: listen.parse().unwrap(),
        admin: admin.parse().unwrap(),
        workers,
        admin_token: None,
        store: StoreSpec::Embedded,
        push: None,
        log_json: false,
    }
}

// === impl Protos ===

impl FileResolver for Protos {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        File::from_source(name, self.0.get(name).ok_or_else(|| protox::Error::file_not_found(name))?)
    }
}
