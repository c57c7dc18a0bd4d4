//! Conversations with the auth service, over a store in memory and a clock that is moved by hand.

mod chains;
mod codes;
mod guesses;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use argon2::Params;
use futures_util::future::join_all;
use tonic_types::StatusExt as _;

use super::*;
use crate::pipeline::Verifier;
use crate::pipeline::identity::Identity;
use crate::pipeline::signer::Signer;
use crate::pipeline::signing::{Signing, SigningCell};
use crate::session::revocation::{Notice, Revocation, token_key, user_key};
use crate::store::memory::Memory;
use crate::store::shared::Shared;
use crate::store::{Batch, Key, Store};

const ACCESS_TTL: Duration = Duration::from_secs(15 * 60);
const REFRESH_TTL: Duration = Duration::from_secs(30 * 24 * 3600);
const PASSWORD: &str = "correct horse";

/// A service, and all it stands on.
struct World {
    auth: Auth,
    store: Store,
    memory: Arc<Memory>,
    clock: Clock,
    hasher: Hasher,
    settings: SettingsCell,
    verifier: Verifier,
    outbox: tempfile::TempDir,
}

impl World {
    fn new() -> World {
        World::with_hasher(Hasher::at_cost(Params::new(8, 1, 1, None).unwrap(), 4))
    }

    fn with_hasher(hasher: Hasher) -> World {
        let clock = Clock::by_hand(UNIX_EPOCH + Duration::from_millis(1_800_000_000_250));
        let memory = Arc::new(Memory::new(clock.clone()));
        let store = Store::new(Shared(Arc::clone(&memory)));
        let signer = Signer::generate();
        let verifier = Verifier::new(&[signer.issuer("here", "game")]).ok().unwrap();
        let (issuer, audience) = ("here".to_owned(), "game".to_owned());
        let signing = SigningCell::default();
        signing.store(Some(Arc::new(Signing { signer, issuer, audience, access_ttl: ACCESS_TTL, refresh_ttl: REFRESH_TTL })));
        let settings = SettingsCell::default();
        let outbox = tempfile::tempdir().unwrap();
        let context = Context {
            store: store.clone(),
            clock: clock.clone(),
            signing,
            accounts: settings.clone(),
            outbox: outbox.path().join("outbox"),
        };
        let auth = Auth::new(context, hasher.clone(), &Handle::current());
        World { auth, store, memory, clock, hasher, settings, verifier, outbox }
    }

    async fn register(&self, username: &str) -> RegisterResponse {
        let email = format!("{username}@example.com");
        self.try_register(username, PASSWORD, &email).await.unwrap_or_else(|reason| panic!("{username}: {reason}"))
    }

    async fn try_register(&self, username: &str, password: &str, email: &str) -> Result<RegisterResponse, String> {
        let request = RegisterRequest { username: username.to_owned(), password: password.to_owned(), email: email.to_owned() };
        said(self.auth.register(Request::new(request)).await)
    }

    async fn login(&self, username: &str, password: &str) -> Result<LoginResponse, String> {
        self.login_from("192.0.2.1", username, password).await
    }

    async fn login_from(&self, peer: &str, username: &str, password: &str) -> Result<LoginResponse, String> {
        said(self.auth.login(from(peer, LoginRequest { username: username.to_owned(), password: password.to_owned() })).await)
    }

    async fn refresh(&self, token: &str) -> Result<RefreshTokenResponse, String> {
        said(self.auth.refresh_token(Request::new(RefreshTokenRequest { refresh_token: token.to_owned() })).await)
    }

    async fn logout(&self, access: &str, change: impl FnOnce(&mut LogoutRequest)) -> Result<LogoutResponse, String> {
        let identity = self.identity(access);
        let mut request = LogoutRequest {
            user_id: identity.user.to_string(),
            token_id: identity.token_id.unwrap_or_default().to_string(),
            refresh_token: String::new(),
            everywhere: false,
        };
        change(&mut request);
        said(self.auth.logout(Request::new(request)).await)
    }

    async fn info(&self, user_id: &str) -> Result<Option<v1::User>, String> {
        let request = GetUserInfoRequest { user_id: user_id.to_owned() };
        said(self.auth.get_user_info(Request::new(request)).await).map(|response| response.user)
    }

    fn identity(&self, access: &str) -> Identity {
        self.verifier.verify(access, self.clock.now()).unwrap_or_else(|refused| panic!("{:?}", refused.cause()))
    }

    /// Whether a gateway would still believe an access token: it is signed, has not expired, and is not revoked.
    async fn is_believed(&self, access: &str) -> bool {
        let Ok(identity) = self.verifier.verify(access, self.clock.now()) else { return false };
        let keys = [token_key(identity.token_id.as_deref().unwrap()), user_key(&identity.user)];
        let documents = self.store.get_all(&keys).await.unwrap();
        let [token, user] = documents.as_slice() else { panic!("two were asked for") };
        let issued_before = user.as_ref().map_or(0, |document| str::from_utf8(&document.value).unwrap().parse::<u64>().unwrap());
        token.is_none() && identity.issued_ms >= issued_before
    }

    async fn disable(&self, user_id: &str) {
        let mut user = self.auth.accounts.by_id(user_id).await.unwrap_or_else(|_| panic!("the store is there")).unwrap();
        user.value.disabled = true;
        let batch = Batch::default().put(accounts::key(user_id), crate::services::documents::written(&user.value), user.unchanged(), None);
        self.store.write(batch).await.unwrap();
    }

    async fn notices(&self) -> Vec<Notice> {
        let entries = self.store.read(&Notice::log(), 0, 10_000).await.unwrap();
        entries.entries.iter().map(|(_, entry)| Notice::read(entry).unwrap()).collect()
    }
}

/// A request as a gateway sends it.
fn from<T>(peer: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("protogate-peer", peer.parse().unwrap());
    request
}

/// The answer, or the reason of the refusal and how long to wait.
fn said<T>(answer: Result<Response<T>, Status>) -> Result<T, String> {
    answer.map(Response::into_inner).map_err(|status| {
        let details = status.get_error_details();
        let wait = details.retry_info().and_then(|info| info.retry_delay);
        let wait = wait.map(|wait| format!(" for {}s", wait.as_secs())).unwrap_or_default();
        format!("{}{wait}", details.error_info().expect("every refusal has a reason").reason)
    })
}

fn refused<T>(answer: Result<T, String>) -> String {
    answer.err().expect("this is to be refused")
}

#[tokio::test]
async fn who_registers_is_logged_in_and_can_log_in_again_in_any_case() {
    let world = World::new();
    let registered = world.register("Alice").await;
    let user = registered.user.unwrap();
    assert_eq!(
        (user.username.as_str(), user.email.as_str(), user.roles.as_slice()),
        ("Alice", "Alice@example.com", &["player".to_owned()][..])
    );
    assert_eq!((user.created_ms, registered.expires_in), (1_800_000_000_250, 900));
    let identity = world.identity(&registered.access_token);
    assert_eq!((&*identity.user, &*identity.roles[0]), (user.user_id.as_str(), "player"));
    assert!(!user.user_id.contains("lice"), "an id says nothing");

    let again = world.login("aLICE", PASSWORD).await.unwrap();
    assert_eq!(again.user.as_ref(), Some(&user));
    assert_eq!(world.info(&user.user_id).await.unwrap(), Some(user.clone()));
    let ids = [&registered.access_token, &again.access_token].map(|token| world.identity(token).token_id.unwrap());
    assert!(ids[0].ends_with(".1") && ids[1].ends_with(".1") && ids[0] != ids[1], "two logins, the first token of each");
    assert_eq!(refused(world.info("somebody-elses").await), "USER_NOT_FOUND");
    assert_eq!(refused(world.info("").await), "NOT_LOGGED_IN");
}

#[tokio::test]
async fn what_is_malformed_weak_or_taken_is_refused_by_name() {
    let world = World::new();
    world.register("alice").await;
    let hashed = world.hasher.done();
    for (username, password, email, reason) in [
        ("al", PASSWORD, "b@example.com", "INVALID_USERNAME"),
        ("bob", PASSWORD, "b@", "INVALID_EMAIL"),
        ("bob", "short", "b@example.com", "WEAK_PASSWORD"),
        ("bob-the-third", "BOB-the-third", "b@example.com", "WEAK_PASSWORD"),
        ("bob", "qwertyuiop", "b@example.com", "WEAK_PASSWORD"),
        ("ALICE", PASSWORD, "b@example.com", "USERNAME_TAKEN"),
        ("bob", PASSWORD, "Alice@EXAMPLE.com", "EMAIL_TAKEN"),
    ] {
        assert_eq!(refused(world.try_register(username, password, email).await), reason);
    }
    assert_eq!(world.hasher.done(), hashed, "no hash was computed for any of them");
}

#[tokio::test]
async fn of_those_who_take_one_name_at_once_one_has_it() {
    let world = World::new();
    let all = join_all((0..16).map(|index| {
        let (world, email) = (&world, format!("{index}@example.com"));
        async move { world.try_register("alice", PASSWORD, &email).await }
    }))
    .await;
    assert_eq!(all.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert!(all.iter().all(|answer| answer.as_ref().err().is_none_or(|reason| reason == "USERNAME_TAKEN")));
    let emails = join_all((0..16).map(|index| {
        let (world, name) = (&world, format!("bob{index}"));
        async move { world.try_register(&name, PASSWORD, "bob@example.com").await }
    }))
    .await;
    assert_eq!(emails.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert!(emails.iter().all(|answer| answer.as_ref().err().is_none_or(|reason| reason == "EMAIL_TAKEN")));
}

#[tokio::test]
async fn a_heartbeat_says_both_times() {
    let world = World::new();
    let beat = said(world.auth.heartbeat(Request::new(HeartbeatRequest { client_time_ms: -7 })).await).unwrap();
    assert_eq!((beat.server_time_ms, beat.client_time_ms), (1_800_000_000_250, -7));
}

#[tokio::test]
async fn logging_out_ends_that_login_alone() {
    let world = World::new();
    let here = world.register("alice").await;
    let there = world.login("alice", PASSWORD).await.unwrap();
    let next = world.refresh(&here.refresh_token).await.unwrap();
    world.logout(&here.access_token, |_| {}).await.unwrap();
    assert_eq!(refused(world.refresh(&next.refresh_token).await), "INVALID_REFRESH_TOKEN");
    assert!(!world.is_believed(&here.access_token).await && !world.is_believed(&next.access_token).await);
    assert!(world.is_believed(&there.access_token).await);
    assert_eq!(world.notices().await.len(), 2, "both access tokens of the login");
    world.refresh(&there.refresh_token).await.unwrap();
    world.logout(&here.access_token, |_| {}).await.expect("logging out twice is logging out");
}

#[tokio::test]
async fn logging_out_with_a_refresh_token_ends_its_login_too() {
    let world = World::new();
    let here = world.register("alice").await;
    let there = world.login("alice", PASSWORD).await.unwrap();
    world.logout(&here.access_token, |request| request.refresh_token = there.refresh_token.clone()).await.unwrap();
    assert!(!world.is_believed(&here.access_token).await && !world.is_believed(&there.access_token).await);
    for made_up in ["x", "..", &there.refresh_token[..92]] {
        world.logout(&here.access_token, |request| request.refresh_token = made_up.to_owned()).await.unwrap();
    }
}

#[tokio::test]
async fn logging_out_everywhere_ends_every_login_and_the_next_is_good_at_once() {
    let world = World::new();
    let here = world.register("alice").await;
    let there = world.login("alice", PASSWORD).await.unwrap();
    world.logout(&here.access_token, |request| request.everywhere = true).await.unwrap();
    for old in [&here.access_token, &there.access_token] {
        assert!(!world.is_believed(old).await);
    }
    for old in [&here.refresh_token, &there.refresh_token] {
        assert_eq!(refused(world.refresh(old).await), "INVALID_REFRESH_TOKEN");
    }
    // At the very same moment.
    let new = world.login("alice", PASSWORD).await.unwrap();
    assert!(world.is_believed(&new.access_token).await);
    world.refresh(&new.refresh_token).await.unwrap();
}

#[tokio::test]
async fn nobody_ends_the_login_of_somebody_else() {
    let world = World::new();
    let alice = world.register("alice").await;
    let mallory = world.register("mallory").await;
    let hers = world.identity(&alice.access_token).token_id.unwrap().to_string();
    world.logout(&mallory.access_token, |request| request.token_id = hers).await.unwrap();
    world.refresh(&alice.refresh_token).await.expect("her login goes on");
    assert_eq!(refused(world.logout(&mallory.access_token, |request| request.user_id.clear()).await), "NOT_LOGGED_IN");
}

#[tokio::test]
async fn a_token_of_another_issuer_is_revoked_by_its_id() {
    let world = World::new();
    let user_id = "of-another-issuer".to_owned();
    let request = LogoutRequest { user_id: user_id.clone(), token_id: "t-1".to_owned(), refresh_token: String::new(), everywhere: false };
    said(world.auth.logout(Request::new(request)).await).unwrap();
    assert_eq!(world.notices().await, [Notice::Revoked(Revocation::Token("t-1".to_owned()))]);
    let request = LogoutRequest { user_id: user_id.clone(), token_id: String::new(), refresh_token: String::new(), everywhere: true };
    said(world.auth.logout(Request::new(request)).await).unwrap();
    assert!(world.store.get(&user_key(&user_id)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_disabled_account_is_told_so_only_to_whoever_proves_that_it_is_theirs() {
    let world = World::new();
    let alice = world.register("alice").await;
    world.disable(&alice.user.unwrap().user_id).await;
    assert_eq!(refused(world.login("alice", "wrong horse").await), "INVALID_CREDENTIALS");
    assert_eq!(refused(world.login("alice", PASSWORD).await), "ACCOUNT_DISABLED");
    assert_eq!(refused(world.refresh(&alice.refresh_token).await), "ACCOUNT_DISABLED");
}

#[tokio::test]
async fn without_a_key_nothing_is_stored_and_the_operator_is_told_what_to_do() {
    let world = World::new();
    let alice = world.register("alice").await;
    let context = Context {
        store: world.store.clone(),
        clock: world.clock.clone(),
        signing: SigningCell::default(),
        accounts: world.settings.clone(),
        outbox: PathBuf::new(),
    };
    let keyless = World { auth: Auth::new(context, world.hasher.clone(), &Handle::current()), ..world };
    assert_eq!(refused(keyless.try_register("bob", PASSWORD, "bob@example.com").await), "NO_SIGNING_KEY");
    assert_eq!(refused(keyless.login("alice", PASSWORD).await), "NO_SIGNING_KEY");
    assert_eq!(refused(keyless.refresh(&alice.refresh_token).await), "NO_SIGNING_KEY");
    let taken = keyless.store.get(&Key::new("username", "bob")).await.unwrap();
    assert!(taken.is_none());
}

#[tokio::test]
async fn without_its_store_the_service_guesses_nothing() {
    let world = World::new();
    let alice = world.register("alice").await;
    world.memory.set_broken(true);
    for reason in [
        refused(world.login("alice", PASSWORD).await),
        refused(world.login("alice", "wrong horse").await),
        refused(world.try_register("bob", PASSWORD, "bob@example.com").await),
        refused(world.refresh(&alice.refresh_token).await),
        refused(world.logout(&alice.access_token, |_| {}).await),
        refused(world.info(&alice.user.as_ref().unwrap().user_id).await),
    ] {
        assert_eq!(reason, "UNAVAILABLE");
    }
    world.memory.set_broken(false);
    world.refresh(&alice.refresh_token).await.expect("nothing was lost");
}

#[tokio::test]
async fn a_store_holds_no_secret_as_it_is() {
    let world = World::new();
    let alice = world.register("alice").await;
    let id = alice.user.unwrap().user_id;
    let family = world.identity(&alice.access_token).token_id.unwrap().split_once('.').unwrap().0.to_owned();
    let user = world.store.get(&accounts::key(&id)).await.unwrap().unwrap();
    let family = world.store.get(&Key::new("family", family)).await.unwrap().unwrap();
    let stored = format!("{}{}", str::from_utf8(&user.value).unwrap(), str::from_utf8(&family.value).unwrap());
    assert!(stored.contains("$argon2id$"));
    for secret in alice.refresh_token.split('.').skip(1).chain([PASSWORD, &alice.access_token]) {
        assert!(!stored.contains(secret));
    }
}
