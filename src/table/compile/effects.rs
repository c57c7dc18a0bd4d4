//! `on_success:` of a route to an effect.

use crate::config::document::{BindSession, OnSuccess};
use crate::config::value::{ResponsePath, VarValue};
use crate::diagnostic::{Diagnostic, Report, Rule, Spanned};
use crate::proto::{Expectation, FieldKind, FieldPath, MessageType, Method, Scalar, Texts, Walk, WalkOptions};
use crate::push::rules::PushPlan;
use crate::table::plan::{Bind, EffectKind, EffectPlan};

use super::sendings::Sources;
use super::topics::Declared;
use super::{entries, missing};

/// How long a session lasts that a service vouches for where nothing is said.
const TTL: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// What an effect may refer to.
pub struct Scope<'a> {
    pub method: &'a Method,
    pub declared: &'a Declared<'a>,
    pub pushes: &'a [PushPlan],
}

/// What is read of a reply, in the order of the walk.
struct Reading<'a> {
    output: &'a MessageType,
    paths: Vec<FieldPath>,
    at: &'a str,
}

/// Compiles what a route says about its success. Nothing: it says nothing, or what it says was reported.
pub fn compile(scope: &Scope<'_>, written: Option<&Spanned<OnSuccess>>, at: &str, report: &mut Report) -> Option<EffectPlan> {
    let written = written?;
    let at = format!("{at}.on_success");
    let &Scope { method, declared, pushes } = scope;
    let mut sources = Sources { method, declared, pushes, request: Vec::new(), response: Vec::new(), takes_request: false };
    let subscribe = sources.names(&written.subscribe, &format!("{at}.subscribe"), report);
    let unsubscribe = sources.names(&written.unsubscribe, &format!("{at}.unsubscribe"), report);
    let publish = sources.publishes(&written.publish, &format!("{at}.publish"), report);
    let sends = written.subscribe.is_some() || written.unsubscribe.is_some() || written.publish.is_some();
    let mut reading = Reading { output: &method.output, paths: sources.response, at: &at };
    let unbind = written.unbind_session.as_ref().filter(|unbind| unbind.value);
    let session = match (&written.bind_session, unbind) {
        (Some(bind), None) => reading.bind(bind, report).map(EffectKind::Bind),
        (None, Some(_)) => Some(EffectKind::Unbind),
        (Some(bind), Some(unbind)) => {
            let what = "a success makes a session or ends one, not both";
            report.push(
                Diagnostic::new(Rule::BadValue, unbind.span, what)
                    .related(bind.span, "makes one")
                    .help("remove one of them")
                    .path(format!("{at}.unbind_session")),
            );
            None
        }
        (None, None) if sends => None,
        // One that could not be read was reported.
        (None, None) if report.speaks_of_part(&at) => None,
        (None, None) => {
            let help = "write `bind_session: { token: response.access_token }`, or `subscribe: \"room/${response.room.id}\"`";
            report.push(missing(written.span, "nothing happens on success", help).path(at.as_str()));
            None
        }
    };
    let mut when = Vec::new();
    for (path, value) in entries(&written.when) {
        when.extend(reading.expectation(path, value, report));
    }
    let walk = Walk::compile(&method.output, &reading.paths, WalkOptions::default());
    let reads_request = sources.takes_request || !sources.request.is_empty();
    let request_walk = reads_request.then(|| Walk::compile(&method.input, &sources.request, WalkOptions::default()));
    Some(EffectPlan { walk, when, session, subscribe, unsubscribe, publish, request_walk })
}

// === impl Reading ===

impl Reading<'_> {
    fn bind(&mut self, written: &Spanned<BindSession>, report: &mut Report) -> Option<Bind> {
        match (&written.token, &written.user) {
            (Some(token), None) => {
                for (key, place) in
                    [("roles", written.roles.as_ref().map(|roles| roles.span)), ("ttl", written.ttl.as_ref().map(|ttl| ttl.span))]
                {
                    if let Some(place) = place {
                        let what = format!("`{key}` says nothing beside `token`: the token says it");
                        let finding = Diagnostic::new(Rule::BadValue, place, what).help("remove it");
                        report.push(finding.path(format!("{}.bind_session.{key}", self.at)));
                    }
                }
                Some(Bind::Token { token: self.value(token, "token", &[FieldKind::String], report)? })
            }
            (None, Some(user)) => {
                let kinds = [FieldKind::String, FieldKind::Int, FieldKind::Uint];
                let user = self.value(user, "user", &kinds, report);
                let roles = written.roles.as_ref().map(|roles| self.roles(roles, report));
                let ttl = written.ttl.as_ref().map_or(TTL, |ttl| ttl.0);
                Some(Bind::Fields { user: user?, roles: roles.flatten(), ttl })
            }
            // One that could not be read was reported.
            (None, None) if report.speaks_of_part(&format!("{}.bind_session", self.at)) => None,
            (None, None) => {
                let help = "write `token: response.access_token`, or `user: response.user_id`";
                report.push(missing(written.span, "a session needs a token or a user", help).path(format!("{}.bind_session", self.at)));
                None
            }
            (Some(token), Some(user)) => {
                let what = "a session is made from a token or from fields, not from both";
                report.push(
                    Diagnostic::new(Rule::BadValue, user.span, what)
                        .related(token.span, "the token")
                        .help("remove one of them")
                        .path(format!("{}.bind_session.user", self.at)),
                );
                None
            }
        }
    }

    /// A field that the walk is to read: its place among the values.
    fn value(&mut self, path: &Spanned<ResponsePath>, key: &str, kinds: &[FieldKind], report: &mut Report) -> Option<usize> {
        let at = format!("{}.bind_session.{key}", self.at);
        let found = self.resolve(path, &at, report)?;
        if !found.is_scalar() || !kinds.contains(&found.kind()) {
            let what = match found.is_repeated_anywhere() {
                true => format!("`{}` has several values", path.as_str()),
                false => format!("`{}` is a {}, which cannot be a {key}", path.as_str(), found.kind()),
            };
            report.push(Diagnostic::new(Rule::FieldType, path.span, what).help("name a field that holds one text").path(at));
            return None;
        }
        self.paths.push(found);
        Some(self.paths.len() - 1)
    }

    fn roles(&self, path: &Spanned<ResponsePath>, report: &mut Report) -> Option<Texts> {
        let at = format!("{}.bind_session.roles", self.at);
        let found = self.resolve(path, &at, report)?;
        let texts = Texts::compile(&found);
        if texts.is_none() {
            let what = format!("`{}` is a {}, and roles are texts", path.as_str(), found.kind());
            report.push(Diagnostic::new(Rule::FieldType, path.span, what).help("name a field of type `repeated string`").path(at));
        }
        texts
    }

    fn expectation(
        &mut self,
        path: &Spanned<ResponsePath>,
        value: &Spanned<VarValue>,
        report: &mut Report,
    ) -> Option<(usize, Expectation)> {
        let at = format!("{}.when.{}", self.at, path.as_str());
        let found = self.resolve(path, &at, report)?;
        let scalar = match &value.value {
            VarValue::String(text) => Scalar::Str(text),
            VarValue::Integer(number) => Scalar::Int(*number),
            VarValue::Bool(value) => Scalar::Bool(*value),
        };
        match Expectation::compile(&found, scalar) {
            Ok(expectation) => {
                self.paths.push(found);
                Some((self.paths.len() - 1, expectation))
            }
            Err(problem) => {
                let help = "write a value that the field can hold, such as `0`, `true`, a text or the name of an enum's value";
                report.push(Diagnostic::new(Rule::FieldType, value.span, problem).help(help).path(at));
                None
            }
        }
    }

    fn resolve(&self, path: &Spanned<ResponsePath>, at: &str, report: &mut Report) -> Option<FieldPath> {
        match FieldPath::resolve(self.output, path.below_response()) {
            Ok(path) => Some(path),
            Err(problem) => {
                let known: Vec<String> = problem.known.iter().map(|known| format!("response.{known}")).collect();
                let finding = Diagnostic::new(Rule::FieldPath, path.span, problem.what.as_str());
                report.push(finding.did_you_mean(path.as_str(), known.iter().map(String::as_str)).path(at));
                None
            }
        }
    }
}
