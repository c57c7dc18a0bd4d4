//! The values that name something: routes, roles, permissions, fields, numbers.

use super::grammar::{Read, Reader};
use super::shape::Shape;
use super::tree::Node;
use super::value::{FromText, Problem, from_text, not};
use crate::diagnostic::{Diagnostic, Rule};

/// The first number a route may have; those below are the gateway's own.
const APPLICATION_MIN: u32 = 1000;

macro_rules! names {
    ($($(#[doc = $doc:literal])+ $name:ident: $wanted:literal, $example:literal, $pattern:literal, $valid:expr;)+) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub struct $name(String);

        impl FromText for $name {
            const WANTED: &'static str = $wanted;
            const EXAMPLE: &'static str = $example;
            const PATTERN: Option<&'static str> = Some($pattern);

            fn from_text(text: &str) -> Result<Self, Problem> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) && text.len() <= 256 { Ok($name(text.to_owned())) } else { Err(not::<Self>(text)) }
            }
        }

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        from_text!($name);
    )+};
}

names! {
    /// The name of a backend, role, limit or variable.
    Name: "a name", "game_host", "^[a-z][a-z0-9_-]*$", is_word;
    /// The name of a route: words joined by dots.
    RouteName: "a route's name", "game.join_room", "^[a-z][a-z0-9_-]*([.][a-z0-9_-]+)*$", |text| dotted(text, is_segment) && text.starts_with(|c: char| c.is_ascii_lowercase());
    /// A permission: words joined by dots.
    PermissionName: "a permission", "game.play", "^[a-z0-9_-]+([.][a-z0-9_-]+)*$", |text| dotted(text, is_segment);
    /// Permissions: words joined by dots, where `*` stands for one and a last `**` for the rest.
    PermissionPattern: "a permission or a pattern of them", "game.*` or `chat.**", "^([a-z0-9_-]+|[*])([.]([a-z0-9_-]+|[*]))*([.][*][*])?$|^[*][*]$", is_pattern;
    /// A method, `package.Service/Method`.
    MethodName: "a method", "game.v1.GameService/JoinRoom", "^[A-Za-z_][A-Za-z0-9_.]*/[A-Za-z_][A-Za-z0-9_]*$", is_method;
    /// The full name of a message type.
    MessageName: "a message type", "game.v1.JoinRoomRequest", "^[A-Za-z_][A-Za-z0-9_]*([.][A-Za-z_][A-Za-z0-9_]*)*$", |text| dotted(text, is_identifier);
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase()) && is_segment(text)
}

fn is_segment(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-')
}

fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn dotted(text: &str, segment: fn(&str) -> bool) -> bool {
    text.split('.').all(segment)
}

fn is_pattern(text: &str) -> bool {
    let without_rest = text.strip_suffix(".**").unwrap_or(text);
    text == "**" || without_rest.split('.').all(|segment| segment == "*" || is_segment(segment))
}

fn is_method(text: &str) -> bool {
    text.split_once('/').is_some_and(|(service, method)| dotted(service, is_identifier) && is_identifier(method))
}

/// A protocol number of the application's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProtocolNumber(u32);

/// Numbers from the first to the last, both included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NumberRange {
    first: u32,
    last: u32,
}

/// A field of the request: `request.` and the names of fields on the way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldPathText(String);

/// What the gateway knows of a caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SessionPath {
    User,
    TokenId,
    PeerIp,
}

/// What a limit counts by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LimitKey {
    Global,
    Route,
    Caller,
    User,
    Session,
    PeerIp,
    Connection,
    /// A field of the request, without `request.`.
    Request(String),
}

/// A metadata key that a client may send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MetadataKey(String);

from_text!(NumberRange, FieldPathText, LimitKey, MetadataKey, SessionPath);

// === impl ProtocolNumber ===

impl Read for ProtocolNumber {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let scalar = reader.scalar(node, "a protocol number")?;
        let plain_decimal = scalar.text.bytes().all(|byte| byte.is_ascii_digit()) && !scalar.text.starts_with('0');
        match scalar.text.parse::<u32>() {
            Ok(number) if plain_decimal && number >= APPLICATION_MIN => Some(ProtocolNumber(number)),
            Ok(number) if plain_decimal || number == 0 => {
                let what = format!("the protocol number {number} is the gateway's own");
                reader.push(Diagnostic::new(Rule::NumberRange, node.span, what).help("numbers below 1000 are taken; choose 1000 or more"));
                None
            }
            _ => {
                let what = format!("`{}` is not a protocol number", scalar.text);
                reader.push(Diagnostic::new(Rule::BadValue, node.span, what).help("write plain decimal digits, from 1000 to 4294967295"));
                None
            }
        }
    }

    fn shape() -> Shape {
        Shape::Text { pattern: Some("^[1-9][0-9]{3,9}$"), example: "2003" }
    }
}

impl ProtocolNumber {
    pub fn get(self) -> u32 {
        self.0
    }
}

// === impl NumberRange ===

impl FromText for NumberRange {
    const WANTED: &'static str = "a range of protocol numbers";
    const EXAMPLE: &'static str = "2000..2999";
    const PATTERN: Option<&'static str> = Some("^[1-9][0-9]*[.][.][1-9][0-9]*$");

    fn from_text(text: &str) -> Result<Self, Problem> {
        let (first, last) = text.split_once("..").ok_or_else(|| not::<Self>(text))?;
        match (first.parse(), last.parse()) {
            (Ok(first), Ok(last)) if first <= last && first >= APPLICATION_MIN => Ok(NumberRange { first, last }),
            (Ok(first), Ok(_)) if first < APPLICATION_MIN => {
                Err(Problem { rule: Rule::NumberRange, what: "numbers below 1000 are the gateway's own".to_owned(), ..not::<Self>(text) })
            }
            _ => Err(not::<Self>(text)),
        }
    }
}

impl NumberRange {
    pub fn contains(self, number: u32) -> bool {
        (self.first..=self.last).contains(&number)
    }
}

// === impl FieldPathText ===

impl FromText for FieldPathText {
    const WANTED: &'static str = "a field of the request";
    const EXAMPLE: &'static str = "request.user_id` or `request.room.id";
    const PATTERN: Option<&'static str> = Some("^request([.][A-Za-z_][A-Za-z0-9_]*)+$");

    fn from_text(text: &str) -> Result<Self, Problem> {
        match text.strip_prefix("request.") {
            Some(path) if dotted(path, is_identifier) => Ok(FieldPathText(path.to_owned())),
            _ => Err(not::<Self>(text)),
        }
    }
}

impl FieldPathText {
    /// The path within the message, without `request.`.
    pub fn path(&self) -> &str {
        &self.0
    }
}

// === impl SessionPath ===

impl FromText for SessionPath {
    const WANTED: &'static str = "something the gateway knows of a caller";
    const EXAMPLE: &'static str = "session.user`, `session.token_id` or `peer.ip";
    const PATTERN: Option<&'static str> = Some("^(session[.](user|token_id)|peer[.]ip)$");

    fn from_text(text: &str) -> Result<Self, Problem> {
        match text {
            "session.user" => Ok(SessionPath::User),
            "session.token_id" => Ok(SessionPath::TokenId),
            "peer.ip" => Ok(SessionPath::PeerIp),
            _ => Err(Problem { rule: Rule::Stamp, ..not::<Self>(text) }),
        }
    }
}

// === impl LimitKey ===

impl FromText for LimitKey {
    const WANTED: &'static str = "something a limit can count by";
    const EXAMPLE: &'static str = "global`, `route`, `caller`, `user`, `session`, `peer.ip`, `connection` or `request.username";
    const PATTERN: Option<&'static str> = Some("^(global|route|caller|user|session|peer[.]ip|connection|request([.][A-Za-z_][A-Za-z0-9_]*)+)$");

    fn from_text(text: &str) -> Result<Self, Problem> {
        match text {
            "global" => Ok(LimitKey::Global),
            "route" => Ok(LimitKey::Route),
            "caller" => Ok(LimitKey::Caller),
            "user" => Ok(LimitKey::User),
            "session" => Ok(LimitKey::Session),
            "peer.ip" => Ok(LimitKey::PeerIp),
            "connection" => Ok(LimitKey::Connection),
            _ => match FieldPathText::from_text(text) {
                Ok(field) => Ok(LimitKey::Request(field.0)),
                Err(_) => Err(Problem { rule: Rule::LimitKey, ..not::<Self>(text) }),
            },
        }
    }
}

// === impl MetadataKey ===

impl FromText for MetadataKey {
    const WANTED: &'static str = "a metadata key that clients may send";
    const EXAMPLE: &'static str = "x-device";
    const PATTERN: Option<&'static str> = Some("^[a-z][a-z0-9-]*$");

    fn from_text(text: &str) -> Result<Self, Problem> {
        const RESERVED: [&str; 10] = ["authorization", "te", "host", "content-type", "content-length", "user-agent", "connection", "cookie", "traceparent", "tracestate"];
        let reserved = RESERVED.contains(&text) || text.starts_with("grpc-") || text.starts_with("protogate-") || text.starts_with("x-forwarded-");
        if reserved {
            let help = "it is written by the gateway or by gRPC itself; choose a key of your own".to_owned();
            return Err(Problem { rule: Rule::ReservedMetadata, what: format!("a client must not set `{text}`"), help });
        }
        let shaped = text.starts_with(|c: char| c.is_ascii_lowercase()) && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        match shaped && !text.ends_with("-bin") && text.len() <= 64 {
            true => Ok(MetadataKey(text.to_owned())),
            false => Err(Problem { rule: Rule::ReservedMetadata, ..not::<Self>(text) }),
        }
    }
}

impl MetadataKey {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
