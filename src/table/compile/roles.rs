//! `permissions:` of every group to role specs.

use std::collections::BTreeSet;

use super::names::Names;
use super::{entries, items};
use crate::config::Document;
use crate::config::document::Role;
use crate::config::value::Name;
use crate::diagnostic::{Diagnostic, Report, Rule, Spanned};
use crate::pipeline::permission::RoleSpec;

/// Every role, with what it inherits checked.
pub fn compile(document: &Document, report: &mut Report) -> Vec<RoleSpec> {
    let mut names = Names::new("role", Rule::RoleInheritance, document.complete);
    let mut written: Vec<&Spanned<Role>> = Vec::new();
    for group in &document.groups {
        for (name, role) in group.routes.permissions.iter().flat_map(|permissions| entries(&permissions.roles)) {
            let before = names.len();
            let path = format!("permissions.roles.{}", name.as_str());
            names.declare(name.as_str(), name.span, &path, Some(spec(name, role)), report);
            if names.len() > before {
                written.push(role);
            }
        }
    }
    for (index, role) in written.iter().enumerate() {
        for parent in items(&role.inherit) {
            let path = format!("permissions.roles.{}.inherit", names.get(index).name);
            let Some(found) = names.find(parent, &path, report) else { continue };
            if reaches(&names, found, index) {
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
