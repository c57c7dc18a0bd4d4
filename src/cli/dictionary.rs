//! What numbers mean to a client: the types of requests, replies and pushes.
//!
//! In JSON the gateway translates, and the files add nothing but names. In binary only they know how to encode a request and read what
//! comes; the gateway's own messages are known without them.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use prost::Message;
use serde_json::value::RawValue;

use super::{Exit, USAGE, harmless};
use crate::proto::{self, Kind, MessageType, Method, Pool};
use crate::table::plan::Plan;
use crate::wire::{Codec, number};

/// The gateway's own messages: what may be asked, and what is answered or comes by itself, both by number.
const OWN_REQUESTS: [(u32, &str); 6] = [
    (number::AUTHENTICATE, "Authenticate"),
    (number::PING, "Ping"),
    (number::REFRESH_TOKEN, "RefreshToken"),
    (number::SUBSCRIBE, "Subscribe"),
    (number::UNSUBSCRIBE, "Unsubscribe"),
    (number::CANCEL, "Cancel"),
];
const OWN_REPLIES: [(u32, &str); 6] = [
    (number::READY, "Ready"),
    (number::RESUMED, "Resumed"),
    (number::PONG, "Pong"),
    (number::REFRESH_TOKEN, "Ready"),
    (number::SUBSCRIBE, "Subscribed"),
    (number::UNSUBSCRIBE, "Unsubscribe"),
];

/// What a person types: `2003 {"roomId":"42"}`, where the JSON may be left out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request {
    pub number: u32,
    pub json: String,
}

/// Numbers and their types.
pub struct Dictionary {
    codec: Codec,
    own: Pool,
    routes: BTreeMap<u32, Method>,
    pushes: BTreeMap<u32, (Arc<str>, MessageType)>,
}

// === impl Request ===

impl Request {
    pub fn new(number: u32, json: &str) -> Result<Request, String> {
        let json = json.trim();
        let json = if json.is_empty() { "{}" } else { json };
        serde_json::from_str::<&RawValue>(json).map_err(|error| format!("the request is not JSON: {error}"))?;
        Ok(Request { number, json: json.to_owned() })
    }
}

impl FromStr for Request {
    type Err = String;

    fn from_str(line: &str) -> Result<Request, String> {
        let line = line.trim();
        let end = line.find(|c: char| !c.is_ascii_digit()).unwrap_or(line.len());
        let number = line[..end].parse();
        let number = number.map_err(|_| "a request begins with its number, such as `2003 {\"roomId\":\"42\"}`".to_owned())?;
        Request::new(number, &line[end..])
    }
}

// === impl Dictionary ===

impl Dictionary {
    /// Knows what a configuration says, if there is one.
    pub fn new(codec: Codec, plan: Option<Plan>) -> Dictionary {
        let (routes, pushes) = plan.map(|plan| (plan.routes, plan.pushes)).unwrap_or_default();
        Dictionary {
            codec,
            own: Pool::own(),
            routes: routes.into_iter().map(|route| (route.number.0, route.method)).collect(),
            pushes: pushes.into_iter().map(|push| (push.number.0, (push.name, push.message))).collect(),
        }
    }

    /// Whether the files say that a method takes a stream.
    pub fn takes_stream(&self, number: u32) -> bool {
        self.routes.get(&number).is_some_and(|method| matches!(method.kind, Kind::ClientStream | Kind::Bidi))
    }

    /// A request as it travels.
    pub fn encode(&self, request: &Request) -> Result<Vec<u8>, Exit> {
        if self.codec == Codec::Json {
            return Ok(request.json.clone().into_bytes());
        }
        let kind = match self.routes.get(&request.number) {
            Some(method) => Some(method.input.clone()),
            None => self.own(&OWN_REQUESTS, request.number),
        };
        let kind = kind.ok_or_else(|| {
            let number = request.number;
            Exit::new(
                1,
                format!("error: {number} is not routed in this configuration, so its types are unknown; `--format json` needs none"),
            )
        })?;
        let mut bytes = Vec::new();
        proto::from_json(&kind, &request.json, &mut bytes).map_err(cannot_ask)?;
        Ok(bytes)
    }

    /// A reply as JSON.
    pub fn reply(&self, number: u32, payload: &[u8]) -> Result<String, String> {
        let kind = match self.routes.get(&number) {
            Some(method) => Some(method.output.clone()),
            None => self.own(&OWN_REPLIES, number),
        };
        self.json(kind.as_ref(), payload)
    }

    /// A push as JSON.
    pub fn push(&self, number: u32, payload: &[u8]) -> Result<String, String> {
        self.json(self.pushes.get(&number).map(|(_, kind)| kind), payload)
    }

    /// What the files call a push.
    pub fn name(&self, number: u32) -> Option<&str> {
        self.pushes.get(&number).map(|(name, _)| &**name)
    }

    /// One of the gateway's own messages.
    pub fn read<M: Message + Default>(&self, name: &str, payload: &[u8]) -> Result<M, String> {
        let decoded = match self.codec {
            Codec::Proto => M::decode(payload),
            Codec::Json if payload.is_empty() => return Ok(M::default()),
            Codec::Json => {
                let text = std::str::from_utf8(payload).map_err(|error| error.to_string())?;
                let mut bytes = Vec::new();
                proto::from_json(&self.wire(name), text, &mut bytes)?;
                M::decode(&*bytes)
            }
        };
        decoded.map_err(|error| error.to_string())
    }

    /// One of the gateway's own messages as it travels.
    pub fn write<M: Message>(&self, name: &str, message: &M) -> Vec<u8> {
        let bytes = message.encode_to_vec();
        if self.codec == Codec::Proto {
            return bytes;
        }
        let mut json = Vec::new();
        proto::to_json(&self.wire(name), &bytes, &mut json).expect("our own messages have a JSON form");
        json
    }

    fn json(&self, kind: Option<&MessageType>, payload: &[u8]) -> Result<String, String> {
        let mut json = Vec::new();
        match (self.codec, kind) {
            (Codec::Json, _) if payload.is_empty() => return Ok("{}".to_owned()),
            (Codec::Json, _) => json.extend_from_slice(payload),
            (Codec::Proto, Some(kind)) => proto::to_json(kind, payload, &mut json)?,
            (Codec::Proto, None) => return Err(format!("{} bytes of a type that this configuration does not know", payload.len())),
        }
        String::from_utf8(json).map_err(|error| error.to_string())
    }

    fn own(&self, among: &[(u32, &str)], number: u32) -> Option<MessageType> {
        among.iter().find(|(own, _)| *own == number).map(|(_, name)| self.wire(name))
    }

    fn wire(&self, name: &str) -> MessageType {
        self.own.message(&format!("protogate.wire.v1.{name}")).expect("`wire.proto` is compiled in")
    }
}

/// What was asked for is no request.
pub fn cannot_ask(problem: String) -> Exit {
    Exit::new(USAGE, harmless(&format!("error: {problem}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::v1;

    #[test]
    fn a_line_is_a_number_and_json_that_may_be_left_out() {
        let request = |number, json: &str| Ok(Request { number, json: json.to_owned() });
        assert_eq!("2003 {\"roomId\":\"42\"}".parse(), request(2003, "{\"roomId\":\"42\"}"));
        assert_eq!("  2003{}  ".parse(), request(2003, "{}"));
        assert_eq!("1007".parse(), request(1007, "{}"));
        for wrong in ["", "hello", "-1 {}", "2003 {", "2003 {} {}", "99999999999 {}", "2003 x"] {
            assert!(wrong.parse::<Request>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_gateways_own_messages_are_known_in_both_forms() {
        for codec in [Codec::Json, Codec::Proto] {
            let dictionary = Dictionary::new(codec, None);
            let asked = dictionary.encode(&"12 {\"topic\":\"chat/42\"}".parse().unwrap()).ok().unwrap();
            assert_eq!(dictionary.read::<v1::Subscribe>("Subscribe", &asked).unwrap().topic, "chat/42");
            let pong = dictionary.write("Pong", &v1::Pong { time_ms: 7 });
            assert_eq!(dictionary.reply(number::PONG, &pong).unwrap(), "{\"timeMs\":\"7\"}");
        }
    }

    #[test]
    fn in_binary_what_nobody_declared_cannot_be_asked_and_not_be_read() {
        let dictionary = Dictionary::new(Codec::Proto, None);
        let refused = dictionary.encode(&"2003".parse().unwrap()).err().unwrap();
        assert!(refused.code == 1 && refused.message.contains("2003 is not routed"), "{}", refused.message);
        assert!(dictionary.push(2101, &[8, 1]).unwrap_err().starts_with("2 bytes"));
        assert_eq!(Dictionary::new(Codec::Json, None).push(2101, b"").unwrap(), "{}");
    }
}
