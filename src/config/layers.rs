//! Layers of a policy: what holds where several of them speak about the same thing.
//!
//! Single values: the highest layer that says something wins. Maps and sections: merged key by key. Lists say `append` or `replace`.
//! `backend` and `split` answer one question: either takes the place of both.
//! Every value keeps the place where it was written. Built-in defaults are no layer of a document; `table/compile` applies them.

use super::document::Policy;
use super::grammar::{Read, Section};
use super::path::DocPath;
use crate::diagnostic::{Diagnostic, Report, Spanned};

/// Where findings about layers go, and the path that they are about.
pub struct Layers<'a> {
    report: &'a mut Report,
    path: DocPath,
}

/// One policy out of several, lowest first. `path` is the place in the document that the policy is resolved for, such as `routes.1001`.
///
/// In the result every [`super::grammar::Edit`] is what it comes to: read its `items()`.
pub fn resolve(layers: &[&Policy], path: &str, report: &mut Report) -> Policy {
    let mut stack = Layers { report, path: DocPath::new(path) };
    layers.iter().fold(Policy::default(), |below, layer| {
        let below = Policy {
            backend: below.backend.filter(|_| layer.split.is_none()),
            split: below.split.filter(|_| layer.backend.is_none()),
            ..below
        };
        Policy::merge((*layer).clone(), below, &mut stack)
    })
}

// === impl Layers ===

impl Layers<'_> {
    /// One key of a section.
    pub fn field<T: Read>(&mut self, key: &str, higher: Option<Spanned<T>>, lower: Option<Spanned<T>>) -> Option<Spanned<T>> {
        match (higher, lower) {
            (Some(higher), Some(lower)) => {
                let before = self.path.enter_key(key);
                let layered = T::over(higher, lower, self);
                self.path.leave(before);
                Some(layered)
            }
            (higher, lower) => higher.or(lower),
        }
    }

    pub fn push(&mut self, finding: Diagnostic) {
        self.report.push(finding.path(self.path.to_string()));
    }
}

#[cfg(test)]
mod tests {
    use super::resolve;
    use crate::config::{Document, Environment, LoadOptions, load};
    use crate::diagnostic::{Report, Rule};
    use crate::files::Files;

    /// The defaults of routes.yaml, those of a group, and a route, with the given policies.
    fn document(defaults: &str, group: &str, route: &str) -> Document {
        let leak = |text: String| -> &'static str { text.leak() };
        let files = vec![
            ("routes/routes.yaml", leak(format!("version: 1\ninclude: [group.yaml]\ndefaults: {{ {defaults} }}\n"))),
            ("routes/group.yaml", leak(format!("defaults: {{ {group} }}\nroutes:\n  1001: {{ name: a, rpc: b.C/D, {route} }}\n"))),
        ];
        let options = LoadOptions { folder: "routes".into(), environment: Environment::Development, variables: &|_| None };
        let (document, report) = load(&Files::in_memory(files.leak()), &options);
        assert!(report.is_empty(), "{:?}", report.sorted());
        document
    }

    /// Resolves the three layers; what they come to is asked of the policy.
    fn resolved(defaults: &str, group: &str, route: &str) -> (crate::config::document::Policy, Report) {
        let document = document(defaults, group, route);
        let [main, group] = document.groups.as_slice() else { panic!("two groups") };
        let (_, route) = group.routes.routes.iter().flat_map(|routes| routes.iter()).next().expect("one route");
        let mut report = Report::default();
        let lower = [&main.routes, &group.routes].map(|file| file.defaults.clone().map(|defaults| defaults.value).unwrap_or_default());
        let policy = resolve(&[&lower[0], &lower[1], &route.policy], "routes.1001", &mut report);
        (policy, report)
    }

    fn limits(defaults: &str, group: &str, route: &str) -> (Vec<String>, Vec<(Rule, String)>) {
        let (policy, report) = resolved(defaults, group, route);
        let limits = policy.rate_limits.iter().flat_map(|edit| edit.items()).map(|name| name.as_str().to_owned()).collect();
        let findings = report.sorted().iter().map(|finding| (finding.rule, finding.path.clone())).collect();
        (limits, findings)
    }

    #[test]
    fn the_highest_layer_that_speaks_wins() {
        let (policy, report) = resolved("timeout: 1s, backend: a", "timeout: 2s", "timeout: 3s");
        assert!(report.is_empty());
        assert_eq!(policy.timeout.expect("a timeout").value.0.as_secs(), 3);
        assert_eq!(policy.backend.expect("a backend").as_str(), "a");
    }

    #[test]
    fn maps_and_sections_merge() {
        let (policy, _) = resolved(
            "set: { request.a: session.user, request.b: peer.ip }, log: { slow: 1s }",
            "",
            "set: { request.b: session.user }, log: { payload: all }",
        );
        let set: Vec<String> =
            policy.set.iter().flat_map(|set| set.iter().map(|(field, from)| format!("{}={}", field.as_str(), from.word()))).collect();
        assert_eq!(set, ["request.a=session.user", "request.b=session.user"]);
        let log = policy.log.expect("a log");
        assert!(log.slow.is_some() && log.payload.is_some());
    }

    #[test]
    fn a_split_and_a_backend_replace_one_another_and_splits_merge() {
        let shares = |defaults, group, route| {
            let (policy, report) = resolved(defaults, group, route);
            assert!(report.is_empty());
            let split =
                policy.split.iter().flat_map(|split| split.iter().map(|(name, share)| format!("{}={}", name.as_str(), share.value)));
            (policy.backend.map(|name| name.as_str().to_owned()), split.collect::<Vec<_>>())
        };
        assert_eq!(shares("backend: a", "split: { a: 90, b: 10 }", ""), (None, vec!["a=90".into(), "b=10".into()]));
        assert_eq!(shares("split: { a: 90, b: 10 }", "", "backend: c"), (Some("c".into()), vec![]));
        assert_eq!(shares("split: { a: 90, b: 10 }", "backend: c", "split: { d: 1 }"), (None, vec!["d=1".into()]));
        assert_eq!(shares("split: { a: 90, b: 10 }", "", "split: { b: 50 }"), (None, vec!["a=90".into(), "b=50".into()]));
    }

    #[test]
    fn lists_append_and_replace() {
        assert_eq!(
            limits("rate_limits: [a]", "rate_limits: { append: [b] }", "rate_limits: { append: [c] }"),
            (vec!["a".into(), "b".into(), "c".into()], vec![])
        );
        assert_eq!(limits("rate_limits: [a]", "rate_limits: { append: [b] }", "rate_limits: { replace: [c] }"), (vec!["c".into()], vec![]));
        assert_eq!(limits("", "", "rate_limits: { append: [c] }"), (vec!["c".into()], vec![]));
        assert_eq!(limits("", "rate_limits: [b]", ""), (vec!["b".into()], vec![]));
    }

    #[test]
    fn a_plain_list_over_a_list_is_reported() {
        let (_, findings) = limits("rate_limits: [a]", "", "rate_limits: [b]");
        assert_eq!(findings, [(Rule::ListEdit, "routes.1001.rate_limits".to_owned())]);
    }
}
