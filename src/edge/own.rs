//! The gateway's own messages in the form that a connection speaks: Hello, Ready, Goodbye and their like.
//!
//! In binary they are plain protobuf; in JSON they go through the same transcoding as everybody's messages, over descriptors of our own.

use prost::Message;

use crate::proto::{self, MessageType, Pool};
use crate::wire::{Codec, Envelope, Payload, number, v1};

/// A message of `wire.proto` that has a protocol number of its own.
pub trait Own: Message + Default {
    const NUMBER: u32;
    /// Of its type.
    const NAME: &'static str;
}

/// Says which message has which number, and lists them.
macro_rules! own {
    ($($message:ident = $number:ident),* $(,)?) => {
        $(impl Own for v1::$message {
            const NUMBER: u32 = number::$number;
            const NAME: &'static str = concat!("protogate.wire.v1.", stringify!($message));
        })*
        const NAMES: &[&str] = &[$(v1::$message::NAME),*];
    };
}

own! {
    Hello = HELLO,
    Authenticate = AUTHENTICATE,
    Ready = READY,
    Ping = PING,
    Pong = PONG,
    Resume = RESUME,
    Resumed = RESUMED,
    RefreshToken = REFRESH_TOKEN,
    TokenExpiring = TOKEN_EXPIRING,
    Reconnect = RECONNECT,
    Goodbye = GOODBYE,
    Subscribe = SUBSCRIBE,
    Subscribed = SUBSCRIBE,
    Unsubscribe = UNSUBSCRIBE,
    Cancel = CANCEL,
}

/// The types of those messages.
pub struct OwnMessages {
    kinds: Vec<(&'static str, MessageType)>,
}

// === impl OwnMessages ===

impl OwnMessages {
    /// From descriptors that hold `wire.proto`.
    pub fn new(pool: &Pool) -> OwnMessages {
        let kind = |name: &str| pool.message(name).expect("`wire.proto` is compiled in");
        OwnMessages { kinds: NAMES.iter().map(|name| (*name, kind(name))).collect() }
    }

    /// What a client's message says. The error is public text.
    pub fn read<M: Own>(&self, payload: Payload<'_>) -> Result<M, String> {
        match payload {
            Payload::None => Ok(M::default()),
            Payload::Proto(bytes) => M::decode(bytes).map_err(|error| error.to_string()),
            Payload::Json(text) => {
                let mut bytes = Vec::new();
                proto::from_json(self.kind::<M>(), text, &mut bytes).map_err(|problem| problem.to_string())?;
                Ok(M::decode(&*bytes).expect("transcoding writes sound protobuf"))
            }
        }
    }

    /// Appends an envelope with a message. `number` is the message's own, except where an answer carries its request's.
    pub fn write<M: Own>(&self, codec: Codec, number: u32, id: u32, message: &M, out: &mut Vec<u8>) {
        self.write_in(codec, Envelope { protocol: number, id, ..Envelope::default() }, message, out);
    }

    /// The same in an envelope that says more.
    pub fn write_in<M: Own>(&self, codec: Codec, envelope: Envelope<'_>, message: &M, out: &mut Vec<u8>) {
        let bytes = message.encode_to_vec();
        let mut json = Vec::new();
        let payload = match codec {
            Codec::Proto if bytes.is_empty() => Payload::None,
            Codec::Proto => Payload::Proto(&bytes),
            Codec::Json => {
                proto::to_json(self.kind::<M>(), &bytes, &mut json).expect("our own messages have a JSON form");
                Payload::Json(std::str::from_utf8(&json).expect("JSON is UTF-8"))
            }
        };
        codec.encode(&Envelope { payload, ..envelope }, out);
    }

    fn kind<M: Own>(&self) -> &MessageType {
        let found = self.kinds.iter().find(|(name, _)| *name == M::NAME);
        &found.expect("implementing `Own` and being listed are one line").1
    }
}
