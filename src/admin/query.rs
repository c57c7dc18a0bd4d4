//! What a URL says behind its `?`, and lists that are asked for page by page.
//!
//! Promises: a query is read to the last byte or refused; what an endpoint does not know, or is said twice, is refused; a page has at most
//! [`LIMIT_MAX`] items.

use std::fmt::Display;
use std::str::FromStr;

use http::StatusCode;

use super::{Reply, error};

const LIMIT: usize = 100;
const LIMIT_MAX: usize = 1000;

/// The longest value.
const VALUE_BYTES_MAX: usize = 1024;

/// What was said, by name.
#[derive(Default)]
pub struct Query(Vec<(String, String)>);

/// Which part of a list is asked for.
pub struct Page<C> {
    /// The last item of the page before.
    pub after: Option<C>,
    limit: usize,
}

// === impl Query ===

impl Query {
    /// Reads what stands behind the `?`, of which only `known` names may be said.
    pub fn read(query: Option<&str>, known: &[String]) -> Result<Query, Box<Reply>> {
        let mut said: Vec<(String, String)> = Vec::new();
        for part in query.unwrap_or_default().split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let (Some(name), Some(value)) = (unescaped(name), unescaped(value)) else {
                return Err(wrong("the query is not text: write `%` and two digits for what a URL cannot hold"));
            };
            if !known.contains(&name) {
                let known: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
                let there = if known.is_empty() { "nothing".to_owned() } else { known.join(", ") };
                return Err(wrong(&format!("the query may say {there}")));
            }
            if value.len() > VALUE_BYTES_MAX || value.chars().any(char::is_control) {
                return Err(wrong(&format!("a value in the query has at most {VALUE_BYTES_MAX} bytes and no control characters")));
            }
            if said.iter().any(|(before, _)| *before == name) {
                return Err(wrong(&format!("the query says `{name}` twice")));
            }
            said.push((name, value));
        }
        Ok(Query(said))
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(said, _)| said == name).map(|(_, value)| value.as_str())
    }

    /// A value that is more than text.
    pub fn value<T: FromStr>(&self, name: &str) -> Result<Option<T>, Box<Reply>> {
        let Some(text) = self.text(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| wrong(&format!("the query says for `{name}` what there is not")))
    }

    /// `after` and `limit`.
    pub fn page<C: FromStr>(&self) -> Result<Page<C>, Box<Reply>> {
        Ok(Page { after: self.value("after")?, limit: self.limit()? })
    }

    /// How many of a list are wanted.
    pub fn limit(&self) -> Result<usize, Box<Reply>> {
        match self.value("limit")?.unwrap_or(LIMIT) {
            limit @ 1..=LIMIT_MAX => Ok(limit),
            _ => Err(wrong(&format!("`limit` is from 1 to {LIMIT_MAX}"))),
        }
    }
}

// === impl Page ===

impl<C: Display> Page<C> {
    /// As many of the items behind `after` as were asked for, and what to say as `after` for the next, if there are more. The items are
    /// those behind `after` already, in the order of their cursors.
    pub fn of<T>(&self, items: impl Iterator<Item = T>, cursor: impl Fn(&T) -> C) -> (Vec<T>, Option<String>) {
        let mut page: Vec<T> = items.take(self.limit + 1).collect();
        let more = page.len() > self.limit;
        page.truncate(self.limit);
        let next = page.last().filter(|_| more).map(|last| cursor(last).to_string());
        (page, next)
    }
}

fn wrong(what: &str) -> Box<Reply> {
    Box::new(error(StatusCode::BAD_REQUEST, what))
}

/// A value in a URL, its `%` escapes undone.
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

    fn read(query: &str) -> Option<Query> {
        Query::read(Some(query), &["search", "after", "limit"].map(str::to_owned)).ok()
    }

    #[test]
    fn a_query_is_read_to_the_last_byte_or_not_at_all() {
        assert_eq!(unescaped("service%3aci").as_deref(), Some("service:ci"));
        assert_eq!(unescaped("a+b%20c").as_deref(), Some("a b c"));
        assert_eq!(["%", "%4", "%zz", "%ff"].map(unescaped), [None, None, None, None]);
        assert_eq!(read("search=a%26b&limit=3").and_then(|query| query.text("search").map(str::to_owned)).as_deref(), Some("a&b"));
        for wrong in ["search=a&search=b", "serch=a", "search=%zz", "search=%00", "%ff=1", "=1"] {
            assert!(read(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_list_is_walked_through_page_by_page() {
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let page = read(&format!("limit=3{after}")).and_then(|query| query.page::<u32>().ok()).expect("it is sound");
            let behind = (1..=7u32).filter(|item| page.after.is_none_or(|after| *item > after));
            let (items, next) = page.of(behind, |item| *item);
            seen.push(items);
            match next {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        assert_eq!(seen, [vec![1, 2, 3], vec![4, 5, 6], vec![7]]);
        for wrong in ["limit=0", "limit=1001", "limit=x", "after=x", "limit="] {
            assert!(read(wrong).is_some_and(|query| query.page::<u32>().is_err()), "{wrong}");
        }
    }
}
