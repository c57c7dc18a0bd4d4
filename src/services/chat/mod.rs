//! Chat: rooms and private messages. `proto/protogate/chat/v1` is the contract.
//!
//! The service keeps everything in the [store](crate::store), so that several of it are one, and reaches clients by the
//! [pusher](super::pusher) alone. Files: `rooms` is what a room is, `doors` how they begin, fill and end, `listing` how they are found;
//! `talk` is what is said in them, `private` what is said outside; `transcript` numbers and keeps both, `sent` knows what comes twice,
//! `lanes` puts changes and pushes into an order; `flood` and `names` bound what clients may do, `refusals` is how no is said.
//!
//! What must not be lost is stored before it is pushed, and no push that fails makes a call fail: clients see a gap in the numbers, and
//! ask for the history.
//!
//! It believes the field `user_id` of requests: whoever reaches it without a gateway in between can be anybody.

mod doors;
mod flood;
mod lanes;
mod listing;
mod names;
mod private;
mod refusals;
mod rooms;
mod sent;
mod talk;
#[cfg(test)]
mod tests;
mod transcript;

/// The types of `proto/protogate/chat/v1/chat.proto`.
pub mod v1 {
    tonic::include_proto!("protogate.chat.v1");
}

use std::sync::Arc;

use tokio::runtime::Handle;
use tonic::{Request, Response, Status};

use doors::{Doors, Wish};
use lanes::Lanes;
use names::{ClientKey, Text};
use private::Private;
use talk::Talk;
use transcript::{Ask, Page};
use v1::chat_service_server::{ChatService, ChatServiceServer};
use v1::{
    CreateRoomRequest, CreateRoomResponse, GetHistoryRequest, GetHistoryResponse, GetPrivateHistoryRequest, GetPrivateHistoryResponse,
    JoinRoomRequest, JoinRoomResponse, LeaveRoomRequest, LeaveRoomResponse, ListRoomsRequest, ListRoomsResponse, SendMessageRequest,
    SendMessageResponse, SendPrivateRequest, SendPrivateResponse,
};

use super::pusher::Pusher;
use super::refusal::Refusal;
use crate::clock::Clock;
use crate::store::Store;

/// The largest request: a hundred users who are invited, or a text of the widest characters.
const REQUEST_BYTES_MAX: usize = 64 << 10;

struct Chat {
    store: Store,
    doors: Doors,
    talk: Talk,
    private: Private,
}

/// The service, ready to be served. It pushes on `runtime`, and is to be called there.
pub fn service(store: Store, clock: Clock, pusher: Pusher, runtime: &Handle) -> ChatServiceServer<impl ChatService + use<>> {
    ChatServiceServer::new(Chat::new(store, clock, pusher, runtime)).max_decoding_message_size(REQUEST_BYTES_MAX)
}

/// Who asks, as the gateway says.
fn asking(user_id: &str) -> Result<&str, Refusal> {
    if user_id.is_empty() { Err(refusals::not_logged_in()) } else { Ok(user_id) }
}

/// A moment as clients see it.
fn shown_ms(millis: u64) -> i64 {
    i64::try_from(millis).unwrap_or(i64::MAX)
}

// === impl Chat ===

impl Chat {
    fn new(store: Store, clock: Clock, pusher: Pusher, runtime: &Handle) -> Chat {
        let lanes = Arc::new(Lanes::new(&pusher, runtime));
        let talk = Talk { store: store.clone(), clock: clock.clone(), lanes: Arc::clone(&lanes) };
        let doors = Doors { store: store.clone(), clock: clock.clone(), lanes: Arc::clone(&lanes), pusher: pusher.clone() };
        let private = Private { store: store.clone(), clock, lanes, pusher };
        Chat { store, doors, talk, private }
    }
}

#[tonic::async_trait]
impl ChatService for Chat {
    async fn send_message(&self, request: Request<SendMessageRequest>) -> Result<Response<SendMessageResponse>, Status> {
        let SendMessageRequest { user_id, room_id, text, client_key } = request.into_inner();
        let user = asking(&user_id)?;
        let (text, client_key) = (Text::parse(text)?, ClientKey::parse(client_key)?);
        let sent = self.talk.send(user, &room_id, &text, &client_key).await?;
        Ok(Response::new(SendMessageResponse { number: sent.number, sent_ms: shown_ms(sent.sent_ms) }))
    }

    async fn get_history(&self, request: Request<GetHistoryRequest>) -> Result<Response<GetHistoryResponse>, Status> {
        let GetHistoryRequest { user_id, room_id, before, after, limit } = request.into_inner();
        let user = asking(&user_id)?;
        let ask = Ask::parse(before, after, limit)?;
        let Page { messages, more, first, last } = self.talk.history(user, &room_id, &ask).await?;
        Ok(Response::new(GetHistoryResponse { messages, more, first, last, beginning_gone: first > 1 }))
    }

    async fn create_room(&self, request: Request<CreateRoomRequest>) -> Result<Response<CreateRoomResponse>, Status> {
        let CreateRoomRequest { user_id, name, private, invited } = request.into_inner();
        let user = asking(&user_id)?;
        let room = self.doors.create(user, Wish::parse(user, &name, private, invited)?).await?;
        Ok(Response::new(CreateRoomResponse { room: Some(room) }))
    }

    async fn join_room(&self, request: Request<JoinRoomRequest>) -> Result<Response<JoinRoomResponse>, Status> {
        let JoinRoomRequest { user_id, room_id } = request.into_inner();
        let (room, members) = self.doors.join(asking(&user_id)?, &room_id).await?;
        Ok(Response::new(JoinRoomResponse { room: Some(room), members }))
    }

    async fn leave_room(&self, request: Request<LeaveRoomRequest>) -> Result<Response<LeaveRoomResponse>, Status> {
        let LeaveRoomRequest { user_id, room_id } = request.into_inner();
        self.doors.leave(asking(&user_id)?, &room_id).await?;
        Ok(Response::new(LeaveRoomResponse {}))
    }

    async fn list_rooms(&self, request: Request<ListRoomsRequest>) -> Result<Response<ListRoomsResponse>, Status> {
        let ListRoomsRequest { user_id, mine, limit, page } = request.into_inner();
        let user = asking(&user_id)?;
        let listing = if mine { listing::mine(&self.store, user).await? } else { listing::public(&self.store, &page, limit).await? };
        Ok(Response::new(ListRoomsResponse { rooms: listing.rooms, next_page: listing.next_page }))
    }

    async fn send_private(&self, request: Request<SendPrivateRequest>) -> Result<Response<SendPrivateResponse>, Status> {
        let SendPrivateRequest { user_id, receiver, text, client_key } = request.into_inner();
        let user = asking(&user_id)?;
        let (text, client_key) = (Text::parse(text)?, ClientKey::parse(client_key)?);
        let sent = self.private.send(user, &receiver, &text, &client_key).await?;
        Ok(Response::new(SendPrivateResponse { number: sent.number, sent_ms: shown_ms(sent.sent_ms) }))
    }

    async fn get_private_history(&self, request: Request<GetPrivateHistoryRequest>) -> Result<Response<GetPrivateHistoryResponse>, Status> {
        let GetPrivateHistoryRequest { user_id, with, before, after, limit } = request.into_inner();
        let user = asking(&user_id)?;
        if with.is_empty() {
            let conversations = self.private.conversations(user).await?;
            return Ok(Response::new(GetPrivateHistoryResponse { conversations, ..GetPrivateHistoryResponse::default() }));
        }
        let ask = Ask::parse(before, after, limit)?;
        let Page { messages, more, first, last } = self.private.history(user, &with, &ask).await?;
        let conversations = Vec::new();
        Ok(Response::new(GetPrivateHistoryResponse { messages, more, first, last, beginning_gone: first > 1, conversations }))
    }
}
