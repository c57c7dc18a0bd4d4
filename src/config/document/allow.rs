//! The grammar of `allow`: a warning that somebody has looked at, and why it is right as it is.

use super::super::grammar::{Leaves, Read, Shape, section};
use super::super::reader::Reader;
use super::super::tree::{Kind, Node};
use super::super::value::{LintCode, Reason};
use crate::diagnostic::{Diagnostic, Rule, Span};

section! {
    /// A warning that is not given, and why.
    pub struct Allow {
        /// Its code, such as `PG081`.
        code: LintCode [required],
        /// Why what it warns of is meant, for whoever reads the file next.
        reason: Reason [required],
    }
}

/// One [`Allow`]. A bare code is refused with a word on what is missing: in a year nobody knows why it stands there.
#[derive(Clone)]
pub struct Allowed(pub Allow);

// === impl Allowed ===

impl Read for Allowed {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Allowed> {
        let Kind::Scalar(scalar) = &node.kind else { return Allow::read(node, reader).map(Allowed) };
        if node.is_null() {
            return reader.wrong_type(node, "a code and a reason", None);
        }
        let code = if Rule::of_code(&scalar.text).is_some() { scalar.text.as_str() } else { "PG081" };
        let finding = Diagnostic::new(Rule::BadAllow, node.span, format!("{} is allowed without a reason", scalar.shown()));
        reader.push(finding.help(format!("write `{{ code: {code}, reason: \"why this is meant\" }}`")))
    }

    fn shape() -> Shape {
        Allow::shape()
    }

    fn tell(&self, place: Span, leaves: &mut Leaves<'_>) {
        self.0.tell(place, leaves);
    }
}
