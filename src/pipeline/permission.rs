//! Roles into permissions.
//!
//! A permission is a name of segments with dots between, such as `game.play`. A role grants and denies by patterns: `*` stands for exactly
//! one segment, a final `**` for one or more, so that `game.**` covers `game.play` and `game.room.join` but not `game`, and `**` covers all.
//!
//! Promises: a denial beats every grant, whichever role either comes from; a role takes over the grants and the denials of the roles it
//! inherits; a role nobody declared grants nothing. All of that is settled when a table is compiled and when a caller is first seen by it:
//! the data path tests one bit.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The role of connections that have not said who they are.
pub const ANONYMOUS: &str = "anonymous";

/// One role, as configured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoleSpec {
    pub name: Arc<str>,
    /// Patterns.
    pub grant: Vec<String>,
    /// Patterns.
    pub deny: Vec<String>,
    /// Names of other roles.
    pub inherit: Vec<String>,
}

/// The bit of a permission: its place in the list that [`Permissions::compile`] was given.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PermissionId(pub u32);

/// The roles of one table.
#[derive(Clone)]
pub struct Permissions {
    required: Box<[Arc<str>]>,
    roles: HashMap<Arc<str>, Role>,
    anonymous: Grants,
}

/// What a caller may do. Up to 128 permissions, which is more than most tables require, fit without an allocation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Grants {
    Few([u64; 2]),
    Many(Box<[u64]>),
}

/// A role with all that it inherits.
#[derive(Clone)]
struct Role {
    granted: Grants,
    denied: Grants,
}

// === impl Permissions ===

impl Permissions {
    /// `required` is every permission that any route requires, each once; its place is its [`PermissionId`].
    ///
    /// Roles that inherit each other in a circle share all that they have; a name that is no role is passed over. Both are reported by
    /// whoever reads the configuration.
    pub fn compile(roles: &[RoleSpec], required: &[Arc<str>]) -> Permissions {
        let by_name: HashMap<&str, &RoleSpec> = roles.iter().map(|role| (&*role.name, role)).collect();
        let compiled = roles.iter().map(|role| {
            let family = family(role, &by_name);
            let covered = |patterns: fn(&RoleSpec) -> &[String]| {
                let patterns: Vec<&String> = family.iter().flat_map(|role| patterns(role)).collect();
                Grants::of(required.len(), |index| patterns.iter().any(|pattern| covers(pattern, &required[index])))
            };
            (role.name.clone(), Role { granted: covered(|role| &role.grant), denied: covered(|role| &role.deny) })
        });
        let mut permissions = Permissions { roles: compiled.collect(), anonymous: Grants::none(required.len()), required: required.into() };
        permissions.anonymous = permissions.grants(&[ANONYMOUS.into()]);
        permissions
    }

    /// What somebody with these roles may do.
    pub fn grants(&self, roles: &[Arc<str>]) -> Grants {
        let (mut granted, mut denied) = (Grants::none(self.required.len()), Grants::none(self.required.len()));
        for role in roles.iter().filter_map(|name| self.roles.get(name)) {
            granted.add(&role.granted);
            denied.add(&role.denied);
        }
        granted.remove(&denied);
        granted
    }

    /// Every role that is declared, in no order.
    pub fn roles(&self) -> impl Iterator<Item = &Arc<str>> {
        self.roles.keys()
    }

    /// What somebody without a token may do.
    pub fn anonymous(&self) -> &Grants {
        &self.anonymous
    }

    /// The name behind a bit, for what is said to people.
    pub fn name(&self, permission: PermissionId) -> Option<&Arc<str>> {
        self.required.get(permission.0 as usize)
    }
}

/// A role and all roles that it inherits, each once.
fn family<'a>(role: &'a RoleSpec, by_name: &HashMap<&str, &'a RoleSpec>) -> Vec<&'a RoleSpec> {
    let mut family = vec![role];
    let mut seen = HashSet::from([&*role.name]);
    let mut next = 0;
    while let Some(role) = family.get(next).copied() {
        let heirs = role.inherit.iter().filter_map(|name| by_name.get(name.as_str()));
        family.extend(heirs.filter(|heir| seen.insert(&heir.name)));
        next += 1;
    }
    family
}

/// Whether a pattern covers a permission.
pub fn covers(pattern: &str, permission: &str) -> bool {
    let mut segments = permission.split('.');
    for part in pattern.split('.') {
        match (part, segments.next()) {
            ("**", Some(_)) => return true,
            ("*", Some(_)) => {}
            (part, Some(segment)) if part == segment => {}
            _ => return false,
        }
    }
    segments.next().is_none()
}

// === impl Grants ===

impl Grants {
    /// Whether the caller may.
    pub fn permits(&self, permission: PermissionId) -> bool {
        let index = permission.0 as usize;
        self.words().get(index / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    fn none(count: usize) -> Grants {
        if count <= 128 { Grants::Few([0; 2]) } else { Grants::Many(vec![0; count.div_ceil(64)].into()) }
    }

    fn of(count: usize, is_set: impl Fn(usize) -> bool) -> Grants {
        let mut grants = Grants::none(count);
        let words = grants.words_mut();
        (0..count).filter(|&index| is_set(index)).for_each(|index| words[index / 64] |= 1 << (index % 64));
        grants
    }

    fn add(&mut self, other: &Grants) {
        self.words_mut().iter_mut().zip(other.words()).for_each(|(word, other)| *word |= other);
    }

    fn remove(&mut self, other: &Grants) {
        self.words_mut().iter_mut().zip(other.words()).for_each(|(word, other)| *word &= !other);
    }

    fn words(&self) -> &[u64] {
        match self {
            Grants::Few(words) => words,
            Grants::Many(words) => words,
        }
    }

    fn words_mut(&mut self) -> &mut [u64] {
        match self {
            Grants::Few(words) => words,
            Grants::Many(words) => words,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(name: &str, grant: &[&str], deny: &[&str], inherit: &[&str]) -> RoleSpec {
        let owned = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        RoleSpec { name: name.into(), grant: owned(grant), deny: owned(deny), inherit: owned(inherit) }
    }

    /// The required permissions that somebody with `roles` has.
    fn allowed<'a>(specs: &[RoleSpec], required: &[&'a str], roles: &[&str]) -> Vec<&'a str> {
        let names: Vec<Arc<str>> = required.iter().map(|&name| name.into()).collect();
        let roles: Vec<Arc<str>> = roles.iter().map(|&name| name.into()).collect();
        let grants = Permissions::compile(specs, &names).grants(&roles);
        (0..).zip(required).filter(|(index, _)| grants.permits(PermissionId(*index))).map(|(_, name)| *name).collect()
    }

    #[test]
    fn patterns_cover_what_they_say() {
        for (pattern, covered, not) in [
            ("game.play", &["game.play"][..], &["game", "game.play.x", "game.player", "chat.play"][..]),
            ("game.*", &["game.play"], &["game", "game.room.join"]),
            ("*.play", &["game.play", "chat.play"], &["play", "a.b.play"]),
            ("game.**", &["game.play", "game.room.join"], &["game", "games.play"]),
            ("*.**", &["game.play"], &["game"]),
            ("**", &["game", "game.play.x"], &[]),
            ("*", &["game"], &["game.play"]),
        ] {
            covered.iter().for_each(|name| assert!(covers(pattern, name), "{pattern} covers {name}"));
            not.iter().for_each(|name| assert!(!covers(pattern, name), "{pattern} does not cover {name}"));
        }
    }

    #[test]
    fn a_denial_beats_every_grant() {
        let specs =
            [role("player", &["game.**"], &[], &[]), role("banned", &[], &["**"], &[]), role("mute", &["chat.*"], &["chat.say"], &[])];
        let required = ["game.play", "chat.say", "chat.hear"];
        assert_eq!(allowed(&specs, &required, &["player", "mute"]), ["game.play", "chat.hear"]);
        assert!(allowed(&specs, &required, &["player", "banned"]).is_empty());
    }

    #[test]
    fn grants_and_denials_are_inherited_through_circles_too() {
        let specs = [
            role("one", &["a.x"], &[], &["two", "nobody"]),
            role("two", &["a.y"], &["a.z"], &["three"]),
            role("three", &["a.**"], &[], &["one"]),
        ];
        for name in ["one", "two", "three"] {
            assert_eq!(allowed(&specs, &["a.x", "a.y", "a.z", "b"], &[name]), ["a.x", "a.y"]);
        }
    }

    #[test]
    fn unknown_roles_and_unknown_bits_permit_nothing() {
        let specs = [role("player", &["**"], &[], &[])];
        assert!(allowed(&specs, &["a"], &["plyer", ""]).is_empty());
        let permissions = Permissions::compile(&specs, &["a".into()]);
        assert!(!permissions.grants(&["player".into()]).permits(PermissionId(1)));
        assert!(!permissions.grants(&["player".into()]).permits(PermissionId(u32::MAX)));
    }

    #[test]
    fn many_permissions_are_kept_apart_like_few() {
        let names: Vec<String> = (0..300).map(|index| format!("p{index}")).collect();
        let required: Vec<&str> = names.iter().map(String::as_str).collect();
        let specs = [role("some", &["p0", "p127", "p128", "p299"], &["p128"], &[])];
        assert_eq!(allowed(&specs, &required, &["some"]), ["p0", "p127", "p299"]);
        assert_eq!(allowed(&specs, &required[..128], &["some"]), ["p0", "p127"]);
        assert!(size_of::<Grants>() <= 24);
    }
}
