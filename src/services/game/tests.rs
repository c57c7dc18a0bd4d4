//! Conversations with the game service, over a store in memory and a clock that is moved by hand.

mod alone;
mod crowd;
mod keeping;
mod refusals;
mod seats;

use std::collections::HashMap;
use std::time::{Duration, UNIX_EPOCH};

use argon2::Params;
use bytes::Bytes;
use prost::Message as _;
use tonic_types::StatusExt as _;

use super::v1::game_event::Event;
use super::v1::{Action, CloseReason, GameEvent, LeaveReason, Room};
use super::*;
use crate::clock::Clock;
use crate::push::v1::push_request::Target;
use crate::services::pusher::testing::Recorder;
use crate::store::Store;
use crate::store::memory::Memory;

/// A service, and all it stands on.
struct World {
    game: Game,
    sweep: Sweep,
    recorder: Recorder,
    memory: Arc<Memory>,
    store: Store,
    clock: Clock,
    hasher: Hasher,
    tasks: Arc<Tasks>,
}

impl World {
    fn new() -> World {
        let clock = Clock::by_hand(UNIX_EPOCH + Duration::from_millis(1_800_000_000_250));
        let memory = Arc::new(Memory::new(clock.clone()));
        let store = Store::sharing(Arc::clone(&memory));
        let hasher = Hasher::at_cost(Params::new(8, 1, 1, None).unwrap(), 4);
        World::over(memory, store, clock, hasher, Recorder::default())
    }

    fn over(memory: Arc<Memory>, store: Store, clock: Clock, hasher: Hasher, recorder: Recorder) -> World {
        let tasks = Arc::new(Tasks::new());
        let context = Context { store: store.clone(), clock: clock.clone(), ..Context::in_memory() };
        let game = Game::new(context, recorder.pusher(), hasher.clone(), &Handle::current(), &tasks);
        let sweep = Sweep::new(game.rooms.clone(), tasks.token());
        World { game, sweep, recorder, memory, store, clock, hasher, tasks }
    }

    /// Another process over the same store, with the same gateway.
    fn another(&self) -> World {
        let World { memory, store, clock, hasher, recorder, .. } = self;
        World::over(Arc::clone(memory), store.clone(), clock.clone(), hasher.clone(), recorder.clone())
    }

    /// A room of four that `user` has made.
    async fn room(&self, user: &str) -> Room {
        self.try_create(user, |_| {}).await.unwrap()
    }

    async fn try_create(&self, user: &str, change: impl FnOnce(&mut CreateRoomRequest)) -> Result<Room, String> {
        let mut request = CreateRoomRequest {
            user_id: user.to_owned(),
            name: "a table".to_owned(),
            capacity: 4,
            password: String::new(),
            metadata: HashMap::new(),
        };
        change(&mut request);
        said(self.game.create_room(Request::new(request)).await).map(|response| response.room.unwrap())
    }

    async fn join(&self, room: &str, user: &str) -> Result<Room, String> {
        self.join_with(room, user, "").await
    }

    async fn join_with(&self, room: &str, user: &str, password: &str) -> Result<Room, String> {
        let request = JoinRoomRequest { user_id: user.to_owned(), room_id: room.to_owned(), password: password.to_owned() };
        said(self.game.join_room(Request::new(request)).await).map(|response| response.room.unwrap())
    }

    async fn leave(&self, room: &str, user: &str) -> Result<LeaveRoomResponse, String> {
        let request = LeaveRoomRequest { user_id: user.to_owned(), room_id: room.to_owned() };
        said(self.game.leave_room(Request::new(request)).await)
    }

    async fn act(&self, room: &str, user: &str, payload: &str) -> Result<u64, String> {
        self.operate(room, user, None, What::Action(action(payload))).await
    }

    async fn operate(&self, room: &str, user: &str, expected: Option<u64>, what: What) -> Result<u64, String> {
        let request = OperateRequest { user_id: user.to_owned(), room_id: room.to_owned(), expected_version: expected, what: Some(what) };
        said(GameService::operate(&self.game, Request::new(request)).await).map(|response| response.version)
    }

    async fn state(&self, room: &str, user: &str) -> Result<GetStateResponse, String> {
        let request = GetStateRequest { user_id: user.to_owned(), room_id: room.to_owned() };
        said(self.game.get_state(Request::new(request)).await)
    }

    async fn history(&self, room: &str, user: &str, after: u64, size: u32) -> Result<GetHistoryResponse, String> {
        let request = GetHistoryRequest { user_id: user.to_owned(), room_id: room.to_owned(), after_version: after, page_size: size };
        said(self.game.get_history(Request::new(request)).await)
    }

    async fn list(&self, size: u32, token: &str) -> Result<ListRoomsResponse, String> {
        let request = ListRoomsRequest { user_id: "anybody".to_owned(), page_size: size, page_token: token.to_owned() };
        said(self.game.list_rooms(Request::new(request)).await)
    }

    /// Every room of the list.
    async fn listed(&self) -> Vec<String> {
        let (mut ids, mut token) = (Vec::new(), String::new());
        loop {
            let page = self.list(7, &token).await.unwrap();
            ids.extend(page.rooms.into_iter().map(|room| room.id));
            token = page.next_page_token;
            if token.is_empty() {
                return ids;
            }
        }
    }

    async fn statistics(&self, user: &str, player: &str) -> Result<GetStatisticsResponse, String> {
        let request = GetStatisticsRequest { user_id: user.to_owned(), player_id: player.to_owned() };
        said(self.game.get_statistics(Request::new(request)).await)
    }

    /// What was told since this was last asked: the topic, and what happened at which version.
    fn told(&self) -> Vec<(String, u64, String)> {
        self.recorder
            .pushed()
            .into_iter()
            .map(|push| {
                assert_eq!(push.number, 2101);
                let Some(Target::Topic(topic)) = push.target else { panic!("rooms are told by topic") };
                let event = GameEvent::decode(push.payload).unwrap();
                (topic, event.version, words(event.event.as_ref().unwrap()))
            })
            .collect()
    }

    /// What happened, in the words of a bystander.
    fn heard(&self) -> Vec<String> {
        self.told().into_iter().map(|(_, version, words)| format!("{version} {words}")).collect()
    }

    /// Whoever is named hears a room, from here on.
    fn present(&self, room: &str, users: &[&str]) {
        self.recorder.set_members(&room::topic(room), users);
    }

    /// So long passes, and then the sweep comes by.
    async fn after(&mut self, seconds: u64) -> Vec<String> {
        self.clock.advance(Duration::from_secs(seconds));
        self.sweep.round().await.unwrap_or_else(|refusal| panic!("{}", refusal.reason()));
        self.heard()
    }
}

fn action(payload: &str) -> Action {
    Action { kind: "move".to_owned(), payload: Bytes::copy_from_slice(payload.as_bytes()) }
}

fn words(event: &Event) -> String {
    match event {
        Event::Joined(who) => format!("{} joined", who.user_id),
        Event::Left(who) => format!("{} left{}", who.user_id, if who.reason() == LeaveReason::Gone { ", gone" } else { "" }),
        Event::Away(who) => format!("{} away", who.user_id),
        Event::Back(who) => format!("{} back", who.user_id),
        Event::HostChanged(host) => format!("{} is host", host.user_id),
        Event::Operation(operation) => {
            format!("{} does {} {}", operation.user_id, operation.kind, str::from_utf8(&operation.payload).unwrap())
        }
        Event::StateReplaced(state) => format!("{} replaces the state by {:?} bytes", state.user_id, state.state.as_ref().map(Bytes::len)),
        Event::Closed(closed) => format!("closed, {}", if closed.reason() == CloseReason::Idle { "idle" } else { "empty" }),
    }
}

/// The answer, or the reason of the refusal and what comes with it.
fn said<T>(answer: Result<Response<T>, Status>) -> Result<T, String> {
    answer.map(Response::into_inner).map_err(|status| {
        let details = status.get_error_details();
        let info = details.error_info().expect("every refusal has a reason");
        let version = info.metadata.get("version").map(|version| format!(" at {version}")).unwrap_or_default();
        let wait = details.retry_info().and_then(|info| info.retry_delay).map(|wait| format!(" for {}s", wait.as_secs()));
        let field = details.bad_request().map(|bad| format!(" {}", bad.field_violations[0].field));
        format!("{:?} {}{version}{}{}", status.code(), info.reason, wait.unwrap_or_default(), field.unwrap_or_default())
    })
}

fn refused<T>(answer: Result<T, String>) -> String {
    answer.err().expect("this is to be refused")
}

#[tokio::test]
async fn whoever_makes_a_room_is_its_host_and_others_join_and_act_and_leave() {
    let world = World::new();
    let room = world.try_create("alice", |request| request.metadata = [("map".to_owned(), "moon".to_owned())].into()).await.unwrap();
    assert_eq!((room.name.as_str(), room.capacity, room.host.as_str(), room.version), ("a table", 4, "alice", 1));
    assert_eq!((room.metadata["map"].as_str(), room.locked, room.created_ms), ("moon", false, 1_800_000_000_250));
    let joined = world.join(&room.id, "bob").await.unwrap();
    assert_eq!((joined.version, joined.members.len(), joined.members[1].user_id.as_str()), (2, 2, "bob"));
    assert_eq!(world.act(&room.id, "bob", "e4").await, Ok(3));
    world.leave(&room.id, "bob").await.unwrap();
    let told = world.told();
    assert!(told.iter().all(|(topic, ..)| *topic == format!("room/{}", room.id)));
    let told: Vec<_> = told.iter().map(|(_, version, words)| format!("{version} {words}")).collect();
    assert_eq!(told, ["1 alice joined", "2 bob joined", "3 bob does move e4", "4 bob left"]);
    let silenced = world.recorder.unsubscribed();
    assert_eq!(silenced.len(), 1);
    assert_eq!((silenced[0].users.as_slice(), silenced[0].reason.as_str()), (&["bob".to_owned()][..], "ROOM_LEFT"));
    let state = world.state(&room.id, "alice").await.unwrap().room.unwrap();
    assert_eq!((state.version, state.members.len()), (4, 1));
}

#[tokio::test]
async fn joining_twice_is_joining_once() {
    let world = World::new();
    let room = world.room("alice").await;
    let first = world.join(&room.id, "bob").await.unwrap();
    let again = world.join(&room.id, "bob").await.unwrap();
    assert_eq!((again.version, &again.members), (2, &first.members));
    assert_eq!(world.heard(), ["1 alice joined", "2 bob joined"]);
    assert_eq!(world.statistics("bob", "").await.unwrap().rooms_joined, 1);
}

#[tokio::test]
async fn the_host_replaces_the_state_and_whoever_asks_has_it() {
    let world = World::new();
    let room = world.room("alice").await;
    assert!(world.state(&room.id, "alice").await.unwrap().state.is_empty());
    let (small, large) = (Bytes::from(vec![1; 4096]), Bytes::from(vec![2; 64 << 10]));
    assert_eq!(world.operate(&room.id, "alice", Some(1), What::State(small.clone())).await, Ok(2));
    assert_eq!(world.state(&room.id, "alice").await.unwrap().state, small);
    assert_eq!(world.operate(&room.id, "alice", None, What::State(large.clone())).await, Ok(3));
    assert_eq!(world.act(&room.id, "alice", "e4").await, Ok(4));
    let state = world.state(&room.id, "alice").await.unwrap();
    assert_eq!((state.room.unwrap().state_version, state.state), (3, large));
    let told = world.heard();
    assert_eq!(told[1], "2 alice replaces the state by Some(4096) bytes");
    assert_eq!(told[2], "3 alice replaces the state by None bytes");
}

#[tokio::test]
async fn the_host_who_leaves_hands_over_to_whoever_has_been_there_longest() {
    let world = World::new();
    let room = world.room("alice").await;
    for user in ["bob", "carol"] {
        world.join(&room.id, user).await.unwrap();
    }
    world.leave(&room.id, "alice").await.unwrap();
    assert_eq!(world.state(&room.id, "carol").await.unwrap().room.unwrap().host, "bob");
    world.leave(&room.id, "carol").await.unwrap();
    assert_eq!(world.heard()[3..], ["4 alice left", "5 bob is host", "6 carol left"]);
    assert_eq!(world.operate(&room.id, "bob", None, What::State(Bytes::from_static(b"x"))).await, Ok(7));
}

#[tokio::test]
async fn a_room_whose_last_member_leaves_is_closed_for_everybody() {
    let world = World::new();
    let room = world.room("alice").await;
    world.operate(&room.id, "alice", None, What::State(Bytes::from_static(b"x"))).await.unwrap();
    world.leave(&room.id, "alice").await.unwrap();
    assert_eq!(world.heard()[2..], ["3 alice left", "4 closed, empty"]);
    let disbanded = world.recorder.unsubscribed();
    assert_eq!(disbanded.len(), 1);
    assert_eq!((disbanded[0].users.len(), disbanded[0].reason.as_str()), (0, "ROOM_CLOSED"));
    assert!(world.listed().await.is_empty());
    for refusal in [
        refused(world.join(&room.id, "bob").await),
        refused(world.act(&room.id, "alice", "e4").await),
        refused(world.state(&room.id, "alice").await),
        refused(world.history(&room.id, "alice", 0, 0).await),
    ] {
        assert_eq!(refusal, "FailedPrecondition ROOM_CLOSED");
    }
    world.leave(&room.id, "alice").await.expect("leaving twice is leaving");
    assert!(world.store.get(&room::state_key(&room.id)).await.unwrap().is_none(), "the state goes with its room");
    world.clock.advance(Duration::from_secs(600));
    assert_eq!(refused(world.join(&room.id, "bob").await), "NotFound ROOM_NOT_FOUND");
}

#[tokio::test]
async fn rooms_with_a_free_seat_are_listed_page_by_page_without_their_passwords() {
    let world = World::new();
    let mut made = Vec::new();
    for index in 0..30 {
        let locked = |request: &mut CreateRoomRequest| {
            request.password = if index == 0 { "sesame".to_owned() } else { String::new() };
            request.capacity = if index == 1 { 1 } else { 4 };
        };
        made.push(world.try_create(&format!("player-{index}"), locked).await.unwrap().id);
    }
    let mut listed = world.listed().await;
    listed.sort();
    made.remove(1);
    let locked = made[0].clone();
    made.sort();
    assert_eq!(listed, made, "each once, and not the full one");
    let page = world.list(0, "").await.unwrap();
    assert_eq!(page.rooms.len(), 20);
    let all = world.list(40, "").await.unwrap();
    assert!(all.rooms.iter().all(|room| room.locked == (room.id == locked) && room.members == 1));
    assert!(!format!("{all:?}").contains("argon2") && all.next_page_token.is_empty());
}

#[tokio::test]
async fn history_is_given_page_by_page_and_says_when_its_beginning_is_gone() {
    let world = World::new();
    let room = world.room("alice").await;
    for index in 2..=300 {
        assert_eq!(world.act(&room.id, "alice", &index.to_string()).await, Ok(index));
    }
    let page = world.history(&room.id, "alice", 290, 4).await.unwrap();
    assert_eq!(page.events.iter().map(|event| event.version).collect::<Vec<_>>(), [291, 292, 293, 294]);
    assert_eq!((page.version, page.beginning_is_gone), (300, false));
    assert_eq!(words(page.events[0].event.as_ref().unwrap()), "alice does move 291");
    let end = world.history(&room.id, "alice", 300, 0).await.unwrap();
    assert_eq!((end.events.len(), end.version, end.beginning_is_gone), (0, 300, false));
    assert_eq!(world.history(&room.id, "alice", u64::MAX, 0).await.unwrap().events.len(), 0);
    // 256 are kept: 45 to 300.
    assert!(!world.history(&room.id, "alice", 44, 0).await.unwrap().beginning_is_gone);
    let gone = world.history(&room.id, "alice", 43, 0).await.unwrap();
    assert_eq!((gone.beginning_is_gone, gone.events[0].version, gone.events.len()), (true, 45, 100));
    // The whole log is forgotten for its age, and begins anew.
    world.clock.advance(Duration::from_secs(3600));
    let none = world.history(&room.id, "alice", 299, 0).await.unwrap();
    assert_eq!((none.events.len(), none.version, none.beginning_is_gone), (0, 300, true));
    assert!(!world.history(&room.id, "alice", 300, 0).await.unwrap().beginning_is_gone);
    world.act(&room.id, "alice", "again").await.unwrap();
    let anew = world.history(&room.id, "alice", 300, 0).await.unwrap();
    assert_eq!((anew.events[0].version, anew.events.len(), anew.beginning_is_gone), (301, 1, false));
    assert!(world.history(&room.id, "alice", 299, 0).await.unwrap().beginning_is_gone);
}

#[tokio::test]
async fn a_page_of_large_operations_fits_into_an_answer() {
    let world = World::new();
    let room = world.room("alice").await;
    for _ in 0..80 {
        world.act(&room.id, "alice", &"x".repeat(4096)).await.unwrap();
    }
    let page = world.history(&room.id, "alice", 1, 0).await.unwrap();
    assert!(page.encoded_len() < 256 << 10 && page.events.len() > 40 && page.events.len() < 80, "{}", page.events.len());
    let next = world.history(&room.id, "alice", page.events.last().unwrap().version, 0).await.unwrap();
    assert_eq!(page.events.len() + next.events.len(), 80);
}

#[tokio::test]
async fn statistics_count_what_goes_on_and_what_is_over() {
    let world = World::new();
    let (one, two) = (world.room("alice").await, world.room("bob").await);
    world.join(&two.id, "alice").await.unwrap();
    world.act(&one.id, "alice", "e4").await.unwrap();
    world.act(&two.id, "alice", "e5").await.unwrap();
    world.act(&two.id, "bob", "d5").await.unwrap();
    world.clock.advance(Duration::from_secs(60));
    world.leave(&two.id, "alice").await.unwrap();
    world.clock.advance(Duration::from_secs(60));
    let hers = world.statistics("alice", "").await.unwrap();
    assert_eq!((hers.player_id.as_str(), hers.rooms_joined, hers.rooms_created, hers.operations), ("alice", 2, 1, 2));
    assert_eq!((hers.played_ms, hers.rooms.as_slice()), (180_000, &[one.id.clone()][..]));
    assert_eq!((hers.first_joined_ms, hers.last_joined_ms), (1_800_000_000_250, 1_800_000_000_250));
    let seen = world.statistics("bob", "alice").await.unwrap();
    assert_eq!((seen.operations, seen.rooms.len()), (2, 0), "where she is is for her alone");
    let nobody = world.statistics("bob", "nobody").await.unwrap();
    assert_eq!((nobody.rooms_joined, nobody.first_joined_ms), (0, 0));
}
