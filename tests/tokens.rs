//! The corpus of bad tokens, shown to a gateway as clients show them: every one is refused with one text, and counted by its cause.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::time::SystemTime;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use protogate::pipeline::api_key;
use protogate::pipeline::cause::Cause;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::support::client::{Heard, Introduction, TestClient};
use crate::support::{ECHO, TestGateway, admin_request};

/// Of the routes that [`ECHO`] has, one that needs a token.
const KNOWN: u32 = 9002;

/// Three issuers that the gateway believes, and their keys, which only the test has.
struct World {
    gateway: TestGateway,
    /// `ed`, by key set; the token names the key.
    ed: Ed25519KeyPair,
    /// `es`, by PEM.
    es: EcdsaKeyPair,
    /// The same key, signing in DER.
    es_der: EcdsaKeyPair,
    /// `rs`, by PEM.
    rs: rsa::KeyPair,
    rs_pem: String,
    api_key: String,
}

/// A token, what is bad about it, and what that is counted as.
type Row = (String, String, Cause);

// === impl World ===

impl World {
    fn new() -> World {
        let ed = Ed25519KeyPair::generate().unwrap();
        let other = Ed25519KeyPair::generate().unwrap();
        let es = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let es_der = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, es.to_pkcs8v1().unwrap().as_ref()).unwrap();
        let rs = rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
        let jwk = |kid: &str, key: &Ed25519KeyPair| json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": BASE64_URL_SAFE_NO_PAD.encode(key.public_key()) });
        let set = json!({ "keys": [jwk("k1", &ed), jwk("k2", &other)] }).to_string();
        let es_pem = pem(es.public_key().as_der().unwrap().as_ref());
        let rs_pem = pem(rs.public_key().as_der().unwrap().as_ref());
        let api_key = api_key::generate("ci");
        let hash: String = api_key::hash(&api_key).iter().map(|byte| format!("{byte:02x}")).collect();
        let process = format!(
            "version: 1\nreload: {{ watch: false }}\nauth:\n  issuers:\n\
             \x20   - {{ issuer: ed, audience: [game], algorithm: EdDSA, jwks: keys.json }}\n\
             \x20   - {{ issuer: es, audience: [game], algorithm: ES256, public_key: es.pem }}\n\
             \x20   - {{ issuer: rs, audience: [game], algorithm: RS256, public_key: rs.pem }}\n\
             \x20 api_keys:\n    - {{ name: ci, user: \"service:ci\", hash: \"sha256:{hash}\", roles: [player] }}\n"
        );
        let gateway = TestGateway::start_with(&[
            ("routes/gateway.yaml", &process),
            ("routes/keys.json", &set),
            ("routes/es.pem", &es_pem),
            ("routes/rs.pem", &rs_pem),
            ("routes/routes.yaml", ECHO),
        ]);
        World { gateway, ed, es, es_der, rs, rs_pem, api_key }
    }

    /// A token of `ed` with this header and these claims, as they are written, signed by its key.
    fn of_ed(&self, header: &str, claims: &str) -> String {
        signed(header, claims, |message| self.ed.sign(message).as_ref().to_vec())
    }

    /// A good token of `ed` but for one claim; null leaves it out.
    fn with(&self, claim: &str, value: Value) -> String {
        let mut claims = claims("ed");
        claims[claim] = value;
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        self.of_ed(GOOD, &claims.to_string())
    }

    fn headers(&self, trap: &str) -> Vec<Row> {
        let claims = claims("ed").to_string();
        let row = |what: &str, header: Value, cause| (what.to_owned(), self.of_ed(&header.to_string(), &claims), cause);
        let thief = Ed25519KeyPair::generate().unwrap();
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": BASE64_URL_SAFE_NO_PAD.encode(thief.public_key()) });
        let stolen = |header: Value| signed(&header.to_string(), &claims, |message| thief.sign(message).as_ref().to_vec());
        let confused = signed(r#"{"alg":"HS256"}"#, &self::claims("rs").to_string(), |message| hmac_of(self.rs_pem.as_bytes(), message));
        let unsigned = signed(r#"{"alg":"none"}"#, &claims, |_| Vec::new());
        vec![
            ("alg none without a signature".to_owned(), unsigned, Cause::WrongAlgorithm),
            row("alg none", json!({ "alg": "none", "kid": "k1" }), Cause::WrongAlgorithm),
            row("alg None", json!({ "alg": "None", "kid": "k1" }), Cause::WrongAlgorithm),
            row("alg nOnE", json!({ "alg": "nOnE", "kid": "k1" }), Cause::WrongAlgorithm),
            row("alg unknown", json!({ "alg": "XS999", "kid": "k1" }), Cause::WrongAlgorithm),
            row("another alg", json!({ "alg": "RS256", "kid": "k1" }), Cause::WrongAlgorithm),
            row("no alg", json!({ "kid": "k1" }), Cause::WrongAlgorithm),
            ("RS256 to HS256 with the public key as secret".to_owned(), confused, Cause::WrongAlgorithm),
            row("kid that climbs", json!({ "alg": "EdDSA", "kid": "../../../../dev/null" }), Cause::UnknownKey),
            row("kid that injects", json!({ "alg": "EdDSA", "kid": "k1' OR '1'='1" }), Cause::UnknownKey),
            row("huge kid", json!({ "alg": "EdDSA", "kid": "k".repeat(4096) }), Cause::UnknownKey),
            row("kid of another type", json!({ "alg": "EdDSA", "kid": 1 }), Cause::UnknownKey),
            row("no kid where there are two keys", json!({ "alg": "EdDSA" }), Cause::UnknownKey),
            ("jku".to_owned(), stolen(json!({ "alg": "EdDSA", "kid": "k9", "jku": trap })), Cause::UnknownKey),
            ("x5u".to_owned(), stolen(json!({ "alg": "EdDSA", "kid": "k1", "x5u": trap })), Cause::BadSignature),
            ("jwk in the header".to_owned(), stolen(json!({ "alg": "EdDSA", "kid": "k1", "jwk": jwk })), Cause::BadSignature),
            row("crit", json!({ "alg": "EdDSA", "kid": "k1", "crit": ["exp"], "exp": 1 }), Cause::CriticalHeader),
            row("empty crit", json!({ "alg": "EdDSA", "kid": "k1", "crit": [] }), Cause::CriticalHeader),
            ("alg twice".to_owned(), self.of_ed(r#"{"alg":"none","kid":"k1","alg":"EdDSA"}"#, &claims), Cause::Malformed),
        ]
    }

    fn claims(&self) -> Vec<Row> {
        let row = |what: &str, claim: &str, value: Value, cause| (what.to_owned(), self.with(claim, value), cause);
        let bad = |what: &str, claim: &str, value: Value| row(what, claim, value, Cause::BadClaims);
        let raw = |what: &str, from: &str, to: &str, cause| {
            let claims = claims("ed").to_string();
            assert!(claims.contains(from), "{from}");
            (what.to_owned(), self.of_ed(GOOD, &claims.replace(from, to)), cause)
        };
        let exp = claims("ed")["exp"].to_string();
        let exp_is = |written: &str| raw("exp as written", &format!("\"exp\":{exp}"), &format!("\"exp\":{written}"), Cause::BadClaims);
        vec![
            row("expired", "exp", json!(now() - 60), Cause::Expired),
            row("exp 0", "exp", json!(0), Cause::Expired),
            row("nbf ahead", "nbf", json!(now() + 3600), Cause::NotYetValid),
            row("iat ahead", "iat", json!(now() + 3600), Cause::NotYetValid),
            bad("no exp", "exp", Value::Null),
            bad("no aud", "aud", Value::Null),
            bad("no iss", "iss", Value::Null),
            bad("no sub", "sub", Value::Null),
            bad("empty sub", "sub", json!("")),
            bad("sub of another type", "sub", json!({ "name": "alice" })),
            bad("sub with a line end", "sub", json!("alice\r\nbob")),
            bad("exp as text", "exp", json!((now() + 60).to_string())),
            bad("exp negative", "exp", json!(-1)),
            bad("exp huge", "exp", json!(1e300)),
            bad("exp in milliseconds", "exp", json!((now() + 60) * 1000)),
            bad("exp in a list", "exp", json!([now() + 60])),
            bad("exp true", "exp", json!(true)),
            exp_is("null"),
            exp_is("18446744073709551617"),
            bad("nbf as text", "nbf", json!("0")),
            bad("nbf negative", "nbf", json!(-5)),
            bad("iat as text", "iat", json!("now")),
            raw("exp NaN", &exp, "NaN", Cause::Malformed),
            raw("exp Infinity", &exp, "Infinity", Cause::Malformed),
            row("foreign aud", "aud", json!("bank"), Cause::WrongAudience),
            row("foreign auds", "aud", json!(["bank", "gam", "game "]), Cause::WrongAudience),
            row("no auds", "aud", json!([]), Cause::WrongAudience),
            bad("aud of another type", "aud", json!(7)),
            row("foreign iss", "iss", json!("https://evil.example"), Cause::UnknownIssuer),
            bad("iss in a list", "iss", json!(["ed"])),
            bad("empty iss", "iss", json!("")),
            raw("sub twice", r#""sub":"alice""#, r#""sub":"alice","sub":"root""#, Cause::Malformed),
            raw("exp twice", r#""sub":"alice""#, r#""sub":"alice","exp":1"#, Cause::Malformed),
        ]
    }

    fn signatures(&self) -> Vec<Row> {
        let row = |what: &str, token: String, cause| (what.to_owned(), token, cause);
        let es = claims("es").to_string();
        let of_es =
            |what: &str, signature: Vec<u8>| row(what, signed(r#"{"alg":"ES256"}"#, &es, |_| signature.clone()), Cause::BadSignature);
        let random = SystemRandom::new();
        // The order of P-256.
        let order = BASE64_STANDARD.decode("/////wAAAAD//////////7zm+q2nF56E87nKwvxjJVE=").unwrap();
        let es_der = signed(r#"{"alg":"ES256"}"#, &es, |message| self.es_der.sign(&random, message).unwrap().as_ref().to_vec());
        let good = self.of_ed(GOOD, &claims("ed").to_string());
        let (message, signature) = good.rsplit_once('.').unwrap();
        let stranger = Ed25519KeyPair::generate().unwrap();
        let foreign = signed(GOOD, &claims("ed").to_string(), |message| stranger.sign(message).as_ref().to_vec());
        let of_another = signed(GOOD, &claims("es").to_string(), |message| self.ed.sign(message).as_ref().to_vec());
        let long = signed(GOOD, &claims("ed").to_string(), |_| vec![1; 16_000]);
        assert!(long.len() > 21_000);
        vec![
            of_es("r = s = 0", vec![0; 64]),
            of_es("r = 0", [vec![0; 32], vec![1; 32]].concat()),
            of_es("s = 0", [vec![1; 32], vec![0; 32]].concat()),
            of_es("s = n", [vec![1; 32], order.clone()].concat()),
            of_es("r = s = n", [order.clone(), order].concat()),
            of_es("no signature", vec![]),
            of_es("half a signature", vec![1; 32]),
            of_es("a signature of 65 bytes", vec![1; 65]),
            row("DER form", es_der, Cause::BadSignature),
            row("a stranger's signature", foreign, Cause::BadSignature),
            row("the key of another issuer", of_another, Cause::WrongAlgorithm),
            row("no signature", format!("{message}."), Cause::BadSignature),
            row("padded signature", format!("{message}.{signature}=="), Cause::BadSignature),
            row("a signature of 21,000 characters", long, Cause::TooLarge),
        ]
    }

    fn shapes(&self) -> Vec<Row> {
        let good = self.of_ed(GOOD, &claims("ed").to_string());
        let row = |what: &str, token: &str, cause| (what.to_owned(), token.to_owned(), cause);
        let filled = format!("{good}{}", "A".repeat(8193 - good.len()));
        let other_key = api_key::generate("ci");
        vec![
            row("nothing", "", Cause::Malformed),
            row("nonsense", "nonsense", Cause::Malformed),
            row("dots", "...", Cause::Malformed),
            row("two parts", good.rsplit_once('.').unwrap().0, Cause::Malformed),
            row("five parts", &format!("{good}.a.b"), Cause::Malformed),
            row("8 KiB and a byte", &filled, Cause::TooLarge),
            row("another API key", &other_key, Cause::UnknownApiKey),
            row("an API key of an unknown name", &api_key::generate("cd"), Cause::UnknownApiKey),
            row("an API key that lost its end", &self.api_key[..self.api_key.len() - 1], Cause::Malformed),
        ]
    }

    /// What the gateway has refused so far.
    async fn refused(&self) -> BTreeMap<String, u64> {
        let token = self.gateway.admin_token();
        let head =
            format!("GET /api/v1/statistics HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n");
        let (status, body) = admin_request(&self.gateway, &head).await;
        assert_eq!(status, 200);
        serde_json::from_value(body["tokens_refused"].clone()).unwrap()
    }
}

/// The header of a good token of `ed`.
const GOOD: &str = r#"{"alg":"EdDSA","kid":"k1"}"#;

fn claims(issuer: &str) -> Value {
    json!({ "iss": issuer, "aud": "game", "sub": "alice", "exp": now() + 600 })
}

fn signed(header: &str, claims: &str, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", BASE64_URL_SAFE_NO_PAD.encode(header), BASE64_URL_SAFE_NO_PAD.encode(claims));
    let signature = BASE64_URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

fn hmac_of(secret: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message).as_ref().to_vec()
}

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", BASE64_STANDARD.encode(der))
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

/// Says Authenticate, and returns what is said to that.
async fn authenticate(client: &mut TestClient, token: &str) -> Value {
    client.say(json!({ "protocol": 2, "id": 70, "payload": { "token": token } }).to_string()).await;
    client.hear_message().await
}

#[tokio::test]
async fn every_bad_token_is_refused_with_one_text_and_counted_by_its_cause() {
    let world = World::new();
    let edge = world.gateway.edge();
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let trap_url = format!("http://{}/keys", trap.local_addr().unwrap());

    let mut expected = world.refused().await;
    assert_eq!(expected.len(), Cause::ALL.len());
    assert!(expected.values().all(|count| *count == 0), "nothing was refused yet, and every cause is named");
    let rows = [world.headers(&trap_url), world.claims(), world.signatures(), world.shapes()].concat();
    assert!(rows.len() > 70);
    for (what, token, cause) in &rows {
        let mut client = TestClient::connect(edge).await;
        let refusal = authenticate(&mut client, token).await;
        let status = &refusal["status"];
        assert_eq!((&refusal["id"], &status["code"], &status["reason"]), (&json!(70), &json!(16), &json!("INVALID_TOKEN")), "{what}");
        assert_eq!(status["message"], protogate::session::identity::REFUSED, "{what}");
        client.assert_sent_away(4500).await;
        *expected.get_mut(cause.name()).unwrap() += 1;
        assert_eq!(world.refused().await, expected, "{what}");
    }
    // What nobody names by a header is enough to see that the header is judged by the same code.
    for (what, token, cause) in rows.iter().filter(|(_, token, _)| token.len() < 8000).step_by(7) {
        TestClient::connect_with_token(edge, token).await.assert_sent_away(4500).await;
        *expected.get_mut(cause.name()).unwrap() += 1;
        assert_eq!(world.refused().await, expected, "{what}");
    }
    assert_eq!(trap.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "nothing was fetched because a token said so");
}

#[tokio::test]
async fn what_was_refused_is_for_the_operator_alone() {
    let gateway = TestGateway::start(ECHO);
    let token = gateway.admin_token();
    for (method, token, status) in [("GET", "", 401), ("GET", "guess", 401), ("POST", &*token, 405), ("GET", &*token, 200)] {
        let head = format!(
            "{method} /api/v1/statistics HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
        );
        assert_eq!(admin_request(&gateway, &head).await.0, status, "{method}");
    }
}

#[tokio::test]
async fn good_tokens_of_the_same_issuers_are_believed() {
    let world = World::new();
    let random = SystemRandom::new();
    let rs = |message: &[u8]| {
        let mut signature = vec![0; world.rs.public_modulus_len()];
        world.rs.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
        signature
    };
    let good = [
        world.of_ed(GOOD, &claims("ed").to_string()),
        world.with("aud", json!(["bank", "game"])),
        world.with("iat", json!(now() as f64 - 0.5)),
        signed(r#"{"alg":"ES256"}"#, &claims("es").to_string(), |message| world.es.sign(&random, message).unwrap().as_ref().to_vec()),
        signed(r#"{"alg":"RS256","kid":"whatever"}"#, &claims("rs").to_string(), rs),
    ];
    for token in good {
        let mut client = TestClient::connect_as(world.gateway.edge(), &token).await;
        assert_eq!(client.echo(KNOWN, "hi").await, "hi");
    }
    assert!(world.refused().await.values().all(|count| *count == 0));
}

#[tokio::test]
async fn an_api_key_comes_in_every_way_a_token_does() {
    let world = World::new();
    let edge = world.gateway.edge();
    let offered = format!("protogate.bearer.{}", BASE64_URL_SAFE_NO_PAD.encode(&world.api_key));
    let by_header = TestClient::connect_with_token(edge, &world.api_key).await;
    let by_subprotocol = TestClient::introduce(edge, &Introduction { offered: &offered, ..Introduction::default() }).await.unwrap();
    for mut client in [by_header, by_subprotocol] {
        let ready = client.hear_message().await;
        assert_eq!((&ready["payload"]["user"], &ready["payload"]["roles"]), (&json!("service:ci"), &json!(["player"])));
        assert_eq!(client.echo(KNOWN, "hi").await, "hi");
    }
    let mut by_message = TestClient::connect(edge).await;
    assert_eq!(authenticate(&mut by_message, &world.api_key).await["payload"]["user"], "service:ci");
    assert_eq!(by_message.echo(9003, "hi").await, "hi", "its roles count");
}

#[tokio::test]
async fn a_token_larger_than_a_message_ends_as_a_message_that_is_too_large() {
    let world = World::new();
    let mut client = TestClient::connect(world.gateway.edge()).await;
    let token = "A".repeat(2 << 20);
    // The gateway need not take all of it.
    _ = client.try_say(json!({ "protocol": 2, "id": 70, "payload": { "token": token } }).to_string()).await;
    let heard = loop {
        match client.hear().await {
            Heard::Message(goodbye) => assert_eq!(goodbye["payload"]["code"], 1009, "{goodbye}"),
            heard => break heard,
        }
    };
    assert!(matches!(heard, Heard::Close(1009) | Heard::End), "{heard:?}");
    assert!(world.refused().await.values().all(|count| *count == 0), "nobody looked at it");
}

#[tokio::test]
async fn a_refresh_that_would_switch_the_user_keeps_the_old_identity() {
    let world = World::new();
    let mut client = TestClient::connect_as(world.gateway.edge(), &world.of_ed(GOOD, &claims("ed").to_string())).await;
    for (token, cause) in [(world.with("sub", json!("bob")), Cause::WrongUser), (world.with("exp", json!(1)), Cause::Expired)] {
        let before = world.refused().await[cause.name()];
        client.say(json!({ "protocol": 8, "id": 80, "payload": { "token": token } }).to_string()).await;
        assert_eq!(client.hear_message().await["status"]["reason"], "INVALID_TOKEN");
        assert_eq!(world.refused().await[cause.name()], before + 1);
        assert_eq!(client.echo(KNOWN, "hi").await, "hi");
    }
    let fresh = world.with("exp", json!(now() + 1200));
    client.say(json!({ "protocol": 8, "id": 81, "payload": { "token": fresh } }).to_string()).await;
    assert_eq!(client.hear_message().await["payload"]["user"], "alice");
}

#[tokio::test]
async fn a_token_in_the_address_is_no_token() {
    let world = World::new();
    let token = world.of_ed(GOOD, &claims("ed").to_string());
    for query in ["access_token", "token", "authorization", "bearer"] {
        let mut request = format!("ws://{}/ws?{query}={token}", world.gateway.edge()).into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", "protogate.v1.json".parse().unwrap());
        let (socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        let mut client = TestClient::over(socket).await;
        assert_eq!(client.refused(KNOWN, json!({})).await, "UNAUTHENTICATED", "{query}");
    }
}
