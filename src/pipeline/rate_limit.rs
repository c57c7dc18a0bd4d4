//! Limits by key.
//!
//! A route names several limits. Promises: a call passes only if all of them have a token for it; a refused call spends nothing, and is
//! told which limit refused it and for how long; a limit in dry run never refuses and says what it would have refused. A limiter lives as
//! long as its [`LimitSpec`] stays equal: whoever reloads hands it over with all its buckets.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use smallvec::SmallVec;
use tokio::time::Instant;

use super::buckets::{Buckets, Key};
use super::call::Caller;
use super::gcra::{Gcra, Nanos};
use super::limited::{Limited, LimitedKeys};
use crate::failure::{Failure, Reason, Result};
use crate::id::Protocol;

/// How many keys a limit keeps where nothing is said: with 24 bytes and the map's slack they are about 5 MB.
pub const KEYS_MAX: usize = 100_000;

/// One limit, as configured.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LimitSpec {
    pub name: Arc<str>,
    /// What has a bucket of its own: each combination of these.
    pub key: Vec<KeyPart>,
    /// So many tokens …
    pub count: NonZeroU32,
    /// … in every such time.
    pub per: Duration,
    /// The most tokens at once.
    pub burst: NonZeroU32,
    pub mode: Mode,
    /// How many buckets are kept; see `buckets.rs` for what happens beyond.
    pub keys_max: usize,
}

/// What an exhausted limit does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    Enforce,
    DryRun,
}

/// One part of a limit's key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeyPart {
    /// Everything shares one bucket.
    Global,
    Route,
    /// The user; without one, the client's address.
    Caller,
    /// The user. All anonymous callers share one bucket.
    User,
    /// The session. As long as a session is its connection, the connection.
    Session,
    /// The client's address; of IPv6 the first 64 bits, because one customer has all the rest.
    PeerIp,
    Connection,
    /// A field of the request, by its path. Its place in a route's values is the route's business: [`LimitUse::fields`].
    Field(Arc<str>),
}

/// A limit with its buckets, shared by all routes that name it.
pub struct Limiter {
    spec: LimitSpec,
    gcra: Gcra,
    buckets: Buckets,
    /// The zero of the buckets' clock.
    started: Instant,
    /// Calls that were refused, or would have been in dry run. Written on the data path, read by metrics.
    refused: AtomicU64,
    limited: LimitedKeys,
}

/// A limit as one route uses it.
#[derive(Clone)]
pub struct LimitUse {
    pub limiter: Arc<Limiter>,
    /// For each [`KeyPart::Field`], in order: where its value stands in [`Facts::fields`].
    pub fields: Box<[usize]>,
}

/// What keys are made of.
pub struct Facts<'a> {
    pub route: Protocol,
    pub caller: &'a Caller,
    /// The values that the route extracted from the request.
    pub fields: &'a [KeyValue<'a>],
}

/// A field's value. One that is absent and one that is its type's default are the same, as they are to most services.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum KeyValue<'a> {
    Absent,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Str(&'a str),
    Bytes(&'a [u8]),
}

/// A call that passed all limits.
#[derive(Default)]
pub struct Passed {
    /// The limits in dry run that would have refused it. Usually empty, and then nothing is allocated.
    pub would_refuse: Vec<Arc<str>>,
}

/// Lets a call pass all of `limits` or none of them.
///
/// Tokens are taken one limit after the other and put back if a later one refuses; another call may see them missing for that moment.
pub fn admit(limits: &[LimitUse], facts: &Facts<'_>, now: Instant) -> Result<Passed> {
    let mut passed = Passed::default();
    let mut taken: SmallVec<[(&Limiter, Key); 4]> = SmallVec::new();
    for limit in limits {
        let limiter = &*limit.limiter;
        let key = limit.key(facts);
        match limiter.buckets.take(key, limiter.gcra, limiter.clock(now)) {
            Ok(()) => taken.push((limiter, key)),
            Err(wait) => {
                limiter.refused.fetch_add(1, Relaxed);
                limiter.limited.note(key, now, wait, || limit.text(facts));
                if limiter.spec.mode == Mode::Enforce {
                    taken.into_iter().for_each(|(limiter, key)| limiter.buckets.put_back(key, limiter.gcra, limiter.clock(now)));
                    return Err(limiter.refusal(wait));
                }
                passed.would_refuse.push(limiter.spec.name.clone());
            }
        }
    }
    Ok(passed)
}

// === impl Mode ===

impl Mode {
    /// As it is written in a route file.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Enforce => "enforce",
            Mode::DryRun => "dry_run",
        }
    }
}

// === impl Limiter ===

impl Limiter {
    pub fn new(spec: LimitSpec, now: Instant) -> Arc<Limiter> {
        let gcra = Gcra::new(spec.count, spec.per, spec.burst);
        let buckets = Buckets::new(spec.keys_max);
        Arc::new(Limiter { spec, gcra, buckets, started: now, refused: AtomicU64::new(0), limited: LimitedKeys::default() })
    }

    /// One that takes the place of another: its buckets are full, and what was counted in the same mode is counted on.
    pub fn after(before: Option<&Limiter>, spec: LimitSpec, now: Instant) -> Arc<Limiter> {
        let refused = before.filter(|before| before.spec.mode == spec.mode).map_or(0, Limiter::refused);
        let limiter = Limiter::new(spec, now);
        limiter.refused.store(refused, Relaxed);
        limiter
    }

    pub fn spec(&self) -> &LimitSpec {
        &self.spec
    }

    /// How many calls this limit refused, or would have refused in dry run.
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// How many buckets are kept.
    pub fn keys(&self) -> usize {
        self.buckets.kept()
    }

    /// Who is refused just now.
    pub fn limited(&self, now: Instant) -> Vec<Limited> {
        self.limited.all(now)
    }

    fn clock(&self, now: Instant) -> Nanos {
        Nanos::try_from(now.saturating_duration_since(self.started).as_nanos()).unwrap_or(Nanos::MAX)
    }

    fn refusal(&self, wait: Duration) -> Failure {
        // Rounded up like `retry_after_ms`, which says the same.
        let milliseconds = wait.as_nanos().div_ceil(1_000_000);
        let message = format!("rate limit `{}` is exhausted; try again in {milliseconds} ms", self.spec.name);
        Failure::gateway(Reason::RateLimited, message).retry_after(wait).by_limit(&self.spec.name)
    }
}

// === impl LimitUse ===

impl LimitUse {
    fn key(&self, facts: &Facts<'_>) -> Key {
        let mut key = self.limiter.buckets.key();
        let mut fields = self.fields.iter();
        for part in &self.limiter.spec.key {
            let user = || facts.caller.identity().map(|identity| identity.user.as_bytes());
            match part {
                KeyPart::Global => {}
                KeyPart::Route => key.part(1, &facts.route.0.to_le_bytes()),
                KeyPart::Caller => match user() {
                    Some(user) => key.part(2, user),
                    None => key.part(3, &network(facts.caller.peer)),
                },
                KeyPart::User => key.part(2, user().unwrap_or_default()),
                KeyPart::PeerIp => key.part(3, &network(facts.caller.peer)),
                KeyPart::Connection => key.part(4, &facts.caller.connection.0.to_le_bytes()),
                KeyPart::Session => match facts.caller.session() {
                    Some(session) => key.part(6, session.as_bytes()),
                    None => key.part(4, &facts.caller.connection.0.to_le_bytes()),
                },
                KeyPart::Field(_) => {
                    let value = fields.next().and_then(|&index| facts.fields.get(index)).unwrap_or(&KeyValue::Absent);
                    value.as_bytes(|bytes| key.part(5, bytes));
                }
            }
        }
        key.finish()
    }

    /// The key as an operator reads it. What was in the request is not shown: its hash says whether it is the same.
    fn text(&self, facts: &Facts<'_>) -> String {
        let mut fields = self.fields.iter();
        let user = || facts.caller.identity().map(|identity| format!("user {}", identity.user));
        let network = || match facts.caller.peer.to_canonical() {
            IpAddr::V4(address) => format!("peer {address}"),
            IpAddr::V6(address) => format!("peer {}/64", Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        };
        let connection = || format!("connection {}", facts.caller.connection.0);
        let parts = self.limiter.spec.key.iter().map(|part| match part {
            KeyPart::Global => "everybody".to_owned(),
            KeyPart::Route => format!("route {}", facts.route.0),
            KeyPart::Caller => user().unwrap_or_else(network),
            KeyPart::User => user().unwrap_or_else(|| "nobody".to_owned()),
            KeyPart::PeerIp => network(),
            KeyPart::Connection => connection(),
            KeyPart::Session => facts.caller.session().map_or_else(connection, |session| format!("session {session}")),
            KeyPart::Field(path) => {
                let value = fields.next().and_then(|&index| facts.fields.get(index)).unwrap_or(&KeyValue::Absent);
                format!("request.{path} #{:08x}", value.as_bytes(|bytes| self.limiter.buckets.shown(bytes)))
            }
        });
        parts.collect::<Vec<_>>().join(", ")
    }
}

// === impl KeyPart ===

impl KeyPart {
    /// As it is written in a route file.
    pub fn name(&self) -> String {
        match self {
            KeyPart::Global => "global".to_owned(),
            KeyPart::Route => "route".to_owned(),
            KeyPart::Caller => "caller".to_owned(),
            KeyPart::User => "user".to_owned(),
            KeyPart::Session => "session".to_owned(),
            KeyPart::PeerIp => "peer.ip".to_owned(),
            KeyPart::Connection => "connection".to_owned(),
            KeyPart::Field(path) => format!("request.{path}"),
        }
    }
}

/// The address of what one customer usually has: an IPv4 address, or an IPv6 network of 64 bits.
fn network(peer: IpAddr) -> [u8; 8] {
    match peer.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            // 0000::/32 holds no client, so that no IPv6 network looks like this.
            [0, 0, 0, 0, a, b, c, d]
        }
        IpAddr::V6(address) => address.octets()[..8].try_into().expect("an IPv6 address has 16 bytes"),
    }
}

// === impl KeyValue ===

impl KeyValue<'_> {
    /// Lends the bytes that stand for the value; none for a default.
    pub fn as_bytes<T>(&self, lend: impl FnOnce(&[u8]) -> T) -> T {
        match *self {
            KeyValue::Absent | KeyValue::Bool(false) | KeyValue::Int(0) | KeyValue::Uint(0) => lend(&[]),
            KeyValue::Bool(true) => lend(&[1]),
            KeyValue::Int(value) => lend(&value.to_le_bytes()),
            KeyValue::Uint(value) => lend(&value.to_le_bytes()),
            KeyValue::Str(text) => lend(text.as_bytes()),
            KeyValue::Bytes(bytes) => lend(bytes),
        }
    }
}

#[cfg(test)]
mod tests;
