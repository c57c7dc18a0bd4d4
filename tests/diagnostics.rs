//! The pages of diagnostics in `docs/diagnostics`: one for each code, of one shape, with examples that are run.
//!
//! An example is a file of routes, or several files, each behind a line with its name. What it does not show is as the index shows it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use protogate::config::{self, Environment, LoadOptions};
use protogate::diagnostic::render::{self, Color};
use protogate::diagnostic::{Report, Rule, Severity, Sources};
use protogate::files::Files;
use protogate::proto::Pools;
use protogate::table::Fixed;
use protogate::table::compile::{Context, compile};
use rcgen::{CertificateParams, CertifiedKey, KeyPair, PKCS_ED25519, date_time_ymd, generate_simple_self_signed};

use crate::cases::{broken, running_at, set_of, tried};
use crate::support::top;

const FOLDER: &str = "docs/diagnostics";

/// An Ed25519 key that verifies tokens.
const ID: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAz7GyWNpd4dsCwCcNEGz5aud2K4GuMpEp/Mmu/x9HCZk=\n-----END PUBLIC KEY-----\n";

/// A page, taken apart.
struct Page {
    title: String,
    wrong: String,
    right: String,
    /// What stands between and around the examples.
    prose: Vec<String>,
}

/// Files by their names, and how they are looked at.
#[derive(Clone, Default)]
struct Example {
    files: BTreeMap<String, Vec<u8>>,
    environment: Environment,
    running: Option<Fixed>,
}

#[test]
fn every_code_has_a_page_of_the_same_shape() {
    for rule in Rule::ALL {
        let page = Page::of(*rule);
        assert_eq!(page.title, format!("# {}: {}", rule.code(), rule.summary().trim_end_matches('.')), "the title is the rule's summary");
        assert_eq!(page.prose.len(), 2, "{}: what it means and why, then what to do", rule.code());
        page.prose.iter().for_each(|prose| assert!(prose.len() > 30 && prose.ends_with('.'), "{}: {prose}", rule.code()));
        assert_eq!(read(&format!("{}.md", rule.code())), rule.page(), "what is compiled in is what is there");
        let lines = rule.page().lines().count();
        assert!((10..=45).contains(&lines), "{} has {lines} lines: a page is short", rule.code());
    }
    let pages = fs::read_dir(top().join(FOLDER)).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let known = Rule::ALL.iter().map(|rule| format!("{}.md", rule.code())).chain(["README.md".to_owned()]);
    assert_eq!(pages.collect::<BTreeSet<_>>(), known.collect(), "no page is of a code that is not there");
}

#[test]
fn the_index_lists_every_code() {
    let row = |rule: &Rule| {
        let (code, summary) = (rule.code(), rule.summary().trim_end_matches('.'));
        format!("| [{code}]({code}.md) | {} | {summary} |", rule.severity().name())
    };
    let index = index();
    let listed: Vec<&str> = index.lines().filter(|line| line.starts_with("| [PG")).collect();
    assert_eq!(listed, Rule::ALL.iter().map(row).collect::<Vec<_>>());
}

#[test]
fn what_the_examples_leave_out_is_sound() {
    let (report, sources) = Example::default().checked(false);
    assert!(report.is_empty(), "{}", render::human(&report, &sources, Color::Plain));
}

#[test]
fn every_wrong_example_gives_its_code_and_no_other_error() {
    let mut failed = Vec::new();
    for rule in Rule::ALL {
        let (report, sources) = Example::read(&Page::of(*rule).wrong).checked_for(*rule);
        let found = report.sorted();
        let shows_itself = found.iter().any(|finding| finding.rule == *rule);
        if !shows_itself || found.iter().any(|finding| finding.rule.severity() == Severity::Error && finding.rule != *rule) {
            failed.push(format!("{}:\n{}", rule.code(), render::human(&report, &sources, Color::Plain)));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn every_right_example_gives_no_finding() {
    let mut failed = Vec::new();
    for rule in Rule::ALL {
        let (report, sources) = Example::read(&Page::of(*rule).right).checked_for(*rule);
        if !report.is_empty() {
            failed.push(format!("{}:\n{}", rule.code(), render::human(&report, &sources, Color::Plain)));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

fn read(name: &str) -> String {
    fs::read_to_string(top().join(FOLDER).join(name)).unwrap()
}

fn index() -> String {
    read("README.md")
}

// === impl Page ===

impl Page {
    fn of(rule: Rule) -> Page {
        let mut page = Page { title: String::new(), wrong: String::new(), right: String::new(), prose: Vec::new() };
        let text = read(&format!("{}.md", rule.code()));
        let mut blocks = text.trim_end().split("\n\n");
        page.title = blocks.next().unwrap().to_owned();
        let mut open: Option<String> = None;
        for block in blocks {
            let text = match open.take() {
                Some(begun) => begun + "\n\n" + block,
                None => block.to_owned(),
            };
            match (text.starts_with("```"), text.ends_with("\n```")) {
                (true, false) => open = Some(text),
                (true, true) => page.example(rule, text.trim_end_matches("```")),
                (false, _) => page.prose.push(text),
            }
        }
        assert!(open.is_none() && !page.right.is_empty(), "{} shows what is wrong, and then what is right", rule.code());
        page
    }

    fn example(&mut self, rule: Rule, fenced: &str) {
        match fenced.split_once('\n').unwrap() {
            ("```yaml wrong", text) if self.wrong.is_empty() && self.prose.len() == 1 => self.wrong = text.to_owned(),
            ("```yaml right", text) if self.right.is_empty() && self.prose.len() == 2 => self.right = text.to_owned(),
            (fence, _) => panic!("{}: {fence} is not where it belongs", rule.code()),
        }
    }
}

// === impl Example ===

impl Example {
    fn read(text: &str) -> Example {
        let mut example = Example::default();
        let mut name = "game.yaml".to_owned();
        for line in text.split_inclusive('\n') {
            let comment = line.trim_end().strip_prefix("# ").unwrap_or_default();
            let is_name = [".yaml", ".proto", ".json"].iter().any(|extension| comment.ends_with(extension)) && !comment.contains(' ');
            if comment == "check --env production" {
                example.environment = Environment::Production;
            } else if let Some(listen) = comment.strip_prefix("a gateway is running that listens on ") {
                example.running = Some(running_at(listen, "127.0.0.1:7081", 1));
            } else if is_name {
                name = comment.to_owned();
                example.files.insert(name.clone(), Vec::new());
            } else {
                example.files.entry(name.clone()).or_default().extend(line.bytes());
            }
        }
        example
    }

    /// What is said about it where this rule is asked for: of some, only a gateway that runs by other files can tell.
    fn checked_for(self, rule: Rule) -> (Report, Sources) {
        self.checked(("PG120".."PG130").contains(&rule.code()))
    }

    /// What is said about it, with all that it leaves out. What `is_live` is what is shown below `before/`, and else what the index shows.
    fn checked(mut self, is_live: bool) -> (Report, Sources) {
        let index = index();
        let shown = index.rsplit("```yaml\n").next().unwrap().split("```").next().unwrap();
        for (name, content) in Example::read(shown).files.into_iter().chain(beside(shown)) {
            if is_live {
                self.files.entry(format!("before/{name}")).or_insert(content.clone());
            }
            self.files.entry(name).or_insert(content);
        }
        let has_tests = self.files.keys().any(|name| name.ends_with(".test.yaml"));
        let lies = |name: String| match name.strip_prefix("before/") {
            Some(before) if !before.contains('/') => format!("before/routes/{before}"),
            _ if name.contains('/') => name,
            _ => format!("routes/{name}"),
        };
        let leak = |name: String| -> &'static str { lies(name).leak() };
        let files = self.files.into_iter().fold(Files::in_memory(&[]), |files, (name, content)| files.with(leak(name), content));
        let variables = |name: &str| (name == "ADMIN_TOKEN").then(|| "0123456789abcdef".to_owned());
        let options = LoadOptions { folder: PathBuf::from("routes"), environment: self.environment, variables: &variables };
        let (mut document, mut report) = config::load(&files, &options);
        let compiled = compile(&mut document, &files, &Pools::default(), &Context::default(), self.running.as_ref(), &mut report);
        if has_tests {
            return tried(&files, &compiled.plan.expect("tests are of what is sound"), &options);
        }
        if is_live {
            broken(&files, &compiled.plan.expect("what comes is sound"), &options, &mut report);
        }
        (report, document.sources)
    }
}

/// Files that no document can show.
fn beside(shown: &str) -> Vec<(String, Vec<u8>)> {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let old_key = KeyPair::generate().unwrap();
    let mut old = CertificateParams::new(["localhost".to_owned()]).unwrap();
    (old.not_before, old.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    let old = old.self_signed(&old_key).unwrap();
    let proto = String::from_utf8(Example::read(shown).files["proto/game.proto"].clone()).unwrap();
    let set = set_of("game.proto", BTreeMap::from([("game.proto".to_owned(), proto)]));
    let texts = [
        ("id.pem", ID.to_owned()),
        ("signing.pem", KeyPair::generate_for(&PKCS_ED25519).unwrap().serialize_pem()),
        ("server.pem", cert.pem()),
        ("server.key", signing_key.serialize_pem()),
        ("old.pem", old.pem()),
        ("old.key", old_key.serialize_pem()),
    ];
    let texts = texts.map(|(name, text)| (name.to_owned(), text.into_bytes()));
    let own = ["guard/v1/guard.proto", "auth/v1/auth.proto"].map(|name| format!("proto/protogate/{name}"));
    let own = own.map(|name| (name.clone(), fs::read(top().join(&name)).unwrap()));
    texts.into_iter().chain(own).chain([("game.binpb".to_owned(), set)]).collect()
}
