//! The values that can stand behind a key, and what is wrong with those that cannot.
//!
//! Every type is made from text in one place, says what it wants with an example, and can only hold what is valid. Names and paths are in
//! `name.rs`; here is what is measured or addressed.

use std::num::NonZeroU32;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnet::IpNet;

pub use super::name::{
    FieldPathText, LimitKey, MessageName, MetadataKey, MethodName, Name, NumberRange, PermissionName, PermissionPattern, ProtocolNumber, RouteName,
    SessionPath,
};

use super::grammar::{Read, Reader};
use super::shape::Shape;
use super::tree::{Kind, Node};
use crate::diagnostic::{Diagnostic, Rule};

/// What is wrong with a text, and what would be right.
pub struct Problem {
    pub rule: Rule,
    pub what: String,
    pub help: String,
}

/// A value that is written as one text.
pub trait FromText: Sized {
    /// What belongs here, such as `a duration`.
    const WANTED: &'static str;
    /// A good value.
    const EXAMPLE: &'static str;
    /// What a schema demands of the text.
    const PATTERN: Option<&'static str> = None;

    fn from_text(text: &str) -> Result<Self, Problem>;
}

/// A length of time, above zero and at most ten years.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Duration(std::time::Duration);

/// A number of bytes, above zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ByteSize(usize);

/// So many in a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    count: NonZeroU32,
    per: std::time::Duration,
}

/// An IP address and a port to listen on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Address(SocketAddr);

/// The path of a URL.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UrlPath(String);

/// Where a gRPC service listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EndpointUrl {
    host: String,
    port: u16,
    tls: bool,
}

/// A network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cidr(IpNet);

/// Scheme, host and port of a web page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin(String);

/// How many workers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Workers {
    Auto,
    Count(usize),
}

/// Any text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Text(String);

/// A text that nobody may see.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    text: String,
    in_file: bool,
}

/// A file or folder, with the folder it is relative to already before it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FilePath(PathBuf);

/// A variable's default: any single value, with whether it was quoted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VarValue {
    pub text: String,
    pub plain: bool,
}

/// Reads what is made from one text.
macro_rules! from_text {
    ($($type:ty),+ $(,)?) => {$(
        impl $crate::config::grammar::Read for $type {
            fn read(node: &$crate::config::tree::Node, reader: &mut $crate::config::grammar::Reader<'_>) -> Option<Self> {
                $crate::config::value::read_text(node, reader)
            }

            fn shape() -> $crate::config::shape::Shape {
                use $crate::config::value::FromText;
                $crate::config::shape::Shape::Text { pattern: <$type>::PATTERN, example: <$type>::EXAMPLE }
            }
        }
    )+};
}
pub(super) use from_text;

from_text!(Duration, ByteSize, Rate, Address, UrlPath, EndpointUrl, Cidr, Origin, Text);

/// One text by its type; a broken one is reported with what would be right.
pub(super) fn read_text<T: FromText>(node: &Node, reader: &mut Reader<'_>) -> Option<T> {
    let scalar = reader.scalar(node, T::WANTED)?;
    match T::from_text(&scalar.text) {
        Ok(value) => Some(value),
        Err(problem) => {
            let what = if scalar.secret { format!("this is not {}", T::WANTED) } else { problem.what };
            reader.push(Diagnostic::new(problem.rule, node.span, what).help(problem.help));
            None
        }
    }
}

/// The ordinary problem: not what is wanted.
pub(super) fn not<T: FromText>(text: &str) -> Problem {
    Problem { rule: Rule::BadValue, what: format!("`{text}` is not {}", T::WANTED), help: format!("write something like `{}`", T::EXAMPLE) }
}

// === impl Duration ===

impl FromText for Duration {
    const WANTED: &'static str = "a duration";
    const EXAMPLE: &'static str = "500ms`, `3s`, `10m`, `24h` or `30d";
    const PATTERN: Option<&'static str> = Some("^[0-9]+(ms|s|m|h|d)$");

    fn from_text(text: &str) -> Result<Self, Problem> {
        const TEN_YEARS_MS: u64 = 10 * 366 * 24 * 3600 * 1000;
        let (number, unit) = split_unit(text).ok_or_else(|| not::<Self>(text))?;
        let unit_ms = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(not::<Self>(text)),
        };
        match number.checked_mul(unit_ms) {
            Some(milliseconds @ 1..=TEN_YEARS_MS) => Ok(Duration(std::time::Duration::from_millis(milliseconds))),
            _ => Err(Problem { what: format!("`{text}` is no useful duration"), ..not::<Self>(text) }),
        }
    }
}

impl Duration {
    pub fn get(&self) -> std::time::Duration {
        self.0
    }
}

// === impl ByteSize ===

impl FromText for ByteSize {
    const WANTED: &'static str = "a size in bytes";
    const EXAMPLE: &'static str = "512B`, `64KiB` or `1MiB";
    const PATTERN: Option<&'static str> = Some("^[0-9]+(B|KiB|MiB|GiB)$");

    fn from_text(text: &str) -> Result<Self, Problem> {
        const BYTES_MAX: u64 = 1 << 40;
        let (number, unit) = split_unit(text).ok_or_else(|| not::<Self>(text))?;
        let shift = match unit {
            "B" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            _ => return Err(not::<Self>(text)),
        };
        match number.checked_mul(1 << shift) {
            Some(bytes @ 1..=BYTES_MAX) => Ok(ByteSize(usize::try_from(bytes).map_err(|_| not::<Self>(text))?)),
            _ => Err(Problem { what: format!("`{text}` is no useful size"), ..not::<Self>(text) }),
        }
    }
}

impl ByteSize {
    pub fn get(&self) -> usize {
        self.0
    }
}

/// `64KiB` to 64 and `KiB`.
fn split_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    Some((text[..digits].parse().ok()?, &text[digits..]))
}

// === impl Rate ===

impl FromText for Rate {
    const WANTED: &'static str = "a rate";
    const EXAMPLE: &'static str = "20/s`, `5/min` or `1000/h";
    const PATTERN: Option<&'static str> = Some("^[0-9]+/(s|min|h)$");

    fn from_text(text: &str) -> Result<Self, Problem> {
        let (count, unit) = text.split_once('/').ok_or_else(|| not::<Self>(text))?;
        let seconds = match unit {
            "s" => 1,
            "min" => 60,
            "h" => 3600,
            _ => return Err(not::<Self>(text)),
        };
        // A nanosecond is the shortest time there is, so no bucket can refill faster than one in each.
        match count.parse::<NonZeroU32>() {
            Ok(count) if count.get() <= 1_000_000_000 => Ok(Rate { count, per: std::time::Duration::from_secs(seconds) }),
            _ => Err(not::<Self>(text)),
        }
    }
}

impl Rate {
    pub fn count(&self) -> NonZeroU32 {
        self.count
    }

    pub fn per(&self) -> std::time::Duration {
        self.per
    }

    /// Rounded down.
    pub fn per_second(&self) -> u32 {
        self.count.get() / u32::try_from(self.per.as_secs()).expect("an hour is 3600 seconds")
    }
}

// === impl Address ===

impl FromText for Address {
    const WANTED: &'static str = "an address to listen on";
    const EXAMPLE: &'static str = "127.0.0.1:7080`, `0.0.0.0:7080` or `[::1]:7080";

    fn from_text(text: &str) -> Result<Self, Problem> {
        if let Some(port) = text.strip_prefix("localhost:").and_then(|port| port.parse().ok()) {
            return Ok(Address(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)));
        }
        text.parse().map(Address).map_err(|_| not::<Self>(text))
    }
}

impl Address {
    pub fn get(&self) -> SocketAddr {
        self.0
    }
}

// === impl UrlPath ===

impl FromText for UrlPath {
    const WANTED: &'static str = "a path";
    const EXAMPLE: &'static str = "/ws";
    const PATTERN: Option<&'static str> = Some("^/[A-Za-z0-9._~/-]*$");

    fn from_text(text: &str) -> Result<Self, Problem> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._~/-".contains(&byte);
        if text == "/" {
            return Err(Problem { what: "`/` tells browsers what this is, so it cannot be the WebSocket's path".to_owned(), ..not::<Self>(text) });
        }
        match text.starts_with('/') && text.bytes().all(allowed) && text.len() <= 256 {
            true => Ok(UrlPath(text.to_owned())),
            false => Err(not::<Self>(text)),
        }
    }
}

impl UrlPath {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// === impl EndpointUrl ===

impl FromText for EndpointUrl {
    const WANTED: &'static str = "the address of a gRPC service";
    const EXAMPLE: &'static str = "http://127.0.0.1:50051` or `https://game.example.com:443";
    const PATTERN: Option<&'static str> = Some("^https?://[^/@?#]+:[0-9]+$");

    fn from_text(text: &str) -> Result<Self, Problem> {
        let problem = || not::<Self>(text);
        let uri: http::Uri = text.parse().map_err(|_| problem())?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(problem()),
        };
        let authority = uri.authority().ok_or_else(problem)?;
        let bare = uri.path() == "/" && !text.ends_with('/') && uri.query().is_none() && !authority.as_str().contains('@');
        match authority.port_u16() {
            Some(port @ 1..) if bare && !authority.host().is_empty() => Ok(EndpointUrl { host: authority.host().to_owned(), port, tls }),
            Some(_) => Err(Problem { what: format!("`{text}` holds more than scheme, host and port"), ..problem() }),
            None => Err(Problem { what: format!("`{text}` has no port"), ..problem() }),
        }
    }
}

impl EndpointUrl {
    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn is_tls(&self) -> bool {
        self.tls
    }
}

// === impl Cidr ===

impl FromText for Cidr {
    const WANTED: &'static str = "a network";
    const EXAMPLE: &'static str = "10.0.0.0/8`, `192.168.1.7/32` or `fd00::/8";

    fn from_text(text: &str) -> Result<Self, Problem> {
        match (text.parse::<IpNet>(), text.parse::<IpAddr>()) {
            (Ok(network), _) => Ok(Cidr(network.trunc())),
            (_, Ok(address)) => Ok(Cidr(address.into())),
            _ => Err(not::<Self>(text)),
        }
    }
}

impl Cidr {
    pub fn get(&self) -> IpNet {
        self.0
    }
}

// === impl Origin ===

impl FromText for Origin {
    const WANTED: &'static str = "a web origin";
    const EXAMPLE: &'static str = "https://play.example.com` or `http://localhost:3000";
    const PATTERN: Option<&'static str> = Some("^https?://[^/@?#]+$");

    fn from_text(text: &str) -> Result<Self, Problem> {
        let uri: http::Uri = text.parse().map_err(|_| not::<Self>(text))?;
        let web = matches!(uri.scheme_str(), Some("http" | "https"));
        let bare = uri.authority().is_some_and(|authority| text.ends_with(authority.as_str()) && !authority.as_str().contains('@'));
        // Browsers send it in lower case and compare it byte by byte.
        if web && bare { Ok(Origin(text.to_ascii_lowercase())) } else { Err(not::<Self>(text)) }
    }
}

impl Origin {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// === impl Text ===

impl FromText for Text {
    const WANTED: &'static str = "a text";
    const EXAMPLE: &'static str = "a text";

    fn from_text(text: &str) -> Result<Self, Problem> {
        match text.is_empty() || text.chars().any(char::is_control) {
            true => Err(Problem { what: "an empty text, or one with control characters, means nothing here".to_owned(), ..not::<Self>("") }),
            false => Ok(Text(text.to_owned())),
        }
    }
}

impl Text {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// === impl Read ===

impl Read for u32 {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let scalar = reader.scalar(node, "a whole number")?;
        // What counts as a number is serde_yaml's answer, so that a file means the same to every reader of YAML.
        let number = scalar.plain.then(|| serde_yaml::from_str::<u32>(&scalar.text).ok()).flatten();
        if number.is_none() {
            let what = if scalar.secret { "this is not a whole number".to_owned() } else { format!("`{}` is not a whole number from 0 to {}", scalar.text, u32::MAX) };
            reader.push(Diagnostic::new(Rule::WrongType, node.span, what).help("write digits without quotes, such as `20`"));
        }
        number
    }

    fn shape() -> Shape {
        Shape::Integer { min: 0, max: u32::MAX.into() }
    }
}

impl Read for bool {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let scalar = reader.scalar(node, "`true` or `false`")?;
        match scalar.text.as_str() {
            "true" if scalar.plain => Some(true),
            "false" if scalar.plain => Some(false),
            // The tree has said what to write instead of these.
            "yes" | "no" | "on" | "off" if scalar.plain => None,
            text => {
                let what = format!("`{text}` is neither `true` nor `false`");
                reader.push(Diagnostic::new(Rule::WrongType, node.span, what).help("write `true` or `false`, without quotes"));
                None
            }
        }
    }

    fn shape() -> Shape {
        Shape::Bool
    }
}

impl Read for Workers {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let scalar = reader.scalar(node, "`auto` or a number")?;
        match (scalar.text.as_str(), scalar.text.parse()) {
            ("auto", _) => Some(Workers::Auto),
            (_, Ok(count @ 1..=256)) => Some(Workers::Count(count)),
            (text, _) => {
                let what = format!("`{text}` is not a number of workers");
                reader.push(Diagnostic::new(Rule::BadValue, node.span, what).help("write `auto`, or a number from 1 to 256"));
                None
            }
        }
    }

    fn shape() -> Shape {
        Shape::Scalar
    }
}

impl Read for Secret {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let scalar = reader.scalar(node, "a secret, such as `${var.name}`")?;
        if !scalar.variable {
            let help = "declare a variable with `secret: true` under `vars`, and write `\"${var.name}\"` here";
            reader.push(Diagnostic::new(Rule::SecretInFile, node.span, "a secret stands in the file itself").help(help));
        }
        Some(Secret { text: scalar.text.clone(), in_file: !scalar.variable })
    }

    fn shape() -> Shape {
        Shape::Text { pattern: None, example: "${var.name}" }
    }
}

impl Secret {
    /// The text itself. Whoever asks must not show it.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// It was written in the file, where a version control system remembers it.
    pub fn is_in_file(&self) -> bool {
        self.in_file
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Read for FilePath {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let scalar = reader.scalar(node, "a path")?;
        if scalar.text.is_empty() {
            reader.push(Diagnostic::new(Rule::BadValue, node.span, "an empty path").help("write a path relative to this file, such as `../proto`"));
            return None;
        }
        Some(FilePath(reader.sources.folder(node.span.file).join(&scalar.text)))
    }

    fn shape() -> Shape {
        Shape::Text { pattern: None, example: "../proto" }
    }
}

impl FilePath {
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Read for VarValue {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.kind {
            Kind::Scalar(scalar) => Some(VarValue { text: scalar.text.clone(), plain: scalar.plain }),
            _ => {
                reader.wrong_type(node, "a single value");
                None
            }
        }
    }

    fn shape() -> Shape {
        Shape::Scalar
    }
}
