//! What .proto files say of what they declare: the comments at messages, fields, values of enums, services and methods, by full name. They are for
//! people who fill in a request; of what else a file says of itself nothing is kept.
//!
//! Promise: a comment is plain text of at most [`COMMENT_BYTES_MAX`] bytes.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use prost_types::source_code_info::Location;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto, SourceCodeInfo};

/// What is longer is cut: it is shown beside a field.
pub(super) const COMMENT_BYTES_MAX: usize = 600;

/// Numbers of what is declared in a file, in a message, in an enum and in a service.
const FILE_MESSAGE: i32 = 4;
const FILE_ENUM: i32 = 5;
const FILE_SERVICE: i32 = 6;
const MESSAGE_FIELD: i32 = 2;
const MESSAGE_MESSAGE: i32 = 3;
const MESSAGE_ENUM: i32 = 4;
const ENUM_VALUE: i32 = 2;
const SERVICE_METHOD: i32 = 2;

/// Comments by the full name of what they are about.
#[derive(Default)]
pub(super) struct Comments(HashMap<Box<str>, Box<str>, RandomState>);

// === impl Comments ===

impl Comments {
    /// Keeps those of a file.
    pub fn note(&mut self, file: &FileDescriptorProto, info: &SourceCodeInfo) {
        for location in &info.location {
            if let (Some(text), Some(name)) = (text(location), named(file, &location.path)) {
                self.0.insert(name.into(), text);
            }
        }
    }

    /// Takes over those of another file.
    pub fn extend(&mut self, other: Comments) {
        self.0.extend(other.0);
    }

    pub fn of(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|comment| &**comment)
    }
}

/// What stands before it, or else behind it.
fn text(location: &Location) -> Option<Box<str>> {
    let said = [location.leading_comments(), location.trailing_comments()];
    let said = said.iter().map(|said| behind_the_star(said).trim()).find(|said| !said.is_empty())?;
    let lines: Vec<&str> = said.lines().map(str::trim).collect();
    let text = lines.join("\n");
    let cut = text.floor_char_boundary(COMMENT_BYTES_MAX - '…'.len_utf8());
    Some(if text.len() > COMMENT_BYTES_MAX { format!("{}…", &text[..cut]) } else { text }.into())
}

/// Many begin a comment by `/**`, whose second star is no part of what is said.
fn behind_the_star(said: &str) -> &str {
    said.strip_prefix('*').filter(|rest| rest.starts_with(char::is_whitespace)).unwrap_or(said)
}

/// The full name of what a path in a file's descriptor leads to, if it is one of those whose comments are kept.
fn named(file: &FileDescriptorProto, path: &[i32]) -> Option<String> {
    let package = file.package();
    match path {
        [FILE_MESSAGE, index, rest @ ..] => in_message(get(&file.message_type, *index)?, rest, package),
        [FILE_ENUM, index, rest @ ..] => in_enum(get(&file.enum_type, *index)?, rest, package),
        [FILE_SERVICE, index] => Some(join(package, get(&file.service, *index)?.name())),
        [FILE_SERVICE, index, SERVICE_METHOD, method] => {
            let service = get(&file.service, *index)?;
            Some(join(&join(package, service.name()), get(&service.method, *method)?.name()))
        }
        _ => None,
    }
}

fn in_message(message: &DescriptorProto, path: &[i32], scope: &str) -> Option<String> {
    let name = join(scope, message.name());
    match path {
        [] => Some(name),
        [MESSAGE_FIELD, index] => Some(join(&name, get(&message.field, *index)?.name())),
        [MESSAGE_MESSAGE, index, rest @ ..] => in_message(get(&message.nested_type, *index)?, rest, &name),
        [MESSAGE_ENUM, index, rest @ ..] => in_enum(get(&message.enum_type, *index)?, rest, &name),
        _ => None,
    }
}

/// The values of an enum stand in the scope of the enum, not in the enum.
fn in_enum(kind: &EnumDescriptorProto, path: &[i32], scope: &str) -> Option<String> {
    match path {
        [] => Some(join(scope, kind.name())),
        [ENUM_VALUE, index] => Some(join(scope, get(&kind.value, *index)?.name())),
        _ => None,
    }
}

fn get<T>(items: &[T], index: i32) -> Option<&T> {
    items.get(usize::try_from(index).ok()?)
}

fn join(scope: &str, name: &str) -> String {
    if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") }
}
