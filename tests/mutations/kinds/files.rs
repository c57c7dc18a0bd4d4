//! Includes, overlays, layers of lists, descriptors, versions.

use protogate::diagnostic::Rule;

use super::{Mutant, kinds};
use crate::corpus::{Corpus, File, Place};

kinds! {
    an_include_that_is_not_there_is_told, 5, 2;
    an_include_that_stands_twice_is_told, 5;
    a_file_that_includes_itself_is_told, 2;
    an_included_file_that_says_a_version_is_told, 5;
    a_version_that_nobody_speaks_is_refused, 12;
    a_version_that_is_missing_is_missed, 3;
    an_overlay_that_changes_nothing_is_told, 2;
    an_overlay_that_takes_something_away_is_refused, 5;
    an_overlay_that_makes_a_route_is_refused, 2;
    a_list_over_a_list_that_does_not_say_how_is_refused, 15;
    a_list_that_says_it_in_other_words_is_refused, 60;
    a_list_that_says_both_is_refused, 15;
    a_folder_of_descriptors_that_is_not_there_is_told, 6, 2;
    a_source_of_descriptors_that_says_nothing_is_told, 2, 2;
    a_broken_line_of_a_proto_file_is_told, 60, 2;
    a_proto_file_of_no_package_is_told_where_it_is_used, 4, 30;
    a_type_that_no_proto_file_has_is_told, 20;
    a_number_that_two_fields_have_is_told, 10;
    a_request_that_fits_into_no_message_is_told, 5, 6;
    a_reply_that_fits_into_no_outbox_is_told, 5, 30;
    a_bound_around_all_that_is_too_small_is_told, 2, 30;
}

fn includes(corpus: &Corpus) -> Vec<Place<'_>> {
    corpus.places().into_iter().filter(|place| place.path.starts_with("include[")).collect()
}

fn an_include_that_is_not_there_is_told(corpus: &Corpus) -> Vec<Mutant> {
    includes(corpus).iter().map(|place| Mutant::value(place, "nowhere.yaml", Rule::Include)).collect()
}

fn an_include_that_stands_twice_is_told(corpus: &Corpus) -> Vec<Mutant> {
    let twice = |place: &Place<'_>| Mutant::value(place, &format!("{0}, ./{0}", place.written()), Rule::Include);
    let plain = |place: &Place<'_>| Mutant::value(place, &format!("{0}, {0}", place.written()), Rule::Include);
    includes(corpus).iter().flat_map(|place| [plain(place), twice(place)]).collect()
}

fn a_file_that_includes_itself_is_told(corpus: &Corpus) -> Vec<Mutant> {
    let itself = |place: &Place<'_>| Mutant::value(place, &format!("{}, routes.yaml", place.written()), Rule::Include);
    includes(corpus).iter().map(itself).collect()
}

fn an_included_file_that_says_a_version_is_told(corpus: &Corpus) -> Vec<Mutant> {
    let included = corpus.files.iter().filter(|file| !file.is_overlay() && file.root.get("version").is_none());
    let before = |file: &File, entry: &str| {
        let at = file.root.at.start;
        Mutant::new(file, file.with(&(at..at), &format!("{entry}\n")), file.line(at), Rule::Include, entry)
    };
    included.flat_map(|file| [before(file, "version: 1"), before(file, "include: [more.yaml]")]).collect()
}

fn versions(corpus: &Corpus) -> Vec<Place<'_>> {
    corpus.places().into_iter().filter(|place| place.path == "version").collect()
}

fn a_version_that_nobody_speaks_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    versions(corpus).iter().flat_map(|place| ["2", "0", "1.0", "v1", "one"].map(|text| Mutant::value(place, text, Rule::Version))).collect()
}

fn a_version_that_is_missing_is_missed(corpus: &Corpus) -> Vec<Mutant> {
    let without = |place: &Place<'_>| {
        let (file, entry) = (place.file, place.entry.unwrap());
        let text = file.with(&(entry.key_at.start..place.node.at.end), "");
        Mutant::new(file, text, 1, Rule::MissingKey, "without version").or_at(file, 1..=file.line(place.node.at.end) + 60)
    };
    versions(corpus).iter().map(without).collect()
}

fn in_overlays(corpus: &Corpus) -> Vec<Place<'_>> {
    corpus.places().into_iter().filter(|place| place.file.is_overlay()).collect()
}

fn an_overlay_that_changes_nothing_is_told(corpus: &Corpus) -> Vec<Mutant> {
    let routes = in_overlays(corpus).into_iter().filter(|place| place.path.starts_with("routes.") && place.node.get("timeout").is_some());
    routes.flat_map(|place| ["auth.inof", "9876", "nobody"].map(|name| Mutant::key(&place, name, Rule::Overlay))).collect()
}

fn an_overlay_that_takes_something_away_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    let places = in_overlays(corpus).into_iter().filter(|place| place.entry.is_some());
    let nothing = |place: Place<'_>| {
        let (file, entry) = (place.file, place.entry.unwrap());
        let text = file.with(&(entry.key_at.end..place.node.at.end), ": ~");
        Mutant::new(file, text, place.key_line(), Rule::Overlay, format_args!("{}: ~", place.path)).or(Rule::WrongType)
    };
    places.map(nothing).collect()
}

fn an_overlay_that_makes_a_route_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    let overlays = corpus.files.iter().filter(|file| file.is_overlay() && !file.path.contains("gateway"));
    let mutant = |file: &File| {
        let at = file.root.get("routes").expect("it has some").at.start;
        let text = file.with(&(at..at), "9700: { name: more, rpc: protogate.echo.v1.EchoService/Echo }\n  ");
        Mutant::new(file, text, file.line(at), Rule::Overlay, "one more route")
    };
    overlays.flat_map(|file| [mutant(file), mutant(file)]).collect()
}

/// Lists of routes that say `append` or `replace`, and the list.
fn edits(corpus: &Corpus) -> Vec<(Place<'_>, &str)> {
    fn edit(place: Place<'_>) -> Option<(Place<'_>, &str)> {
        let [entry] = place.node.entries() else { return None };
        let text: &'static str = place.file.text;
        ["append", "replace"].contains(&entry.key.as_str()).then(|| (place, &text[entry.value.at.clone()]))
    }
    corpus.places().into_iter().filter_map(edit).collect()
}

fn a_list_over_a_list_that_does_not_say_how_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    edits(corpus).iter().map(|(place, list)| Mutant::value(place, list, Rule::ListEdit)).collect()
}

fn a_list_that_says_it_in_other_words_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    let mutants = |(place, list): &(Place<'_>, &str)| {
        ["apend", "add", "appends", "Append"]
            .map(|word| Mutant::value(place, &format!("{{ {word}: {list} }}"), Rule::ListEdit).or(Rule::UnknownKey).or(Rule::WrongType))
    };
    edits(corpus).iter().flat_map(mutants).collect()
}

fn a_list_that_says_both_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    let both = |(place, list): &(Place<'_>, &str)| {
        Mutant::value(place, &format!("{{ append: {list}, replace: {list} }}"), Rule::ListEdit).or(Rule::WrongType)
    };
    edits(corpus).iter().map(both).collect()
}

fn sources(corpus: &Corpus) -> Vec<Place<'_>> {
    corpus.places().into_iter().filter(|place| place.path == "descriptors[0].proto").collect()
}

fn a_folder_of_descriptors_that_is_not_there_is_told(corpus: &Corpus) -> Vec<Mutant> {
    sources(corpus)
        .iter()
        .flat_map(|place| {
            ["../prot", "proto", "../proto/nowhere", "routes.yaml"]
                .map(|path| Mutant::value(place, path, Rule::ProtoSource).or(Rule::Unreadable))
        })
        .collect()
}

fn a_source_of_descriptors_that_says_nothing_is_told(corpus: &Corpus) -> Vec<Mutant> {
    let sources = corpus.places().into_iter().filter(|place| place.path == "descriptors[0]");
    sources.map(|place| Mutant::value(&place, "{}", Rule::MissingKey)).collect()
}

/// A .proto file with another line.
fn proto(corpus: &Corpus, line: impl Fn(&str) -> Option<String>, least: usize) -> Vec<Mutant> {
    let mut mutants = Vec::new();
    // Only what is used is read to its end.
    let is_used = |package: &str| corpus.files.iter().any(|file| file.text.contains(&format!("rpc: {package}.")));
    let used = ["echo", "guard", "notify"].into_iter().filter(|name| is_used(&format!("protogate.{name}.v1")));
    for (path, text) in used.flat_map(|name| corpus.texts().filter(move |(path, _)| path.ends_with(&format!("/{name}.proto")))) {
        let lines: Vec<&str> = text.lines().collect();
        for (index, written) in lines.iter().enumerate() {
            let Some(other) = line(written) else { continue };
            let mut changed = lines.clone();
            changed[index] = &other;
            let near = index.saturating_sub(least)..=index + 2 + least;
            mutants.push(Mutant {
                what: format!("{path} {}: {other}", index + 1),
                path,
                text: changed.join("\n"),
                at: vec![(path, near)],
                rules: vec![Rule::ProtoSource],
                says: None,
            });
        }
    }
    mutants
}

fn a_broken_line_of_a_proto_file_is_told(corpus: &Corpus) -> Vec<Mutant> {
    let no_semicolon = |line: &str| (line.ends_with(';') && !is_head(line)).then(|| line.trim_end_matches(';').to_owned());
    // The parser may notice at the next word, behind comments.
    proto(corpus, no_semicolon, 6)
}

/// What is before everything that has a name.
fn is_head(line: &str) -> bool {
    line.starts_with("syntax") || line.starts_with("package")
}

/// Nobody can tell what it declares, so it is missed where a route asks for it.
fn a_proto_file_of_no_package_is_told_where_it_is_used(corpus: &Corpus) -> Vec<Mutant> {
    let no_semicolon = |line: &str| is_head(line).then(|| line.trim_end_matches(';').to_owned());
    let everywhere = |mut mutant: Mutant| {
        mutant.at.extend(corpus.files.iter().map(|file| (file.path, 1..=usize::MAX)));
        mutant.or(Rule::UnknownMethod)
    };
    proto(corpus, no_semicolon, 6).into_iter().map(everywhere).collect()
}

fn a_type_that_no_proto_file_has_is_told(corpus: &Corpus) -> Vec<Mutant> {
    proto(corpus, |line| line.trim_start().starts_with("string ").then(|| line.replacen("string ", "Strong ", 1)), 0)
}

fn a_number_that_two_fields_have_is_told(corpus: &Corpus) -> Vec<Mutant> {
    proto(corpus, |line| (line.contains("= 2;") && line.starts_with("  ")).then(|| line.replacen("= 2;", "= 1;", 1)), 4)
}

fn sized(corpus: &Corpus, key: &str) -> Vec<Mutant> {
    let sizes =
        corpus.texts_of("a size in bytes").into_iter().filter(|place| place.path.ends_with(key) && !place.path.starts_with("connections"));
    sizes.map(|place| Mutant::value(&place, "100MiB", Rule::Bounds)).collect()
}

fn a_request_that_fits_into_no_message_is_told(corpus: &Corpus) -> Vec<Mutant> {
    sized(corpus, "request_bytes_max")
}

fn a_reply_that_fits_into_no_outbox_is_told(corpus: &Corpus) -> Vec<Mutant> {
    sized(corpus, "reply_bytes_max")
}

/// Told at the bound, or at each route that does not fit.
fn a_bound_around_all_that_is_too_small_is_told(corpus: &Corpus) -> Vec<Mutant> {
    let bounds = corpus
        .places()
        .into_iter()
        .filter(|place| ["connections.message_bytes_max", "connections.outbox_bytes_max"].contains(&place.path.as_str()));
    let mutant = |place: Place<'_>| {
        let mut mutant = Mutant::value(&place, "4KiB", Rule::Bounds);
        mutant.at.extend(corpus.files.iter().map(|file| (file.path, 1..=usize::MAX)));
        mutant
    };
    bounds.map(mutant).collect()
}
