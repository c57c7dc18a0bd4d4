//! What there is to know of a field besides its type.

use super::inline::code;
use crate::author::saying;
use crate::proto::DescribedField;

/// One thing of it.
pub enum Note {
    /// A word that stands out.
    Tag(&'static str),
    Says(String),
}

/// Tags first. `written` are the fields of the message that the gateway writes.
pub fn notes(field: &DescribedField, written: &[String]) -> Vec<Note> {
    let is_written = written.iter().any(|path| same(path, &field.name));
    let tags = [
        (field.deprecated, "deprecated"),
        (field.secret, "secret"),
        (field.required, "required"),
        (field.optional, "optional"),
        (is_written, "written by the gateway"),
    ];
    let tags = tags.into_iter().filter(|(is, _)| *is).map(|(_, tag)| Note::Tag(tag));
    let oneof = field.oneof.as_ref().map(|oneof| format!("One of {}.", code(oneof)));
    let rules = (!field.rules.is_empty()).then(|| format!("It {}.", field.rules.join("; ")));
    let comment = field.comment.as_deref().map(saying::line).filter(|comment| !comment.is_empty());
    tags.chain([comment, oneof, rules].into_iter().flatten().map(Note::Says)).collect()
}

/// Whether the name in a .proto file and the one in JSON are one field's.
fn same(path: &str, json: &str) -> bool {
    let bare = |name: &str| name.replace('_', "").to_ascii_lowercase();
    bare(path) == bare(json)
}
