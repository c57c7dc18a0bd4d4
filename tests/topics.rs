//! Topics on one gateway: who hears them, in which order, and what is said to whom that comes back.

use std::collections::BTreeSet;

use protogate::wire::Codec;
use serde_json::{Value, json};

use crate::support::client::TestClient;
use crate::support::player::Player;
use crate::support::{TestGateway, reload};

/// Echoes that join, leave and speak. The text of the call is the name of the room, or what is said in room `one`.
const ROUTES: &str = r#"
version: 1
descriptors: [{ proto: ../proto }]
backends: { echo: { builtin: echo } }
rate_limits: { plenty: { key: [caller], rate: 100000/s, burst: 100000 } }
defaults: { backend: echo, rate_limits: [plenty] }
permissions: { roles: { player: { grant: [news.hear] } } }
topics:
  "room/{id}": { join: effect, history: { count: 8 }, pushes: [2101] }
  "small/{id}": { join: news.hear, history: { bytes: 1KiB }, pushes: [2101] }
  "hall/{id}": { join: effect, presence_events: 2102, pushes: [2101] }
  "news/{id}": { join: news.hear, pushes: [2101] }
  "staff/{id}": { join: staff.hear, pushes: [2101] }
pushes:
  2101: { name: said, message: protogate.echo.v1.EchoResponse }
  2102: { name: presence, message: protogate.push.v1.PresenceEvent }
routes:
  1006: { name: logout, rpc: protogate.echo.v1.EchoService/Echo, on_success: { unbind_session: true } }
  2001: { name: join, rpc: protogate.echo.v1.EchoService/Echo, on_success: { subscribe: "room/${response.text}" } }
  2002: { name: leave, rpc: protogate.echo.v1.EchoService/Echo, on_success: { unsubscribe: "room/${request.text}" } }
  2003: { name: say, rpc: protogate.echo.v1.EchoService/Echo, on_success: { publish: { topic: room/one, number: 2101, message: response } } }
  2004: { name: join_and_say, rpc: protogate.echo.v1.EchoService/Echo, on_success: { subscribe: [room/one], publish: [{ topic: room/one, number: 2101, message: response }] } }
  2005: { name: join_two, rpc: protogate.echo.v1.EchoService/Echo, on_success: { subscribe: [room/first, "room/${response.text}"] } }
  2006: { name: join_if, rpc: protogate.echo.v1.EchoService/Echo, on_success: { subscribe: room/one, when: { response.text: please } } }
  2007: { name: join_hall, rpc: protogate.echo.v1.EchoService/Echo, on_success: { subscribe: hall/one } }
  2008: { name: say_small, rpc: protogate.echo.v1.EchoService/Echo, on_success: { publish: { topic: small/one, number: 2101, message: response } } }
  2009: { name: say_news, rpc: protogate.echo.v1.EchoService/Echo, on_success: { publish: { topic: news/all, number: 2101, message: response } } }
  2010: { name: leave_and_say, rpc: protogate.echo.v1.EchoService/Echo, on_success: { unbind_session: true, publish: { topic: "room/${response.text}", number: 2101, message: response } } }
  2011: { name: join_mine, rpc: protogate.echo.v1.EchoService/Echo, on_success: { subscribe: "room/${session.user}" } }
  2012: { name: quiet, rpc: protogate.echo.v1.EchoService/Echo }
"#;

/// A client, and what it keeps of the topics that it hears.
struct Hearer {
    client: TestClient,
    ready: Value,
}

// === impl Hearer ===

impl Hearer {
    async fn login(gateway: &TestGateway, user: &str) -> Hearer {
        let mut client = TestClient::connect_with_token(gateway.edge(), &gateway.token(user, &["player"])).await;
        let ready = client.hear_message().await["payload"].clone();
        Hearer { client, ready }
    }

    /// The next message, in a word: number, `#id` of the request, topic and place, reason, text; those that it has.
    async fn hear(&mut self) -> String {
        word(&self.client.hear_message().await)
    }

    /// The next so many.
    async fn hear_all(&mut self, count: usize) -> Vec<String> {
        let mut heard = Vec::new();
        for _ in 0..count {
            heard.push(self.hear().await);
        }
        heard
    }

    /// Calls, and everything up to the answer, without the id.
    async fn call(&mut self, protocol: u32, text: &str) -> Vec<String> {
        self.ask(protocol, json!({ "text": text })).await
    }

    async fn ask(&mut self, protocol: u32, payload: Value) -> Vec<String> {
        let id = self.client.send(protocol, payload).await;
        let (mut heard, mark) = (Vec::new(), format!(" #{id}"));
        loop {
            let word = self.hear().await;
            let is_answer = word.split(' ').nth(1) == Some(&mark[1..]);
            heard.push(word.replacen(&mark, "", 1));
            if is_answer {
                return heard;
            }
        }
    }

    /// What came and nobody asked for.
    async fn assert_hears_nothing(&mut self) {
        assert_eq!(self.ask(6, json!({})).await, ["7"]);
    }

    /// The connection breaks. What the client keeps is shown to another, with where it is in its topics.
    async fn come_back(self, gateway: &TestGateway, topics: Value) -> (Hearer, Value) {
        drop(self.client);
        let mut client = TestClient::connect(gateway.edge()).await;
        let resume = json!({ "resumeToken": self.ready["resumeToken"], "topics": topics });
        client.send(4, resume).await;
        let resumed = client.hear_message().await;
        assert_eq!(resumed["protocol"], 5, "{resumed}");
        (Hearer { client, ready: resumed["payload"]["ready"].clone() }, resumed["payload"].clone())
    }

    /// Hears a topic because it asks, and where that is.
    async fn subscribe(&mut self, topic: &str, from: Option<&Value>) -> Value {
        let id = self.client.send(12, json!({ "topic": topic, "from": from })).await;
        let answer = self.client.hear_message().await;
        assert_eq!((&answer["protocol"], &answer["id"]), (&json!(12), &json!(id)), "{answer}");
        answer["payload"].clone()
    }

    /// Joins by a call, and where the topic is.
    async fn join(&mut self, protocol: u32, text: &str) -> Value {
        self.client.send(protocol, json!({ "text": text })).await;
        let subscribed = self.client.hear_message().await;
        assert_eq!(subscribed["protocol"], 12, "{subscribed}");
        assert_eq!(self.client.hear_message().await["protocol"], protocol);
        subscribed["payload"]["at"].clone()
    }
}

fn word(message: &Value) -> String {
    let (text, payload) = (|value: &Value| value.as_str().unwrap_or_default().to_owned(), &message["payload"]);
    let mut word = message["protocol"].to_string();
    if let Some(id) = message["id"].as_u64() {
        word += &format!(" #{id}");
    }
    if message["protocol"] == 12 || message["protocol"] == 13 {
        word += &format!(" {}", text(&payload["topic"]));
        if let Some(offset) = payload["at"]["offset"].as_str() {
            word += &format!("@{offset}");
        }
        if payload["recovered"] == true {
            word += &format!(" +{}", payload["replayed"].as_u64().unwrap_or(0));
        }
    }
    if let Some(topic) = message["topic"].as_str() {
        word += &format!(" {topic}");
        if let Some(offset) = message["offset"].as_str() {
            word += &format!("@{offset}");
        }
    }
    for more in [text(&message["status"]["reason"]), text(&payload["text"])] {
        if !more.is_empty() {
            word += &format!(" {more}");
        }
    }
    word.trim_end().to_owned()
}

#[tokio::test]
async fn whoever_sees_the_reply_to_joining_hears_the_room() {
    let gateway = TestGateway::start(ROUTES);
    let (mut alice, mut bob) = (Hearer::login(&gateway, "alice").await, Hearer::login(&gateway, "bob").await);
    assert_eq!(alice.call(2001, "one").await, ["12 room/one", "2001 one"], "Subscribed comes before the reply");
    assert_eq!(bob.call(2003, "hello").await, ["2003 hello"]);
    assert_eq!(alice.hear().await, "2101 room/one@1 hello");
    assert_eq!(bob.call(2001, "one").await, ["12 room/one@1", "2001 one"], "whoever comes late is told where the room is");
    bob.call(2003, "again").await;
    assert_eq!((alice.hear().await, bob.hear().await), ("2101 room/one@2 again".to_owned(), "2101 room/one@2 again".to_owned()));
}

#[tokio::test]
async fn what_a_call_publishes_goes_out_behind_its_reply() {
    let gateway = TestGateway::start(ROUTES);
    let mut alice = Hearer::login(&gateway, "alice").await;
    for round in 1..=50 {
        let id = alice.client.send(2004, json!({ "text": "me" })).await;
        let at = if round == 1 { String::new() } else { format!("@{}", round - 1) };
        let expected = [format!("12 room/one{at}"), format!("2004 #{id} me"), format!("2101 room/one@{round} me")];
        assert_eq!(alice.hear_all(3).await, expected);
    }
}

#[tokio::test]
async fn no_push_of_a_room_comes_before_it_is_joined_and_none_is_missing_behind() {
    let gateway = TestGateway::start(ROUTES);
    let (mut alice, mut bob) = (Hearer::login(&gateway, "alice").await, Hearer::login(&gateway, "bob").await);
    let talking = tokio::spawn(async move {
        for _ in 0..600 {
            bob.call(2003, "talk").await;
        }
        bob
    });
    let (mut round, mut heard) = (0, 0u64);
    while !talking.is_finished() || round < 3 {
        round += 1;
        let offset =
            |word: &str| word.split(' ').nth(1).and_then(|place| place.split_once('@')).map_or(0, |(_, at)| at.parse::<u64>().unwrap());
        let joined = alice.call(2001, "one").await;
        assert!(joined[0].starts_with("12 "), "the first that comes of a room is that it is joined: {joined:?}");
        let mut at = offset(&joined[0]);
        let mut left = joined[1..].to_vec();
        left.extend(alice.call(2012, "wait").await);
        left.extend(alice.call(2001, "one").await);
        left.extend(alice.call(2002, "one").await);
        for word in left {
            match &word[..4] {
                "2101" => {
                    assert_eq!(offset(&word), at + 1, "round {round}: {word}");
                    (at, heard) = (at + 1, heard + 1);
                }
                "12 r" => assert_eq!(offset(&word), at, "joining again loses nothing: {word}"),
                _ => {}
            }
        }
        alice.assert_hears_nothing().await;
    }
    talking.await.unwrap();
    assert!(heard > 0, "somebody talked meanwhile");
}

#[tokio::test]
async fn calls_that_join_at_the_same_time_all_keep_their_word() {
    let gateway = TestGateway::start(ROUTES);
    let mut alice = Hearer::login(&gateway, "alice").await;
    for round in 0..20u64 {
        let mut open = BTreeSet::new();
        for _ in 0..5 {
            open.insert(alice.client.send(2004, json!({ "text": "me" })).await);
        }
        let (mut subscribed, mut offset, mut answered) = (0, round * 5, 0);
        while !open.is_empty() || offset < (round + 1) * 5 {
            let message = alice.client.hear_message().await;
            match message["protocol"].as_u64().unwrap() {
                12 => subscribed += 1,
                2004 => {
                    assert!(message["status"].is_null() && open.remove(&message["id"].as_u64().unwrap()), "{message}");
                    answered += 1;
                    assert!(subscribed >= answered, "each is told before its reply");
                }
                _ => {
                    offset += 1;
                    assert_eq!(message["offset"], json!(offset.to_string()), "{message}");
                }
            }
        }
        assert_eq!(subscribed, 5);
    }
}

#[tokio::test]
async fn requests_for_one_topic_at_the_same_time_are_all_answered() {
    let gateway = TestGateway::start(ROUTES);
    let mut alice = Hearer::login(&gateway, "alice").await;
    for _ in 0..20 {
        let mut open = BTreeSet::new();
        for round in 0..6 {
            let protocol = if round % 3 == 2 { 13 } else { 12 };
            open.insert((protocol, alice.client.send(protocol, json!({ "topic": "news/all" })).await));
        }
        while !open.is_empty() {
            let answer = alice.client.hear_message().await;
            let (protocol, id) = (u32::try_from(answer["protocol"].as_u64().unwrap()).unwrap(), answer["id"].as_u64().unwrap());
            assert!(open.remove(&(protocol, id)), "{answer}");
            assert!(answer["status"].is_null() || answer["status"]["reason"] == "CANCELLED", "{answer}");
        }
    }
}

#[tokio::test]
async fn a_topic_is_heard_by_whoever_may_ask_for_it() {
    let gateway = TestGateway::start(ROUTES);
    let (mut alice, mut bob) = (Hearer::login(&gateway, "alice").await, Hearer::login(&gateway, "bob").await);
    assert_eq!(alice.ask(12, json!({ "topic": "news/all" })).await, ["12 news/all"]);
    bob.call(2009, "extra").await;
    assert_eq!(alice.hear().await, "2101 news/all extra");
    assert_eq!(alice.ask(13, json!({ "topic": "news/all" })).await, ["13 news/all"]);
    assert_eq!(bob.ask(12, json!({ "topic": "news/all" })).await, ["12 news/all"]);
    bob.call(2009, "late").await;
    assert_eq!(bob.hear().await, "2101 news/all late");
    alice.assert_hears_nothing().await;
}

#[tokio::test]
async fn a_refused_request_subscribes_nothing() {
    let gateway = TestGateway::start(ROUTES);
    let (mut alice, mut bob) = (Hearer::login(&gateway, "alice").await, Hearer::login(&gateway, "bob").await);
    let long = format!("news/{}", "x".repeat(300));
    for (topic, reason) in [
        ("room/one", "PERMISSION_DENIED"),
        ("staff/one", "PERMISSION_DENIED"),
        ("attic/one", "UNKNOWN_TOPIC"),
        ("news", "UNKNOWN_TOPIC"),
        ("news/a/b", "UNKNOWN_TOPIC"),
        ("", "UNKNOWN_TOPIC"),
        ("news/", "UNKNOWN_TOPIC"),
        ("news/ä", "UNKNOWN_TOPIC"),
        ("news/a b", "UNKNOWN_TOPIC"),
        (&long, "UNKNOWN_TOPIC"),
    ] {
        assert_eq!(alice.ask(12, json!({ "topic": topic })).await, [format!("12  {reason}")], "{topic}");
    }
    let mut nobody = TestClient::connect(gateway.edge()).await;
    assert_eq!(nobody.refused(12, json!({ "topic": "news/all" })).await, "UNAUTHENTICATED");
    bob.call(2001, "one").await;
    bob.call(2003, "hello").await;
    assert_eq!(bob.hear().await, "2101 room/one@1 hello");
    alice.assert_hears_nothing().await;
}

#[tokio::test]
async fn a_session_hears_as_many_topics_as_it_may() {
    let process = "version: 1\nreload: { watch: false }\nsessions: { topics_max: 2 }\n";
    let gateway = TestGateway::start_with(&[("routes/gateway.yaml", process), ("routes/routes.yaml", ROUTES)]);
    let mut alice = Hearer::login(&gateway, "alice").await;
    alice.subscribe("news/a", None).await;
    alice.subscribe("news/b", None).await;
    alice.subscribe("news/a", None).await;
    assert_eq!(alice.ask(12, json!({ "topic": "news/c" })).await, ["12  TOO_MANY_TOPICS"]);
    assert_eq!(alice.call(2001, "one").await, ["2001 TOO_MANY_TOPICS"], "by a call neither");
    assert_eq!(alice.ask(13, json!({ "topic": "news/a" })).await, ["13 news/a"]);
    assert_eq!(alice.call(2005, "second").await, ["2005 TOO_MANY_TOPICS"], "two where there is room for one");
    assert_eq!(alice.call(2001, "one").await, ["12 room/one", "2001 one"], "and the first of them was given back");
}

#[tokio::test]
async fn whoever_left_hears_nothing() {
    let gateway = TestGateway::start(ROUTES);
    let (mut alice, mut bob) = (Hearer::login(&gateway, "alice").await, Hearer::login(&gateway, "bob").await);
    alice.call(2001, "one").await;
    bob.call(2001, "one").await;
    assert_eq!(alice.call(2002, "one").await, ["13 room/one", "2002 one"]);
    assert_eq!(alice.call(2002, "one").await, ["2002 one"], "it was not there any more");
    bob.call(2003, "gone?").await;
    assert_eq!(bob.hear().await, "2101 room/one@1 gone?");
    alice.assert_hears_nothing().await;
    assert_eq!(bob.call(1006, "bye").await, ["1006 bye"]);
    alice.call(2004, "alone").await;
    assert_eq!(alice.hear().await, "2101 room/one@2 alone");
    assert_eq!(bob.ask(6, json!({})).await, ["7"], "whoever logged out hears nothing");
}

#[tokio::test]
async fn a_value_that_cannot_be_part_of_a_name_fails_the_call_and_changes_nothing() {
    let gateway = TestGateway::start(ROUTES);
    let (mut alice, mut bob) = (Hearer::login(&gateway, "alice").await, Hearer::login(&gateway, "bob").await);
    for wrong in ["", &"x".repeat(65)] {
        assert_eq!(alice.call(2001, wrong).await, ["2001 EFFECT_FAILED"]);
        assert_eq!(alice.call(2005, wrong).await, ["2005 EFFECT_FAILED"], "the other room is not joined either");
    }
    assert_eq!(alice.call(2010, "").await, ["2010 EFFECT_FAILED"]);
    assert_eq!(alice.call(2012, "still here").await, ["2012 still here"], "nor is the session over");
    bob.call(2001, "first").await;
    assert_eq!(bob.call(2010, "first").await, ["2010 first"], "the last words of a session");
    assert_eq!(bob.call(2012, "").await, ["2012 UNAUTHENTICATED"]);
    alice.assert_hears_nothing().await;
}

#[tokio::test]
async fn values_become_one_segment_whatever_is_in_them() {
    let gateway = TestGateway::start(ROUTES);
    let mut alice = Hearer::login(&gateway, "al/ice %").await;
    assert_eq!(alice.call(2001, "a/b").await, ["12 room/a%2Fb", "2001 a/b"]);
    assert_eq!(alice.call(2001, "../é").await, ["12 room/..%2F%C3%A9", "2001 ../é"]);
    assert_eq!(alice.call(2011, "").await, ["12 room/al%2Fice%20%25", "2011"]);
    let most = "x".repeat(64);
    assert_eq!(alice.call(2001, &most).await[0], format!("12 room/{most}"));
}

#[tokio::test]
async fn nothing_happens_when_the_reply_does_not_say_so() {
    let gateway = TestGateway::start(ROUTES);
    let mut alice = Hearer::login(&gateway, "alice").await;
    assert_eq!(alice.call(2006, "no").await, ["2006 no"]);
    assert_eq!(alice.call(2006, "please").await, ["12 room/one", "2006 please"]);
}

#[tokio::test]
async fn whoever_asks_from_a_place_gets_what_was_said_since() {
    let gateway = TestGateway::start(ROUTES);
    let (mut alice, mut bob) = (Hearer::login(&gateway, "alice").await, Hearer::login(&gateway, "bob").await);
    let begin = alice.subscribe("small/one", None).await;
    assert!(begin["recovered"].is_null(), "from now on: {begin}");
    let epoch = begin["at"]["epoch"].clone();
    alice.ask(13, json!({ "topic": "small/one" })).await;
    for text in ["one", "two", "three"] {
        bob.call(2008, text).await;
    }
    // What was published is there when somebody hears it.
    let from = |offset: u32| json!({ "epoch": epoch, "offset": offset.to_string() });
    assert_eq!(bob.subscribe("small/one", Some(&from(0))).await["topic"], "small/one");
    while bob.hear().await != "2101 small/one@3 three" {}
    let behind = alice.subscribe("small/one", Some(&from(1))).await;
    assert_eq!((&behind["recovered"], &behind["replayed"], &behind["at"]), (&json!(true), &json!(2), &from(3)), "{behind}");
    assert_eq!(alice.hear_all(2).await, ["2101 small/one@2 two", "2101 small/one@3 three"]);
    let nothing_new = alice.subscribe("small/one", Some(&from(3))).await;
    assert_eq!((&nothing_new["recovered"], &nothing_new["replayed"]), (&json!(true), &Value::Null), "{nothing_new}");
    let foreign = json!({ "epoch": "another", "offset": "1" });
    for (what, from) in [("another history", foreign), ("a place that is not yet", from(9))] {
        let lost = alice.subscribe("small/one", Some(&from)).await;
        assert_eq!((&lost["recovered"], &lost["replayed"]), (&Value::Null, &Value::Null), "{what}: {lost}");
    }
    for text in ["x", "y", "z"] {
        bob.call(2008, &text.repeat(400)).await;
        assert_eq!(alice.hear().await, bob.hear().await);
    }
    let lost = alice.subscribe("small/one", Some(&from(3))).await;
    assert_eq!((&lost["recovered"], &lost["at"]), (&Value::Null, &from(6)), "more was said than the bytes allow: {lost}");
    let behind = alice.subscribe("small/one", Some(&from(5))).await;
    assert_eq!((&behind["recovered"], &behind["replayed"]), (&json!(true), &json!(1)), "{behind}");
}

#[tokio::test]
async fn a_topic_without_a_history_recovers_nothing() {
    let gateway = TestGateway::start(ROUTES);
    let mut alice = Hearer::login(&gateway, "alice").await;
    let lost = alice.subscribe("news/all", Some(&json!({ "epoch": "", "offset": "0" }))).await;
    assert_eq!((&lost["recovered"], &lost["at"]), (&Value::Null, &Value::Null), "{lost}");
}

#[tokio::test]
async fn whoever_comes_back_hears_what_was_said_once_and_in_order() {
    let gateway = TestGateway::start(ROUTES);
    let (mut alice, mut bob) = (Hearer::login(&gateway, "alice").await, Hearer::login(&gateway, "bob").await);
    let mut at = alice.join(2001, "one").await;
    bob.join(2001, "one").await;
    for round in 0..5u64 {
        // Some are said while nobody is there, one behind it at any time.
        let (before, after) = (round * 4, round * 4 + 3);
        drop(std::mem::replace(&mut alice.client, TestClient::connect(gateway.edge()).await));
        for _ in 0..3 {
            bob.call(2003, "missed").await;
            bob.hear().await;
        }
        let topics = json!({ "room/one": { "epoch": at["epoch"], "offset": before.to_string() } });
        let talking = tokio::spawn(async move {
            bob.call(2003, "missed").await;
            bob.hear().await;
            bob
        });
        let (back, resumed) = alice.come_back(&gateway, topics).await;
        alice = back;
        assert_eq!((&resumed["recovered"], &resumed["lostTopics"]), (&json!(true), &Value::Null), "{resumed}");
        let expected: Vec<String> = (before + 1..=after + 1).map(|offset| format!("2101 room/one@{offset} missed")).collect();
        assert_eq!(alice.hear_all(4).await, expected);
        bob = talking.await.unwrap();
        at["offset"] = json!((after + 1).to_string());
        alice.assert_hears_nothing().await;
    }
}

#[tokio::test]
async fn a_topic_of_which_something_is_lost_begins_anew() {
    let gateway = TestGateway::start(ROUTES);
    let (mut alice, mut bob) = (Hearer::login(&gateway, "alice").await, Hearer::login(&gateway, "bob").await);
    let (one, two) = (alice.join(2001, "one").await, alice.join(2001, "two").await);
    bob.join(2001, "one").await;
    drop(std::mem::replace(&mut alice.client, TestClient::connect(gateway.edge()).await));
    for _ in 0..9 {
        bob.call(2003, "too much").await;
        bob.hear().await;
    }
    let never = json!({ "epoch": "x", "offset": "4" });
    let (mut alice, resumed) = alice.come_back(&gateway, json!({ "room/one": one, "room/two": two, "room/never": never })).await;
    let lost: BTreeSet<&str> = resumed["lostTopics"].as_array().unwrap().iter().map(|topic| topic.as_str().unwrap()).collect();
    assert_eq!(lost, ["room/never", "room/one"].into(), "a history of eight, and a room that it was not in");
    assert_eq!(alice.hear().await, "12 room/one@9", "not recovered");
    bob.call(2003, "on").await;
    assert_eq!(alice.hear().await, "2101 room/one@10 on");
}

#[tokio::test]
async fn both_codecs_hear_one_topic() {
    let gateway = TestGateway::start(ROUTES);
    let mut alice = Hearer::login(&gateway, "alice").await;
    let mut bob = Player::speaking(Codec::Proto, gateway.edge()).await;
    bob.authenticate(&gateway.token("bob", &["player"])).await.unwrap();
    bob.echo(2001, "one").await.unwrap();
    assert_eq!(alice.call(2001, "one").await, ["12 room/one", "2001 one"]);
    alice.call(2003, "hello").await;
    assert_eq!(alice.hear().await, "2101 room/one@1 hello");
    assert_eq!(bob.hear(2101).await.payload["text"], "hello");
    bob.echo(2003, "to you").await.unwrap();
    assert_eq!(alice.hear().await, "2101 room/one@2 to you");
    assert_eq!(bob.hear(2101).await.payload["text"], "to you");
}

/// The next event of presence: who joined, who left, how many there are.
async fn presence(client: &mut TestClient) -> (Vec<String>, Vec<String>, u64) {
    loop {
        let message = client.hear_message().await;
        if message["protocol"] == 2102 {
            let users = |key: &str| {
                let members = message["payload"][key].as_array().cloned().unwrap_or_default();
                members.iter().map(|member| member["user"].as_str().unwrap().to_owned()).collect()
            };
            return (users("joined"), users("left"), message["payload"]["members"].as_u64().unwrap_or(0));
        }
    }
}

#[tokio::test]
async fn hearers_are_told_who_comes_and_who_goes() {
    let process = "version: 1\nreload: { watch: false }\nsessions: { resume_window: 5s }\n";
    let gateway = TestGateway::start_with(&[("routes/gateway.yaml", process), ("routes/routes.yaml", ROUTES)]);
    let (mut alice, mut bob) = (Hearer::login(&gateway, "alice").await, Hearer::login(&gateway, "bob").await);
    let (nobody, only) = (Vec::<String>::new(), |user: &str| vec![user.to_owned()]);
    alice.client.send(2007, json!({})).await;
    assert_eq!(presence(&mut alice.client).await, (only("alice"), nobody.clone(), 1));
    bob.client.send(2007, json!({})).await;
    assert_eq!(presence(&mut alice.client).await, (only("bob"), nobody.clone(), 2));
    let (bob, _) = bob.come_back(&gateway, json!({})).await;
    drop(bob);
    assert_eq!(
        presence(&mut alice.client).await,
        (nobody, only("bob"), 1),
        "once nobody waits for it any more; being away was nothing to tell"
    );
}

#[tokio::test]
async fn a_topic_that_is_taken_away_is_heard_by_nobody_new() {
    let gateway = TestGateway::start(ROUTES);
    let (mut alice, mut bob) = (Hearer::login(&gateway, "alice").await, Hearer::login(&gateway, "bob").await);
    alice.subscribe("news/all", None).await;
    let without = ROUTES.replace("  \"news/{id}\": { join: news.hear, pushes: [2101] }\n", "");
    let without: String = without.lines().filter(|line| !line.contains("say_news")).map(|line| format!("{line}\n")).collect();
    gateway.write("routes/routes.yaml", &without);
    assert_eq!(reload(&gateway).await.0, 200);
    assert_eq!(bob.ask(12, json!({ "topic": "news/all" })).await, ["12  UNKNOWN_TOPIC"]);
    alice.assert_hears_nothing().await;
    let (mut alice, resumed) = alice.come_back(&gateway, json!({ "news/all": {} })).await;
    assert_eq!(resumed["lostTopics"], json!(["news/all"]), "{resumed}");
    gateway.write("routes/routes.yaml", ROUTES);
    assert_eq!(reload(&gateway).await.0, 200);
    bob.subscribe("news/all", None).await;
    bob.call(2009, "back").await;
    assert_eq!(bob.hear().await, "2101 news/all back");
    alice.subscribe("news/all", None).await;
    bob.call(2009, "again").await;
    assert_eq!(alice.hear().await, "2101 news/all again");
}

#[tokio::test]
async fn a_history_that_is_declared_while_a_topic_is_heard_disturbs_nobody() {
    let gateway = TestGateway::start(ROUTES);
    let (mut alice, mut bob) = (Hearer::login(&gateway, "alice").await, Hearer::login(&gateway, "bob").await);
    alice.subscribe("news/all", None).await;
    bob.call(2009, "before").await;
    assert_eq!(alice.hear().await, "2101 news/all before");
    gateway.write("routes/routes.yaml", &ROUTES.replace("{ join: news.hear, pushes", "{ join: news.hear, history: { count: 8 }, pushes"));
    assert_eq!(reload(&gateway).await.0, 200);
    for place in 1..=3 {
        bob.call(2009, "after").await;
        assert_eq!(alice.hear().await, format!("2101 news/all@{place} after"));
    }
}

#[tokio::test]
async fn what_calls_publish_is_heard_in_the_order_of_their_replies() {
    let gateway = TestGateway::start(ROUTES);
    let mut alice = Hearer::login(&gateway, "alice").await;
    alice.call(2001, "one").await;
    for number in 0..30 {
        alice.client.send(2003, json!({ "text": number.to_string() })).await;
    }
    let (mut answered, mut heard) = (Vec::new(), Vec::new());
    while answered.len() < 30 || heard.len() < 30 {
        let message = alice.client.hear_message().await;
        match message["protocol"].as_u64() {
            Some(2003) => answered.push(message["payload"]["text"].clone()),
            Some(2101) => heard.push(message["payload"]["text"].clone()),
            _ => {}
        }
    }
    assert_eq!(answered, heard);
}

#[tokio::test]
async fn a_topic_that_is_left_at_once_is_not_heard() {
    let gateway = TestGateway::start(ROUTES);
    let mut alice = Hearer::login(&gateway, "alice").await;
    let pairs = 40;
    for number in 0..pairs {
        let topic = format!("news/{number}");
        alice.client.send(12, json!({ "topic": topic })).await;
        alice.client.send(13, json!({ "topic": topic })).await;
        let answers = alice.hear_all(2).await;
        assert!(answers.iter().any(|answer| answer.contains("CANCELLED")) || answers[0].starts_with("12 "), "{answers:?}");
        assert!(answers[1].starts_with("13 ") || answers[0].contains("CANCELLED"), "{answers:?}");
    }
    for number in 0..pairs {
        alice.subscribe(&format!("news/{number}"), None).await;
        alice.client.call(13, json!({ "topic": format!("news/{number}") })).await;
    }
    alice.call(2009, "is anybody there").await;
    alice.assert_hears_nothing().await;
}

#[tokio::test]
async fn a_place_that_no_history_reaches_is_answered_and_means_that_something_is_missing() {
    let gateway = TestGateway::start(ROUTES);
    let mut alice = Hearer::login(&gateway, "alice").await;
    let at = alice.subscribe("small/one", None).await["at"].clone();
    for offset in ["18446744073709551615", "9007199254740993", "1"] {
        let from = json!({ "epoch": at["epoch"], "offset": offset });
        let subscribed = alice.subscribe("small/one", Some(&from)).await;
        assert_eq!((&subscribed["recovered"], &subscribed["at"]), (&Value::Null, &at), "{subscribed}");
    }
}
