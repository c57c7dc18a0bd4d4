//! What is answered to a request that becomes no WebSocket. Every refusal says what to do instead.

use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER, SEC_WEBSOCKET_VERSION, VARY,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::Full;

use super::seats::Full as NoSeat;
use crate::jitter;
use crate::table::Settings;
use crate::telemetry::labels::Refused;

/// The span over which refused clients are asked to come back: they came together, and should not come back together.
const RETRY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(15));

/// Why not.
#[derive(PartialEq, Eq, Debug)]
pub enum Refusal {
    /// Somebody looks in with a browser; this is no mistake.
    Welcome,
    /// Somebody wants to verify tokens by itself; this is no mistake either.
    KeySet,
    /// The request is not a handshake; the text says what is missing.
    Bad(&'static str),
    NotFound,
    /// Another version of the WebSocket protocol than 13.
    Version,
    /// No subprotocol that we speak.
    Subprotocol,
    Origin,
    /// Two forwarding headers name two clients.
    Contradiction,
    Full(NoSeat),
}

// === impl Refusal ===

impl Refusal {
    /// The answer to a request with these headers.
    pub fn response(&self, headers: &HeaderMap, settings: &Settings) -> Response<Full<Bytes>> {
        let path = &settings.path;
        let mut response = match self {
            Refusal::Welcome if wants_html(headers) => page(path),
            Refusal::KeySet => return key_set(settings),
            _ => text(self.text(path)),
        };
        *response.status_mut() = self.status();
        let answer = response.headers_mut();
        answer.insert(CONNECTION, HeaderValue::from_static("close"));
        answer.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self {
            Refusal::Version => _ = answer.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")),
            Refusal::Full(_) => _ = answer.insert(RETRY_AFTER, HeaderValue::from(jitter::between(RETRY.0, RETRY.1).as_secs())),
            _ => {}
        }
        response
    }

    /// As metrics call it; nothing for what is no mistake.
    pub fn label(&self) -> Option<Refused> {
        Some(match self {
            Refusal::Welcome | Refusal::KeySet => return None,
            Refusal::Bad(_) => Refused::Handshake,
            Refusal::NotFound => Refused::Path,
            Refusal::Version => Refused::Version,
            Refusal::Subprotocol => Refused::Subprotocol,
            Refusal::Origin => Refused::Origin,
            Refusal::Contradiction => Refused::Proxy,
            Refusal::Full(NoSeat::Gateway) => Refused::Capacity,
            Refusal::Full(NoSeat::Address) => Refused::PerIp,
        })
    }

    fn status(&self) -> StatusCode {
        match self {
            Refusal::Welcome | Refusal::KeySet => StatusCode::OK,
            Refusal::Bad(_) | Refusal::Subprotocol | Refusal::Contradiction => StatusCode::BAD_REQUEST,
            Refusal::NotFound => StatusCode::NOT_FOUND,
            Refusal::Version => StatusCode::UPGRADE_REQUIRED,
            Refusal::Origin => StatusCode::FORBIDDEN,
            Refusal::Full(NoSeat::Gateway) => StatusCode::SERVICE_UNAVAILABLE,
            Refusal::Full(NoSeat::Address) => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    fn text(&self, path: &str) -> String {
        match self {
            Refusal::Welcome => format!("This is protogate, a gateway to services.\n\n{}", how_to_connect(path)),
            Refusal::KeySet => String::new(),
            Refusal::Bad(what) => format!("{what}\n"),
            Refusal::NotFound => format!("nothing is here; the WebSocket is at {path}\n"),
            Refusal::Version => "this gateway speaks version 13 of the WebSocket protocol\n".to_owned(),
            Refusal::Subprotocol => format!("no subprotocol was offered that this gateway speaks\n\n{}", how_to_connect(path)),
            Refusal::Origin => "this origin may not connect; the operator can list it under `origins` in gateway.yaml\n".to_owned(),
            Refusal::Contradiction => {
                "`X-Forwarded-For` and `Forwarded` name different clients; the proxy should set one of them\n".to_owned()
            }
            Refusal::Full(NoSeat::Gateway) => "the gateway is full; please come back later\n".to_owned(),
            Refusal::Full(NoSeat::Address) => "too many connections from your address\n".to_owned(),
        }
    }
}

/// The public keys of our own tokens, for everybody. Five minutes: a key is published before it signs, if its operator is patient.
fn key_set(settings: &Settings) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(settings.jwks.as_bytes().to_vec()));
    for (name, value) in [
        (CONTENT_TYPE, "application/json"),
        (CACHE_CONTROL, "public, max-age=300"),
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (CONNECTION, "close"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn how_to_connect(path: &str) -> String {
    format!(
        "Connect a WebSocket to {path} and offer one of these subprotocols:\n\
         \x20 protogate.v1.proto   binary messages, each one protobuf Envelope\n\
         \x20 protogate.v1.json    text messages, each one Envelope in proto3 JSON\n\n\
         A token goes into `Authorization: Bearer <jwt>`, or, from a browser, into one more subprotocol entry,\n\
         `protogate.bearer.<base64url of the jwt>`, or into the first message, Authenticate.\n"
    )
}

/// Whether a browser asks. The answer varies, and says so.
fn wants_html(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT).iter().filter_map(|accept| accept.to_str().ok()).any(|accept| accept.contains("text/html"))
}

fn page(path: &str) -> Response<Full<Bytes>> {
    let text = how_to_connect(path).replace('&', "&amp;").replace('<', "&lt;");
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>protogate</title>\
         <body><h1>protogate</h1><p>This is a gateway to services.</p><pre>{text}</pre></body></html>\n"
    );
    with_type(page, "text/html; charset=utf-8")
}

fn text(text: String) -> Response<Full<Bytes>> {
    with_type(text, "text/plain; charset=utf-8")
}

fn with_type(body: String, content_type: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    async fn answer(refusal: &Refusal, accept: &'static str) -> (u16, HeaderMap, String) {
        let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
        let settings = Settings { path: "/ws<".to_owned(), ..Settings::default() };
        let (head, body) = refusal.response(&headers, &settings).into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (head.status.as_u16(), head.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_browser_sees_a_page_and_others_see_text() {
        let (status, headers, body) = answer(&Refusal::Welcome, "text/html,*/*").await;
        assert_eq!((status, headers[CONTENT_TYPE].as_bytes()), (200, &b"text/html; charset=utf-8"[..]));
        assert!(body.contains("/ws&lt;") && body.contains("protogate.v1.proto"));
        let (status, headers, body) = answer(&Refusal::Welcome, "*/*").await;
        assert_eq!((status, headers[CONTENT_TYPE].as_bytes()), (200, &b"text/plain; charset=utf-8"[..]));
        assert!(body.contains("/ws<"));
    }

    #[tokio::test]
    async fn a_refusal_says_what_to_do() {
        let (status, headers, _) = answer(&Refusal::Version, "").await;
        assert_eq!((status, headers[SEC_WEBSOCKET_VERSION].as_bytes()), (426, &b"13"[..]));
        let (status, headers, _) = answer(&Refusal::Full(NoSeat::Gateway), "").await;
        let wait: u64 = headers[RETRY_AFTER].to_str().unwrap().parse().unwrap();
        assert!(status == 503 && (2..15).contains(&wait));
        let (status, headers, body) = answer(&Refusal::Subprotocol, "text/html").await;
        assert_eq!((status, headers[CONNECTION].as_bytes()), (400, &b"close"[..]));
        assert!(body.contains("protogate.v1.json"));
    }

    #[tokio::test]
    async fn the_key_set_may_be_read_by_any_page_and_kept_for_a_while() {
        let (status, headers, body) = answer(&Refusal::KeySet, "text/html").await;
        assert_eq!((status, &*body), (200, r#"{"keys":[]}"#));
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert_eq!(headers[CACHE_CONTROL], "public, max-age=300");
    }
}
