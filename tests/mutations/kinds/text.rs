//! What is no YAML, or YAML that the language does without.

use protogate::diagnostic::Rule;

use super::{Mutant, kinds};
use crate::corpus::{Corpus, File, Place};

kinds! {
    a_tab_in_the_indentation_is_no_yaml, 100;
    a_line_that_moved_right_is_told, 100, 4;
    a_quote_that_is_not_closed_is_no_yaml, 30;
    a_bracket_that_is_not_closed_is_no_yaml, 60;
    a_bracket_too_many_is_no_yaml, 60;
    a_tag_is_refused, 300;
    a_merge_key_is_refused, 100;
    a_second_document_is_refused, 10;
    an_alias_of_nothing_is_no_yaml, 300;
    an_alias_inside_of_what_it_stands_for_is_refused, 60, 3;
    aliases_that_multiply_are_refused, 10;
    nests_without_end_are_refused, 10, 2;
    a_nul_byte_is_refused, 50;
    what_stands_behind_the_end_is_told, 10, 2;
    a_missing_space_behind_a_colon_is_told, 200, 4;
}

fn files(corpus: &Corpus) -> impl Iterator<Item = &File> {
    corpus.files.iter().filter(|file| !file.root.entries().is_empty())
}

/// Entries in block style that are not at the left margin.
fn indented(corpus: &Corpus) -> Vec<(Place<'_>, usize)> {
    fn in_block(place: Place<'_>) -> Option<(Place<'_>, usize)> {
        let start = place.entry?.key_at.start;
        let line = place.file.text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let blank = place.file.text[line..start].bytes().all(|byte| byte == b' ') && start > line;
        blank.then_some((place, line))
    }
    corpus.places().into_iter().filter_map(in_block).collect()
}

fn somewhere_from(mutant: Mutant, file: &File, line: usize) -> Mutant {
    // Where a parser gives up may be some way below.
    mutant.or_at(file, line..=usize::MAX)
}

fn a_tab_in_the_indentation_is_no_yaml(corpus: &Corpus) -> Vec<Mutant> {
    let mutant = |(place, line): (Place<'_>, usize)| {
        let (file, start) = (place.file, place.entry.unwrap().key_at.start);
        let mutant =
            Mutant::new(file, file.with(&(line..start), "\t"), file.line(start), Rule::Syntax, format_args!("a tab before {}", place.path));
        mutant.says("indent with spaces").or_at(file, file.line(start) - 1..=file.line(start))
    };
    indented(corpus).into_iter().map(mutant).collect()
}

fn a_line_that_moved_right_is_told(corpus: &Corpus) -> Vec<Mutant> {
    let mutant = |(place, line): (Place<'_>, usize)| {
        let file = place.file;
        let number = file.line(line);
        let mut mutant =
            Mutant::new(file, file.with(&(line..line), " "), number, Rule::Syntax, format_args!("one more space before {}", place.path));
        mutant.rules = Rule::ALL.to_vec();
        mutant.or_at(file, number.saturating_sub(1)..=number + 24)
    };
    // Alone in its section it may stand in any column.
    let others = |(place, _): &(Place<'_>, usize)| place.parent.entries().len() > 1;
    indented(corpus).into_iter().filter(others).map(mutant).collect()
}

fn a_quote_that_is_not_closed_is_no_yaml(corpus: &Corpus) -> Vec<Mutant> {
    let quoted = corpus.places().into_iter().filter(|place| place.written().ends_with('"') && place.node.scalar().is_some());
    let mutant = |place: Place<'_>| {
        let (file, end) = (place.file, place.node.at.end);
        let mutant = Mutant::new(
            file,
            file.with(&(end - 1..end), ""),
            place.line(),
            Rule::Syntax,
            format_args!("{} without its last quote", place.path),
        );
        // It may end at the next quote of the file, and what is there is wrong then.
        let mutant = mutant
            .or(Rule::WrongType)
            .or(Rule::BadValue)
            .or(Rule::Variable)
            .or(Rule::UnknownKey)
            .or(Rule::MissingKey)
            .or(Rule::UnknownTopic);
        somewhere_from(mutant, file, place.line())
    };
    quoted.map(mutant).collect()
}

fn flows(corpus: &Corpus) -> Vec<Place<'_>> {
    corpus.places().into_iter().filter(|place| place.written().ends_with(['}', ']']) && place.node.scalar().is_none()).collect()
}

fn a_bracket_that_is_not_closed_is_no_yaml(corpus: &Corpus) -> Vec<Mutant> {
    let mutant = |place: &Place<'_>| {
        let (file, end) = (place.file, place.node.at.end);
        let line = file.line(end - 1);
        let mutant =
            Mutant::new(file, file.with(&(end - 1..end), ""), line, Rule::Syntax, format_args!("{} without its last bracket", place.path));
        somewhere_from(mutant, file, line)
    };
    flows(corpus).iter().map(mutant).collect()
}

fn a_bracket_too_many_is_no_yaml(corpus: &Corpus) -> Vec<Mutant> {
    let mutant = |place: &Place<'_>| {
        let (file, end) = (place.file, place.node.at.end);
        let line = file.line(end - 1);
        let text = file.with(&(end..end), &file.text[end - 1..end]);
        somewhere_from(Mutant::new(file, text, line, Rule::Syntax, format_args!("{} with a bracket more", place.path)), file, line)
    };
    flows(corpus).iter().map(mutant).collect()
}

fn before_value(place: &Place<'_>, what: &str, rule: Rule) -> Mutant {
    let (file, start) = (place.file, place.node.at.start);
    Mutant::new(file, file.with(&(start..start), what), place.line(), rule, format_args!("{what} before {}", place.path))
}

/// Values that stand on the line of their keys.
fn on_a_line(corpus: &Corpus) -> impl Iterator<Item = Place<'_>> {
    corpus.places().into_iter().filter(|place| place.node.scalar().is_some() || place.written().starts_with(['{', '[']))
}

fn a_tag_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    on_a_line(corpus).map(|place| before_value(&place, "!!str ", Rule::RefusedYaml)).collect()
}

fn a_merge_key_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    let maps = corpus
        .places()
        .into_iter()
        .filter(|place| place.node.scalar().is_none() && place.written().starts_with('{') && place.written().len() > 2);
    let mutant = |place: Place<'_>| {
        let (file, at) = (place.file, place.node.at.start + 1);
        Mutant::new(file, file.with(&(at..at), " <<: {},"), file.line(at), Rule::RefusedYaml, format_args!("a merge key in {}", place.path))
    };
    maps.map(mutant).collect()
}

fn a_second_document_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    let mutant = |file: &File| {
        let line = file.line(file.text.len());
        Mutant::new(file, format!("{}---\nversion: 1\n", file.text), line, Rule::RefusedYaml, "a second document")
    };
    files(corpus).map(mutant).collect()
}

fn an_alias_of_nothing_is_no_yaml(corpus: &Corpus) -> Vec<Mutant> {
    on_a_line(corpus).map(|place| Mutant::value(&place, "*nowhere", Rule::Syntax)).collect()
}

fn an_alias_inside_of_what_it_stands_for_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    on_a_line(corpus)
        .filter(|place| place.node.scalar().is_none())
        .map(|place| Mutant::value(&place, "&around [*around]", Rule::RefusedYaml))
        .collect()
}

fn aliases_that_multiply_are_refused(corpus: &Corpus) -> Vec<Mutant> {
    let laughs: String = (1..12).map(|i| format!("a{i}: &a{i} [{}]\n", format!("*a{}, ", i - 1).repeat(9))).collect();
    let bomb = format!("a0: &a0 [x]\n{laughs}");
    let mutant = |file: &File| {
        let line = file.line(file.text.len());
        let mutant = Mutant::new(file, format!("{}{bomb}", file.text), line, Rule::RefusedYaml, "aliases of aliases");
        somewhere_from(mutant, file, line)
    };
    files(corpus).map(mutant).collect()
}

fn nests_without_end_are_refused(corpus: &Corpus) -> Vec<Mutant> {
    let mutant = |file: &File| {
        let line = file.line(file.text.len());
        Mutant::new(
            file,
            format!("{}deep: {}{}\n", file.text, "[".repeat(200), "]".repeat(200)),
            line,
            Rule::RefusedYaml,
            "brackets in brackets",
        )
    };
    // `deep` is a key that no file has, besides.
    files(corpus).map(mutant).collect()
}

fn a_nul_byte_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    on_a_line(corpus).step_by(7).map(|place| before_value(&place, "\0", Rule::Syntax)).collect()
}

fn what_stands_behind_the_end_is_told(corpus: &Corpus) -> Vec<Mutant> {
    let mutant = |file: &File| {
        let line = file.line(file.text.len());
        let mut mutant = Mutant::new(file, format!("{}and so on\n", file.text), line, Rule::Syntax, "more behind the end");
        mutant.rules.push(Rule::WrongType);
        mutant.or_at(file, line - 1..=line + 1)
    };
    files(corpus).map(mutant).collect()
}

fn a_missing_space_behind_a_colon_is_told(corpus: &Corpus) -> Vec<Mutant> {
    let in_block = corpus.places().into_iter().filter(|place| {
        let Some(entry) = place.entry else { return false };
        !place.file.text[place.parent.at.clone()].starts_with('{') && place.file.text[entry.key_at.end..].starts_with(": ")
            // Behind a quoted key no space is needed, and before a bracket it is not missed by all.
            && !place.file.text[entry.key_at.clone()].starts_with('"')
    });
    let mutant = |place: Place<'_>| {
        let (file, colon) = (place.file, place.entry.unwrap().key_at.end);
        let line = file.line(colon);
        let mut mutant =
            Mutant::new(file, file.with(&(colon + 1..colon + 2), ""), line, Rule::Syntax, format_args!("no space in {}", place.path));
        mutant.rules = vec![Rule::Syntax, Rule::WrongType, Rule::UnknownKey, Rule::MissingKey, Rule::Overlay];
        mutant.or_at(file, line.saturating_sub(2)..=line + 6)
    };
    in_block.map(mutant).collect()
}
