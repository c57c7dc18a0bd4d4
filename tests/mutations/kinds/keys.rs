//! Names of keys, keys that are missing or twice.

use std::collections::BTreeSet;

use protogate::diagnostic::Rule;

use super::{Mutant, kinds, typos};
use crate::corpus::{Corpus, Place};
use crate::yaml::Kind;

kinds! {
    a_misspelt_key_is_told_with_the_one_that_was_meant, 900;
    a_key_in_upper_case_is_unknown, 300;
    a_key_with_a_dash_is_unknown, 60;
    a_key_of_nobody_is_unknown, 100;
    a_key_that_must_be_there_is_missed, 90, 2;
    a_key_that_stands_twice_is_told_at_the_second, 300;
    a_key_of_another_section_is_unknown, 200, 9;
    a_key_without_its_colon_is_no_yaml_or_no_map, 150, 3;
}

/// Keys of sections, which are known by name.
fn keys(corpus: &Corpus) -> Vec<Place<'_>> {
    corpus.places().into_iter().filter(|place| place.entry.is_some() && !place.known_keys().is_empty()).collect()
}

fn is_known(place: &Place<'_>, key: &str) -> bool {
    place.known_keys().iter().any(|(known, _)| *known == key)
}

fn a_misspelt_key_is_told_with_the_one_that_was_meant(corpus: &Corpus) -> Vec<Mutant> {
    let mut mutants = Vec::new();
    for place in keys(corpus) {
        let key = &place.entry.unwrap().key;
        for typo in typos(key).into_iter().filter(|typo| !is_known(&place, typo)) {
            let mutant = Mutant::key(&place, &typo, Rule::UnknownKey);
            // Another key may be as near.
            let near = |word: &str| strsim::damerau_levenshtein(&typo, word);
            let alone = place.known_keys().iter().all(|(known, _)| known == key || near(known) > near(key));
            mutants.push(if alone && key.len() > 3 { mutant.says(format!("did you mean `{key}`?")) } else { mutant });
        }
    }
    mutants
}

fn a_key_in_upper_case_is_unknown(corpus: &Corpus) -> Vec<Mutant> {
    let mutant = |place: &Place<'_>| {
        let key = &place.entry.unwrap().key;
        Mutant::key(place, &key.to_uppercase(), Rule::UnknownKey).says(format!("did you mean `{key}`?"))
    };
    keys(corpus).iter().map(mutant).collect()
}

fn a_key_with_a_dash_is_unknown(corpus: &Corpus) -> Vec<Mutant> {
    let with_dash = |place: &Place<'_>| {
        let key = &place.entry.unwrap().key;
        key.contains('_').then(|| Mutant::key(place, &key.replace('_', "-"), Rule::UnknownKey).says(format!("did you mean `{key}`?")))
    };
    keys(corpus).iter().filter_map(with_dash).collect()
}

/// One more key, at the end of each section in flow style and before the first key of one in block style.
fn a_key_of_nobody_is_unknown(corpus: &Corpus) -> Vec<Mutant> {
    let mut seen = BTreeSet::new();
    let sections = keys(corpus).into_iter().filter(|place| seen.insert((place.file.path, place.parent.at.start)));
    sections.map(|place| added(&place, "zzzyx: 1", Rule::UnknownKey)).collect()
}

/// The section that a place is in, with one more entry before all others.
fn added(place: &Place<'_>, entry: &str, rule: Rule) -> Mutant {
    let (file, first) = (place.file, &place.parent.entries()[0]);
    let at = first.key_at.start;
    let is_flow = file.text[place.parent.at.clone()].starts_with('{');
    let column = at - file.text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let text = if is_flow { format!("{entry}, ") } else { format!("{entry}\n{}", " ".repeat(column)) };
    let text = if is_flow || file.text[..at].ends_with("- ") { text } else { format!("{entry}\n{}", &file.text[at - column..at]) };
    Mutant::new(file, file.with(&(at..at), &text), file.line(at), rule, format_args!("{entry} beside {}", place.path))
}

/// An entry, from its key to the next one's or to the end of the section, taken out.
fn without(place: &Place<'_>) -> String {
    let (file, entry) = (place.file, place.entry.unwrap());
    let is_flow = file.text[place.parent.at.clone()].starts_with('{');
    let siblings = place.parent.entries();
    let index = siblings.iter().position(|sibling| sibling.key_at == entry.key_at).unwrap();
    let part = if is_flow {
        match (siblings.get(index + 1), index) {
            (Some(next), _) => entry.key_at.start..next.key_at.start,
            (None, 0) => entry.key_at.start..entry.value.at.end,
            (None, _) => siblings[index - 1].value.at.end..entry.value.at.end,
        }
    } else {
        // What follows begins in the same column, in place of what was there.
        match siblings.get(index + 1) {
            Some(next) => entry.key_at.start..next.key_at.start,
            None => entry.key_at.start..entry.value.at.end,
        }
    };
    file.with(&part, "")
}

fn a_key_that_must_be_there_is_missed(corpus: &Corpus) -> Vec<Mutant> {
    let required = keys(corpus).into_iter().filter(|place| {
        !place.file.is_overlay() && place.known_keys().iter().any(|(key, required)| *required && *key == place.entry.unwrap().key)
    });
    let mutant = |place: Place<'_>| {
        let (file, key) = (place.file, &place.entry.unwrap().key);
        // The section begins at its own key, or at its first.
        let first = file.line(place.parent.at.start);
        // What is missing at the top is missing from the beginning.
        let lines = if key == "version" { 1..=first + 1 } else { first - 1..=first + 1 };
        let mutant = Mutant::new(file, without(&place), first, Rule::MissingKey, format_args!("without {}", place.path));
        mutant.or_at(file, lines).says(format!("add `{key}: …`"))
    };
    required.map(mutant).collect()
}

fn a_key_that_stands_twice_is_told_at_the_second(corpus: &Corpus) -> Vec<Mutant> {
    let entries = corpus.places().into_iter().filter(|place| place.entry.is_some());
    let mutant = |place: Place<'_>| {
        let (file, entry) = (place.file, place.entry.unwrap());
        let (start, end) = (entry.key_at.start, entry.value.at.end);
        let written = &file.text[start..end];
        let is_flow = file.text[place.parent.at.clone()].starts_with('{');
        let column = start - file.text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        // Behind a comment on the line, if there is one.
        let behind = if is_flow { end } else { file.text[end..].find('\n').map_or(file.text.len(), |newline| end + newline) };
        let text = if is_flow { format!(", {written}") } else { format!("\n{}{written}", " ".repeat(column)) };
        let line = file.line(behind) + usize::from(!is_flow);
        Mutant::new(file, file.with(&(behind..behind), &text), line, Rule::DuplicateKey, format_args!("{} twice", place.path))
    };
    entries.map(mutant).collect()
}

/// A key that the language has, elsewhere.
fn a_key_of_another_section_is_unknown(corpus: &Corpus) -> Vec<Mutant> {
    const OTHERS: [&str; 4] = ["endpoints", "grant", "heartbeat", "leeway"];
    let other = |place: &Place<'_>| OTHERS.into_iter().find(|other| !is_known(place, other) && place.path.len().is_multiple_of(2));
    keys(corpus).iter().filter_map(|place| Some(Mutant::key(place, other(place)?, Rule::UnknownKey))).collect()
}

fn a_key_without_its_colon_is_no_yaml_or_no_map(corpus: &Corpus) -> Vec<Mutant> {
    let scalar = keys(corpus).into_iter().filter(|place| {
        let is_block = !place.file.text[place.parent.at.clone()].starts_with('{');
        is_block && matches!(place.node.kind, Kind::Scalar { .. })
    });
    let mutant = |place: Place<'_>| {
        let (file, entry) = (place.file, place.entry.unwrap());
        let text = file.with(&(entry.key_at.end..entry.key_at.end + 1), "");
        let line = file.line(entry.key_at.start);
        // A parser may notice it no sooner than at the next key.
        Mutant::new(file, text, line, Rule::Syntax, format_args!("{} without its colon", place.path))
            .or(Rule::WrongType)
            .or_at(file, line..=line + 4)
    };
    scalar.map(mutant).collect()
}
