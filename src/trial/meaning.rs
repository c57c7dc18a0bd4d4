//! What tests of routes say, looked up: the routes, names and messages of each step.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use prost::Message as _;

use super::stage::Answer;
use super::suite::{Call, Doing, Payload, Says, Step, Target, Test, Who};
use crate::backend::EndpointSpec;
use crate::config::document::trial::{Expect, Mock, MockGuard, Outcome, TestFile, TestSession, TestStep};
use crate::config::grammar::{List, WordOr};
use crate::config::value::{Called, Json, Name, Text};
use crate::diagnostic::{Diagnostic, FileId, Report, Rule, Span, Spanned};
use crate::dispatch::guard::v1::CheckResponse;
use crate::failure::Code;
use crate::proto::{MessageType, from_json};
use crate::table::plan::{Plan, PushPlan, RoutePlan};

/// What stands in a reply where a token belongs.
pub const TOKEN: &str = "${token}";

/// Calls of one step. More would say nothing that these do not.
const TIMES_MAX: u32 = 100_000;

/// Looks the names of files up in a plan.
pub struct Meaning<'a> {
    pub(super) plan: &'a Plan,
    report: &'a mut Report,
    /// Where it is at: `tests[0].steps[1]`.
    at: String,
}

// === impl Meaning ===

impl<'a> Meaning<'a> {
    pub fn new(plan: &'a Plan, report: &'a mut Report) -> Meaning<'a> {
        Meaning { plan, report, at: String::new() }
    }

    /// The tests of one file.
    pub fn file(&mut self, file: FileId, read: TestFile, tests: &mut Vec<Test>) {
        let mut endpoints = HashMap::new();
        for (backend, urls) in read.endpoints.iter().flat_map(|endpoints| endpoints.iter()) {
            self.at = "endpoints".to_owned();
            self.known_backend(backend);
            let specs = urls.iter().map(|url| EndpointSpec::new(url.host.clone(), url.port, url.tls)).collect();
            endpoints.insert(backend.as_str().to_owned(), specs);
        }
        let endpoints = Arc::new(endpoints);
        let first = tests.len();
        for (index, test) in read.tests.map(|tests| tests.value).unwrap_or_default().into_iter().enumerate() {
            self.at = format!("tests[{index}]");
            let (Some(name), Some(steps)) = (test.value.name, test.value.steps) else { continue };
            let name = name.map(|name| name.as_str().to_owned());
            if let Some(before) = tests[first..].iter().find(|before| before.name == name).map(|before| before.name.span) {
                let finding = Diagnostic::new(Rule::DuplicateName, name.span, "there is a test of this name already");
                self.push::<()>(finding.related(before, "the first"));
            }
            let who = test.value.session.map(|session| self.who(session.value)).unwrap_or_default();
            let mut meant = Vec::new();
            for (place, step) in steps.value.into_iter().enumerate() {
                self.at = format!("tests[{index}].steps[{place}]");
                meant.extend(self.step(step));
            }
            tests.push(Test { file, name, who, endpoints: Arc::clone(&endpoints), steps: meant });
        }
    }

    fn who(&mut self, session: TestSession) -> Who {
        let roles = self.roles(session.roles.as_ref());
        if let (None, Some(roles)) = (&session.user, &session.roles) {
            self.push::<()>(Diagnostic::new(Rule::TestStep, roles.span, "roles of nobody: a session has a `user`").help("add `user: …`"));
        }
        Who {
            user: text(&session.user),
            roles,
            token_id: text(&session.token_id).unwrap_or_else(|| "test-token".to_owned()),
            peer: session.peer.map(|peer| peer.value.0),
        }
    }

    fn roles(&mut self, roles: Option<&Spanned<List<Name>>>) -> Vec<String> {
        let known: Vec<&str> = self.plan.permissions.roles().map(|role| &**role).collect();
        for role in roles.iter().flat_map(|roles| &roles.value).filter(|role| !known.contains(&role.as_str())) {
            self.unknown::<()>(role.span, "role", role.as_str(), known.iter().copied());
        }
        roles.iter().flat_map(|roles| &roles.value).map(|role| role.as_str().to_owned()).collect()
    }

    fn step(&mut self, step: Spanned<TestStep>) -> Option<Step> {
        let (span, step) = (step.span, step.value);
        let expect = match &step.expect {
            None => Expect::default(),
            Some(Spanned { value: WordOr::Word(word), span }) => Expect { outcome: Some(Spanned::new(*word, *span)), ..Expect::default() },
            Some(Spanned { value: WordOr::Map(map), .. }) => map.clone(),
        };
        let (doing, span) = match (&step.call, &step.push, &step.wait) {
            (Some(called), None, None) => {
                let route = self.route(called)?;
                self.expectation(&expect, Some(route));
                (Doing::Call(Box::new(self.call(&step, route, &expect)?)), called.span)
            }
            (None, Some(number), None) => {
                let push = self.push_of(number.value.0, number.span)?;
                self.expectation(&expect, None);
                (self.pushed(&step, push, number.span)?, number.span)
            }
            (None, None, Some(wait)) => (Doing::Wait(wait.value.0), wait.span),
            // One of them is there, and was said to be wrong.
            (None, None, None) if ["call", "push", "wait"].iter().any(|key| self.report.speaks_of(&format!("{}.{key}", self.at))) => {
                return None;
            }
            _ => {
                let finding = Diagnostic::new(Rule::TestStep, span, "a step is either a `call`, or a `push`, or a `wait`");
                return self.push(finding.help("make steps of them, one after the other"));
            }
        };
        self.at_home(&step, &doing);
        Some(Step { doing, expect, span, path: self.at.clone() })
    }

    /// Whether every key of the step belongs to what it does.
    fn at_home(&mut self, step: &TestStep, doing: &Doing) {
        let keys: [(&str, Option<Span>, bool, bool); 13] = [
            ("times", step.times.as_ref().map(|key| key.span), true, false),
            ("every", step.every.as_ref().map(|key| key.span), true, false),
            ("request", step.request.as_ref().map(|key| key.span), true, false),
            ("request_base64", step.request_base64.as_ref().map(|key| key.span), true, false),
            ("metadata", step.metadata.as_ref().map(|key| key.span), true, false),
            ("idempotency_key", step.idempotency_key.as_ref().map(|key| key.span), true, false),
            ("deadline", step.deadline.as_ref().map(|key| key.span), true, false),
            ("mock", step.mock.as_ref().map(|key| key.span), true, false),
            ("guards", step.guards.as_ref().map(|key| key.span), true, false),
            ("topic", step.topic.as_ref().map(|key| key.span), false, true),
            ("user", step.user.as_ref().map(|key| key.span), false, true),
            ("message", step.message.as_ref().map(|key| key.span), false, true),
            ("expect", step.expect.as_ref().map(|key| key.span), true, true),
        ];
        for (key, span, in_call, in_push) in keys {
            let (belongs, what) = match doing {
                Doing::Call(_) => (in_call, "a call"),
                Doing::Push { .. } => (in_push, "a push"),
                Doing::Wait(_) => (false, "a wait"),
            };
            if let (Some(span), false) = (span, belongs) {
                self.push::<()>(Diagnostic::new(Rule::TestStep, span, format!("`{key}` means nothing to {what}")).help("remove it"));
            }
        }
    }

    fn call(&mut self, step: &TestStep, route: &RoutePlan, expect: &Expect) -> Option<Call> {
        let payload = match (&step.request, &step.request_base64) {
            (Some(_), Some(both)) => {
                return self.push(Diagnostic::new(Rule::TestStep, both.span, "a call has one request").help("remove `request`, or this"));
            }
            (Some(json), None) => {
                if expect.outcome.is_none_or(|outcome| outcome.value != Outcome::Invalid) && expect.violations.is_none() {
                    self.message(&route.method.input, json);
                }
                Payload::Json(json.value.value().to_string())
            }
            (None, Some(bytes)) => Payload::Bytes(self.bytes(bytes)?),
            (None, None) => Payload::None,
        };
        if let Some(times) = step.times.as_ref().filter(|times| times.value == 0 || times.value > TIMES_MAX) {
            let what = format!("a call is made at least once and at most {TIMES_MAX} times");
            self.push::<()>(Diagnostic::new(Rule::TestStep, times.span, what));
        }
        let metadata = step.metadata.iter().flat_map(|map| map.iter()).map(|(key, value)| (key.as_str().into(), value.as_str().into()));
        let answers = step.mock.iter().flat_map(|mock| &mock.value.0).filter_map(|mock| self.answer(mock, &route.method.output)).collect();
        Some(Call {
            number: route.number.0,
            payload,
            times: step.times.as_ref().map_or(1, |times| times.value),
            every: step.every.as_ref().map_or(Duration::ZERO, |every| every.value.0),
            metadata: metadata.collect(),
            idempotency_key: text(&step.idempotency_key).unwrap_or_default(),
            deadline: step.deadline.as_ref().map(|deadline| deadline.value.0),
            answers,
            guards: self.guards(step, route),
        })
    }

    /// What a client or a service says in bytes.
    fn bytes(&mut self, text: &Spanned<Text>) -> Option<Vec<u8>> {
        match BASE64_STANDARD.decode(text.as_str()) {
            Ok(bytes) => Some(bytes),
            Err(_) => self.push(Diagnostic::new(Rule::TestMessage, text.span, "this is no base64").help("bytes are written as `CgNoaQ==`")),
        }
    }

    fn answer(&mut self, mock: &Spanned<Mock>, output: &MessageType) -> Option<Says> {
        let (span, mock) = (mock.span, &mock.value);
        let late = mock.late.as_ref().is_some_and(|late| late.value);
        let ways = [mock.reply.is_some(), mock.reply_base64.is_some(), mock.code.is_some(), late];
        if ways.into_iter().filter(|way| *way).count() > 1 {
            let finding = Diagnostic::new(Rule::TestStep, span, "a service answers in one way: `reply`, `reply_base64`, `code` or `late`");
            return self.push(finding.help("an answer to each attempt is an item of a list"));
        }
        let json = mock.reply.as_ref().map(|reply| reply.value.value().to_string()).unwrap_or_default();
        let roles = mock.token.as_ref().map(|token| self.roles(token.value.roles.as_ref())).unwrap_or_default();
        if let (Some(reply), None, true) = (&mock.reply, &mock.token, json.contains(TOKEN)) {
            let finding = Diagnostic::new(Rule::TestStep, reply.span, format!("`{TOKEN}` is nobody's token"));
            return self.push(finding.help("say whose it is: `token: { user: \"7\", roles: [player] }`"));
        }
        if let Some(token) = mock.token.as_ref().filter(|_| !json.contains(TOKEN)) {
            let finding = Diagnostic::new(Rule::TestStep, token.span, format!("no field of `reply` is `{TOKEN}`"));
            return self.push(finding.help(format!("write it where the service puts the token, such as `access_token: \"{TOKEN}\"`")));
        }
        Some(match (&mock.reply, &mock.reply_base64, &mock.code) {
            _ if late => Says::Ready(Answer::Never),
            (_, _, Some(code)) => Says::Ready(Answer::Failure {
                code: code.value.0,
                message: text(&mock.message).unwrap_or_default(),
                reason: text(&mock.reason),
                retry_after: mock.retry_after.as_ref().map(|wait| wait.value.0),
            }),
            (_, Some(bytes), _) => Says::Ready(Answer::Reply(self.bytes(bytes)?.into())),
            (Some(reply), ..) => {
                let message = self.message(output, reply)?;
                match mock.token.as_ref().and_then(|token| text(&token.value.user)) {
                    Some(user) => Says::WithToken { json, user, roles },
                    None => Says::Ready(Answer::Reply(message)),
                }
            }
            (None, None, None) => Says::Ready(Answer::Reply(Bytes::new())),
        })
    }

    /// What the route's guards answer, all of them: those of which nothing is said allow.
    fn guards(&mut self, step: &TestStep, route: &RoutePlan) -> Vec<(String, Answer)> {
        let said: &[Spanned<MockGuard>] = step.guards.as_ref().map_or(&[], |guards| &guards.value);
        if let Some(one) = said.get(route.guards.len()) {
            let what = format!("`{}` has {} guards, and this is one more", route.name, route.guards.len());
            self.push::<()>(Diagnostic::new(Rule::TestStep, one.span, what).help("remove it"));
        }
        let answer = |index: usize| said.get(index).map_or_else(allowing, |guard| guard_answer(&guard.value));
        route.guards.iter().enumerate().map(|(index, guard)| (guard.path.path().to_owned(), answer(index))).collect()
    }

    fn pushed(&mut self, step: &TestStep, push: &PushPlan, span: Span) -> Option<Doing> {
        let message = match &step.message {
            Some(json) => self.message(&push.message, json)?,
            None => Bytes::new(),
        };
        let to = match (&step.topic, &step.user) {
            (Some(topic), None) => {
                self.known_topic(topic);
                Target::Topic(topic.as_str().to_owned())
            }
            (None, Some(user)) => Target::User(user.as_str().to_owned()),
            _ => {
                let finding = Diagnostic::new(Rule::TestStep, span, "a push is either for a `topic` or for a `user`");
                return self.push(finding.help("add `topic: …` or `user: …`"));
            }
        };
        Some(Doing::Push { number: push.number.0, to, message })
    }

    /// The bytes of a message, or what is wrong with it.
    pub(super) fn message(&mut self, kind: &MessageType, json: &Spanned<Json>) -> Option<Bytes> {
        let mut bytes = Vec::new();
        let written = json.value.value();
        let text = if written.is_null() { "{}".to_owned() } else { written.to_string() };
        let Err(problem) = from_json(kind, &text, &mut bytes) else { return Some(bytes.into()) };
        let problem = without_position(&problem);
        let (path, said) = problem.strip_prefix('`').and_then(|rest| rest.split_once("`: ")).unwrap_or(("", problem));
        let unknown = said.split_once(" has no field `").and_then(|(_, rest)| rest.split_once('`')).map(|(name, _)| name);
        let place = match unknown {
            Some(name) => json.value.place_of_key(path, name),
            None => json.value.place(path),
        };
        let finding = Diagnostic::new(Rule::TestMessage, place, format!("this is no `{}`: {problem}", kind.name()));
        self.push(match unknown {
            Some(name) => finding.did_you_mean(name, said.rsplit("; it has ").next().unwrap_or_default().split('`').skip(1).step_by(2)),
            None => finding,
        })
    }

    pub(super) fn known_backend(&mut self, name: &Spanned<Name>) {
        let known: Vec<&str> = self.plan.backends.iter().map(|backend| &*backend.name).collect();
        if !known.contains(&name.as_str()) {
            self.unknown::<()>(name.span, "backend", name.as_str(), known.into_iter());
        }
    }

    pub(super) fn known_topic(&mut self, name: &Spanned<Text>) {
        if !self.plan.topics.iter().any(|topic| topic.rule.pattern.matches(name.as_str())) {
            let known: Vec<&str> = self.plan.topics.iter().map(|topic| topic.rule.pattern.as_str()).collect();
            self.unknown::<()>(name.span, "topic", name.as_str(), known.into_iter());
        }
    }

    pub(super) fn push_of(&mut self, number: u32, span: Span) -> Option<&'a PushPlan> {
        let plan = self.plan;
        let push = plan.pushes.iter().find(|push| push.number.0 == number);
        push.or_else(|| {
            let known: Vec<String> = plan.pushes.iter().map(|push| push.number.to_string()).collect();
            self.unknown(span, "push", &number.to_string(), known.iter().map(String::as_str))
        })
    }

    pub(super) fn unknown<'n, T>(&mut self, span: Span, what: &str, name: &str, known: impl Iterator<Item = &'n str>) -> Option<T> {
        let finding = Diagnostic::new(Rule::TestName, span, format!("there is no {what} `{}`", shortened(name)));
        self.push(finding.did_you_mean(name, known))
    }

    pub(super) fn push<T>(&mut self, finding: Diagnostic) -> Option<T> {
        self.report.push(finding.path(self.at.clone()));
        None
    }

    fn route(&mut self, called: &Spanned<Called>) -> Option<&'a RoutePlan> {
        let plan = self.plan;
        let (route, written, known): (_, _, Vec<String>) = match &called.value {
            Called::Number(number) => (
                plan.routes.iter().find(|route| route.number.0 == *number),
                number.to_string(),
                plan.routes.iter().map(|route| route.number.to_string()).collect(),
            ),
            Called::Name(name) => (
                plan.routes.iter().find(|route| *route.name == **name),
                name.clone(),
                plan.routes.iter().map(|route| route.name.to_string()).collect(),
            ),
        };
        route.or_else(|| self.unknown(called.span, "route", &written, known.iter().map(String::as_str)))
    }
}

/// Where in its JSON something is wrong says nothing to who writes YAML.
fn without_position(problem: &str) -> &str {
    problem.rfind(" at line ").map_or(problem, |at| &problem[..at])
}

/// A guard says yes.
fn allowing() -> Answer {
    Answer::Reply(CheckResponse { allow: true, ..CheckResponse::default() }.encode_to_vec().into())
}

fn guard_answer(guard: &MockGuard) -> Answer {
    if guard.late.as_ref().is_some_and(|late| late.value) {
        return Answer::Never;
    }
    if let Some(code) = &guard.fails {
        let message = text(&guard.message).unwrap_or_default();
        return Answer::Failure { code: code.value.0, message, reason: text(&guard.reason), retry_after: None };
    }
    let metadata = guard.metadata.iter().flat_map(|map| map.value.iter());
    let answer = CheckResponse {
        allow: guard.allow.as_ref().is_some_and(|allow| allow.value),
        code: guard.code.as_ref().map_or(Code::Ok, |code| code.value.0).number(),
        reason: text(&guard.reason).unwrap_or_default(),
        message: text(&guard.message).unwrap_or_default(),
        retry_after_ms: 0,
        metadata: metadata.map(|(key, value)| (key.as_str().to_owned(), value.as_str().to_owned())).collect(),
    };
    Answer::Reply(answer.encode_to_vec().into())
}

fn text(text: &Option<Spanned<Text>>) -> Option<String> {
    text.as_ref().map(|text| text.as_str().to_owned())
}

/// A name that somebody wrote, as it fits a line.
fn shortened(name: &str) -> &str {
    name.lines().next().map_or("", |line| &line[..line.floor_char_boundary(60)])
}
