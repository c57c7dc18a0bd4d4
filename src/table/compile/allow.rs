//! `allow`: warnings that somebody has looked at and does not want again, and why.
//!
//! Where it stands says what it is about: a route, by itself or through `defaults`; a backend, a limit, a role, topics of one kind; or, in
//! gateway.yaml, that file. Promises: it silences warnings and no error; one that silences nothing is told, so that none outlives its cause,
//! unless it may be for another environment.

use std::collections::{BTreeMap, BTreeSet};

use super::routes::{Written, edited};
use super::{entries, items};
use crate::config::Document;
use crate::config::document::{Allowed, GatewayFile};
use crate::config::grammar::{List, Section as _};
use crate::diagnostic::{Diagnostic, FileId, Report, Rule, Span, Spanned};

/// Warnings that depend on the environment or on the day: an `allow` of them may silence nothing here and now.
const NOT_ALWAYS: [Rule; 3] = [Rule::CertificateDates, Rule::ClearText, Rule::NoMail];

/// Everything that is allowed.
#[derive(Default)]
pub struct Allowances {
    /// The rule and the path it is allowed at, and where that is written.
    all: BTreeMap<(Rule, String), Vec<Span>>,
    /// Where an overlay of routes is in force, what stands below it may be for where it is not: a backend that only production uses.
    overlays: BTreeSet<FileId>,
}

// === impl Allowances ===

impl Allowances {
    /// What the whole document allows.
    pub fn of(document: &Document, routes: &[Written<'_>]) -> Allowances {
        let mut all = Allowances { overlays: overlays(document), ..Allowances::default() };
        all.add("", items(&document.gateway.allow));
        for group in &document.groups {
            let file = &group.routes;
            entries(&file.backends).for_each(|(name, it)| all.list("backends", name.as_str(), &it.allow));
            entries(&file.rate_limits).for_each(|(name, it)| all.list("rate_limits", name.as_str(), &it.allow));
            entries(&file.topics).for_each(|(name, it)| all.list("topics", name.pattern().as_str(), &it.allow));
            let roles = file.permissions.iter().flat_map(|permissions| entries(&permissions.roles));
            roles.for_each(|(name, it)| all.list("permissions.roles", name.as_str(), &it.allow));
        }
        routes.iter().for_each(|written| all.add(&written.path, edited(&written.policy.allow)));
        all
    }

    /// Takes what is allowed out of the report, and puts in which of it silences nothing.
    pub fn apply(self, is_whole: bool, report: &mut Report) {
        let mut used: BTreeSet<Span> = BTreeSet::new();
        report.silence(|finding| {
            let found = self.about(finding);
            used.extend(&found);
            !found.is_empty()
        });
        // With errors about, not everything was looked at.
        if !is_whole || report.has_errors() {
            return;
        }
        for ((rule, at), places) in &self.all {
            for place in places.iter().filter(|_| !NOT_ALWAYS.contains(rule)) {
                // One of `defaults` is said once, whatever the number of routes.
                if !used.insert(*place) || self.may_be_meant_elsewhere(*place) {
                    continue;
                }
                let what = format!("nothing here would be warned of with `{}`", rule.code());
                let path = if at.is_empty() { "allow".to_owned() } else { format!("{at}.allow") };
                report.push(Diagnostic::new(Rule::IdleAllow, *place, what).help("remove it").path(path));
            }
        }
    }

    /// What allows a finding: all that stands at its path, or around it.
    fn about(&self, finding: &Diagnostic) -> Vec<Span> {
        let path = finding.path.as_str();
        let ends = path.match_indices(['.', '[']).map(|(at, _)| at).chain([path.len()]);
        let around = ends.map(|end| &path[..end]).chain(is_of_gateway(path).then_some(""));
        around.filter_map(|at| self.all.get(&(finding.rule, at.to_owned()))).flatten().copied().collect()
    }

    fn may_be_meant_elsewhere(&self, place: Span) -> bool {
        !self.overlays.is_empty() && !self.overlays.contains(&place.file)
    }

    fn list(&mut self, section: &str, name: &str, written: &Option<Spanned<List<Allowed>>>) {
        self.add(&format!("{section}.{name}"), items(written));
    }

    fn add(&mut self, at: &str, written: &[Spanned<Allowed>]) {
        for allowed in written {
            if let Some(code) = &allowed.0.code {
                self.all.entry((code.0, at.to_owned())).or_default().push(allowed.span);
            }
        }
    }
}

/// The overlays of routes that are in force.
fn overlays(document: &Document) -> BTreeSet<FileId> {
    let sources = &document.sources;
    let wanted: BTreeSet<_> = document.groups.iter().map(|group| document.environment.overlay_of(&sources.file(group.file).path)).collect();
    sources.ids().filter(|id| wanted.contains(&sources.file(*id).path)).collect()
}

/// Whether a path is one of gateway.yaml.
fn is_of_gateway(path: &str) -> bool {
    let head = path.split(['.', '[']).next().unwrap_or_default();
    GatewayFile::keys().iter().any(|key| key.name == head)
}
