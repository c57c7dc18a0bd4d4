//! `protogate explain`: what holds for a route and who says so, by the files; or what a diagnostic means, why it matters and what to do.

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::in_full::{shown, told_in_full};
use super::markdown::plain;
use super::{Config, Exit, check, harmless, say};
use crate::diagnostic::{Rule, suggestion};
use crate::table::compile::Context;
use crate::table::plan::{Plan, PushPlan, RoutePlan};

/// The first number that a route may have; what is smaller and can be a code is meant as one.
const ROUTES_FROM: u32 = 1000;

/// Say what holds for a route and who says so, or what a diagnostic means.
///
/// A route is named by its number or its name, a diagnostic by its code; without either, every code is listed.
///
/// Example: protogate explain PG023
#[derive(Args)]
pub struct Explain {
    /// The number or the name of a route, such as `2003` or `game.join_room`; or a code, such as `PG023`.
    #[arg(value_name = "SUBJECT")]
    subject: Option<String>,

    #[command(flatten)]
    config: Config,

    /// How to say it: for people, or for programs.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Format {
    Human,
    Json,
}

/// What somebody wants to know about.
#[derive(PartialEq, Debug)]
enum Subject {
    Codes,
    Code(u32),
    Number(u32),
    Name(String),
}

// === impl Explain ===

impl Explain {
    pub fn run(self) -> Result<(), Exit> {
        let (value, text) = match Subject::of(self.subject.as_deref().map(str::trim)) {
            Subject::Codes => (Rule::ALL.iter().map(|rule| head(*rule)).collect(), codes()),
            Subject::Code(number) => {
                let rule = code(number)?;
                let mut value = head(rule);
                value["page"] = rule.page().into();
                (value, plain(rule.page()))
            }
            subject => {
                let plan = check::plan(&self.config.inputs(Context::default()))?;
                let route = told_in_full(&plan, subject.route(&plan)?);
                let text = shown(&route);
                (route, text)
            }
        };
        match self.format {
            Format::Human => say(&harmless(&text)),
            Format::Json => say(&format!("{value:#}\n")),
        }
        Ok(())
    }
}

// === impl Subject ===

impl Subject {
    /// `PG023`, `pg23` and `23` are one code; numbers from 1000 on are routes.
    fn of(text: Option<&str>) -> Subject {
        let Some(text) = text else { return Subject::Codes };
        let digits = text.get(..2).filter(|start| start.eq_ignore_ascii_case("pg")).map_or(text, |_| &text[2..]);
        match (digits.parse::<u32>(), digits.len() == text.len()) {
            (Ok(number), false) => Subject::Code(number),
            (Ok(number), true) if number < ROUTES_FROM => Subject::Code(number),
            (Ok(number), true) => Subject::Number(number),
            (Err(_), _) => Subject::Name(text.to_owned()),
        }
    }

    /// The route that is meant; where there is none, which are near.
    fn route<'p>(&self, plan: &'p Plan) -> Result<&'p RoutePlan, Exit> {
        let (found, what) = match self {
            Subject::Number(number) => {
                (plan.routes.iter().find(|route| route.number.0 == *number), format!("there is no route of the number {number}"))
            }
            Subject::Name(name) => (plan.routes.iter().find(|route| *route.name == **name), format!("there is no route `{name}`")),
            Subject::Codes | Subject::Code(_) => unreachable!("whoever asks for a route has one in mind"),
        };
        found.ok_or_else(|| {
            let near = self.push(plan).or_else(|| match self {
                Subject::Name(name) => suggestion(name, plan.routes.iter().map(|route| &*route.name)),
                _ => self.nearest(plan),
            });
            let help = near.unwrap_or_else(|| "`protogate routes --files` lists them".to_owned());
            Exit::new(1, harmless(&format!("error: {what}\n  help: {help}")))
        })
    }

    /// A push has a number and a name as well, and nothing else to be explained.
    fn push(&self, plan: &Plan) -> Option<String> {
        let is_meant = |push: &&PushPlan| match self {
            Subject::Number(number) => push.number.0 == *number,
            Subject::Name(name) => *push.name == **name,
            Subject::Codes | Subject::Code(_) => false,
        };
        let push = plan.pushes.iter().find(is_meant)?;
        let what = if let Subject::Name(_) = self { push.number.0.to_string() } else { format!("`{}`", push.name) };
        Some(format!("it is the push {what}, of type `{}`", push.message.name()))
    }

    /// The routes before and behind a number that is free.
    fn nearest(&self, plan: &Plan) -> Option<String> {
        let Subject::Number(number) = self else { return None };
        let behind = plan.routes.partition_point(|route| route.number.0 < *number);
        let near = [behind.checked_sub(1), Some(behind)].into_iter().flatten().filter_map(|index| plan.routes.get(index));
        let near: Vec<String> = near.map(|route| format!("{} `{}`", route.number.0, route.name)).collect();
        (!near.is_empty()).then(|| format!("near it {} {}", if near.len() == 1 { "is" } else { "are" }, near.join(" and ")))
    }
}

fn code(number: u32) -> Result<Rule, Exit> {
    let code = format!("PG{number:03}");
    Rule::of_code(&code).ok_or_else(|| {
        let what = format!(
            "error: there is no diagnostic {code}\n  help: `protogate explain` lists them; routes have numbers from {ROUTES_FROM} on"
        );
        Exit::new(1, what)
    })
}

fn head(rule: Rule) -> Value {
    json!({ "code": rule.code(), "severity": rule.severity().name(), "summary": rule.summary() })
}

fn codes() -> String {
    Rule::ALL.iter().map(|rule| format!("{}  {:7}  {}\n", rule.code(), rule.severity().name(), rule.summary())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_routes_are_told_apart() {
        for text in ["PG014", "pg014", "pg14", "Pg14", "14", "014"] {
            assert_eq!(Subject::of(Some(text)), Subject::Code(14), "{text}");
        }
        assert_eq!(Subject::of(Some("2003")), Subject::Number(2003));
        assert_eq!(Subject::of(Some("pg.leave")), Subject::Name("pg.leave".to_owned()));
        assert_eq!(Subject::of(Some("é")), Subject::Name("é".to_owned()));
        assert_eq!(Subject::of(None), Subject::Codes);
        assert!(code(14).is_ok_and(|rule| rule == Rule::ListEdit) && code(999).is_err());
    }
}
