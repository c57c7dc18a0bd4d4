//! `permissions:` of every group to role specs.

use std::collections::BTreeSet;

use super::names::Names;
use crate::config::Document;
use crate::config::document::Role;
use crate::diagnostic::{Diagnostic, Report, Rule, Spanned};
use crate::pipeline::permission::RoleSpec;

/// Every role, with what it inherits checked.
pub fn compile(document: &Document, report: &mut Report) -> Vec<RoleSpec> {
    let mut names = Names::new("role", Rule::RoleInheritance);
    let mut written: Vec<&Spanned<Role>> = Vec::new();
    for group in &document.groups {
        for (name, role) in group.routes.permissions.iter().flat_map(|permissions| permissions.roles.iter().flat_map(|roles| roles.iter())) {
            let before = names.len();
            names.declare(name.as_str(), name.span, Some(spec(name.as_str(), role)), report);
            if names.len() > before {
                written.push(role);
            }
        }
    }
    for (index, role) in written.iter().enumerate() {
        for parent in role.inherit.iter().flat_map(|list| list.iter()) {
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
    let texts = |list: &Option<Spanned<_>>| list.iter().flat_map(|list: &Spanned<crate::config::grammar::List<_>>| list.iter()).map(pattern).collect();
    RoleSpec {
        name: name.into(),
        grant: texts(&role.grant),
        deny: texts(&role.deny),
        inherit: role.inherit.iter().flat_map(|list| list.iter()).map(|parent| parent.as_str().to_owned()).collect(),
    }
}

fn pattern(written: &Spanned<crate::config::value::PermissionPattern>) -> String {
    written.as_str().to_owned()
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
