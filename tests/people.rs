//! What people meet who play and chat at the same time: the shipped files over real sockets, on one gateway and on two that share a Redis.

use serde_json::{Value, json};

use crate::support::TestGateway;
use crate::support::client::TestClient;
use crate::support::redis::RedisServer;

const GET_STATE: u32 = 2001;
const CREATE_ROOM: u32 = 2002;
const JOIN_ROOM: u32 = 2003;
const OPERATE: u32 = 2006;
const GAME_EVENT: u64 = 2101;

const SAY: u32 = 3001;
const CREATE_CHAT: u32 = 3003;
const JOIN_CHAT: u32 = 3004;
const SAY_PRIVATE: u32 = 3007;
const CHAT_MESSAGE: u64 = 3101;
const PRIVATE_MESSAGE: u64 = 3103;

/// Somebody who misses nothing of what comes while they wait for something else.
struct Person {
    client: TestClient,
    kept: Vec<Value>,
    place: Place,
}

/// What a client keeps when its connection is gone: how it comes back, and up to where it has heard everything.
#[derive(Default)]
struct Place {
    resume_token: Value,
    seq: u64,
    topics: serde_json::Map<String, Value>,
}

/// Where people are: one gateway on its embedded store, or two that share a Redis.
struct World {
    gateways: Vec<TestGateway>,
    _redis: Option<RedisServer>,
}

// === impl World ===

impl World {
    fn embedded(process: &str) -> World {
        World { gateways: vec![TestGateway::start_shipped(process)], _redis: None }
    }

    fn shared(process: &str) -> World {
        let redis = RedisServer::start();
        let process = format!("store: {{ redis: {{ url: \"{}\" }} }}\n{process}", redis.url());
        let gateways = vec![TestGateway::start_shipped(&process), TestGateway::start_shipped(&process)];
        World { gateways, _redis: Some(redis) }
    }

    /// Somebody comes by one of the gateways: the next person by the next.
    async fn login(&self, name: &str, door: usize) -> Person {
        let gateway = &self.gateways[door % self.gateways.len()];
        Person::login(gateway, &self.gateways[0].token(name, &["player"])).await
    }

    async fn come_back(&self, place: Place, door: usize) -> (Person, Value) {
        Person::come_back(&self.gateways[door % self.gateways.len()], place).await
    }

    async fn stop(self) {
        for gateway in self.gateways {
            gateway.stop().await;
        }
    }
}

// === impl Person ===

impl Person {
    async fn login(gateway: &TestGateway, token: &str) -> Person {
        let mut client = TestClient::connect_with_token(gateway.edge(), token).await;
        let ready = client.hear_message().await;
        assert_eq!(ready["protocol"], 3, "Ready comes second: {ready}");
        let place = Place { resume_token: ready["payload"]["resumeToken"].clone(), ..Place::default() };
        Person { client, kept: Vec::new(), place }
    }

    /// Resumes, and what the gateway says of it.
    async fn come_back(gateway: &TestGateway, place: Place) -> (Person, Value) {
        let client = TestClient::connect(gateway.edge()).await;
        let asked = json!({ "resumeToken": place.resume_token, "lastSeq": place.seq, "topics": place.topics });
        let mut person = Person { client, kept: Vec::new(), place };
        let resumed = person.ask(4, asked).await;
        person.place.resume_token = resumed["ready"]["resumeToken"].clone();
        (person, resumed)
    }

    /// The connection breaks off.
    fn vanish(self) -> Place {
        self.place
    }

    /// The payload of an answer that is no failure.
    async fn ask(&mut self, protocol: u32, payload: Value) -> Value {
        let id = self.client.send(protocol, payload).await;
        loop {
            let said = self.next().await;
            if said["id"] == id {
                assert!(said["status"].is_null(), "{said}");
                return said["payload"].clone();
            }
            self.kept.push(said);
        }
    }

    /// The next push of this number; what else there is is kept.
    async fn hear(&mut self, protocol: u64) -> Value {
        if let Some(at) = self.kept.iter().position(|said| said["protocol"] == protocol) {
            return self.kept.remove(at);
        }
        loop {
            let said = self.next().await;
            if said["protocol"] == protocol && said["id"].is_null() {
                return said;
            }
            self.kept.push(said);
        }
    }

    /// Says up to where everything was heard.
    async fn acknowledge(&mut self) {
        self.client.say(json!({ "protocol": 7, "ack": self.place.seq }).to_string()).await;
    }

    async fn next(&mut self) -> Value {
        let said = self.client.hear_message().await;
        self.place.heard(&said);
        said
    }

    /// What happened in the game's room up to this version, each as `version who did what`.
    async fn hear_game(&mut self, last: u64) -> Vec<String> {
        let mut told = Vec::new();
        loop {
            let event = self.hear(GAME_EVENT).await["payload"].clone();
            let version: u64 = text(&event["version"]).parse().unwrap();
            told.push(format!("{version} {}", words(&event)));
            if version >= last {
                return told;
            }
        }
    }

    /// What was said in the chat up to this number.
    async fn hear_chat(&mut self, last: u64) -> Vec<String> {
        let mut told = Vec::new();
        loop {
            let said = self.hear(CHAT_MESSAGE).await["payload"].clone();
            let number: u64 = text(&said["number"]).parse().unwrap();
            told.push(format!("{number} {}: {}", text(&said["sender"]), text(&said["text"])));
            if number >= last {
                return told;
            }
        }
    }
}

// === impl Place ===

impl Place {
    fn heard(&mut self, said: &Value) {
        if let Some(seq) = said["seq"].as_u64() {
            self.seq = seq;
        }
        if said["protocol"] == 12 {
            let subscribed = &said["payload"];
            self.topics.insert(text(&subscribed["topic"]).to_owned(), subscribed["at"].clone());
        }
        if let Some(at) = said["topic"].as_str().and_then(|topic| self.topics.get_mut(topic)) {
            at["offset"] = said["offset"].clone();
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

fn words(event: &Value) -> String {
    let who = |what: &str| event[what]["userId"].as_str();
    if let Some(operation) = event["operation"].as_object() {
        return format!("{} does {}", text(&operation["userId"]), text(&operation["kind"]));
    }
    for what in ["joined", "left", "away", "back", "hostChanged"] {
        if let Some(user) = who(what) {
            return format!("{user} {what}");
        }
    }
    event.to_string()
}

fn action(room: &Value, kind: &str) -> Value {
    json!({ "roomId": room, "action": { "kind": kind } })
}

async fn an_evening(world: World) {
    let (mut alice, mut bob, mut carol) = (world.login("alice", 0).await, world.login("bob", 1).await, world.login("carol", 2).await);
    let game = alice.ask(CREATE_ROOM, json!({ "name": "chess", "capacity": 3 })).await["room"]["id"].clone();
    for person in [&mut bob, &mut carol] {
        person.ask(JOIN_ROOM, json!({ "roomId": game })).await;
    }
    for round in 0..4 {
        for person in [&mut alice, &mut bob, &mut carol] {
            person.ask(OPERATE, action(&game, &format!("move-{round}"))).await;
        }
    }
    let moves: Vec<String> = (0..12).map(|n| format!("{} {} does move-{}", n + 4, ["alice", "bob", "carol"][n % 3], n / 3)).collect();
    let heard = alice.hear_game(15).await;
    assert_eq!(heard, [&["2 bob joined".to_owned(), "3 carol joined".to_owned()], &*moves].concat(), "she was there from the beginning");
    for person in [&mut bob, &mut carol] {
        let heard = person.hear_game(15).await;
        assert_eq!(heard[heard.len() - moves.len()..], moves, "whoever has joined hears all that follows");
    }

    // A chat beside it, over the same connections.
    let chat = alice.ask(CREATE_CHAT, json!({ "name": "Tea" })).await["room"]["id"].clone();
    for person in [&mut bob, &mut carol] {
        person.ask(JOIN_CHAT, json!({ "roomId": chat })).await;
    }
    for _ in 0..3 {
        for person in [&mut alice, &mut bob, &mut carol] {
            person.ask(SAY, json!({ "roomId": chat, "text": "well" })).await;
        }
    }
    let said: Vec<String> = (0..9).map(|n| format!("{} {}: well", n + 1, ["alice", "bob", "carol"][n % 3])).collect();
    for person in [&mut alice, &mut bob, &mut carol] {
        assert_eq!(person.hear_chat(9).await, said);
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_in_a_room_hears_the_game_and_the_chat_in_their_order() {
    an_evening(World::embedded("")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_hears_it_in_order_by_whichever_gateway_they_came() {
    an_evening(World::shared("")).await;
}

/// All at once, by two gateways: numbers may come out of order, but to everybody in the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_rush_everybody_hears_everything_once_and_in_one_order() {
    const EACH: u64 = 15;
    let world = World::shared("");
    let mut people = Vec::new();
    for (door, name) in ["alice", "bob", "carol", "dave"].into_iter().enumerate() {
        people.push(world.login(name, door).await);
    }
    let game = people[0].ask(CREATE_ROOM, json!({ "name": "chess", "capacity": 4 })).await["room"]["id"].clone();
    let chat = people[0].ask(CREATE_CHAT, json!({ "name": "Tea" })).await["room"]["id"].clone();
    for person in &mut people[1..] {
        person.ask(JOIN_ROOM, json!({ "roomId": game })).await;
        person.ask(JOIN_CHAT, json!({ "roomId": chat })).await;
    }
    let rush = people.iter_mut().map(async |person| {
        for _ in 0..EACH {
            person.ask(OPERATE, action(&game, "move")).await;
            person.ask(SAY, json!({ "roomId": chat, "text": "hurry" })).await;
        }
    });
    futures_util::future::join_all(rush).await;
    let all = 4 * EACH;
    let mut told = Vec::new();
    for person in &mut people {
        let mut heard = Vec::new();
        while heard.len() < usize::try_from(all).unwrap() {
            let event = person.hear(GAME_EVENT).await["payload"].clone();
            heard.extend(event["operation"].is_object().then(|| text(&event["version"]).parse::<u64>().unwrap()));
        }
        let mut said = Vec::new();
        while said.len() < usize::try_from(all).unwrap() {
            said.push(text(&person.hear(CHAT_MESSAGE).await["payload"]["number"]).parse::<u64>().unwrap());
        }
        told.push((heard, said));
    }
    assert!(told.iter().all(|one| *one == told[0]), "the order is the same for everybody: {told:?}");
    let (mut versions, mut numbers) = told.remove(0);
    versions.sort_unstable();
    numbers.sort_unstable();
    assert_eq!((versions, numbers), ((5..5 + all).collect(), (1..=all).collect()));
    world.stop().await;
}

/// Somebody is cut off in the middle of a game and a chat, and comes back by another gateway if there is one.
async fn a_tunnel(world: World) {
    let (mut alice, mut bob) = (world.login("alice", 0).await, world.login("bob", 1).await);
    let game = alice.ask(CREATE_ROOM, json!({ "name": "chess", "capacity": 2 })).await["room"]["id"].clone();
    bob.ask(JOIN_ROOM, json!({ "roomId": game })).await;
    let chat = alice.ask(CREATE_CHAT, json!({ "name": "Tea" })).await["room"]["id"].clone();
    bob.ask(JOIN_CHAT, json!({ "roomId": chat })).await;
    alice.ask(OPERATE, action(&game, "before")).await;
    alice.ask(SAY, json!({ "roomId": chat, "text": "before" })).await;
    assert_eq!(bob.hear_game(3).await.last().unwrap(), "3 alice does before");
    assert_eq!(bob.hear_chat(1).await, ["1 alice: before"]);

    let place = bob.vanish();
    alice.ask(OPERATE, action(&game, "meanwhile")).await;
    alice.ask(SAY, json!({ "roomId": chat, "text": "meanwhile" })).await;
    let (mut bob, resumed) = world.come_back(place, 2).await;
    assert_eq!((&resumed["recovered"], &resumed["lostTopics"]), (&json!(true), &Value::Null), "{resumed}");

    let room = bob.ask(GET_STATE, json!({ "roomId": game })).await["room"].clone();
    let members: Vec<&str> = room["members"].as_array().unwrap().iter().map(|member| text(&member["userId"])).collect();
    assert_eq!(members, ["alice", "bob"], "the seat was kept");
    bob.ask(OPERATE, action(&game, "after")).await;
    bob.ask(SAY, json!({ "roomId": chat, "text": "after" })).await;
    assert_eq!(bob.hear_game(5).await, ["4 alice does meanwhile", "5 bob does after"]);
    assert_eq!(bob.hear_chat(3).await, ["2 alice: meanwhile", "3 bob: after"]);
    assert_eq!(alice.hear_game(5).await.last().unwrap(), "5 bob does after");
    assert_eq!(alice.hear_chat(3).await.last().unwrap(), "3 bob: after");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_cut_off_comes_back_to_their_seat_and_misses_nothing() {
    a_tunnel(World::embedded("")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_cut_off_comes_back_by_another_gateway_and_misses_nothing() {
    a_tunnel(World::shared("")).await;
}

/// The host goes and does not come back within the window.
async fn a_host_goes(process: &str, world: impl Fn(&str) -> World) {
    // The gateway says something often, so that hearing nothing for a while is no failure.
    let world = world(&format!("sessions: {{ resume_window: 1s }}\nconnections: {{ heartbeat: 2s }}\n{process}"));
    let (mut alice, mut bob) = (world.login("alice", 0).await, world.login("bob", 1).await);
    let game = alice.ask(CREATE_ROOM, json!({ "name": "chess", "capacity": 2 })).await["room"]["id"].clone();
    let room = bob.ask(JOIN_ROOM, json!({ "roomId": game })).await["room"].clone();
    assert_eq!(room["host"], "alice");
    drop(alice);
    let mut told = Vec::new();
    while told.last().is_none_or(|last: &String| !last.ends_with("bob hostChanged")) {
        told.extend(bob.hear_game(0).await);
    }
    assert!(told.contains(&"3 alice away".to_owned()), "{told:?}");
    let room = bob.ask(GET_STATE, json!({ "roomId": game })).await["room"].clone();
    assert_eq!((&room["host"], room["members"].as_array().unwrap().len()), (&json!("bob"), 2), "her seat waits for a minute: {room}");
    bob.ask(OPERATE, json!({ "roomId": game, "state": "Ym9hcmQ=" })).await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_whose_session_is_over_hands_the_room_on() {
    a_host_goes("", World::embedded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_who_was_on_another_gateway_hands_the_room_on() {
    a_host_goes("", World::shared).await;
}

/// Bob is told something while he is not there.
async fn a_letter(world: World) {
    let (mut alice, mut bob) = (world.login("alice", 0).await, world.login("bob", 1).await);
    bob.ask(CREATE_CHAT, json!({ "name": "so that he is known" })).await;
    // His session waits for him, and he does not come back to it.
    drop(bob);
    for text in ["first", "second"] {
        alice.ask(SAY_PRIVATE, json!({ "receiver": "bob", "text": text })).await;
    }

    let mut bob = world.login("bob", 1).await;
    for (number, text) in [("1", "first"), ("2", "second")] {
        let letter = bob.hear(PRIVATE_MESSAGE).await["payload"].clone();
        assert_eq!((&letter["sender"], &letter["number"], &letter["text"]), (&json!("alice"), &json!(number), &json!(text)));
    }
    bob.acknowledge().await;
    // Whatever came twice would come before the answer, and before the next letter.
    alice.ask(SAY_PRIVATE, json!({ "receiver": "bob", "text": "third" })).await;
    assert_eq!(bob.hear(PRIVATE_MESSAGE).await["payload"]["number"], "3", "each comes once");
    bob.acknowledge().await;
    bob.ask(6, json!({})).await;
    drop(bob);

    // What he acknowledged is written down within a second or so, and from then on no login gets it.
    alice.ask(SAY_PRIVATE, json!({ "receiver": "bob", "text": "fourth" })).await;
    for door in 2..32 {
        let mut bob = world.login("bob", door).await;
        let letter = bob.hear(PRIVATE_MESSAGE).await["payload"].clone();
        if letter["number"] == "4" {
            return world.stop().await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    panic!("what bob acknowledged comes again and again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_away_gets_a_letter_at_the_next_login_once() {
    a_letter(World::embedded("")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_away_gets_a_letter_by_whichever_gateway_they_come() {
    a_letter(World::shared("")).await;
}
