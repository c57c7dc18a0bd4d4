//! Single values: text with a meaning, parsed once and carried as its own type.
//!
//! A type here parses text and says why it cannot; place, path, the text itself and the remedy are added in one spot, below.
//! A reason therefore never quotes the text, so that a secret cannot slip into it.
//!
//! - `names`: names, permissions, methods, field paths, limit keys, metadata keys
//! - `quantity`: numbers with and without units
//! - `percent`: parts of many
//! - `net`: addresses, networks, origins
//! - `keys`: where keys are found, and what is kept of them
//! - `topics`: what declares topics, names them, and is published to them
//! - `failing`: codes, shares, and whether a call may be repeated
//! - `trial`: what tests of routes are written in
//! - `lints`: which warnings are not given, and why
//! - `written`: text, files, secrets, and defaults of variables

mod failing;
mod keys;
mod lints;
mod names;
mod net;
mod percent;
mod quantity;
mod topics;
mod trial;
mod written;

pub use failing::{FailureCode, Idempotent, Share};
pub use keys::{KeyHash, KeySetPlace};
pub use lints::{LintCode, Reason};
pub use names::{
    ClaimPath, EnvName, FieldPathText, HashKey, HeaderKey, LimitKey, MessageName, MessagePath, MetadataKey, MethodName, Name,
    PermissionName, PermissionPattern, RedactPath, ResponsePath, RouteName, ServiceName, TypePattern,
};
pub use net::{Address, Cidr, EndpointUrl, HostName, Origin, SocketUrl, UrlPath};
pub use percent::Percent;
pub use quantity::{ByteSize, Duration, NumberRange, ProtocolNumber, Rate, Version, Workers};
pub use topics::{CallMessage, Join, Part, TopicPattern, TopicTemplate};
pub use trial::{Called, Json, PeerIp, camel};
pub use written::{FilePath, Line, Secret, Text, VarValue};

use super::grammar::{Read, Shape, Unquoted, is_free};
use super::reader::Reader;
use super::tree::{Node, Origin as Written, Scalar, Style};
use crate::diagnostic::{Diagnostic, Rule, Span};

/// Text with a meaning.
pub trait Value: Sized + Clone {
    /// What it is, with its article: `a duration`.
    const WHAT: &'static str;

    /// One or two that are right, in backquotes.
    const EXAMPLE: &'static str;

    /// What its text looks like, as a regular expression for schemas, of the kind that editors have (ECMA's, with look-ahead). It may allow
    /// more than `parse`, never less.
    const PATTERN: &'static str;

    fn parse(text: &str) -> Result<Self, Problem>;

    /// What schemas say; only what YAML reads as a number says something else.
    fn shape() -> Shape {
        Shape::Text { what: Self::WHAT, pattern: Self::PATTERN, example: Self::EXAMPLE, unquoted: unquoted::<Self>() }
    }
}

/// What texts of this kind are to a reader of YAML that knows no grammar: `7` is a number to it, whatever it is to us. Text that may be
/// anything stands in quotes where it looks like something else.
fn unquoted<T: Value>() -> &'static [Unquoted] {
    let takes = |text: &str| !is_free(T::PATTERN) && T::parse(text).is_ok();
    match (takes("1.5"), takes("7")) {
        (true, _) => &[Unquoted::Number],
        (false, true) => &[Unquoted::Integer],
        (false, false) => &[],
    }
}

/// Why a text does not mean anything.
#[derive(Debug)]
pub struct Problem {
    pub rule: Rule,
    /// Beside the caret; does not quote the text.
    pub why: String,
    /// What to do, where that is more than to follow the example.
    pub help: Option<String>,
}

// === impl Problem ===

impl Problem {
    pub fn new(why: impl Into<String>) -> Problem {
        Problem { rule: Rule::BadValue, why: why.into(), help: None }
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Problem {
        self.help = Some(help.into());
        self
    }

    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Problem {
        self.rule = rule;
        self
    }

    /// The finding about a text, as it may be shown, that should be `what`.
    pub fn finding(self, span: Span, shown: &str, what: &str, example: &str) -> Diagnostic {
        let help = self.help.unwrap_or_else(|| format!("write {what} such as {example}"));
        Diagnostic::new(self.rule, span, format!("{shown} is not {what}")).label(self.why).help(help)
    }
}

// === impl Read ===

impl<T: Value> Read for T {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<T> {
        let scalar = reader.scalar(node, T::WHAT)?;
        if scalar.origin == Written::Secret {
            // What is read here may be shown: in a later finding, in a log, to the operator.
            let what = format!("a secret variable stands where {} is read", T::WHAT);
            let help = "use it in a key that takes a secret, or declare the variable without `secret: true`; a key that takes a file takes its name, not what is in it";
            return reader.push(Diagnostic::new(Rule::BadValue, node.span, what).label("what is written here may be shown").help(help));
        }
        if let Some(help) = misquoted(scalar, &<T as Value>::shape()) {
            return reader.wrong_type(node, T::WHAT, Some(help));
        }
        match T::parse(&scalar.text) {
            Ok(value) => Some(value),
            Err(problem) => reader.push(problem.finding(node.span, &scalar.shown(), T::WHAT, T::EXAMPLE)),
        }
    }

    fn shape() -> Shape {
        <T as Value>::shape()
    }
}

/// What to do about quotes that make text of a number or of `true`, or that are missing where text is meant: what a value is to other
/// readers of YAML, an editor among them, is decided by its quotes. Variables have types instead.
fn misquoted(scalar: &Scalar, shape: &Shape) -> Option<String> {
    if scalar.origin != Written::File {
        return None;
    }
    let (takes_text, takes_others) = takes(shape);
    let plain = Scalar { style: Style::Plain, ..scalar.clone() }.to_value();
    match scalar.style {
        Style::Plain if takes_text && !takes_others && plain.is_bool() => {
            Some(format!("write `\"{0}\"` if the text {0} is meant", scalar.text))
        }
        // Most texts cannot be numbers, and say so better.
        Style::Plain if plain.is_number() && matches!(shape, Shape::Text { pattern, .. } if is_free(pattern)) => {
            Some(format!("write `\"{}\"`", scalar.text))
        }
        Style::Quoted if takes_others && (plain.is_number() || plain.is_bool()) => Some(format!("write `{}` without quotes", scalar.text)),
        _ => None,
    }
}

/// Whether there may be text, and whether there may be numbers or truths.
fn takes(shape: &Shape) -> (bool, bool) {
    match shape {
        Shape::Text { .. } | Shape::Choice { .. } => (true, false),
        Shape::Integer { .. } | Shape::Bool => (false, true),
        Shape::Either(one, other) => {
            let ((text, others), (more_text, more_others)) = (takes(one), takes(other));
            (text || more_text, others || more_others)
        }
        _ => (true, true),
    }
}

impl Read for u32 {
    /// Digits and nothing else, as everywhere here: YAML knows more ways to write a number, and readers of it disagree about them.
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<u32> {
        let scalar = reader.scalar(node, "a whole number")?;
        let digits = scalar.text.trim_start_matches(['-', '+']);
        if scalar.style == Style::Quoted || !digits.starts_with(|first: char| first.is_ascii_digit()) {
            return reader.wrong_type(node, "a whole number", Some("write digits without quotes, such as `40`".to_owned()));
        }
        let plain = scalar.text == "0" || !scalar.text.starts_with('0') && scalar.text.bytes().all(|byte| byte.is_ascii_digit());
        scalar.text.parse().ok().filter(|_| plain).or_else(|| {
            let finding =
                Diagnostic::new(Rule::BadValue, node.span, format!("{} is not a whole number from 0 to {}", scalar.shown(), u32::MAX));
            reader.push(finding.help("write digits and nothing else, such as `40`"))
        })
    }

    fn shape() -> Shape {
        Shape::Integer { min: 0, max: u32::MAX }
    }
}

impl Read for bool {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<bool> {
        let scalar = reader.scalar(node, "true or false")?;
        scalar.to_value().as_bool().or_else(|| reader.wrong_type(node, "true or false", Some("write `true` or `false`".to_owned())))
    }

    fn shape() -> Shape {
        Shape::Bool
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Value>(right: &[&str], wrong: &[&str]) {
        for text in right {
            assert!(T::parse(text).is_ok(), "`{text}` is {}", T::WHAT);
        }
        for text in wrong {
            assert!(T::parse(text).is_err(), "`{text}` is not {}", T::WHAT);
        }
        for example in T::EXAMPLE.split('`').skip(1).step_by(2) {
            assert!(T::parse(example).is_ok(), "`{example}` is the example of {}", T::WHAT);
        }
    }

    #[test]
    fn quantities() {
        check::<Duration>(&["0s", "500ms", "3650d"], &["", "3", "3 s", "1.5s", "-1s", "3S", "3651d", "99999999999999999999s", "s", "١s"]);
        check::<ByteSize>(&["0B", "64KiB", "1024GiB"], &["64", "64KB", "64kib", "1TiB", "1025GiB", "1_000B"]);
        check::<Rate>(&["1/s", "4294967295/h"], &["0/s", "20", "20/", "/s", "5/m", "4294967296/s", "1/2/s"]);
        check::<ProtocolNumber>(&["1000", "4294967295"], &["999", "0", "01001", "0x3E9", "1_001", "+1001", "4294967296", " 1001"]);
        check::<NumberRange>(&["1000..1000"], &["1000", "1000...2000", "1000..=1999", "2000..1000", "1..2000", "1000.."]);
        check::<Workers>(&["1", "256"], &["0", "257", "Auto", "-1", ""]);
        check::<Version>(&[], &["2", "01", "one"]);
        check::<Share>(&["0%", "100%"], &["", "50", "%", "101%", "5.5%", "-1%", "50 %"]);
        check::<Percent>(
            &["0%", "100%", "100.0000%", "0.0001%", "099%"],
            &["", "%", "1", "101%", "100.0001%", "0.00001%", "1.%", ".1%", "-1%", "1 %", "1000%", "1,5%", "1e1%", "١%"],
        );
        check::<FailureCode>(&["CANCELLED", "UNAUTHENTICATED"], &["", "OK", "unavailable", "14"]);
        check::<Idempotent>(&[], &["", "yes", "True", "key"]);
    }

    #[test]
    fn names() {
        check::<Name>(&["a", "a_1"], &["", "A", "1a", "_a", "a-b", "a.b", "é", "true", "null"]);
        check::<RouteName>(&["echo", "game.join_room", "null", "a.true.b"], &["", ".", "a.", ".a", "a..b", "A.b"]);
        check::<PermissionName>(&["a", "a.b", "a.null"], &["*", "a.*", ""]);
        check::<PermissionPattern>(&["*", "**", "a.*.b", "*.b", "a.**"], &["", "a*", "**.a", "a.***", "a..b"]);
        check::<MethodName>(&["S/M", "a.b.S/M"], &["", "a.b.S", "/a.S/M", "a.S/", "a.S/M/N", "a..S/M", "a.1S/M", "a-b.S/M"]);
        check::<TypePattern>(&["M", "a.b.M", "a.*"], &["", "*", ".a.M", "a*", "a.*.b", "a.**"]);
        check::<MessageName>(&["M", "a.b.M"], &["", ".a.M", "a.", "a/M"]);
        check::<FieldPathText>(&["request.a", "request.a.b_c"], &["request", "request.", "a.b", "response.a", "request.a[0]"]);
        check::<RedactPath>(&["request.a", "response.a.b_c"], &["request", "response.", "a.b", "metadata.a", "request.a[0]", "reply.a"]);
        check::<HashKey>(&["session.id", "request.room.id"], &["", "user", "request.", "peer", "response.a"]);
        check::<LimitKey>(&["global", "session", "request.a.b"], &["", "ip", "request.", "Caller"]);
        let reserved = [
            "authorization",
            "te",
            "host",
            "content-type",
            "user-agent",
            "grpc-timeout",
            "protogate-user",
            "protogate_user",
            ":path",
            "a_b",
            "a-bin",
        ];
        check::<MetadataKey>(&["x-a", "a.b", "1"], &["", "A", "a b", "é"]);
        check::<HeaderKey>(&["authorization", "x-a"], &["", "A", "te", "content-type", "a-bin"]);
        for key in reserved {
            assert_eq!(MetadataKey::parse(key).expect_err(key).rule, Rule::ReservedMetadata, "{key}");
        }
    }

    #[test]
    fn places_on_a_network() {
        check::<Address>(
            &["localhost:0", "[::]:65535"],
            &["", "7080", ":7080", "*:7080", "example.com:80", "::1:80", "1.2.3.4", "1.2.3.4:65536", "1.2.3:1"],
        );
        check::<UrlPath>(&["/", "/a/b"], &["", "ws", "/a b", "/a?b", "/a#b", "/a%20b", "/é"]);
        check::<EndpointUrl>(
            &["http://a:1", "https://[::1]:443", "http://1.2.3.4:1", "http://a_b.c-d.svc.:1", "http://1a:1"],
            &[
                "a:1",
                "http://a",
                "http://a:1/",
                "http://u@a:1",
                "grpc://a:1",
                "http://:1",
                "http://a:0",
                "http://[::g]:1",
                "http://a..b:1",
                "http://.a:1",
                "http://1.2.3:1",
                "http://1.2..3.4:1",
                "http://1.2.3.256:1",
                "http://1.2.3.4.:1",
                "http://-a:1",
                "http://a-.b:1",
                "http://.:1",
            ],
        );
        check::<SocketUrl>(&["ws://a", "wss://a.b:1/ws"], &["", "http://a", "wss://", "wss://u@a/ws", "wss://a/ws?x", "wss://a b"]);
        check::<Cidr>(&["127.0.0.1", "::1", "0.0.0.0/0"], &["", "a", "10.0.0.1/8", "10.0.0.0/33"]);
        check::<Origin>(
            &["https://a.b", "tauri://localhost", "http://[::1]:3000"],
            &["", "*", "a.b", "https://A.b", "https://a.b/", "https://a.b:443", "http://a.b:x", "https://"],
        );
    }
}
