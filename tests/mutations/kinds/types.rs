//! Values of another type than the one that belongs there.

use protogate::config::grammar::Shape;
use protogate::diagnostic::Rule;

use super::{Mutant, kinds};
use crate::corpus::{Corpus, Place};

kinds! {
    a_list_in_the_place_of_one_value_is_refused, 300;
    a_map_in_the_place_of_one_value_is_refused, 300;
    one_value_in_the_place_of_a_map_is_refused, 100, 2;
    a_list_in_the_place_of_a_map_is_refused, 100, 2;
    one_value_in_the_place_of_a_list_is_refused, 30, 2;
    a_map_in_the_place_of_a_list_is_refused, 30, 2;
    nothing_in_the_place_of_one_value_is_refused, 300;
    true_in_the_place_of_text_is_refused, 200, 2;
    a_number_in_the_place_of_text_is_refused, 200, 2;
    a_list_of_lists_is_refused, 50;
    text_in_the_place_of_a_whole_number_is_refused, 30;
    a_quoted_number_in_the_place_of_a_whole_number_is_refused, 30;
    a_fraction_in_the_place_of_a_whole_number_is_refused, 30;
    a_negative_number_is_refused, 30;
    a_number_beyond_all_bounds_is_refused, 30;
    a_number_as_programs_write_them_is_refused, 150;
    a_number_in_the_place_of_true_or_false_is_refused, 10;
    text_in_the_place_of_true_or_false_is_refused, 10;
    a_word_of_older_yaml_is_refused, 60;
}

fn scalars(corpus: &Corpus) -> Vec<Place<'_>> {
    let is_one = |place: &Place<'_>| place.node.scalar().is_some() && place.shape.is_some();
    corpus.places().into_iter().filter(is_one).collect()
}

/// Places where either one value or something larger may stand are left out.
fn of(corpus: &Corpus, is: fn(&Shape) -> bool) -> Vec<Place<'_>> {
    corpus.places().into_iter().filter(|place| place.shape.as_ref().is_some_and(is)).collect()
}

fn may_be_several(place: &Place<'_>) -> bool {
    let Some(entry) = place.entry else {
        return matches!(&place.parent_shape, Some(Shape::List(item) | Shape::Edit(item)) if matches!(**item, Shape::Either(..)));
    };
    let Some(Shape::Section { keys, .. }) = &place.parent_shape else { return false };
    keys.iter().any(|key| key.name == entry.key && matches!(key.shape, Shape::Either(..)))
}

/// What stands inside of a value begins at its first line; what replaces a block stands behind its key.
fn instead(place: &Place<'_>, value: &str) -> Mutant {
    let file = place.file;
    let Some(entry) = place.entry else { return Mutant::value(place, value, Rule::WrongType).or(Rule::BadValue) };
    let text = file.with(&(entry.key_at.end..place.node.at.end), &format!(": {value}"));
    Mutant::new(file, text, place.key_line(), Rule::WrongType, format_args!("{}: {value}", place.path))
        .or(Rule::Overlay)
        .or(Rule::ListEdit)
        .or(Rule::BadValue)
}

fn a_list_in_the_place_of_one_value_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    scalars(corpus)
        .iter()
        .filter(|place| !may_be_several(place))
        .map(|place| Mutant::value(place, "[a, b]", Rule::WrongType).or(Rule::Overlay))
        .collect()
}

fn a_map_in_the_place_of_one_value_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    scalars(corpus)
        .iter()
        .filter(|place| !may_be_several(place))
        .map(|place| Mutant::value(place, "{ a: b }", Rule::WrongType).or(Rule::Overlay))
        .collect()
}

fn one_value_in_the_place_of_a_map_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    let maps = of(corpus, |shape| matches!(shape, Shape::Section { .. } | Shape::Map { .. }));
    maps.iter().filter(|place| !may_be_several(place)).map(|place| instead(place, "something")).collect()
}

fn a_list_in_the_place_of_a_map_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    let maps = of(corpus, |shape| matches!(shape, Shape::Section { .. } | Shape::Map { .. }));
    maps.iter().filter(|place| !may_be_several(place)).map(|place| instead(place, "[1]")).collect()
}

fn one_value_in_the_place_of_a_list_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    let lists = of(corpus, |shape| matches!(shape, Shape::List(_) | Shape::Edit(_)));
    lists.iter().filter(|place| !may_be_several(place)).map(|place| instead(place, "something")).collect()
}

fn a_map_in_the_place_of_a_list_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    let lists = of(corpus, |shape| matches!(shape, Shape::List(_) | Shape::Edit(_)));
    lists.iter().filter(|place| !may_be_several(place)).map(|place| instead(place, "{ first: 1 }")).collect()
}

fn nothing_in_the_place_of_one_value_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    scalars(corpus)
        .iter()
        .filter(|place| !may_be_several(place))
        .map(|place| Mutant::value(place, "~", Rule::WrongType).or(Rule::Overlay))
        .collect()
}

fn true_in_the_place_of_text_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    let texts = of(corpus, |shape| matches!(shape, Shape::Text { .. } | Shape::Choice { .. }));
    texts.iter().map(|place| Mutant::value(place, "true", Rule::WrongType).or(Rule::BadValue)).collect()
}

fn a_number_in_the_place_of_text_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    let texts = of(corpus, |shape| matches!(shape, Shape::Text { .. } | Shape::Choice { .. }));
    // A key of metadata may be one.
    texts
        .iter()
        .filter(|place| !place.is_text("a metadata key that clients may set"))
        .map(|place| Mutant::value(place, "12", Rule::WrongType).or(Rule::BadValue).or(Rule::NumberRange).or(Rule::UnknownTopic))
        .collect()
}

fn a_list_of_lists_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    let items = corpus.places().into_iter().filter(|place| place.entry.is_none() && place.node.scalar().is_some());
    items.map(|place| Mutant::value(&place, &format!("[{}]", place.written()), Rule::WrongType)).collect()
}

fn whole_numbers(corpus: &Corpus) -> Vec<Place<'_>> {
    of(corpus, |shape| matches!(shape, Shape::Integer { .. }))
}

fn text_in_the_place_of_a_whole_number_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    whole_numbers(corpus).iter().map(|place| Mutant::value(place, "many", Rule::WrongType).or(Rule::BadValue).or(Rule::Version)).collect()
}

fn a_quoted_number_in_the_place_of_a_whole_number_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    let quoted = |place: &Place<'_>| Mutant::value(place, &format!("\"{}\"", place.written()), Rule::WrongType);
    whole_numbers(corpus).iter().filter(|place| !place.is_variable()).map(quoted).collect()
}

fn a_fraction_in_the_place_of_a_whole_number_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    whole_numbers(corpus).iter().map(|place| Mutant::value(place, "1.5", Rule::BadValue).or(Rule::Version)).collect()
}

fn a_negative_number_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    whole_numbers(corpus).iter().map(|place| Mutant::value(place, "-1", Rule::BadValue).or(Rule::Version)).collect()
}

fn a_number_beyond_all_bounds_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    whole_numbers(corpus).iter().map(|place| Mutant::value(place, "99999999999999999999999", Rule::BadValue).or(Rule::Version)).collect()
}

fn a_number_as_programs_write_them_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    let written = ["0x28", "0o50", "040", "1_000", "4e1", "+40"];
    let mutants = |place: &Place<'_>| written.map(|text| Mutant::value(place, text, Rule::BadValue).or(Rule::WrongType).or(Rule::Version));
    whole_numbers(corpus).iter().flat_map(mutants).collect()
}

fn a_number_in_the_place_of_true_or_false_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    of(corpus, |shape| matches!(shape, Shape::Bool))
        .iter()
        .map(|place| Mutant::value(place, "1", Rule::WrongType).or(Rule::BadValue))
        .collect()
}

fn text_in_the_place_of_true_or_false_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    let bools = of(corpus, |shape| matches!(shape, Shape::Bool));
    bools
        .iter()
        .flat_map(|place| ["\"true\"", "sure", "tru", "TrUe"].map(|text| Mutant::value(place, text, Rule::WrongType).or(Rule::BadValue)))
        .collect()
}

fn a_word_of_older_yaml_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    let bools = of(corpus, |shape| matches!(shape, Shape::Bool));
    bools
        .iter()
        .flat_map(|place| ["yes", "no", "on", "off", "y", "N"].map(|text| Mutant::value(place, text, Rule::AmbiguousWord)))
        .collect()
}
