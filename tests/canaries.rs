//! Canaries: a secret of every kind, by every door there is, in both codecs, against the real program at its most talkative. None of them is
//! in any line of the log or in any answer of the operator's side, whatever that has: the gateway is asked which paths it knows.
//!
//! What is harmless and goes the same ways is found, or the test would prove nothing. Accounts, and the tokens that they make, are
//! `secrets`' to test.

use std::collections::BTreeSet;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use futures_util::{SinkExt as _, StreamExt as _};
use prost::Message as _;
use protogate::push::v1::PresenceRequest;
use protogate::push::v1::push_service_client::PushServiceClient;
use protogate::registry::v1::RegisterRequest;
use protogate::registry::v1::registry_client::RegistryClient;
use protogate::services::auth::v1::LoginRequest;
use protogate::services::echo::v1::EchoRequest;
use protogate::wire::{Codec, Envelope, Payload};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tonic::Request;
use tonic::transport::{Channel, Endpoint};

use crate::support::client::{Introduction, TestClient};
use crate::support::mirror::Mirror;
use crate::support::nodes::eventually;
use crate::support::redis::RedisServer;
use crate::support::walkthrough::Reader;
use crate::support::{PATIENCE, copy, folder_with, shipped_routes, top};

/// What is pushed by the same ways and may be seen: in lines of the log, and in answers to the operator.
const IN_THE_LOG: [&str; 4] = ["harmless-json", "harmless-binary", "harmless-name", "harmless-message"];
const IN_ANSWERS: [&str; 1] = ["harmless-message"];

/// The gateway under test, what it leans on, and all that it must not show.
struct Aviary {
    reader: Reader,
    secrets: Vec<String>,
    operator: String,
    push: SocketAddr,
    mirror: Mirror,
    redis: RedisServer,
    folder: tempfile::TempDir,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

// === impl Aviary ===

impl Aviary {
    /// The shipped routes and some to a mirror, with every secret that a configuration has, and all of every payload in the log.
    async fn open(format: &str) -> Aviary {
        let folder = folder_with(&[]);
        copy(&top().join("routes"), &folder.path().join("routes"));
        let mut reader = Reader::new(folder.path());
        let mut secrets = Vec::new();
        let mut secret = |what: &str| {
            secrets.push(canary(what));
            canary(what)
        };
        let redis = RedisServer::start_with(&["--requirepass", &secret("redis")]);
        let (mirror, push) = (Mirror::start("mirror").await, SocketAddr::from(([127, 0, 0, 1], free_port())));
        reader.set("CANARY_REDIS", &redis.url().replace("//", &format!("//:{}@", canary("redis"))));
        reader.set("CANARY_PUSH", &secret("push"));
        reader.set("CANARY_REGISTRY", &secret("registry"));
        reader.set("CANARY_SMTP", &secret("smtp"));
        reader.set("CANARY_VALUE", &secret("value"));
        let hash = "sha256:6ca13d52ca70c883e0f0bb101e425a89e8624de51db2d2392593af6a84118090";
        let process = format!(
            "version: 1
telemetry: {{ log: {{ level: trace, format: {format} }} }}
store: {{ redis: {{ url: \"${{var.redis_url}}\" }} }}
push: {{ address: \"{push}\", token: \"${{var.push_token}}\" }}
auth:
  api_keys: [{{ name: ci, user: \"service:ci\", hash: \"{hash}\" }}]
  mail: {{ from: \"Game <game@example.com>\", smtp: {{ host: localhost, port: {}, user: game, password: \"${{var.smtp}}\" }} }}
",
            free_port()
        );
        fs::write(folder.path().join("routes/gateway.yaml"), process).unwrap();
        for (name, text) in shipped_routes() {
            fs::write(folder.path().join(name), text.replace("\ndefaults:\n", "\ndefaults:\n  log: { payload: all }\n")).unwrap();
        }
        let main = folder.path().join("routes/routes.yaml");
        let text = fs::read_to_string(&main).unwrap().replace("include: [", "include: [canaries.yaml, ");
        let variables = ["redis_url: { env: CANARY_REDIS", "push_token: { env: CANARY_PUSH", "smtp: { env: CANARY_SMTP"];
        let variables = variables.map(|variable| format!("  {variable}, secret: true }}\n")).concat();
        fs::write(&main, format!("{text}vars:\n{variables}  registry: {{ env: CANARY_REGISTRY, secret: true }}\n")).unwrap();
        fs::write(folder.path().join("routes/canaries.yaml"), routes(mirror.address)).unwrap();
        reader.types("protogate serve", &[]);
        let operator = fs::read_to_string(folder.path().join("data/admin.token")).unwrap().trim().to_owned();
        secrets.push(operator.clone());
        Aviary { reader, secrets, operator, push, mirror, redis, folder }
    }

    fn secret(&mut self, what: &str) -> String {
        self.secrets.push(canary(what));
        canary(what)
    }

    /// Every path that the operator's side answers to GET, with something in each place of it. Where it has a description of itself, that is
    /// asked; else it names its paths to whoever asks for another.
    async fn paths(&self) -> BTreeSet<String> {
        let described: Value = serde_json::from_str(&self.get("/api/v1/openapi.json").await).unwrap_or_default();
        let mut paths: Vec<String> = match described["paths"].as_object() {
            Some(paths) => paths.iter().filter(|(_, methods)| methods.get("get").is_some()).map(|(path, _)| path.clone()).collect(),
            None => Vec::new(),
        };
        let named: Value = serde_json::from_str(&self.get("/nowhere").await).expect("a refusal is JSON");
        let named = named["error"].as_str().expect("it says what there is").trim_start_matches("there is ");
        paths.extend(named.split(", ").map(str::to_owned));
        assert!(paths.len() > 5, "{paths:?}");
        paths.iter().flat_map(|path| filled(path)).collect()
    }

    /// What the operator is answered; what goes on is heard until it ends or somebody stops listening.
    async fn get(&self, path: &str) -> String {
        heard(self.reader.admin(), path.to_owned(), self.operator.clone()).await
    }

    /// Listens to everything that the operator's side has, from now on: what tells of calls as they end tells of these.
    async fn listen(&self) -> Vec<(String, JoinHandle<String>)> {
        let listening = |path: String| {
            let heard = heard_for(Duration::from_secs(20), self.reader.admin(), path.clone(), self.operator.clone());
            (path, tokio::spawn(heard))
        };
        // Those that end at once are asked again in the end.
        self.paths().await.into_iter().filter(|path| path.contains("tap")).map(listening).collect()
    }
}

/// A secret that is found wherever it is, and is no other's.
fn canary(what: &str) -> String {
    format!("canary-{what}-4d1f7a")
}

/// Routes to the mirror: one whose text is hidden on both sides, one whose text is not.
fn routes(mirror: SocketAddr) -> String {
    format!(
        "backends:
  mirror: {{ grpc: {{ endpoints: [\"http://{mirror}\"] }} }}
  registered: {{ grpc: {{ registry: {{ token: \"${{var.registry}}\", allow: [\"127.0.0.0/8\"] }} }} }}
defaults: {{ backend: mirror, access: anonymous, log: {{ payload: all, sample: 100% }}, expose_errors: true }}
routes:
  9101:
    name: canary.hidden
    rpc: protogate.echo.v1.EchoService/Echo
    redact: [request.text, response.text]
    metadata: [x-canary]
    idempotent: by_key
  9102: {{ name: canary.shown, rpc: protogate.echo.v1.EchoService/Echo }}
  9103: {{ name: canary.registered, rpc: protogate.echo.v1.EchoService/Echo, backend: registered }}
"
    )
}

/// The path with something that there is, or may be, in each of its places, and with what lists are asked for.
fn filled(path: &str) -> Vec<String> {
    let mut paths = vec![path.to_owned()];
    while paths[0].contains('{') {
        let fill = |path: &String| {
            let (before, rest) = path.split_once('{').unwrap();
            let after = rest.split_once('}').unwrap().1;
            ["1", "2", "3", "1001", "9101", "9102"].map(|part| format!("{before}{part}{after}"))
        };
        paths = paths.iter().flat_map(fill).collect();
    }
    let queries = ["", "?user=harmless-name", "?seconds=15", "?search=a"];
    paths.iter().flat_map(|path| queries.map(|query| format!("{path}{query}"))).collect()
}

/// The whole answer, head and body. By HTTP/1.0, in which no body is cut into pieces.
async fn heard(admin: SocketAddr, path: String, token: String) -> String {
    heard_for(PATIENCE, admin, path, token).await.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned())
}

async fn heard_for(patience: Duration, admin: SocketAddr, path: String, token: String) -> String {
    let mut stream = TcpStream::connect(admin).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.0\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_buf(&mut answer)).await.expect("it answers in time").unwrap();
    // What goes on for longer is not heard to its end.
    _ = timeout(patience, stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// Says envelopes in protobuf, and hears an answer to each.
async fn speak_binary(edge: SocketAddr, envelopes: &[Envelope<'_>]) {
    let mut request = format!("ws://{edge}/ws").into_client_request().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", "protogate.v1.proto".parse().unwrap());
    let (mut socket, _) = client_async(request, TcpStream::connect(edge).await.unwrap()).await.unwrap();
    let hello = timeout(PATIENCE, socket.next()).await.expect("the gateway greets");
    assert!(matches!(hello, Some(Ok(Message::Binary(_)))), "{hello:?}");
    for (envelope, id) in envelopes.iter().zip(1..) {
        let mut bytes = Vec::new();
        Codec::Proto.encode(&Envelope { id, ..envelope.clone() }, &mut bytes);
        socket.send(Message::binary(bytes)).await.unwrap();
        let answer = timeout(PATIENCE, socket.next()).await.expect("it answers in time");
        assert!(matches!(answer, Some(Ok(Message::Binary(_)))), "{answer:?}");
    }
}

async fn say(client: &mut TestClient, message: Value) {
    client.say(message.to_string()).await;
    client.hear_message().await;
}

/// By the handshake: a header, a subprotocol, a query, a cookie.
async fn by_the_handshake(aviary: &mut Aviary) {
    let edge = aviary.reader.edge();
    let (token, key) = (aviary.secret("handshake"), format!("pgk_ci_{}", aviary.secret("key")));
    let claims = BASE64_URL_SAFE_NO_PAD.encode(json!({ "iss": "protogate", "sub": aviary.secret("claim") }).to_string());
    let jwt = format!("{}.{claims}.{}", BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA","typ":"JWT"}"#), aviary.secret("signature"));
    aviary.secrets.push(claims);
    for shown in [token, key, jwt] {
        TestClient::connect_with_token(edge, &shown).await;
        let offered = format!("protogate.bearer.{}", BASE64_URL_SAFE_NO_PAD.encode(&shown));
        TestClient::introduce(edge, &Introduction { offered: &offered, ..Introduction::default() }).await.ok();
        let cookie = format!("token={shown}");
        TestClient::introduce(edge, &Introduction { headers: &[("cookie", &cookie)], ..Introduction::default() }).await.ok();
        let mut stream = TcpStream::connect(edge).await.unwrap();
        stream
            .write_all(format!("GET /ws?token={shown} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").as_bytes())
            .await
            .unwrap();
        _ = timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await;
    }
}

/// In the gateway's own messages, and in what an envelope has beside its payload.
async fn in_envelopes(aviary: &mut Aviary) {
    let edge = aviary.reader.edge();
    let mut client = TestClient::connect(edge).await;
    let (token, resume) = (aviary.secret("authenticate"), aviary.secret("resume"));
    say(&mut client, json!({ "protocol": 8, "id": 1, "payload": { "token": token } })).await;
    say(&mut client, json!({ "protocol": 4, "id": 2, "payload": { "resumeToken": resume, "token": token } })).await;
    say(&mut client, json!({ "protocol": 2, "id": 3, "payload": { "token": token } })).await;
    let mut client = TestClient::connect(edge).await;
    let (key, metadata, trace) = (aviary.secret("idempotency"), aviary.secret("metadata"), aviary.secret("traceparent"));
    let payload = json!({ "text": "harmless" });
    say(&mut client, json!({ "protocol": 9101, "id": 4, "payload": payload, "idempotencyKey": key })).await;
    say(&mut client, json!({ "protocol": 9101, "id": 5, "payload": payload, "idempotencyKey": format!("{key}\u{1}") })).await;
    for name in ["x-canary", "authorization", "x-unknown"] {
        say(&mut client, json!({ "protocol": 9101, "id": 6, "payload": payload, "metadata": { name: metadata } })).await;
        say(&mut client, json!({ "protocol": 9101, "id": 7, "payload": payload, "metadata": { name: format!("{metadata}\n") } })).await;
    }
    say(&mut client, json!({ "protocol": 9101, "id": 8, "payload": payload, "traceparent": trace })).await;
    // As JSON that is none, of the wrong type, and under a name that nothing has.
    for wrong in [json!({ "text": [key] }), json!({ "text": { "a": key } }), json!([key]), json!(key)] {
        say(&mut client, json!({ "protocol": 9101, "id": 9, "payload": wrong })).await;
    }
    say(&mut client, json!({ "protocol": 9101, "id": [key] })).await;
    let sound = Envelope { protocol: 9101, payload: Payload::Proto(b"\x0a\x08harmless"), ..Envelope::default() };
    let with_key = Envelope { idempotency_key: key.as_str().into(), ..sound.clone() };
    let with_trace = Envelope { traceparent: trace.as_str().into(), ..sound.clone() };
    let with_metadata = Envelope { metadata: vec![("x-canary".into(), metadata.as_str().into())], ..sound };
    speak_binary(edge, &[with_key, with_trace, with_metadata]).await;
}

/// In fields that are hidden, by what they are or because the route says so, in both codecs.
async fn in_payloads(aviary: &mut Aviary) {
    let edge = aviary.reader.edge();
    let (hidden, password, weak) = (aviary.secret("hidden"), aviary.secret("password"), aviary.secret("weak"));
    let mut client = TestClient::connect(edge).await;
    client.call(9101, json!({ "text": hidden })).await;
    client.call(9102, json!({ "text": "harmless-json" })).await;
    client.call(1001, json!({ "username": "harmless-name", "password": password })).await;
    client.call(1002, json!({ "username": weak, "password": [weak], "email": weak })).await;
    client.call(1003, json!({ "email": format!("{weak}@example.com"), "code": weak, "newPassword": weak })).await;
    client.call(1004, json!({ "refreshToken": password })).await;
    let registered = client.call(1002, json!({ "username": "birdie", "password": password, "email": "birdie@example.com" })).await;
    let payload = &registered["payload"];
    for token in ["accessToken", "refreshToken"] {
        aviary.secrets.push(payload[token].as_str().unwrap_or_else(|| panic!("no {token} in {registered}")).to_owned());
    }
    // A mail server that does not answer, and a room with a password.
    client.call(1003, json!({ "email": "birdie@example.com" })).await;
    let room =
        client.call(2002, json!({ "name": "cage", "capacity": 4, "password": aviary.secret("room") })).await["payload"]["room"]["id"]
            .clone();
    assert!(room.is_string(), "the room is made");
    client.call(2004, json!({ "roomId": room })).await;
    client.call(2003, json!({ "roomId": room, "password": aviary.secret("wrong") })).await;
    client.call(2003, json!({ "roomId": room, "password": aviary.secret("longer").repeat(20) })).await;

    let login = LoginRequest { username: "harmless-binary".into(), password: password.clone() }.encode_to_vec();
    let echo = EchoRequest { text: hidden }.encode_to_vec();
    let broken = [&echo[..], b"\xff\xff\xff"].concat();
    let envelope = |protocol, payload| Envelope { protocol, payload: Payload::Proto(payload), ..Envelope::default() };
    speak_binary(edge, &[envelope(1001, &login), envelope(9101, &echo), envelope(9101, &broken), envelope(1001, &login[..5])]).await;
}

/// By a backend, which tells in its failures and its replies what it was told.
async fn by_backends(aviary: &mut Aviary) {
    let mut client = TestClient::connect(aviary.reader.edge()).await;
    let (blurted, bearer, key) = (aviary.secret("blurted"), aviary.secret("bearer"), aviary.secret("minted"));
    client.call(9101, json!({ "text": format!("blurt 3 {blurted}") })).await;
    client.call(9101, json!({ "text": format!("blurt 13 {blurted}") })).await;
    client.call(9102, json!({ "text": format!("fail 3 harmless-message for Bearer {bearer}") })).await;
    client.call(9102, json!({ "text": format!("fail 13 at redis://:{bearer}@cache with pgk_ci_{key}") })).await;
    client.call(9102, json!({ "text": format!("authorization: Bearer {bearer}") })).await;
}

/// By other doors: of services that push or register, and the operator's.
async fn by_other_doors(aviary: &mut Aviary) {
    let channel: Channel = Endpoint::from_shared(format!("http://{}", aviary.push)).unwrap().connect().await.unwrap();
    for token in [canary("push"), canary("registry"), aviary.secret("stranger")] {
        let bearer = format!("Bearer {token}").parse::<tonic::metadata::MetadataValue<_>>().unwrap();
        let mut presence = Request::new(PresenceRequest::default());
        presence.metadata_mut().insert("authorization", bearer.clone());
        let mut register =
            Request::new(RegisterRequest { backend: "registered".into(), url: "http://:1".into(), ..RegisterRequest::default() });
        register.metadata_mut().insert("authorization", bearer);
        _ = PushServiceClient::new(channel.clone()).presence(presence).await;
        _ = RegistryClient::new(channel.clone()).register(register).await;
    }
    let admin = aviary.reader.admin();
    let wrong = aviary.secret("operator");
    heard(admin, "/api/v1/statistics".to_owned(), wrong.clone()).await;
    heard(admin, format!("/api/v1/statistics?token={wrong}"), wrong).await;
}

/// The secret as it is, and as it stands in bytes that are shown.
fn forms(secret: &str) -> Vec<String> {
    let bytes = secret.as_bytes();
    let hexadecimal = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let debug = format!("{bytes:?}").trim_matches(['[', ']']).to_owned();
    vec![
        secret.to_owned(),
        BASE64_STANDARD.encode(bytes).trim_end_matches('=').to_owned(),
        BASE64_URL_SAFE_NO_PAD.encode(bytes),
        hexadecimal,
        debug,
    ]
}

fn assert_absent(secrets: &[String], place: &str, text: &str) {
    for secret in secrets {
        for form in forms(secret) {
            if let Some(at) = text.find(&form) {
                let around = &text[text.floor_char_boundary(at.saturating_sub(200))..text.floor_char_boundary(at + form.len() + 100)];
                panic!("{place} holds {secret}:\n{around}");
            }
        }
    }
}

async fn no_canary_is_seen(format: &str) {
    let mut aviary = Aviary::open(format).await;
    let listening = aviary.listen().await;
    by_the_handshake(&mut aviary).await;
    in_envelopes(&mut aviary).await;
    in_payloads(&mut aviary).await;
    by_backends(&mut aviary).await;
    by_other_doors(&mut aviary).await;

    let mut answers = String::new();
    for path in aviary.paths().await {
        let answer = heard_for(Duration::from_secs(3), aviary.reader.admin(), path.clone(), aviary.operator.clone()).await;
        assert!(answer.starts_with("HTTP/1."), "{path} is answered: {answer}");
        assert_absent(&aviary.secrets, &path, &answer);
        answers.push_str(&answer);
    }
    for (path, listening) in listening {
        assert_absent(&aviary.secrets, &path, &listening.await.unwrap());
    }
    // What is said when the store is gone, and on the way out.
    aviary.redis.kill();
    let mut client = TestClient::connect(aviary.reader.edge()).await;
    client.call(1001, json!({ "username": "harmless-name", "password": canary("password") })).await;
    let is_shown = |part: &&str| aviary.reader.log().contains(*part);
    eventually("the log shows what is harmless", || std::future::ready(IN_THE_LOG.iter().all(is_shown))).await;

    let log = aviary.reader.log();
    for line in log.lines() {
        assert_absent(&aviary.secrets, "the log", line);
        assert!(format == "human" || serde_json::from_str::<Value>(line).is_ok(), "{line}");
    }
    for harmless in IN_ANSWERS {
        assert!(answers.contains(harmless), "the operator sees {harmless}");
    }
    assert!(aviary.secrets.len() > 25 && aviary.mirror.address.port() > 0 && aviary.folder.path().exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_canary_is_in_a_log_for_people_or_in_an_answer_to_the_operator() {
    no_canary_is_seen("human").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_canary_is_in_a_log_for_programs_or_in_an_answer_to_the_operator() {
    no_canary_is_seen("json").await;
}
