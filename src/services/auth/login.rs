//! Proving who one is by name and password, and becoming somebody.
//!
//! Promises: whoever guesses learns nothing but that they were wrong, neither from the answer nor from how long it took; nothing is stored
//! and nothing is hashed for a request that is refused for its form or its frequency.

use super::accounts::{self, Accounts, User};
use super::families::{Families, Tokens};
use super::limits::{Limits, Peer};
use super::names::{Email, PASSWORD_BYTES_MAX, Username, check_password};
use super::refusal::{Refusal, Result};
use crate::services::documents::{self, Outcome, Read, TRIES, outrun, written};
use crate::services::hasher::{Hasher, Verdict};
use crate::store::{Batch, Durability, Store};

/// Where logins and accounts begin.
pub struct Entrance {
    pub store: Store,
    pub accounts: Accounts,
    pub families: Families,
    pub hasher: Hasher,
    pub limits: Limits,
}

/// What somebody says who wants to be somebody. It cannot be printed.
pub struct Application<'a> {
    pub username: &'a str,
    pub email: &'a str,
    pub password: String,
    pub roles: Vec<String>,
}

// === impl Entrance ===

impl Entrance {
    /// Begins a login of whoever knows the password.
    pub async fn login(&self, username: &str, password: String, peer: &Peer) -> Result<(Tokens, User)> {
        self.families.signing()?;
        // Nobody's password is so long.
        if password.len() > PASSWORD_BYTES_MAX {
            return Err(Refusal::InvalidCredentials);
        }
        let place = self.hasher.enter()?;
        self.limits.may_guess(peer).await?;
        let user = self.accounts.by_username(username).await?;
        let again = self.limits.guess(username, user.as_ref().map(|user| &user.value)).await?;
        let hash = user.as_ref().map(|user| user.value.password.clone());
        let verdict = place.verify(password, hash).await?;
        let (Some(user), Verdict::Right | Verdict::Outdated(_)) = (user, &verdict) else {
            self.limits.guessed_wrong(peer).await?;
            return Err(Refusal::InvalidCredentials);
        };
        if user.value.disabled {
            return Err(Refusal::AccountDisabled);
        }
        let renewed = if let Verdict::Outdated(hash) = verdict { Some(hash) } else { None };
        self.begin(user, renewed, again).await
    }

    /// Stores the login of a user as it was verified, and what was learnt by it. Whoever has another password by now was not.
    async fn begin(&self, mut user: Read<User>, renewed: Option<String>, again: bool) -> Result<(Tokens, User)> {
        let verified = user.value.password.clone();
        for _ in 0..TRIES {
            let begun = self.families.begin(&user.value)?;
            let unchanged = user.unchanged();
            let batch = begun.write(Batch::new(Durability::Durable));
            let batch = if again || renewed.is_some() {
                user.value.password = renewed.clone().unwrap_or(user.value.password);
                // The wrong guesses before this right one no longer count.
                user.value.attempts = user.value.attempts.wrapping_add(u32::from(again));
                batch.put(accounts::key(&user.value.id), written(&user.value), unchanged, None)
            } else {
                batch.check(accounts::key(&user.value.id), unchanged)
            };
            if let Outcome::Done = documents::outcome(self.store.write(batch).await)? {
                return Ok((begun.tokens, user.value));
            }
            user = self.accounts.by_id(&user.value.id).await?.ok_or(Refusal::InvalidCredentials)?;
            if user.value.password != verified && Some(&user.value.password) != renewed.as_ref() {
                return Err(Refusal::InvalidCredentials);
            }
            if user.value.disabled {
                return Err(Refusal::AccountDisabled);
            }
        }
        Err(outrun().into())
    }

    /// Makes an account, and begins a login.
    pub async fn register(&self, application: Application<'_>) -> Result<(Tokens, User)> {
        self.families.signing()?;
        let username = Username::parse(application.username)?;
        let email = Email::parse(application.email)?;
        check_password(&application.password, &[username.as_str(), email.as_str()], "password")?;
        let place = self.hasher.enter()?;
        self.accounts.check_free(&username, &email).await?;
        let hash = place.hash(application.password).await?;
        let user = self.accounts.draft(&username, &email, application.roles, hash);
        let begun = self.families.begin(&user)?;
        self.accounts.create(&user, &username, &email, begun.write(Batch::new(Durability::Durable))).await?;
        Ok((begun.tokens, user))
    }
}
