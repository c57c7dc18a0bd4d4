//! How often one may guess.
//!
//! Promises: guesses at one account are counted before they are looked at, so that those that come together are counted too; those from
//! one address are counted when they were wrong; names that nobody has are counted as others are.

use std::net::IpAddr;
use std::time::Duration;

use tonic::metadata::MetadataMap;

use super::accounts::User;
use super::names::Email;
use super::refusal::{Refusal, Result};
use crate::pipeline::told::PEER;
use crate::services::documents::digest;
use crate::store::{Key, Store};

const GUESSES_WINDOW: Duration = Duration::from_secs(15 * 60);
const GUESSES_PER_ACCOUNT: u64 = 10;

/// Many people may share one address.
const GUESSES_PER_ADDRESS: u64 = 100;

const MAILS_WINDOW: Duration = Duration::from_secs(3600);
const MAILS_PER_EMAIL: u64 = 3;
const MAILS_PER_ADDRESS: u64 = 20;

/// The counters, which all nodes share.
#[derive(Clone)]
pub struct Limits {
    store: Store,
}

/// Where a request comes from, as the gateway says: an IPv4 address, or the network of an IPv6 address. Those that do not say are one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer(String);

// === impl Limits ===

impl Limits {
    pub fn new(store: Store) -> Limits {
        Limits { store }
    }

    /// Counts a guess at the password of an account, or of a name that nobody has. Whether it is one of several since the last right one.
    pub async fn guess(&self, username: &str, user: Option<&User>) -> Result<bool> {
        let name = digest(&username.to_ascii_lowercase());
        let which = format!("{name}.{}", user.map_or(0, |user| user.attempts));
        let count = self.spend("guesses", which, GUESSES_WINDOW, GUESSES_PER_ACCOUNT).await?;
        Ok(count > 1)
    }

    /// Refuses an address from which too many wrong guesses came.
    pub async fn may_guess(&self, peer: &Peer) -> Result<()> {
        let count = self.store.count(&peer.key("wrong"), 0, GUESSES_WINDOW).await?;
        if count.value >= GUESSES_PER_ADDRESS { Err(Refusal::TooManyAttempts { left: count.left }) } else { Ok(()) }
    }

    /// Counts a wrong guess from an address.
    pub async fn guessed_wrong(&self, peer: &Peer) -> Result<()> {
        self.store.count(&peer.key("wrong"), 1, GUESSES_WINDOW).await?;
        Ok(())
    }

    /// Counts a mail that somebody wants to be sent to an address.
    pub async fn mail(&self, email: &Email, peer: &Peer) -> Result<()> {
        self.spend("mails", &peer.0, MAILS_WINDOW, MAILS_PER_ADDRESS).await?;
        self.spend("mails", digest(&email.folded()), MAILS_WINDOW, MAILS_PER_EMAIL).await?;
        Ok(())
    }

    async fn spend(&self, kind: &str, which: impl std::fmt::Display, window: Duration, most: u64) -> Result<u64> {
        let count = self.store.count(&Key::new(kind, which), 1, window).await?;
        if count.value > most { Err(Refusal::TooManyAttempts { left: count.left }) } else { Ok(count.value) }
    }
}

// === impl Peer ===

impl Peer {
    /// Out of a request's metadata. A gateway writes it itself, and lets no client do so.
    pub fn of(metadata: &MetadataMap) -> Peer {
        let written = metadata.get(PEER.as_str()).and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
        Peer(match written {
            None => "unknown".to_owned(),
            Some(IpAddr::V4(address)) => address.to_string(),
            Some(IpAddr::V6(address)) => match address.to_ipv4_mapped() {
                Some(address) => address.to_string(),
                // Whoever has one IPv6 address has 2^64 of them.
                None => format!("{:x}", address.to_bits() >> 64),
            },
        })
    }

    fn key(&self, kind: &str) -> Key {
        Key::new(kind, &self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_told_by_its_network() {
        let peer = |text: &'static str| {
            let mut metadata = MetadataMap::new();
            metadata.insert("protogate-peer", text.parse().unwrap());
            Peer::of(&metadata)
        };
        assert_eq!(peer("2001:db8::1"), peer("2001:db8::ffff:1"));
        assert_ne!(peer("2001:db8::1"), peer("2001:db8:0:1::1"));
        assert_eq!(peer("::ffff:192.0.2.1"), peer("192.0.2.1"));
        assert_ne!(peer("192.0.2.1"), peer("192.0.2.2"));
        assert_eq!(peer("nonsense"), Peer::of(&MetadataMap::new()));
    }
}
