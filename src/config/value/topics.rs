//! What declares topics, what names them when there is a call, and what is published to them.

use std::fmt;
use std::sync::Arc;

use super::names::{FieldPathText, PermissionName, ResponsePath};
use super::{Problem, Value};
use crate::topic::{NAME_BYTES_MAX, Pattern};

/// A kind of topics: `room/{id}`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicPattern(Pattern);

/// Who may hear a topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Join {
    /// Whoever a route subscribes.
    Effect,
    /// Whoever has this permission and asks.
    Permission(PermissionName),
}

/// The name of a topic, with values of a call in it: `room/${response.room.id}`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicTemplate {
    text: Arc<str>,
    parts: Vec<Part>,
}

/// A part of a template.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Part {
    Text(String),
    /// A field of the reply, as a path below it.
    Response(String),
    /// A field of the request, as a path below it.
    Request(String),
    User,
    Session,
    TokenId,
    PeerIp,
}

/// A message of a call: `response`, `request`, or one inside of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallMessage {
    text: Arc<str>,
    /// It is in the reply, not in the request.
    pub is_of_response: bool,
}

// === impl TopicPattern ===

impl TopicPattern {
    pub fn pattern(&self) -> &Pattern {
        &self.0
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Value for TopicPattern {
    const WHAT: &'static str = "a pattern of topics";
    const EXAMPLE: &'static str = "`room/{id}`";
    const PATTERN: &'static str = r"([A-Za-z0-9._~\-]+|\{[a-z0-9_]+\})(/([A-Za-z0-9._~\-]+|\{[a-z0-9_]+\}))*";

    fn parse(text: &str) -> Result<TopicPattern, Problem> {
        Pattern::parse(text).map(TopicPattern).map_err(Problem::new)
    }
}

// === impl Join ===

impl Value for Join {
    const WHAT: &'static str = "who may hear a topic";
    const EXAMPLE: &'static str = "`effect` or a permission such as `chat.listen`";
    const PATTERN: &'static str = PermissionName::PATTERN;

    fn parse(text: &str) -> Result<Join, Problem> {
        if text == "effect" { Ok(Join::Effect) } else { PermissionName::parse(text).map(Join::Permission) }
    }
}

// === impl TopicTemplate ===

impl TopicTemplate {
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The segments of the names that it makes. Nothing: one that is known only when there is a call.
    pub fn segments(&self) -> Vec<Option<String>> {
        let mut segments = vec![Some(String::new())];
        for part in &self.parts {
            let Part::Text(text) = part else {
                *segments.last_mut().expect("there is one from the beginning") = None;
                continue;
            };
            let mut pieces = text.split('/');
            if let (Some(Some(last)), Some(first)) = (segments.last_mut(), pieces.next()) {
                last.push_str(first);
            }
            segments.extend(pieces.map(|piece| Some(piece.to_owned())));
        }
        segments
    }
}

impl Value for TopicTemplate {
    const WHAT: &'static str = "the name of a topic";
    const EXAMPLE: &'static str = "`room/${response.room.id}`";
    const PATTERN: &'static str = concat!(
        r"(?!/|.*//|.*/$)([A-Za-z0-9._~/\-]|\$\{(session\.(user|id|token_id)|peer\.ip|var\.[a-z][a-z0-9_]*|",
        r"(request|response)(\.[A-Za-z_][A-Za-z0-9_]*)+)\})+"
    );

    fn parse(text: &str) -> Result<TopicTemplate, Problem> {
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((before, behind)) = rest.split_once("${") {
            let Some((inner, after)) = behind.split_once('}') else { return Err(Problem::new("`${` without a `}`")) };
            push_text(&mut parts, before)?;
            parts.push(reference(inner)?);
            rest = after;
        }
        push_text(&mut parts, rest)?;
        let is_empty = text.split('/').any(str::is_empty);
        if is_empty || text.len() > NAME_BYTES_MAX {
            return Err(Problem::new(if is_empty { "a segment is empty" } else { "longer than 256 bytes" }));
        }
        Ok(TopicTemplate { text: text.into(), parts })
    }
}

fn push_text(parts: &mut Vec<Part>, text: &str) -> Result<(), Problem> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._~-/".contains(c);
    if !text.chars().all(is_plain) {
        return Err(Problem::new("contains something else than letters, digits, `.`, `_`, `~`, `-`, `/` and `${…}`"));
    }
    if !text.is_empty() {
        parts.push(Part::Text(text.to_owned()));
    }
    Ok(())
}

fn reference(inner: &str) -> Result<Part, Problem> {
    match inner {
        "session.user" => Ok(Part::User),
        "session.id" => Ok(Part::Session),
        "session.token_id" => Ok(Part::TokenId),
        "peer.ip" => Ok(Part::PeerIp),
        field if field.starts_with("request.") => FieldPathText::parse(field).map(|path| Part::Request(path.below_request().to_owned())),
        field if field.starts_with("response.") => ResponsePath::parse(field).map(|path| Part::Response(path.below_response().to_owned())),
        _ => Err(Problem::new("names a value that no call has").help(
            "there is `${request.FIELD}`, `${response.FIELD}`, `${session.user}`, `${session.id}`, `${session.token_id}` and `${peer.ip}`",
        )),
    }
}

// === impl CallMessage ===

impl CallMessage {
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The path below the reply or the request. Nothing: it is all of it.
    pub fn below(&self) -> Option<&str> {
        self.text.split_once('.').map(|(_, below)| below)
    }
}

impl Value for CallMessage {
    const WHAT: &'static str = "a message of a call";
    const EXAMPLE: &'static str = "`response.event`";
    const PATTERN: &'static str = r"(request|response)(\.[A-Za-z_][A-Za-z0-9_]*)*";

    fn parse(text: &str) -> Result<CallMessage, Problem> {
        let is_of_response = match text {
            "response" => true,
            "request" => false,
            field if field.starts_with("request.") => FieldPathText::parse(field).map(|_| false)?,
            field => ResponsePath::parse(field).map(|_| true)?,
        };
        Ok(CallMessage { text: text.into(), is_of_response })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_knows_which_segments_it_knows() {
        let template = TopicTemplate::parse("room/${response.room.id}/for-${session.user}/state").ok().unwrap();
        let segments: Vec<_> = template.segments();
        assert_eq!(segments, [Some("room".to_owned()), None, None, Some("state".to_owned())]);
        assert_eq!(template.parts()[1], Part::Response("room.id".to_owned()));
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for wrong in ["", "room/", "a//b", "room/${", "room/${secret}", "room/${session.token}", "room/${response}", "a b"] {
            assert!(TopicTemplate::parse(wrong).is_err(), "{wrong}");
        }
    }
}
