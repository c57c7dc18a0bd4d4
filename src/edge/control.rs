//! The gateway's own protocol numbers, 1 to 999: who the client is, whether it lives, and what it no longer wants.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use super::admission::{Admission, Back, Way};
use super::conversation::{Batch, Conversation};
use super::end::End;
use super::pulse::Tick;
use super::standing::{self, Standing};
use super::topics::positions;
use crate::clock::to_millis;
use crate::failure::{Code, Failure, Reason};
use crate::id::CallId;
use crate::pipeline::Identity;
use crate::push::Resumption;
use crate::session::secret::ResumeToken;
use crate::session::{Admitted, Grant, Held, Line};
use crate::table::{Settings, TableReader};
use crate::telemetry::labels::Resumed;
use crate::wire::{Close, Envelope, number, v1};

/// A message that makes a connection's task panic, in tests alone.
#[cfg(test)]
pub const PANIC: u32 = 998;

/// One that is a call of so many milliseconds as `time_ms` of a Ping says, in tests alone.
#[cfg(test)]
pub const NAP: u32 = 997;

// === impl Conversation ===

impl Conversation {
    /// The gateway's first words: Hello. What comes of a token that the handshake brought follows.
    pub fn greet(&mut self, token: Option<&str>, node: &str, batch: &Batch) -> Result<(), End> {
        let settings = &batch.table.settings;
        self.stream_credit = settings.stream_credit;
        self.speaker.say(
            0,
            &v1::Hello {
                heartbeat_ms: milliseconds(settings.heartbeat),
                grace_ms: milliseconds(settings.heartbeat_grace),
                auth_timeout_ms: milliseconds(settings.auth_timeout),
                message_bytes_max: clamped(settings.message_bytes_max),
                inflight_max: clamped(settings.inflight_max),
                stream_credit: settings.stream_credit,
                catalogue_hash: batch.table.catalogue_hash.clone(),
                node: node.to_owned(),
                server_time_ms: to_millis(SystemTime::now()),
                version: env!("CARGO_PKG_VERSION").to_owned(),
            },
        )?;
        if let Some(token) = token {
            self.begin(Admission::by_token(Way::Handshake, 0, token.to_owned(), None, &batch.table));
        }
        Ok(())
    }

    /// A message with one of the gateway's own numbers.
    pub(super) fn hear_control(&mut self, envelope: &Envelope<'_>, batch: &Batch) -> Result<(), End> {
        let heard = match envelope.protocol {
            number::AUTHENTICATE => self.hear_authenticate(envelope, batch),
            number::RESUME => self.hear_resume(envelope, batch),
            number::REFRESH_TOKEN => self.hear_refresh(envelope, batch),
            number::PING => self.hear_ping(envelope),
            number::PONG => return Ok(()),
            number::CANCEL => self.hear_cancel(envelope),
            number::SUBSCRIBE => self.hear_subscribe(envelope, batch),
            number::UNSUBSCRIBE => self.hear_unsubscribe(envelope, batch),
            #[cfg(test)]
            PANIC => panic!("a test asked for it"),
            #[cfg(test)]
            NAP => self.hear_nap(envelope),
            unknown => Err(Refused::unknown(unknown)),
        };
        match heard {
            Ok(()) => Ok(()),
            Err(Refused::End(end)) => Err(end),
            Err(Refused::Request(failure)) => self.refuse(envelope.protocol, envelope.id, &failure, batch.tick),
        }
    }

    /// What came of finding out who the client is. Ready when nothing is being found out.
    pub fn poll_admission(&mut self, cx: &mut Context<'_>, tables: &TableReader, now: Tick) -> Result<Poll<()>, End> {
        let Some(admission) = &mut self.admission else { return Ok(Poll::Ready(())) };
        let Poll::Ready(outcome) = admission.poll(cx) else { return Ok(Poll::Pending) };
        let (way, id) = (admission.way, admission.id);
        self.admission = None;
        let settings = &tables.load().settings;
        match outcome {
            Ok((admitted, topics)) => self.enter(admitted, Entry { way, id, topics }, tables, settings, now)?,
            Err(failure) => {
                if way == Way::Resume {
                    tables.load().observers.edge.resumes.count(Resumed::Failed);
                }
                self.not_admitted(way, id, failure, now)?;
            }
        }
        // Verifying a token costs as much as many calls.
        self.count_token(now)?;
        Ok(Poll::Ready(()))
    }

    /// What time brings about for the identity.
    pub fn check_standing(&mut self, now: Tick) -> Result<(), End> {
        match self.standing.check(now) {
            standing::Verdict::Fine => Ok(()),
            standing::Verdict::Warn => {
                let expires_ms = self.caller.identity().map_or(0, |identity| to_millis(identity.expires));
                self.speaker.say(0, &v1::TokenExpiring { expires_ms })
            }
            standing::Verdict::Unknown if self.is_being_admitted() => Ok(()),
            standing::Verdict::Unknown => Err(End::close(Close::BadToken, "no token came in time; send Authenticate first")),
            standing::Verdict::Expired => Err(End::close(Close::TokenExpired, "the token expired; connect with a new one")),
        }
    }

    /// Asks whether the client is alive.
    pub fn ask(&self) -> Result<(), End> {
        self.speaker.ask(&v1::Ping { time_ms: to_millis(SystemTime::now()) })
    }

    /// Enters a session, or has a later identity in its own: from the moment at which the client is told so.
    pub(super) fn enter(
        &mut self,
        admitted: Admitted,
        entry: Entry,
        tables: &TableReader,
        settings: &Settings,
        now: Tick,
    ) -> Result<(), End> {
        match admitted {
            Admitted::Granted(grant) => self.take_session(grant, entry, tables, settings, now),
            Admitted::Refreshed(identity) => self.refreshed(identity, entry, settings, now),
        }
    }

    fn take_session(&mut self, grant: Grant, entry: Entry, tables: &TableReader, settings: &Settings, now: Tick) -> Result<(), End> {
        let identity = Arc::clone(grant.identity());
        let line = Arc::new(self.speaker.line(tables));
        let speaker = &self.speaker;
        let Resumption { prepared, mut lost } = entry.topics;
        lost.extend(prepared.iter().filter(|prepared| !prepared.is_whole()).map(|prepared| prepared.topic().to_owned()));
        let attachment = grant.take(Arc::clone(&line) as Arc<dyn Line>, |grant, replay| {
            let ready = ready(grant.identity(), grant.session_id(), grant.resume_token(), settings);
            if entry.way != Way::Resume {
                return speaker.say(entry.id, &ready);
            }
            let outcome = if replay.recovered && lost.is_empty() { Resumed::Recovered } else { Resumed::Lost };
            tables.load().observers.edge.resumes.count(outcome);
            let resumed =
                v1::Resumed { recovered: replay.recovered, replayed: clamped(replay.missed.len()), lost_topics: lost, ready: Some(ready) };
            speaker.say(entry.id, &resumed)?;
            let fits = replay.missed.into_iter().all(|missed| line.push(missed));
            if fits { Ok(()) } else { Err(End::close(Close::Slow, "what was missed is more than may wait for you")) }
        })?;
        self.standing = Standing::known(now, SystemTime::now(), identity.expires);
        self.seat.show();
        let session = Arc::clone(attachment.session());
        self.streams.doubt();
        if let Some(before) = self.caller.enter(identity, attachment) {
            // The client speaks for somebody else now, and nobody will come back to what it was.
            before.abandon();
        }
        self.hear_again(prepared)?;
        tables.load().hub.welcome(&session);
        Ok(())
    }

    /// The connection is nobody's again, because its client asked for it.
    pub(super) fn leave_session(&mut self, left: &Held, settings: &Settings, now: Tick) -> Result<(), End> {
        if self.caller.held().is_none_or(|held| !Arc::ptr_eq(&held.session, &left.session)) {
            return Ok(());
        }
        drop(self.caller.leave());
        self.streams.doubt();
        self.standing = Standing::anonymous(now, settings);
        self.seat.hide(settings).map_err(|_| End::close(Close::Overloaded, "there is no room for clients without a token"))
    }

    fn refreshed(&mut self, identity: Arc<Identity>, entry: Entry, settings: &Settings, now: Tick) -> Result<(), End> {
        let number = if entry.way == Way::Refresh { number::REFRESH_TOKEN } else { number::READY };
        let Some(held) = self.caller.held().filter(|held| held.session.user == identity.user) else {
            // A call that came back meanwhile has changed whose the connection is. Where a call asked too, its reply is the answer.
            let request = if entry.way == Way::Refresh { number::REFRESH_TOKEN } else { number::AUTHENTICATE };
            let failure = Failure::gateway(Reason::Unauthenticated, "the session was left meanwhile; authenticate again");
            return if entry.id == 0 { Ok(()) } else { self.speaker.refuse(request, entry.id, &failure) };
        };
        held.session.refresh(held.generation, Arc::clone(&identity));
        let ready = ready(&identity, &held.session.id, "", settings);
        self.standing = Standing::known(now, SystemTime::now(), identity.expires);
        self.caller.refresh(identity);
        self.streams.doubt();
        self.speaker.say_as(number, entry.id, &ready)
    }

    /// A token that is refused ends the connection: trying many is not for clients. One that was only a refresh leaves the old in force.
    fn not_admitted(&mut self, way: Way, id: u32, failure: Failure, now: Tick) -> Result<(), End> {
        let Some(request) = way.request() else { return Err(shut_out(&failure)) };
        let bad_token = failure.is(Reason::InvalidToken);
        match failure.code() {
            // Not the client's doing.
            Code::Unavailable => self.speaker.refuse(request, id, &failure)?,
            _ => self.refuse(request, id, &failure, now)?,
        }
        if bad_token && way != Way::Refresh { Err(shut_out(&failure)) } else { Ok(()) }
    }

    fn begin(&mut self, admission: Admission) {
        self.admission = Some(Box::new(admission));
    }

    fn hear_authenticate(&mut self, envelope: &Envelope<'_>, batch: &Batch) -> Result<(), Refused> {
        let read = self.speaker.read::<v1::Authenticate>(envelope.payload).map_err(unreadable);
        match read {
            Ok(message) => {
                let held = self.caller.held();
                self.begin(Admission::by_token(Way::Authenticate, envelope.id, message.token, held, &batch.table));
                Ok(())
            }
            Err(failure) => {
                self.speaker.refuse(envelope.protocol, envelope.id, &failure)?;
                Err(Refused::End(End::close(Close::BadToken, failure.message().to_owned())))
            }
        }
    }

    fn hear_resume(&mut self, envelope: &Envelope<'_>, batch: &Batch) -> Result<(), Refused> {
        let message: v1::Resume = self.speaker.read(envelope.payload).map_err(unreadable)?;
        let token = ResumeToken::parse(&message.resume_token);
        // It would be taken from itself, and be over.
        let held = self.caller.held().filter(|held| token.as_ref().is_some_and(|token| *token.session == *held.session.id));
        if held.is_some() {
            return Err(Failure::gateway(Reason::ResumeFailed, "this connection is in that session already").into());
        }
        let back = Back { token, last_seq: message.last_seq, topics: positions(message.topics) };
        if back.topics.len() > batch.table.settings.sessions.topics_max {
            let what = format!("more topics than a session may hear, which is {}", batch.table.settings.sessions.topics_max);
            return Err(Failure::gateway(Reason::InvalidMessage, what).into());
        }
        self.begin(Admission::by_resumption(envelope.id, back, message.token, &batch.table));
        Ok(())
    }

    /// A token that is refused leaves the old one in force.
    fn hear_refresh(&mut self, envelope: &Envelope<'_>, batch: &Batch) -> Result<(), Refused> {
        let message: v1::RefreshToken = self.speaker.read(envelope.payload).map_err(unreadable)?;
        let Some(held) = self.caller.held() else {
            return Err(Failure::gateway(Reason::Unauthenticated, "there is no token to refresh; send Authenticate (protocol 2)").into());
        };
        self.begin(Admission::by_token(Way::Refresh, envelope.id, message.token, Some(held), &batch.table));
        Ok(())
    }

    fn hear_ping(&mut self, envelope: &Envelope<'_>) -> Result<(), Refused> {
        let ping: v1::Ping = self.speaker.read(envelope.payload).map_err(unreadable)?;
        Ok(self.speaker.say(envelope.id, &v1::Pong { time_ms: ping.time_ms })?)
    }

    /// The cancelled call is answered; Cancel itself is not. One that comes too late is nothing.
    fn hear_cancel(&mut self, envelope: &Envelope<'_>) -> Result<(), Refused> {
        let cancel: v1::Cancel = self.speaker.read(envelope.payload).map_err(unreadable)?;
        self.cancel(CallId(cancel.id))?;
        self.cancel_stream(CallId(cancel.id));
        Ok(())
    }
}

#[cfg(test)]
impl Conversation {
    fn hear_nap(&mut self, envelope: &Envelope<'_>) -> Result<(), Refused> {
        use crate::dispatch::{Answer, Reply};
        use crate::edge::calls::InFlight;
        use crate::id::Protocol;

        let (id, protocol) = (CallId(envelope.id), Protocol(envelope.protocol));
        self.not_in_flight(id)?;
        self.not_draining()?;
        let nap: v1::Ping = self.speaker.read(envelope.payload).map_err(unreadable)?;
        let running = Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(nap.time_ms)).await;
            Answer { protocol, id, result: Ok(Reply::Json("{}".to_owned())), silent: false, effect: None }
        });
        self.calls.push(InFlight { protocol, id, topic: None, running });
        Ok(())
    }
}

/// What a client is answered that enters a session: by which way it came, the id of its request, and the topics that it comes back to.
pub struct Entry {
    pub way: Way,
    pub id: u32,
    pub topics: Resumption,
}

/// Why a control message was not obeyed.
pub(super) enum Refused {
    Request(Failure),
    End(End),
}

// === impl Refused ===

impl Refused {
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

pub(super) fn unreadable(what: String) -> Failure {
    Failure::gateway(Reason::InvalidMessage, format!("the payload is not the message of this number: {what}"))
}

/// Why a connection ends whose token made no session: for good if the token is bad, else to be tried again.
fn shut_out(failure: &Failure) -> End {
    let close = if failure.is(Reason::InvalidToken) {
        Close::BadToken
    } else if failure.is(Reason::SessionLimit) {
        Close::Limit
    } else {
        Close::Overloaded
    };
    End::close(close, failure.message().to_owned())
}

fn ready(identity: &Identity, session: &str, resume_token: &str, settings: &Settings) -> v1::Ready {
    v1::Ready {
        session_id: session.to_owned(),
        user: identity.user.to_string(),
        roles: identity.roles.iter().map(ToString::to_string).collect(),
        expires_ms: to_millis(identity.expires),
        resume_token: resume_token.to_owned(),
        resume_url: settings.public_url.clone().unwrap_or_default(),
        resume_window_ms: milliseconds(settings.sessions.resume_window),
    }
}

fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

fn clamped(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
