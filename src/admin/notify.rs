//! What an operator tells users: a notification, through the notify service, as any sender would.
//!
//! Promises: what is asked for is read strictly; the service says what is wrong with it, and its words are passed on; the answer comes
//! within [`WATCH`] of the sending, done or not.

use std::collections::HashMap;
use std::time::Duration;

use http::{Request, StatusCode};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::audit::Audit;
use super::{Admin, Reply, body, error, reply};
use crate::failure::{Code, Failure};
use crate::services::notify::v1::send_request::Content;
use crate::services::notify::v1::{Batch, BatchState, Channel, Filled, Importance, NotificationType, Recipient, SendRequest, Words};

/// How long a batch is watched, so that whoever sends to a few is told what became of it.
const WATCH: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(50);

/// A notification as an operator writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Notification {
    users: Vec<String>,
    #[serde(default)]
    title: String,
    #[serde(default)]
    body: String,
    template: Option<String>,
    #[serde(default)]
    parameters: HashMap<String, String>,
    #[serde(default)]
    locale: String,
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    importance: String,
    #[serde(default)]
    channels: Vec<String>,
    #[serde(default)]
    data: HashMap<String, String>,
    #[serde(default)]
    expires_in: u32,
    #[serde(default)]
    idempotency_key: String,
}

/// `POST /api/v1/notify` with `{"users": […], "title": …, "body": …}` or `{"users": […], "template": …, "parameters": {…}}`.
pub async fn send(admin: &Admin, request: Request<Incoming>, audit: &Audit) -> Reply {
    let asked: Notification = match body::read(request).await {
        Ok(asked) => asked,
        Err(refusal) => return *refusal,
    };
    let request = match asked.meant() {
        Ok(request) => request,
        Err(what) => return error(StatusCode::BAD_REQUEST, &what),
    };
    audit.what(format!("a notification to {} users", request.recipients.len()));
    match watched(admin, &request).await {
        Ok(batch) => reply(StatusCode::OK, &shown(&batch)),
        Err(failure) => failed(&failure),
    }
}

/// Sends, and looks what becomes of it for a while.
async fn watched(admin: &Admin, request: &SendRequest) -> Result<Batch, Failure> {
    let sent = admin.notify.send(request).await?;
    let until = Instant::now() + WATCH;
    loop {
        let batch = admin.notify.batch(&sent.batch_id).await?;
        if batch.state() != BatchState::Open || Instant::now() >= until {
            return Ok(batch);
        }
        sleep(LOOK).await;
    }
}

// === impl Notification ===

impl Notification {
    fn meant(self) -> Result<SendRequest, String> {
        let content = match self.template {
            Some(name) if self.title.is_empty() && self.body.is_empty() => Content::Template(Filled { name, parameters: self.parameters }),
            None if self.parameters.is_empty() => Content::Literal(Words { title: self.title, body: self.body, html: String::new() }),
            _ => return Err("say `template` with `parameters`, or `title` and `body`".to_owned()),
        };
        let recipient = |user_id| Recipient { user_id, email: String::new(), locale: self.locale.clone() };
        let channels = self.channels.iter().map(|channel| named("channels", "CHANNEL", channel, Channel::from_str_name).map(i32::from));
        Ok(SendRequest {
            recipients: self.users.into_iter().map(recipient).collect(),
            content: Some(content),
            r#type: kind(&self.r#type)?.into(),
            importance: importance(&self.importance)?.into(),
            channels: channels.collect::<Result<_, _>>()?,
            data: self.data,
            expires_in: self.expires_in,
            idempotency_key: self.idempotency_key,
        })
    }
}

pub(super) fn kind(short: &str) -> Result<NotificationType, String> {
    named("type", "NOTIFICATION_TYPE", short, NotificationType::from_str_name)
}

pub(super) fn importance(short: &str) -> Result<Importance, String> {
    named("importance", "IMPORTANCE", short, Importance::from_str_name)
}

/// A value of an enum by its short name in small letters, such as `in_app`; what is empty is not said.
pub(super) fn named<T: Default>(field: &str, kind: &str, short: &str, from: impl Fn(&str) -> Option<T>) -> Result<T, String> {
    if short.is_empty() {
        return Ok(T::default());
    }
    let name = format!("{kind}_{}", short.to_ascii_uppercase());
    from(&name).ok_or_else(|| format!("`{field}` has a value that there is not"))
}

fn shown(batch: &Batch) -> Value {
    let errors: Vec<Value> = batch.errors.iter().map(|error| json!({ "user": error.user_id, "message": error.message })).collect();
    json!({
        "batch": batch.batch_id,
        "done": batch.state() == BatchState::Done,
        "total": batch.total,
        "sent": batch.sent,
        "failed": batch.failed,
        "skipped": batch.skipped,
        "errors": errors,
    })
}

pub(super) fn failed(failure: &Failure) -> Reply {
    let status = match failure.code() {
        Code::InvalidArgument => StatusCode::UNPROCESSABLE_ENTITY,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::FailedPrecondition | Code::AlreadyExists => StatusCode::CONFLICT,
        Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    error(status, failure.message())
}
