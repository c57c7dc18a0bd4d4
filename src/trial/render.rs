//! What came of tests, for programs: JSON whose version 1 never loses a field, and JUnit's XML for whoever shows results of builds.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Coverage, Ran, Results, Seen, Suite};
use crate::diagnostic::render::{findings, line, lines};
use crate::diagnostic::{Report, Severity, Sources};
use crate::telemetry::line::is_harmless;

/// `24 passed, 1 failed, routes covered 26 of 26 (100 %)`.
pub fn summary(results: &Results) -> String {
    let failed = results.failed();
    let (covered, all) = results.coverage.covered();
    format!(
        "{} passed, {failed} failed, routes covered {covered} of {all} ({} %)",
        results.tests.len() - failed,
        results.coverage.percent()
    )
}

/// One JSON document, in one line.
pub fn json(suite: &Suite, results: &Results) -> String {
    let tests: Vec<Value> = results.tests.iter().map(|ran| test(suite, ran)).collect();
    let (covered, all) = results.coverage.covered();
    let failed = results.failed();
    let summary = json!({
        "passed": results.tests.len() - failed,
        "failed": failed,
        "routes": all,
        "routes_covered": covered,
        "percent": results.coverage.percent(),
    });
    json!({ "version": 1, "diagnostics": [], "tests": tests, "coverage": coverage(&results.coverage), "summary": summary }).to_string()
}

/// The same where nothing ran, because the configuration or a test has mistakes.
pub fn json_of_mistakes(report: &Report, sources: &Sources) -> String {
    let summary = json!({ "passed": 0, "failed": 0, "routes": 0, "routes_covered": 0, "percent": 0 });
    let coverage = json!({ "routes": [], "pushes": [] });
    json!({ "version": 1, "diagnostics": findings(report, sources), "tests": [], "coverage": coverage, "summary": summary }).to_string()
}

fn test(suite: &Suite, ran: &Ran) -> Value {
    let test = &suite.tests[ran.test];
    let file = suite.sources.file(test.file);
    let failures: Vec<Value> = ran
        .report
        .sorted()
        .into_iter()
        .map(|finding| {
            let place = file.position(finding.label.span.start);
            json!({
                "message": finding.message,
                "detail": finding.label.text,
                "path": finding.path,
                "line": place.line,
                "column": place.column,
            })
        })
        .collect();
    json!({
        "file": file.path.display().to_string(),
        "line": file.position(test.name.span.start).line,
        "name": test.name.value,
        "passed": ran.passed(),
        "failures": failures,
    })
}

fn coverage(coverage: &Coverage) -> Value {
    let routes = |(number, seen): (&u32, &Seen)| json!({ "number": number, "name": &*seen.name, "succeeded": seen.succeeded, "failed": seen.refused });
    let pushes = |(number, seen): (&u32, &Seen)| json!({ "number": number, "name": &*seen.name, "pushed": seen.succeeded });
    json!({
        "routes": coverage.routes.iter().map(routes).collect::<Vec<_>>(),
        "pushes": coverage.pushes.iter().map(pushes).collect::<Vec<_>>(),
    })
}

/// JUnit's XML, a suite for each file.
pub fn junit(suite: &Suite, results: &Results) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let mut say = |text: std::fmt::Arguments<'_>| out.write_fmt(text).expect("a text takes what is written to it");
    say(format_args!("<testsuites tests=\"{}\" failures=\"{}\">\n", results.tests.len(), results.failed()));
    let mut rest = results.tests.as_slice();
    while let Some(first) = rest.first() {
        let file = suite.tests[first.test].file;
        let count = rest.iter().take_while(|ran| suite.tests[ran.test].file == file).count();
        let (of_file, others) = rest.split_at(count);
        rest = others;
        let name = escaped(&suite.sources.file(file).path.display().to_string());
        let failed = of_file.iter().filter(|ran| !ran.passed()).count();
        say(format_args!("  <testsuite name=\"{name}\" tests=\"{count}\" failures=\"{failed}\">\n"));
        for ran in of_file {
            let test = escaped(&suite.tests[ran.test].name.value);
            say(format_args!("    <testcase classname=\"{name}\" name=\"{test}\" time=\"{:.3}\"", ran.took.as_secs_f64()));
            if ran.passed() {
                say(format_args!("/>\n"));
                continue;
            }
            let said = lines(&ran.report, &suite.sources);
            let first = escaped(said.first().map_or("", String::as_str));
            say(format_args!(">\n      <failure message=\"{first}\">{}</failure>\n    </testcase>\n", escaped(&said.join("\n"))));
        }
        say(format_args!("  </testsuite>\n"));
    }
    say(format_args!("</testsuites>\n"));
    out
}

/// The same where nothing ran: a test that is in error for each mistake, so that no build takes this for a success.
pub fn junit_of_mistakes(report: &Report, sources: &Sources) -> String {
    let errors: Vec<_> = report.sorted().into_iter().filter(|finding| finding.rule.severity() == Severity::Error).collect();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let mut say = |text: std::fmt::Arguments<'_>| out.write_fmt(text).expect("a text takes what is written to it");
    say(format_args!("<testsuites tests=\"{0}\" failures=\"0\" errors=\"{0}\">\n", errors.len()));
    say(format_args!("  <testsuite name=\"protogate test\" tests=\"{0}\" failures=\"0\" errors=\"{0}\">\n", errors.len()));
    for finding in errors {
        let place = escaped(&sources.file(finding.label.span.file).path.display().to_string());
        let (code, said) = (finding.rule.code(), escaped(&line(finding, sources)));
        say(format_args!("    <testcase classname=\"{place}\" name=\"{code}\" time=\"0.000\">\n"));
        say(format_args!("      <error message=\"{said}\">{said}</error>\n    </testcase>\n"));
    }
    say(format_args!("  </testsuite>\n</testsuites>\n"));
    out
}

/// A text within XML. What XML cannot say at all is left out.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\u{fffe}' | '\u{ffff}' => {}
            c if is_harmless(c) => out.push(c),
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn what_xml_cannot_say_is_left_out() {
        assert_eq!(escaped("a ]]> \u{1}\u{1b}[31m\u{fffe}\u{ffff}\u{fffd} <&\"\n"), "a ]]&gt; [31m\u{fffd} &lt;&amp;&quot;&#10;");
    }
}
