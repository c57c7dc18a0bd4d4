//! Whether an HTTP request is a WebSocket handshake that we accept, and what it asks for.
//!
//! Pure and strict: every header that decides something must be there exactly once and mean exactly one thing, because what we and a
//! proxy in front of us read differently is how requests are smuggled. A token that is wrong is no concern of this file: a browser cannot
//! see a 401, so credentials fail after the handshake.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, ORIGIN, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    TRANSFER_ENCODING, UPGRADE,
};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, Method, Request, Uri, Version};

use super::refusal::Refusal;
use crate::table::Settings;
use crate::wire::Codec;

/// How a token travels where a client can set no header: as a subprotocol that is never chosen.
const BEARER_PREFIX: &str = "protogate.bearer.";

/// Where backends find the keys of the gateway's own tokens.
const KEY_SET_PATH: &str = "/.well-known/jwks.json";

/// What a client asks for.
#[derive(PartialEq, Eq)]
pub struct Offer {
    pub codec: Codec,
    /// As it came; nobody has looked at it. Never printed.
    pub token: Option<String>,
}

/// Reads a request's head. The order is that in which a mistake is likeliest to explain the others. `admin` is the port of the operator's
/// door.
pub fn judge<B>(request: &Request<B>, settings: &Settings, admin: u16) -> Result<Offer, Refusal> {
    let headers = request.headers();
    if headers.contains_key(TRANSFER_ENCODING) || headers.get_all(CONTENT_LENGTH).iter().any(|length| length != "0") {
        return Err(Refusal::Bad("a WebSocket handshake has no body: send neither `Content-Length` nor `Transfer-Encoding`"));
    }
    if request.version() != Version::HTTP_11 {
        return Err(Refusal::Bad("a WebSocket handshake is HTTP/1.1"));
    }
    let host = only(headers, HOST).ok_or(Refusal::Bad("send exactly one `Host`"))?;
    if request.uri().path() == KEY_SET_PATH {
        let reads = [Method::GET, Method::HEAD].contains(request.method());
        return Err(if reads { Refusal::KeySet } else { Refusal::Bad("the key set is read, with GET") });
    }
    let is_upgrade = lists(headers, CONNECTION, "upgrade") && lists(headers, UPGRADE, "websocket");
    if !is_upgrade && request.uri().path() == "/" && request.method() == Method::GET {
        return Err(Refusal::Welcome);
    }
    if request.uri().path() != settings.path {
        return Err(Refusal::NotFound);
    }
    if request.method() != Method::GET {
        return Err(Refusal::Bad("a WebSocket handshake is a GET"));
    }
    if !is_upgrade {
        return Err(Refusal::Bad("this path speaks WebSocket: send `Connection: Upgrade` and `Upgrade: websocket`"));
    }
    if only(headers, SEC_WEBSOCKET_VERSION) != Some("13") {
        return Err(Refusal::Version);
    }
    let key = only(headers, SEC_WEBSOCKET_KEY).and_then(|key| STANDARD.decode(key).ok());
    if key.is_none_or(|key| key.len() != 16) {
        return Err(Refusal::Bad("send exactly one `Sec-WebSocket-Key`: 16 random bytes in base64"));
    }
    if !is_origin_allowed(headers, host, &settings.origins, admin) {
        return Err(Refusal::Origin);
    }
    offer(headers)
}

fn offer(headers: &HeaderMap) -> Result<Offer, Refusal> {
    let offered = || headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|line| line.to_str().ok()).flat_map(entries);
    let codec = offered().find_map(Codec::from_subprotocol).ok_or(Refusal::Subprotocol)?;
    let mut tokens = offered().filter_map(|entry| entry.strip_prefix(BEARER_PREFIX)).map(decode_bearer).chain(authorization(headers)?);
    let token = tokens.next();
    if tokens.next().is_some() {
        return Err(Refusal::Bad("send one token: in `Authorization` or as one `protogate.bearer.` subprotocol"));
    }
    Ok(Offer { codec, token })
}

/// A token that is not base64 is a token that is wrong, which is said after the handshake like of any other.
fn decode_bearer(encoded: &str) -> String {
    URL_SAFE_NO_PAD.decode(encoded.trim_end_matches('=')).ok().and_then(|token| String::from_utf8(token).ok()).unwrap_or_default()
}

/// The token of `Authorization: Bearer`. Other schemes are not ours: a proxy may want them.
fn authorization(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    if !headers.contains_key(AUTHORIZATION) {
        return Ok(None);
    }
    let value = only(headers, AUTHORIZATION).ok_or(Refusal::Bad("send at most one `Authorization`"))?;
    let token = value.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    Ok(token.map(|(_, token)| token.trim().to_owned()))
}

/// A request without `Origin` comes from no browser, so no page can be behind it. `null` is an origin like any other: listed or refused.
///
/// Where no origins are listed, a page of the gateway's own host and port may connect, and the operator's own page. Where some are, they
/// are all there are.
fn is_origin_allowed(headers: &HeaderMap, host: &str, origins: &[String], admin: u16) -> bool {
    if !headers.contains_key(ORIGIN) {
        return true;
    }
    let Some(origin) = only(headers, ORIGIN) else { return false };
    match origins {
        [] => is_same_host(origin, host) || is_admin_page(origin, host, admin),
        listed => listed.iter().any(|listed| listed.eq_ignore_ascii_case(origin)),
    }
}

/// Same host and port. The scheme may differ, because TLS may end in front of us; it says which port is meant where none is written.
///
/// A page in clear text must have us by an address or `localhost`: to whom a name belongs may let it lead here, also to a listener that
/// nobody else can reach (DNS rebinding). That a page of `https` is ours the browser has seen in a certificate.
fn is_same_host(origin: &str, host: &str) -> bool {
    let Ok(origin) = origin.parse::<Uri>() else { return false };
    let (default_port, is_proven) = match origin.scheme_str() {
        Some("http") => (80, false),
        Some("https") => (443, true),
        _ => return false,
    };
    let (Some(origin), Ok(host)) = (origin.authority(), host.parse::<Authority>()) else { return false };
    let has_user = origin.as_str().contains('@') || host.as_str().contains('@');
    let ports_agree = origin.port_u16().unwrap_or(default_port) == host.port_u16().unwrap_or(default_port);
    !has_user && ports_agree && origin.host().eq_ignore_ascii_case(host.host()) && (is_proven || is_address(&host))
}

/// The page that the operator's door serves: clear text, the same host, the door's port. As at that door the host must be an address or
/// `localhost`: a name is what somebody else may let lead here.
fn is_admin_page(origin: &str, host: &str, admin: u16) -> bool {
    let Ok(origin) = origin.parse::<Uri>() else { return false };
    let (Some(page), Ok(host)) = (origin.authority(), host.parse::<Authority>()) else { return false };
    let has_user = page.as_str().contains('@') || host.as_str().contains('@');
    let is_door = origin.scheme_str() == Some("http") && page.port_u16().unwrap_or(80) == admin;
    is_address(&host) && is_door && !has_user && page.host().eq_ignore_ascii_case(host.host())
}

/// Whether the host is one that nobody's name stands for.
fn is_address(host: &Authority) -> bool {
    let name = host.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

/// The one value of a header; nothing if there is none, several, or one that is not text.
fn only(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

/// Whether a list header holds a word, over all its lines.
fn lists(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    headers.get_all(name).iter().filter_map(|line| line.to_str().ok()).flat_map(entries).any(|entry| entry.eq_ignore_ascii_case(word))
}

fn entries(line: &str) -> impl Iterator<Item = &str> {
    line.split(',').map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &[(&str, &str)] = &[
        ("host", "gateway.example"),
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "protogate.v1.json, protogate.v1.proto"),
    ];

    /// The sound request with one header replaced, or left out when the new values are none.
    fn with(name: &str, values: &[&str]) -> Request<()> {
        let mut request = Request::get("/ws").body(()).unwrap();
        for (key, value) in SOUND.iter().filter(|(key, _)| *key != name).copied().chain(values.iter().map(|value| (name, *value))) {
            request.headers_mut().append(HeaderName::from_bytes(key.as_bytes()).unwrap(), value.parse().unwrap());
        }
        request
    }

    fn verdict(request: &Request<()>) -> Result<Offer, Refusal> {
        judge(request, &Settings::default(), 7081)
    }

    fn is_bad(request: &Request<()>) -> bool {
        matches!(verdict(request), Err(Refusal::Bad(_)))
    }

    #[test]
    fn a_sound_request_is_accepted_and_its_first_subprotocol_that_we_speak_is_taken() {
        let offer = verdict(&with("x", &[])).ok().unwrap();
        assert!(offer == Offer { codec: Codec::Json, token: None });
        let offer = verdict(&with("sec-websocket-protocol", &["chat", "protogate.v1.proto,protogate.v1.json"])).ok().unwrap();
        assert!(offer.codec == Codec::Proto);
    }

    #[test]
    fn a_sloppy_request_is_refused() {
        for (name, values) in [
            ("host", &[][..]),
            ("host", &["a", "b"]),
            ("connection", &[]),
            ("connection", &["close"]),
            ("upgrade", &["h2c"]),
            ("sec-websocket-key", &[]),
            ("sec-websocket-key", &["dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ=="]),
            ("sec-websocket-key", &["c2hvcnQ="]),
            ("sec-websocket-key", &["not base64 at all"]),
            ("content-length", &["5"]),
            ("content-length", &["0", "7"]),
            ("transfer-encoding", &["chunked"]),
            ("authorization", &["Bearer a", "Bearer b"]),
        ] {
            assert!(is_bad(&with(name, values)), "{name}: {values:?}");
        }
        let mut post = with("x", &[]);
        *post.method_mut() = Method::POST;
        assert!(is_bad(&post));
        let mut old = with("x", &[]);
        *old.version_mut() = Version::HTTP_10;
        assert!(is_bad(&old));
        assert!(matches!(verdict(&with("sec-websocket-version", &["8"])), Err(Refusal::Version)));
        assert!(matches!(verdict(&with("sec-websocket-version", &["13", "13"])), Err(Refusal::Version)));
        assert!(matches!(verdict(&with("sec-websocket-protocol", &[])), Err(Refusal::Subprotocol)));
        assert!(matches!(verdict(&with("sec-websocket-protocol", &["mqtt"])), Err(Refusal::Subprotocol)));
    }

    #[test]
    fn the_path_decides_between_a_welcome_and_not_found() {
        let at = |path: &str| {
            let mut request = with("connection", &["keep-alive"]);
            *request.uri_mut() = path.parse().unwrap();
            verdict(&request)
        };
        assert!(matches!(at("/"), Err(Refusal::Welcome)));
        assert!(matches!(at("/ws/"), Err(Refusal::NotFound)));
        assert!(matches!(at("/favicon.ico"), Err(Refusal::NotFound)));
    }

    #[test]
    fn the_key_set_is_read_by_anybody_and_nothing_else_is_done_with_it() {
        let by = |method: Method| {
            let mut request = with("origin", &["https://elsewhere.example"]);
            *request.uri_mut() = KEY_SET_PATH.parse().unwrap();
            *request.method_mut() = method;
            verdict(&request).err().unwrap()
        };
        assert_eq!(by(Method::GET), Refusal::KeySet);
        assert_eq!(by(Method::HEAD), Refusal::KeySet);
        assert!(matches!(by(Method::POST), Refusal::Bad(_)));
    }

    #[test]
    fn origins_match_exactly() {
        let allowed = |values: &[&str], origins: &[&str]| {
            let settings = Settings { origins: origins.iter().map(|origin| (*origin).to_owned()).collect(), ..Settings::default() };
            judge(&with("origin", values), &settings, 7081).is_ok()
        };
        for (origin, same_host, listed) in [
            ("https://gateway.example", true, false),
            ("http://gateway.example", false, false),
            ("https://GATEWAY.example:443", true, false),
            ("https://gateway.example:444", false, false),
            ("https://gateway.example.evil.example", false, false),
            ("https://evil-gateway.example", false, false),
            ("https://sub.gateway.example", false, false),
            ("https://gateway.example@evil.example", false, false),
            ("https://user@gateway.example", false, false),
            ("null", false, false),
            ("", false, false),
            ("file://gateway.example", false, false),
            ("https://play.example", false, true),
            ("https://play.example:443", false, false),
            ("http://play.example", false, false),
            ("https://play.example.", false, false),
            ("https://xn--play-0ra.example", false, false),
        ] {
            assert_eq!(allowed(&[origin], &[]), same_host, "{origin:?} against the host");
            assert_eq!(allowed(&[origin], &["https://play.example"]), listed, "{origin:?} against the list");
        }
        assert!(allowed(&[], &["https://play.example"]));
        assert!(!allowed(&["https://play.example", "https://play.example"], &["https://play.example"]));
        assert!(allowed(&["null"], &["null"]));
    }

    #[test]
    fn a_name_that_leads_here_makes_no_page_ours() {
        let allowed = |origin: &str, host: &str| {
            let mut request = with("origin", &[origin]);
            request.headers_mut().insert(HOST, host.parse().unwrap());
            verdict(&request).is_ok()
        };
        for host in ["127.0.0.1:7080", "localhost:7080", "[::1]:7080", "10.0.0.7:7080"] {
            assert!(allowed(&format!("http://{host}"), host), "{host}");
        }
        for host in ["evil.example:7080", "localhost.evil.example:7080", "127.0.0.1.evil.example:7080", "evil.localhost:7080"] {
            assert!(!allowed(&format!("http://{host}"), host), "{host}");
            assert!(allowed(&format!("https://{host}"), host), "{host}: there is a certificate for it in front of us");
        }
    }

    #[test]
    fn the_operators_own_page_may_connect_unless_origins_are_listed() {
        let allowed = |origin: &str, host: &str, origins: &[&str]| {
            let settings = Settings { origins: origins.iter().map(|origin| (*origin).to_owned()).collect(), ..Settings::default() };
            let mut request = with("origin", &[origin]);
            request.headers_mut().insert(HOST, host.parse().unwrap());
            judge(&request, &settings, 7081).is_ok()
        };
        for (origin, host, may) in [
            ("http://127.0.0.1:7081", "127.0.0.1:7080", true),
            ("http://localhost:7081", "localhost:7080", true),
            ("http://[::1]:7081", "[::1]:7080", true),
            ("http://10.0.0.7:7081", "10.0.0.7:7080", true),
            // Another name for the same place is another origin.
            ("http://localhost:7081", "127.0.0.1:7080", false),
            ("http://127.0.0.1:7082", "127.0.0.1:7080", false),
            ("http://127.0.0.1", "127.0.0.1:7080", false),
            ("https://127.0.0.1:7081", "127.0.0.1:7080", false),
            ("http://evil@127.0.0.1:7081", "127.0.0.1:7080", false),
            // The door answers to no name, so a page of a name is not its.
            ("http://gateway.example:7081", "gateway.example:7080", false),
            ("http://gateway.example:7081", "127.0.0.1:7080", false),
        ] {
            assert_eq!(allowed(origin, host, &[]), may, "{origin} to {host}");
            assert!(!allowed(origin, host, &["https://play.example"]), "{origin} to {host}: what is listed is all there is");
        }
        assert!(allowed("http://127.0.0.1:7081", "127.0.0.1:7080", &["http://127.0.0.1:7081"]));
    }

    #[test]
    fn a_token_comes_from_one_of_two_places() {
        let token = |name: &str, values: &[&str]| verdict(&with(name, values)).ok().unwrap().token;
        assert_eq!(token("authorization", &["Bearer a.b.c"]).as_deref(), Some("a.b.c"));
        assert_eq!(token("authorization", &["bearer  a.b.c"]).as_deref(), Some("a.b.c"));
        assert_eq!(token("authorization", &["Basic YTpi"]), None);
        assert_eq!(token("sec-websocket-protocol", &["protogate.bearer.YS5iLmM, protogate.v1.proto"]).as_deref(), Some("a.b.c"));
        assert_eq!(token("sec-websocket-protocol", &["protogate.v1.proto, protogate.bearer.%%"]).as_deref(), Some(""));
        assert!(is_bad(&with("sec-websocket-protocol", &["protogate.bearer.YQ, protogate.bearer.YQ, protogate.v1.proto"])));
    }
}
