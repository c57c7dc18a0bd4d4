//! Where keys are found, and what is kept of them.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use http::Uri;

use super::{Problem, Text, Value};
use crate::config::grammar::{Read, Shape};
use crate::config::reader::Reader;
use crate::config::tree::Node;

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
        Shape::Text { what: "a key set", pattern: ".+", example: "`keys.json` or `https://id.example.com/keys`" }
    }
}

// === impl KeyHash ===

impl Value for KeyHash {
    const WHAT: &'static str = "the hash of an API key";
    const EXAMPLE: &'static str = "`sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855`";
    const PATTERN: &'static str = "sha256:[0-9a-f]{64}";

    fn parse(text: &str) -> Result<KeyHash, Problem> {
        const REMEDY: &str = "`protogate token api-key` makes a key and prints the line with its hash";
        let digits = text.strip_prefix("sha256:").ok_or_else(|| Problem::new("does not begin with `sha256:`").help(REMEDY))?;
        if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)) {
            return Err(Problem::new("not 64 hexadecimal digits in lower case").help(REMEDY));
        }
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.as_bytes().chunks(2)) {
            let pair = str::from_utf8(pair).expect("hexadecimal digits are ASCII");
            *byte = u8::from_str_radix(pair, 16).expect("hexadecimal digits make a number");
        }
        Ok(KeyHash(hash))
    }
}
