//! The protocol reference: for those who write clients, all that a table lets them ask, what they are told, and by which rules.
//!
//! Promises: the same table makes the same text; what clients do not see, such as who answers, is not in it; every example is a message
//! that the gateway reads; whatever comments say, they are words.
//!
//! - `envelope`: the examples
//! - `facts`: what holds for a route, in words; `failures`: how it may fail
//! - `notes`: what holds for a field; `inline`: words with code in them
//! - `markdown`, `html`: the two forms

mod envelope;
mod facts;
mod failures;
mod html;
mod inline;
mod markdown;
mod notes;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use self::envelope::value;
use self::facts::Fact;
use self::failures::Mistake;
use crate::author::saying;
use crate::proto::{self, Described, DescribedMessage, Example, Kind, MessageType};
use crate::table::plan::{Plan, PushPlan, RoutePlan, TopicPlan};

/// Everything there is to say, in no form yet.
pub struct Reference {
    title: String,
    /// The path of the WebSocket.
    path: String,
    routes: Vec<Route>,
    pushes: Vec<Push>,
    topics: Vec<Topic>,
    /// How every call may fail.
    common: Vec<Mistake>,
    /// By full name.
    types: BTreeMap<String, Described>,
    /// Names of those that fields refer to, in the order in which they are met.
    nested: Vec<String>,
}

struct Route {
    number: u32,
    name: String,
    kind: Kind,
    deprecated: bool,
    says: Vec<String>,
    facts: Vec<Fact>,
    failures: Vec<Mistake>,
    request: String,
    reply: String,
    /// What is sent and what comes, in JSON.
    sent: Vec<String>,
    told: Vec<String>,
    /// Names of the request's fields that the gateway writes.
    written: Vec<String>,
}

struct Push {
    number: u32,
    name: String,
    says: Vec<String>,
    facts: Vec<Fact>,
    message: String,
    told: String,
}

struct Topic {
    pattern: String,
    facts: Vec<Fact>,
}

/// Routes whose names begin alike.
struct Group<'r> {
    name: &'r str,
    routes: Vec<&'r Route>,
}

// === impl Reference ===

impl Reference {
    pub fn of(plan: &Plan, title: &str) -> Reference {
        let messages = plan.routes.iter().flat_map(|route| [&route.method.input, &route.method.output]);
        let roots: Vec<&MessageType> = messages.chain(plan.pushes.iter().map(|push| &push.message)).collect();
        let described = proto::describe(roots);
        let referred: BTreeSet<&str> = described.iter().flat_map(fields).filter_map(|field| field.refers.as_deref()).collect();
        let nested = described.iter().map(name).filter(|name| referred.contains(*name)).map(str::to_owned).collect();
        Reference {
            title: title.to_owned(),
            path: plan.settings.path.clone(),
            routes: plan.routes.iter().map(|route| Route::of(plan, route)).collect(),
            pushes: plan.pushes.iter().map(|push| Push::of(plan, push)).collect(),
            topics: plan.topics.iter().map(Topic::of).collect(),
            common: failures::common(),
            nested,
            types: described.into_iter().map(|described| (name(&described).to_owned(), described)).collect(),
        }
    }

    /// As one file of Markdown.
    pub fn markdown(&self) -> String {
        markdown::write(self)
    }

    /// As one page that needs nothing else.
    pub fn html(&self) -> String {
        html::write(self)
    }

    /// Every envelope that is shown.
    pub fn examples(&self) -> impl Iterator<Item = &String> {
        let routes = self.routes.iter().flat_map(|route| route.sent.iter().chain(&route.told));
        routes.chain(self.pushes.iter().map(|push| &push.told))
    }

    fn message(&self, name: &str) -> Option<&DescribedMessage> {
        match self.types.get(name)? {
            Described::Message(message) => Some(message),
            Described::Enum(_) => None,
        }
    }

    /// Routes in the order of their numbers, with neighbours whose names begin alike together.
    fn groups(&self) -> Vec<Group<'_>> {
        let mut groups: Vec<Group<'_>> = Vec::new();
        for route in &self.routes {
            let name = route.name.split('.').next().unwrap_or_default();
            match groups.last_mut().filter(|group| group.name == name) {
                Some(group) => group.routes.push(route),
                None => groups.push(Group { name, routes: vec![route] }),
            }
        }
        groups
    }
}

// === impl Route ===

impl Route {
    fn of(plan: &Plan, route: &RoutePlan) -> Route {
        let (number, method) = (route.number.0, &route.method);
        let sent = sent(number, method.kind, || proto::example(&method.input, route.stamps.iter().map(|(stamp, _)| stamp)));
        let told = told(number, method.kind, proto::example(&method.output, []));
        let facts = facts::of_route(plan, route);
        Route {
            number,
            name: route.name.to_string(),
            kind: method.kind,
            deprecated: method.deprecated,
            says: saying::paragraphs(method.comment().unwrap_or_default()),
            failures: failures::of_route(route),
            request: method.input.name().to_owned(),
            reply: method.output.name().to_owned(),
            sent,
            told: if route.answers_success { told } else { Vec::new() },
            written: facts::written(plan, route).into_iter().map(|(path, _)| path).collect(),
            facts,
        }
    }
}

/// What a client sends: a message; or of a stream the opening one, another, and the end.
fn sent(number: u32, kind: Kind, request: impl Fn() -> Example) -> Vec<String> {
    let mut opening = vec![("protocol", value(number)), ("id", value(1)), ("payload", request())];
    if matches!(kind, Kind::Unary | Kind::ServerStream) {
        return vec![envelope::of(opening)];
    }
    opening.push(("more", value(true)));
    let another = vec![("id", value(1)), ("payload", request()), ("more", value(true))];
    [opening, another, vec![("id", value(1))]].into_iter().map(envelope::of).collect()
}

/// What it is answered: a message; or of a stream one of them, and a good end.
fn told(number: u32, kind: Kind, reply: Example) -> Vec<String> {
    match kind {
        Kind::Unary | Kind::ClientStream => vec![envelope::of(vec![("protocol", value(number)), ("id", value(1)), ("payload", reply)])],
        Kind::ServerStream | Kind::Bidi => {
            let message = vec![("id", value(1)), ("payload", reply), ("more", value(true))];
            vec![envelope::of(message), envelope::of(vec![("id", value(1)), ("status", value(json!({})))])]
        }
    }
}

// === impl Push ===

impl Push {
    fn of(plan: &Plan, push: &PushPlan) -> Push {
        let topics: Vec<&TopicPlan> = plan.topics.iter().filter(|topic| topic.rule.pushes.contains(&push.number.0)).collect();
        let mut told = vec![("protocol", value(push.number.0))];
        match topics.first() {
            Some(topic) => {
                told.push(("topic", value(facts::example_of(topic.rule.pattern.as_str()))));
                told.extend(topic.rule.history.is_some().then(|| ("offset", value("1"))));
            }
            None => told.extend((push.delivery.name() != "best_effort").then(|| ("seq", value(1)))),
        }
        told.push(("payload", proto::example(&push.message, [])));
        Push {
            number: push.number.0,
            name: push.name.to_string(),
            says: saying::paragraphs(push.message.comment().unwrap_or_default()),
            facts: facts::of_push(push, &topics),
            message: push.message.name().to_owned(),
            told: envelope::of(told),
        }
    }
}

// === impl Topic ===

impl Topic {
    fn of(topic: &TopicPlan) -> Topic {
        Topic { pattern: topic.rule.pattern.as_str().to_owned(), facts: facts::of_topic(topic) }
    }
}

fn name(described: &Described) -> &str {
    match described {
        Described::Message(message) => &message.name,
        Described::Enum(values) => &values.name,
    }
}

fn fields(described: &Described) -> &[proto::DescribedField] {
    match described {
        Described::Message(message) => &message.fields,
        Described::Enum(_) => &[],
    }
}

/// What is asked of a kind of method, for people.
fn kind_in_words(kind: Kind) -> &'static str {
    match kind {
        Kind::Unary => "call",
        Kind::ServerStream => "answers with a stream",
        Kind::ClientStream => "takes a stream",
        Kind::Bidi => "stream each way",
    }
}

/// The place of a type on a page.
fn anchor(name: &str) -> String {
    let plain = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' });
    format!("type-{}", plain.collect::<String>())
}
