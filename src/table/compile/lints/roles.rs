//! Grants and denials that cover nothing, and routes that seem open to whom they are not.

use std::sync::Arc;

use super::Scope;
use crate::config::value::PermissionPattern;
use crate::diagnostic::{Diagnostic, Report, Rule, Spanned, nearest};
use crate::pipeline::permission::{ANONYMOUS, PermissionId, Permissions, covers};
use crate::table::compile::routes::{Written, edited};
use crate::table::compile::{entries, items};
use crate::table::plan::{Access, RoutePlan};

pub fn lint(scope: &Scope<'_>, report: &mut Report) {
    let needed = &scope.routes.permissions;
    // Roles may be there before the routes are.
    if needed.is_empty() {
        return;
    }
    let permissions = scope.document.groups.iter().flat_map(|group| &group.routes.permissions);
    for (name, role) in permissions.clone().flat_map(|permissions| entries(&permissions.roles)) {
        if [items(&role.grant), items(&role.deny)].iter().all(|patterns| patterns.is_empty()) && items(&role.inherit).is_empty() {
            let what = format!("the role `{}` lets nobody do anything", name.as_str());
            let finding = Diagnostic::new(Rule::EmptyRole, name.span, what).path(format!("permissions.roles.{}", name.as_str()));
            report.push(finding.help("say what it may do, such as `grant: [game.play]`, or remove it"));
        }
    }
    for (name, role) in permissions.flat_map(|permissions| entries(&permissions.roles)) {
        for (verb, patterns) in [("grant", items(&role.grant)), ("deny", items(&role.deny))] {
            patterns.iter().for_each(|pattern| idle(name.as_str(), verb, pattern, needed, report));
        }
    }
    undeclared(scope, report);
    let compiled = Permissions::compile(scope.roles, needed);
    for (written, plan) in scope.routes().filter(|(_, plan)| plan.access == Access::Anonymous) {
        closed(written, plan, &compiled, report);
    }
}

/// Whoever is given a role that is declared nowhere is given nothing.
fn undeclared(scope: &Scope<'_>, report: &mut Report) {
    let Some(auth) = &scope.document.gateway.auth else { return };
    let known: Vec<&str> = scope.roles.iter().map(|role| &*role.name).chain([ANONYMOUS]).collect();
    let mut given = vec![("accounts.default_roles".to_owned(), auth.accounts.as_ref().map(|accounts| items(&accounts.default_roles)))];
    given.extend(
        items(&auth.issuers).iter().enumerate().map(|(at, it)| (format!("issuers[{at}].default_roles"), Some(items(&it.default_roles)))),
    );
    given.extend(items(&auth.api_keys).iter().enumerate().map(|(at, it)| (format!("api_keys[{at}].roles"), Some(items(&it.roles)))));
    for (path, roles) in given {
        for role in roles.unwrap_or_default().iter().filter(|role| !known.contains(&role.as_str())) {
            let finding = Diagnostic::new(Rule::UnknownRole, role.span, format!("the role `{}` is declared nowhere", role.as_str()));
            report.push(finding.label("gives nothing").did_you_mean(role.as_str(), known.iter().copied()).path(format!("auth.{path}")));
        }
    }
}

/// A misspelt grant gives nothing, and a misspelt denial forbids nothing. One that is like nothing there is may be ahead of its routes.
fn idle(role: &str, verb: &str, pattern: &Spanned<PermissionPattern>, needed: &[Arc<str>], report: &mut Report) {
    if needed.iter().any(|permission| covers(pattern.as_str(), permission)) {
        return;
    }
    let alike: Vec<String> = needed.iter().map(|permission| as_general(permission, pattern.as_str())).collect();
    let Some(meant) = nearest(pattern.as_str(), alike.iter().map(String::as_str)) else { return };
    let what = format!("nothing needs a permission that `{}` covers", pattern.as_str());
    let effect = if verb == "grant" { "lets nobody do anything" } else { "forbids nothing" };
    let finding = Diagnostic::new(Rule::IdleGrant, pattern.span, what).label(effect).path(format!("permissions.roles.{role}.{verb}"));
    report.push(finding.help(format!("did you mean `{meant}`?")));
}

/// A permission with the wildcards of a pattern: `game.play` by `gmae.*` is `game.*`.
fn as_general(permission: &str, pattern: &str) -> String {
    let mut wildcards = pattern.split('.').map(|part| part.starts_with('*').then_some(part));
    let mut general = Vec::new();
    for segment in permission.split('.') {
        let wildcard = wildcards.next().flatten();
        general.push(wildcard.unwrap_or(segment));
        if wildcard == Some("**") {
            break;
        }
    }
    general.join(".")
}

/// Anybody may call it, and anybody is refused.
fn closed(written: &Written<'_>, plan: &RoutePlan, permissions: &Permissions, report: &mut Report) {
    let somebody = |permission: PermissionId| permissions.roles().any(|role| permissions.grants(&[Arc::clone(role)]).permits(permission));
    // What nobody may do at all is said of the permission.
    let closing = plan.permissions.iter().find(|(bit, _)| !permissions.anonymous().permits(*bit) && somebody(*bit));
    let Some((_, name)) = closing else { return };
    let place = edited(&written.policy.permissions).iter().find(|permission| permission.as_str() == &**name);
    let what = format!("route {} is open to anonymous clients, and they may not `{name}`", plan.number.0);
    let finding = Diagnostic::new(Rule::ClosedAnonymous, place.map_or(written.place, |place| place.span), what);
    let finding = written.policy.access.iter().fold(finding, |finding, access| finding.related(access.span, "open to anonymous clients"));
    report.push(
        finding
            .help(format!(
                "remove `access: anonymous`; or let everybody: `permissions: {{ roles: {{ {ANONYMOUS}: {{ grant: [{name}] }} }} }}`"
            ))
            .path(format!("{}.permissions", written.path)),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_held_against_what_it_could_have_covered() {
        let general = ["gmae.*", "gmae.**", "*.pley", "gmae.play", "**"].map(|pattern| as_general("game.play", pattern));
        assert_eq!(general, ["game.*", "game.**", "*.play", "game.play", "**"]);
        assert_eq!(as_general("a.b.c", "x.**"), "a.**");
    }
}
