//! What is no error, and probably not meant. Each finding says why it matters and what to write instead.
//!
//! Promises: this looks only at what has no error, so that nothing is a consequence of something else; what may well be meant is left alone.
//! Lints that need only one value stand where that is read: secrets, dates of certificates, limits of anonymous routes, `hash`.
//!
//! - `times`: times of which one keeps another from being reached
//! - `limits`: routes that are not limited as the others are, or not at all
//! - `roles`: grants that cover nothing, and routes that are open to nobody they seem open to
//! - `backends`: clear text, breakers, mail
//! - `unused`: variables that stand nowhere, topics that nobody can hear
//! - `deprecated`: what descriptors advise against

mod backends;
mod deprecated;
mod limits;
mod roles;
mod times;
mod unused;

use super::backends::Backends;
use super::limits::Limits;
use super::routes::{Routes, Written};
use crate::config::Document;
use crate::diagnostic::Report;
use crate::pipeline::permission::RoleSpec;
use crate::table::plan::RoutePlan;
use crate::table::settings::Settings;

/// Everything that was compiled, and what it was compiled from.
pub struct Scope<'a> {
    pub document: &'a Document,
    pub settings: &'a Settings,
    pub backends: &'a Backends,
    pub limits: &'a Limits,
    pub roles: &'a [RoleSpec],
    pub written: &'a [Written<'a>],
    pub routes: &'a Routes,
}

/// Runs every lint. Nobody calls this about a document with errors.
pub fn run(scope: &Scope<'_>, report: &mut Report) {
    times::lint(scope, report);
    limits::lint(scope, report);
    roles::lint(scope, report);
    backends::lint(scope, report);
    unused::lint(scope, report);
    deprecated::lint(scope, report);
}

// === impl Scope ===

impl Scope<'_> {
    /// Every route as it is written and as it is meant: both lists are by number, and without errors they have the same ones.
    fn routes(&self) -> impl Iterator<Item = (&Written<'_>, &RoutePlan)> {
        self.written.iter().zip(&self.routes.routes).filter(|(written, plan)| written.number == plan.number.0)
    }
}
