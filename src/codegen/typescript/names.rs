//! How things are called in TypeScript, by the rules of protobuf-es, which makes the same names at run time.
//!
//! Promise: whatever a descriptor or a route is called, what comes out is an identifier, or is quoted.

use std::collections::BTreeSet;

/// No identifier may be one of these.
const RESERVED: &[&str] = &[
    "break",
    "case",
    "catch",
    "class",
    "const",
    "continue",
    "debugger",
    "default",
    "delete",
    "do",
    "else",
    "export",
    "extends",
    "false",
    "finally",
    "for",
    "function",
    "if",
    "import",
    "in",
    "instanceof",
    "new",
    "null",
    "return",
    "super",
    "switch",
    "this",
    "throw",
    "true",
    "try",
    "typeof",
    "var",
    "void",
    "while",
    "with",
    "yield",
    "enum",
    "implements",
    "interface",
    "let",
    "package",
    "private",
    "protected",
    "public",
    "static",
    "Object",
    "bigint",
    "number",
    "boolean",
    "string",
    "object",
    "globalThis",
    "Uint8Array",
    "Partial",
    // Beyond those of protobuf-es: what a module in strict mode cannot declare, and names of types that are built in.
    "any",
    "arguments",
    "async",
    "await",
    "eval",
    "never",
    "symbol",
    "undefined",
    "unknown",
    "NaN",
    "Infinity",
    "then",
];

/// Properties that every object has. protobuf-es escapes these four and no others.
const PROPERTIES: &[&str] = &["constructor", "toString", "toJSON", "valueOf"];

/// A name that may be declared.
pub fn identifier(name: &str) -> String {
    escaped(name, RESERVED)
}

/// The property of a message for a field or a oneof, or of an enum for a value.
pub fn property(name: &str) -> String {
    escaped(name, PROPERTIES)
}

/// As protoc makes a JSON name of the name of a field.
pub fn camel(name: &str) -> String {
    let mut upper = false;
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '_' => upper = true,
            '0'..='9' => {
                out.push(c);
                upper = false;
            }
            c if upper => {
                out.push(c.to_ascii_uppercase());
                upper = false;
            }
            c => out.push(c),
        }
    }
    out
}

/// What all values of an enum begin with, if that can be left out: the name of the enum.
pub fn shared_prefix<'n>(kind: &str, values: impl IntoIterator<Item = &'n str>) -> usize {
    let mut prefix = String::new();
    for (at, c) in kind.char_indices() {
        if c.is_ascii_uppercase() && at > 0 {
            prefix.push('_');
        }
        prefix.push(c.to_ascii_lowercase());
    }
    prefix.push('_');
    let short = |value: &str| value.to_ascii_lowercase().strip_prefix(&prefix).map(str::to_owned);
    let all = values
        .into_iter()
        .all(|value| short(value).is_some_and(|short| !short.is_empty() && !short.starts_with(|c: char| c.is_ascii_digit())));
    if all { prefix.len() } else { 0 }
}

/// As a key in a type or an object: quoted where it is no identifier.
pub fn key(name: &str) -> String {
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '$');
    let is_identifier = begins && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '$');
    if is_identifier && name != "__proto__" { name.to_owned() } else { quoted(name) }
}

/// As a text of JavaScript, which JSON is too.
pub fn quoted(text: &str) -> String {
    // A script element of a page, and readers older than 2019, end a line at these.
    let json = serde_json::Value::from(text).to_string();
    json.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029").replace("</", "<\\/")
}

/// The name, or the first with `$`, `$1`, `$2` and so on behind it that nobody has.
pub fn unused(name: String, taken: &mut BTreeSet<String>) -> String {
    let mut salted = name.clone();
    let mut salt = 0;
    while !taken.insert(salted.clone()) {
        salted = if salt == 0 { format!("{name}$") } else { format!("{name}${salt}") };
        salt += 1;
    }
    salted
}

fn escaped(name: &str, reserved: &[&str]) -> String {
    if reserved.contains(&name) { format!("{name}$") } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_called_as_the_runtime_calls_them() {
        let names = ["room_id", "__proto__", "constructor", "to_string", "a__b", "x_1_y", "HTTPServer", "_1st"];
        let found: Vec<String> = names.iter().map(|name| property(&camel(name))).collect();
        assert_eq!(found, ["roomId", "Proto", "constructor$", "toString$", "aB", "x1Y", "HTTPServer", "1st"]);
        assert_eq!(
            (key("1st"), key("roomId"), key("__proto__"), key("")),
            ("\"1st\"".into(), "roomId".into(), "\"__proto__\"".into(), "\"\"".into())
        );
    }

    #[test]
    fn the_prefix_of_values_is_left_out_where_all_have_it() {
        assert_eq!(shared_prefix("RoomState", ["ROOM_STATE_OPEN", "ROOM_STATE_CLOSED"]), "ROOM_STATE_".len());
        assert_eq!(shared_prefix("RoomState", ["ROOM_STATE_OPEN", "CLOSED"]), 0);
        assert_eq!(shared_prefix("Top", ["TOP_10", "TOP_20"]), 0, "no identifier begins with a digit");
        assert_eq!(shared_prefix("Top", ["TOP_"]), 0);
    }

    #[test]
    fn no_two_things_have_one_name_and_none_is_a_keyword() {
        let mut taken = BTreeSet::new();
        let names: Vec<String> = (0..4).map(|_| unused(identifier("default"), &mut taken)).collect();
        assert_eq!(names, ["default$", "default$$", "default$$1", "default$$2"]);
        assert_eq!(quoted("a\"\\\u{2028}</script>"), "\"a\\\"\\\\\\u2028<\\/script>\"");
    }
}
