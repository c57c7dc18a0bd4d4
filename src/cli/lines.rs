//! What a followed conversation looks like: one line for everything that came.
//!
//! ```text
//! = 2003 {"room":{"id":"42"}}              a reply, by the number that was called
//! ← 2101 game.event {"kind":"MOVE"}        a push, with its name where the files are there to tell
//! ← 3101 chat.message chat/42#7 {"text":…} a push of a topic, with its place there
//! * subscribed chat/42 at #7               what became of the connection, the session and its topics
//! ```
//! What follows `= NUMBER` or stands behind the words of `←` is JSON. Promise: a line is one line, whatever a peer wrote into it, and none
//! of it is obeyed by a terminal.

use std::fmt::Write as _;

use super::client::Heard;
use super::dictionary::Dictionary;
use super::harmless;
use crate::wire::{Status, v1};

pub fn reply(number: u32, json: &str) -> String {
    one_line(&format!("= {number} {json}"))
}

/// A push, and before it what was lost of its kind.
pub fn push(heard: &Heard, dictionary: &Dictionary) -> String {
    let mut line = String::new();
    if heard.dropped > 0 {
        line = notice(&format!("{} before this one were lost", heard.dropped)) + "\n";
    }
    let mut said = format!("← {}", heard.protocol);
    if let Some(name) = dictionary.name(heard.protocol) {
        said += &format!(" {name}");
    }
    if !heard.topic.is_empty() {
        said += &format!(" {}#{}", heard.topic, heard.offset);
    }
    let json = dictionary.push(heard.protocol, &heard.payload).unwrap_or_else(|problem| problem);
    line + &one_line(&format!("{said} {json}"))
}

/// What is no message of an application.
pub fn notice(what: &str) -> String {
    one_line(&format!("* {what}"))
}

pub fn hello(hello: &v1::Hello) -> String {
    notice(&format!("connected to {}, version {}", hello.node, hello.version))
}

pub fn ready(ready: &v1::Ready) -> String {
    let roles = if ready.roles.is_empty() { String::new() } else { format!(", {}", ready.roles.join(" ")) };
    notice(&format!("ready: {} in session {}{roles}", ready.user, ready.session_id))
}

pub fn resumed(resumed: &v1::Resumed) -> String {
    let mut line = match resumed.recovered {
        true => format!("resumed: nothing was lost, {} missed", resumed.replayed),
        false => "resumed: what was missed is lost".to_owned(),
    };
    if !resumed.lost_topics.is_empty() {
        _ = write!(line, "; gaps in {}", resumed.lost_topics.join(" "));
    }
    notice(&line)
}

pub fn subscribed(subscribed: &v1::Subscribed) -> String {
    let mut line = format!("subscribed {}", subscribed.topic);
    if let Some(at) = &subscribed.at {
        _ = write!(line, " at #{}", at.offset);
    }
    if subscribed.members > 0 {
        _ = write!(line, ", members {}", subscribed.members);
    }
    if subscribed.replayed > 0 {
        _ = write!(line, ", missed {}", subscribed.replayed);
    }
    notice(&line)
}

pub fn unsubscribed(topic: &str, why: Option<&Status>) -> String {
    let why = why.map(|why| format!(": {} ({}): {}", why.reason, why.code, why.message)).unwrap_or_default();
    notice(&format!("unsubscribed {topic}{why}"))
}

pub fn goodbye(goodbye: &v1::Goodbye) -> String {
    let then = match (goodbye.reconnect, goodbye.can_resume) {
        (_, true) => "; the session may be resumed",
        (true, false) => "; a new connection may be made",
        (false, false) => "",
    };
    notice(&format!("goodbye: {} ({}){then}", goodbye.reason, goodbye.code))
}

/// A failure, for a person. Its details have lines of their own.
pub fn failure(status: &Status) -> String {
    told(String::new(), status)
}

/// The failure of a call among others.
pub fn failed(number: u32, status: &Status) -> String {
    told(format!("{number}: "), status)
}

fn told(what: String, status: &Status) -> String {
    let mut text = format!("error: {what}{} ({}): {}", status.reason, status.code, status.message);
    if status.retry_after_ms > 0 {
        text += &format!("\n  retry after {} ms", status.retry_after_ms);
    }
    for detail in &status.details {
        text += &format!("\n  detail: {}", detail.json.as_deref().unwrap_or(&detail.any.type_url));
    }
    harmless(&text)
}

/// Between the tokens of JSON the end of a line is a space like another, and so is a tab; within them neither can stand.
fn one_line(text: &str) -> String {
    harmless(&text.replace(['\n', '\r', '\t'], " "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Codec;

    fn heard(topic: &str, payload: &str) -> Heard {
        Heard { protocol: 3101, topic: topic.to_owned(), offset: 7, payload: payload.as_bytes().to_vec(), ..Heard::default() }
    }

    #[test]
    fn a_push_is_a_line_with_its_topic_and_its_place() {
        let dictionary = Dictionary::new(Codec::Json, None);
        assert_eq!(push(&heard("", r#"{"text":"hi"}"#), &dictionary), r#"← 3101 {"text":"hi"}"#);
        assert_eq!(push(&heard("chat/42", ""), &dictionary), "← 3101 chat/42#7 {}");
        let lossy = Heard { dropped: 3, ..heard("chat/42", "{}") };
        assert_eq!(push(&lossy, &dictionary), "* 3 before this one were lost\n← 3101 chat/42#7 {}");
    }

    #[test]
    fn no_peer_commands_a_terminal_or_makes_a_line_of_its_own() {
        let dictionary = Dictionary::new(Codec::Json, None);
        let evil = "\u{1b}]0;title\u{7}\r\n= 1001 {}\u{9b}31m";
        let goodbye = goodbye(&v1::Goodbye { reason: evil.to_owned(), ..v1::Goodbye::default() });
        let subscribed = subscribed(&v1::Subscribed { topic: evil.to_owned(), ..v1::Subscribed::default() });
        let why = Status { reason: evil.to_owned(), message: evil.to_owned(), ..Status::default() };
        let lines = [push(&heard(evil, evil), &dictionary), reply(1, evil), goodbye, subscribed, unsubscribed(evil, Some(&why))];
        for line in lines {
            assert!(!line.chars().any(char::is_control), "{}", line.escape_debug());
        }
        assert!(!failure(&why).chars().any(|c| c.is_control() && c != '\n'));
    }

    #[test]
    fn what_became_of_a_session_is_said_in_a_few_words() {
        let known = v1::Ready { user: "alice".into(), session_id: "s1".into(), roles: vec!["player".into()], ..v1::Ready::default() };
        assert_eq!(ready(&known), "* ready: alice in session s1, player");
        let back = v1::Resumed { recovered: true, replayed: 2, ..v1::Resumed::default() };
        assert_eq!(resumed(&back), "* resumed: nothing was lost, 2 missed");
        let back = v1::Resumed { lost_topics: vec!["chat/1".into(), "chat/2".into()], ..v1::Resumed::default() };
        assert_eq!(resumed(&back), "* resumed: what was missed is lost; gaps in chat/1 chat/2");
        let away = v1::Goodbye { code: 4000, reason: "SHUTDOWN".into(), reconnect: true, can_resume: true, ..v1::Goodbye::default() };
        assert_eq!(goodbye(&away), "* goodbye: SHUTDOWN (4000); the session may be resumed");
        assert_eq!(unsubscribed("chat/1", None), "* unsubscribed chat/1");
    }
}
