//! Who a client is, and for how long: tokens by every way and of every kind of issuer, fresh ones in time, and what is told to a backend.

use std::time::{Duration, SystemTime};

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::support::client::{Introduction, TestClient};
use crate::support::mirror::Mirror;
use crate::support::{ECHO, TestGateway, reload};

/// Of the routes that [`ECHO`] has, the one that needs a token, and the one that needs the role `player`.
const KNOWN: u32 = 9002;
const PLAYER: u32 = 9003;

const SECRET: &str = "a secret of at least thirty-two bytes";

/// One issuer: how it is declared, what lies in its file, and how it signs.
struct Issuer {
    algorithm: &'static str,
    declared: &'static str,
    file: String,
    sign: Box<Sign>,
}

/// A message into its signature.
type Sign = dyn Fn(&[u8]) -> Vec<u8>;

// === impl Issuer ===

impl Issuer {
    /// A token with these claims over the usual ones; null leaves a claim out.
    fn token(&self, more: Value) -> String {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let mut claims = json!({ "iss": "https://id.example", "aud": "game", "sub": "alice", "exp": now + 600 });
        for (claim, value) in more.as_object().unwrap() {
            claims[claim] = value.clone();
        }
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let encode = |json: Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
        let message = format!("{}.{}", encode(json!({ "alg": self.algorithm, "kid": "k1" })), encode(claims));
        let signature = BASE64_URL_SAFE_NO_PAD.encode((self.sign)(message.as_bytes()));
        format!("{message}.{signature}")
    }

    /// A gateway that believes it, with [`ECHO`]'s routes or others.
    fn gateway(&self, routes: &str) -> TestGateway {
        let process = format!(
            "version: 1\nvars: {{ jwt: {{ env: PROTOGATE_TESTS_SET_NO_SUCH_VARIABLE, default: \"{SECRET}\", secret: true }} }}\n\
             auth:\n  issuers:\n    - {{ issuer: \"https://id.example\", audience: [game], algorithm: {}, {}, roles: claims.access.roles, default_roles: [guest] }}\n",
            self.algorithm, self.declared
        );
        TestGateway::start_with(&[("routes/gateway.yaml", &process), ("routes/key.txt", &self.file), ("routes/routes.yaml", routes)])
    }
}

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", BASE64_STANDARD.encode(der))
}

fn eddsa() -> Issuer {
    let key = Ed25519KeyPair::generate().unwrap();
    let file = pem(key.public_key().as_der().unwrap().as_ref());
    Issuer { algorithm: "EdDSA", declared: "public_key: key.txt", file, sign: Box::new(move |message| key.sign(message).as_ref().to_vec()) }
}

fn es256() -> Issuer {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let file = pem(key.public_key().as_der().unwrap().as_ref());
    let sign = Box::new(move |message: &[u8]| key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec());
    Issuer { algorithm: "ES256", declared: "public_key: key.txt", file, sign }
}

fn rs256() -> Issuer {
    let key = rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
    let file = pem(key.public_key().as_der().unwrap().as_ref());
    let sign = Box::new(move |message: &[u8]| {
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
        signature
    });
    Issuer { algorithm: "RS256", declared: "public_key: key.txt", file, sign }
}

fn hs256() -> Issuer {
    let sign = |message: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), message).as_ref().to_vec();
    Issuer { algorithm: "HS256", declared: "secret: \"${var.jwt}\"", file: String::new(), sign: Box::new(sign) }
}

fn jwks() -> Issuer {
    let key = Ed25519KeyPair::generate().unwrap();
    let public = BASE64_URL_SAFE_NO_PAD.encode(key.public_key().as_ref());
    let file = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "k1", "x": public }] }).to_string();
    Issuer { algorithm: "EdDSA", declared: "jwks: key.txt", file, sign: Box::new(move |message| key.sign(message).as_ref().to_vec()) }
}

/// Says Authenticate, and returns what is said to that.
async fn authenticate(client: &mut TestClient, token: &str) -> Value {
    client.say(json!({ "protocol": 2, "id": 70, "payload": { "token": token } }).to_string()).await;
    client.hear_message().await
}

async fn refresh(client: &mut TestClient, token: &str) -> Value {
    client.say(json!({ "protocol": 8, "id": 80, "payload": { "token": token } }).to_string()).await;
    client.hear_message().await
}

#[tokio::test]
async fn a_token_comes_by_header_by_subprotocol_or_by_message() {
    let gateway = TestGateway::start(ECHO);
    let token = gateway.token("alice", &["player"]);
    let offered = format!("protogate.bearer.{}", BASE64_URL_SAFE_NO_PAD.encode(&token));

    let by_header = TestClient::connect_with_token(gateway.edge(), &token).await;
    // `introduce` sees that the answer names `protogate.v1.json` and nothing else.
    let by_subprotocol =
        TestClient::introduce(gateway.edge(), &Introduction { offered: &offered, ..Introduction::default() }).await.unwrap();
    for mut client in [by_header, by_subprotocol] {
        let ready = client.hear_message().await;
        assert_eq!(
            (&ready["protocol"], &ready["payload"]["user"], &ready["payload"]["roles"]),
            (&json!(3), &json!("alice"), &json!(["player"]))
        );
        assert_eq!(client.echo(PLAYER, "hi").await, "hi");
    }

    let mut by_message = TestClient::connect(gateway.edge()).await;
    assert_eq!(by_message.refused(KNOWN, json!({})).await, "UNAUTHENTICATED");
    let ready = authenticate(&mut by_message, &token).await;
    assert_eq!((&ready["protocol"], &ready["id"], &ready["payload"]["user"]), (&json!(3), &json!(70), &json!("alice")));
    assert!(ready["payload"]["expiresMs"].as_str().unwrap().parse::<u64>().unwrap() > 1_700_000_000_000);
    assert_eq!(by_message.echo(PLAYER, "hi").await, "hi");

    let header = format!("Bearer {token}");
    let both = Introduction { offered: &offered, headers: &[("authorization", &header)], ..Introduction::default() };
    assert_eq!(TestClient::introduce(gateway.edge(), &both).await.err().unwrap().status(), 400, "one token, not two");
}

#[tokio::test]
async fn every_kind_of_issuer_is_believed_and_nobody_else() {
    let stranger = eddsa();
    for issuer in [eddsa(), es256(), rs256(), hs256(), jwks()] {
        let gateway = issuer.gateway(ECHO);
        let mut client = TestClient::connect_as(gateway.edge(), &issuer.token(json!({ "access": { "roles": ["player"] } }))).await;
        assert_eq!(client.echo(PLAYER, "hi").await, "hi", "{}", issuer.declared);
        let forged = Issuer { algorithm: issuer.algorithm, declared: "", file: String::new(), sign: Box::new(|_| vec![0; 64]) };
        for wrong in [stranger.token(json!({})), forged.token(json!({}))] {
            TestClient::connect_with_token(gateway.edge(), &wrong).await.assert_sent_away(4500).await;
        }
    }
}

#[tokio::test]
async fn roles_come_from_the_issuers_claim_or_are_its_default() {
    let issuer = eddsa();
    let gateway = issuer.gateway(ECHO);
    for (claims, roles) in [
        (json!({ "access": { "roles": ["player", "admin"] } }), json!(["player", "admin"])),
        (json!({ "access": { "roles": "player admin" } }), json!(["player", "admin"])),
        (json!({ "access": {} }), json!(["guest"])),
        (json!({ "roles": ["admin"] }), json!(["guest"])),
        (json!({}), json!(["guest"])),
    ] {
        let mut client = TestClient::connect_with_token(gateway.edge(), &issuer.token(claims.clone())).await;
        assert_eq!(client.hear_message().await["payload"]["roles"], roles, "{claims}");
    }
}

#[tokio::test]
async fn a_bad_token_is_told_so_after_hello_and_never_why() {
    let issuer = eddsa();
    let gateway = issuer.gateway(ECHO);
    let good = issuer.token(json!({}));
    let long = issuer.token(json!({ "note": "x".repeat(8 << 10) }));
    let bad = [
        "nonsense".to_owned(),
        format!("{good}x"),
        long,
        issuer.token(json!({ "exp": 1_000_000_000 })),
        issuer.token(json!({ "exp": null })),
        issuer.token(json!({ "nbf": 4_000_000_000u64 })),
        issuer.token(json!({ "aud": "chat" })),
        issuer.token(json!({ "iss": "https://evil.example" })),
        issuer.token(json!({ "sub": "" })),
        issuer.token(json!({ "access": { "roles": 7 } })),
    ];
    let mut told = Vec::new();
    for token in &bad {
        let mut by_header = TestClient::connect_with_token(gateway.edge(), token).await;
        by_header.assert_sent_away(4500).await;
        let mut by_message = TestClient::connect(gateway.edge()).await;
        let refusal = authenticate(&mut by_message, token).await;
        assert_eq!((&refusal["id"], &refusal["status"]["reason"]), (&json!(70), &json!("INVALID_TOKEN")));
        told.push(refusal["status"]["message"].as_str().unwrap().to_owned());
        by_message.assert_sent_away(4500).await;
    }
    told.dedup();
    assert_eq!(told.len(), 1, "the text does not tell one from the other: {told:?}");
    let mut client = TestClient::connect(gateway.edge()).await;
    assert_eq!(authenticate(&mut client, &good).await["protocol"], 3);
}

#[tokio::test]
async fn a_fresh_token_is_taken_from_the_same_user_alone() {
    let gateway = TestGateway::start(ECHO);
    let mut client = TestClient::connect(gateway.edge()).await;
    let alice = gateway.token("alice", &["player"]);
    assert_eq!(refresh(&mut client, &alice).await["status"]["reason"], "UNAUTHENTICATED", "there is nothing to refresh yet");
    authenticate(&mut client, &gateway.token("alice", &[])).await;
    assert_eq!(client.refused(PLAYER, json!({})).await, "PERMISSION_DENIED");

    let ready = refresh(&mut client, &alice).await;
    assert_eq!((&ready["protocol"], &ready["id"], &ready["payload"]["roles"]), (&json!(8), &json!(80), &json!(["player"])));
    assert_eq!(client.echo(PLAYER, "hi").await, "hi", "its roles count at once");

    assert_eq!(refresh(&mut client, &gateway.token("bob", &["player"])).await["status"]["reason"], "INVALID_TOKEN");
    assert_eq!(refresh(&mut client, "nonsense").await["status"]["reason"], "INVALID_TOKEN");
    assert_eq!(client.echo(PLAYER, "hi").await, "hi", "the old token is still in force");
}

#[tokio::test]
async fn an_expiring_token_is_announced_and_a_fresh_one_keeps_the_connection() {
    let mirror = Mirror::start("mirror").await;
    let routes = ECHO.replace("{ builtin: echo }", &format!("{{ grpc: {{ endpoints: [\"http://{}\"] }} }}", mirror.address));
    let gateway = TestGateway::start(&routes);
    let short = || gateway.token_for(Duration::from_secs(3), "alice", &[]);
    let mut leaving = TestClient::connect_as(gateway.edge(), &short()).await;
    let mut staying = TestClient::connect_as(gateway.edge(), &short()).await;
    leaving.say(json!({ "protocol": KNOWN, "id": 1, "deadlineMs": 60_000, "payload": { "text": "slow 20000" } }).to_string()).await;
    for client in [&mut leaving, &mut staying] {
        let expiring = client.hear_message().await;
        assert_eq!(expiring["protocol"], 9, "{expiring}");
        assert!(expiring["payload"]["expiresMs"].is_string(), "{expiring}");
    }
    assert_eq!(refresh(&mut staying, &gateway.token("alice", &[])).await["protocol"], 8);
    let open = leaving.hear_message().await;
    assert_eq!((&open["id"], &open["status"]["reason"], &open["status"]["code"]), (&json!(1), &json!("EXPIRED"), &json!(10)));
    leaving.assert_sent_away(4002).await;
    assert_eq!(staying.echo(KNOWN, "hi").await, "mirror echo.known 1 alice hi");
}

#[tokio::test]
async fn a_token_is_handed_on_only_where_the_route_says_so() {
    let mirror = Mirror::start("mirror").await;
    let routes = |forward: bool| {
        let with = format!("{{ grpc: {{ endpoints: [\"http://{}\"] }} }}", mirror.address);
        let known = format!("{{ name: echo.known, forward_token: {forward},");
        ECHO.replace("{ builtin: echo }", &with).replace("{ name: echo.known,", &known)
    };
    let gateway = TestGateway::start(&routes(true));
    let token = gateway.token("alice", &["player"]);
    let mut client = TestClient::connect_as(gateway.edge(), &token).await;
    assert_eq!(client.echo(KNOWN, "tell authorization protogate-user protogate-roles").await, format!("Bearer {token} alice player"));
    assert_eq!(client.echo(PLAYER, "tell authorization").await, "-");

    gateway.write("routes/routes.yaml", &routes(false));
    assert_eq!(reload(&gateway).await.0, 200);
    assert_eq!(client.echo(KNOWN, "tell authorization").await, "-");

    // Nobody keeps tokens now. Once a route wants them again, those that came meanwhile must come again.
    let mut later = TestClient::connect_as(gateway.edge(), &token).await;
    gateway.write("routes/routes.yaml", &routes(true));
    assert_eq!(reload(&gateway).await.0, 200);
    assert_eq!(later.refused(KNOWN, json!({})).await, "UNAUTHENTICATED");
    assert_eq!(refresh(&mut later, &token).await["protocol"], 8);
    assert_eq!(later.echo(KNOWN, "tell authorization").await, format!("Bearer {token}"));
}

#[tokio::test]
async fn a_stamp_that_the_token_does_not_say_refuses_the_call() {
    let issuer = hs256();
    let gateway = issuer.gateway(&ECHO.replace("{ name: echo.known,", "{ name: echo.known, set: { request.text: session.token_id },"));
    let mut with = TestClient::connect_as(gateway.edge(), &issuer.token(json!({ "jti": "t-17" }))).await;
    assert_eq!(with.echo(KNOWN, "forged").await, "t-17");
    let mut without = TestClient::connect_as(gateway.edge(), &issuer.token(json!({}))).await;
    assert_eq!(without.refused(KNOWN, json!({ "text": "forged" })).await, "IDENTITY_TYPE");
}
