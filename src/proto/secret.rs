//! Fields that hold secrets by what they are called, so that a password is hidden where nobody has thought of it.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use super::MessageType;

/// How the names of such fields end, in small letters.
const ENDINGS: [&str; 9] = ["password", "passwd", "passphrase", "secret", "token", "api_key", "apikey", "private_key", "privatekey"];

/// Tokens by which nobody is let in: where the next page of a list begins.
const HARMLESS: [&str; 2] = ["page_token", "pagetoken"];

/// Texts and bytes that may be absent.
const WRAPPERS: [&str; 2] = ["google.protobuf.StringValue", "google.protobuf.BytesValue"];

/// How deep secrets are looked for, and how many are named.
const DEPTH_MAX: usize = 4;
const PATHS_MAX: usize = 32;

/// The fields of a message that hold secrets, in it and in messages below it, as paths that routes write. Those that are deprecated are
/// hidden like all of them, and not named.
pub fn secret_paths(kind: &MessageType) -> Vec<String> {
    let mut found = Vec::new();
    collect(kind, kind.descriptor(), "", &mut Vec::new(), &mut found);
    found
}

fn collect(root: &MessageType, message: &MessageDescriptor, before: &str, inside: &mut Vec<MessageDescriptor>, found: &mut Vec<String>) {
    inside.push(message.clone());
    let is_old = |field: &FieldDescriptor| field.field_descriptor_proto().options.as_ref().is_some_and(|options| options.deprecated());
    for field in message.fields().filter(|field| !is_old(field)) {
        if found.len() >= PATHS_MAX {
            break;
        }
        let path = format!("{before}{}", field.name());
        match field.kind() {
            kind if root.pool().is_redacted(field.full_name()) || is_secret(field.name(), &kind) => found.push(path),
            Kind::Message(below) if !below.is_map_entry() && inside.len() < DEPTH_MAX && !inside.contains(&below) => {
                collect(root, &below, &format!("{path}."), inside, found);
            }
            _ => {}
        }
    }
    inside.pop();
}

/// Whether a field of this name and kind holds a secret: a text or bytes, as all of them are, or several by name.
pub fn is_secret(name: &str, kind: &Kind) -> bool {
    let name = name.to_ascii_lowercase();
    let name = name.strip_suffix('s').unwrap_or(&name);
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    is_text(kind) && ends(&ENDINGS) && !ends(&HARMLESS)
}

fn is_text(kind: &Kind) -> bool {
    match kind {
        Kind::String | Kind::Bytes => true,
        Kind::Message(message) if message.is_map_entry() => is_text(&message.map_entry_value_field().kind()),
        Kind::Message(message) => WRAPPERS.contains(&message.full_name()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_known_by_its_name() {
        for name in ["password", "new_password", "newPassword", "TOKEN", "access_token", "refreshToken", "api_keys", "client_secret"] {
            assert!(is_secret(name, &Kind::String), "{name}");
            assert!(!is_secret(name, &Kind::Bool), "{name} that is true or false");
        }
        for name in ["page_token", "next_page_token", "nextPageToken", "user", "key", "password_hint", "tokenizer", ""] {
            assert!(!is_secret(name, &Kind::Bytes), "{name}");
        }
    }
}
