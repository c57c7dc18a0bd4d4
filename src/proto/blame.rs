//! Turns what protox and prost-reflect say about a .proto file into diagnostics with a place in it.

use miette::Diagnostic as Problem;

use crate::diagnostic::{Diagnostic, FileId, Report, Rule, Sources, Span};

/// Reports a problem and those that came with it. One that has no place of its own is the end of the file's: that is where the
/// parser had read to when it says nothing else.
pub(super) fn report(problem: &dyn Problem, file: FileId, texts: &Sources, report: &mut Report) {
    report.push(diagnostic(problem, file, texts));
    for other in problem.related().into_iter().flatten() {
        self::report(other, file, texts, report);
    }
}

fn diagnostic(problem: &dyn Problem, file: FileId, texts: &Sources) -> Diagnostic {
    let mut labels = problem.labels().into_iter().flatten().map(|label| {
        let span = Span { file, start: label.offset(), end: label.offset() + label.len() };
        (span, label.label().unwrap_or_default().to_owned())
    });
    let end = texts.file(file).text.len();
    let (span, text) = labels.next().unwrap_or((Span { file, start: end, end }, String::new()));
    let mut diagnostic = Diagnostic::new(Rule::ProtoSource, span, in_our_style(&problem.to_string())).label(text);
    for (span, text) in labels {
        diagnostic = diagnostic.related(span, text);
    }
    match problem.help() {
        Some(help) => diagnostic.help(in_our_style(&help.to_string())),
        None => diagnostic,
    }
}

/// Their messages are like ours but for the quotes around names.
fn in_our_style(message: &str) -> String {
    message.replace('\'', "`")
}
