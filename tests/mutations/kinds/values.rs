//! Values of the right type that mean nothing: words, durations, sizes, rates.

use protogate::config::grammar::{Shape, is_free};
use protogate::diagnostic::Rule;

use super::{Mutant, kinds, typos};
use crate::corpus::{Corpus, Place};

kinds! {
    a_misspelt_word_of_a_choice_is_told_with_the_one_that_was_meant, 50;
    a_word_that_no_choice_has_is_refused, 30;
    a_duration_without_its_unit_is_refused, 30;
    a_duration_with_a_unit_of_nobody_is_refused, 100;
    a_fraction_of_a_duration_is_refused, 30, 3;
    a_negative_duration_is_refused, 30;
    a_duration_of_more_than_ten_years_is_refused, 30;
    a_size_without_its_unit_is_refused, 15;
    a_size_with_a_unit_of_nobody_is_refused, 60;
    a_size_beyond_all_bounds_is_refused, 15;
    a_rate_of_nothing_is_refused, 10;
    a_rate_that_does_not_say_per_what_is_refused, 30;
    a_part_of_many_that_is_no_percentage_is_refused, 8;
    values_of_two_keys_that_changed_places_are_refused, 60, 3;
    a_host_that_no_resolver_knows_is_refused, 20, 2;
    a_line_with_what_cannot_be_seen_is_refused, 30, 2;
    a_claim_that_is_none_is_refused, 3;
    an_environment_variable_that_nobody_can_set_is_refused, 15, 2;
    an_item_that_stands_twice_is_told_at_the_second, 30, 2;
}

fn each(places: &[Place<'_>], values: &[&str], rule: Rule) -> Vec<Mutant> {
    places.iter().flat_map(|place| values.iter().map(move |value| Mutant::value(place, value, rule))).collect()
}

fn choices(corpus: &Corpus) -> Vec<(Place<'_>, &'static [(&'static str, &'static str)])> {
    fn choice(place: Place<'_>) -> Option<(Place<'_>, &'static [(&'static str, &'static str)])> {
        match place.shape {
            Some(Shape::Choice { words, .. }) if place.node.scalar().is_some() => Some((place, words)),
            _ => None,
        }
    }
    corpus.places().into_iter().filter_map(choice).collect()
}

fn a_misspelt_word_of_a_choice_is_told_with_the_one_that_was_meant(corpus: &Corpus) -> Vec<Mutant> {
    let mut mutants = Vec::new();
    for (place, words) in choices(corpus) {
        let word = place.node.scalar().unwrap();
        for typo in typos(word).into_iter().chain([word.to_uppercase()]).filter(|typo| words.iter().all(|(known, _)| known != typo)) {
            mutants.push(Mutant::value(&place, &typo, Rule::BadValue).says(format!("did you mean `{word}`?")));
        }
    }
    mutants
}

fn a_word_that_no_choice_has_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    let said = |(place, words): (Place<'_>, &[(&str, &str)])| {
        let mutant = Mutant::value(&place, "zzzyx", Rule::BadValue);
        if words.len() < 6 { mutant.says(format!("`{}`", words[0].0)) } else { mutant }
    };
    choices(corpus).into_iter().map(said).collect()
}

fn durations(corpus: &Corpus) -> Vec<Place<'_>> {
    corpus.texts_of("a duration")
}

fn a_duration_without_its_unit_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    let digits = |place: &Place<'_>| place.written().trim_end_matches(|c: char| c.is_ascii_alphabetic()).to_owned();
    durations(corpus).iter().map(|place| Mutant::value(place, &digits(place), Rule::BadValue)).collect()
}

fn a_duration_with_a_unit_of_nobody_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    each(&durations(corpus), &["3 s", "3sec", "3S", "3x", "s", "3m30s"], Rule::BadValue)
}

fn a_fraction_of_a_duration_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    each(&durations(corpus), &["1.5s", ".5s", "1,5s"], Rule::BadValue)
}

fn a_negative_duration_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    each(&durations(corpus), &["-3s", "+3s"], Rule::BadValue)
}

fn a_duration_of_more_than_ten_years_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    each(&durations(corpus), &["3651d", "99999999999999999999999s", "18446744073709551615d"], Rule::BadValue)
}

fn a_size_without_its_unit_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    each(&corpus.texts_of("a size in bytes"), &["64", "65536"], Rule::BadValue)
}

fn a_size_with_a_unit_of_nobody_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    each(&corpus.texts_of("a size in bytes"), &["64KB", "64kib", "64K", "64 KiB", "1TiB", "1.5MiB", "-1MiB"], Rule::BadValue)
}

fn a_size_beyond_all_bounds_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    each(&corpus.texts_of("a size in bytes"), &["1025GiB", "99999999999999999999999B"], Rule::BadValue)
}

fn a_rate_of_nothing_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    each(&corpus.texts_of("a rate"), &["0/s", "0/min", "-1/s", "99999999999/s"], Rule::BadValue)
}

fn a_rate_that_does_not_say_per_what_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    each(&corpus.texts_of("a rate"), &["20", "20/", "20/day", "20 / s", "20/S", "/s", "1.5/s", "20/10s"], Rule::BadValue)
}

fn a_part_of_many_that_is_no_percentage_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    let mut places = corpus.texts_of("a part of many");
    places.extend(corpus.places().into_iter().filter(|place| place.written().ends_with('%') && place.shape.is_some()));
    each(&places, &["101%", "1", "-1%", "1 %"], Rule::BadValue)
}

fn a_host_that_no_resolver_knows_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    let hosts =
        ["http://game..internal:1", "http://.game:1", "http://127.0.0.256:1", "http://127.0.0:1", "http://127.00.0.1:1", "https://-game:1"];
    each(&corpus.texts_of("the URL of an endpoint"), &hosts, Rule::BadValue)
}

fn a_line_with_what_cannot_be_seen_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    let lines = ["\" game\"", "\"game \"", "\"game\\t\"", "\"game\\n\"", "\"ga\\u200bme\"", "\"game\u{a0}\"", "\"ga\\e[31mme\""];
    each(&corpus.texts_of("text in one line"), &lines, Rule::BadValue)
}

fn a_claim_that_is_none_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    each(
        &corpus.texts_of("a claim of the token"),
        &["roles", "clams.roles", "claims", "claims.", "claims.a..b", "\"claims.a b\""],
        Rule::BadValue,
    )
}

fn an_environment_variable_that_nobody_can_set_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    let names = ["GAME-HOST", "\"GAME HOST\"", "\"GAME=1\"", "9GAME", "\"${GAME}\"", "GAME.HOST"];
    each(&corpus.texts_of("the name of an environment variable"), &names, Rule::BadValue)
        .into_iter()
        .map(|mutant| mutant.or(Rule::Variable))
        .collect()
}

fn an_item_that_stands_twice_is_told_at_the_second(corpus: &Corpus) -> Vec<Mutant> {
    let is_name = |place: &Place<'_>| match &place.shape {
        Some(Shape::Text { pattern, .. }) => !is_free(pattern),
        Some(Shape::Choice { .. }) => true,
        _ => false,
    };
    let items = corpus.places().into_iter().filter(|place| place.entry.is_none() && is_name(place) && !place.is_variable());
    let in_brackets = items.filter(|place| place.file.text[place.parent.at.clone()].starts_with('['));
    in_brackets.map(|place| Mutant::value(&place, &format!("{0}, {0}", place.written()), Rule::ListedTwice)).collect()
}

/// Two keys of one section whose values are of different kinds, each with the other's value.
fn values_of_two_keys_that_changed_places_are_refused(corpus: &Corpus) -> Vec<Mutant> {
    let mut mutants = Vec::new();
    let places = corpus.places();
    for pair in places.windows(2) {
        let [first, second] = pair else { continue };
        let siblings = first.parent.at == second.parent.at && first.file.path == second.file.path;
        let (Some(one), Some(other)) = (first.shape.as_ref(), second.shape.as_ref()) else { continue };
        if !siblings || first.node.scalar().is_none() || second.node.scalar().is_none() || !differ(one, other) {
            continue;
        }
        let (file, between) = (first.file, &first.file.text[first.node.at.end..second.node.at.start]);
        let text = file.with(&(first.node.at.start..second.node.at.end), &format!("{}{between}{}", second.written(), first.written()));
        let (line, last) = (first.line(), second.line());
        let mut mutant = Mutant::new(file, text, line, Rule::WrongType, format_args!("{} and {} changed", first.path, second.path))
            .or_at(file, line..=last);
        mutant.rules = Rule::ALL.to_vec();
        mutants.push(mutant);
    }
    mutants
}

/// Whether what is right for one is wrong for the other.
fn differ(one: &Shape, other: &Shape) -> bool {
    match (one, other) {
        (Shape::Text { what: one, .. }, Shape::Text { what: other, .. }) => {
            let narrow = |what: &str| ["a duration", "a size in bytes", "a rate", "a method", "a URL", "a size"].contains(&what);
            one != other && narrow(one) && narrow(other)
        }
        (Shape::Integer { .. }, Shape::Integer { .. }) | (Shape::Bool, Shape::Bool) => false,
        (Shape::Integer { .. } | Shape::Bool, Shape::Integer { .. } | Shape::Bool) => true,
        (Shape::Integer { .. } | Shape::Bool, Shape::Text { .. } | Shape::Choice { .. }) => true,
        (Shape::Text { .. } | Shape::Choice { .. }, Shape::Integer { .. } | Shape::Bool) => true,
        (Shape::Text { .. }, Shape::Choice { .. }) | (Shape::Choice { .. }, Shape::Text { .. }) => true,
        _ => false,
    }
}
