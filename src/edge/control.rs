//! The gateway's own protocol numbers, 1 to 999: who the client is, whether it lives, and what it no longer wants.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::conversation::{Batch, Conversation};
use super::end::End;
use super::pulse::Tick;
use super::standing::{self, Standing};
use crate::failure::{Failure, Reason};
use crate::id::CallId;
use crate::pipeline::cause::Cause;
use crate::pipeline::{Identity, auth};
use crate::wire::{Close, Envelope, number, v1};

/// A message that makes a connection's task panic, in tests alone.
#[cfg(test)]
pub const PANIC: u32 = 998;

// === impl Conversation ===

impl Conversation {
    /// The gateway's first words: Hello, and what came of a token that the handshake brought.
    pub fn greet(&mut self, token: Option<&str>, node: &str, batch: &Batch) -> Result<(), End> {
        let settings = &batch.table.settings;
        self.speaker.say(
            0,
            &v1::Hello {
                heartbeat_ms: milliseconds(settings.heartbeat),
                grace_ms: milliseconds(settings.heartbeat_grace),
                auth_timeout_ms: milliseconds(settings.auth_timeout),
                message_bytes_max: clamped(settings.message_bytes_max),
                inflight_max: clamped(settings.inflight_max),
                stream_credit: 0,
                catalogue_hash: batch.table.catalogue_hash.clone(),
                node: node.to_owned(),
                server_time_ms: since_epoch(SystemTime::now()),
                version: env!("CARGO_PKG_VERSION").to_owned(),
            },
        )?;
        let Some(token) = token else { return Ok(()) };
        let ready = self.authenticate(token, batch).map_err(bad_token)?;
        self.speaker.say(0, &ready)
    }

    /// A message with one of the gateway's own numbers.
    pub(super) fn hear_control(&mut self, envelope: &Envelope<'_>, batch: &Batch) -> Result<(), End> {
        let heard = match envelope.protocol {
            number::AUTHENTICATE => return self.hear_authenticate(envelope, batch),
            number::REFRESH_TOKEN => self.hear_refresh(envelope, batch),
            number::PING => self.hear_ping(envelope),
            number::PONG => return Ok(()),
            number::CANCEL => self.hear_cancel(envelope),
            number::RESUME | number::SUBSCRIBE | number::UNSUBSCRIBE => Err(Refused::not_supported(envelope.protocol)),
            #[cfg(test)]
            PANIC => panic!("a test asked for it"),
            unknown => Err(Refused::unknown(unknown)),
        };
        match heard {
            Ok(()) => Ok(()),
            Err(Refused::End(end)) => Err(end),
            Err(Refused::Request(failure)) => self.refuse(envelope.protocol, envelope.id, &failure, batch.tick),
        }
    }

    /// What time brings about for the identity.
    pub fn check_standing(&mut self, now: Tick) -> Result<(), End> {
        match self.standing.check(now) {
            standing::Verdict::Fine => Ok(()),
            standing::Verdict::Warn => {
                let expires_ms = self.caller.identity().map_or(0, |identity| since_epoch(identity.expires));
                self.speaker.say(0, &v1::TokenExpiring { expires_ms })
            }
            standing::Verdict::Unknown => Err(End::close(Close::BadToken, "no token came in time; send Authenticate first")),
            standing::Verdict::Expired => Err(End::close(Close::TokenExpired, "the token expired; connect with a new one")),
        }
    }

    /// Asks whether the client is alive.
    pub fn ask(&self) -> Result<(), End> {
        self.speaker.ask(&v1::Ping { time_ms: since_epoch(SystemTime::now()) })
    }

    /// A token that is refused ends the connection: trying many is not for clients.
    fn hear_authenticate(&mut self, envelope: &Envelope<'_>, batch: &Batch) -> Result<(), End> {
        let read = self.speaker.read::<v1::Authenticate>(envelope.payload).map_err(unreadable);
        match read.and_then(|message| self.authenticate(&message.token, batch)) {
            Ok(ready) => {
                self.speaker.say(envelope.id, &ready)?;
                self.count_token(batch.tick)
            }
            Err(failure) => {
                self.speaker.refuse(envelope.protocol, envelope.id, &failure)?;
                Err(bad_token(failure))
            }
        }
    }

    /// A token that is refused leaves the old one in force.
    fn hear_refresh(&mut self, envelope: &Envelope<'_>, batch: &Batch) -> Result<(), Refused> {
        let message: v1::RefreshToken = self.speaker.read(envelope.payload).map_err(unreadable)?;
        let Some(before) = self.caller.identity().map(|identity| Arc::clone(&identity.user)) else {
            return Err(Failure::gateway(Reason::Unauthenticated, "there is no token to refresh; send Authenticate (protocol 2)").into());
        };
        let identity = self.verify(&message.token, batch)?;
        if identity.user != before {
            batch.table.verifier.refusals().count(Cause::WrongUser);
            return Err(Failure::gateway(Reason::InvalidToken, "the token is another user's; open a connection of its own for it").into());
        }
        let ready = self.become_known(identity, batch.tick);
        self.speaker.say_as(number::REFRESH_TOKEN, envelope.id, &ready)?;
        Ok(self.count_token(batch.tick)?)
    }

    fn hear_ping(&mut self, envelope: &Envelope<'_>) -> Result<(), Refused> {
        let ping: v1::Ping = self.speaker.read(envelope.payload).map_err(unreadable)?;
        Ok(self.speaker.say(envelope.id, &v1::Pong { time_ms: ping.time_ms })?)
    }

    /// The cancelled call is answered; Cancel itself is not. One that comes too late is nothing.
    fn hear_cancel(&mut self, envelope: &Envelope<'_>) -> Result<(), Refused> {
        let cancel: v1::Cancel = self.speaker.read(envelope.payload).map_err(unreadable)?;
        self.cancel(CallId(cancel.id))?;
        Ok(())
    }

    fn authenticate(&mut self, token: &str, batch: &Batch) -> Result<v1::Ready, Failure> {
        let identity = self.verify(token, batch)?;
        Ok(self.become_known(identity, batch.tick))
    }

    fn verify(&mut self, token: &str, batch: &Batch) -> Result<Identity, Failure> {
        self.verified = true;
        batch.table.verifier.verify(token, SystemTime::now()).map_err(auth::Refused::finally)
    }

    fn become_known(&mut self, identity: Identity, tick: Tick) -> v1::Ready {
        let ready = v1::Ready {
            user: identity.user.to_string(),
            roles: identity.roles.iter().map(ToString::to_string).collect(),
            expires_ms: since_epoch(identity.expires),
            ..v1::Ready::default()
        };
        self.standing = Standing::known(tick, SystemTime::now(), identity.expires);
        self.seat.show();
        self.caller.identify(Some(Arc::new(identity)));
        ready
    }
}

/// Why a control message was not obeyed.
enum Refused {
    Request(Failure),
    End(End),
}

// === impl Refused ===

impl Refused {
    fn not_supported(number: u32) -> Refused {
        Failure::gateway(Reason::NotSupported, format!("protocol {number} is not supported by this version")).into()
    }

    fn unknown(number: u32) -> Refused {
        Failure::gateway(Reason::UnknownProtocol, format!("protocol {number} is no request of the gateway's; routes start at 1000")).into()
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Refused {
        Refused::Request(failure)
    }
}

impl From<End> for Refused {
    fn from(end: End) -> Refused {
        Refused::End(end)
    }
}

fn unreadable(what: String) -> Failure {
    Failure::gateway(Reason::InvalidMessage, format!("the payload is not the message of this number: {what}"))
}

fn bad_token(failure: Failure) -> End {
    End::close(Close::BadToken, failure.message().to_owned())
}

fn since_epoch(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

fn clamped(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
