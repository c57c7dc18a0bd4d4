//! Keys that the gateway fetches from an issuer, and keys that others fetch from it, over real sockets.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use protogate::pipeline::Verifier;
use protogate::pipeline::auth::{IssuerSpec, KeySource};
use protogate::pipeline::cause::Cause;
use protogate::pipeline::fetch::Server;
use protogate::pipeline::key_set::KeySet;
use protogate::pipeline::public_key::{PublicKey, key_set};
use protogate::pipeline::signer::{NewToken, Signer, issuer_of};
use rcgen::generate_simple_self_signed;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::support::client::TestClient;
use crate::support::walkthrough::{Reader, wait_for};
use crate::support::{ECHO, PATIENCE, TestGateway, folder_with, reload};

/// An issuer's web server.
struct Issuer {
    url: String,
    told: Arc<Told>,
    task: JoinHandle<()>,
}

/// What it answers, and what it was asked.
#[derive(Default)]
struct Told {
    answer: Mutex<(StatusCode, HeaderMap, Bytes)>,
    asked: AtomicUsize,
}

// === impl Issuer ===

impl Issuer {
    async fn start() -> Issuer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let told = Arc::new(Told::default());
        let task = tokio::spawn(serve(listener, Arc::clone(&told)));
        Issuer { url, told, task }
    }

    fn publishes(&self, signers: &[&Signer]) {
        let keys: Vec<PublicKey> = signers.iter().map(|signer| signer.public()).collect();
        self.answers(StatusCode::OK, &[], key_set(&keys).into_bytes());
    }

    fn answers(&self, status: StatusCode, headers: &[(&'static str, &'static str)], body: Vec<u8>) {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        *self.told.answer.lock().unwrap() = (status, headers, body.into());
    }

    fn asked(&self) -> usize {
        self.told.asked.load(Ordering::Relaxed)
    }

    /// One look at the set by a verifier of its own, so that no cool-down is in the way.
    async fn verifier(&self) -> Verifier {
        let spec = IssuerSpec { keys: KeySource::Url(self.url.as_str().into()), ..issuer_of(&[], "id", "game") };
        let open = &mut |spec| {
            let server = Server::new(&self.url);
            Arc::new(KeySet::open(spec, server, &Handle::current()))
        };
        Verifier::with_key_sets(&[spec], open).ok().unwrap()
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, told: Arc<Told>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let told = Arc::clone(&told);
        let service = service_fn(move |request: Request<Incoming>| {
            told.asked.fetch_add(1, Ordering::Relaxed);
            let (status, headers, body) = told.answer.lock().unwrap().clone();
            let known = request.headers().get("if-none-match").is_some_and(|tag| headers.get("etag") == Some(tag));
            let mut response = Response::new(Full::new(if known { Bytes::new() } else { body }));
            *response.status_mut() = if known { StatusCode::NOT_MODIFIED } else { status };
            *response.headers_mut() = headers;
            async move { Ok::<_, std::convert::Infallible>(response) }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

fn token(signer: &Signer) -> String {
    let token = NewToken { issuer: "id", audience: "game", user: "alice", roles: &[], token_id: None, ttl: Duration::from_secs(600) };
    signer.issue(&token, SystemTime::now())
}

async fn is_believed(verifier: &Verifier, signer: &Signer) -> bool {
    verifier.verify_patiently(&token(signer), SystemTime::now).await.is_ok()
}

#[tokio::test]
async fn keys_are_fetched_and_fetched_again_when_the_issuer_rotates() {
    let (issuer, old, new) = (Issuer::start().await, Signer::generate(), Signer::generate());
    issuer.publishes(&[&old]);
    let verifier = issuer.verifier().await;
    assert!(is_believed(&verifier, &old).await && !is_believed(&verifier, &Signer::generate()).await);
    assert_eq!(issuer.asked(), 2, "at the start, and for the stranger's key");
    assert!(!is_believed(&verifier, &new).await, "too early for another question");
    assert_eq!(issuer.asked(), 2);

    issuer.publishes(&[&new]);
    let verifier = issuer.verifier().await;
    assert!(is_believed(&verifier, &new).await && !is_believed(&verifier, &old).await);
}

#[tokio::test]
async fn a_hundred_tokens_with_a_new_key_are_one_question() {
    let (issuer, old, new) = (Issuer::start().await, Signer::generate(), Signer::generate());
    issuer.publishes(&[&old]);
    let verifier = Arc::new(issuer.verifier().await);
    assert!(is_believed(&verifier, &old).await);
    issuer.publishes(&[&old, &new]);
    let waiting: Vec<_> = (0..100)
        .map(|_| {
            let (verifier, token) = (Arc::clone(&verifier), token(&new));
            tokio::spawn(async move { verifier.verify_patiently(&token, SystemTime::now).await.is_ok() })
        })
        .collect();
    for believed in waiting {
        assert!(believed.await.unwrap());
    }
    assert_eq!((issuer.asked(), verifier.refusals().of(Cause::UnknownKey)), (2, 0));
}

#[tokio::test]
async fn what_is_no_key_set_leaves_the_old_keys_in_force() {
    let signer = Signer::generate();
    let too_many = json!({ "keys": vec![signer.public().jwk(); 65] }).to_string().into_bytes();
    let too_large = [key_set(&[signer.public()]).into_bytes(), vec![b' '; 256 << 10]].concat();
    let elsewhere = Issuer::start().await;
    elsewhere.publishes(&[&signer]);
    let redirect = [("location", &*elsewhere.url.clone().leak())];
    for (what, status, headers, body) in [
        ("a redirect", StatusCode::FOUND, &redirect[..], vec![]),
        ("garbage", StatusCode::OK, &[], b"<html>".to_vec()),
        ("no keys", StatusCode::OK, &[], br#"{"keys":[]}"#.to_vec()),
        ("too many keys", StatusCode::OK, &[], too_many),
        ("too large", StatusCode::OK, &[], too_large),
        ("an error", StatusCode::INTERNAL_SERVER_ERROR, &[], vec![]),
        ("nothing new to who has nothing", StatusCode::NOT_MODIFIED, &[], vec![]),
    ] {
        let issuer = Issuer::start().await;
        issuer.publishes(&[&signer]);
        let verifier = issuer.verifier().await;
        assert!(is_believed(&verifier, &signer).await);
        issuer.answers(status, headers, body);
        assert!(!is_believed(&verifier, &Signer::generate()).await, "{what}");
        assert_eq!(issuer.asked(), 2, "{what}");
        assert!(is_believed(&verifier, &signer).await, "{what}");
        // Who starts now has no old ones.
        assert!(!is_believed(&issuer.verifier().await, &signer).await, "{what}");
    }
    assert_eq!(elsewhere.asked(), 0, "no redirect is followed");
}

#[tokio::test]
async fn an_unchanged_set_is_not_sent_again_and_a_server_that_is_gone_is_not_missed() {
    let (issuer, signer) = (Issuer::start().await, Signer::generate());
    issuer.answers(StatusCode::OK, &[("etag", "\"a\"")], key_set(&[signer.public()]).into_bytes());
    let verifier = issuer.verifier().await;
    assert!(is_believed(&verifier, &signer).await);
    assert!(!is_believed(&verifier, &Signer::generate()).await, "asked again, it has nothing new");
    assert_eq!(issuer.asked(), 2);
    drop(issuer);
    assert!(is_believed(&verifier, &signer).await);
}

#[tokio::test]
async fn a_gateway_believes_an_issuer_whose_keys_it_fetches_over_reloads() {
    let (issuer, signer) = (Issuer::start().await, Signer::generate());
    issuer.publishes(&[&signer]);
    let process = format!(
        "version: 1\nreload: {{ watch: false }}\nauth: {{ issuers: [{{ issuer: id, audience: [game], algorithm: EdDSA, jwks: \"{}\" }}] }}\n",
        issuer.url
    );
    let gateway = TestGateway::start_with(&[("routes/gateway.yaml", &process), ("routes/routes.yaml", ECHO)]);
    let mut client = until_believed(gateway.edge(), &token(&signer)).await;
    assert_eq!(client.echo(9002, "hi").await, "hi");

    gateway.write("routes/routes.yaml", &format!("{ECHO}\n# changed"));
    assert_eq!(reload(&gateway).await.1["outcome"], "swapped");
    let mut client = TestClient::connect_as(gateway.edge(), &token(&signer)).await;
    assert_eq!(client.echo(9002, "hi").await, "hi");
    assert_eq!(issuer.asked(), 1, "the keys outlived the table");
}

#[tokio::test]
async fn one_gateway_believes_the_tokens_of_another_by_what_that_publishes_over_tls() {
    let certificate = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_pem();
    let issuer = TestGateway::start_with(&[
        (
            "routes/gateway.yaml",
            "version: 1\ntls: { cert: server.pem, key: server.key }\nauth: { signing: { key: signing.pem, issuer: id, audience: game } }\n",
        ),
        ("routes/routes.yaml", ECHO),
        ("routes/server.pem", &certificate.cert.pem()),
        ("routes/server.key", &certificate.signing_key.serialize_pem()),
        ("routes/signing.pem", &key),
    ]);
    let process = format!(
        "version: 1\nauth: {{ issuers: [{{ issuer: id, audience: [game], algorithm: EdDSA, jwks: \"https://localhost:{}/.well-known/jwks.json\" }}] }}\n",
        issuer.edge().port()
    );
    let folder = folder_with(&[("routes/gateway.yaml", &process), ("routes/routes.yaml", ECHO), ("ca.pem", &certificate.cert.pem())]);
    let token = token(&Signer::from_pem(key.as_bytes()).unwrap());

    let mut believing = Reader::new(folder.path());
    believing.set("SSL_CERT_FILE", folder.path().join("ca.pem").to_str().unwrap());
    believing.types("protogate serve", &[]);
    let mut client = until_believed(believing.edge(), &token).await;
    assert_eq!(client.echo(9002, "hi").await, "hi");

    // Who does not know the certificate does not take keys from whoever shows it, and says why.
    let stranger = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.path().join("ca.pem"), stranger.cert.pem()).unwrap();
    believing.types("protogate serve", &[]);
    wait_for("the log says why", || believing.log().contains("the key set cannot be fetched"));
    TestClient::connect_with_token(believing.edge(), &token).await.assert_sent_away(4500).await;
}

/// Connects as soon as the issuer's keys have been fetched.
async fn until_believed(edge: SocketAddr, token: &str) -> TestClient {
    let began = tokio::time::Instant::now();
    while began.elapsed() < PATIENCE {
        let mut client = TestClient::connect_with_token(edge, token).await;
        if client.hear_message().await["protocol"] == 3 {
            return client;
        }
        // Not to synchronise: only so that asking does not keep both processors busy.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the keys were not fetched in time");
}

/// One request to the edge, and the whole answer.
async fn request(gateway: &TestGateway, head: &str) -> String {
    let mut stream = TcpStream::connect(gateway.edge()).await.unwrap();
    stream.write_all(format!("{head}\r\nhost: gateway.example\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn published(gateway: &TestGateway) -> String {
    let answer = request(gateway, "GET /.well-known/jwks.json HTTP/1.1\r\norigin: https://elsewhere.example").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let head = head.to_ascii_lowercase();
    for line in
        ["http/1.1 200 ok", "content-type: application/json", "access-control-allow-origin: *", "cache-control: public, max-age=300"]
    {
        assert!(head.lines().any(|said| said == line), "{line}: {head}");
    }
    body.to_owned()
}

/// What a backend does that knows nothing but the address of the key set.
fn verify_as_a_backend(keys: &str, token: &str) -> Result<Value, String> {
    let keys: JwkSet = serde_json::from_str(keys).unwrap();
    let kid = decode_header(token).unwrap().kid.expect("a token names its key");
    let key = keys.find(&kid).ok_or("its key is not published")?;
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_audience(&["game"]);
    validation.set_issuer(&["game.example"]);
    let verified = decode::<Value>(token, &DecodingKey::from_jwk(key).unwrap(), &validation);
    verified.map(|token| token.claims).map_err(|error| error.to_string())
}

#[tokio::test]
async fn what_the_edge_publishes_verifies_what_the_gateway_signs_also_while_the_key_is_exchanged() {
    let key = || rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_pem();
    let (first, second) = (key(), key());
    let process = |more: &str| {
        format!("version: 1\nreload: {{ watch: false }}\nauth: {{ signing: {{ issuer: game.example, audience: game, {more} }} }}\n")
    };
    let gateway = TestGateway::start_with(&[
        ("routes/gateway.yaml", &process("key: first.pem")),
        ("routes/first.pem", &first),
        ("routes/second.pem", &second),
        ("routes/routes.yaml", ECHO),
    ]);
    let signed = |pem: &str| {
        let token =
            NewToken { issuer: "game.example", audience: "game", user: "alice", roles: &[], token_id: None, ttl: Duration::from_secs(600) };
        Signer::from_pem(pem.as_bytes()).unwrap().issue(&token, SystemTime::now())
    };
    let (old, new) = (signed(&first), signed(&second));
    assert_eq!(verify_as_a_backend(&published(&gateway).await, &old).unwrap()["sub"], "alice");
    assert!(verify_as_a_backend(&published(&gateway).await, &new).is_err());
    TestClient::connect_as(gateway.edge(), &old).await;
    TestClient::connect_with_token(gateway.edge(), &new).await.assert_sent_away(4500).await;

    gateway.write("routes/gateway.yaml", &process("key: second.pem, previous: [first.pem]"));
    assert_eq!(reload(&gateway).await.1["outcome"], "swapped");
    for token in [&old, &new] {
        assert_eq!(verify_as_a_backend(&published(&gateway).await, token).unwrap()["sub"], "alice");
        TestClient::connect_as(gateway.edge(), token).await;
    }

    gateway.write("routes/gateway.yaml", &process("key: second.pem"));
    assert_eq!(reload(&gateway).await.1["outcome"], "swapped");
    assert!(verify_as_a_backend(&published(&gateway).await, &old).is_err());
    TestClient::connect_with_token(gateway.edge(), &old).await.assert_sent_away(4500).await;
    TestClient::connect_as(gateway.edge(), &new).await;
    assert!(!published(&gateway).await.contains("\"d\""), "the private half stays here");
}

#[tokio::test]
async fn the_key_set_is_there_for_head_and_for_nothing_else() {
    let gateway = TestGateway::start(ECHO);
    assert!(published(&gateway).await.contains("\"crv\":\"Ed25519\""), "development has a key of its own");
    let head = request(&gateway, "HEAD /.well-known/jwks.json HTTP/1.1").await;
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(request(&gateway, "POST /.well-known/jwks.json HTTP/1.1").await.starts_with("HTTP/1.1 400 "));
    assert!(request(&gateway, "GET /.well-known/other HTTP/1.1").await.starts_with("HTTP/1.1 404 "));
}
