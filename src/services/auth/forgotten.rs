//! A new password for somebody who forgot theirs: a code by mail, `reset:<folded address>` in the store.
//!
//! Promises: who asks for a code is answered before anybody looks whether there is such an account, so neither the answer nor its time
//! tells; a code is good once, for 15 minutes and five tries; an address without an account has a code too, which nobody knows, so that
//! trying tells nothing either; a new password ends every login that began with the old one.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use tracing::{info, warn};

use super::accounts::{self, Accounts, User};
use super::families::Families;
use super::limits::{Limits, Peer};
use super::names::{Email, check_password};
use super::refusal::{Refusal, Result};
use super::settings::SettingsCell;
use crate::clock::Clock;
use crate::random;
use crate::services::documents::{self, Outcome, Read, TRIES, digest, outrun, written};
use crate::services::hasher::Hasher;
use crate::services::mail::Letter;
use crate::store::{Batch, Durability, Expect, Key, Store};

/// How long a code is good.
const CODE_TTL: Duration = Duration::from_secs(15 * 60);

/// How often one may try.
const TRIES_PER_CODE: u8 = 5;

/// Mails that may wait to be sent.
const QUEUE_MAX: usize = 256;

/// Mails on their way at once: a slow mail server holds up so many before it holds up the rest.
const SENDING_MAX: usize = 4;

/// Pauses before a mail is tried again.
const AGAIN: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(15)];

/// Where codes are asked for and shown.
pub struct Forgotten {
    parts: Parts,
    families: Families,
    hasher: Hasher,
    limits: Limits,
    queue: mpsc::Sender<Email>,
    /// Ends with this.
    _sender: AbortOnDropHandle<()>,
}

/// What sending needs as well.
#[derive(Clone)]
struct Parts {
    store: Store,
    clock: Clock,
    accounts: Accounts,
    settings: SettingsCell,
    outbox: PathBuf,
}

/// A code that was sent.
#[derive(Serialize, Deserialize)]
struct Reset {
    /// Whose; nobody's where there is no account with this address.
    user: Option<String>,
    /// Digest of the code.
    code: String,
    left: u8,
    ends_ms: u64,
}

/// What somebody shows to set a new password.
pub struct Confirmation {
    pub email: String,
    pub code: String,
    pub new_password: String,
}

fn key(email: &Email) -> Key {
    Key::new("reset", email.folded())
}

// === impl Forgotten ===

impl Forgotten {
    /// `outbox`: the folder for mail in development. Mail is sent on `runtime`.
    pub fn new(
        (store, clock): (Store, Clock),
        accounts: Accounts,
        (families, hasher, limits): (Families, Hasher, Limits),
        (settings, outbox): (SettingsCell, PathBuf),
        runtime: &Handle,
    ) -> Forgotten {
        let parts = Parts { store, clock, accounts, settings, outbox };
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        let sender = AbortOnDropHandle::new(runtime.spawn(send_all(parts.clone(), waiting)));
        Forgotten { parts, families, hasher, limits, queue, _sender: sender }
    }

    /// Has a code sent, if there is such an account.
    pub async fn request(&self, email: &str, peer: &Peer) -> Result<()> {
        if self.parts.settings.load().mail.is_none() {
            return Err(Refusal::MailNotConfigured);
        }
        let email = Email::parse(email)?;
        self.limits.mail(&email, peer).await?;
        self.queue.try_send(email).map_err(|_| Refusal::Overloaded)
    }

    /// Sets a new password for whoever shows the code.
    pub async fn confirm(&self, confirmation: &Confirmation, peer: &Peer) -> Result<()> {
        let email = Email::parse(&confirmation.email)?;
        check_password(&confirmation.new_password, &[email.as_str()], "new_password")?;
        self.limits.may_guess(peer).await?;
        let mut hash = None;
        for _ in 0..TRIES {
            match self.try_code(&email, confirmation, &mut hash).await {
                Ok(Outcome::Outrun(_)) => {}
                Ok(Outcome::Done) => return Ok(()),
                Err(Refusal::InvalidCode) => {
                    self.limits.guessed_wrong(peer).await?;
                    return Err(Refusal::InvalidCode);
                }
                Err(refusal) => return Err(refusal),
            }
        }
        Err(outrun().into())
    }

    /// One try, with the documents as they are now. `hash`: the new password's, once it was worth making.
    async fn try_code(&self, email: &Email, shown: &Confirmation, hash: &mut Option<String>) -> Result<Outcome> {
        let reset = self.read(email).await?.ok_or(Refusal::InvalidCode)?;
        let user = reset.value.user.as_ref().filter(|_| reset.value.code == digest(&plain(&shown.code)));
        let Some(user) = user else {
            return match self.count_down(email, reset).await? {
                Outcome::Done => Err(Refusal::InvalidCode),
                outrun => Ok(outrun),
            };
        };
        let user = self.parts.accounts.by_id(user).await?.ok_or(Refusal::InvalidCode)?;
        if user.value.disabled {
            return Err(Refusal::AccountDisabled);
        }
        check_password(&shown.new_password, &[&user.value.username], "new_password")?;
        let hash = match hash {
            Some(hash) => hash,
            None => hash.insert(self.hasher.enter()?.hash(shown.new_password.clone()).await?),
        };
        self.set(email, &reset, user, hash.clone()).await
    }

    async fn read(&self, email: &Email) -> Result<Option<Read<Reset>>> {
        let reset: Option<Read<Reset>> = documents::read(&self.parts.store, &key(email)).await?;
        let now_ms = self.parts.clock.now_ms();
        Ok(reset.filter(|reset| reset.value.ends_ms > now_ms))
    }

    /// A wrong try.
    async fn count_down(&self, email: &Email, mut reset: Read<Reset>) -> Result<Outcome> {
        let unchanged = reset.unchanged();
        reset.value.left = reset.value.left.saturating_sub(1);
        let left = Duration::from_millis(reset.value.ends_ms.saturating_sub(self.parts.clock.now_ms()).max(1));
        let batch = Batch::new(Durability::Durable);
        let batch = match reset.value.left {
            0 => batch.delete(key(email), unchanged),
            _ => batch.put(key(email), written(&reset.value), unchanged, Some(left)),
        };
        Ok(documents::outcome(self.parts.store.write(batch).await)?)
    }

    /// The code is spent, the password is set and every login ends, or none of it.
    async fn set(&self, email: &Email, reset: &Read<Reset>, mut user: Read<User>, hash: String) -> Result<Outcome> {
        let unchanged = user.unchanged();
        user.value.password = hash;
        user.value.attempts = user.value.attempts.wrapping_add(1);
        user.value.end_logins(self.parts.clock.now_ms());
        let batch = Batch::new(Durability::Durable).delete(key(email), reset.unchanged()).put(
            accounts::key(&user.value.id),
            written(&user.value),
            unchanged,
            None,
        );
        let batch = self.families.revoke_all(&user.value.id, user.value.tokens_since_ms, batch);
        self.families.write_and_tell(batch).await
    }
}

// === impl Parts ===

impl Parts {
    /// Makes a code for this address, and sends it where there is an account.
    async fn send(&self, email: Email) {
        let sent = match self.make(&email).await {
            Ok(Some((user, code))) => self.mail(&user, &code).await,
            Ok(None) => return,
            Err(refusal) => Err(match refusal {
                Refusal::Unavailable(cause) | Refusal::Internal(cause) => cause,
                other => other.reason().to_owned(),
            }),
        };
        match sent {
            Ok(()) => info!("a code to set a new password was sent"),
            Err(cause) => warn!(cause, "a code to set a new password could not be sent"),
        }
    }

    /// Stores a code; for whom, if there is anybody. The one before it is no longer good.
    async fn make(&self, email: &Email) -> Result<Option<(User, String)>> {
        let user = self.accounts.by_email(email).await?.map(|user| user.value).filter(|user| !user.disabled);
        let code = random::code();
        let reset = Reset {
            user: user.as_ref().map(|user| user.id.clone()),
            code: digest(&plain(&code)),
            left: TRIES_PER_CODE,
            ends_ms: self.clock.now_ms().saturating_add(CODE_TTL.as_secs() * 1000),
        };
        self.store.write(Batch::new(Durability::Durable).put(key(email), written(&reset), Expect::Anything, Some(CODE_TTL))).await?;
        Ok(user.map(|user| (user, code)))
    }

    async fn mail(&self, user: &User, code: &str) -> std::result::Result<(), String> {
        let to = Email::parse(&user.email).map_err(|_| "an account has an address that mail cannot have".to_owned())?;
        let minutes = CODE_TTL.as_secs() / 60;
        let name = &user.username;
        let text = format!(
            "Hello {name},\n\nsomebody, probably you, asked for a new password for your account. Your code is\n\n    {code}\n\n\
             It is good for {minutes} minutes. If it was not you, there is nothing to do: without the code nothing changes.\n"
        );
        let letter = Letter { to: to.address(), subject: "Your code for a new password", text: &text, html: None, id: None };
        let mut pauses = AGAIN.into_iter();
        loop {
            let settings = self.settings.load();
            let mail = settings.mail.as_ref().ok_or("mail is no longer configured")?;
            match (mail.send(&self.outbox, letter).await, pauses.next()) {
                (Err(_), Some(pause)) => tokio::time::sleep(pause).await,
                (sent, _) => return sent,
            }
        }
    }
}

async fn send_all(parts: Parts, waiting: mpsc::Receiver<Email>) {
    let waiting = stream::unfold(waiting, async |mut waiting| waiting.recv().await.map(|email| (email, waiting)));
    waiting.for_each_concurrent(SENDING_MAX, |email| parts.send(email)).await;
}

/// A code as it was made, however it was typed.
fn plain(code: &str) -> String {
    code.chars().filter(|letter| !matches!(letter, '-' | ' ')).map(|letter| letter.to_ascii_uppercase()).collect()
}
