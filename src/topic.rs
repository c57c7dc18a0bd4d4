//! The names of topics, and the patterns that declare them.
//!
//! A name is segments with slashes between, such as `room/42`; a pattern has names in braces for segments that may be anything, such as
//! `room/{id}`. Promise: a name means the same to everybody: it is compared as it is, never decoded.

use std::fmt;

/// The longest name of a topic.
pub const NAME_BYTES_MAX: usize = 256;

/// The longest value that becomes part of a name, before it is encoded.
const VALUE_BYTES_MAX: usize = 64;

/// What names may be like.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Pattern {
    text: Box<str>,
    segments: Box<[Segment]>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Segment {
    Literal(Box<str>),
    Any,
}

/// Whether this may be the name of a topic.
pub fn is_name(text: &str) -> bool {
    text.len() <= NAME_BYTES_MAX
        && text.split('/').all(|segment| !segment.is_empty() && segment.bytes().all(|byte| is_plain(byte) || byte == b'%'))
}

/// Adds a value to a name, percent-encoded where it is not plain. False: it is empty or longer than 64 bytes.
pub fn push_value(name: &mut String, value: &str) -> bool {
    use fmt::Write as _;
    for byte in value.bytes() {
        match is_plain(byte) {
            true => name.push(char::from(byte)),
            false => write!(name, "%{byte:02X}").expect("a text takes what is written to it"),
        }
    }
    (1..=VALUE_BYTES_MAX).contains(&value.len())
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b'-')
}

// === impl Pattern ===

impl Pattern {
    /// Says why a text is no pattern.
    pub fn parse(text: &str) -> Result<Pattern, &'static str> {
        if text.is_empty() || text.len() > NAME_BYTES_MAX {
            return Err("not between 1 and 256 bytes");
        }
        let mut names = Vec::new();
        let mut segments = Vec::new();
        for segment in text.split('/') {
            match segment.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')) {
                Some(name)
                    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_') =>
                {
                    return Err("a name in braces has something else than a-z, 0-9 and `_`");
                }
                Some(name) if names.contains(&name) => return Err("two segments have the same name in braces"),
                Some(name) => {
                    names.push(name);
                    segments.push(Segment::Any);
                }
                None if segment.is_empty() => return Err("a segment is empty"),
                None if segment.contains(['{', '}']) => return Err("braces stand for a whole segment"),
                None if !segment.bytes().all(is_plain) => {
                    return Err("contains something else than letters, digits, `.`, `_`, `~` and `-`");
                }
                None => segments.push(Segment::Literal(segment.into())),
            }
        }
        Ok(Pattern { text: text.into(), segments: segments.into() })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a name is of this kind.
    pub fn matches(&self, name: &str) -> bool {
        let mut names = name.split('/');
        let fit = |segment: &Segment| names.next().is_some_and(|name| segment.takes(Some(name)));
        self.segments.iter().all(fit) && names.next().is_none()
    }

    /// Whether names are of this kind whose segments are these; `None` is one that is known only when it is made.
    pub fn takes(&self, segments: &[Option<&str>]) -> bool {
        self.segments.len() == segments.len() && self.segments.iter().zip(segments).all(|(segment, name)| segment.takes(*name))
    }

    /// Whether a name may be of both kinds.
    pub fn overlaps(&self, other: &Pattern) -> bool {
        let meet = |(one, other): (&Segment, &Segment)| *one == Segment::Any || *other == Segment::Any || one == other;
        self.segments.len() == other.segments.len() && self.segments.iter().zip(&other.segments).all(meet)
    }
}

// === impl Segment ===

impl Segment {
    fn takes(&self, name: Option<&str>) -> bool {
        match self {
            Segment::Any => true,
            Segment::Literal(literal) => name == Some(&**literal),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_pattern_takes_names_of_its_kind() {
        let room = Pattern::parse("room/{id}").unwrap();
        assert!(room.matches("room/42") && room.matches("room/%20"));
        assert!(!room.matches("room") && !room.matches("room/42/x") && !room.matches("hall/42"));
        assert!(room.takes(&[Some("room"), None]) && !room.takes(&[None, Some("42")]));
    }

    #[test]
    fn patterns_that_could_mean_the_same_name_overlap() {
        let parse = |text| Pattern::parse(text).unwrap();
        assert!(parse("room/{id}").overlaps(&parse("{kind}/lobby")));
        assert!(!parse("room/{id}").overlaps(&parse("chat/{id}")) && !parse("room/{id}").overlaps(&parse("room/{id}/state")));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for wrong in ["", "room/", "/room", "room/{id", "room/x{id}", "a b", "{id}/{id}", "{Id}", "room/%41"] {
            assert!(Pattern::parse(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_value_is_it_stays_one_segment(value in "\\PC{0,40}") {
            let mut name = "room/".to_owned();
            let fits = push_value(&mut name, &value);
            prop_assert_eq!(fits, (1..=64).contains(&value.len()));
            if fits {
                let room = Pattern::parse("room/{id}").unwrap();
                prop_assert!(is_name(&name) && room.matches(&name));
            }
        }
    }
}
