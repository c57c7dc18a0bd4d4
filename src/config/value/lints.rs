//! What an `allow` is made of: the code of a warning, and a reason.

use super::{Problem, Value};
use crate::diagnostic::{Rule, Severity, suggestion};

/// The code of a warning: `PG081`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LintCode(pub Rule);

/// Why something is as it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reason(String);

// === impl LintCode ===

impl Value for LintCode {
    const WHAT: &'static str = "the code of a warning";
    const EXAMPLE: &'static str = "`PG081`";
    const PATTERN: &'static str = "PG[0-9]{3}";

    fn parse(text: &str) -> Result<LintCode, Problem> {
        let problem = match Rule::of_code(text) {
            Some(rule) if rule.severity() == Severity::Warning => return Ok(LintCode(rule)),
            Some(_) => Problem::new("it is the code of an error").help("mend what it is about: only warnings can be allowed"),
            None => {
                let known = Rule::ALL.iter().filter(|rule| rule.severity() == Severity::Warning).map(|rule| rule.code());
                let problem = Problem::new("there is no such code");
                suggestion(text, known).into_iter().fold(problem, Problem::help)
            }
        };
        Err(problem.rule(Rule::BadAllow))
    }
}

// === impl Reason ===

impl Reason {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for Reason {
    const WHAT: &'static str = "a reason";
    const EXAMPLE: &'static str = "`the lobby is public by design`";
    const PATTERN: &'static str = r"\s*\S[\s\S]*";

    fn parse(text: &str) -> Result<Reason, Problem> {
        match text.trim() {
            "" => {
                Err(Problem::new("it says nothing").help("say why this is meant: `reason: \"the lobby is public\"`").rule(Rule::BadAllow))
            }
            reason => Ok(Reason(reason.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_warnings_can_be_allowed_and_only_with_a_reason() {
        assert_eq!(LintCode::parse("PG081").expect("a warning").0, Rule::UnlimitedAnonymous);
        let refused = |text: &str| LintCode::parse(text).expect_err(text).help;
        assert_eq!(refused("PG81").as_deref(), Some("did you mean `PG081`?"));
        assert_eq!(refused("PG023").as_deref(), Some("mend what it is about: only warnings can be allowed"));
        assert!(refused("nothing like it").is_none());
        assert!(Reason::parse(" \t").is_err());
        assert_eq!(Reason::parse(" it is public ").expect("a reason").as_str(), "it is public");
    }
}
