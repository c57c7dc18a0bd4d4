//! Conversations with the chat service, over a store in memory and a clock that is moved by hand.

mod listing;
mod model;
mod private;
mod rooms;
mod talk;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use futures_util::future::join_all;
use prost::Message as _;
use tonic_types::StatusExt as _;

use super::*;
use crate::push::v1::PushRequest;
use crate::push::v1::push_request::Target;
use crate::random;
use crate::services::pusher::testing::Recorder;
use crate::store::embedded::Embedded;
use crate::store::memory::Memory;
use crate::store::shared::Shared;
use crate::store::{Batch, Expect, Key};
use v1::{Conversation, MemberChange, PrivateMessage, Room, RoomMessage};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A service, and all it stands on.
struct World {
    chat: Chat,
    store: Store,
    memory: Arc<Memory>,
    clock: Clock,
    recorder: Recorder,
}

/// What arrived where: a topic, or users.
#[derive(Debug)]
enum Pushed {
    Said(String, RoomMessage),
    Member(String, MemberChange),
    Invited(Vec<String>, MemberChange),
    Private(Vec<String>, PrivateMessage),
}

impl World {
    fn new() -> World {
        let clock = Clock::by_hand(UNIX_EPOCH + Duration::from_millis(1_800_000_000_250));
        let memory = Arc::new(Memory::new(clock.clone()));
        World::over(Store::new(Shared(Arc::clone(&memory))), memory, clock)
    }

    /// On the engine that a gateway alone has.
    fn embedded() -> World {
        let clock = Clock::by_hand(UNIX_EPOCH + Duration::from_millis(1_800_000_000_250));
        let unused = Arc::new(Memory::new(clock.clone()));
        World::over(Store::new(Embedded::in_memory(clock.clone())), unused, clock)
    }

    fn over(store: Store, memory: Arc<Memory>, clock: Clock) -> World {
        let recorder = Recorder::default();
        let chat = Chat::new(store.clone(), clock.clone(), recorder.pusher(), &Handle::current());
        World { chat, store, memory, clock, recorder }
    }

    /// Another process of the service, over the same store and clients.
    fn another(&self) -> World {
        let World { store, memory, clock, recorder, .. } = self;
        let chat = Chat::new(store.clone(), clock.clone(), recorder.pusher(), &Handle::current());
        World { chat, store: store.clone(), memory: Arc::clone(memory), clock: clock.clone(), recorder: recorder.clone() }
    }

    async fn create(&self, user: &str, name: &str) -> Room {
        self.try_create(user, name, false, &[]).await.unwrap()
    }

    async fn create_private(&self, user: &str, name: &str, invited: &[&str]) -> Room {
        self.try_create(user, name, true, invited).await.unwrap()
    }

    async fn try_create(&self, user: &str, name: &str, private: bool, invited: &[&str]) -> Result<Room, String> {
        let invited = invited.iter().map(|&user| user.to_owned()).collect();
        let request = CreateRoomRequest { user_id: user.to_owned(), name: name.to_owned(), private, invited };
        said(self.chat.create_room(Request::new(request)).await).map(|response| response.room.unwrap())
    }

    async fn join(&self, user: &str, room: &Room) -> Result<JoinRoomResponse, String> {
        let request = JoinRoomRequest { user_id: user.to_owned(), room_id: room.id.clone() };
        said(self.chat.join_room(Request::new(request)).await)
    }

    async fn leave(&self, user: &str, room: &Room) -> Result<(), String> {
        let request = LeaveRoomRequest { user_id: user.to_owned(), room_id: room.id.clone() };
        said(self.chat.leave_room(Request::new(request)).await).map(drop)
    }

    /// The number of what was said.
    async fn say(&self, user: &str, room: &Room, text: &str) -> Result<u64, String> {
        self.say_as(user, room, text, "").await.map(|sent| sent.number)
    }

    async fn say_as(&self, user: &str, room: &Room, text: &str, key: &str) -> Result<SendMessageResponse, String> {
        let (user_id, room_id, text) = (user.to_owned(), room.id.clone(), text.to_owned());
        let request = SendMessageRequest { user_id, room_id, text, client_key: key.to_owned() };
        said(self.chat.send_message(Request::new(request)).await)
    }

    /// Says as many things as these numbers, as fast as one may.
    async fn say_many(&self, user: &str, room: &Room, count: u64) {
        for _ in 0..count {
            self.clock.advance(Duration::from_secs(1));
            self.say(user, room, "something").await.unwrap();
        }
    }

    async fn history(&self, user: &str, room: &Room, ask: impl FnOnce(&mut GetHistoryRequest)) -> Result<GetHistoryResponse, String> {
        let mut request = GetHistoryRequest { user_id: user.to_owned(), room_id: room.id.clone(), ..GetHistoryRequest::default() };
        ask(&mut request);
        said(self.chat.get_history(Request::new(request)).await)
    }

    async fn list(&self, user: &str, limit: u32, page: &str) -> Result<ListRoomsResponse, String> {
        let request = ListRoomsRequest { user_id: user.to_owned(), mine: false, limit, page: page.to_owned() };
        said(self.chat.list_rooms(Request::new(request)).await)
    }

    /// The ids of a user's rooms.
    async fn mine(&self, user: &str) -> Vec<String> {
        let request = ListRoomsRequest { user_id: user.to_owned(), mine: true, ..ListRoomsRequest::default() };
        let response = said(self.chat.list_rooms(Request::new(request)).await).unwrap();
        response.rooms.into_iter().map(|room| room.id).collect()
    }

    async fn whisper(&self, user: &str, receiver: &str, text: &str) -> Result<u64, String> {
        self.whisper_as(user, receiver, text, "").await.map(|sent| sent.number)
    }

    async fn whisper_as(&self, user: &str, receiver: &str, text: &str, key: &str) -> Result<SendPrivateResponse, String> {
        let (user_id, receiver, text) = (user.to_owned(), receiver.to_owned(), text.to_owned());
        let request = SendPrivateRequest { user_id, receiver, text, client_key: key.to_owned() };
        said(self.chat.send_private(Request::new(request)).await)
    }

    async fn private_history(&self, user: &str, with: &str) -> Result<GetPrivateHistoryResponse, String> {
        let request = GetPrivateHistoryRequest { user_id: user.to_owned(), with: with.to_owned(), ..GetPrivateHistoryRequest::default() };
        said(self.chat.get_private_history(Request::new(request)).await)
    }

    async fn conversations(&self, user: &str) -> Vec<Conversation> {
        self.private_history(user, "").await.unwrap().conversations
    }

    /// As the auth service does when somebody registers.
    async fn register(&self, users: &[&str]) {
        let batch = users
            .iter()
            .fold(Batch::default(), |batch, user| batch.put(crate::services::auth::account_key(user), "{}", Expect::Absent, None));
        self.store.write(batch).await.unwrap();
    }

    /// Everything that was pushed since this was last asked, in order.
    async fn pushed(&self) -> Vec<Pushed> {
        self.chat.talk.lanes.delivered().await;
        self.recorder.pushed().into_iter().map(Pushed::read).collect()
    }
}

impl Pushed {
    fn read(PushRequest { target, number, payload, .. }: PushRequest) -> Pushed {
        match (number, target) {
            (3101, Some(Target::Topic(topic))) => Pushed::Said(topic, RoomMessage::decode(payload).unwrap()),
            (3102, Some(Target::Topic(topic))) => Pushed::Member(topic, MemberChange::decode(payload).unwrap()),
            (3102, Some(Target::Users(users))) => Pushed::Invited(users.users, MemberChange::decode(payload).unwrap()),
            (3103, Some(Target::Users(users))) => Pushed::Private(users.users, PrivateMessage::decode(payload).unwrap()),
            (number, _) => panic!("{number} is not pushed so"),
        }
    }
}

/// The answer, or the reason that a client sees, with the field that is wrong.
fn said<T>(answer: Result<Response<T>, Status>) -> Result<T, String> {
    answer.map(Response::into_inner).map_err(|status| {
        let details = status.get_error_details();
        let reason = details.error_info().unwrap().reason.clone();
        match details.bad_request() {
            Some(bad) => format!("{reason} in {}", bad.field_violations[0].field),
            None => reason,
        }
    })
}

fn refused<T>(reason: &str) -> Result<T, String> {
    Err(reason.to_owned())
}

fn numbers(messages: &[RoomMessage]) -> Vec<u64> {
    messages.iter().map(|message| message.number).collect()
}
