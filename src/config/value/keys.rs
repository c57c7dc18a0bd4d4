//! Where keys are found, and what is kept of them.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use http::Uri;

use super::{Problem, Text};
use crate::config::grammar::{Read, Shape};
use crate::config::reader::Reader;
use crate::config::tree::Node;
use crate::diagnostic::{Diagnostic, Rule};

/// A key set: a file, or the URL under which an issuer publishes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeySetPlace {
    File(PathBuf),
    Url {
        url: String,
        /// Whether anybody on the way could answer instead: neither `https` nor this machine.
        in_the_open: bool,
    },
}

/// The SHA-256 of an API key. It is no secret: nobody can guess what it is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyHash(pub [u8; 32]);

// === impl KeySetPlace ===

impl KeySetPlace {
    fn parse_url(text: &str) -> Result<KeySetPlace, Problem> {
        let uri: Uri = text.parse().map_err(|_| Problem::new("not a URL"))?;
        let host = uri.authority().filter(|_| !text.contains('#')).ok_or_else(|| Problem::new("not a URL"))?;
        if host.as_str().contains('@') {
            return Err(Problem::new("carries a user or password").help("leave them out; a key set is public"));
        }
        let name = host.host().trim_start_matches('[').trim_end_matches(']');
        if name.is_empty() {
            return Err(Problem::new("no host"));
        }
        let here = name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        Ok(KeySetPlace::Url { url: text.to_owned(), in_the_open: uri.scheme_str() != Some("https") && !here })
    }
}

impl Read for KeySetPlace {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<KeySetPlace> {
        let text = Text::read(node, reader)?;
        let text = text.as_str();
        if !text.contains("://") {
            return Some(KeySetPlace::File(reader.folder().join(Path::new(text))));
        }
        let known = text.starts_with("https://") || text.starts_with("http://");
        let place = if known { KeySetPlace::parse_url(text) } else { Err(Problem::new("neither `http` nor `https`")) };
        match place {
            Ok(place) => Some(place),
            Err(problem) => {
                let scalar = reader.scalar(node, "a key set")?;
                reader.push(problem.finding(node.span, &scalar.shown(), "a key set", "`keys.json` or `https://id.example.com/keys`"))
            }
        }
    }

    fn shape() -> Shape {
        let (what, example) = ("a key set", "`keys.json` or `https://id.example.com/keys`");
        Shape::Text { what, pattern: r"(?!(?!https?://).*://|https?://([^/]*@|/|$|.*#)).+", example, unquoted: &[] }
    }
}

// === impl KeyHash ===

impl KeyHash {
    const WHAT: &'static str = "the hash of an API key";
    const EXAMPLE: &'static str = "`sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855`";

    fn parse(text: &str) -> Result<KeyHash, &'static str> {
        let digits = text.strip_prefix("sha256:").ok_or("does not begin with `sha256:`")?;
        if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)) {
            return Err("not 64 hexadecimal digits in lower case");
        }
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.as_bytes().chunks(2)) {
            let pair = str::from_utf8(pair).expect("hexadecimal digits are ASCII");
            *byte = u8::from_str_radix(pair, 16).expect("hexadecimal digits make a number");
        }
        Ok(KeyHash(hash))
    }
}

impl Read for KeyHash {
    /// What is wrong here may be the key itself, so it is not quoted, and its place is masked as a secret's is.
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<KeyHash> {
        let scalar = reader.scalar(node, KeyHash::WHAT)?;
        let (why, is_key) = match KeyHash::parse(&scalar.text) {
            Ok(hash) => return Some(hash),
            Err(why) => (why, !scalar.text.starts_with("sha256:")),
        };
        if is_key {
            let finding = Diagnostic::new(Rule::SecretInFile, node.span, "this may be the key itself, and now it stands in a file");
            reader.push::<()>(finding.help("make another key with `protogate token api-key`"));
        }
        let problem = Problem::new(why).help("`protogate token api-key` makes a key and prints the line with its hash");
        reader.push(problem.finding(node.span, "this", KeyHash::WHAT, KeyHash::EXAMPLE))
    }

    fn shape() -> Shape {
        Shape::Text { what: KeyHash::WHAT, pattern: "sha256:[0-9a-f]{64}", example: KeyHash::EXAMPLE, unquoted: &[] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_sixty_four_digits_and_says_of_what_kind() {
        let hash = |digits: usize| format!("sha256:{}", "0a".repeat(digits / 2));
        assert_eq!(KeyHash::parse(&hash(64)), Ok(KeyHash([10; 32])));
        assert!(KeyHash::parse(KeyHash::EXAMPLE.trim_matches('`')).is_ok());
        for wrong in ["", &hash(62), &hash(66), &hash(64).to_uppercase(), &hash(64)[7..], "sha256:", "md5:00"] {
            assert!(KeyHash::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_this_machine_and_https_are_not_in_the_open() {
        let open = |text: &str| match KeySetPlace::parse_url(text) {
            Ok(KeySetPlace::Url { in_the_open, .. }) => Some(in_the_open),
            _ => None,
        };
        for url in ["https://a/keys", "http://localhost:8080/keys", "http://127.1.2.3/keys", "http://[::1]:8080/", "https://a"] {
            assert_eq!(open(url), Some(false), "{url}");
        }
        for url in ["http://a/keys", "http://localhost.a/keys", "http://10.0.0.1/", "http://127.0.0.1.a/"] {
            assert_eq!(open(url), Some(true), "{url}");
        }
        for url in ["https://", "https:///a", "https://u@a/", "https://a/#b", "http://a b/"] {
            assert_eq!(open(url), None, "{url}");
        }
    }
}
