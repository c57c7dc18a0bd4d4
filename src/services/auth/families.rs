//! Logins, each a family of refresh tokens of which one is good: `family:<id>` in the store.
//!
//! A refresh token is `<family>.<holder>.<secret>`. The holder's part is the same in all tokens of a family and the secret is another in
//! each, and the store has a digest of both. So whoever shows the right holder's part with another secret than the current one shows a
//! token that was spent, however long ago, and needs no list of them; and who shows neither has made it up.
//!
//! Promises: of two that show one token at the same moment one gets the next; a token that is shown twice ends the family, and every access
//! token of it is revoked before anybody is answered; nothing of a family outlives the password with which it began.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::accounts::{self, Accounts, User};
use super::refusal::{Refusal, Result};
use crate::clock::{Clock, from_millis, to_millis};
use crate::pipeline::api_key;
use crate::pipeline::issuer::LEEWAY_MAX;
use crate::pipeline::signer::NewToken;
use crate::pipeline::signing::{Signing, SigningCell};
use crate::random;
use crate::services::documents::{self, Outcome, Read, TRIES, digest, outrun, written};
use crate::session::revocation::{self, Notice, Revocation, user_key};
use crate::store::{Batch, Durability, Expect, Key, Store};

/// Access tokens of one family that may be good at once. One more and the oldest is revoked, so that ending a family is bounded work.
const LIVING_MAX: usize = 32;

/// How long a revocation is kept where nobody knows how long what it revokes would be good: the longest that `check` lets pass unremarked.
const UNKNOWN_KEEP: Duration = Duration::from_secs(30 * 24 * 3600);

/// A refresh token has 26 + 1 + 22 + 1 + 43 characters.
const REFRESH_TOKEN_BYTES: usize = 93;

/// Where logins begin, go on, and end.
#[derive(Clone)]
pub struct Families {
    store: Store,
    clock: Clock,
    accounts: Accounts,
    signing: SigningCell,
}

/// What whoever logged in is given. It cannot be printed.
pub struct Tokens {
    pub access: String,
    pub refresh: String,
    pub expires_in: Duration,
}

/// A login that has not been stored.
pub struct Begun {
    key: Key,
    value: Bytes,
    ttl: Duration,
    pub tokens: Tokens,
}

#[derive(Serialize, Deserialize)]
struct Family {
    id: String,
    user: String,
    /// Digests of the two secret parts of the token that is good.
    holder: String,
    current: String,
    /// How many access tokens there were; their ids are `<family>.<number>`.
    count: u64,
    /// Those that have not expired.
    living: Vec<Living>,
    created_ms: u64,
    ends_ms: u64,
}

/// An access token that could still be good.
#[derive(Serialize, Deserialize)]
struct Living {
    number: u64,
    ends_ms: u64,
}

/// A refresh token that somebody showed.
struct Shown<'a> {
    family: &'a str,
    holder: &'a str,
    secret: &'a str,
}

fn key(family: &str) -> Key {
    Key::new("family", family)
}

// === impl Families ===

impl Families {
    pub fn new(store: Store, clock: Clock, accounts: Accounts, signing: SigningCell) -> Families {
        Families { store, clock, accounts, signing }
    }

    /// What signs tokens now.
    pub fn signing(&self) -> Result<std::sync::Arc<Signing>> {
        self.signing.load().ok_or(Refusal::NoSigningKey)
    }

    /// A new login of somebody who has proved who they are.
    pub fn begin(&self, user: &User) -> Result<Begun> {
        let signing = self.signing()?;
        let now = self.moment(user);
        let holder = random::name();
        let mut family = Family {
            id: random::id(),
            user: user.id.clone(),
            holder: digest(&holder),
            current: String::new(),
            count: 0,
            living: Vec::new(),
            created_ms: to_millis(now),
            ends_ms: to_millis(now).saturating_add(millis(signing.refresh_ttl)),
        };
        let tokens = family.next(&holder, user, &signing, now);
        Ok(Begun { key: key(&family.id), value: written(&family), ttl: signing.refresh_ttl, tokens })
    }

    /// The next tokens of the login that a refresh token belongs to.
    pub async fn rotate(&self, token: &str) -> Result<(Tokens, User)> {
        let signing = self.signing()?;
        let shown = Shown::read(token).ok_or(Refusal::InvalidRefreshToken)?;
        for _ in 0..TRIES {
            let family = self.read(shown.family).await?.filter(|family| family.value.was_given(&shown));
            let mut family = family.ok_or(Refusal::InvalidRefreshToken)?;
            if !family.value.is_current(&shown) {
                match self.end(&family).await? {
                    Outcome::Outrun(_) => continue,
                    Outcome::Done => {
                        self.tell().await;
                        warn!(user = family.value.user, "a spent refresh token was shown again, and its login was ended");
                        return Err(Refusal::InvalidRefreshToken);
                    }
                }
            }
            let user = self.accounts.by_id(&family.value.user).await?.ok_or(Refusal::InvalidRefreshToken)?;
            if user.value.disabled {
                return Err(Refusal::AccountDisabled);
            }
            if family.value.created_ms < user.value.tokens_since_ms {
                return Err(Refusal::InvalidRefreshToken);
            }
            // What an operator revokes of a user is every token, also this kind.
            let revoked_key = user_key(&user.value.id);
            let revoked = self.store.get(&revoked_key).await?;
            if revoked.as_ref().is_some_and(|moment| family.value.created_ms < revocation::moment(moment)) {
                return Err(Refusal::InvalidRefreshToken);
            }
            let now = self.moment(&user.value);
            let unchanged = family.unchanged();
            let tokens = family.value.next(shown.holder, &user.value, &signing, now);
            let now_ms = to_millis(now);
            let ttl = Duration::from_millis(family.value.ends_ms.saturating_sub(now_ms).max(1));
            let surplus = family.value.living.len().saturating_sub(LIVING_MAX);
            let surplus: Vec<Living> = family.value.living.drain(..surplus).collect();
            // The account is checked too: a password that is changed at this moment ends this login.
            let batch = Batch::new(Durability::Durable)
                .put(key(shown.family), written(&family.value), unchanged, Some(ttl))
                .check(accounts::key(&user.value.id), user.unchanged())
                .check(revoked_key, Expect::unchanged(revoked.as_ref()));
            let batch = surplus.iter().fold(batch, |batch, living| living.revoke(shown.family, batch, now_ms));
            match documents::outcome(self.store.write(batch).await)? {
                Outcome::Outrun(_) => {}
                Outcome::Done => {
                    if !surplus.is_empty() {
                        self.tell().await;
                    }
                    return Ok((tokens, user.value));
                }
            }
        }
        Err(outrun().into())
    }

    /// Ends the login that a user's access token belongs to. A token of somebody else's making is revoked by itself. An API key is no login,
    /// and others may have come by it too: whoever logs out does not end it.
    ///
    /// Here and in the next two nobody is woken: nodes look by themselves within a second, and whoever logs out shall hear the answer before
    /// their connection ends.
    pub async fn end_of_access(&self, user: &str, token_id: &str) -> Result<()> {
        if token_id.starts_with(api_key::TOKEN_ID_PREFIX) {
            return Ok(());
        }
        for _ in 0..TRIES {
            let of_family = match token_id.split_once('.') {
                Some((family, _)) => self.read(family).await?.filter(|family| family.value.user == user),
                None => None,
            };
            let ended = match of_family {
                Some(family) => self.end(&family).await?,
                None => {
                    let revoked = Revocation::Token(token_id.to_owned());
                    let batch = revoked.write(Batch::new(Durability::Durable), self.keep());
                    documents::outcome(self.store.write(batch).await)?
                }
            };
            if matches!(ended, Outcome::Done) {
                return Ok(());
            }
        }
        Err(outrun().into())
    }

    /// Ends the login that a refresh token belongs to, be it good or spent. One that was made up ends nothing.
    pub async fn end_of_refresh(&self, token: &str) -> Result<()> {
        let Some(shown) = Shown::read(token) else { return Ok(()) };
        for _ in 0..TRIES {
            let family = self.read(shown.family).await?.filter(|family| family.value.was_given(&shown));
            let Some(family) = family else { return Ok(()) };
            if matches!(self.end(&family).await?, Outcome::Done) {
                return Ok(());
            }
        }
        Err(outrun().into())
    }

    /// Ends every login of a user.
    pub async fn end_all(&self, user: &str) -> Result<()> {
        for _ in 0..TRIES {
            let now_ms = self.clock.now_ms();
            let batch = Batch::new(Durability::Durable);
            let batch = match self.accounts.by_id(user).await? {
                Some(mut account) => {
                    account.value.end_logins(now_ms);
                    let batch = batch.put(accounts::key(user), written(&account.value), account.unchanged(), None);
                    self.revoke_all(user, account.value.tokens_since_ms, batch)
                }
                None => self.revoke_all(user, now_ms + 1, batch),
            };
            if matches!(documents::outcome(self.store.write(batch).await)?, Outcome::Done) {
                return Ok(());
            }
        }
        Err(outrun().into())
    }

    /// Adds to a batch that every access token of a user from before this moment is revoked.
    pub fn revoke_all(&self, user: &str, issued_before_ms: u64, batch: Batch) -> Batch {
        Revocation::User { user: user.to_owned(), issued_before_ms }.write(batch, self.keep())
    }

    /// Writes a batch with revocations, and wakes whoever follows them.
    pub async fn write_and_tell(&self, batch: Batch) -> Result<Outcome> {
        let outcome = documents::outcome(self.store.write(batch).await)?;
        if matches!(outcome, Outcome::Done) {
            self.tell().await;
        }
        Ok(outcome)
    }

    /// Nodes look into the log by themselves, now or a little later; so it does not matter if this is not heard.
    async fn tell(&self) {
        let _ = self.store.publish(Notice::CHANNEL, Bytes::new()).await;
    }

    async fn read(&self, id: &str) -> Result<Option<Read<Family>>> {
        let family: Option<Read<Family>> = documents::read(&self.store, &key(id)).await?;
        let now_ms = self.clock.now_ms();
        Ok(family.filter(|family| family.value.ends_ms > now_ms))
    }

    /// Deletes a family and revokes what is good of it.
    async fn end(&self, family: &Read<Family>) -> Result<Outcome> {
        let now_ms = self.clock.now_ms();
        let batch = Batch::new(Durability::Durable).delete(key(&family.value.id), family.unchanged());
        let living = family.value.living.iter().filter(|living| living.ends_ms > now_ms);
        let batch = living.fold(batch, |batch, living| living.revoke(&family.value.id, batch, now_ms));
        Ok(documents::outcome(self.store.write(batch).await)?)
    }

    /// When a token of this user says that it was issued: now, and never before the moment at which every login was ended.
    fn moment(&self, user: &User) -> SystemTime {
        from_millis(self.clock.now_ms().max(user.tokens_since_ms))
    }

    /// How long a revocation is kept of what may have been issued just now.
    fn keep(&self) -> Duration {
        self.signing.load().map_or(Duration::ZERO, |signing| signing.refresh_ttl).max(UNKNOWN_KEEP)
    }
}

// === impl Begun ===

impl Begun {
    /// Adds the login to a batch.
    pub fn write(&self, batch: Batch) -> Batch {
        batch.put(self.key.clone(), self.value.clone(), Expect::Absent, Some(self.ttl))
    }
}

// === impl Family ===

impl Family {
    /// Makes the next tokens; the refresh token before them is spent.
    fn next(&mut self, holder: &str, user: &User, signing: &Signing, now: SystemTime) -> Tokens {
        let now_ms = to_millis(now);
        let left = Duration::from_millis(self.ends_ms.saturating_sub(now_ms));
        let ttl = Duration::from_secs(signing.access_ttl.min(left).as_secs());
        let secret = random::secret::<32>();
        self.current = digest(&secret);
        self.count += 1;
        self.living.retain(|living| living.ends_ms > now_ms);
        self.living.push(Living { number: self.count, ends_ms: now_ms.saturating_add(millis(ttl)) });
        let token_id = token_id(&self.id, self.count);
        let token = NewToken {
            issuer: &signing.issuer,
            audience: &signing.audience,
            user: &user.id,
            roles: &user.roles,
            ttl,
            token_id: Some(&token_id),
        };
        let access = signing.signer.issue(&token, now);
        Tokens { access, refresh: format!("{}.{holder}.{secret}", self.id), expires_in: ttl }
    }

    /// Whether the token is one of this family's, good or spent.
    fn was_given(&self, shown: &Shown<'_>) -> bool {
        same(&self.holder, &digest(shown.holder))
    }

    fn is_current(&self, shown: &Shown<'_>) -> bool {
        same(&self.current, &digest(shown.secret))
    }
}

// === impl Living ===

impl Living {
    fn revoke(&self, family: &str, batch: Batch, now_ms: u64) -> Batch {
        let left = Duration::from_millis(self.ends_ms.saturating_sub(now_ms));
        Revocation::Token(token_id(family, self.number)).write(batch, left + LEEWAY_MAX)
    }
}

// === impl Shown ===

impl Shown<'_> {
    fn read(token: &str) -> Option<Shown<'_>> {
        if token.len() != REFRESH_TOKEN_BYTES {
            return None;
        }
        let mut parts = token.split('.');
        let shown = Shown { family: parts.next()?, holder: parts.next()?, secret: parts.next()? };
        parts.next().is_none().then_some(shown)
    }
}

fn token_id(family: &str, number: u64) -> String {
    format!("{family}.{number}")
}

/// In a time that does not depend on where they differ.
fn same(a: &str, b: &str) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a.as_bytes(), b.as_bytes()).is_ok()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
