//! A key set over the hours: time is paused, and the issuer's server is a script.

use std::collections::VecDeque;
use std::time::SystemTime;

use super::*;
use crate::pipeline::Verifier;
use crate::pipeline::public_key::key_set;
use crate::pipeline::signer::{NewToken, Signer, issuer_of};

/// What the server says, in turn; when nothing is left it is down. Shared with the test, which counts.
#[derive(Clone, Default)]
struct Script(Arc<Mutex<Played>>);

#[derive(Default)]
struct Played {
    next: VecDeque<Result<Answer, String>>,
    asked: Vec<Option<String>>,
    /// How long each answer takes.
    takes: Duration,
}

// === impl Script ===

impl Script {
    fn says(&self, keys: &[&Signer], lasts: u64) {
        let keys: Vec<_> = keys.iter().map(|signer| signer.public()).collect();
        self.answers(Ok(Answer::New { body: key_set(&keys).into(), tag: Some("\"1\"".into()), freshness: seconds(lasts) }));
    }

    fn answers(&self, answer: Result<Answer, String>) {
        self.0.lock().unwrap().next.push_back(answer);
    }

    fn takes(&self, time: Duration) {
        self.0.lock().unwrap().takes = time;
    }

    /// How often it was asked.
    fn asked(&self) -> usize {
        self.0.lock().unwrap().asked.len()
    }

    fn last_tag(&self) -> Option<String> {
        self.0.lock().unwrap().asked.last().unwrap().clone()
    }
}

impl Source for Script {
    async fn get(&mut self, tag: Option<&str>) -> Result<Answer, String> {
        let (answer, takes) = {
            let mut played = self.0.lock().unwrap();
            played.asked.push(tag.map(str::to_owned));
            (played.next.pop_front(), played.takes)
        };
        tokio::time::sleep(takes).await;
        answer.unwrap_or_else(|| Err("connection refused".into()))
    }
}

fn seconds(lasts: u64) -> Freshness {
    Freshness::new(Some(Duration::from_secs(lasts)))
}

/// A verifier that believes one issuer, whose keys the script publishes.
fn verifier(script: &Script) -> Verifier {
    let spec = crate::pipeline::auth::IssuerSpec { keys: KeySource::Url("https://id.example/keys".into()), ..issuer_of(&[], "id", "game") };
    let open = &mut |spec| Arc::new(KeySet::open(spec, script.clone(), &Handle::current()));
    Verifier::with_key_sets(&[spec], open).ok().unwrap()
}

fn token(signer: &Signer) -> String {
    let token = NewToken { issuer: "id", audience: "game", user: "alice", roles: &[], ttl: Duration::from_secs(600), token_id: None };
    signer.issue(&token, SystemTime::now())
}

async fn is_believed(verifier: &Verifier, signer: &Signer) -> bool {
    verifier.verify_patiently(&token(signer), SystemTime::now).await.is_ok()
}

fn cause(verifier: &Verifier, signer: &Signer) -> Cause {
    verifier.verify(&token(signer), SystemTime::now()).unwrap_err().cause()
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_token_that_comes_before_the_keys_waits_for_them() {
    let (script, signer) = (Script::default(), Signer::generate());
    script.takes(Duration::from_secs(1));
    script.says(&[&signer], 600);
    let verifier = verifier(&script);
    let refused = verifier.verify(&token(&signer), SystemTime::now()).unwrap_err();
    assert_eq!((refused.cause(), refused.is_curable()), (Cause::NoKeys, true));
    assert!(is_believed(&verifier, &signer).await);
    assert_eq!((script.asked(), verifier.refusals().of(Cause::NoKeys)), (1, 0), "what was cured was not refused");
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_two_seconds() {
    let (script, signer) = (Script::default(), Signer::generate());
    script.takes(Duration::from_secs(3));
    script.says(&[&signer], 600);
    let verifier = verifier(&script);
    let began = Instant::now();
    assert!(!is_believed(&verifier, &signer).await);
    assert_eq!(began.elapsed().as_secs(), PATIENCE.as_secs());
    assert_eq!(verifier.refusals().of(Cause::NoKeys), 1);
    pass(2).await;
    assert!(is_believed(&verifier, &signer).await);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_is_given_up_on_and_asked_again() {
    let (script, signer) = (Script::default(), Signer::generate());
    script.takes(Duration::from_secs(3600));
    let verifier = verifier(&script);
    pass(6).await;
    assert_eq!((script.asked(), cause(&verifier, &signer)), (1, Cause::NoKeys));
    assert!(!verifier.verify(&token(&signer), SystemTime::now()).unwrap_err().is_curable(), "nothing is under way");
    script.takes(Duration::ZERO);
    script.says(&[&signer], 600);
    pass(5).await;
    assert!(is_believed(&verifier, &signer).await);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_brings_the_next_look_forward_once_in_thirty_seconds() {
    let (script, old, new, stranger) = (Script::default(), Signer::generate(), Signer::generate(), Signer::generate());
    script.says(&[&old], 86_400);
    let verifier = verifier(&script);
    assert!(is_believed(&verifier, &old).await);
    assert_eq!(script.asked(), 1);

    script.says(&[&new, &old], 86_400);
    assert!(is_believed(&verifier, &new).await, "the issuer has rotated, and its token waited for the new key");
    assert_eq!(script.asked(), 2);
    for _ in 0..29 {
        assert!(!is_believed(&verifier, &stranger).await);
        pass(1).await;
    }
    assert_eq!(script.asked(), 2, "a stranger's tokens bring about nothing");
    pass(2).await;
    assert!(!is_believed(&verifier, &stranger).await);
    assert_eq!(script.asked(), 3);
    assert!(is_believed(&verifier, &old).await && is_believed(&verifier, &new).await, "the server is down by now");
}

#[tokio::test(start_paused = true)]
async fn a_hundred_unknown_keys_at_once_are_one_question() {
    let (script, old, new) = (Script::default(), Signer::generate(), Signer::generate());
    script.says(&[&old], 86_400);
    let verifier = Arc::new(verifier(&script));
    assert!(is_believed(&verifier, &old).await);
    script.takes(Duration::from_millis(500));
    script.says(&[&new], 86_400);
    let tokens: Vec<_> = (0..100)
        .map(|_| {
            let (verifier, token) = (Arc::clone(&verifier), token(&new));
            tokio::spawn(async move { verifier.verify_patiently(&token, SystemTime::now).await.is_ok() })
        })
        .collect();
    for believed in tokens {
        assert!(believed.await.unwrap());
    }
    assert_eq!(script.asked(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_is_down_or_talks_nonsense_locks_nobody_out() {
    let (script, signer) = (Script::default(), Signer::generate());
    script.says(&[&signer], 30);
    let verifier = verifier(&script);
    assert!(is_believed(&verifier, &signer).await);
    let body = |body: &str| Ok(Answer::New { body: body.into(), tag: None, freshness: seconds(30) });
    script.answers(Err("connection refused".into()));
    script.answers(body("<html>"));
    script.answers(body(r#"{"keys":[]}"#));
    script.answers(body(&format!(r#"{{"keys":[{}]}}"#, vec!["{}"; 65].join(","))));
    pass(24 * 3600).await;
    assert!(is_believed(&verifier, &signer).await);
    let asked = script.asked();
    assert!((100..400).contains(&asked), "every five minutes, not {asked} times a day");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_no_longer_published_is_no_longer_believed() {
    let (script, old, new) = (Script::default(), Signer::generate(), Signer::generate());
    script.says(&[&old], 60);
    let verifier = verifier(&script);
    assert!(is_believed(&verifier, &old).await);
    script.says(&[&new], 60);
    pass(61).await;
    assert_eq!(cause(&verifier, &old), Cause::UnknownKey);
    assert!(is_believed(&verifier, &new).await);
    script.answers(Ok(Answer::Same(seconds(60))));
    pass(60).await;
    assert_eq!((script.asked(), script.last_tag().as_deref()), (3, Some("\"1\"")), "it is asked whether anything changed");
    assert!(is_believed(&verifier, &new).await);
}

#[tokio::test(start_paused = true)]
async fn a_set_that_nobody_holds_is_not_fetched() {
    let script = Script::default();
    let verifier = verifier(&script);
    pass(1).await;
    drop(verifier);
    let asked = script.asked();
    pass(24 * 3600).await;
    assert_eq!(script.asked(), asked);
}
