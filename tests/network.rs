//! What lies between a client and the gateway: certificates, web origins, proxies, and room for so many.

use std::net::SocketAddr;
use std::time::Duration;

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use serde_json::json;
use tokio::time::{Instant, sleep};
use tokio_rustls::rustls::pki_types::CertificateDer;

use crate::support::client::{Introduction, TestClient};
use crate::support::mirror::Mirror;
use crate::support::{ECHO, PATIENCE, TestGateway, reload};

fn certificate() -> CertifiedKey<KeyPair> {
    generate_simple_self_signed(["localhost".to_owned()]).unwrap()
}

fn with_process(process: &str, routes: &str) -> TestGateway {
    TestGateway::start_with(&[("routes/gateway.yaml", &format!("version: 1\n{process}\n")), ("routes/routes.yaml", routes)])
}

fn with_certificate(process: &str, certificate: &CertifiedKey<KeyPair>) -> TestGateway {
    TestGateway::start_with(&[
        ("routes/gateway.yaml", &format!("version: 1\ntls: {{ cert: tls/server.pem, key: tls/server.key }}\n{process}\n")),
        ("routes/routes.yaml", ECHO),
        ("routes/tls/server.pem", &certificate.cert.pem()),
        ("routes/tls/server.key", &certificate.signing_key.serialize_pem()),
    ])
}

fn write_certificate(gateway: &TestGateway, certificate: &CertifiedKey<KeyPair>) {
    gateway.write("routes/tls/server.key", &certificate.signing_key.serialize_pem());
    gateway.write("routes/tls/server.pem", &certificate.cert.pem());
}

/// Connects over TLS, believing this certificate and no other.
async fn connect_over_tls(edge: SocketAddr, believed: &CertifiedKey<KeyPair>) -> Option<TestClient> {
    let roots: [CertificateDer<'static>; 1] = [believed.cert.der().clone()];
    TestClient::try_introduce(edge, &Introduction { roots: &roots, ..Introduction::default() }).await.ok()
}

/// Waits until new connections see this certificate.
async fn until_seen(gateway: &TestGateway, certificate: &CertifiedKey<KeyPair>) {
    let deadline = Instant::now() + PATIENCE;
    while connect_over_tls(gateway.edge(), certificate).await.is_none() {
        assert!(Instant::now() < deadline, "the certificate was not renewed");
        // Not to synchronise: only so that asking does not keep both processors busy.
        sleep(Duration::from_millis(100)).await;
    }
}

async fn status_with(edge: SocketAddr, headers: &[(&str, &str)]) -> u16 {
    let introduction = Introduction { headers, ..Introduction::default() };
    TestClient::introduce(edge, &introduction).await.map_or_else(|refusal| refusal.status().as_u16(), |_| 101)
}

#[tokio::test]
async fn a_conversation_over_tls_is_like_any_other() {
    let certificate = certificate();
    let gateway = with_certificate("", &certificate);
    let mut client = connect_over_tls(gateway.edge(), &certificate).await.expect("the certificate is believed");
    for text in ["hi", &"x".repeat(50_000)] {
        assert_eq!(client.echo(9001, text).await, text);
    }
    assert!(TestClient::try_introduce(gateway.edge(), &Introduction::default()).await.is_err(), "clear text gets no answer");
    assert!(connect_over_tls(gateway.edge(), &self::certificate()).await.is_none(), "another certificate is not shown");
    let stopping = tokio::spawn(gateway.stop());
    client.assert_sent_away(1001).await;
    stopping.await.unwrap();
}

#[tokio::test]
async fn a_renewed_certificate_is_seen_by_new_connections_even_where_nothing_else_is_watched() {
    let (first, second, third) = (certificate(), certificate(), certificate());
    let gateway = with_certificate("reload: { watch: false, debounce: 50ms }", &first);
    let mut before = connect_over_tls(gateway.edge(), &first).await.unwrap();
    gateway.write("routes/routes.yaml", &ECHO.replace("9001: { name: echo,", "9101: { name: echo,"));

    write_certificate(&gateway, &second);
    until_seen(&gateway, &second).await;
    assert!(connect_over_tls(gateway.edge(), &first).await.is_none(), "the old one is gone");
    assert_eq!(before.echo(9001, "hi").await, "hi", "who was connected stays, and by the old routes: those wait for a reload");
    assert_eq!(before.refused(9101, json!({})).await, "UNKNOWN_PROTOCOL");

    // A pair that does not belong together, as while it is being replaced, changes nothing; the whole pair does.
    gateway.write("routes/tls/server.pem", &third.cert.pem());
    gateway.gateway().renew_certificates();
    assert!(connect_over_tls(gateway.edge(), &second).await.is_some(), "the old one stays");
    write_certificate(&gateway, &third);
    until_seen(&gateway, &third).await;

    assert_eq!(reload(&gateway).await.1["outcome"], "swapped");
    assert_eq!(before.echo(9101, "hi").await, "hi");
    assert!(connect_over_tls(gateway.edge(), &third).await.is_some());
}

#[tokio::test]
async fn a_certificate_is_renewed_while_the_routes_are_broken() {
    let (first, second) = (certificate(), certificate());
    let gateway = with_certificate("reload: { watch: true, debounce: 50ms }", &first);
    gateway.write("routes/routes.yaml", "version: 1\nroutes: nonsense\n");
    write_certificate(&gateway, &second);
    until_seen(&gateway, &second).await;
    let mut client = connect_over_tls(gateway.edge(), &second).await.unwrap();
    assert_eq!(client.echo(9001, "hi").await, "hi", "the old routes stay");
}

#[tokio::test]
async fn pages_of_foreign_sites_may_not_connect() {
    let gateway = TestGateway::start(ECHO);
    let host = gateway.edge().to_string();
    let port = gateway.edge().port();
    let (own, secure) = (format!("http://{host}"), format!("https://{host}"));
    for (origin, status) in [
        (&*own, 101),
        (&*secure, 101),
        ("https://evil.example", 403),
        ("http://127.0.0.1", 403),
        (&*format!("http://localhost:{port}"), 403),
        (&*format!("http://127.0.0.1:{port}.evil.example"), 403),
        (&*format!("http://evil.example@127.0.0.1:{port}"), 403),
        ("null", 403),
    ] {
        assert_eq!(status_with(gateway.edge(), &[("origin", origin)]).await, status, "{origin}");
    }
    assert_eq!(status_with(gateway.edge(), &[]).await, 101, "no browser is behind a request without an origin");
    assert_eq!(status_with(gateway.edge(), &[("origin", &own), ("origin", &own)]).await, 403);

    let listing = with_process("origins: [\"https://game.example\"]", ECHO);
    assert_eq!(status_with(listing.edge(), &[("origin", "https://game.example")]).await, 101);
    for origin in [
        "https://evil.example",
        "http://game.example",
        "https://game.example:8443",
        "https://game.example.evil.example",
        "https://sub.game.example",
    ] {
        assert_eq!(status_with(listing.edge(), &[("origin", origin)]).await, 403, "{origin}");
    }
}

/// A gateway before a mirror, which tells the client's address as the gateway sees it.
async fn telling(process: &str) -> (TestGateway, Mirror) {
    let mirror = Mirror::start("mirror").await;
    let routes = ECHO.replace("{ builtin: echo }", &format!("{{ grpc: {{ endpoints: [\"http://{}\"] }} }}", mirror.address));
    (with_process(process, &routes), mirror)
}

async fn told_address(edge: SocketAddr, introduction: &Introduction<'_>) -> String {
    TestClient::introduce(edge, introduction).await.unwrap().echo(9001, "tell protogate-peer").await
}

#[tokio::test]
async fn only_a_trusted_proxy_says_for_whom_it_speaks() {
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[("x-forwarded-for", "192.0.2.7")], "192.0.2.7"),
        (&[("x-forwarded-for", "6.6.6.6, 192.0.2.7")], "192.0.2.7"),
        (&[("x-forwarded-for", "6.6.6.6, 192.0.2.7, 10.1.1.1")], "192.0.2.7"),
        (&[("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "192.0.2.7")], "192.0.2.7"),
        (&[("forwarded", "for=6.6.6.6, for=192.0.2.7;proto=https")], "192.0.2.7"),
        (&[("forwarded", "for=\"[2001:db8::7]:4711\"")], "2001:db8::7"),
        (&[("forwarded", "for=192.0.2.7"), ("x-forwarded-for", "192.0.2.7")], "192.0.2.7"),
        (&[], "127.0.0.1"),
    ];
    let (trusting, _mirror) = telling("trusted_proxies: [127.0.0.0/8, 10.0.0.0/8]").await;
    let (strange, _another) = telling("").await;
    for (headers, address) in cases {
        let introduction = Introduction { headers, ..Introduction::default() };
        assert_eq!(told_address(trusting.edge(), &introduction).await, *address, "{headers:?}");
        assert_eq!(told_address(strange.edge(), &introduction).await, "127.0.0.1", "{headers:?}");
    }
    let contradiction = [("forwarded", "for=192.0.2.7"), ("x-forwarded-for", "192.0.2.8")];
    assert_eq!(status_with(trusting.edge(), &contradiction).await, 400);
}

#[tokio::test]
async fn the_proxy_protocol_is_read_from_trusted_proxies_alone() {
    let v1 = b"PROXY TCP4 192.0.2.8 10.0.0.1 4711 443\r\n";
    let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x09\x0a\0\0\x01\x12\x67\x01\xbb";
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    let (trusting, _mirror) = telling("trusted_proxies: [127.0.0.0/8]\nproxy_protocol: true").await;
    let (strange, _another) = telling("trusted_proxies: [192.0.2.0/24]\nproxy_protocol: true").await;
    for (before, address) in [(&v1[..], "192.0.2.8"), (v2, "192.0.2.9"), (local, "127.0.0.1")] {
        let introduction = Introduction { before, ..Introduction::default() };
        assert_eq!(told_address(trusting.edge(), &introduction).await, address);
        assert!(TestClient::try_introduce(strange.edge(), &introduction).await.is_err(), "a stranger's header is no request");
    }
    assert!(TestClient::try_introduce(trusting.edge(), &Introduction::default()).await.is_err(), "a trusted proxy must send one");
    assert_eq!(told_address(strange.edge(), &Introduction::default()).await, "127.0.0.1");
}

#[tokio::test]
async fn an_address_has_so_many_connections_and_each_client_of_a_proxy_its_own() {
    let (gateway, _mirror) = telling("connections: { per_ip_max: 2 }\ntrusted_proxies: [127.0.0.1/32]").await;
    let connect = async |address| {
        let headers = [("x-forwarded-for", address)];
        TestClient::introduce(gateway.edge(), &Introduction { headers: &headers, ..Introduction::default() }).await
    };
    let sitting = [connect("192.0.2.1").await, connect("192.0.2.1").await];
    assert!(sitting.iter().all(Result::is_ok));
    let refusal = connect("192.0.2.1").await.err().unwrap();
    assert_eq!(refusal.status(), 429);
    assert!(refusal.headers().contains_key("retry-after"));
    assert!(connect("192.0.2.2").await.is_ok(), "a neighbour is not held back");
    drop(sitting);
    let deadline = Instant::now() + PATIENCE;
    while connect("192.0.2.1").await.is_err() {
        assert!(Instant::now() < deadline, "the seats were not given back");
    }
}

#[tokio::test]
async fn a_full_gateway_says_when_to_come_back() {
    let gateway = with_process("connections: { max: 8 }", ECHO);
    let token = gateway.token("alice", &[]);
    let anonymous = [TestClient::connect(gateway.edge()).await, TestClient::connect(gateway.edge()).await];
    assert_eq!(status_with(gateway.edge(), &[]).await, 503, "a quarter may be nobody");
    let mut sitting = Vec::new();
    for _ in 0..6 {
        sitting.push(TestClient::connect_as(gateway.edge(), &token).await);
    }
    let header = format!("Bearer {token}");
    let headers = [("authorization", &*header)];
    let refusal =
        TestClient::introduce(gateway.edge(), &Introduction { headers: &headers, ..Introduction::default() }).await.err().unwrap();
    assert_eq!(refusal.status(), 503);
    let wait: u32 = refusal.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=30).contains(&wait), "{wait}");
    assert_eq!(sitting[5].echo(9002, "hi").await, "hi");
    drop(anonymous);
}

#[tokio::test]
async fn whoever_stays_unknown_must_leave() {
    let gateway = with_process("connections: { auth_timeout: 2s, anonymous_max_age: 6s }", ECHO);
    let token = gateway.token("alice", &[]);
    let mut known = TestClient::connect_as(gateway.edge(), &token).await;
    let began = Instant::now();
    let mut idle = TestClient::connect(gateway.edge()).await;
    let mut busy = TestClient::connect(gateway.edge()).await;
    let playing = async {
        loop {
            busy.send(9001, json!({ "text": "hi" })).await;
            let answer = busy.hear_message().await;
            if answer["protocol"] == 11 {
                return (answer["payload"]["code"].clone(), began.elapsed());
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    let leaving = async {
        idle.assert_sent_away(4500).await;
        began.elapsed()
    };
    let ((code, played), idled) = tokio::join!(playing, leaving);
    assert!(idled < played, "no call, no more than `auth_timeout`: {idled:?}");
    assert!(code == 4500 && played > Duration::from_secs(5), "calls buy time, up to `anonymous_max_age`: {played:?}");
    assert_eq!(known.echo(9002, "hi").await, "hi");
}
