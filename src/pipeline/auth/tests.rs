//! Good tokens, a corpus of bad ones, and keys that must not be believed.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use aws_lc_rs::{hmac, rsa};
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::pipeline::identity::REFUSED;

mod bytes;

const NOW: u64 = 1_800_000_000;
const SECRET: &[u8] = b"a secret of at least thirty-two bytes";

/// One issuer: it signs with `key`, and the verifier knows it by `source`.
struct Side {
    algorithm: Algorithm,
    source: KeySource,
    sign: Box<Sign>,
}

/// A message into its signature.
type Sign = dyn Fn(&[u8]) -> Vec<u8>;

fn pem(der: &[u8]) -> KeySource {
    KeySource::Pem(format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der)).into_bytes())
}

fn eddsa() -> Side {
    let key = Ed25519KeyPair::generate().unwrap();
    let source = pem(key.public_key().as_der().unwrap().as_ref());
    Side { algorithm: Algorithm::EdDsa, source, sign: Box::new(move |message| key.sign(message).as_ref().to_vec()) }
}

fn es256() -> Side {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let source = pem(key.public_key().as_der().unwrap().as_ref());
    let sign = Box::new(move |message: &[u8]| key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec());
    Side { algorithm: Algorithm::Es256, source, sign }
}

fn rs256() -> Side {
    let key: RsaKeyPair = rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
    let source = pem(key.public_key().as_der().unwrap().as_ref());
    let sign = Box::new(move |message: &[u8]| {
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
        signature
    });
    Side { algorithm: Algorithm::Rs256, source, sign }
}

fn hs256() -> Side {
    let source = KeySource::Secret(SECRET.to_vec());
    Side { algorithm: Algorithm::Hs256, source, sign: Box::new(|message| hmac_of(SECRET, message)) }
}

fn hmac_of(secret: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message).as_ref().to_vec()
}

fn spec(side: &Side) -> IssuerSpec {
    IssuerSpec {
        issuer: "https://id.example".into(),
        audience: vec!["game".into(), "chat".into()],
        algorithm: side.algorithm,
        keys: side.source.clone(),
        roles_claim: Some(vec!["access".into(), "roles".into()]),
        default_roles: vec!["player".into()],
        leeway: Duration::from_secs(30),
    }
}

fn verifier(side: &Side) -> Verifier {
    Verifier::new(&[spec(side)]).map_err(|problems| format!("{problems:?}")).unwrap()
}

fn token(header: &str, claims: &str, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = URL_SAFE_NO_PAD.encode(sign(message.as_bytes()));
    format!("{message}.{signature}")
}

fn claims() -> Value {
    json!({ "iss": "https://id.example", "aud": "game", "sub": "alice", "exp": NOW + 60 })
}

fn with(name: &str, value: Value) -> String {
    let mut claims = claims();
    claims[name] = value;
    claims.to_string()
}

fn without(name: &str) -> String {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims.to_string()
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

#[test]
fn a_good_token_of_every_algorithm_is_believed() {
    for side in [eddsa(), es256(), rs256(), hs256()] {
        let good = token(&json!({ "alg": side.algorithm.name() }).to_string(), &claims().to_string(), &side.sign);
        let identity = verifier(&side).verify(&good, now()).unwrap();
        assert_eq!(&*identity.user, "alice");
        assert_eq!(identity.expires, now() + Duration::from_secs(60 + 30), "the leeway counts for as long as the identity lasts");
        assert!(identity.token.is_none(), "nobody asked to keep it");
        let keeping = verifier(&side).keep_tokens(true);
        assert_eq!(keeping.verify(&good, now()).unwrap().token.unwrap().reveal(), good);
        assert!(!format!("{identity:?}").contains(&good));
    }
}

/// Every token here is signed by the right key; what is wrong is in front of the signature.
#[test]
fn the_corpus_is_refused_with_one_public_text() {
    let side = eddsa();
    let verifier = verifier(&side);
    let good = claims().to_string();
    let alg = r#"{"alg":"EdDSA"}"#;
    let header = |more: &str| format!(r#"{{"alg":"EdDSA",{more}}}"#);
    let twice = |name: &str, value: &str| format!("{},\"{name}\":{value}}}", good.trim_end_matches('}'));

    let corpus: Vec<(String, String, &str)> = vec![
        (r#"{"alg":"none"}"#.into(), good.clone(), "algorithm is `none`"),
        (r#"{"alg":"None"}"#.into(), good.clone(), "algorithm is `None`"),
        (r#"{"alg":"eddsa"}"#.into(), good.clone(), "algorithm is `eddsa`"),
        (r#"{"alg":"HS256"}"#.into(), good.clone(), "algorithm is `HS256`"),
        (r#"{"alg":"ES512"}"#.into(), good.clone(), "algorithm is `ES512`"),
        (r#"{"alg":["EdDSA"]}"#.into(), good.clone(), "`alg` is not a text"),
        (r#"{"typ":"JWT"}"#.into(), good.clone(), "no `alg`"),
        (r#"{"alg":"EdDSA","alg":"EdDSA"}"#.into(), good.clone(), "`alg` stands twice"),
        (header(r#""crit":["exp"],"exp":1"#), good.clone(), "`crit`"),
        (header(r#""crit":null"#), good.clone(), "`crit`"),
        (header(&format!(r#""kid":"{}""#, "k".repeat(129))), good.clone(), "`kid` is too long"),
        (header(r#""kid":7"#), good.clone(), "`kid` is not a text"),
        ("[]".into(), good.clone(), "header is unreadable"),
        ("nonsense".into(), good.clone(), "header is unreadable"),
        (alg.into(), "[]".into(), "claims are unreadable"),
        (alg.into(), without("exp"), "no `exp`"),
        (alg.into(), without("iss"), "no `iss`"),
        (alg.into(), without("aud"), "no `aud`"),
        (alg.into(), without("sub"), "no `sub`"),
        (alg.into(), with("exp", json!(NOW - 30)), "expired"),
        (alg.into(), with("exp", json!((NOW + 60).to_string())), "`exp` is not a number"),
        (alg.into(), with("exp", json!((NOW + 60) * 1000)), "milliseconds"),
        (alg.into(), with("exp", json!(-1)), "no moment"),
        (alg.into(), with("exp", json!(1e300)), "no moment"),
        (alg.into(), with("exp", json!(null)), "`exp` is not a number"),
        (alg.into(), with("nbf", json!(NOW + 31)), "not valid yet"),
        (alg.into(), with("nbf", json!("tomorrow")), "`nbf` is not a number"),
        (alg.into(), with("iss", json!("https://evil.example")), "`https://evil.example` is not known"),
        (alg.into(), with("iss", json!(["https://id.example"])), "`iss` is not a text"),
        (alg.into(), with("aud", json!("other")), "somebody else"),
        (alg.into(), with("aud", json!(["other", "gam"])), "somebody else"),
        (alg.into(), with("aud", json!([])), "somebody else"),
        (alg.into(), with("aud", json!("")), "somebody else"),
        (alg.into(), with("sub", json!("")), "`sub` is empty"),
        (alg.into(), with("sub", json!(7)), "`sub` is not a text"),
        (alg.into(), with("sub", json!("a\r\nb")), "control characters"),
        (alg.into(), with("sub", json!("a".repeat(257))), "256"),
        (alg.into(), with("jti", json!(7)), "`jti` is not a text"),
        (alg.into(), with("access", json!("all")), "`access` is no object"),
        (alg.into(), with("access", json!({ "roles": 7 })), "`roles` is not a text or a list"),
        (alg.into(), with("access", json!({ "roles": vec!["r"; 65] })), "65 roles"),
        (alg.into(), twice("sub", r#""bob""#), "`sub` stands twice"),
        (alg.into(), twice("access", r#"{"roles":["a"],"roles":["b"]}"#), "`roles` stands twice"),
    ];
    for (header, claims, cause) in &corpus {
        refused(&verifier, &token(header, claims, &side.sign), cause);
    }
}

#[track_caller]
fn refused(verifier: &Verifier, token: &str, cause: &str) {
    let failure = verifier.verify(token, now()).expect_err(cause).finally();
    assert_eq!((failure.reason(), failure.message()), ("INVALID_TOKEN", REFUSED));
    let private = failure.cause().unwrap();
    assert!(private.contains(cause), "{private} should contain {cause}");
    assert!(private.len() < 300 && !private.contains(char::is_control));
}

#[test]
fn what_is_not_signed_by_the_issuer_is_refused() {
    let (side, other) = (eddsa(), eddsa());
    let verifier = verifier(&side);
    let alg = r#"{"alg":"EdDSA"}"#;
    let good = token(alg, &claims().to_string(), &side.sign);
    let (message, signature) = good.rsplit_once('.').unwrap();

    refused(&verifier, &token(alg, &claims().to_string(), &other.sign), "signature does not match");
    refused(&verifier, &token(alg, &claims().to_string(), |_| Vec::new()), "signature does not match");
    refused(&verifier, &token(alg, &claims().to_string(), |_| vec![0; 64]), "signature does not match");
    refused(&verifier, &format!("{message}.{signature}=="), "signature cannot be checked");
    refused(&verifier, &format!("{message}.{}", &signature[..40]), "signature does not match");
    refused(
        &verifier,
        &format!("{}.{signature}", token(alg, &with("sub", json!("bob")), |_| vec![]).trim_end_matches('.')),
        "does not match",
    );
    for text in ["", ".", "..", "a.b", "...", message, &format!("{good}.x"), "\u{0}.\u{0}.\u{0}", "ü.ü.ü"] {
        assert!(verifier.verify(text, now()).is_err(), "{text}");
    }
    refused(&verifier, &"x".repeat(2 * 1024 * 1024), "2097152 bytes");
}

#[test]
fn a_public_key_is_no_secret() {
    let side = rs256();
    let KeySource::Pem(public) = &side.source else { panic!("RS256 has a public key") };
    let confused = token(r#"{"alg":"HS256"}"#, &claims().to_string(), |message| hmac_of(public, message));
    refused(&verifier(&side), &confused, "algorithm is `HS256`");
}

#[test]
fn ecdsa_signatures_that_mean_nothing_are_refused() {
    let side = es256();
    let verifier = verifier(&side);
    // The order of P-256.
    let order: Vec<u8> = STANDARD.decode("/////wAAAAD//////////7zm+q2nF56E87nKwvxjJVE=").unwrap();
    for signature in [vec![0; 64], [&order[..], &order[..]].concat(), [vec![0; 63], vec![1]].concat(), vec![0x30; 70], vec![1; 16_000]] {
        let forged = token(r#"{"alg":"ES256"}"#, &claims().to_string(), |_| signature.clone());
        assert!(verifier.verify(&forged, now()).is_err());
    }
}

#[test]
fn a_header_cannot_bring_its_own_key() {
    let (side, thief) = (eddsa(), eddsa());
    let header = json!({
        "alg": "EdDSA",
        "kid": "../../../../dev/null",
        "jku": "http://169.254.169.254/keys",
        "x5u": "file:///etc/passwd",
        "jwk": { "kty": "OKP", "crv": "Ed25519", "x": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" },
    });
    refused(&verifier(&side), &token(&header.to_string(), &claims().to_string(), &thief.sign), "signature does not match");
    // An issuer with one key does not care what it is called.
    verifier(&side).verify(&token(&header.to_string(), &claims().to_string(), &side.sign), now()).unwrap();
}

#[test]
fn clocks_may_differ_by_the_leeway_and_no_more() {
    let side = hs256();
    let verifier = verifier(&side);
    let at = |claims: String| verifier.verify(&token(r#"{"alg":"HS256"}"#, &claims, &side.sign), now()).is_ok();
    assert!(at(with("exp", json!(NOW - 29))));
    assert!(!at(with("exp", json!(NOW - 30))));
    assert!(at(with("nbf", json!(NOW + 30))));
    assert!(!at(with("nbf", json!(NOW + 31))));
    assert!(at(with("exp", json!(NOW as f64 + 0.5))));
}

#[test]
fn roles_are_a_list_or_a_text_and_have_a_default() {
    let side = hs256();
    let verifier = verifier(&side);
    let roles = |access: Value| -> Vec<String> {
        let token = token(r#"{"alg":"HS256"}"#, &with("access", access), &side.sign);
        verifier.verify(&token, now()).unwrap().roles.iter().map(ToString::to_string).collect()
    };
    assert_eq!(roles(json!({ "roles": ["a", "b c"] })), ["a", "b c"]);
    assert_eq!(roles(json!({ "roles": "a  b" })), ["a", "b"]);
    assert_eq!(roles(json!({ "roles": [] })), ["player"]);
    assert_eq!(roles(json!({})), ["player"]);
    assert_eq!(
        verifier.verify(&token(r#"{"alg":"HS256"}"#, &claims().to_string(), &side.sign), now()).unwrap().roles,
        [std::sync::Arc::from("player")]
    );
}

#[test]
fn issuers_are_kept_apart() {
    let (one, other) = (eddsa(), hs256());
    let other_spec = IssuerSpec { issuer: "other".into(), ..spec(&other) };
    let verifier = Verifier::new(&[spec(&one), other_spec]).ok().unwrap();
    let of_other = with("iss", json!("other"));
    verifier.verify(&token(r#"{"alg":"HS256"}"#, &of_other, &other.sign), now()).unwrap();
    refused(&verifier, &token(r#"{"alg":"EdDSA"}"#, &of_other, &one.sign), "should be HS256");
    refused(&verifier, &token(r#"{"alg":"HS256"}"#, &claims().to_string(), &other.sign), "should be EdDSA");
    assert!(Verifier::new(&[]).ok().unwrap().is_empty());
}

#[test]
fn a_key_set_has_keys_by_name() {
    let keys: Vec<Ed25519KeyPair> = (0..3).map(|_| Ed25519KeyPair::generate().unwrap()).collect();
    let jwk = |kid: &str, key: &Ed25519KeyPair| json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "use": "sig", "x": URL_SAFE_NO_PAD.encode(key.public_key().as_ref()) });
    let mut encryption = jwk("enc", &keys[2]);
    encryption["use"] = json!("enc");
    let unusable = json!({ "kty": "RSA", "kid": "rsa", "n": "AQAB", "e": "AQAB" });
    let set = json!({ "keys": [jwk("one", &keys[0]), jwk("two", &keys[1]), encryption, unusable, { "kty": "new" }, 7] });
    let source = KeySource::Jwks(set.to_string().into_bytes());
    let verifier = Verifier::new(&[IssuerSpec { keys: source, ..spec(&eddsa()) }]).map_err(|p| format!("{p:?}")).unwrap();

    let signed = |kid: Value, key: &Ed25519KeyPair| {
        let header = json!({ "alg": "EdDSA", "kid": kid }).to_string();
        token(&header, &claims().to_string(), |message| key.sign(message).as_ref().to_vec())
    };
    verifier.verify(&signed(json!("one"), &keys[0]), now()).unwrap();
    verifier.verify(&signed(json!("two"), &keys[1]), now()).unwrap();
    refused(&verifier, &signed(json!("two"), &keys[0]), "signature does not match");
    refused(&verifier, &signed(json!("enc"), &keys[2]), "name one of the issuer's keys");
    let nameless = token(r#"{"alg":"EdDSA"}"#, &claims().to_string(), |message| keys[0].sign(message).as_ref().to_vec());
    refused(&verifier, &nameless, "name one of the issuer's keys");
}

/// What the only issuer of this kind is refused for.
fn problem(change: impl FnOnce(&mut IssuerSpec)) -> String {
    let mut spec = spec(&eddsa());
    change(&mut spec);
    let problems = Verifier::new(&[spec]).err().expect("these settings are wrong");
    assert_eq!((problems.len(), problems[0].0), (1, 0));
    problems[0].1.clone()
}

#[test]
fn keys_that_must_not_be_believed_are_refused_when_they_are_read() {
    let with_keys = |algorithm, keys| problem(|spec| (spec.algorithm, spec.keys) = (algorithm, keys));
    let text = |text: &str| text.as_bytes().to_vec();

    assert!(with_keys(Algorithm::Hs256, KeySource::Secret(vec![])).contains("has 0 bytes; use at least 32"));
    assert!(with_keys(Algorithm::Hs256, KeySource::Secret(vec![7; 31])).contains("31 bytes"));
    let KeySource::Pem(public) = eddsa().source else { panic!("EdDSA has a public key") };
    assert!(with_keys(Algorithm::Hs256, KeySource::Secret(public.clone())).contains("looks like a PEM file"));
    assert!(with_keys(Algorithm::Hs256, KeySource::Pem(public.clone())).contains("HS256 needs a shared secret"));
    assert!(with_keys(Algorithm::EdDsa, KeySource::Secret(SECRET.to_vec())).contains("EdDSA needs a public key"));
    assert!(with_keys(Algorithm::Rs256, KeySource::Pem(public.clone())).contains("no public key for RS256"));
    assert!(with_keys(Algorithm::Es256, KeySource::Pem(public)).contains("no public key for ES256"));
    assert!(with_keys(Algorithm::EdDsa, KeySource::Pem(text("-----BEGIN PRIVATE KEY-----"))).contains("private key"));
    assert!(with_keys(Algorithm::EdDsa, KeySource::Pem(text("-----BEGIN CERTIFICATE-----"))).contains("openssl x509"));
    assert!(with_keys(Algorithm::EdDsa, KeySource::Pem(text("hello"))).contains("BEGIN PUBLIC KEY"));
    assert!(with_keys(Algorithm::EdDsa, KeySource::Pem(vec![0xff])).contains("not a PEM file"));

    let weak = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDxY0yN+QohomB/nn6GJ8OzfyEr
5GwZOPtW39zqDRYmyKd5sJYbbLInYg4d3KY3bG+tX/ywW2JJ6XNFQp3euMiex77a
keVfrV2liEWaCU9mpu5aMdpojx2TWOgwufyuInECkZLhaYTsNSJHObDK8EcvkXG2
n0CeafjKrE8+VN3+WwIDAQAB
-----END PUBLIC KEY-----";
    assert!(with_keys(Algorithm::Rs256, KeySource::Pem(text(weak))).contains("1024 bits"));
    let set = |keys: Value| KeySource::Jwks(json!({ "keys": keys }).to_string().into_bytes());
    let weak = json!({ "kty": "RSA", "n": URL_SAFE_NO_PAD.encode([0x80; 128]), "e": "AQAB" });
    assert!(with_keys(Algorithm::Rs256, set(json!([weak]))).contains("1024 bits"));
    let shared = json!({ "kty": "oct", "k": "AAAA" });
    assert!(with_keys(Algorithm::EdDsa, set(json!([shared]))).contains("key 0 is not for EdDSA"));
    let private = json!({ "kty": "OKP", "crv": "Ed25519", "x": "AA", "d": "AA" });
    assert!(with_keys(Algorithm::EdDsa, set(json!([private]))).contains("key 0 is a private key"));
    let short = json!({ "kty": "OKP", "crv": "Ed25519", "x": "AA" });
    assert!(with_keys(Algorithm::EdDsa, set(json!([short]))).contains("key 0 is broken"));
    let off_curve = json!({ "kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode([1; 32]), "y": URL_SAFE_NO_PAD.encode([1; 32]) });
    assert!(with_keys(Algorithm::Es256, set(json!([off_curve]))).contains("key 0 is broken"));
    assert!(with_keys(Algorithm::EdDsa, set(json!([]))).contains("no key for EdDSA"));
    assert!(with_keys(Algorithm::EdDsa, KeySource::Jwks(text("{}"))).contains("not a key set"));
}

#[test]
fn settings_that_would_believe_too_much_are_refused() {
    assert!(problem(|spec| spec.issuer.clear()).contains("no name"));
    assert!(problem(|spec| spec.audience = vec![String::new()]).contains("no audience"));
    assert!(problem(|spec| spec.leeway = Duration::from_secs(301)).contains("at most 300s"));
    assert!(problem(|spec| spec.roles_claim = Some(vec![])).contains("path to the roles"));

    let side = eddsa();
    let bad = IssuerSpec { leeway: Duration::MAX, ..spec(&side) };
    let problems = Verifier::new(&[spec(&side), bad, spec(&side)]).err().unwrap();
    assert_eq!(problems.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1, 2]);
    assert!(problems[1].1.contains("declared twice"));
}

#[test]
fn a_token_says_when_it_was_issued_and_not_that_it_will_be() {
    let side = hs256();
    let verifier = verifier(&side);
    let issued = |claims: String| verifier.verify(&token(r#"{"alg":"HS256"}"#, &claims, &side.sign), now()).map(|found| found.issued_ms);
    let text = |claims: &Value| claims.to_string();
    assert_eq!(issued(text(&claims())).unwrap(), 0, "nobody says");
    assert_eq!(issued(with("iat", json!(NOW - 60))).unwrap(), (NOW - 60) * 1000);
    assert_eq!(issued(with("iat", json!(NOW as f64 - 0.5))).unwrap(), NOW * 1000 - 500);
    assert_eq!(issued(with("iat", json!(NOW + 30))).unwrap(), (NOW + 30) * 1000, "within the leeway");
    assert_eq!(issued(with("iat", json!(NOW + 31))).unwrap_err().cause(), Cause::NotYetValid);
    let mut precise = claims();
    (precise["iat"], precise["iat_ms"]) = (json!(NOW - 60), json!((NOW - 60) * 1000 + 250));
    assert_eq!(issued(text(&precise)).unwrap(), (NOW - 60) * 1000 + 250);
    precise["iat_ms"] = json!((NOW + 3600) * 1000);
    assert_eq!(issued(text(&precise)).unwrap(), (NOW - 60) * 1000, "one that says something else is not heard");
}

#[tokio::test]
async fn a_refusal_is_counted_once_and_only_when_it_is_an_answer() {
    let side = eddsa();
    let refusals: Arc<Refusals> = Arc::default();
    let verifier = verifier(&side).counting(Arc::clone(&refusals));
    drop(verifier.verify("nonsense", now()));
    assert_eq!(refusals.of(Cause::Malformed), 0);
    let failure = verifier.verify_patiently("nonsense", now).await.unwrap_err();
    assert_eq!((failure.reason(), failure.message(), refusals.of(Cause::Malformed)), ("INVALID_TOKEN", REFUSED, 1));
    let refused = |reason| verifier.counted::<()>(Err(Failure::gateway(reason, "no"))).unwrap_err();
    drop((refused(Reason::SessionLimit), refused(Reason::InvalidToken)));
    assert_eq!(refusals.all().filter(|(_, count)| *count > 0).collect::<Vec<_>>(), [("malformed", 1), ("revoked", 1)]);
}

#[test]
fn a_key_set_by_url_that_nobody_fetches_believes_nobody_and_promises_nothing() {
    let side = eddsa();
    let spec = IssuerSpec { keys: KeySource::Url("https://id.example/keys".into()), ..spec(&side) };
    let verifier = Verifier::new(std::slice::from_ref(&spec)).ok().unwrap();
    let refused = verifier.verify(&token(r#"{"alg":"EdDSA"}"#, &claims().to_string(), &side.sign), now()).unwrap_err();
    assert_eq!((refused.cause(), refused.is_curable()), (Cause::NoKeys, false));
    assert!(problem(|spec| (spec.algorithm, spec.keys) = (Algorithm::Hs256, KeySource::Url("https://a".into()))).contains("shared secret"));
}
