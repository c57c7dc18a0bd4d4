//! The formats that programs read, held against what they promise.

use protogate::diagnostic::{Diagnostic, Report, Rule, Sources, Span, Top, render};
use serde_json::{Value, json};

use crate::cases::{cases, run};

/// An error with everything that a finding can have, and a warning with nothing more than it must.
fn findings() -> (Report, Sources) {
    let mut sources = Sources::default();
    let first = sources.add("routes/a,b: c.yaml", "é: 1\nkey: ünï\n".to_owned());
    let second = sources.add("routes/routes.yaml", "a:\n  b: c\n".to_owned());
    let mut report = Report::default();
    report.push(Diagnostic::new(Rule::Unused, Span { file: second, start: 0, end: 9 }, "`a` is never used").path("a"));
    report.push(
        Diagnostic::new(Rule::UnknownKey, Span { file: first, start: 11, end: 16 }, "100% wrong\nreally")
            .label("here")
            .related(Span { file: second, start: 5, end: 6 }, "and there")
            .help("do not")
            .path("key"),
    );
    (report, sources)
}

#[test]
fn json_is_as_documented() {
    let (report, sources) = findings();
    let said: Value = serde_json::from_str(&render::json(&report, &sources, render::Summary { routes: 3, files: 2 })).unwrap();
    let related = json!({"file": "routes/routes.yaml", "line": 2, "column": 3, "end_line": 2, "end_column": 4, "message": "and there"});
    let expected = json!({
        "version": 1,
        "diagnostics": [
            {
                "code": "PG005", "severity": "error", "file": "routes/a,b: c.yaml", "line": 2, "column": 6, "end_line": 2, "end_column": 9,
                "path": "key", "message": "100% wrong\nreally", "label": "here", "help": "do not", "related": [related],
            },
            {
                "code": "PG080", "severity": "warning", "file": "routes/routes.yaml", "line": 1, "column": 1, "end_line": 2, "end_column": 7,
                "path": "a", "message": "`a` is never used", "label": null, "help": null, "related": [],
            },
        ],
        "summary": {"errors": 1, "warnings": 1, "routes": 3, "files": 2},
    });
    assert_eq!(said, expected);
}

#[test]
fn github_lines_are_escaped() {
    let (report, sources) = findings();
    let lines = render::github(&report, &sources, &Top::here());
    assert_eq!(
        lines.lines().collect::<Vec<_>>(),
        [
            "::error file=routes/a%2Cb%3A c.yaml,line=2,endLine=2,col=6,endColumn=9,title=PG005%3A A key that this section does not have.::\
             100%25 wrong%0Areally: here%0Aroutes/routes.yaml:2:3: and there%0Ahelp: do not",
            "::warning file=routes/routes.yaml,line=1,endLine=2,title=PG080%3A Something is declared and never used.::`a` is never used",
        ]
    );
}

#[test]
fn sarif_has_a_rule_for_every_result() {
    let (report, sources) = findings();
    let log: Value = serde_json::from_str(&render::sarif(&report, &sources, &Top::here())).unwrap();
    let run = &log["runs"][0];
    assert_eq!(log["version"], "2.1.0");
    let rule = &run["tool"]["driver"]["rules"][0];
    assert_eq!((&rule["id"], &rule["shortDescription"]["text"]), (&json!("PG005"), &json!(Rule::UnknownKey.summary())));
    assert_eq!(rule["properties"]["tags"], json!(["configuration", "shape"]));
    let first = &run["results"][0];
    assert_eq!((&first["ruleId"], &first["level"]), (&json!("PG005"), &json!("error")));
    let place = &first["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "routes/a%2Cb%3A%20c.yaml");
    assert_eq!(place["region"], json!({"startLine": 2, "startColumn": 6, "endLine": 2, "endColumn": 9}));
    assert_eq!(first["relatedLocations"][0]["message"]["text"], "and there");
}

#[test]
fn people_get_colours_only_when_asked() {
    let (report, sources) = findings();
    assert!(!render::human(&report, &sources, render::Color::Plain).contains('\x1b'));
    assert!(render::human(&report, &sources, render::Color::Styled).contains("\x1b["));
}

#[test]
fn an_empty_report_is_an_empty_text() {
    let (report, sources) = (Report::default(), Sources::default());
    assert_eq!(render::human(&report, &sources, render::Color::Plain), "");
    assert_eq!(render::github(&report, &sources, &Top::here()), "");
}

/// A finding in a file whose lines end as they do elsewhere, with a mark at its beginning when it was read.
fn at(text: &str, wanted: &str) -> (Report, Sources) {
    let mut sources = Sources::default();
    let file = sources.add("routes/routes.yaml", text.to_owned());
    let start = text.find(wanted).unwrap();
    let mut report = Report::default();
    report.push(Diagnostic::new(Rule::BadValue, Span { file, start, end: start + wanted.len() }, "wrong").label("here"));
    (report, sources)
}

#[test]
fn a_caret_stands_under_what_it_means() {
    for (text, wanted) in [
        ("a: 1\r\nb: wrong\r\nc: 2\r\n", "wrong"),
        ("\tb: wrong # tab\n", "wrong"),
        ("名前: wrong\n", "wrong"),
        ("é: wrong", "wrong"),
        (&format!("{}wrong{}\n", "x".repeat(400), "y".repeat(400)), "wrong"),
    ] {
        let (report, sources) = at(text, wanted);
        let said = render::human(&report, &sources, render::Color::Plain);
        let lines: Vec<&str> = said.lines().collect();
        let caret = lines.iter().position(|line| line.contains("^^^^^ here")).unwrap_or_else(|| panic!("no caret:\n{said}"));
        // Wide characters take two columns of a terminal.
        let width = |text: &str| text.chars().map(|c| if ('\u{2e80}'..'\u{a4d0}').contains(&c) { 2 } else { 1 }).sum::<usize>();
        let (before, _) = lines[caret - 1].split_once(wanted).unwrap_or_else(|| panic!("the line is not shown:\n{said}"));
        let (under, _) = lines[caret].split_once("^^^^^").unwrap();
        assert_eq!(width(before), width(under), "{said}");
        assert!(lines.iter().all(|line| !line.contains(['\r', '\t']) && width(line) < 200), "{said:?}");
    }
}

#[test]
fn columns_count_characters_and_the_end_of_a_line_is_none() {
    let (report, sources) = at("a: 1\r\nbé: \"ü\"\r\n", "\"ü\"");
    let said: Value = serde_json::from_str(&render::json(&report, &sources, render::Summary { routes: 0, files: 1 })).unwrap();
    let found = &said["diagnostics"][0];
    assert_eq!((&found["line"], &found["column"], &found["end_line"], &found["end_column"]), (&json!(2), &json!(5), &json!(2), &json!(8)));
    let log: Value = serde_json::from_str(&render::sarif(&report, &sources, &Top::here())).unwrap();
    let region = json!({"startLine": 2, "startColumn": 5, "endLine": 2, "endColumn": 8});
    assert_eq!(log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"], region);
    assert_eq!(log["runs"][0]["columnKind"], "unicodeCodePoints");
}

#[test]
fn json_has_all_that_a_finding_has() {
    let (report, sources) = findings();
    let said: Value = serde_json::from_str(&render::json(&report, &sources, render::Summary { routes: 3, files: 2 })).unwrap();
    for (finding, said) in report.sorted().into_iter().zip(said["diagnostics"].as_array().unwrap()) {
        // Taken apart, so that whoever adds a field is asked here where it went.
        // What was meant is for the passes that come later, and nothing to show.
        let Diagnostic { rule, message, label, related, help, path, meant: _ } = finding;
        let text = |key: &str| said[key].as_str().unwrap_or_default();
        assert_eq!((text("code"), text("severity")), (rule.code(), rule.severity().name()));
        assert_eq!((text("message"), text("help"), text("path")), (message.as_str(), help.as_deref().unwrap_or_default(), path.as_str()));
        assert_eq!(text("label"), label.text);
        assert_eq!(text("file"), sources.file(label.span.file).path.to_str().unwrap());
        let there: Vec<&str> = said["related"].as_array().unwrap().iter().map(|there| there["message"].as_str().unwrap()).collect();
        assert_eq!(there, related.iter().map(|label| label.text.as_str()).collect::<Vec<_>>());
    }
}

#[test]
fn github_is_told_of_columns_only_within_one_line() {
    let text = "a:\n  b: 1\n  c: 2\nd: 3\n";
    let range = |start, end| {
        let mut sources = Sources::default();
        let file = sources.add("r.yaml", text.to_owned());
        let mut report = Report::default();
        report.push(Diagnostic::new(Rule::BadValue, Span { file, start, end }, "wrong"));
        let line = render::github(&report, &sources, &Top::here());
        line.strip_prefix("::error file=r.yaml,").unwrap().split(",title=").next().unwrap().to_owned()
    };
    assert_eq!(range(5, 9), "line=2,endLine=2,col=3,endColumn=7");
    assert_eq!(range(0, 16), "line=1,endLine=3", "no columns over several lines");
    assert_eq!(range(0, 17), "line=1,endLine=3", "the end is the end of the third line");
    assert_eq!(range(5, 5), "line=2,endLine=2,col=3");
    assert_eq!(range(0, 3), "line=1,endLine=1,col=1", "a line end is no line");
}

#[test]
fn no_finding_commands_a_terminal_or_a_workflow() {
    let mut sources = Sources::default();
    let file = sources.add("a\u{1b}[2J,b:\n%.yaml", "key\u{1b}[31m: 1\n".to_owned());
    let mut report = Report::default();
    let evil = "`x\u{1b}]0;title\u{7}\r\n::set-env name=A::b`";
    report.push(Diagnostic::new(Rule::UnknownKey, Span { file, start: 0, end: 8 }, evil).help(evil).label(evil));
    let said = render::human(&report, &sources, render::Color::Plain);
    assert!(said.chars().all(|c| c == '\n' || !c.is_control()), "{said:?}");
    let github = render::github(&report, &sources, &Top::here());
    assert_eq!(github.lines().count(), 1);
    assert!(github.trim_end().chars().all(|c| !c.is_control()), "{github:?}");
    let (properties, _) = github.strip_prefix("::error file=").unwrap().split_once("::").unwrap();
    assert!(properties.starts_with("a\\u{1b}[2J%2Cb%3A%0A%25.yaml,line=1"), "{properties}");
}

#[test]
fn more_annotations_than_github_shows_are_announced() {
    let many = |n: usize| {
        let mut sources = Sources::default();
        let file = sources.add("r.yaml", "a".repeat(50));
        let mut report = Report::default();
        (0..n).for_each(|at| report.push(Diagnostic::new(Rule::BadValue, Span { file, start: at, end: at + 1 }, "wrong")));
        render::github(&report, &sources, &Top::here())
    };
    assert!(!many(10).contains("::notice"));
    assert!(many(11).ends_with(
        "::notice title=protogate check::11 errors and 0 warnings were found, and 10 of each are shown here; the log of the step has all\n"
    ));
}

#[test]
fn a_result_of_sarif_keeps_its_fingerprint_when_lines_move_and_says_what_was_meant() {
    let log = |text: &str| -> Value {
        let mut sources = Sources::default();
        let file = sources.add("routes/routes.yaml", text.to_owned());
        let mut report = Report::default();
        for (start, written) in text.match_indices("\"tmeout\"") {
            let span = Span { file, start, end: start + written.len() };
            report.push(Diagnostic::new(Rule::UnknownKey, span, "unknown key `tmeout`").help("did you mean `timeout`?").path("defaults"));
        }
        serde_json::from_str(&render::sarif(&report, &sources, &Top::here())).unwrap()
    };
    let (before, after) = (log("\"tmeout\": 1\n\"tmeout\": 2\n"), log("# moved\n\n\"tmeout\": 1\n\"tmeout\": 2\n"));
    let fingerprints = |log: &Value| {
        log["runs"][0]["results"].as_array().unwrap().iter().map(|result| result["partialFingerprints"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(fingerprints(&before), fingerprints(&after));
    assert_ne!(fingerprints(&before)[0], fingerprints(&before)[1], "two alike are two");
    let change = &after["runs"][0]["results"][0]["fixes"][0]["artifactChanges"][0];
    assert_eq!(change["replacements"][0]["insertedContent"]["text"], "\"timeout\"");
    assert_eq!(change["replacements"][0]["deletedRegion"]["startLine"], 3);
    assert_eq!(change["artifactLocation"], json!({"uri": "routes/routes.yaml", "uriBaseId": "%SRCROOT%"}));
}

#[test]
fn sarif_is_as_its_schema_says_for_every_case_and_for_nothing() {
    let text = std::fs::read_to_string("tests/vendored/sarif-schema-2.1.0.json").unwrap();
    let schema = jsonschema::validator_for(&serde_json::from_str(&text).unwrap()).unwrap();
    let valid = |said: &str, what: &str| {
        let log: Value = serde_json::from_str(said).unwrap();
        let problems: Vec<String> = schema.iter_errors(&log).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(problems.is_empty(), "{what}: {problems:#?}");
        log
    };
    let here = Top::above(std::path::Path::new("/repo/sub"), Some(std::path::Path::new("/repo")));
    for case in cases() {
        let (report, sources) = run(&case);
        for top in [&Top::here(), &here] {
            let log = valid(&render::sarif(&report, &sources, top), &case.path.display().to_string());
            let run = &log["runs"][0];
            for result in run["results"].as_array().unwrap() {
                let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
                assert_eq!(run["tool"]["driver"]["rules"][index]["id"], result["ruleId"]);
            }
        }
    }
    let empty = valid(&render::sarif(&Report::default(), &Sources::default(), &Top::here()), "nothing");
    assert_eq!(empty["runs"][0]["results"], json!([]));
    assert!(!schema.is_valid(&json!({"version": "2.1.0", "runs": [{"tool": {}}]})), "the schema is one that can say no");
}
