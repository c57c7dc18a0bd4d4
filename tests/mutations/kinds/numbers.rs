//! Protocol numbers, and what is declared twice.

use protogate::diagnostic::Rule;

use super::{Mutant, kinds};
use crate::corpus::{Corpus, Place};

kinds! {
    a_number_outside_the_range_of_its_file_is_told, 30, 3;
    a_number_of_the_gateways_own_is_refused, 60, 3;
    a_number_that_no_envelope_can_hold_is_refused, 60, 3;
    a_number_that_is_not_written_plainly_is_refused, 150, 3;
    a_number_of_another_route_is_told_at_the_second, 30, 3;
    a_number_of_another_file_is_told_at_the_second, 30, 4;
    a_name_of_another_route_is_told_at_the_second, 30, 2;
    a_whole_route_that_stands_twice_is_told_at_the_second, 30;
    a_range_that_is_none_is_refused, 30;
    a_range_that_leaves_a_route_out_is_told_there, 5, 16;
}

/// Routes and pushes that are declared.
fn declared(corpus: &Corpus) -> Vec<Place<'_>> {
    let places = corpus.places().into_iter().filter(|place| {
        let is_one = ["routes.", "pushes."].iter().any(|section| place.path.strip_prefix(section).is_some_and(|rest| !rest.contains('.')));
        is_one && place.node.get("name").is_some() && !place.file.is_overlay()
    });
    places.collect()
}

fn renumbered(corpus: &Corpus, numbers: &[&str], rule: Rule) -> Vec<Mutant> {
    declared(corpus).iter().flat_map(|place| numbers.iter().map(move |number| Mutant::key(place, number, rule))).collect()
}

fn a_number_outside_the_range_of_its_file_is_told(corpus: &Corpus) -> Vec<Mutant> {
    let ranged = declared(corpus).into_iter().filter(|place| place.file.root.get("numbers").is_some());
    // A push that a topic names is missed there as well.
    ranged.map(|place| Mutant::key(&place, "8000", Rule::NumberRange)).collect()
}

fn a_number_of_the_gateways_own_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    renumbered(corpus, &["0", "1", "999"], Rule::NumberRange)
}

fn a_number_that_no_envelope_can_hold_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    renumbered(corpus, &["4294967296", "99999999999999999999"], Rule::BadValue)
}

fn a_number_that_is_not_written_plainly_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    renumbered(corpus, &["0x7d1", "02001", "2_001", "2001.0", "-2001", "2e3"], Rule::BadValue)
}

/// The number of the route before it in the same file.
fn a_number_of_another_route_is_told_at_the_second(corpus: &Corpus) -> Vec<Mutant> {
    let declared = declared(corpus);
    let mut mutants = Vec::new();
    for pair in declared.windows(2) {
        let [first, second] = pair else { continue };
        if first.file.path == second.file.path {
            mutants.push(Mutant::key(second, &first.entry.unwrap().key, Rule::DuplicateKey).or(Rule::DuplicateNumber));
        }
    }
    mutants
}

fn a_number_of_another_file_is_told_at_the_second(corpus: &Corpus) -> Vec<Mutant> {
    let declared = declared(corpus);
    let first = declared.iter().find(|place| place.file.path.ends_with("/routes.yaml")).expect("there is one");
    let others = declared.iter().filter(|place| place.file.path != first.file.path);
    others.map(|place| Mutant::key(place, &first.entry.unwrap().key, Rule::DuplicateNumber)).collect()
}

fn a_name_of_another_route_is_told_at_the_second(corpus: &Corpus) -> Vec<Mutant> {
    let declared = declared(corpus);
    let mut mutants = Vec::new();
    for pair in declared.windows(2) {
        let [first, second] = pair else { continue };
        let (name, other) = (second.node.get("name").unwrap(), first.node.get("name").unwrap().scalar().unwrap());
        let file = second.file;
        let mutant = Mutant::new(
            file,
            file.with(&name.at, other),
            file.line(name.at.start),
            Rule::DuplicateName,
            format_args!("{} named {other}", second.path),
        );
        // Which is the second is a matter of which file is read first.
        let first_line = first.file.line(first.node.get("name").unwrap().at.start);
        mutants.push(mutant.or_at(first.file, first_line..=first_line));
    }
    mutants
}

fn a_whole_route_that_stands_twice_is_told_at_the_second(corpus: &Corpus) -> Vec<Mutant> {
    let mutant = |place: Place<'_>| {
        let (file, entry) = (place.file, place.entry.unwrap());
        let behind = file.text[place.node.at.end..].find('\n').map_or(file.text.len(), |newline| place.node.at.end + newline);
        let written = &file.text[entry.key_at.start..place.node.at.end];
        let text = file.with(&(behind..behind), &format!("\n  {written}"));
        Mutant::new(file, text, file.line(behind) + 1, Rule::DuplicateKey, format_args!("{} twice", place.path))
    };
    declared(corpus).into_iter().map(mutant).collect()
}

fn a_range_that_is_none_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    let ranges = corpus.texts_of("a range of protocol numbers");
    let written = ["2000", "2999..2000", "2000..=2999", "2000-2999", "2000...2999", "..2999", "0..999", "2000..4294967296"];
    ranges.iter().flat_map(|place| written.map(|range| Mutant::value(place, range, Rule::BadValue).or(Rule::NumberRange))).collect()
}

fn a_range_that_leaves_a_route_out_is_told_there(corpus: &Corpus) -> Vec<Mutant> {
    let mutant = |place: &Place<'_>| {
        let mut mutant = Mutant::value(place, "8000..8999", Rule::NumberRange);
        mutant.at = declared(corpus)
            .iter()
            .filter(|route| route.file.path == place.file.path)
            .map(|route| (route.file.path, route.key_line()..=route.key_line()))
            .collect();
        mutant
    };
    corpus.texts_of("a range of protocol numbers").iter().map(mutant).collect()
}
