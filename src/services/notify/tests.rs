//! Conversations with the notify service, over a store in memory and a clock that is moved by hand.

mod batches;
mod history;
mod mails;
mod templates;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use prost::Message as _;
use tonic_types::StatusExt as _;

use super::v1::send_request::Content;
use super::v1::{
    Batch, BatchState, Channel, Filled, Importance, Notification, NotificationType, Parameter, ParameterType, Recipient, Template, Words,
};
use super::worker::Work;
use super::*;
use crate::clock::Clock;
use crate::pipeline::signing::SigningCell;
use crate::push::v1::push_request::Target;
use crate::services::auth::{Settings, SettingsCell};
use crate::services::mail::{MailSettings, Way};
use crate::services::pusher::testing::Recorder;
use crate::store::memory::Memory;
use crate::store::{Batch as Changes, Expect, Key, Store};

/// A service, whose hands move when they are told to, and all it stands on.
struct World {
    notify: Notify,
    worker: Worker,
    context: Context,
    memory: Arc<Memory>,
    pushes: Recorder,
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> World {
        let clock = Clock::by_hand(UNIX_EPOCH + Duration::from_millis(1_800_000_000_000));
        let memory = Arc::new(Memory::new(clock.clone()));
        let store = Store::sharing(Arc::clone(&memory));
        let folder = tempfile::tempdir().unwrap();
        let (accounts, outbox) = (SettingsCell::default(), folder.path().join("outbox"));
        let context = Context { store, clock, signing: SigningCell::default(), accounts, outbox };
        let pushes = Recorder::default();
        let (notify, worker) = Notify::new(&context, pushes.pusher());
        World { notify, worker, context, memory, pushes, folder }
    }

    fn with_mail() -> World {
        let world = World::new();
        let mail = MailSettings { from: "Game <game@example.com>".parse().unwrap(), way: Way::Outbox };
        world.context.accounts.store(Arc::new(Settings { mail: Some(mail), ..Settings::default() }));
        world
    }

    /// As another process over the same store.
    fn another(&self) -> Worker {
        Notify::new(&self.context, self.pushes.pusher()).1
    }

    async fn send(&self, request: SendRequest) -> Result<String, String> {
        said(self.notify.send(Request::new(request)).await).map(|response| response.batch_id)
    }

    async fn batch(&self, id: &str) -> Batch {
        let request = GetBatchRequest { batch_id: id.to_owned() };
        said(self.notify.get_batch(Request::new(request)).await).unwrap().batch.unwrap()
    }

    /// Works until there is nothing to do.
    async fn work(&self) {
        while self.work_once().await == Work::Done {}
    }

    async fn work_once(&self) -> Work {
        self.worker.work().await.unwrap()
    }

    /// Sends, and tells everybody.
    async fn tell(&self, request: SendRequest) -> Batch {
        let id = self.send(request).await.unwrap();
        self.work().await;
        self.batch(&id).await
    }

    async fn define(&self, template: Template) -> Result<u32, String> {
        let request = DefineTemplateRequest { template: Some(template) };
        said(self.notify.define_template(Request::new(request)).await).map(|response| response.version)
    }

    async fn list(&self, user: &str, change: impl FnOnce(&mut ListNotificationsRequest)) -> Result<ListNotificationsResponse, String> {
        let mut request = ListNotificationsRequest { user_id: user.to_owned(), ..Default::default() };
        change(&mut request);
        said(self.notify.list_notifications(Request::new(request)).await)
    }

    /// The titles of what somebody has, newest first.
    async fn titles(&self, user: &str) -> Vec<String> {
        titles(&self.list(user, |_| {}).await.unwrap())
    }

    async fn mark(&self, user: &str, ids: &[&str], up_to: &str) -> Result<u32, String> {
        let notification_ids = ids.iter().map(|id| (*id).to_owned()).collect();
        let request = MarkReadRequest { user_id: user.to_owned(), notification_ids, up_to: up_to.to_owned() };
        said(self.notify.mark_read(Request::new(request)).await).map(|response| response.unread_count)
    }

    /// Whom each push was for, and what it said.
    fn pushed(&self) -> Vec<(Vec<String>, Notification)> {
        let read = |push: crate::push::v1::PushRequest| {
            assert_eq!(push.number, 4001);
            let Some(Target::Users(users)) = push.target else { panic!("notifications are for users") };
            (users.users, Notification::decode(push.payload).unwrap())
        };
        self.pushes.pushed().into_iter().map(read).collect()
    }

    async fn register(&self, user: &str, email: &str) {
        let account = serde_json::json!({
            "id": user, "username": user, "email": email, "roles": [], "password": "", "created_ms": 0, "disabled": user == "disabled",
        });
        let batch = Changes::default().put(Key::new("user", user), account.to_string(), Expect::Anything, None);
        self.context.store.write(batch).await.unwrap();
    }
}

fn titles(response: &ListNotificationsResponse) -> Vec<String> {
    response.notifications.iter().map(|notification| notification.title.clone()).collect()
}

fn recipient(user: impl Into<String>) -> Recipient {
    Recipient { user_id: user.into(), ..Recipient::default() }
}

/// Words as they are, for these users.
fn literal(title: &str, users: &[&str]) -> SendRequest {
    let words = Words { title: title.to_owned(), body: format!("{title}, in more words"), html: String::new() };
    let recipients = users.iter().map(|user| recipient(*user)).collect();
    SendRequest { recipients, content: Some(Content::Literal(words)), ..SendRequest::default() }
}

/// So many users, whose names are numbers.
fn to_many(count: usize) -> SendRequest {
    SendRequest { recipients: (0..count).map(|user| recipient(user.to_string())).collect(), ..literal("hello", &[]) }
}

/// A template, for these users.
fn filled(name: &str, parameters: &[(&str, &str)], users: &[&str]) -> SendRequest {
    let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    SendRequest { content: Some(Content::Template(Filled { name: name.to_owned(), parameters })), ..literal("", users) }
}

/// A template with words in English.
fn template(title: &str, body: &str, parameters: &[(&str, ParameterType, bool)]) -> Template {
    let parameter = |(name, kind, required): &(&str, ParameterType, bool)| Parameter {
        name: (*name).to_owned(),
        r#type: (*kind).into(),
        required: *required,
    };
    let words = Words { title: title.to_owned(), body: body.to_owned(), html: String::new() };
    Template {
        name: "welcome".to_owned(),
        parameters: parameters.iter().map(parameter).collect(),
        words: HashMap::from([("en".to_owned(), words)]),
        default_locale: "en".to_owned(),
        ..Template::default()
    }
}

/// The answer, or the reason of the refusal and the fields that are wrong.
fn said<T>(answer: Result<Response<T>, Status>) -> Result<T, String> {
    answer.map(Response::into_inner).map_err(|status| {
        let details = status.get_error_details();
        let fields = details.bad_request().map(|request| request.field_violations.clone()).unwrap_or_default();
        let fields: Vec<String> = fields.into_iter().map(|violation| format!(" {}", violation.field)).collect();
        format!("{}{}", details.error_info().expect("every refusal has a reason").reason, fields.concat())
    })
}

fn refused<T>(answer: Result<T, String>) -> String {
    answer.err().expect("this is to be refused")
}

#[tokio::test]
async fn who_is_sent_something_finds_it_and_is_pushed_it() {
    let world = World::new();
    let mut request = literal("hello", &["alice", "bob"]);
    request.data.insert("room".to_owned(), "lobby".to_owned());
    request.r#type = NotificationType::System.into();
    let batch = world.tell(request).await;
    assert_eq!((batch.state(), batch.total, batch.sent, batch.failed, batch.skipped), (BatchState::Done, 2, 2, 0, 0));
    assert_eq!((batch.created_ms, batch.ended_ms), (1_800_000_000_000, 1_800_000_000_000));

    let found = world.list("alice", |_| {}).await.unwrap();
    assert_eq!((found.unread_count, found.next_page_token.as_str()), (1, ""));
    let [notification] = found.notifications.as_slice() else { panic!("there is one") };
    assert_eq!((notification.title.as_str(), notification.body.as_str()), ("hello", "hello, in more words"));
    assert_eq!((notification.r#type(), notification.importance()), (NotificationType::System, Importance::High));
    assert_eq!(notification.data.get("room").map(String::as_str), Some("lobby"));
    assert_eq!(notification.expires_ms - notification.sent_ms, 90 * 24 * 3600 * 1000);
    assert_eq!(world.pushed(), [(vec!["alice".to_owned(), "bob".to_owned()], notification.clone())], "one push for all");
    assert!(world.titles("carol").await.is_empty());
}

#[tokio::test]
async fn the_hands_of_a_service_tell_without_being_asked() {
    let world = World::new();
    let door = service(&world.context, world.pushes.pusher(), &Handle::current());
    let mut sender = v1::notify_admin_client::NotifyAdminClient::new(door.clone());
    let id = sender.send(literal("hello", &["alice"])).await.unwrap().into_inner().batch_id;
    tokio::time::timeout(Duration::from_secs(30), async {
        while world.batch(&id).await.state() != BatchState::Done {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("it is told");
    let mut client = v1::notify_service_client::NotifyServiceClient::new(door);
    let request = ListNotificationsRequest { user_id: "alice".to_owned(), ..Default::default() };
    assert_eq!(titles(&client.list_notifications(request).await.unwrap().into_inner()), ["hello"]);
}

#[tokio::test]
async fn a_client_reaches_nothing_of_senders_whatever_the_routes_say() {
    fn by_route<T: Default>() -> Request<T> {
        let mut request = Request::new(T::default());
        request.metadata_mut().insert("protogate-route", "4101".parse().unwrap());
        request
    }
    let world = World::new();
    for reason in [
        refused(said(world.notify.define_template(by_route()).await)),
        refused(said(world.notify.list_templates(by_route()).await)),
        refused(said(world.notify.delete_template(by_route()).await)),
        refused(said(NotifyAdmin::send(&world.notify, by_route()).await)),
        refused(said(world.notify.get_batch(by_route()).await)),
        refused(said(world.notify.cancel_batch(by_route()).await)),
    ] {
        assert_eq!(reason, "NOT_FOR_CLIENTS");
    }
}

#[tokio::test]
async fn everything_that_is_wrong_with_a_notification_is_said_at_once() {
    let world = World::new();
    let mut request = literal("", &["alice", "alice", "", "a\nb"]);
    request.recipients[0].email = "alice@".to_owned();
    request.recipients[0].locale = "de_AT".to_owned();
    request.r#type = 77;
    request.importance = 77;
    request.channels = vec![77];
    request.data.insert("large".to_owned(), "x".repeat(1024));
    request.expires_in = 91 * 24 * 3600;
    request.idempotency_key = "k".repeat(129);
    let fields = "recipients[0].email recipients[0].locale recipients[1].user_id recipients[2].user_id recipients[3].user_id \
                  type importance data expires_in channels idempotency_key literal.title";
    assert_eq!(refused(world.send(request).await), format!("INVALID_NOTIFICATION {fields}"));

    assert_eq!(refused(world.send(literal("hello", &[])).await), "INVALID_NOTIFICATION recipients");
    assert_eq!(refused(world.send(SendRequest { content: None, ..literal("hello", &["alice"]) }).await), "INVALID_NOTIFICATION content");
    assert_eq!(refused(world.send(literal(&"x".repeat(257), &["alice"])).await), "INVALID_NOTIFICATION literal.title");
    assert_eq!(refused(world.send(to_many(10_001)).await), "TOO_MANY_USERS recipients");
    assert_eq!(world.work_once().await, Work::Nothing, "nothing of it was stored");
}

#[tokio::test]
async fn without_its_store_nothing_is_guessed_and_nothing_lost() {
    let world = World::new();
    let id = world.send(literal("hello", &["alice"])).await.unwrap();
    world.memory.set_broken(true);
    for reason in [
        refused(world.send(literal("again", &["alice"])).await),
        refused(world.list("alice", |_| {}).await),
        refused(world.mark("alice", &["x"], "").await),
        refused(world.define(template("a", "", &[])).await),
        world.worker.work().await.err().unwrap().reason().to_owned(),
    ] {
        assert_eq!(reason, "UNAVAILABLE");
    }
    world.memory.set_broken(false);
    world.work().await;
    assert_eq!(world.batch(&id).await.sent, 1);
}

/// A pause, or a push that is tried again, takes no time here.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_pushed_is_in_the_history_and_said() {
    let world = World::new();
    world.pushes.set_broken(true);
    let batch = world.tell(literal("hello", &["alice"])).await;
    assert_eq!((batch.sent, batch.errors.len(), batch.errors[0].channel()), (1, 1, Channel::InApp));
    assert_eq!(world.titles("alice").await, ["hello"]);
}
