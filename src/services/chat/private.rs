//! What two users say to one another: `chatpair:<digest of both>`, and `chatpartners:<user>`, with whom a user has talked.
//!
//! Who can be written to is who is known: who has an account in this store, who is in a session now, or who has used this chat before.
//! Of users whose tokens another issuer made, nobody here knows more than that.
//!
//! Promises: a message is stored before its sender is answered; what a user has not read is counted exactly, for writing is reading too;
//! of conversations a user has [`PARTNERS_MAX`] listed, those of late, and what falls off the list is still found by naming the other.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::lanes::{Lanes, Letter, TRIES};
use super::names::{self, ClientKey, Text};
use super::rooms::{mine_key, one, or_new};
use super::sent::{Memory, Sent};
use super::transcript::{Ask, Log, Page, Transcript};
use super::v1::{Conversation, PrivateMessage};
use super::{flood, refusals, shown_ms};
use crate::clock::Clock;
use crate::services::auth;
use crate::services::documents::{self, Outcome, Read, digest, outrun, written};
use crate::services::pusher::Pusher;
use crate::services::refusal::Result;
use crate::store::{Batch, Durability, Key, Store};

/// Conversations that are listed.
pub const PARTNERS_MAX: usize = 200;

/// How long two who say nothing are remembered: long after their last message is gone. Then numbers begin again.
const REMEMBERED: Duration = Duration::from_secs(365 * 24 * 3600);

/// Where users talk in private.
pub struct Private {
    pub store: Store,
    pub clock: Clock,
    pub lanes: Arc<Lanes>,
    pub pusher: Pusher,
}

/// Two users, from the side of one of them.
struct Pair<'a> {
    me: &'a str,
    other: &'a str,
    /// The same from both sides.
    id: String,
}

/// What there is between two users. Of two, the first is whose id is less.
#[derive(Default, Serialize, Deserialize)]
struct Between {
    transcript: Transcript,
    /// The number up to which each has read.
    seen: [u64; 2],
}

fn partners_key(user: &str) -> Key {
    Key::new("chatpartners", user)
}

// === impl Private ===

impl Private {
    pub async fn send(&self, me: &str, other: &str, text: &Text, client_key: &ClientKey) -> Result<Sent> {
        let pair = Pair::of(me, other, "receiver")?;
        flood::count(&self.store, me).await?;
        self.check_known(&pair).await?;
        let memory = Memory::of(&pair.id, me, client_key);
        let turn = self.lanes.enter(&pair.id).await?;
        for _ in 0..TRIES {
            if let Some(sent) = memory.find(&self.store).await? {
                return Ok(sent);
            }
            let keys = [pair.key(), partners_key(me), partners_key(other)];
            let found = self.store.get_all(&keys).await?;
            let (mut between, unchanged) = or_new::<Between>(one(&keys, &found, 0)?);
            between.transcript.advance(self.clock.now_ms());
            let sent = Sent { number: between.transcript.last, sent_ms: between.transcript.last_ms };
            between.seen[pair.side()] = sent.number;
            let message = PrivateMessage {
                number: sent.number,
                sender: me.to_owned(),
                receiver: other.to_owned(),
                text: text.as_str().to_owned(),
                sent_ms: shown_ms(sent.sent_ms),
                client_key: client_key.as_str().to_owned(),
            };
            let batch = Batch::new(Durability::Durable).put(pair.key(), written(&between), unchanged, Some(REMEMBERED));
            let batch = between.transcript.append(Log::of_pair(&pair.id), &message, memory.keep(sent, batch));
            let batch = listed(&keys[1], one(&keys, &found, 1)?, other, batch);
            let batch = listed(&keys[2], one(&keys, &found, 2)?, me, batch);
            if let Outcome::Done = documents::outcome(self.store.write(batch).await)? {
                turn.tell(Letter::Private(message));
                return Ok(sent);
            }
        }
        Err(outrun().into())
    }

    /// A page of what was said, which counts as read from now on.
    pub async fn history(&self, me: &str, other: &str, ask: &Ask) -> Result<Page<PrivateMessage>> {
        let pair = Pair::of(me, other, "with")?;
        let between = self.check_known(&pair).await?;
        let page: Page<PrivateMessage> = between.transcript.page(&self.store, Log::of_pair(&pair.id), ask).await?;
        if let Some(newest) = page.messages.last() {
            self.mark_seen(&pair, newest.number).await?;
        }
        Ok(page)
    }

    /// With whom somebody has talked, those of late first.
    pub async fn conversations(&self, me: &str) -> Result<Vec<Conversation>> {
        let (partners, _) = or_new::<Vec<String>>(documents::read(&self.store, &partners_key(me)).await?);
        let pairs: Vec<Pair<'_>> = partners.iter().map(|other| Pair::new(me, other)).collect();
        let keys: Vec<Key> = pairs.iter().map(Pair::key).collect();
        let found = self.store.get_all(&keys).await?;
        let mut conversations = Vec::with_capacity(pairs.len());
        for (which, pair) in pairs.iter().enumerate() {
            let Some(Read { value: between, .. }) = one::<Between>(&keys, &found, which)? else { continue };
            conversations.push(Conversation {
                with: pair.other.to_owned(),
                last: between.transcript.last,
                last_ms: shown_ms(between.transcript.last_ms),
                unread: between.transcript.last.saturating_sub(between.seen[pair.side()]),
            });
        }
        conversations.sort_by_key(|conversation| std::cmp::Reverse(conversation.last_ms));
        Ok(conversations)
    }

    async fn mark_seen(&self, pair: &Pair<'_>, number: u64) -> Result<()> {
        for _ in 0..TRIES {
            let Some(mut between) = documents::read::<Between>(&self.store, &pair.key()).await? else { return Ok(()) };
            let seen = &mut between.value.seen[pair.side()];
            if *seen >= number {
                return Ok(());
            }
            *seen = number;
            let batch = Batch::new(Durability::Flushed);
            let batch = batch.put(pair.key(), written(&between.value), between.unchanged(), Some(REMEMBERED));
            if let Outcome::Done = documents::outcome(self.store.write(batch).await)? {
                return Ok(());
            }
        }
        // Others are writing all the while: the next page will count.
        Ok(())
    }

    /// What there is with somebody; refuses those of whom nothing is known.
    async fn check_known(&self, pair: &Pair<'_>) -> Result<Between> {
        let keys = [pair.key(), auth::account_key(pair.other), mine_key(pair.other), partners_key(pair.other)];
        let found = self.store.get_all(&keys).await?;
        if found.iter().all(Option::is_none) {
            let whereabouts = self.pusher.whereabouts(vec![pair.other.to_owned()]).await?;
            if whereabouts.iter().all(|user| user.sessions.is_empty()) {
                return Err(refusals::user_not_found());
            }
        }
        Ok(or_new(one(&keys, &found, 0)?).0)
    }
}

/// Has a user in somebody's list, which is written only if it is not near its beginning already.
fn listed(key: &Key, partners: Option<Read<Vec<String>>>, user: &str, batch: Batch) -> Batch {
    let (mut partners, unchanged) = or_new(partners);
    let place = partners.iter().position(|partner| partner == user);
    if place.is_some_and(|place| place < PARTNERS_MAX / 2) {
        return batch;
    }
    if let Some(place) = place {
        partners.remove(place);
    }
    partners.insert(0, user.to_owned());
    partners.truncate(PARTNERS_MAX);
    batch.put(key.clone(), written(&partners), unchanged, Some(REMEMBERED))
}

// === impl Pair ===

impl<'a> Pair<'a> {
    /// `field`: where the request has the other.
    fn of(me: &'a str, other: &'a str, field: &'static str) -> Result<Pair<'a>> {
        if names::is_user(other) && me != other { Ok(Pair::new(me, other)) } else { Err(refusals::invalid_user(field)) }
    }

    fn new(me: &'a str, other: &'a str) -> Pair<'a> {
        let (less, more) = if me < other { (me, other) } else { (other, me) };
        Pair { me, other, id: digest(&format!("{} {less}{more}", less.len())) }
    }

    fn key(&self) -> Key {
        Key::new("chatpair", &self.id)
    }

    /// Which of two I am.
    fn side(&self) -> usize {
        usize::from(self.me > self.other)
    }
}
