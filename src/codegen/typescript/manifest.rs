//! What is around the sources: what npm, the compiler and a person read.

use std::collections::BTreeMap;

use super::{MARK, Named};

/// The first version of the runtime that the sources were checked with.
const PROTOBUF: &str = "^2.6.0";

/// The first compiler that the sources were checked with.
const TYPESCRIPT: &str = ">=5.7";

/// Whether npm takes this as a name of a package.
pub fn is_package_name(name: &str) -> bool {
    let part = |part: &str| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._~".contains(c);
        part.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()) && part.chars().all(plain)
    };
    let is_named = match name.strip_prefix('@').map(|scoped| scoped.split_once('/')) {
        None => part(name) && name != "node_modules",
        Some(Some((scope, name))) => part(scope) && part(name),
        Some(None) => false,
    };
    is_named && name.len() <= 214
}

/// Whether npm takes this as a version: `1.2.3`, with or without something behind it.
pub fn is_version(version: &str) -> bool {
    let (numbers, rest) = version.split_at(version.find(['-', '+']).unwrap_or(version.len()));
    let parts: Vec<&str> = numbers.split('.').collect();
    let is_number = |part: &&str| {
        !part.is_empty() && part.len() < 16 && part.chars().all(|c| c.is_ascii_digit()) && (*part == "0" || !part.starts_with('0'))
    };
    let is_plain =
        rest.is_empty() || (rest.len() > 1 && rest.len() < 100 && rest.chars().all(|c| c.is_ascii_alphanumeric() || "-+.".contains(c)));
    parts.len() == 3 && parts.iter().all(is_number) && is_plain
}

pub fn write(named: &Named<'_>, files: &mut BTreeMap<String, String>) {
    let Named { package, version } = named;
    let manifest = include_str!("package.json.template").replace("PROTOBUF", PROTOBUF).replace("TYPESCRIPT", TYPESCRIPT);
    let manifest = manifest.replace("MARK", MARK).replace("PACKAGE", package).replace("VERSION", version);
    files.insert("package.json".to_owned(), manifest);
    files.insert("tsconfig.json".to_owned(), format!("// {MARK}\n{}", include_str!("tsconfig.json")));
    files.insert("README.md".to_owned(), format!("<!-- {MARK} -->\n{}", include_str!("README.md").replace("PACKAGE", package)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_npm_takes() {
        assert!(["game-client", "@acme/game.client", "a1~b"].into_iter().all(is_package_name));
        assert!(["0.1.0", "1.20.3-beta.1", "1.0.0+build"].into_iter().all(is_version));
        assert!(!["", "1", "1.0", "01.0.0", "1.0.0-", "1.0.0\"", "v1.0.0", "1.0.0 "].into_iter().any(is_version));
        assert!(
            !["", "Game", "../x", "@acme", "@/x", "@a/b/c", ".x", "_x", "a b", "a\"b", "node_modules"].into_iter().any(is_package_name)
        );
    }
}
