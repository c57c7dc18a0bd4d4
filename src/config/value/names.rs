//! Names of every kind: what they are made of, and nothing about whether what they name exists.

use std::fmt;
use std::sync::Arc;

use super::{Problem, Value};
use crate::diagnostic::Rule;
use crate::reserved::is_reserved;
use crate::telemetry::line::is_harmless;

/// Declares names: text that a check has passed. Cheap to clone, compared as text.
macro_rules! names {
    ($($(#[doc = $doc:literal])+ $name:ident: $what:literal, $example:literal, $pattern:expr, $check:path;)+) => { $(
        $(#[doc = $doc])+
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The same text, shared.
            pub fn shared(&self) -> Arc<str> {
                self.0.clone()
            }
        }

        impl Value for $name {
            const WHAT: &'static str = $what;
            const EXAMPLE: &'static str = $example;
            const PATTERN: &'static str = $pattern;

            fn parse(text: &str) -> Result<$name, Problem> {
                $check(text)?;
                Ok($name(text.into()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+ };
}

/// What is no key that HTTP, gRPC or the gateway sets; `reserved.rs` has the list.
macro_rules! header_pattern {
    () => {
        concat!(
            "(?!(connection|content-encoding|content-length|content-type|cookie|forwarded|host|idempotency-key|keep-alive|",
            "proxy-connection|te|trailer|traceparent|transfer-encoding|upgrade|user-agent|x-real-ip)$)",
            r"(?!protogate-|grpc-|x-forwarded-)(?!.*-bin$)[a-z0-9.\-]{1,64}"
        )
    };
}

names! {
    /// The name of something declared: a backend, a role, a limit, a variable.
    Name: "a name", "`per_caller`", "(?!(true|false|null)$)[a-z][a-z0-9_]*", check_name;
    /// The name of a route, in segments: `game.join_room`.
    RouteName: "a route name", "`game.join_room`", r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*", check_dotted;
    /// What a caller must be permitted to do: `game.play`.
    PermissionName: "a permission", "`game.play`", r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*", check_permission;
    /// Permissions that a role has or lacks: `*` is one segment, `**` the rest.
    PermissionPattern: "a permission pattern", "`game.play`, `game.*` or `game.**`",
        r"([a-z][a-z0-9_]*|\*)(\.([a-z][a-z0-9_]*|\*))*(\.\*\*)?|\*\*", check_pattern;
    /// A method: `package.Service/Method`.
    MethodName: "a method", "`game.v1.GameService/JoinRoom`", r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*/[A-Za-z_][A-Za-z0-9_]*", check_method;
    /// A service: `package.Service`.
    ServiceName: "a service", "`game.v1.GameService`", r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*", check_message;
    /// A message type: `package.Message`.
    MessageName: "a message type", "`game.v1.JoinRoomRequest`", r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*", check_message;
    /// Types, one or all whose names begin alike: `game.v1.*`.
    TypePattern: "a type, or the types of a package", "`game.v1.RoomFull` or `game.v1.*`",
        r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*(\.\*)?", check_types;
    /// A field of the request: `request.room.id`.
    FieldPathText: "a field of the request", "`request.room.id`", r"request(\.[A-Za-z_][A-Za-z0-9_]*)+", check_field;
    /// A field of the request or of the reply: `request.password`.
    RedactPath: "a field of the request or the reply", "`request.password` or `response.access_token`",
        r"(request|response)(\.[A-Za-z_][A-Za-z0-9_]*)+", check_redacted_field;
    /// A field of the reply: `response.access_token`.
    ResponsePath: "a field of the reply", "`response.access_token`", r"response(\.[A-Za-z_][A-Za-z0-9_]*)+", check_response_field;
    /// A field of a push: `message.player_id`.
    MessagePath: "a field of the message", "`message.player_id`", r"message(\.[A-Za-z_][A-Za-z0-9_]*)+", check_message_field;
    /// A metadata key that clients may set for a backend.
    MetadataKey: "a metadata key that clients may set", "`x-client-version`", concat!(r"(?!authorization$)", header_pattern!()), check_metadata;
    /// An environment variable: `GAME_HOST`.
    EnvName: "the name of an environment variable", "`GAME_HOST`", "[A-Za-z_][A-Za-z0-9_]*", check_env;
    /// A claim of a token: `claims.realm_access.roles`.
    ClaimPath: "a claim of the token", "`claims.roles` or `claims.realm_access.roles`", r"claims(\.[^\s.]+)+", check_claim;
    /// A header for a collector.
    HeaderKey: "a header for a collector", "`authorization` or `x-tenant`", header_pattern!(), check_header;
}

/// What a rate limit counts by.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum LimitKey {
    Global,
    Route,
    /// The user, else the address.
    Caller,
    User,
    Session,
    /// An IPv6 address counts by its /64.
    PeerIp,
    Connection,
    Field(FieldPathText),
}

/// What calls have in common that go to the same endpoint.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum HashKey {
    User,
    Session,
    PeerIp,
    Field(FieldPathText),
}

/// A name is said in logs and metrics again and again.
const NAME_BYTES_MAX: usize = 128;

/// A header longer than this is no key but a mistake.
const METADATA_KEY_BYTES_MAX: usize = 64;

// === impl ClaimPath ===

impl ClaimPath {
    /// The names on the way to the claim, `claims` not among them.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.as_str().split('.').skip(1)
    }
}

// === impl MethodName ===

impl MethodName {
    /// `package.Service`.
    pub fn service(&self) -> &str {
        self.0.split_once('/').map_or(self.as_str(), |(service, _)| service)
    }

    /// `Method`.
    pub fn method(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, method)| method)
    }
}

// === impl FieldPathText ===

impl FieldPathText {
    /// The path below the request: `room.id` of `request.room.id`.
    pub fn below_request(&self) -> &str {
        self.0.strip_prefix("request.").unwrap_or(&self.0)
    }
}

// === impl RedactPath ===

impl RedactPath {
    /// The path below the request, if it is one.
    pub fn below_request(&self) -> Option<&str> {
        self.0.strip_prefix("request.")
    }

    /// The path below the reply, if it is one.
    pub fn below_response(&self) -> Option<&str> {
        self.0.strip_prefix("response.")
    }
}

// === impl ResponsePath ===

impl ResponsePath {
    /// The path below the reply: `user.id` of `response.user.id`.
    pub fn below_response(&self) -> &str {
        self.0.strip_prefix("response.").unwrap_or(&self.0)
    }
}

// === impl MessagePath ===

impl MessagePath {
    /// The path below the message: `player.id` of `message.player.id`.
    pub fn below_message(&self) -> &str {
        self.0.strip_prefix("message.").unwrap_or(&self.0)
    }
}

// === impl LimitKey ===

impl Value for LimitKey {
    const WHAT: &'static str = "a key of a rate limit";
    const EXAMPLE: &'static str = "`caller`, `peer.ip` or `request.username`";
    const PATTERN: &'static str = r"global|route|caller|user|session|peer\.ip|connection|request(\.[A-Za-z_][A-Za-z0-9_]*)+";

    fn parse(text: &str) -> Result<LimitKey, Problem> {
        match text {
            "global" => Ok(LimitKey::Global),
            "route" => Ok(LimitKey::Route),
            "caller" => Ok(LimitKey::Caller),
            "user" => Ok(LimitKey::User),
            "session" => Ok(LimitKey::Session),
            "peer.ip" => Ok(LimitKey::PeerIp),
            "connection" => Ok(LimitKey::Connection),
            field if field.starts_with("request.") => FieldPathText::parse(field).map(LimitKey::Field),
            _ => Err(Problem::new("not one of the keys")
                .help("there is `global`, `route`, `caller`, `user`, `session`, `peer.ip`, `connection` and `request.<field>`")),
        }
    }
}

// === impl HashKey ===

impl Value for HashKey {
    const WHAT: &'static str = "a key that leads to an endpoint";
    const EXAMPLE: &'static str = "`request.room_id` or `session.user`";
    const PATTERN: &'static str = r"session\.user|session\.id|peer\.ip|request(\.[A-Za-z_][A-Za-z0-9_]*)+";

    fn parse(text: &str) -> Result<HashKey, Problem> {
        match text {
            "session.user" => Ok(HashKey::User),
            "session.id" => Ok(HashKey::Session),
            "peer.ip" => Ok(HashKey::PeerIp),
            field if field.starts_with("request.") => FieldPathText::parse(field).map(HashKey::Field),
            _ => Err(Problem::new("not one of the keys").help("there is `request.<field>`, `session.user`, `session.id` and `peer.ip`")),
        }
    }
}

fn check_name(text: &str) -> Result<(), Problem> {
    match text {
        "true" | "false" | "null" => Err(Problem::new("a word that means something else in YAML")),
        _ => check_segment(text),
    }
}

/// A name, or a part of one that has dots.
fn check_segment(text: &str) -> Result<(), Problem> {
    if text.len() > NAME_BYTES_MAX {
        return Err(Problem::new("longer than 128 characters"));
    }
    let mut chars = text.chars();
    match chars.next() {
        None => return Err(Problem::new("empty")),
        Some(first) if !first.is_ascii_lowercase() => return Err(Problem::new("does not begin with a letter from a to z")),
        Some(_) => {}
    }
    match chars.find(|c| !c.is_ascii_lowercase() && !c.is_ascii_digit() && *c != '_') {
        Some('-') => Err(Problem::new("contains `-`").help("use `_` instead of `-`")),
        Some(_) => Err(Problem::new("contains something else than a-z, 0-9 and `_`")),
        None => Ok(()),
    }
}

fn check_env(text: &str) -> Result<(), Problem> {
    if text.is_empty() || text.starts_with(|first: char| first.is_ascii_digit()) {
        return Err(Problem::new("does not begin with a letter"));
    }
    match text.chars().find(|c| !c.is_ascii_alphanumeric() && *c != '_') {
        Some(_) => Err(Problem::new("contains something else than letters, digits and `_`")),
        None => Ok(()),
    }
}

fn check_claim(text: &str) -> Result<(), Problem> {
    let path = text.strip_prefix("claims.").ok_or_else(|| Problem::new("does not begin with `claims.`"))?;
    match path.split('.').find(|part| part.is_empty() || !part.chars().all(|c| is_harmless(c) && !c.is_whitespace())) {
        Some(_) => Err(Problem::new("a part of it is empty, or holds white space")),
        None => Ok(()),
    }
}

fn check_dotted(text: &str) -> Result<(), Problem> {
    text.split('.').try_for_each(check_segment)
}

fn check_permission(text: &str) -> Result<(), Problem> {
    if text.contains('*') {
        return Err(Problem::new("a route requires one permission, not a pattern").help("patterns belong to roles: `grant: [game.**]`"));
    }
    check_dotted(text)
}

fn check_pattern(text: &str) -> Result<(), Problem> {
    let mut segments = text.split('.').peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "**" if segments.peek().is_some() => return Err(Problem::new("`**` stands for the rest and comes last")),
            "*" | "**" => {}
            part if part.contains('*') => return Err(Problem::new("`*` stands for a whole segment").help("write `game.*`, not `game.jo*`")),
            part => check_segment(part)?,
        }
    }
    Ok(())
}

fn check_method(text: &str) -> Result<(), Problem> {
    match text.split_once('/') {
        None => Err(Problem::new("no `/` between service and method")),
        Some(("", _)) => Err(Problem::new("begins with `/`").help("leave the first `/` out")),
        Some((service, method)) => check_message(service).and_then(|()| check_identifier(method)),
    }
}

fn check_message(text: &str) -> Result<(), Problem> {
    if text.starts_with('.') {
        return Err(Problem::new("begins with a dot").help("write the full name without a dot before it"));
    }
    text.split('.').try_for_each(check_identifier)
}

fn check_types(text: &str) -> Result<(), Problem> {
    check_message(text.strip_suffix(".*").unwrap_or(text))
}

fn check_field(text: &str) -> Result<(), Problem> {
    let path = text.strip_prefix("request.").ok_or_else(|| Problem::new("does not begin with `request.`"))?;
    path.split('.').try_for_each(check_identifier)
}

fn check_redacted_field(text: &str) -> Result<(), Problem> {
    let path = text.strip_prefix("request.").or_else(|| text.strip_prefix("response."));
    path.ok_or_else(|| Problem::new("does not begin with `request.` or `response.`"))?.split('.').try_for_each(check_identifier)
}

fn check_response_field(text: &str) -> Result<(), Problem> {
    let path = text.strip_prefix("response.").ok_or_else(|| Problem::new("does not begin with `response.`"))?;
    path.split('.').try_for_each(check_identifier)
}

fn check_message_field(text: &str) -> Result<(), Problem> {
    let path = text.strip_prefix("message.").ok_or_else(|| Problem::new("does not begin with `message.`"))?;
    path.split('.').try_for_each(check_identifier)
}

/// An identifier of protobuf.
fn check_identifier(text: &str) -> Result<(), Problem> {
    match text.bytes().next() {
        None => Err(Problem::new("a part of it is empty")),
        Some(first) if first.is_ascii_digit() => Err(Problem::new("a part of it begins with a digit")),
        Some(_) if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') => Ok(()),
        Some(_) => Err(Problem::new("contains something else than letters, digits and `_`")),
    }
}

/// What clients may set, and the header that says who asks.
fn check_header(text: &str) -> Result<(), Problem> {
    if text == "authorization" { Ok(()) } else { check_metadata(text).map_err(|problem| problem.rule(Rule::BadValue)) }
}

fn check_metadata(text: &str) -> Result<(), Problem> {
    let reserved = |why: &str, help: &str| Err(Problem::new(why).rule(Rule::ReservedMetadata).help(help));
    if text.contains('_') {
        // Several servers read `_` and `-` as the same, so that `grpc_timeout` would pass for the reserved `grpc-timeout`.
        return reserved("contains `_`, which some servers take for `-`", "use `-` instead of `_`");
    }
    if text.starts_with(':') || is_reserved(text) {
        return reserved("reserved: HTTP, gRPC or the gateway sets it", "remove it, or choose another key");
    }
    if text.ends_with("-bin") {
        return reserved("ends in `-bin`: binary metadata is not taken from clients", "choose a key without `-bin`");
    }
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(Problem::new("contains upper case").help("write it in lower case, as gRPC sends it"));
    }
    if text.is_empty() || text.len() > METADATA_KEY_BYTES_MAX {
        return Err(Problem::new(format!("not between 1 and {METADATA_KEY_BYTES_MAX} characters")));
    }
    if !text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')) {
        return Err(Problem::new("contains something else than a-z, 0-9, `-` and `.`"));
    }
    Ok(())
}
