//! Paths to fields.

use protogate::diagnostic::Rule;

use super::{Mutant, kinds, typos};
use crate::corpus::{Corpus, Place};

kinds! {
    a_misspelt_field_is_told_with_the_one_that_was_meant, 120;
    a_field_of_nobody_is_told, 50;
    a_path_that_goes_on_below_a_value_is_refused, 50;
    a_path_to_a_whole_message_is_refused_where_a_value_is_meant, 4;
    a_path_to_several_values_is_refused_where_one_is_meant, 2;
    a_path_of_the_other_side_is_refused, 45;
    a_path_that_does_not_say_of_what_is_refused, 50;
    a_field_that_cannot_be_written_is_refused, 15;
    a_value_that_no_session_has_is_refused, 20;
}

/// What is a path, as a value or as a key of `set` or `when`: the place, whether it is the key, and the path.
fn paths(corpus: &Corpus) -> Vec<(Place<'_>, bool, String)> {
    let is_path = |text: &str| (text.starts_with("request.") || text.starts_with("response.")) && !text.contains('/');
    let mut paths = Vec::new();
    for place in corpus.places() {
        let key = place.entry.map(|entry| entry.key.clone()).filter(|key| is_path(key));
        let value = place.node.scalar().filter(|text| is_path(text)).map(str::to_owned);
        if let Some(key) = key {
            paths.push((place, true, key));
        } else if let Some(value) = value.filter(|_| !place.path.ends_with(".message")) {
            paths.push((place, false, value));
        }
    }
    paths
}

fn other(place: &Place<'_>, is_key: bool, path: &str, rule: Rule) -> Mutant {
    if is_key { Mutant::key(place, path, rule) } else { Mutant::value(place, path, rule) }
}

fn a_misspelt_field_is_told_with_the_one_that_was_meant(corpus: &Corpus) -> Vec<Mutant> {
    let mut mutants = Vec::new();
    for (place, is_key, path) in paths(corpus) {
        let segments: Vec<&str> = path.split('.').collect();
        for at in 1..segments.len() {
            for typo in typos(segments[at]) {
                let mut written = segments.clone();
                written[at] = &typo;
                mutants.push(other(&place, is_key, &written.join("."), Rule::FieldPath).says(segments[..=at].join(".")));
            }
        }
    }
    mutants
}

fn a_field_of_nobody_is_told(corpus: &Corpus) -> Vec<Mutant> {
    let side = |path: &str| path.split('.').next().unwrap().to_owned();
    paths(corpus).iter().map(|(place, is_key, path)| other(place, *is_key, &format!("{}.zzzyx", side(path)), Rule::FieldPath)).collect()
}

fn a_path_that_goes_on_below_a_value_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    paths(corpus).iter().map(|(place, is_key, path)| other(place, *is_key, &format!("{path}.more"), Rule::FieldPath)).collect()
}

fn a_path_to_a_whole_message_is_refused_where_a_value_is_meant(corpus: &Corpus) -> Vec<Mutant> {
    let paths =
        paths(corpus).into_iter().filter(|(place, _, path)| path == "response.access_token" || place.path.ends_with("bind_session.user"));
    paths.map(|(place, is_key, _)| other(&place, is_key, "response.user", Rule::FieldType)).collect()
}

fn a_path_to_several_values_is_refused_where_one_is_meant(corpus: &Corpus) -> Vec<Mutant> {
    let paths =
        paths(corpus).into_iter().filter(|(place, _, path)| path == "response.access_token" || place.path.ends_with("bind_session.user"));
    paths.map(|(place, is_key, _)| other(&place, is_key, "response.user.roles", Rule::FieldType)).collect()
}

/// `redact` takes both sides, and tells that the field is not there.
fn a_path_of_the_other_side_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    let turned = |path: &str| match path.strip_prefix("request.") {
        Some(rest) => format!("response.{rest}"),
        None => path.replacen("response.", "request.", 1),
    };
    // These are fields of both.
    let paths = paths(corpus).into_iter().filter(|(_, _, path)| path != "request.refresh_token");
    paths.map(|(place, is_key, path)| other(&place, is_key, &turned(&path), Rule::BadValue).or(Rule::FieldPath)).collect()
}

fn a_path_that_does_not_say_of_what_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    let bare = |path: &str| path.split_once('.').unwrap().1.to_owned();
    let mutants = |(place, is_key, path): (Place<'_>, bool, String)| {
        [bare(&path), format!("req.{}", bare(&path)), path.replacen('.', "..", 1), format!("{path}."), path.replacen('.', "/", 1)]
            .map(|written| other(&place, is_key, &written, Rule::BadValue))
    };
    paths(corpus).into_iter().flat_map(mutants).collect()
}

/// One that only a message may hold: a map, a list, a message.
fn a_field_that_cannot_be_written_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    let written: Vec<_> = paths(corpus).into_iter().filter(|(place, is_key, _)| *is_key && place.path.contains(".set.")).collect();
    let of = |place: &Place<'_>| {
        let route = place.path.split('.').nth(1).unwrap();
        let name = match place.file.path {
            path if path.ends_with("chat.yaml") && route == "3003" => "request.invited",
            path if path.ends_with("game.yaml") && ["2002", "2001"].contains(&route) => "request.metadata",
            _ => return None,
        };
        let has = name == "request.invited"
            || place.file.text.contains("GameService/CreateRoom\n    set") && place.path.contains("2001")
            || route == "2002";
        has.then_some(name)
    };
    let mut mutants: Vec<Mutant> =
        written.iter().filter_map(|(place, is_key, _)| Some(other(place, *is_key, of(place)?, Rule::Stamp).or(Rule::FieldPath))).collect();
    // What a session has is told by these words and no others.
    mutants.extend(written.iter().map(|(place, ..)| Mutant::value(place, "session.roles", Rule::BadValue)));
    mutants
}

fn a_value_that_no_session_has_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    let written = paths(corpus).into_iter().filter(|(place, is_key, _)| *is_key && place.path.contains(".set."));
    written
        .flat_map(|(place, ..)| {
            ["user", "session.users", "session.name", "request.user_id"].map(|text| Mutant::value(&place, text, Rule::BadValue))
        })
        .collect()
}
