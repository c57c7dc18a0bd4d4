//! Properties of reading: whatever the text, there is an answer, and every place in it is a place in the text.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use protogate::config::{self, Environment, LoadOptions};
use protogate::diagnostic::{Report, Sources, Top, render};
use protogate::files::Files;
use protogate::proto::Pools;
use protogate::table::compile::{Context, compile};

const ROUTES: &str = include_str!("../routes/routes.yaml");
const GATEWAY: &str = include_str!("../routes/gateway.yaml");

/// A configuration that uses most of the grammar, so that a mutation meets most of the reader.
const LARGE: &str = include_str!("cases/config/everything.case");

/// Reads `text` as every kind of file, and holds what is said against the texts.
fn read(text: &str) {
    let text: &'static str = text.to_owned().leak();
    let files = vec![
        ("routes/routes.yaml", text),
        ("routes/routes.testing.yaml", text),
        ("routes/gateway.yaml", text),
        ("routes/gateway.testing.yaml", text),
    ];
    for environment in [Environment::Development, Environment::Testing] {
        let options = LoadOptions { folder: PathBuf::from("routes"), environment, variables: &|_| Some("1".to_owned()) };
        let (document, report) = config::load(&Files::in_memory(files.clone().leak()), &options);
        hold(&report, &document.sources);
    }
}

fn hold(report: &Report, sources: &Sources) {
    for finding in report.sorted() {
        for label in std::iter::once(&finding.label).chain(&finding.related) {
            let text = &sources.file(label.span.file).text;
            assert!(text.get(label.span.start..label.span.end).is_some(), "{:?} of {} bytes: {}", label.span, text.len(), finding.message);
        }
    }
    render::human(report, sources, render::Color::Plain);
    render::github(report, sources, &Top::here());
    render::sarif(report, sources, &Top::here());
    render::json(report, sources, render::Summary { routes: 0, files: sources.len() });
}

/// Pieces from which YAML is made, broken and whole.
fn yaml() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a", "routes", "1001", "name", "é", "😀", ": ", ":", "- ", "-", "\n", "\n  ", "\n    ", "\n\t", "[", "]", "{", "}", ",", "&a ",
        "*a", "!t ", "\"", "'", "|", ">", "#", " ", "<<", "~", "null", "yes", "---", "...", "%YAML", "? ", "${var.a}", "${", "}", "append",
        "1", "0x1", "\r\n", "\u{feff}", "\u{2028}", "@", "`",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// A place to cut, how much to cut, and what to put there.
fn mutation() -> impl Strategy<Value = (prop::sample::Index, usize, String)> {
    (any::<prop::sample::Index>(), 0usize..30, yaml())
}

fn mutate(text: &str, (at, length, insert): (prop::sample::Index, usize, String)) -> String {
    let start = text.floor_char_boundary(at.index(text.len()));
    let end = text.ceil_char_boundary((start + length).min(text.len()));
    format!("{}{insert}{}", &text[..start], &text[end..])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read(text in any::<String>()) {
        read(&text);
    }

    #[test]
    fn any_yaml_is_read(text in yaml()) {
        read(&text);
    }

    #[test]
    fn the_shipped_files_are_read_whatever_happens_to_them(mutation in mutation(), which in 0usize..3) {
        let (large, _) = LARGE.split_once("--------------------").unwrap();
        read(&mutate([ROUTES, GATEWAY, large][which], mutation));
    }
}

#[test]
fn depth_and_aliases_are_bounded() {
    read(&"[".repeat(100_000));
    read(&"- ".repeat(100_000));
    read(&"{a: ".repeat(10_000));
    let laughs: String = (1..40).map(|i| format!("a{i}: &a{i} [{}]\n", format!("*a{}, ", i - 1).repeat(9))).collect();
    read(&format!("a0: &a0 [x]\n{laughs}"));
    read(&format!("a: &a {}\nb: [{}]\n", "x".repeat(100_000), "*a, ".repeat(2000)));
}

#[test]
fn ten_thousand_mistakes_are_told_quickly_and_a_hundred_are_drawn() {
    let began = Instant::now();
    let wrong: String = (0..10_000).map(|at| format!("  {}: {{ nam: a{at}, rpc: b.C/D, timeout: 3, zzz: [1] }}\n", 1000 + at)).collect();
    let files = vec![("routes/routes.yaml", &*format!("version: 1\nroutes:\n{wrong}").leak())];
    let files = Files::in_memory(files.leak());
    let options = LoadOptions { folder: PathBuf::from("routes"), environment: Environment::Development, variables: &|_| None };
    let (mut document, mut report) = config::load(&files, &options);
    compile(&mut document, &files, &Pools::default(), &Context::default(), None, &mut report);
    let drawn = render::human(&report, &document.sources, render::Color::Plain);
    assert!(report.errors() >= 30_000, "{}", report.errors());
    assert!(drawn.matches("error[").count() == 100 && drawn.lines().count() < 1200, "{}", drawn.lines().count());
    assert!(drawn.trim_end().ends_with(&format!("and {} more; `--format json` has all of them", report.sorted().len() - 100)), "{drawn}");
    // Without optimisation, beside other tests; what is quadratic takes minutes.
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

#[test]
fn one_long_line_of_secrets_is_hidden_quickly() {
    let began = Instant::now();
    for part in ["token: [", "{ token: a, default: b, ", "password: \"", "secret: |\n  x\n "] {
        let text: &'static str = part.repeat(100_000 / part.len()).leak();
        let mut sources = Sources::default();
        let file = sources.add("routes.yaml", text.to_owned());
        assert_eq!(sources.file(file).shown().len(), text.len());
    }
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}
