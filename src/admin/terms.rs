//! What stands behind the `?` of a path.
//!
//! Promise: it is read to the last byte or refused; a name that the path does not know is a mistake, not nothing.

use std::str::FromStr;

use http::StatusCode;

use super::{Reply, error};

/// How many of a list are answered where nothing is said, and at most.
const LIMIT: usize = 100;
const LIMIT_MAX: usize = 1000;

/// The longest value.
const VALUE_BYTES_MAX: usize = 1024;

/// Names and values, each name once.
pub struct Query(Vec<(&'static str, String)>);

// === impl Query ===

impl Query {
    /// Reads a query, of which these are the names.
    pub fn read(text: Option<&str>, known: &[&'static str]) -> Result<Query, Box<Reply>> {
        let mut read = Query(Vec::new());
        for pair in text.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Some(name) = known.iter().find(|known| **known == name) else {
                return Err(wrong(&format!("behind the `?` there may be {}", known.join(", "))));
            };
            let value = unescaped(value).filter(|value| value.len() <= VALUE_BYTES_MAX && !value.chars().any(char::is_control));
            match value {
                Some(value) if read.text(name).is_none() => read.0.push((name, value)),
                Some(_) => return Err(wrong(&format!("`{name}` is said twice"))),
                None => return Err(wrong(&format!("`{name}` is not a text of at most {VALUE_BYTES_MAX} bytes"))),
            }
        }
        Ok(read)
    }

    /// What is said under this name; nothing is not said.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// A value that is more than text.
    pub fn value<T: FromStr>(&self, name: &str) -> Result<Option<T>, Box<Reply>> {
        let parsed = self.text(name).map(str::parse).transpose();
        parsed.map_err(|_| wrong(&format!("`{name}` is not a number that fits")))
    }

    /// How many of a list are wanted.
    pub fn limit(&self) -> Result<usize, Box<Reply>> {
        match self.value("limit")?.unwrap_or(LIMIT) {
            limit @ 1..=LIMIT_MAX => Ok(limit),
            _ => Err(wrong(&format!("`limit` is between 1 and {LIMIT_MAX}"))),
        }
    }
}

fn wrong(what: &str) -> Box<Reply> {
    Box::new(error(StatusCode::BAD_REQUEST, what))
}

/// A value in a query or a part of a path, its `%` escapes undone.
pub fn unescaped(text: &str) -> Option<String> {
    let (mut bytes, mut found) = (text.bytes(), Vec::with_capacity(text.len()));
    while let Some(byte) = bytes.next() {
        found.push(match byte {
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                u8::try_from(digit(bytes.next())? * 16 + digit(bytes.next())?).expect("two digits are a byte")
            }
            b'+' => b' ',
            byte => byte,
        });
    }
    String::from_utf8(found).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_to_the_last_byte_or_not_at_all() {
        assert_eq!(unescaped("service%3aci").as_deref(), Some("service:ci"));
        assert_eq!(unescaped("a+b%20c").as_deref(), Some("a b c"));
        assert_eq!(["%", "%4", "%zz", "%ff"].map(unescaped), [None, None, None, None]);

        let read = |text: &str| Query::read(Some(text), &["search", "limit"]);
        let query = read("search=a%26b&limit=7").ok().unwrap();
        assert_eq!((query.text("search"), query.limit().ok(), query.text("after")), (Some("a&b"), Some(7), None));
        let empty = read("search=").ok().unwrap();
        assert_eq!((empty.text("search"), empty.limit().ok()), (None, Some(100)));
        for wrong in ["serach=x", "search=%zz", "search=%0a", "search=a&search=b"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(["0", "1001", "-1", "x"].into_iter().all(|limit| read(&format!("limit={limit}")).ok().unwrap().limit().is_err()));
    }
}
