//! Every harmful mutation is found, on its line, by a rule that fits, and mostly without a word more.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use protogate::diagnostic::{Diagnostic, Report, Sources};

use super::corpus::{Corpus, SHIPPED, WHOLE};
use super::kinds::{self, Kind, Mutant};

/// Why a mutant is not caught as it should be.
type Escape = (&'static str, String);

/// Of the configuration that says most, a kind of more than so many mutants is tried at each so-many-th; `MUTATIONS=all` tries all of them.
/// What is shipped is tried at every place, always.
const SAMPLED_FROM: usize = 60;
const SAMPLED_EACH: usize = 4;

#[test]
fn every_harmful_mutation_is_found_on_its_line() {
    let all = std::env::var_os("MUTATIONS").is_some_and(|which| which == "all");
    let corpora: [&Corpus; 2] = [&SHIPPED, &WHOLE];
    let kinds = kinds::all();
    assert!(kinds.len() >= 80, "{}", kinds.len());
    let mut mutants: Vec<(&Kind, &Corpus, Mutant)> = Vec::new();
    let mut table = Vec::new();
    for kind in kinds {
        let mut places = 0;
        for corpus in corpora {
            let made = (kind.make)(corpus);
            places += made.len();
            let is_sampled = std::ptr::eq(corpus, &*WHOLE) && made.len() > SAMPLED_FROM && !all;
            let step = if is_sampled { SAMPLED_EACH } else { 1 };
            mutants.extend(made.into_iter().step_by(step).map(|mutant| (kind, corpus, mutant)));
        }
        table.push((kind, places));
    }
    let began = Instant::now();
    let escapes = run(&mutants);
    println!("{} mutants of {} kinds held in {:?}", mutants.len(), table.len(), began.elapsed());
    let mut said = String::new();
    for (kind, places) in &table {
        let escaped: Vec<&Escape> = escapes.iter().filter(|(promise, _)| *promise == kind.promise).collect();
        if *places < kind.least || !escaped.is_empty() {
            said.push_str(&format!("{}: {places} places (at least {}), {} caught\n", kind.promise, kind.least, places - escaped.len()));
        }
        for (_, escape) in escaped.iter().take(6) {
            said.push_str(&format!("    {escape}\n"));
        }
    }
    assert!(said.is_empty(), "{} mutants of {} kinds\n{said}", mutants.len(), table.len());
}

/// Holds each mutant against what its kind promises, on as many threads as there are processors.
fn run(mutants: &[(&Kind, &Corpus, Mutant)]) -> Vec<Escape> {
    let (next, escapes) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some((kind, corpus, mutant)) = mutants.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let verdict =
                        catch_unwind(AssertUnwindSafe(|| judge(kind, corpus, mutant))).unwrap_or_else(|_| Some("it panicked".to_owned()));
                    if let Some(why) = verdict {
                        escapes.lock().unwrap().push((kind.promise, format!("{}\n        {why}", mutant.what)));
                    }
                }
            });
        }
    });
    escapes.into_inner().unwrap()
}

/// Nothing: it is caught as it should be.
fn judge(kind: &Kind, corpus: &Corpus, mutant: &Mutant) -> Option<String> {
    let (plan, report, sources) = corpus.check(mutant.path, &mutant.text);
    if plan.is_some() == report.has_errors() {
        return Some("there is a plan beside errors, or none without".to_owned());
    }
    let findings = report.sorted();
    if findings.is_empty() {
        return Some("nobody noticed".to_owned());
    }
    let here: Vec<&&Diagnostic> = findings.iter().filter(|finding| is_at(finding, mutant, &sources)).collect();
    let Some(found) = here.iter().find(|finding| mutant.rules.contains(&finding.rule)) else {
        return Some(format!(
            "expected {:?} at {:?}: {}",
            mutant.rules.iter().take(3).map(|rule| rule.code()).collect::<Vec<_>>(),
            mutant.at,
            said(&report, &sources)
        ));
    };
    if let Some(words) = &mutant.says
        && !found.help.as_ref().is_some_and(|help| help.contains(words.as_str()))
    {
        return Some(format!("the remedy is {:?}, not {words:?}", found.help));
    }
    (findings.len() > kind.most).then(|| format!("{} findings: {}", findings.len(), said(&report, &sources)))
}

fn is_at(finding: &Diagnostic, mutant: &Mutant, sources: &Sources) -> bool {
    let file = sources.file(finding.label.span.file);
    let line = file.position(finding.label.span.start).line;
    mutant.at.iter().any(|(path, lines)| file.path.to_str() == Some(path) && lines.contains(&line))
}

fn said(report: &Report, sources: &Sources) -> String {
    protogate::diagnostic::render::lines(report, sources).into_iter().take(4).collect::<Vec<_>>().join("\n            ")
}
