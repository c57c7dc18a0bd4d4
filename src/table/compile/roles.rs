//! `permissions:` of every group to role specs.

use std::collections::BTreeSet;

use super::names::Names;
use crate::config::Document;
use crate::config::document::Role;
use crate::config::grammar::{Entries, Items};
use crate::diagnostic::{Diagnostic, Report, Rule, Spanned};
use crate::pipeline::permission::RoleSpec;

/// Every role, with what it inherits checked.
pub fn compile(document: &Document, report: &mut Report) -> Vec<RoleSpec> {
    let mut names = Names::new("role", Rule::RoleInheritance);
    let mut written: Vec<&Spanned<Role>> = Vec::new();
    for group in &document.groups {
        for (name, role) in group.routes.permissions.iter().flat_map(|permissions| permissions.roles.entries()) {
            let before = names.len();
            names.declare(name.as_str(), name.span, Some(spec(name.as_str(), role)), report);
            if names.len() > before {
                written.push(role);
            }
        }
    }
    for (index, role) in written.iter().enumerate() {
        for parent in role.inherit.items() {
            let Some(found) = names.find(parent, report) else { continue };
            if reaches(&names, found, index) {
                let what = format!("the role `{}` inherits from itself", names.get(index).name);
                report.push(Diagnostic::new(Rule::RoleInheritance, parent.span, what).label("this leads back to it").help("remove it from `inherit`"));
            }
        }
    }
    names.into_items()
}

fn spec(name: &str, role: &Role) -> RoleSpec {
    RoleSpec {
        name: name.into(),
        grant: role.grant.items().map(|pattern| pattern.as_str().to_owned()).collect(),
        deny: role.deny.items().map(|pattern| pattern.as_str().to_owned()).collect(),
        inherit: role.inherit.items().map(|parent| parent.as_str().to_owned()).collect(),
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
