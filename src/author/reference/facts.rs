//! What holds for a route, a push and a topic, in words for whoever writes a client.

use std::sync::Arc;
use std::time::Duration;

use super::inline::code;
use crate::pipeline::rate_limit::{KeyPart, LimitSpec, Mode};
use crate::proto::Kind;
use crate::table::plan::{Access, Join, Plan, PushPlan, Repeatable, RoutePlan, TopicPlan};

/// Something that holds, and what it is about.
pub struct Fact {
    pub about: &'static str,
    pub says: Vec<String>,
}

/// What a success changes, as a route file has it.
const EFFECT: &str = "on_success.";

/// What holds for a route.
pub fn of_route(plan: &Plan, route: &RoutePlan) -> Vec<Fact> {
    let is_stream = route.method.kind != Kind::Unary;
    let limits = route.limits.iter().map(|used| &plan.limits[used.limit]).filter(|limit| limit.mode == Mode::Enforce);
    let written = written(plan, route).into_iter().map(|(path, value)| format!("{}: {}", code(&in_json(&path)), whose(&value)));
    let metadata: Vec<String> = route.metadata.iter().map(|key| code(key)).collect();
    let hidden: Vec<String> = lines(plan, route, "redact").iter().map(|(_, path)| field(path)).collect();
    let facts = [
        ("Who may call", who(plan, route)),
        ("Limits", limits.map(limit).collect()),
        ("Sizes", vec![sizes(route)]),
        ("Time", vec![if is_stream { age(route) } else { format!("answered within {}", time(route.timeout)) }]),
        ("On success", effects(plan, route)),
        ("Written by the gateway", written.collect()),
        ("Metadata", if metadata.is_empty() { Vec::new() } else { vec![format!("may come with {}", metadata.join(", "))] }),
        ("Again", again(route)),
        ("Never in a log", if hidden.is_empty() { Vec::new() } else { vec![hidden.join(", ")] }),
    ];
    facts.into_iter().filter(|(_, says)| !says.is_empty()).map(|(about, says)| Fact { about, says }).collect()
}

/// Fields of the request that the gateway writes, and with what.
pub fn written(plan: &Plan, route: &RoutePlan) -> Vec<(String, String)> {
    let lines = lines(plan, route, "set.request.").into_iter();
    lines.map(|(key, value)| (key.trim_start_matches("set.request.").to_owned(), value)).collect()
}

/// What holds for a push.
pub fn of_push(push: &PushPlan, topics: &[&TopicPlan]) -> Vec<Fact> {
    let delivery = match push.delivery.name() {
        "durable" => "kept for the user until a client has acknowledged it, also for the next login",
        "session" => "kept for the session until its client has acknowledged it",
        _ => "best effort: who is not there misses it, and who reads too slowly may",
    };
    let topics = topics.iter().map(|topic| format!("to who hears {}", code(topic.rule.pattern.as_str())));
    let facts = [("Delivery", vec![delivery.to_owned()]), ("Topics", topics.collect())];
    facts.into_iter().filter(|(_, says)| !says.is_empty()).map(|(about, says)| Fact { about, says }).collect()
}

/// What holds for topics of a kind.
pub fn of_topic(topic: &TopicPlan) -> Vec<Fact> {
    let rule = &topic.rule;
    let join = match &topic.join {
        Join::Effect => "who is let in by a call".to_owned(),
        Join::Permission(_, permission) => format!("who asks by Subscribe and has the permission {}", code(permission)),
    };
    let history = rule.history.as_ref().map(|bounds| {
        let size = bounds.bytes.map(|bytes| format!(" of at most {}", size(bytes))).unwrap_or_default();
        format!("the last {} pushes{size}, for {}", bounds.count, time(bounds.age))
    });
    let pushes: Vec<String> = rule.pushes.iter().map(|number| code(&number.to_string())).collect();
    let presence = rule.presence_events.map(|number| format!("who comes and goes is told by {}", code(&number.to_string())));
    let facts = [
        ("Heard by", vec![join]),
        ("Pushes", if pushes.is_empty() { Vec::new() } else { vec![pushes.join(", ")] }),
        ("History", history.into_iter().collect()),
        ("Presence", presence.into_iter().collect()),
    ];
    facts.into_iter().filter(|(_, says)| !says.is_empty()).map(|(about, says)| Fact { about, says }).collect()
}

/// The name of a topic of this kind: `room/{id}` is `room/42`.
pub fn example_of(pattern: &str) -> String {
    let segment = |part: &str| if part.starts_with('{') { "42".to_owned() } else { part.to_owned() };
    pattern.split('/').map(segment).collect::<Vec<_>>().join("/")
}

fn who(plan: &Plan, route: &RoutePlan) -> Vec<String> {
    let permissions: Vec<String> = route.permissions.iter().map(|(_, name)| code(name)).collect();
    let needs = permissions.join(", ");
    match (route.access, permissions.is_empty()) {
        (Access::Anonymous, true) => vec!["everybody who is connected".to_owned()],
        (Access::Authenticated, true) => vec!["whoever is authenticated".to_owned()],
        (_, false) => {
            let roles = roles(plan, route);
            let roles = match roles.as_slice() {
                [] => "whoever has roles that together grant it".to_owned(),
                [one] => format!("whoever has the role {one}"),
                several => format!("whoever has one of the roles {}", several.join(", ")),
            };
            vec![format!("{roles} (permission {needs})")]
        }
    }
}

/// Roles each of which grants all that is needed, by name.
fn roles(plan: &Plan, route: &RoutePlan) -> Vec<String> {
    let grants = |role: &String| {
        let grants = plan.permissions.grants(&[Arc::from(role.as_str())]);
        route.permissions.iter().all(|(permission, _)| grants.permits(*permission))
    };
    let mut roles: Vec<String> = plan.permissions.roles().map(ToString::to_string).filter(grants).collect();
    roles.sort();
    roles.iter().map(|role| code(role)).collect()
}

/// Such as `20 a second for each caller, 40 at once`.
fn limit(limit: &LimitSpec) -> String {
    let per = match limit.per.as_secs() {
        1 if limit.per.subsec_nanos() == 0 => "a second".to_owned(),
        60 => "a minute".to_owned(),
        3600 => "an hour".to_owned(),
        86_400 => "a day".to_owned(),
        _ => format!("in {}", time(limit.per)),
    };
    let key: Vec<String> = limit
        .key
        .iter()
        .map(|part| match part {
            KeyPart::Global => "in all".to_owned(),
            KeyPart::Route => "for this number".to_owned(),
            KeyPart::Caller => "for each user, or address before a login".to_owned(),
            KeyPart::User => "for each user".to_owned(),
            KeyPart::Session => "for each session".to_owned(),
            KeyPart::PeerIp => "for each address".to_owned(),
            KeyPart::Connection => "for each connection".to_owned(),
            KeyPart::Field(path) => format!("for each value of {}", code(path)),
        })
        .collect();
    format!("{} {per} {}, {} at once", limit.count, key.join(" and "), limit.burst)
}

fn sizes(route: &RoutePlan) -> String {
    let (request, reply) = (size(route.request_bytes_max as u64), size(route.reply_bytes_max as u64));
    format!("a request has at most {request}, a reply {reply}")
}

fn age(route: &RoutePlan) -> String {
    format!("a stream may be silent for {} and last for {}, give or take a tenth", time(route.stream.idle), time(route.stream.max_age))
}

fn again(route: &RoutePlan) -> Vec<String> {
    let says = match route.retry {
        Repeatable::Always(_) => "it may be sent again when its answer was lost",
        Repeatable::ByKey(_) => "with an `idempotency_key` it may be sent again when its answer was lost",
        Repeatable::Never => return Vec::new(),
    };
    vec![says.to_owned()]
}

/// What a success changes here, as it is written, in words.
fn effects(plan: &Plan, route: &RoutePlan) -> Vec<String> {
    let lines = lines(plan, route, EFFECT);
    let of = |key: &str| lines.iter().find(|(known, _)| known == &format!("{EFFECT}{key}")).map(|(_, value)| value.as_str());
    let all = |key: &str| {
        let key = format!("{EFFECT}{key}");
        let values = lines.iter().filter(|(known, _)| *known == key || known.starts_with(&format!("{key}[")));
        values.map(|(_, value)| topic(value)).collect::<Vec<_>>()
    };
    let mut says = Vec::new();
    let bound = of("bind_session.token").map(|path| format!("of whom the token in {} names", code(&in_json(below(path)))));
    let bound = bound.or_else(|| of("bind_session.user").map(|path| format!("of the user in {}", code(&in_json(below(path))))));
    says.extend(bound.map(|who| format!("the connection is in a session {who}")));
    if of("unbind_session") == Some("true") {
        says.push("the connection is nobody's again, and its token is not believed any more".to_owned());
    }
    says.extend(all("subscribe").into_iter().map(|topic| format!("the session hears {topic}")));
    says.extend(all("unsubscribe").into_iter().map(|topic| format!("the session hears {topic} no more")));
    for effect in route.effect.iter().flat_map(|effect| effect.publish.iter().enumerate()) {
        let topics = [format!("publish[{}].topic", effect.0), "publish.topic".to_owned()];
        let to = topics.iter().find_map(|key| of(key)).map(|value| format!(" to {}", topic(value))).unwrap_or_default();
        says.push(format!("{} is pushed{to}", code(&effect.1.number.to_string())));
    }
    let when: Vec<String> = lines
        .iter()
        .filter_map(|(key, value)| Some((key.strip_prefix("on_success.when.")?, value)))
        .map(|(path, value)| format!("{} is {}", code(&in_json(below(path))), code(value)))
        .collect();
    match when.is_empty() || says.is_empty() {
        true => says,
        false => says.into_iter().map(|said| format!("{said}, if {}", when.join(" and "))).collect(),
    }
}

/// Keys that begin so, and what stands under them.
fn lines(plan: &Plan, route: &RoutePlan, prefix: &str) -> Vec<(String, String)> {
    let lines = plan.explained.route(route.number.0).unwrap_or_default().into_iter();
    lines.filter(|line| line.key.starts_with(prefix)).map(|line| (line.key, unquoted(&line.value).to_owned())).collect()
}

fn unquoted(text: &str) -> &str {
    ['"', '\''].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote)).unwrap_or(text)
}

/// `room/${response.room.id}` for people: a topic with the places that are filled in.
fn topic(template: &str) -> String {
    let mut parts = template.split("${");
    let mut name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (value, rest) = part.split_once('}').unwrap_or((part, ""));
        let filled = match value.split_once('.') {
            Some(("response", path)) => format!("reply {}", in_json(path)),
            Some(("request", path)) => format!("request {}", in_json(path)),
            Some(("session", "user")) => "your user".to_owned(),
            _ => value.to_owned(),
        };
        name.push_str(&format!("{{{filled}}}{rest}"));
    }
    code(&name)
}

/// A field of the request, or of the reply, which is said.
fn field(path: &str) -> String {
    let of = if path.starts_with("response.") { " of the reply" } else { "" };
    format!("{}{of}", code(&in_json(below(path))))
}

/// A path as JSON has it: `user.created_ms` is `user.createdMs`.
fn in_json(path: &str) -> String {
    let mut name = String::with_capacity(path.len());
    let mut begins = false;
    for c in path.chars() {
        match c {
            '_' => begins = true,
            c if begins => {
                name.push(c.to_ascii_uppercase());
                begins = false;
            }
            c => name.push(c),
        }
    }
    name
}

/// A path without the word for its message.
fn below(path: &str) -> &str {
    path.split_once('.').map_or(path, |(_, path)| path)
}

fn whose(value: &str) -> &'static str {
    match value {
        "session.user" => "who calls",
        "session.id" => "the session",
        "session.token_id" => "the id of the token",
        _ => "the client's address",
    }
}

/// A time for people.
fn time(time: Duration) -> String {
    let milliseconds = time.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s")];
    match units.into_iter().find(|(unit, _)| milliseconds >= *unit && milliseconds.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{} {name}", milliseconds / unit),
        None => format!("{milliseconds} ms"),
    }
}

/// Bytes for people.
fn size(bytes: u64) -> String {
    let units = [(1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit)) {
        Some((unit, name)) => format!("{} {name}", bytes / unit),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_for_people() {
        assert_eq!([1, 1000, 90_000, 3_600_000].map(|ms| time(Duration::from_millis(ms))), ["1 ms", "1 s", "90 s", "1 h"]);
        assert_eq!([100, 1024, 1 << 20].map(size), ["100 bytes", "1 KiB", "1 MiB"]);
    }

    #[test]
    fn a_topic_shows_what_is_filled_in() {
        assert_eq!(topic("my_room/${response.room.room_id}"), "`my_room/{reply room.roomId}`");
        assert_eq!(field("response.user.created_ms"), "`user.createdMs` of the reply");
        assert_eq!(topic("user/${session.user}"), "`user/{your user}`");
        assert_eq!(example_of("room/{id}"), "room/42");
    }
}
