//! What a room's name, a text, and what else clients choose may be.
//!
//! Promises: nothing that is shown to others moves their cursor, hides, or turns their text around; what is parsed is bounded.

use super::refusals;
use crate::services::refusal::Result;

const NAME_CHARS_MAX: usize = 64;
const TEXT_CHARS_MAX: usize = 2000;
const CLIENT_KEY_CHARS_MAX: usize = 64;

/// As the gateway bounds whom it lets in.
const USER_BYTES_MAX: usize = 256;

/// A room's name as it may be, without spaces around it.
#[derive(Clone)]
pub struct RoomName(String);

/// What somebody says, as it may be.
#[derive(Clone)]
pub struct Text(String);

/// By what a client knows its own message again; perhaps nothing.
#[derive(Clone)]
pub struct ClientKey(String);

// === impl RoomName ===

impl RoomName {
    pub fn parse(text: &str) -> Result<RoomName> {
        let name = text.trim();
        let fits = (1..=NAME_CHARS_MAX).contains(&name.chars().count());
        if fits && !name.chars().any(is_unseen) { Ok(RoomName(name.to_owned())) } else { Err(refusals::invalid_name()) }
    }

    pub fn into_string(self) -> String {
        self.0
    }
}

// === impl Text ===

impl Text {
    pub fn parse(text: String) -> Result<Text> {
        if text.chars().all(char::is_whitespace) {
            return Err(refusals::invalid_text("the text is empty; say something"));
        }
        if text.chars().count() > TEXT_CHARS_MAX {
            return Err(refusals::invalid_text("the text is longer than 2,000 characters; send it in parts"));
        }
        if text.chars().any(|c| c.is_control() && c != '\n') {
            return Err(refusals::invalid_text("the text holds control characters; leave out all but newlines"));
        }
        Ok(Text(text))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// === impl ClientKey ===

impl ClientKey {
    pub fn parse(text: String) -> Result<ClientKey> {
        let fits = text.chars().count() <= CLIENT_KEY_CHARS_MAX && !text.chars().any(char::is_control);
        if fits { Ok(ClientKey(text)) } else { Err(refusals::invalid_client_key()) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether this could be the id of a room. What could not is asked of no store.
pub fn is_room(id: &str) -> bool {
    id.len() == 26 && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// Whether this could be the id of a user.
pub fn is_user(id: &str) -> bool {
    (1..=USER_BYTES_MAX).contains(&id.len()) && !id.chars().any(char::is_control)
}

/// Control characters, and those of Unicode that are not seen themselves but change what others look like.
fn is_unseen(c: char) -> bool {
    let marks = matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}');
    let turns = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}');
    c.is_control() || marks || turns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_seen_and_lose_the_spaces_around_them() {
        assert_eq!(RoomName::parse("  Tea \u{e0} deux ").unwrap().into_string(), "Tea \u{e0} deux");
        assert!(RoomName::parse(&"\u{1f40e}".repeat(64)).is_ok());
        for bad in ["", "   ", &"x".repeat(65), "a\nb", "a\0", "gnp.\u{202e}exe", "a\u{200b}b"] {
            assert_eq!(RoomName::parse(bad).err().map(|refusal| refusal.reason()), Some("INVALID_NAME"), "{bad:?}");
        }
    }

    #[test]
    fn texts_have_lines_and_a_length() {
        for good in ["hello", "two\nlines", &"\u{1f40e}".repeat(2000)] {
            assert_eq!(Text::parse(good.to_owned()).unwrap().as_str(), good);
        }
        for bad in ["", " \n ", "\r\n", "a\tb", "\u{1b}[2J", "nul\0", &"x".repeat(2001)] {
            assert_eq!(Text::parse(bad.to_owned()).err().map(|refusal| refusal.reason()), Some("INVALID_TEXT"), "{bad:?}");
        }
    }

    #[test]
    fn ids_and_keys_are_bounded() {
        assert!(is_room(&crate::random::id()));
        for bad in ["", "room", &"A".repeat(26), &"x".repeat(27)] {
            assert!(!is_room(bad), "{bad}");
        }
        assert!(is_user("alice") && !is_user("") && !is_user("a\nb") && !is_user(&"x".repeat(257)));
        assert!(ClientKey::parse(String::new()).is_ok() && ClientKey::parse("x".repeat(64)).is_ok());
        for bad in [&*"x".repeat(65), "a\nb"] {
            assert_eq!(ClientKey::parse(bad.to_owned()).err().map(|refusal| refusal.reason()), Some("INVALID_CLIENT_KEY"), "{bad:?}");
        }
    }
}
