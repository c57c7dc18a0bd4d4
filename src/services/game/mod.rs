//! Rooms in which people play together. `proto/protogate/game/v1` is the contract.
//!
//! The service keeps everything in the [store](crate::store), so that several of it are one, and it survives its process; it reaches
//! clients by the gateway alone. Files: `draft` has the rules, `room` and `player` what is kept; `rooms` finds, makes and changes rooms, in
//! their `turns`, over an `index` and a `history`; `herald` tells what happened; `sweep` takes the seats of those who are gone;
//! `passwords` and `names` say who and what may be let in, `refused` how no is said.
//!
//! It believes the field `user_id` of requests: whoever reaches it without a gateway in between can be anybody.

mod draft;
mod herald;
mod history;
mod index;
mod names;
mod passwords;
mod player;
mod refused;
mod room;
mod rooms;
mod sweep;
#[cfg(test)]
mod tests;
mod turns;

/// The types of `proto/protogate/game/v1/game.proto`.
pub mod v1 {
    tonic::include_proto!("protogate.game.v1");
}

use std::sync::{Arc, Weak};

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tonic::{Request, Response, Status};

use herald::Herald;
use names::Wish;
use passwords::Passwords;
use rooms::Rooms;
use sweep::Sweep;
use turns::Turns;
use v1::game_service_server::{GameService, GameServiceServer};
use v1::operate_request::What;
use v1::{
    CreateRoomRequest, CreateRoomResponse, GetHistoryRequest, GetHistoryResponse, GetStateRequest, GetStateResponse, GetStatisticsRequest,
    GetStatisticsResponse, JoinRoomRequest, JoinRoomResponse, LeaveRoomRequest, LeaveRoomResponse, ListRoomsRequest, ListRoomsResponse,
    OperateRequest, OperateResponse,
};

use super::Context;
use super::hasher::Hasher;
use super::pusher::Pusher;
use super::refusal::{Refusal, Result as Answer};
use crate::drain::Tasks;

/// The largest request: a state, and room for the rest.
const REQUEST_BYTES_MAX: usize = 80 << 10;

/// Rooms on a page, where nobody says.
const ROOMS_PER_PAGE: usize = 20;

#[derive(Clone)]
struct Game {
    rooms: Rooms,
    passwords: Passwords,
    turns: Turns,
    runtime: Handle,
    /// What was begun is finished by them. They end when their owner does, so they are not to be held.
    tasks: Weak<Tasks>,
}

/// The service, ready to be served. It sweeps on `runtime` until `tasks` are asked to end, and is to be called there.
pub fn service(
    context: Context,
    pusher: Pusher,
    hasher: Hasher,
    runtime: &Handle,
    tasks: &Arc<Tasks>,
) -> GameServiceServer<impl GameService + use<>> {
    let game = Game::new(context, pusher, hasher, runtime, tasks);
    tasks.spawn_gently(runtime, Sweep::new(game.rooms.clone(), tasks.token()).run());
    GameServiceServer::new(game).max_decoding_message_size(REQUEST_BYTES_MAX)
}

// === impl Game ===

impl Game {
    fn new(context: Context, pusher: Pusher, hasher: Hasher, runtime: &Handle, tasks: &Arc<Tasks>) -> Game {
        let Context { store, clock, .. } = context;
        let turns = Turns::new();
        let rooms = Rooms::new(store.clone(), clock, Herald::new(pusher), turns.clone());
        Game { rooms, passwords: Passwords::new(store, hasher), turns, runtime: runtime.clone(), tasks: Arc::downgrade(tasks) }
    }

    /// Finishes a change also if whoever asked for it goes away: between the store and the push there would be a gap that nobody hears.
    async fn finish<T, F>(&self, change: impl FnOnce(Rooms) -> F) -> Answer<T>
    where
        T: Send + 'static,
        F: Future<Output = Answer<T>> + Send + 'static,
    {
        let place = self.turns.enter()?;
        let change = change(self.rooms.clone());
        let (sender, answer) = oneshot::channel();
        let Some(tasks) = self.tasks.upgrade() else { return change.await };
        tasks.spawn_gently(&self.runtime, async move {
            // Nobody to answer is fine.
            let _ = sender.send(change.await);
            drop(place);
        });
        drop(tasks);
        answer.await.unwrap_or_else(|_| Err(refused::broken_off()))
    }

    async fn create(&self, mut request: CreateRoomRequest) -> Answer<CreateRoomResponse> {
        let user = asker(std::mem::take(&mut request.user_id))?;
        let mut wish = Wish::parse(request)?;
        let password = match wish.password.take() {
            Some(password) => Some(self.passwords.hash(password).await?),
            None => None,
        };
        let room = self.finish(|rooms| async move { rooms.create(&user, &wish, password).await }).await?;
        Ok(CreateRoomResponse { room: Some(room.shown()) })
    }

    async fn join(&self, request: JoinRoomRequest) -> Answer<JoinRoomResponse> {
        let JoinRoomRequest { user_id, room_id, password } = request;
        let user = asker(user_id)?;
        let room = self.rooms.open(&room_id).await?;
        if room.seat(&user).is_none() && room.is_full() {
            return Err(refused::room_full());
        }
        self.passwords.check(&room, &user, password).await?;
        let was_asked = room.seat(&user).is_none();
        let joined = self.finish(move |rooms| async move {
            let join = |draft: &mut draft::Draft| {
                // Whoever had a seat was not asked for the password; if it was taken just now, they have to be.
                if !was_asked && draft.room.password.is_some() && draft.room.seat(&user).is_none() {
                    return Err(refused::wrong_password());
                }
                draft.join(&user)
            };
            rooms.change(&room_id, join).await
        });
        let ((), room) = joined.await?;
        Ok(JoinRoomResponse { room: Some(room.shown()) })
    }

    async fn leave(&self, request: LeaveRoomRequest) -> Answer<LeaveRoomResponse> {
        let LeaveRoomRequest { user_id, room_id } = request;
        let user = asker(user_id)?;
        let left = self.finish(|rooms| async move {
            let leave = |draft: &mut draft::Draft| {
                draft.leave(&user);
                Ok(())
            };
            rooms.change(&room_id, leave).await.map(drop)
        });
        match left.await {
            // Nobody is in it any more, and that was wanted.
            Err(refusal) if refusal.reason() == "ROOM_CLOSED" => Ok(LeaveRoomResponse {}),
            left => left.map(|()| LeaveRoomResponse {}),
        }
    }

    async fn list(&self, request: ListRoomsRequest) -> Answer<ListRoomsResponse> {
        let ListRoomsRequest { user_id, page_size, page_token } = request;
        asker(user_id)?;
        self.rooms.page(&page_token, page_of(page_size, ROOMS_PER_PAGE, rooms::PAGE_MAX)).await
    }

    async fn operate(&self, request: OperateRequest) -> Answer<OperateResponse> {
        let OperateRequest { user_id, room_id, expected_version: expected, what } = request;
        let user = asker(user_id)?;
        let what = what.ok_or_else(|| Refusal::invalid("action", "INVALID_OPERATION", "say what is to be done: `action` or `state`"))?;
        match &what {
            What::Action(action) => names::check_action(action)?,
            What::State(state) => names::check_state(state)?,
        }
        let operated = self.finish(|rooms| async move {
            let operate = |draft: &mut draft::Draft| match &what {
                What::Action(action) => draft.operate(&user, expected, action),
                What::State(state) => draft.replace_state(&user, expected, state),
            };
            rooms.change(&room_id, operate).await
        });
        let (version, _) = operated.await?;
        Ok(OperateResponse { version })
    }

    async fn state(&self, request: GetStateRequest) -> Answer<GetStateResponse> {
        let GetStateRequest { user_id, room_id } = request;
        let (room, state) = self.rooms.open_with_state(&room_id, &asker(user_id)?).await?;
        Ok(GetStateResponse { room: Some(room.shown()), state })
    }

    async fn history(&self, request: GetHistoryRequest) -> Answer<GetHistoryResponse> {
        let GetHistoryRequest { user_id, room_id, after_version, page_size } = request;
        let user = asker(user_id)?;
        let room = self.rooms.open(&room_id).await?;
        room.seat(&user).ok_or_else(refused::not_a_member)?;
        let size = page_of(page_size, history::PAGE_MAX, history::PAGE_MAX);
        history::read(&self.rooms.store, &room, after_version, size).await
    }

    async fn statistics(&self, request: GetStatisticsRequest) -> Answer<GetStatisticsResponse> {
        let GetStatisticsRequest { user_id, player_id } = request;
        let user = asker(user_id)?;
        let whose = if player_id.is_empty() { &user } else { &player_id };
        names::check_player(whose)?;
        let (mut player, _) = self.rooms.player(whose).await?;
        let rooms = self.rooms.seated(whose, &player).await?;
        let now_ms = self.rooms.clock.now_ms();
        rooms.iter().filter_map(|room| room.seat(whose)).for_each(|seat| player.add(seat, now_ms));
        let mut shown = player.shown(whose);
        if *whose == user {
            shown.rooms = rooms.into_iter().map(|room| room.id).collect();
        }
        Ok(shown)
    }
}

/// Who asks.
fn asker(user_id: String) -> Answer<String> {
    if user_id.is_empty() { Err(refused::not_logged_in()) } else { Ok(user_id) }
}

fn page_of(wanted: u32, unsaid: usize, most: usize) -> usize {
    if wanted == 0 { unsaid } else { most.min(wanted as usize) }
}

#[tonic::async_trait]
impl GameService for Game {
    async fn get_state(&self, request: Request<GetStateRequest>) -> Result<Response<GetStateResponse>, Status> {
        Ok(Response::new(self.state(request.into_inner()).await?))
    }

    async fn create_room(&self, request: Request<CreateRoomRequest>) -> Result<Response<CreateRoomResponse>, Status> {
        Ok(Response::new(self.create(request.into_inner()).await?))
    }

    async fn join_room(&self, request: Request<JoinRoomRequest>) -> Result<Response<JoinRoomResponse>, Status> {
        Ok(Response::new(self.join(request.into_inner()).await?))
    }

    async fn leave_room(&self, request: Request<LeaveRoomRequest>) -> Result<Response<LeaveRoomResponse>, Status> {
        Ok(Response::new(self.leave(request.into_inner()).await?))
    }

    async fn list_rooms(&self, request: Request<ListRoomsRequest>) -> Result<Response<ListRoomsResponse>, Status> {
        Ok(Response::new(self.list(request.into_inner()).await?))
    }

    async fn operate(&self, request: Request<OperateRequest>) -> Result<Response<OperateResponse>, Status> {
        Ok(Response::new(Game::operate(self, request.into_inner()).await?))
    }

    async fn get_history(&self, request: Request<GetHistoryRequest>) -> Result<Response<GetHistoryResponse>, Status> {
        Ok(Response::new(self.history(request.into_inner()).await?))
    }

    async fn get_statistics(&self, request: Request<GetStatisticsRequest>) -> Result<Response<GetStatisticsResponse>, Status> {
        Ok(Response::new(self.statistics(request.into_inner()).await?))
    }
}
