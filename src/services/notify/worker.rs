//! Who works off the batches: a few hands in each process, all alike, in any number of processes.
//!
//! Promises: a slice is stored in its users' histories before it is pushed or mailed; a process that dies leaves a slice that another one
//! does again when its lease is over, so no more than a slice is told twice, under the same id; every slice ends before its lease; without
//! the store everything waits and nothing is lost.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tonic::Code;
use tracing::{debug, warn};

use super::super::auth::{self, Email, SettingsCell};
use super::super::documents::digest;
use super::super::mail::Letter;
use super::super::pusher::Pusher;
use super::super::refusal::Result;
use super::NUMBER;
use super::batch::{Counts, Message, Problem, Recipient, Stage};
use super::batches::{Batches, Slice};
use super::inbox::{Entry, Inbox};
use super::v1::Channel;
use super::words::Words;
use crate::clock::Clock;
use crate::failure::{self, Failure};
use crate::store::Store;

/// How many slices a process works on at once: a mail server that is slow holds up as many before it holds up the rest.
pub const HANDS: usize = 4;

/// Histories that are written at once.
const WRITING_MAX: usize = 8;

/// Pauses before a mail, and before a push, is tried again.
const MAIL_AGAIN: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(10)];
const PUSH_AGAIN: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];

/// How often somebody looks for what other processes were told, or left.
const LOOK: Duration = Duration::from_secs(5);

/// How long the store is left alone when it failed.
const STORE_PAUSE: Duration = Duration::from_secs(5);

/// What a hand works with.
#[derive(Clone)]
pub struct Worker {
    pub store: Store,
    pub clock: Clock,
    pub batches: Batches,
    pub inbox: Inbox,
    pub pusher: Pusher,
    /// Where the mail server is found.
    pub settings: SettingsCell,
    /// The folder for mail in development.
    pub outbox: PathBuf,
    /// Told when there is something to do.
    pub wake: Arc<Notify>,
}

/// Whether there was something to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Work {
    Done,
    Nothing,
}

/// What became of one user.
enum Told {
    Yes,
    No(Problem),
    /// There is no way.
    Skipped,
}

// === impl Worker ===

impl Worker {
    /// Works until it is dropped.
    pub async fn run(self) {
        let mut failed = false;
        loop {
            match self.work().await {
                Ok(Work::Done) => failed = false,
                Ok(Work::Nothing) => {
                    failed = false;
                    // Whether it was woken or has waited, it looks.
                    let _ = timeout(LOOK, self.wake.notified()).await;
                }
                Err(refusal) => {
                    // Once for each time that it begins.
                    if !std::mem::replace(&mut failed, true) {
                        warn!(reason = refusal.reason(), "notifications wait: what is kept of them cannot be reached");
                    }
                    sleep(STORE_PAUSE).await;
                }
            }
        }
    }

    /// Does one slice of some batch.
    pub async fn work(&self) -> Result<Work> {
        let Some(slice) = self.batches.take().await? else { return Ok(Work::Nothing) };
        match self.tell(&slice).await {
            Ok((counts, problems)) => self.batches.done(&slice, counts, problems).await?,
            Err(refusal) => {
                // If even this fails, its lease ends.
                let _ = self.batches.give_back(&slice).await;
                return Err(refusal);
            }
        }
        Ok(Work::Done)
    }

    /// Tells everybody in a slice. An error is the store's, and comes before any mail is sent.
    pub(super) async fn tell(&self, slice: &Slice) -> Result<(Counts, Vec<Problem>)> {
        let head = &slice.head;
        if head.expires_ms <= self.clock.now_ms() {
            let skipped = u32::try_from(slice.recipients.len()).expect("a slice is small");
            return Ok((Counts { skipped, ..Counts::default() }, vec![shared(Channel::Unspecified, "it was no longer worth telling")]));
        }
        let (told, problem) = match head.stage() {
            Stage::Histories => (self.deliver(slice).await?, self.push(slice).await),
            Stage::Mails => (self.mail(slice).await?, None),
        };
        let (mut counts, mut problems) = (Counts::default(), Vec::from_iter(problem));
        for told in told {
            match told {
                Told::Yes => counts.sent += 1,
                Told::Skipped => counts.skipped += 1,
                Told::No(problem) => {
                    counts.failed += 1;
                    problems.push(problem);
                }
            }
        }
        debug!(batch = head.id, sent = counts.sent, failed = counts.failed, skipped = counts.skipped, "told a slice of a batch");
        Ok((counts, problems))
    }

    /// Mails to everybody in a slice. Who has no address was told if they have it in their history.
    async fn mail(&self, slice: &Slice) -> Result<Vec<Told>> {
        let addresses = self.addresses(&slice.recipients).await?;
        let letters = slice.recipients.iter().zip(&addresses).map(|(recipient, address)| async move {
            match address {
                Some(address) => self.mail_to(slice, recipient, address).await,
                None if slice.head.ways.in_app => Told::Yes,
                None => Told::Skipped,
            }
        });
        Ok(join_all(letters).await)
    }

    /// Where each one's mail goes: where the sender said, else where the account says.
    async fn addresses(&self, recipients: &[Recipient]) -> Result<Vec<Option<Email>>> {
        let users: Vec<&str> = recipients.iter().map(|recipient| recipient.user.as_str()).collect();
        let accounts = auth::addresses(&self.store, &users).await?;
        let said = |recipient: &Recipient| recipient.email.as_deref().and_then(|email| Email::parse(email).ok());
        Ok(recipients.iter().zip(accounts).map(|(recipient, account)| said(recipient).or(account)).collect())
    }

    async fn deliver(&self, slice: &Slice) -> Result<Vec<Told>> {
        let all: Vec<_> = slice.recipients.iter().map(|recipient| self.deliver_to(slice, recipient)).collect();
        stream::iter(all).buffered(WRITING_MAX).collect::<Vec<_>>().await.into_iter().collect()
    }

    async fn deliver_to(&self, slice: &Slice, recipient: &Recipient) -> Result<Told> {
        match self.inbox.deliver(&recipient.user, &entry(slice, words(&slice.message, recipient))).await {
            Ok(()) => Ok(Told::Yes),
            // This history alone is broken.
            Err(refusal) if refusal.code() == Code::Internal => Ok(problem(recipient, Channel::InApp, "their history cannot be read")),
            Err(refusal) => Err(refusal),
        }
    }

    /// Pushes what is in the histories now. What cannot be pushed is found there, so it is told nevertheless.
    async fn push(&self, slice: &Slice) -> Option<Problem> {
        let mut last = None;
        for (index, words) in slice.message.words.iter().enumerate() {
            let readers = slice.recipients.iter().filter(|recipient| recipient.words == index);
            let users: Vec<String> = readers.map(|recipient| recipient.user.clone()).collect();
            if let Err(cause) = self.push_to(&users, &entry(slice, words)).await {
                warn!(cause, "a notification could not be pushed");
                last = Some(shared(Channel::InApp, "it could not be pushed, and is in the histories alone"));
            }
        }
        last
    }

    async fn push_to(&self, users: &[String], entry: &Entry) -> std::result::Result<(), String> {
        let mut pauses = PUSH_AGAIN.into_iter();
        loop {
            match (self.pusher.to_users(users, NUMBER, &entry.shown()).await, pauses.next()) {
                (Ok(()), _) => return Ok(()),
                (Err(failure), Some(pause)) if may_pass(&failure) => {
                    debug!(reason = failure.reason(), "a notification is pushed again");
                    sleep(pause).await;
                }
                (Err(failure), _) => return Err(format!("{}: {}", failure.reason(), failure.message())),
            }
        }
    }

    async fn mail_to(&self, slice: &Slice, recipient: &Recipient, address: &Email) -> Told {
        let Words { title, body, html } = words(&slice.message, recipient);
        let html = Some(html.as_str()).filter(|html| !html.is_empty());
        // A mail server that is shown it twice may know it by this.
        let id = format!("{}.{}", slice.head.id, &digest(&recipient.user)[..16]);
        let letter = Letter { to: address.address(), subject: title, text: body, html, id: Some(&id) };
        let mut pauses = MAIL_AGAIN.into_iter();
        loop {
            let settings = self.settings.load();
            let Some(mail) = &settings.mail else { return problem(recipient, Channel::Mail, "mail is no longer configured") };
            match (mail.send(&self.outbox, letter).await, pauses.next()) {
                (Ok(()), _) => return Told::Yes,
                (Err(_), Some(pause)) => sleep(pause).await,
                (Err(cause), None) => return problem(recipient, Channel::Mail, &cause),
            }
        }
    }
}

/// The notification that these words make, the same for all who read them.
fn entry(slice: &Slice, words: &Words) -> Entry {
    let Slice { head, message, .. } = slice;
    Entry {
        id: head.id.clone(),
        kind: message.kind,
        importance: message.importance,
        title: words.title.clone(),
        body: words.body.clone(),
        data: message.data.clone(),
        sent_ms: head.created_ms,
        expires_ms: head.expires_ms,
        read_ms: 0,
        place: 0,
    }
}

fn words<'a>(message: &'a Message, recipient: &Recipient) -> &'a Words {
    message.words.get(recipient.words).expect("recipients name words of their own message")
}

fn problem(recipient: &Recipient, channel: Channel, message: &str) -> Told {
    Told::No(Problem { user: recipient.user.clone(), channel: channel.into(), message: message.to_owned() })
}

/// Whether the gateway may take later what it did not take now. That it does not know the push, say, stays so.
fn may_pass(failure: &Failure) -> bool {
    matches!(failure.code(), failure::Code::Unavailable | failure::Code::DeadlineExceeded | failure::Code::ResourceExhausted)
}

/// What concerns several.
fn shared(channel: Channel, message: &str) -> Problem {
    Problem { user: String::new(), channel: channel.into(), message: message.to_owned() }
}
