//! Harmless mutations change nothing: no finding, and the same routes.

use std::fmt::Write as _;

use protogate::diagnostic::render::{self, Color};

use super::corpus::{Corpus, File, Place, SHIPPED, WHOLE};
use super::yaml::Kind;

/// A text that means the same, and what was done.
type Mutant = (&'static str, String, String);

/// Holds that a file with another text comes to the same.
fn hold(corpus: &Corpus, promise: &str, mutants: Vec<Mutant>, least: usize) {
    assert!(mutants.len() >= least, "{promise}: {} places", mutants.len());
    let mut escapes = String::new();
    for (path, text, what) in mutants {
        let (plan, report, sources) = corpus.check(path, &text);
        let difference = plan.as_ref().map(|plan| corpus.plan.explained.difference(&plan.explained));
        let same = difference
            .as_ref()
            .is_some_and(|difference| difference.changed.is_empty() && difference.added.is_empty() && difference.removed.is_empty());
        let same = same && plan.as_ref().is_some_and(|plan| summary(plan) == summary(&corpus.plan));
        if !report.is_empty() || !same {
            let said = render::human(&report, &sources, Color::Plain);
            writeln!(escapes, "{path} {what}\n{said}{}", difference.map(|difference| format!("{difference:?}")).unwrap_or_default())
                .unwrap();
        }
    }
    assert!(escapes.is_empty(), "{promise}:\n{}", &escapes[..escapes.floor_char_boundary(4000)]);
}

/// What of a plan is no text of a route's.
fn summary(plan: &protogate::table::plan::Plan) -> String {
    let topics: Vec<&str> = plan.topics.iter().map(|topic| topic.rule.pattern.as_str()).collect();
    format!("{} {:?} {:?} {:?} {topics:?}", plan.catalogue_hash, plan.limits, plan.backends, plan.tokens.issuers.len())
}

fn both(promise: &str, least: usize, mutants: impl Fn(&Corpus) -> Vec<Mutant>) {
    let corpora: [&Corpus; 2] = [&SHIPPED, &WHOLE];
    for corpus in corpora {
        hold(corpus, promise, mutants(corpus), least);
    }
}

fn of_files(corpus: &Corpus, what: &str, change: impl Fn(&File) -> String) -> Vec<Mutant> {
    corpus.files.iter().map(|file| (file.path, change(file), what.to_owned())).collect()
}

/// Every n-th place, with the whole value as another text.
fn of_values(corpus: &Corpus, step: usize, change: impl Fn(&Place<'_>) -> Option<String>) -> Vec<Mutant> {
    let places = corpus.places();
    let mutant = |place: &Place<'_>| {
        let value = change(place)?;
        Some((place.file.path, place.with(&value), format!("{}: {value}", place.path)))
    };
    places.iter().step_by(step).filter_map(mutant).collect()
}

#[test]
fn comments_and_blank_lines_change_nothing() {
    let commented = |line: &str| {
        if line.trim().is_empty() || line.trim_start().starts_with('#') { line.to_owned() } else { format!("{line} # as it was") }
    };
    both("a comment behind every line", 3, |corpus| {
        of_files(corpus, "comments", |file| file.text.lines().map(|line| commented(line) + "\n").collect())
    });
    both("a comment before every line", 3, |corpus| {
        of_files(corpus, "comments before", |file| file.text.lines().map(|line| format!("    # more\n\n{line}\n")).collect())
    });
    both("spaces behind every line", 3, |corpus| {
        of_files(corpus, "spaces", |file| file.text.lines().map(|line| format!("{line}   \n")).collect())
    });
    both("no comment at all", 3, |corpus| {
        let bare =
            |file: &File| file.text.lines().filter(|line| !line.trim_start().starts_with('#')).map(|line| format!("{line}\n")).collect();
        of_files(corpus, "no comments", bare)
    });
}

#[test]
fn how_lines_end_and_files_begin_changes_nothing() {
    both("lines that end as on Windows", 3, |corpus| of_files(corpus, "\\r\\n", |file| file.text.replace('\n', "\r\n")));
    both("a byte order mark", 3, |corpus| of_files(corpus, "BOM", |file| format!("\u{feff}{}", file.text)));
    both("no end of the last line", 3, |corpus| of_files(corpus, "no newline", |file| file.text.trim_end().to_owned()));
    both("marks around the document", 3, |corpus| of_files(corpus, "---", |file| format!("---\n{}...\n", file.text)));
    both("a comment in another alphabet", 3, |corpus| of_files(corpus, "é", |file| format!("# für später 😀\n{}", file.text)));
}

#[test]
fn quotes_change_nothing_about_text() {
    // What YAML reads as a number or as a truth is another thing in quotes.
    let is_text = |place: &Place<'_>| {
        let text = place.node.scalar()?;
        (!matches!(text, "true" | "false") && text.parse::<f64>().is_err()).then(|| text.to_owned())
    };
    both("double quotes", 10, |corpus| of_values(corpus, 3, |place| Some(serde_json::to_string(&is_text(place)?).unwrap())));
    both("single quotes", 10, |corpus| of_values(corpus, 3, |place| Some(format!("'{}'", is_text(place)?))));
    let quoted_keys = |corpus: &Corpus| {
        let places = corpus.places();
        let keys = places.iter().step_by(5).filter_map(|place| {
            let entry = place.entry?;
            let is_quoted = place.file.text[entry.key_at.clone()].starts_with('"');
            (!is_quoted)
                .then(|| (place.file.path, place.file.with(&entry.key_at, &format!("\"{}\"", entry.key)), format!("\"{}\"", place.path)))
        });
        keys.collect()
    };
    both("quoted keys", 10, quoted_keys);
}

#[test]
fn flow_or_block_style_changes_nothing() {
    both("a whole file in one line", 3, |corpus| of_files(corpus, "flow", |file| file.root.flow() + "\n"));
    let flowing = |corpus: &Corpus| {
        let blocks = corpus.places().into_iter().filter(|place| place.node.scalar().is_none() && !place.written().starts_with(['{', '[']));
        let mutant = |place: Place<'_>| {
            let entry = place.entry?;
            let text = place.file.with(&(entry.key_at.end..place.node.at.end), &format!(": {}", place.node.flow()));
            Some((place.file.path, text, format!("{} in one line", place.path)))
        };
        blocks.step_by(2).filter_map(mutant).collect()
    };
    both("one part in one line", 10, flowing);
    both("all of it four spaces in", 3, |corpus| {
        let wider = |line: &str| format!("    {line}\n");
        of_files(corpus, "wider", |file| file.text.lines().map(wider).collect())
    });
}

#[test]
fn the_order_of_keys_changes_nothing() {
    let turned = |corpus: &Corpus| {
        let mut mutants: Vec<Mutant> = Vec::new();
        let places = corpus.places();
        for pair in places.windows(2) {
            let [first, second] = pair else { continue };
            let (Some(one), Some(other)) = (first.entry, second.entry) else { continue };
            if first.file.path != second.file.path || first.parent.at != second.parent.at || one.key_at.start >= other.key_at.start {
                continue;
            }
            let text = first.file.text;
            let (start, end) = (one.key_at.start, other.value.at.end);
            let (a, b) = (&text[start..one.value.at.end], &text[other.key_at.start..end]);
            let between = &text[one.value.at.end..other.key_at.start];
            mutants.push((
                first.file.path,
                first.file.with(&(start..end), &format!("{b}{between}{a}")),
                format!("{} behind {}", first.path, second.path),
            ));
        }
        mutants.into_iter().step_by(2).collect()
    };
    both("two keys in the other order", 10, turned);
}

#[test]
fn an_anchor_and_its_alias_are_the_value_itself() {
    let anchored = |corpus: &Corpus| {
        let mut mutants: Vec<Mutant> = Vec::new();
        let places = corpus.places();
        for (index, first) in places.iter().enumerate().step_by(4) {
            // The same value again, later in the same file.
            let again = places[index + 1..].iter().find(|place| {
                place.file.path == first.file.path && place.node.at.start >= first.node.at.end && place.written() == first.written()
            });
            let (Some(again), false) = (again, matches!(&first.node.kind, Kind::Map(entries) if entries.is_empty())) else { continue };
            let text = again.with("*same");
            mutants.push((
                first.file.path,
                format!("{}&same {}", &text[..first.node.at.start], &text[first.node.at.start..]),
                format!("{} and {}", first.path, again.path),
            ));
        }
        mutants.retain(|(_, text, _)| !text.contains("&same \n"));
        mutants
    };
    both("an anchor", 5, anchored);
}
