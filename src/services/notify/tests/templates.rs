//! Templates: what may be defined, and what becomes of it.

use super::*;

fn greeting() -> Template {
    let parameters = [
        ("name", ParameterType::String, true),
        ("coins", ParameterType::Integer, true),
        ("vip", ParameterType::Bool, false),
        ("until", ParameterType::Timestamp, false),
    ];
    let body = "You have {{ coins + 1 }} coins{% if until is defined %} until {{ until|date }}, {{ until|time }}{% endif %}.";
    template("Hello {{ name }}{% if vip|default(false) %}!{% endif %}", body, &parameters)
}

async fn names(world: &World) -> Vec<String> {
    let listed = said(world.notify.list_templates(Request::new(ListTemplatesRequest::default())).await).unwrap();
    listed.templates.iter().map(|template| format!("{} {}", template.name, template.version)).collect()
}

async fn delete(world: &World, name: &str) -> Result<DeleteTemplateResponse, String> {
    said(world.notify.delete_template(Request::new(DeleteTemplateRequest { name: name.to_owned() })).await)
}

#[tokio::test]
async fn a_template_is_filled_with_what_it_declared() {
    let world = World::new();
    world.define(Template { r#type: NotificationType::Game.into(), importance: Importance::Low.into(), ..greeting() }).await.unwrap();
    let parameters = [("name", "Alice\n"), ("coins", "41"), ("vip", "true"), ("until", "2026-01-31T19:30:00+01:00")];
    world.tell(filled("welcome", &parameters, &["alice"])).await;
    let [(_, notification)] = world.pushed().try_into().unwrap();
    assert_eq!((notification.title.as_str(), notification.body.as_str()), ("Hello Alice !", "You have 42 coins until 2026-01-31, 18:30."));
    assert_eq!((notification.r#type(), notification.importance()), (NotificationType::Game, Importance::Low));

    world.tell(filled("welcome", &[("name", "{{ coins }}"), ("coins", "-1")], &["bob"])).await;
    let [(_, notification)] = world.pushed().try_into().unwrap();
    assert_eq!(
        (notification.title.as_str(), notification.body.as_str()),
        ("Hello {{ coins }}", "You have 0 coins."),
        "a value is no template"
    );
}

#[tokio::test]
async fn all_parameters_that_are_wrong_are_named_at_once() {
    let world = World::new();
    world.define(greeting()).await.unwrap();
    let parameters = [("coins", "many"), ("vip", "yes"), ("until", "tomorrow"), ("nobody", "x"), ("anybody", "x")];
    let fields: String = ["name", "coins", "vip", "until", "anybody", "nobody"].map(|name| format!(" template.parameters.{name}")).concat();
    assert_eq!(refused(world.send(filled("welcome", &parameters, &["alice"])).await), format!("INVALID_NOTIFICATION{fields}"));
    assert_eq!(refused(world.send(filled("nothing", &[], &["alice"])).await), "TEMPLATE_NOT_FOUND");
    assert_eq!(refused(world.send(filled("../welcome", &[], &["alice"])).await), "TEMPLATE_NOT_FOUND");
    let long = [("name", "x".repeat(300)), ("coins", "1".to_owned())].map(|(name, value)| (name, value));
    let long: Vec<(&str, &str)> = long.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(refused(world.send(filled("welcome", &long, &["alice"])).await), "TEMPLATE_FAILED", "the title would be too long");
}

#[tokio::test]
async fn a_template_that_cannot_work_is_not_defined() {
    let world = World::new();
    let optional = [("name", ParameterType::String, false)];
    for (title, body) in [
        ("{{ name", ""),
        ("{{ other }}", ""),
        ("{{ name }}", "an optional parameter is used as if it were there"),
        ("a", "{{ name|default('')|nothing }}"),
        ("a", "{% include 'other' %}"),
        ("a", "{% for a in range(10) %}{% endfor %}"),
        ("a", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"),
        ("a", "{% for a in 'x' * 9999 %}{% for b in 'x' * 9999 %}{% endfor %}{% endfor %}"),
        ("a", "{{ 'x' * 9999 }}"),
        ("", "no title"),
        ("{{ '' }}", ""),
    ] {
        let reason = refused(world.define(template(title, body, &optional)).await);
        assert!(reason.starts_with("INVALID_TEMPLATE words.en."), "{title} {body}: {reason}");
    }
    let broken = Template {
        name: "No".to_owned(),
        r#type: 77,
        importance: 77,
        default_locale: "fr".to_owned(),
        ..template("a", "", &[("B", ParameterType::String, true), ("c", ParameterType::String, true), ("c", ParameterType::Bool, true)])
    };
    let fields = "name type importance parameters[0].name parameters[2].name default_locale";
    assert_eq!(refused(world.define(broken).await), format!("INVALID_TEMPLATE {fields}"));
    assert!(names(&world).await.is_empty());
}

#[tokio::test]
async fn definitions_are_numbered_and_what_was_sent_keeps_its_words() {
    let world = World::new();
    assert_eq!(world.define(template("one", "", &[])).await, Ok(1));
    let id = world.send(filled("welcome", &[], &["alice"])).await.unwrap();
    assert_eq!(world.define(template("two", "", &[])).await, Ok(2));
    world.define(Template { name: "bye".to_owned(), ..template("bye", "", &[]) }).await.unwrap();
    assert_eq!(names(&world).await, ["bye 1", "welcome 2"]);
    delete(&world, "welcome").await.unwrap();
    assert_eq!(refused(delete(&world, "welcome").await), "TEMPLATE_NOT_FOUND");
    assert_eq!(names(&world).await, ["bye 1"]);
    world.work().await;
    assert_eq!((world.titles("alice").await, world.batch(&id).await.sent), (vec!["one".to_owned()], 1));

    let one = ListTemplatesRequest { name: "bye".to_owned() };
    let listed = said(world.notify.list_templates(Request::new(one)).await).unwrap().templates;
    assert_eq!((listed[0].words["en"].title.as_str(), listed[0].defined_ms), ("bye", 1_800_000_000_000));
}

#[tokio::test]
async fn everybody_reads_the_language_that_comes_nearest() {
    let world = World::new();
    let mut welcome = template("Hello", "", &[]);
    for (locale, title) in [("de", "Hallo"), ("de-AT", "Servus")] {
        let words = Words { title: title.to_owned(), ..Words::default() };
        welcome.words.insert(locale.to_owned(), words);
    }
    world.define(welcome).await.unwrap();
    let mut request = filled("welcome", &[], &[]);
    let locales = [("a", "de-AT"), ("b", "de-CH"), ("c", "fr"), ("d", ""), ("e", "de")];
    request.recipients = locales.map(|(user, locale)| Recipient { locale: locale.to_owned(), ..recipient(user) }).into();
    world.tell(request).await;
    let heard: Vec<String> =
        world.pushed().into_iter().map(|(users, notification)| format!("{}: {}", users.concat(), notification.title)).collect();
    assert_eq!(heard, ["a: Servus", "be: Hallo", "cd: Hello"]);
    assert_eq!(world.titles("b").await, ["Hallo"]);
}
