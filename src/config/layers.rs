//! Layers of a policy: what holds where several of them speak about the same thing.
//!
//! Single values: the highest layer that says something wins. Maps and sections: merged key by key. Lists say `append` or `replace`.
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
    layers.iter().fold(Policy::default(), |below, layer| Policy::merge((*layer).clone(), below, &mut stack))
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
