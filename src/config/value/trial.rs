//! Values of tests of routes: messages as they are written, routes by number or name, addresses of clients.

use std::net::IpAddr;

use super::{Problem, ProtocolNumber, RouteName, Value};
use crate::config::grammar::{Read, Shape};
use crate::config::reader::Reader;
use crate::config::tree::{Kind, Node};
use crate::diagnostic::Span;

/// A message, or a part of one, written as YAML. What it means is for its type to say.
#[derive(Clone)]
pub struct Json(Node);

/// A route, by its number or by its name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Called {
    Number(u32),
    Name(String),
}

/// The address of a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PeerIp(pub IpAddr);

// === impl Json ===

impl Json {
    /// As JSON.
    pub fn value(&self) -> serde_json::Value {
        // Floats that JSON has not, such as `.inf`, are null in it, and so refused by whatever they are for.
        serde_json::to_value(self.0.to_value()).unwrap_or_default()
    }

    /// Where a part of it stands, by a path such as `room.members[0].id`; of what is not there, what is around it.
    pub fn place(&self, path: &str) -> Span {
        let (node, key) = self.find(path);
        match (&node.kind, key) {
            // A whole map under a caret says less than its key.
            (Kind::Map(_) | Kind::List(_), Some(key)) => key,
            _ => node.span,
        }
    }

    /// Where a key stands of what is at a path.
    pub fn place_of_key(&self, path: &str, key: &str) -> Span {
        let (node, _) = self.find(path);
        node.entries().iter().find(|entry| entry.key.text == key).map_or_else(|| self.place(path), |entry| entry.key.span)
    }

    /// What is at a path, or around it, and the last key on the way there.
    fn find(&self, path: &str) -> (&Node, Option<Span>) {
        let (mut node, mut key) = (&self.0, None);
        for step in path.split(['.', '[']).filter(|step| !step.is_empty()) {
            let next = match (&node.kind, step.strip_suffix(']').map(str::parse::<usize>)) {
                (Kind::List(items), Some(Ok(index))) => items.get(index),
                (Kind::Map(entries), _) => {
                    let entry = entries.iter().find(|entry| entry.key.text == step || camel(&entry.key.text) == step);
                    key = entry.map(|entry| entry.key.span).or(key);
                    entry.map(|entry| &entry.value)
                }
                _ => None,
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        (node, key)
    }
}

/// A field's name in JSON.
pub fn camel(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut raise = false;
    for c in name.chars() {
        match c {
            '_' => raise = true,
            c if std::mem::take(&mut raise) => out.extend(c.to_uppercase()),
            c => out.push(c),
        }
    }
    out
}

impl Read for Json {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Json> {
        match node.kind {
            Kind::Map(_) => Some(Json(node.clone())),
            _ if node.is_null() => Some(Json(node.clone())),
            _ => reader.wrong_type(node, "a message: a map of its fields", None),
        }
    }

    fn shape() -> Shape {
        Shape::Message
    }
}

// === impl Called ===

impl Value for Called {
    const WHAT: &'static str = "a route";
    const EXAMPLE: &'static str = "`2003` or `game.join_room`";
    const PATTERN: &'static str = r"[0-9]+|[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*";

    fn parse(text: &str) -> Result<Called, Problem> {
        match text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
            true => ProtocolNumber::parse(text).map(|number| Called::Number(number.0)),
            false => RouteName::parse(text).map(|name| Called::Name(name.as_str().to_owned())),
        }
    }

    fn shape() -> Shape {
        let text = Shape::Text { what: Self::WHAT, pattern: Self::PATTERN, example: Self::EXAMPLE, unquoted: &[] };
        Shape::Either(Box::new(<ProtocolNumber as Value>::shape()), Box::new(text))
    }
}

// === impl PeerIp ===

impl Value for PeerIp {
    const WHAT: &'static str = "an IP address";
    const EXAMPLE: &'static str = "`10.0.0.1` or `2001:db8::1`";
    const PATTERN: &'static str = r"[0-9A-Fa-f:.]+";

    fn parse(text: &str) -> Result<PeerIp, Problem> {
        text.parse().map(PeerIp).map_err(|_| Problem::new("no address"))
    }
}
