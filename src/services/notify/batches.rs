//! Batches in the store: a notification, whom it is for, and how far it got. What a process has begun another one finishes.
//!
//! `notifybatch:<id>` is the [`Head`], which changes; `notifymessage:<id>` and `notifychunk:<id>/<n>` are written once and go when it ends.
//! Promises: a batch is stored entirely or not at all; a slice of it is in the hands of one worker, for as long as its lease lasts; nobody
//! counts what another one has taken over.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tonic::Code;

use super::super::documents::{self, Outcome, Read, TRIES, digest, outrun, written};
use super::super::refusal::{Refusal, Result};
use super::batch::{CHUNK, Counts, ERRORS_MAX, Head, Message, Problem, Recipient, Ways};
use super::queue::{self, Queue};
use super::v1::BatchState;
use crate::clock::Clock;
use crate::random;
use crate::store::{Batch, Durability, Expect, Key, Store};

/// How long a batch may stay open, and how long it can be asked for after its end.
const OPEN_LIFE: Duration = Duration::from_secs(90 * 24 * 3600);
const ENDED_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long an idempotency key is remembered.
const KEY_LIFE: Duration = Duration::from_secs(24 * 3600);

/// A part of a batch that is one worker's.
pub struct Slice {
    pub head: Head,
    pub message: Message,
    pub recipients: Vec<Recipient>,
    lease: String,
}

/// What an idempotency key stands for.
#[derive(Serialize, Deserialize)]
struct Known {
    batch: String,
    total: u32,
    /// Digest of what was asked.
    asked: String,
}

/// A key with which a sender may send again, and the digest of what was asked with it.
pub struct Again {
    pub key: String,
    pub asked: String,
}

/// Where batches are kept.
#[derive(Clone)]
pub struct Batches {
    store: Store,
    clock: Clock,
    queue: Queue,
}

/// The key of a head.
pub fn head_key(id: &str) -> Key {
    Key::new("notifybatch", id)
}

fn message_key(id: &str) -> Key {
    Key::new("notifymessage", id)
}

fn chunk_key(id: &str, chunk: usize) -> Key {
    Key::new("notifychunk", format_args!("{id}/{chunk}"))
}

fn again_key(key: &str) -> Key {
    Key::new("notifykey", digest(key))
}

// === impl Batches ===

impl Batches {
    pub fn new(store: Store, clock: Clock) -> Batches {
        Batches { queue: Queue::new(store.clone()), store, clock }
    }

    /// The batch that a key stands for, and how many it is for.
    pub async fn sent_before(&self, again: &Again) -> Result<Option<(String, u32)>> {
        let known: Option<Read<Known>> = documents::read(&self.store, &again_key(&again.key)).await?;
        match known.map(|known| known.value) {
            None => Ok(None),
            Some(known) if known.asked == again.asked => Ok(Some((known.batch, known.total))),
            Some(_) => {
                let what = "this key stands for another notification; choose another one";
                Err(Refusal::new(Code::FailedPrecondition, "IDEMPOTENCY_KEY_REUSED", what))
            }
        }
    }

    /// Stores a batch. Its id, and how many it is for; those of the first one that was sent with the same key.
    pub async fn open(
        &self,
        message: &Message,
        recipients: &[Recipient],
        life: Duration,
        ways: Ways,
        again: Option<Again>,
    ) -> Result<(String, u32)> {
        self.queue.check_room().await?;
        let now_ms = self.clock.now_ms();
        let id = random::id();
        let head = Head {
            id: id.clone(),
            state: BatchState::Open.into(),
            total: u32::try_from(recipients.len()).expect("recipients are counted before they are stored"),
            ways,
            delivered: 0,
            counts: Counts::default(),
            errors: Vec::new(),
            created_ms: now_ms,
            expires_ms: now_ms.saturating_add(u64::try_from(life.as_millis()).unwrap_or(u64::MAX)),
            ended_ms: 0,
            lease: None,
            worked_ms: 0,
        };
        let mut batch = Batch::new(Durability::Durable);
        if let Some(Again { key, asked }) = &again {
            let known = Known { batch: id.clone(), total: head.total, asked: asked.clone() };
            batch = batch.put(again_key(key), written(&known), Expect::Absent, Some(KEY_LIFE));
        }
        for (index, chunk) in recipients.chunks(CHUNK).enumerate() {
            batch = batch.put(chunk_key(&id, index), written(&chunk), Expect::Absent, Some(OPEN_LIFE));
        }
        let batch = batch
            .put(message_key(&id), written(message), Expect::Absent, Some(OPEN_LIFE))
            .put(head_key(&id), written(&head), Expect::Absent, Some(OPEN_LIFE))
            .append(queue::log(), id.clone(), queue::BOUNDS);
        match (documents::outcome(self.store.write(batch).await)?, again) {
            (Outcome::Done, _) => Ok((id, head.total)),
            (Outcome::Outrun(_), Some(again)) => self.sent_before(&again).await?.ok_or_else(|| outrun().into()),
            (Outcome::Outrun(_), None) => Err(outrun().into()),
        }
    }

    pub async fn get(&self, id: &str) -> Result<Head> {
        Ok(self.read(id).await?.value)
    }

    /// Stops a batch, if it is open.
    pub async fn cancel(&self, id: &str) -> Result<Head> {
        let cancel = |head: &mut Head, now_ms| match head.is_open() {
            // Whoever has a slice of it may still count what they did.
            true => {
                head.end(BatchState::Cancelled, now_ms);
                true
            }
            false => false,
        };
        self.change(id, cancel).await
    }

    /// Takes a slice of the open batch that has waited longest. None if nothing is to be done now.
    pub async fn take(&self) -> Result<Option<Slice>> {
        let now_ms = self.clock.now_ms();
        let mut heads: Vec<Read<Head>> = self.queue.open_now().await?.into_iter().filter(|head| head.value.is_free(now_ms)).collect();
        heads.sort_by_key(|head| head.value.worked_ms);
        for head in heads {
            if let Some(slice) = self.take_of(head, now_ms).await? {
                return Ok(Some(slice));
            }
        }
        Ok(None)
    }

    /// Gives a slice back, done: what became of its recipients.
    pub async fn done(&self, slice: &Slice, counts: Counts, problems: Vec<Problem>) -> Result<()> {
        let count = |head: &mut Head, now_ms| {
            if !head.is_of(&slice.lease) {
                return false;
            }
            head.lease = None;
            head.worked_ms = now_ms;
            head.count(u32::try_from(slice.recipients.len()).expect("a slice is small"), counts);
            head.errors.extend(problems.iter().cloned());
            head.errors.drain(..head.errors.len().saturating_sub(ERRORS_MAX));
            if head.is_open() && head.counts.all() >= head.total {
                head.end(BatchState::Done, now_ms);
            }
            true
        };
        self.change(&slice.head.id, count).await.map(drop)
    }

    /// Gives a slice back as it was taken, because it could not be done now.
    pub async fn give_back(&self, slice: &Slice) -> Result<()> {
        let free = |head: &mut Head, _| head.is_of(&slice.lease) && head.lease.take().is_some();
        self.change(&slice.head.id, free).await.map(drop)
    }

    async fn take_of(&self, head: Read<Head>, now_ms: u64) -> Result<Option<Slice>> {
        let (unchanged, mut head) = (head.unchanged(), head.value);
        let next = head.reached() as usize;
        let (chunk, first) = (next / CHUNK, next % CHUNK);
        let message: Option<Read<Message>> = documents::read(&self.store, &message_key(&head.id)).await?;
        let recipients: Option<Read<Vec<Recipient>>> = documents::read(&self.store, &chunk_key(&head.id, chunk)).await?;
        // Without them it has ended since the head was read.
        let (Some(message), Some(recipients)) = (message, recipients) else { return Ok(None) };
        let (message, recipients) = (message.value, recipients.value);
        let token = random::id();
        let lease_ms = u64::try_from(head.stage().lease().as_millis()).unwrap_or(u64::MAX);
        head.lease = Some((token.clone(), now_ms.saturating_add(lease_ms)));
        let batch = Batch::new(Durability::Flushed).put(head_key(&head.id), written(&head), unchanged, Some(OPEN_LIFE));
        match documents::outcome(self.store.write(batch).await)? {
            Outcome::Done => {
                let recipients = recipients.into_iter().skip(first).take(head.stage().slice()).collect();
                Ok(Some(Slice { head, message, recipients, lease: token }))
            }
            Outcome::Outrun(_) => Ok(None),
        }
    }

    async fn read(&self, id: &str) -> Result<Read<Head>> {
        let not_found = || Refusal::new(Code::NotFound, "BATCH_NOT_FOUND", "there is no such batch, or it ended more than a week ago");
        documents::read(&self.store, &head_key(id)).await?.ok_or_else(not_found)
    }

    /// Changes a head, if `change` says that it did; what it is then. With its end goes what only work needs.
    async fn change(&self, id: &str, change: impl Fn(&mut Head, u64) -> bool) -> Result<Head> {
        for _ in 0..TRIES {
            let read = self.read(id).await?;
            let (unchanged, mut head) = (read.unchanged(), read.value);
            if !change(&mut head, self.clock.now_ms()) {
                return Ok(head);
            }
            let life = if head.is_open() { OPEN_LIFE } else { ENDED_LIFE };
            let mut batch = Batch::new(Durability::Durable).put(head_key(id), written(&head), unchanged, Some(life));
            if !head.is_open() {
                batch = batch.delete(message_key(id), Expect::Anything);
                batch = head.chunks().fold(batch, |batch, chunk| batch.delete(chunk_key(id, chunk), Expect::Anything));
            }
            if let Outcome::Done = documents::outcome(self.store.write(batch).await)? {
                return Ok(head);
            }
        }
        Err(outrun().into())
    }
}
