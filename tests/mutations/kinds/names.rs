//! Names of what does not exist, and methods of others.

use protogate::diagnostic::Rule;

use super::{Mutant, kinds, typos};
use crate::corpus::{Corpus, Place};

kinds! {
    a_misspelt_backend_is_told_with_the_one_that_was_meant, 15, 2;
    a_misspelt_limit_is_told_with_the_one_that_was_meant, 30, 2;
    a_limit_of_nobody_is_refused, 12;
    a_misspelt_role_is_told_with_the_one_that_was_meant, 3;
    a_permission_that_no_role_grants_is_told, 8, 2;
    a_misspelt_service_of_this_process_is_told_with_the_one_that_was_meant, 12, 2;
    a_misspelt_method_is_told_with_the_one_that_was_meant, 90;
    a_misspelt_service_is_told, 90;
    a_misspelt_package_is_told, 90;
    a_method_without_its_service_is_refused, 100;
    a_method_of_another_service_does_not_have_the_fields, 15, 7;
    a_misspelt_message_is_told_with_the_one_that_was_meant, 15;
    a_message_of_another_method_is_refused, 2;
    a_topic_that_nobody_declares_is_told, 8;
    a_push_that_nobody_declares_is_told, 8, 2;
    a_variable_that_nobody_declares_is_told, 6, 2;
    a_variable_that_is_half_written_is_refused, 20, 2;
    a_name_in_another_alphabet_is_refused, 200, 2;
    a_declaration_that_lost_its_name_is_missed_where_it_is_used, 15, 9;
}

/// Names of this kind of declaration.
fn named<'a>(corpus: &'a Corpus, is: impl Fn(&Place<'_>) -> bool) -> Vec<Place<'a>> {
    corpus.places().into_iter().filter(|place| place.node.scalar().is_some() && !place.is_variable() && is(place)).collect()
}

fn under(place: &Place<'_>, key: &str) -> bool {
    place.path.ends_with(key)
        || place.path.contains(&format!("{key}["))
        || place.path.contains(&format!("{key}.append["))
        || place.path.contains(&format!("{key}.replace["))
}

fn misspelt(places: &[Place<'_>], rule: Rule) -> Vec<Mutant> {
    let mutants = |place: &Place<'_>| {
        let name = place.node.scalar().unwrap();
        let mutant = |typo: String| Mutant::value(place, &typo, rule).says(format!("did you mean `{name}`?"));
        typos(name).into_iter().map(mutant).collect::<Vec<_>>()
    };
    places.iter().flat_map(mutants).collect()
}

fn limits(corpus: &Corpus) -> Vec<Place<'_>> {
    named(corpus, |place| place.is_text("a name") && under(place, "rate_limits"))
}

fn a_misspelt_backend_is_told_with_the_one_that_was_meant(corpus: &Corpus) -> Vec<Mutant> {
    misspelt(&named(corpus, |place| under(place, ".backend")), Rule::UnknownBackend)
}

fn a_misspelt_limit_is_told_with_the_one_that_was_meant(corpus: &Corpus) -> Vec<Mutant> {
    misspelt(&limits(corpus), Rule::UnknownLimit)
}

fn a_limit_of_nobody_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    limits(corpus).iter().map(|place| Mutant::value(place, "zzzyx", Rule::UnknownLimit)).collect()
}

fn a_misspelt_role_is_told_with_the_one_that_was_meant(corpus: &Corpus) -> Vec<Mutant> {
    misspelt(&named(corpus, |place| under(place, "inherit")), Rule::RoleInheritance)
}

fn a_permission_that_no_role_grants_is_told(corpus: &Corpus) -> Vec<Mutant> {
    let permissions =
        named(corpus, |place| place.is_text("a permission") || under(place, ".join") && place.node.scalar() != Some("effect"));
    let other = |place: &Place<'_>| ["x", "gmae.play"].map(|name| Mutant::value(place, name, Rule::UnreachableRoute));
    permissions.iter().flat_map(other).collect()
}

fn a_misspelt_service_of_this_process_is_told_with_the_one_that_was_meant(corpus: &Corpus) -> Vec<Mutant> {
    misspelt(&named(corpus, |place| under(place, ".builtin")), Rule::UnknownBuiltin)
}

fn methods(corpus: &Corpus) -> Vec<Place<'_>> {
    corpus.texts_of("a method")
}

fn a_misspelt_method_is_told_with_the_one_that_was_meant(corpus: &Corpus) -> Vec<Mutant> {
    let mutants = |place: &Place<'_>| {
        let written = place.node.scalar().unwrap().to_owned();
        let (service, method) = written.split_once('/').unwrap();
        let mutant = |typo: String| {
            Mutant::value(place, &format!("{service}/{typo}"), Rule::UnknownMethod).says(format!("did you mean `{written}`?"))
        };
        typos(method).into_iter().chain([method.to_lowercase()]).map(mutant).collect::<Vec<_>>()
    };
    methods(corpus).iter().flat_map(mutants).collect()
}

fn with_service(corpus: &Corpus, change: impl Fn(&str) -> Vec<String>) -> Vec<Mutant> {
    let mutants = |place: &Place<'_>| {
        let written = place.node.scalar().unwrap().to_owned();
        let (service, method) = written.split_once('/').unwrap();
        let mutant = |other: String| Mutant::value(place, &format!("{other}/{method}"), Rule::UnknownMethod).says(format!("`{written}`"));
        change(service).into_iter().map(mutant).collect::<Vec<_>>()
    };
    methods(corpus).iter().flat_map(mutants).collect()
}

fn a_misspelt_service_is_told(corpus: &Corpus) -> Vec<Mutant> {
    with_service(corpus, typos)
}

fn a_misspelt_package_is_told(corpus: &Corpus) -> Vec<Mutant> {
    with_service(corpus, |service| {
        vec![service.replace(".v1.", ".v2."), service.replace("protogate.", "protogte."), service.replace("protogate.", "")]
    })
}

fn a_method_without_its_service_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    let mutants = |place: &Place<'_>| {
        let written = place.node.scalar().unwrap();
        let method = written.split_once('/').unwrap().1;
        [method.to_owned(), written.replace('/', "."), format!("/{written}"), format!("{written}/"), written.replace('/', "/ ")]
            .map(|other| Mutant::value(place, &other, Rule::BadValue))
    };
    methods(corpus).iter().flat_map(mutants).collect()
}

/// Whatever a route reads or writes, `Echo` does not have it.
fn a_method_of_another_service_does_not_have_the_fields(corpus: &Corpus) -> Vec<Mutant> {
    let routes = corpus.places().into_iter().filter(|place| {
        place.path.starts_with("routes.")
            && place.path.matches('.').count() == 1
            && place.node.get("rpc").is_some()
            && (place.node.get("set").is_some() || place.node.get("redact").is_some())
    });
    let mutant = |route: Place<'_>| {
        let rpc = route.node.get("rpc").unwrap();
        let text = route.file.with(&rpc.at, "protogate.echo.v1.EchoService/Echo");
        let lines = route.file.line(route.node.at.start)..=route.file.line(route.node.at.end);
        let line = route.file.line(rpc.at.start);
        let mutant = Mutant::new(route.file, text, line, Rule::FieldPath, format_args!("{} calls Echo", route.path));
        mutant.or(Rule::RequestType).or_at(route.file, lines)
    };
    routes.map(mutant).collect()
}

fn a_misspelt_message_is_told_with_the_one_that_was_meant(corpus: &Corpus) -> Vec<Mutant> {
    let pushes = corpus.texts_of("a message type").into_iter().filter(|place| place.path.starts_with("pushes."));
    let mutants = |place: Place<'_>| {
        let written = place.node.scalar().unwrap().to_owned();
        let (package, name) = written.rsplit_once('.').unwrap();
        let mutant = |typo: String| {
            Mutant::value(&place, &format!("{package}.{typo}"), Rule::UnknownMessage).says(format!("did you mean `{written}`?"))
        };
        typos(name).into_iter().map(mutant).collect::<Vec<_>>()
    };
    pushes.flat_map(mutants).collect()
}

fn a_message_of_another_method_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    let stated = corpus.texts_of("a message type").into_iter().filter(|place| place.path.starts_with("routes."));
    stated.map(|place| Mutant::value(&place, "protogate.echo.v1.EchoRequest", Rule::RequestType).or(Rule::ResponseType)).collect()
}

fn a_topic_that_nobody_declares_is_told(corpus: &Corpus) -> Vec<Mutant> {
    let topics = corpus.places().into_iter().filter(|place| place.node.scalar().is_some_and(|text| text.contains("/${re")));
    let mutant = |place: Place<'_>| {
        let written = place.node.scalar().unwrap();
        let (head, rest) = written.split_once('/').unwrap();
        [format!("\"{head}s/{rest}\""), format!("\"{written}/more\""), format!("\"{rest}\"")]
            .map(|other| Mutant::value(&place, &other, Rule::UnknownTopic))
    };
    topics.flat_map(mutant).collect()
}

fn a_push_that_nobody_declares_is_told(corpus: &Corpus) -> Vec<Mutant> {
    let pushes = named(corpus, |place| {
        place.path.starts_with("topics.") && (place.path.contains("pushes[") || under(place, "presence_events"))
            || under(place, "publish.number")
    });
    pushes.iter().map(|place| Mutant::value(place, "9999", Rule::UnknownPush)).collect()
}

fn a_variable_that_nobody_declares_is_told(corpus: &Corpus) -> Vec<Mutant> {
    let variables = corpus.places().into_iter().filter(Place::is_variable);
    variables.map(|place| Mutant::value(&place, &place.written().replace("var.", "var.x"), Rule::Variable)).collect()
}

fn a_variable_that_is_half_written_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    let texts = corpus
        .places()
        .into_iter()
        .filter(|place| place.node.scalar().is_some() && place.shape.is_some() && !place.path.starts_with("vars"));
    let every_fifth = texts.enumerate().filter(|(index, _)| index % 5 == 0).map(|(_, place)| place);
    every_fifth
        .flat_map(|place| {
            ["\"${var.trusted_proxy\"", "\"${trusted_proxy}\"", "\"${env.HOME}\""]
                .map(|text| Mutant::value(&place, text, Rule::Variable).or(Rule::Version))
        })
        .collect()
}

fn a_name_in_another_alphabet_is_refused(corpus: &Corpus) -> Vec<Mutant> {
    let named = ["a name", "a route name", "a permission", "a method", "a message type", "a field of the request"];
    let places = corpus.places().into_iter().filter(|place| named.iter().any(|what| place.is_text(what)));
    places
        .flat_map(|place| {
            ["Spiel", "räume", "a b", "\"\""]
                .map(|text| Mutant::value(&place, text, Rule::BadValue).or(Rule::UnknownMethod).or(Rule::UnknownMessage))
        })
        .collect()
}

/// A backend, a limit or a push under another name: whoever used it is told, or nobody can use it.
fn a_declaration_that_lost_its_name_is_missed_where_it_is_used(corpus: &Corpus) -> Vec<Mutant> {
    let declared = corpus.places().into_iter().filter(|place| {
        // What an overlay changes is missed there.
        let is_changed = place.path == "rate_limits.per_name";
        let is_one = !is_changed
            && ["backends.", "rate_limits."].iter().any(|section| place.path.strip_prefix(section).is_some_and(|rest| !rest.contains('.')));
        is_one && place.entry.is_some() && !place.file.is_overlay()
    });
    let mutant = |place: Place<'_>| {
        let name = &place.entry.unwrap().key;
        let mut mutant = Mutant::key(&place, &format!("{name}_once"), Rule::UnknownBackend).or(Rule::UnknownLimit).or(Rule::Unused);
        mutant.at = corpus.files.iter().map(|file| (file.path, 1..=usize::MAX)).collect();
        mutant
    };
    declared.map(mutant).collect()
}
