//! Where services push from outside: who is let in, and who is not. What the PushService answers is tested elsewhere.

use std::net::SocketAddr;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use protogate::push::v1::PresenceRequest;
use protogate::push::v1::push_service_client::PushServiceClient;
use rcgen::{BasicConstraints, CertificateParams, CertifiedKey, IsCa, Issuer, KeyPair, generate_simple_self_signed};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tower::service_fn;

use crate::support::walkthrough::Reader;
use crate::support::{ECHO, PATIENCE, TestGateway, folder_with, reload};

const TOKEN: &str = "a token of services";
/// Who signs the certificates of services.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// What a service shows and believes, over TLS.
struct Shown {
    server: CertificateDer<'static>,
    own: Option<(CertificateDer<'static>, KeyPair)>,
}

fn with_push(push: &str, more: &[(&str, &str)]) -> TestGateway {
    let process = format!("version: 1\nreload: {{ watch: false }}\npush: {{ address: \"127.0.0.1:0\", {push} }}\n");
    TestGateway::start_with(&[&[("routes/gateway.yaml", &*process), ("routes/routes.yaml", ECHO)], more].concat())
}

fn address(gateway: &TestGateway) -> SocketAddr {
    gateway.gateway().push_address().expect("there is a push side")
}

async fn clear_text(gateway: &TestGateway) -> Channel {
    Endpoint::from_shared(format!("http://{}", address(gateway))).unwrap().connect().await.unwrap()
}

/// A connection over TLS, or nothing if it is not taken.
async fn over_tls(gateway: &TestGateway, shown: &Shown) -> Option<Channel> {
    let mut roots = RootCertStore::empty();
    roots.add(shown.server.clone()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let mut config = match &shown.own {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
            builder.with_client_auth_cert(vec![certificate.clone()], key).unwrap()
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let (address, connector) = (address(gateway), TlsConnector::from(Arc::new(config)));
    let connect = service_fn(move |_| {
        let connector = connector.clone();
        async move {
            let stream = TcpStream::connect(address).await?;
            connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.map(TokioIo::new)
        }
    });
    Endpoint::from_static("http://localhost").connect_with_connector(connect).await.ok()
}

/// A call, with this in `authorization`. Whatever the service itself answers means that the call came through.
async fn call(channel: Channel, authorization: Option<&str>) -> Result<(), Status> {
    let mut request = Request::new(PresenceRequest::default());
    if let Some(shown) = authorization {
        request.metadata_mut().insert("authorization", shown.parse().unwrap());
    }
    let answer = timeout(PATIENCE, PushServiceClient::new(channel).presence(request)).await.expect("there is an answer in time");
    match answer {
        // What breaks under the call has a cause here, on this side.
        Err(status) if status.code() == Code::Unauthenticated || std::error::Error::source(&status).is_some() => Err(status),
        _ => Ok(()),
    }
}

async fn comes_through(gateway: &TestGateway, shown: &Shown, authorization: Option<&str>) -> bool {
    match over_tls(gateway, shown).await {
        Some(channel) => call(channel, authorization).await.is_ok(),
        None => false,
    }
}

fn bearer() -> Option<&'static str> {
    Some("Bearer a token of services")
}

fn server() -> CertifiedKey<KeyPair> {
    generate_simple_self_signed(["localhost".to_owned()]).unwrap()
}

/// A gateway whose push side speaks TLS.
fn with_certificates(push: &str, server: &CertifiedKey<KeyPair>, authority: &Authority) -> TestGateway {
    let push = format!("{push} tls: {{ cert: server.pem, key: server.key, client_ca: services.pem }}");
    let (cert, key) = (server.cert.pem(), server.signing_key.serialize_pem());
    with_push(&push, &[("routes/server.pem", &cert), ("routes/server.key", &key), ("routes/services.pem", &authority.pem)])
}

// === impl Authority ===

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Authority { pem: params.self_signed(&key).unwrap().pem(), issuer: Issuer::new(params, key) }
    }

    /// A service that it knows.
    fn service(&self, server: &CertifiedKey<KeyPair>) -> Shown {
        let key = KeyPair::generate().unwrap();
        let signed = CertificateParams::new(["game".to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        Shown { server: server.cert.der().clone(), own: Some((signed.der().clone(), key)) }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_the_token_comes_through_and_nobody_else() {
    let gateway = with_push(&format!("token: \"{TOKEN}\""), &[]);
    let channel = clear_text(&gateway).await;
    call(channel.clone(), bearer()).await.unwrap();
    for shown in [None, Some("Bearer a token of somebody"), Some("Bearer "), Some(TOKEN)] {
        let refused = call(channel.clone(), shown).await.expect_err("it is no token");
        assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
        assert!(refused.message().contains("push.token") && !refused.message().contains(TOKEN), "{refused}");
    }
    call(channel, bearer()).await.expect("the connection is as good as before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_without_the_token_is_refused_before_its_message_is_there() {
    let gateway = with_push(&format!("token: \"{TOKEN}\""), &[]);
    let stream = TcpStream::connect(address(&gateway)).await.unwrap();
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = http::Request::post("http://localhost/protogate.push.v1.PushService/Push").header("content-type", "application/grpc");
    let (answer, _body) = client.send_request(request.body(()).unwrap(), false).unwrap();
    let answer = timeout(PATIENCE, answer).await.expect("it does not wait for the message").unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["grpc-status"]), (200, &"16".parse().unwrap()));
    connection.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_the_authority_opens_as_the_token_does() {
    let (server, authority) = (server(), Authority::new());
    let gateway = with_certificates(&format!("token: \"{TOKEN}\","), &server, &authority);
    let stranger = Shown { server: server.cert.der().clone(), own: None };
    assert!(comes_through(&gateway, &authority.service(&server), None).await);
    assert!(comes_through(&gateway, &stranger, bearer()).await);
    let refused = call(over_tls(&gateway, &stranger).await.expect("it may still show the token"), None).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
    assert!(!comes_through(&gateway, &Authority::new().service(&server), bearer()).await, "a wrong certificate is worse than none");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_there_is_no_token_a_certificate_is_needed_to_be_heard_at_all() {
    let (server, authority) = (server(), Authority::new());
    let gateway = with_certificates("", &server, &authority);
    assert!(comes_through(&gateway, &authority.service(&server), None).await);
    assert!(!comes_through(&gateway, &Authority::new().service(&server), None).await);
    assert!(!comes_through(&gateway, &Shown { server: server.cert.der().clone(), own: None }, bearer()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_authority_is_asked_of_the_next_connection() {
    let (server, before, after) = (server(), Authority::new(), Authority::new());
    let gateway = with_certificates("", &server, &before);
    let (old, new) = (before.service(&server), after.service(&server));
    let open = over_tls(&gateway, &old).await.unwrap();
    call(open.clone(), None).await.unwrap();
    assert!(!comes_through(&gateway, &new, None).await);

    gateway.write("routes/services.pem", &after.pem);
    gateway.gateway().renew_certificates();
    assert!(comes_through(&gateway, &new, None).await);
    assert!(!comes_through(&gateway, &old, None).await);
    call(open, None).await.expect("who was there stays");

    gateway.write("routes/services.pem", "nonsense");
    gateway.gateway().renew_certificates();
    assert!(comes_through(&gateway, &new, None).await, "what cannot be used changes nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_http2_is_closed() {
    let (server, authority) = (server(), Authority::new());
    for gateway in [with_push(&format!("token: \"{TOKEN}\""), &[]), with_certificates("", &server, &authority)] {
        let mut peer = TcpStream::connect(address(&gateway)).await.unwrap();
        peer.write_all(b"POST /protogate.push.v1.PushService/Push HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let mut said = Vec::new();
        // Whatever was not read is answered by a reset.
        let _ = timeout(PATIENCE, peer.read_to_end(&mut said)).await.expect("it is closed in time");
        assert!(!said.starts_with(b"HTTP/1"), "nothing is answered");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_shows_nothing_keeps_no_service_out_by_being_there() {
    let gateway = with_push(&format!("token: \"{TOKEN}\""), &[]);
    let service = clear_text(&gateway).await;
    assert!(call(service.clone(), bearer()).await.is_ok());
    let mut strangers = Vec::new();
    for _ in 0..300 {
        let mut stranger = TcpStream::connect(address(&gateway)).await.unwrap();
        // As HTTP/2 begins, and no more: hyper asks it every twenty seconds whether it is there.
        stranger.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
        strangers.push(stranger);
    }
    let guessing = clear_text(&gateway).await;
    assert!(call(guessing, Some("Bearer of bad news")).await.is_err());
    assert!(call(clear_text(&gateway).await, bearer()).await.is_ok(), "a stranger gave way to it");
    assert!(call(service, bearer()).await.is_ok(), "and who is known did not");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_off_until_it_is_configured_and_stays_as_it_was_started() {
    let gateway = TestGateway::start(ECHO);
    assert_eq!(gateway.gateway().push_address(), None);
    let process = format!("version: 1\nreload: {{ watch: false }}\npush: {{ address: \"127.0.0.1:0\", token: \"{TOKEN}\" }}\n");
    gateway.write("routes/gateway.yaml", &process);
    let (status, answer) = reload(&gateway).await;
    assert_eq!(status, 422, "{answer}");
    assert!(answer.to_string().contains("a change of `push` needs a restart"), "{answer}");
}

#[test]
fn the_ready_file_says_where_it_is() {
    let process = format!("version: 1\npush: {{ token: \"{TOKEN}\" }}\n");
    let folder = folder_with(&[("routes/gateway.yaml", &process), ("routes/routes.yaml", ECHO)]);
    let mut reader = Reader::new(folder.path());
    reader.types("protogate serve --push 127.0.0.1:0", &[]);
    let ready: Value = serde_json::from_str(&std::fs::read_to_string(folder.path().join("ready.json")).unwrap()).unwrap();
    let said: SocketAddr = ready["push"].as_str().expect("the ready file names it").parse().unwrap();
    assert!(said.ip().is_loopback() && said.port() != 0);
    assert!(std::net::TcpStream::connect(said).is_ok());
    assert!(!reader.log().contains(TOKEN), "{}", reader.log());
}

#[test]
fn an_address_alone_opens_nothing() {
    let folder = folder_with(&[("routes/routes.yaml", ECHO)]);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_protogate"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--push", "127.0.0.1:0"]).env_remove("GATEWAY_MODE");
    let output = command.current_dir(folder.path()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(64) && told.contains("gateway.yaml has no `push`"), "{told}");
}
