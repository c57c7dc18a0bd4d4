//! Accounts in the store: `user:<id>`, and `username:<folded>` and `email:<folded>`, which say whose they are.
//!
//! Promises: no two accounts have one username or one address, whoever registers at the same moment; finding nobody takes as many
//! questions to the store as finding somebody.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::names::{Email, Username};
use super::refusal::{Refusal, Result};
use super::v1;
use crate::clock::Clock;
use crate::random;
use crate::services::documents::{self, Outcome, Read, written};
use crate::store::{Batch, Document, Expect, Key, Store, StoreError};

/// An account. Not to be printed: it holds a password's hash.
#[derive(Clone, Serialize, Deserialize)]
pub struct User {
    pub id: String,
    pub username: String,
    pub email: String,
    pub roles: Vec<String>,
    /// Argon2id, as a PHC string.
    pub password: String,
    pub created_ms: u64,
    /// Logins that began before this moment are over.
    #[serde(default)]
    pub tokens_since_ms: u64,
    #[serde(default)]
    pub disabled: bool,
    /// Which count of wrong passwords is the current one; the next after somebody got it right.
    #[serde(default)]
    pub attempts: u32,
}

/// Where accounts are found and made.
#[derive(Clone)]
pub struct Accounts {
    store: Store,
    clock: Clock,
}

/// The key of an account.
pub fn key(id: &str) -> Key {
    Key::new("user", id)
}

/// Where mail to these users goes, in their order; nowhere where one has no account, or a disabled one.
pub async fn addresses(store: &Store, users: &[&str]) -> std::result::Result<Vec<Option<Email>>, StoreError> {
    let keys: Vec<Key> = users.iter().map(|user| key(user)).collect();
    let address = |document: Option<Document>| {
        let user: User = serde_json::from_slice(&document?.value).ok()?;
        if user.disabled { None } else { Email::parse(&user.email).ok() }
    };
    Ok(store.get_all(&keys).await?.into_iter().map(address).collect())
}

fn username_key(username: &Username) -> Key {
    Key::new("username", username.folded())
}

fn email_key(email: &Email) -> Key {
    Key::new("email", email.folded())
}

// === impl User ===

impl User {
    /// As its owner may see it.
    pub fn shown(&self) -> v1::User {
        v1::User {
            user_id: self.id.clone(),
            username: self.username.clone(),
            email: self.email.clone(),
            roles: self.roles.clone(),
            created_ms: i64::try_from(self.created_ms).unwrap_or(i64::MAX),
        }
    }

    /// Ends every login that began before now.
    pub fn end_logins(&mut self, now_ms: u64) {
        // What began in this very millisecond is over too.
        self.tokens_since_ms = now_ms + 1;
    }
}

// === impl Accounts ===

impl Accounts {
    pub fn new(store: Store, clock: Clock) -> Accounts {
        Accounts { store, clock }
    }

    pub async fn by_id(&self, id: &str) -> Result<Option<Read<User>>> {
        Ok(documents::read(&self.store, &key(id)).await?)
    }

    /// By username; what cannot be one is nobody's.
    pub async fn by_username(&self, username: &str) -> Result<Option<Read<User>>> {
        let named = Username::parse(username).ok().map(|username| username_key(&username));
        self.by_index(named.unwrap_or_else(|| Key::new("username", ""))).await
    }

    pub async fn by_email(&self, email: &Email) -> Result<Option<Read<User>>> {
        self.by_index(email_key(email)).await
    }

    async fn by_index(&self, index: Key) -> Result<Option<Read<User>>> {
        let id = self.store.get(&index).await?.map(|document| document.value).unwrap_or_default();
        // Asked for also when there is none, so that the time does not tell.
        self.by_id(str::from_utf8(&id).map_err(|_| Refusal::broken(index.as_str()))?).await
    }

    /// Refuses names that somebody has. Whether nobody takes them before [`Accounts::create`], that says.
    pub async fn check_free(&self, username: &Username, email: &Email) -> Result<()> {
        let taken = self.store.get_all(&[username_key(username), email_key(email)]).await?;
        match taken.as_slice() {
            [Some(_), _] => Err(Refusal::UsernameTaken),
            [None, Some(_)] => Err(Refusal::EmailTaken),
            _ => Ok(()),
        }
    }

    /// An account that is not stored yet.
    pub fn draft(&self, username: &Username, email: &Email, roles: Vec<String>, password: String) -> User {
        User {
            id: random::id(),
            username: username.as_str().to_owned(),
            email: email.as_str().to_owned(),
            roles,
            password,
            created_ms: self.clock.now_ms(),
            tokens_since_ms: 0,
            disabled: false,
            attempts: 0,
        }
    }

    /// Stores a new account together with what `batch` holds.
    pub async fn create(&self, user: &User, username: &Username, email: &Email, batch: Batch) -> Result<()> {
        let first = batch.changes.len();
        let id = Bytes::copy_from_slice(user.id.as_bytes());
        let batch = batch
            .put(username_key(username), id.clone(), Expect::Absent, None)
            .put(email_key(email), id, Expect::Absent, None)
            .put(key(&user.id), written(user), Expect::Absent, None);
        match documents::outcome(self.store.write(batch).await)? {
            Outcome::Done => Ok(()),
            Outcome::Outrun(change) if change == first => Err(Refusal::UsernameTaken),
            Outcome::Outrun(change) if change == first + 1 => Err(Refusal::EmailTaken),
            Outcome::Outrun(_) => Err(Refusal::Internal("a random id was not the only one".to_owned())),
        }
    }
}
