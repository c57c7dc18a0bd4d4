//! A conversation that goes on: pushes are printed as they come, lines on standard input are calls, and a lost connection is resumed.
//!
//! Promises: every call that was made is told of, once; at most [`INFLIGHT_MAX`] wait for an answer, and standard input waits meanwhile;
//! what a session pushed is acknowledged within [`ACKNOWLEDGE`]. What is done about what comes stands in `hearing`, how a connection is
//! replaced in `returning`.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write as _};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::call::Way;
use super::client::{Client, Lost, Said};
use super::dictionary::{Dictionary, Request, cannot_ask};
use super::standing::Standing;
use super::{CANNOT_START, Exit, UNREACHABLE, lines};
use crate::wire::{Status, number, v1};

/// Calls that wait for an answer. Gateways allow as many unless they are told otherwise.
const INFLIGHT_MAX: usize = 32;

/// How long a push may go without being acknowledged, in the hope that something is said anyway.
const ACKNOWLEDGE: Duration = Duration::from_millis(200);

/// A client that stays.
pub struct Follow {
    pub(super) way: Way,
    pub(super) dictionary: Dictionary,
    /// What is called one after the other, before anything that is typed.
    script: VecDeque<Request>,
    typed: mpsc::Receiver<String>,
    typing: Typing,
    pub(super) standing: Standing,
    /// By the id of the call, which grows as time does.
    pub(super) waiting: BTreeMap<u32, Waiting>,
    last_id: u32,
    acknowledge_at: Option<Instant>,
    /// When the gateway wants it to have another connection.
    pub(super) move_at: Option<Instant>,
    /// What the gateway said before it closed.
    pub(super) goodbye: Option<v1::Goodbye>,
    /// Since the last connection that was good.
    pub(super) tries: u32,
    /// The user of the first session, which the token of the handshake made if there was one.
    pub(super) token_user: Option<String>,
}

/// A call that is not answered yet.
pub(super) struct Waiting {
    pub number: u32,
    pub until: Instant,
}

/// Whether more may be typed.
#[derive(PartialEq)]
enum Typing {
    Open,
    Ended,
}

/// Why a conversation does not go on over this connection.
pub(super) enum End {
    Lost(Lost),
    /// The session cannot be had any more.
    Gone(Status),
    /// Nobody reads what is printed.
    Unread,
}

// === impl Follow ===

impl Follow {
    pub fn new(way: Way, dictionary: Dictionary, script: VecDeque<Request>, typed: mpsc::Receiver<String>) -> Follow {
        Follow {
            way,
            dictionary,
            script,
            typed,
            typing: Typing::Open,
            standing: Standing::default(),
            waiting: BTreeMap::new(),
            last_id: 0,
            acknowledge_at: None,
            move_at: None,
            goodbye: None,
            tries: 0,
            token_user: None,
        }
    }

    /// Until the connection ends for good, or somebody or the time says that it is enough.
    pub async fn run(mut self, time: Option<Duration>) -> Result<(), Exit> {
        let cannot_hear = |error: io::Error| Exit::new(CANNOT_START, format!("error: signals cannot be received: {error}"));
        let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot_hear)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(cannot_hear)?;
        let over = time.map(|time| Instant::now() + time);
        let mut client = None;
        tokio::select! {
            biased;
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            () = at(over) => {}
            end = self.stay(&mut client) => return Err(end),
        }
        if let Some(client) = client {
            client.leave().await;
        }
        Ok(())
    }

    /// One connection after the other, and why there is no further one.
    async fn stay(&mut self, client: &mut Option<Client>) -> Exit {
        let mut connected = self.way.connect().await;
        loop {
            let open = match connected {
                Ok(connected) => client.insert(connected),
                Err(exit) => return exit,
            };
            let lost = match self.converse(open).await {
                End::Lost(lost) => lost,
                end => return end.into(),
            };
            *client = None;
            (self.acknowledge_at, self.move_at) = (None, None);
            for (_, call) in std::mem::take(&mut self.waiting) {
                complain(call.number, "the connection was lost before the answer");
            }
            connected = self.come_back(lost).await;
        }
    }

    async fn converse(&mut self, client: &mut Client) -> End {
        loop {
            let went = tokio::select! {
                biased;
                () = at(self.move_at), if self.waiting.is_empty() => Err(End::Lost(Lost::Moved)),
                () = at(self.acknowledge_at) => self.say(client, number::PING, 0, &[]).await,
                () = at(self.waiting.values().map(|call| call.until).min()) => {
                    let late = self.waiting.iter().min_by_key(|(_, call)| call.until).map(|(id, _)| *id);
                    let late = late.and_then(|id| self.waiting.remove_entry(&id));
                    late.iter().for_each(|(_, call)| complain(call.number, "no reply in time"));
                    Ok(())
                }
                Some(next) = next(&mut self.script), if self.waiting.is_empty() => self.call(client, Ok(next)).await,
                line = self.typed.recv(), if self.may_be_typed() => match line {
                    Some(line) if line.trim().is_empty() => Ok(()),
                    Some(line) => self.call(client, line.parse()).await,
                    None => {
                        self.typing = Typing::Ended;
                        Ok(())
                    }
                },
                heard = client.hear() => match heard {
                    Ok(heard) => self.take(client, &heard).await,
                    Err(lost) => Err(End::Lost(lost)),
                },
            };
            if let Err(end) = went {
                return end;
            }
        }
    }

    /// Not while there is a script, nor while a session is being resumed that a call may need.
    fn may_be_typed(&self) -> bool {
        let resuming = self.waiting.values().any(|call| call.number == number::RESUME);
        self.typing == Typing::Open && self.script.is_empty() && self.waiting.len() < INFLIGHT_MAX && !resuming
    }

    /// What was typed is called, or it is said what is wrong with it.
    async fn call(&mut self, client: &mut Client, request: Result<Request, String>) -> Result<(), End> {
        let encoded = request.map_err(cannot_ask).and_then(|request| Ok((request.number, self.dictionary.encode(&request)?)));
        match encoded {
            Ok((number, payload)) => self.ask(client, number, &payload).await,
            Err(exit) => {
                eprintln!("{}", exit.message);
                Ok(())
            }
        }
    }

    /// Says something that is answered.
    pub(super) async fn ask(&mut self, client: &mut Client, number: u32, payload: &[u8]) -> Result<(), End> {
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        // Cancel is answered by the end of the call that it cancels.
        if number != number::CANCEL {
            self.waiting.insert(self.last_id, Waiting { number, until: Instant::now() + self.way.patience });
        }
        self.say(client, number, self.last_id, payload).await
    }

    /// Whatever is said acknowledges what came.
    pub(super) async fn say(&mut self, client: &mut Client, protocol: u32, id: u32, payload: &[u8]) -> Result<(), End> {
        self.acknowledge_at = None;
        client.say(Said { protocol, id, payload, ack: self.standing.acknowledge(), ..Said::default() }).await.map_err(End::Lost)
    }

    /// Whether the session is of the user whose token is shown, and not of one who logged in later.
    pub(super) fn is_by_token(&self) -> bool {
        self.token_user.as_deref() == Some(self.standing.user())
    }

    /// From now on there is something to acknowledge, if there is.
    pub(super) fn owe(&mut self) {
        if self.standing.owes() && self.acknowledge_at.is_none() {
            self.acknowledge_at = Some(Instant::now() + ACKNOWLEDGE);
        }
    }
}

// === impl End ===

impl From<End> for Exit {
    fn from(end: End) -> Exit {
        match end {
            End::Lost(lost) => lost.into(),
            End::Gone(status) => Exit::new(UNREACHABLE, lines::failure(&status)),
            // Whoever read has seen enough.
            End::Unread => Exit::new(0, ""),
        }
    }
}

/// Prints a line for whoever reads.
pub(super) fn show(line: &str) -> Result<(), End> {
    writeln!(io::stdout(), "{line}").map_err(|_| End::Unread)
}

fn complain(number: u32, what: &str) {
    eprintln!("error: {number}: {what}");
}

/// At once, or not at all.
async fn next(script: &mut VecDeque<Request>) -> Option<Request> {
    script.pop_front()
}

/// Resolves then, or never.
async fn at(then: Option<Instant>) {
    match then {
        Some(then) => sleep_until(then).await,
        None => std::future::pending().await,
    }
}
