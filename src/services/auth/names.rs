//! What a username, an address and a password may be.
//!
//! Promises: two usernames that people take for one another by their case are one; so are two addresses. A password is counted as it is.

use std::collections::HashSet;
use std::sync::LazyLock;

use lettre::Address;

use super::refusal::{Refusal, Result};

/// The longest address that mail can have (RFC 5321, 4.5.3.1).
const EMAIL_BYTES_MAX: usize = 254;

const PASSWORD_BYTES_MIN: usize = 8;

/// Longer ones are no safer, and somebody has to read them.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// What is tried first by whoever guesses.
static COMMON: LazyLock<HashSet<&str>> = LazyLock::new(|| include_str!("common_passwords.txt").lines().collect());

/// A username as it may be.
#[derive(Clone, PartialEq, Eq)]
pub struct Username(String);

/// A mail address as it may be.
#[derive(Clone, PartialEq, Eq)]
pub struct Email(Address);

// === impl Username ===

impl Username {
    pub fn parse(text: &str) -> Result<Username> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        if (3..=32).contains(&text.len()) && text.bytes().all(plain) {
            Ok(Username(text.to_owned()))
        } else {
            Err(Refusal::InvalidUsername)
        }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same for all usernames that are one.
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

// === impl Email ===

impl Email {
    pub fn parse(text: &str) -> Result<Email> {
        // Addresses beyond ASCII exist, and so do characters that look like one another and are not: those stay out.
        if text.len() > EMAIL_BYTES_MAX || !text.is_ascii() {
            return Err(Refusal::InvalidEmail);
        }
        let address: Address = text.parse().map_err(|_| Refusal::InvalidEmail)?;
        // A quoted local part is legal, and nobody's address.
        if address.user().contains(['"', ' ']) { Err(Refusal::InvalidEmail) } else { Ok(Email(address)) }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        self.0.as_ref()
    }

    pub fn address(&self) -> &Address {
        &self.0
    }

    /// The same for all addresses that are one.
    pub fn folded(&self) -> String {
        self.as_str().to_lowercase()
    }
}

/// Whether somebody of these names may have this password. `field`: where the request has it.
pub fn check_password(password: &str, names: &[&str], field: &'static str) -> Result<()> {
    let lower = password.to_lowercase();
    let why = match password.len() {
        length if length < PASSWORD_BYTES_MIN => "the password is too short; use at least 8 characters",
        length if length > PASSWORD_BYTES_MAX => "the password is too long; use at most 1024 bytes",
        _ if names.iter().any(|name| name.to_lowercase() == lower) => "the password is your own name or address; choose another",
        _ if COMMON.contains(&*lower) => "this password is among the first that are tried; choose another",
        _ => return Ok(()),
    };
    Err(Refusal::WeakPassword { field, why })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usernames_are_plain_and_one_in_any_case() {
        for good in ["bob", "A.b-c_9", &"x".repeat(32)] {
            assert!(Username::parse(good).is_ok_and(|name| name.as_str() == good), "{good}");
        }
        for bad in ["", "ab", &"x".repeat(33), "a b", "\u{e9}va", "bob\0", "a@b", "p\u{430}ul"] {
            assert_eq!(Username::parse(bad).err(), Some(Refusal::InvalidUsername), "{bad:?}");
        }
        assert_eq!(Username::parse("BoB").unwrap().folded(), "bob");
    }

    #[test]
    fn addresses_are_such_as_mail_reaches() {
        for good in ["a@b.example", "A.B+c@Example.com"] {
            assert!(Email::parse(good).is_ok_and(|email| email.as_str() == good), "{good}");
        }
        let long = format!("{}@example.com", "x".repeat(243));
        for bad in ["", "a", "@b", "a@", "a b@c.example", "a@b.example\r\nBcc: c@d.example", "\"a b\"@c.example", "\u{e9}@b.example", &long]
        {
            assert_eq!(Email::parse(bad).err(), Some(Refusal::InvalidEmail), "{bad:?}");
        }
        assert_eq!(Email::parse("A@B.Example").unwrap().folded(), "a@b.example");
    }

    #[test]
    fn weak_passwords_are_refused_and_strong_ones_taken_as_they_are() {
        let names = ["Somebody", "somebody@example.com"];
        for good in ["correct horse", " 8 bytes", "\u{1f40e}\u{1f40e}", "nul\0nul\0", &"x".repeat(1024)] {
            assert_eq!(check_password(good, &names, "password"), Ok(()), "{good:?}");
        }
        for bad in ["", "1234567", &"x".repeat(1025), "password", "PassWord", "12345678", "somebody", "SOMEBODY@example.COM"] {
            assert!(matches!(check_password(bad, &names, "password"), Err(Refusal::WeakPassword { field: "password", .. })), "{bad:?}");
        }
    }

    #[test]
    fn the_list_of_common_passwords_holds_only_what_could_match() {
        assert!(COMMON.len() >= 100);
        for password in COMMON.iter() {
            assert!(password.len() >= PASSWORD_BYTES_MIN && password.to_lowercase() == **password, "{password}");
        }
    }
}
