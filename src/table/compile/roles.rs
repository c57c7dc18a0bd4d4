//! `permissions:` of every group to role specs.

use std::collections::BTreeSet;

use super::names::Names;
use super::routes::Routes;
use super::{broken, entries, items};
use crate::config::Document;
use crate::config::document::Role;
use crate::config::value::Name;
use crate::diagnostic::{Diagnostic, Report, Rule, Spanned};
use crate::pipeline::permission::{RoleSpec, covers};

/// Every role, with what it inherits checked.
pub fn compile(document: &Document, report: &mut Report) -> Vec<RoleSpec> {
    let mut names =
        Names::new("role", "permissions.roles", Rule::RoleInheritance, document.complete && !report.speaks_of("permissions.roles"));
    let mut written: Vec<&Spanned<Role>> = Vec::new();
    for group in &document.groups {
        let Some(permissions) = &group.routes.permissions else { continue };
        broken(&permissions.roles).iter().for_each(|name| names.declare_broken(name.as_str()));
        for (name, role) in entries(&permissions.roles) {
            let before = names.len();
            let path = format!("permissions.roles.{}", name.as_str());
            names.declare(name.as_str(), name.span, &path, Some(spec(name, role)), report);
            if names.len() > before {
                written.push(role);
            }
        }
    }
    let mut cyclic: Vec<usize> = Vec::new();
    for (index, role) in written.iter().enumerate() {
        for parent in items(&role.inherit) {
            let path = format!("permissions.roles.{}.inherit", names.get(index).name);
            let Some(found) = names.find(parent, &path, report) else { continue };
            // Every role of a circle reaches every other: one of them is enough.
            let said = |other: &usize| reaches(&names, found, *other) && reaches(&names, *other, index);
            if reaches(&names, found, index) && !cyclic.iter().any(said) {
                cyclic.push(index);
                let what = format!("the role `{}` inherits from itself", names.get(index).name);
                report.push(
                    Diagnostic::new(Rule::RoleInheritance, parent.span, what)
                        .label("this leads back to it")
                        .help("remove it from `inherit`")
                        .path(path),
                );
            }
        }
    }
    names.into_items()
}

/// Warns of permissions that some route needs and no role grants, each once.
pub fn lint_unreachable(roles: &[RoleSpec], routes: &Routes, report: &mut Report) {
    for (permission, (place, path)) in routes.permissions.iter().zip(&routes.first_uses) {
        let granted = |role: &RoleSpec| {
            let covered = |patterns: &[String]| patterns.iter().any(|pattern| covers(pattern, permission));
            covered(&role.grant) && !covered(&role.deny)
        };
        if roles.iter().any(granted) {
            continue;
        }
        let what = format!("no role grants `{permission}`, so nobody can call what needs it");
        report.push(
            Diagnostic::new(Rule::UnreachableRoute, *place, what)
                .label("needed here")
                .help(format!("grant it: `permissions: {{ roles: {{ player: {{ grant: [{permission}] }} }} }}`, or remove it here"))
                .path(path.as_str()),
        );
    }
}

fn spec(name: &Name, role: &Role) -> RoleSpec {
    RoleSpec {
        name: name.shared(),
        grant: items(&role.grant).iter().map(|pattern| pattern.as_str().to_owned()).collect(),
        deny: items(&role.deny).iter().map(|pattern| pattern.as_str().to_owned()).collect(),
        inherit: items(&role.inherit).iter().map(|parent| parent.as_str().to_owned()).collect(),
    }
}

/// Whether following `inherit` from `from` arrives at `to`.
fn reaches(names: &Names<RoleSpec>, from: usize, to: usize) -> bool {
    let mut seen = BTreeSet::new();
    let mut waiting = vec![from];
    while let Some(index) = waiting.pop() {
        if index == to {
            return true;
        }
        if seen.insert(index) {
            waiting.extend(names.get(index).inherit.iter().filter_map(|parent| names.index_of(parent)));
        }
    }
    false
}
