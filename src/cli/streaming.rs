//! One request from the terminal, to whatever comes of it: a reply, or a stream of messages that are printed as they come while what is
//! typed is sent.
//!
//! Promises: what is typed waits until the gateway grants it; what is printed is granted again; the first failure ends it.

use std::io::{self, Write as _};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::client::{Client, Heard, Lost, Said};
use super::dictionary::{Dictionary, Request, cannot_ask};
use super::{Exit, harmless, lines};
use crate::wire::number;

/// What is asked, and by which id.
pub struct Asked<'a> {
    pub number: u32,
    pub id: u32,
    /// Nothing: the first line that is typed.
    pub first: Option<&'a [u8]>,
    /// How long to wait for what comes first.
    pub patience: Duration,
    /// Messages that may be sent before more are granted.
    pub credit: u32,
}

/// Asks, and prints what comes until it has ended. With `typed` lines the method takes a stream, which they go on with.
pub async fn ask(
    client: &mut Client,
    dictionary: &Dictionary,
    asked: Asked<'_>,
    mut typed: Option<&mut mpsc::Receiver<String>>,
) -> Result<(), Exit> {
    let Asked { number, id, first, patience, mut credit } = asked;
    let (mut until, mut protocol) = (typed.is_none().then(|| Instant::now() + patience), number);
    if let Some(payload) = first {
        client.say(Said { protocol, id, payload, more: typed.is_some(), ..Said::default() }).await?;
        (protocol, credit) = (number::STREAM, credit.saturating_sub(1));
    }
    loop {
        tokio::select! {
            biased;
            () = at(until) => return Err(Lost::Broken("no reply in time".to_owned()).into()),
            heard = client.hear() => {
                let heard = heard?;
                if heard.id != id {
                    // It is for somebody who follows.
                    continue;
                }
                credit = credit.saturating_add(heard.credit);
                match take(client, dictionary, &heard, number).await? {
                    Taken::Last => return Ok(()),
                    Taken::Message => until = None,
                    Taken::Grant => {}
                }
            }
            line = next(&mut typed), if credit > 0 => match line {
                Some(line) if line.trim().is_empty() => {}
                Some(line) => {
                    let payload = dictionary.encode(&Request::new(number, &line).map_err(cannot_ask)?)?;
                    client.say(Said { protocol, id, payload: &payload, more: true, ..Said::default() }).await?;
                    (protocol, credit) = (number::STREAM, credit - 1);
                }
                None => {
                    typed = None;
                    client.say(Said { protocol, id, ..Said::default() }).await?;
                    protocol = number::STREAM;
                }
            },
        }
    }
}

/// What came.
enum Taken {
    Message,
    Grant,
    Last,
}

async fn take(client: &mut Client, dictionary: &Dictionary, heard: &Heard, number: u32) -> Result<Taken, Exit> {
    if let Some(status) = &heard.failure {
        return Err(Exit::new(1, lines::failure(status)));
    }
    let is_message = heard.more || heard.protocol != number::STREAM;
    if !is_message {
        return Ok(if heard.is_done { Taken::Last } else { Taken::Grant });
    }
    let answers = if heard.more { number } else { heard.protocol };
    let json = dictionary.reply(answers, &heard.payload).map_err(Lost::Malformed)?;
    // Whoever reads may have seen enough.
    writeln!(io::stdout(), "{}", harmless(&json)).map_err(|_| Exit::new(0, ""))?;
    if !heard.more {
        return Ok(Taken::Last);
    }
    client.say(Said { id: heard.id, credit: 1, ..Said::default() }).await?;
    Ok(Taken::Message)
}

async fn next(typed: &mut Option<&mut mpsc::Receiver<String>>) -> Option<String> {
    match typed {
        Some(typed) => typed.recv().await,
        None => std::future::pending().await,
    }
}

async fn at(then: Option<Instant>) {
    match then {
        Some(then) => sleep_until(then).await,
        None => std::future::pending().await,
    }
}
