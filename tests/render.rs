//! The formats that programs read, held against what they promise.

use protogate::diagnostic::{Diagnostic, Report, Rule, Sources, Span, Top, render};
use serde_json::{Value, json};

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
                "path": "key", "message": "100% wrong\nreally", "help": "do not", "related": [related],
            },
            {
                "code": "PG080", "severity": "warning", "file": "routes/routes.yaml", "line": 1, "column": 1, "end_line": 2, "end_column": 7,
                "path": "a", "message": "`a` is never used", "help": null, "related": [],
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
            "::error file=routes/a%2Cb%3A c.yaml,line=2,col=6,endColumn=9,title=PG005::100%25 wrong%0Areally%0Aroutes/routes.yaml:2:3: and there%0Ahelp: do not",
            "::warning file=routes/routes.yaml,line=1,col=1,endLine=2,title=PG080::`a` is never used",
        ]
    );
}

#[test]
fn sarif_has_a_rule_for_every_result() {
    let (report, sources) = findings();
    let log: Value = serde_json::from_str(&render::sarif(&report, &sources, &Top::here())).unwrap();
    let run = &log["runs"][0];
    assert_eq!(log["version"], "2.1.0");
    assert_eq!(run["tool"]["driver"]["rules"][0], json!({"id": "PG005", "shortDescription": {"text": Rule::UnknownKey.summary()}}));
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
