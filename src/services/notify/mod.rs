//! Notifications: what people should hear of, in the application or by mail. `proto/protogate/notify/v1` is the contract.
//!
//! Everything is in the [store](crate::store), so that several processes are one service. It reaches clients by the
//! [`Pusher`] alone. Files, in the order in which a notification meets them: `sending` checks a request, with `templates`, `parameters`,
//! `words` and `kinds`, and `wrong` gathers what is wrong; `batch` and `batches` keep it, `queue` says what is open; `worker` tells people,
//! and `inbox` keeps what they were told. `door` serves both sides, `sender` is the way of the operator to it.
//!
//! Promise: who comes by a route is a client, and reaches nothing of senders. It believes the field `user_id` of clients' requests.

mod batch;
mod batches;
mod door;
mod inbox;
mod kinds;
mod parameters;
mod queue;
pub mod sender;
mod sending;
mod templates;
#[cfg(test)]
mod tests;
mod words;
mod worker;
mod wrong;

/// The types of `proto/protogate/notify/v1/notify.proto`.
pub mod v1 {
    tonic::include_proto!("protogate.notify.v1");
}

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Response, Status};

use super::Context;
use super::pusher::Pusher;
use super::refusal::{Refusal, Result as Answer};
use crate::pipeline::told::ROUTE;
use batches::Batches;
pub use door::Door;
use inbox::{Entry, Inbox, Which};
use sending::Sending;
use templates::Templates;
use v1::notify_admin_server::NotifyAdmin;
use v1::notify_service_server::NotifyService;
use v1::{
    CancelBatchRequest, CancelBatchResponse, DefineTemplateRequest, DefineTemplateResponse, DeleteTemplateRequest, DeleteTemplateResponse,
    GetBatchRequest, GetBatchResponse, ListNotificationsRequest, ListNotificationsResponse, ListTemplatesRequest, ListTemplatesResponse,
    MarkReadRequest, MarkReadResponse, SendRequest, SendResponse,
};
use worker::{HANDS, Worker};

/// The number of the push that a notification is.
pub const NUMBER: u32 = 4001;

/// What is asked for at once. More are marked by `up_to`.
const MARKED_MAX: usize = inbox::ENTRIES_MAX;

/// The service. Its hands end with it.
pub struct Notify {
    inbox: Inbox,
    templates: Templates,
    sending: Sending,
    batches: Batches,
    wake: Arc<tokio::sync::Notify>,
    _hands: Vec<AbortOnDropHandle<()>>,
}

/// The service, ready to be served. It works on `runtime`, and is to be called there.
pub fn service(context: &Context, pusher: Pusher, runtime: &Handle) -> Door {
    let (mut notify, worker) = Notify::new(context, pusher);
    notify._hands = (0..HANDS).map(|_| AbortOnDropHandle::new(runtime.spawn(worker.clone().run()))).collect();
    Door::new(Arc::new(notify))
}

// === impl Notify ===

impl Notify {
    /// The service, and whoever works for it.
    fn new(context: &Context, pusher: Pusher) -> (Notify, Worker) {
        let (store, clock, settings) = (context.store.clone(), context.clock.clone(), context.accounts.clone());
        let wake = Arc::new(tokio::sync::Notify::new());
        let inbox = Inbox::new(store.clone(), clock.clone());
        let templates = Templates::new(store.clone(), clock.clone());
        let batches = Batches::new(store.clone(), clock.clone());
        let sending = Sending { templates: templates.clone(), batches: batches.clone(), settings: settings.clone() };
        let outbox = context.outbox.clone();
        let worker =
            Worker { store, clock, batches: batches.clone(), inbox: inbox.clone(), pusher, settings, outbox, wake: Arc::clone(&wake) };
        (Notify { inbox, templates, sending, batches, wake, _hands: Vec::new() }, worker)
    }
}

fn known(user: &str) -> Answer<()> {
    if user.is_empty() { Err(Refusal::new(Code::Unauthenticated, "NOT_LOGGED_IN", "log in first")) } else { Ok(()) }
}

/// Refuses clients: only a gateway says by which route a call came.
fn senders_only(metadata: &MetadataMap) -> Answer<()> {
    match metadata.contains_key(ROUTE.as_str()) {
        true => {
            Err(Refusal::new(Code::PermissionDenied, "NOT_FOR_CLIENTS", "no route may lead here: this is for services and the operator"))
        }
        false => Ok(()),
    }
}

#[tonic::async_trait]
impl NotifyService for Notify {
    async fn list_notifications(&self, request: Request<ListNotificationsRequest>) -> Result<Response<ListNotificationsResponse>, Status> {
        let ListNotificationsRequest { user_id, page_size, page_token, unread_only } = request.into_inner();
        known(&user_id)?;
        let page = self.inbox.page(&user_id, page_size, &page_token, unread_only).await?;
        let notifications = page.entries.iter().map(Entry::shown).collect();
        Ok(Response::new(ListNotificationsResponse { notifications, next_page_token: page.next, unread_count: page.unread }))
    }

    async fn mark_read(&self, request: Request<MarkReadRequest>) -> Result<Response<MarkReadResponse>, Status> {
        let MarkReadRequest { user_id, notification_ids, up_to } = request.into_inner();
        known(&user_id)?;
        let which = match (notification_ids.as_slice(), up_to.as_str()) {
            ([], "") => {
                let what = "name some notifications, or one in `up_to`";
                return Err(Refusal::invalid("notification_ids", "NOTHING_NAMED", what).into());
            }
            ([], up_to) => Which::UpTo(up_to),
            (ids, "") if ids.len() <= MARKED_MAX => Which::These(ids),
            (_, "") => {
                let what = format!("at most {MARKED_MAX} at once; name the newest in `up_to`");
                return Err(Refusal::invalid("notification_ids", "TOO_MANY_NOTIFICATIONS", what).into());
            }
            _ => return Err(Refusal::invalid("up_to", "NAMED_TWICE", "name some notifications or one in `up_to`, not both").into()),
        };
        Ok(Response::new(MarkReadResponse { unread_count: self.inbox.mark(&user_id, which).await? }))
    }
}

#[tonic::async_trait]
impl NotifyAdmin for Notify {
    async fn define_template(&self, request: Request<DefineTemplateRequest>) -> Result<Response<DefineTemplateResponse>, Status> {
        senders_only(request.metadata())?;
        let template = request.into_inner().template.unwrap_or_default();
        Ok(Response::new(DefineTemplateResponse { version: self.templates.define(template).await? }))
    }

    async fn list_templates(&self, request: Request<ListTemplatesRequest>) -> Result<Response<ListTemplatesResponse>, Status> {
        senders_only(request.metadata())?;
        let templates = self.templates.shown(&request.into_inner().name).await?;
        Ok(Response::new(ListTemplatesResponse { templates }))
    }

    async fn delete_template(&self, request: Request<DeleteTemplateRequest>) -> Result<Response<DeleteTemplateResponse>, Status> {
        senders_only(request.metadata())?;
        self.templates.delete(&request.into_inner().name).await?;
        Ok(Response::new(DeleteTemplateResponse {}))
    }

    async fn send(&self, request: Request<SendRequest>) -> Result<Response<SendResponse>, Status> {
        senders_only(request.metadata())?;
        let (batch_id, total) = self.sending.send(request.into_inner()).await?;
        self.wake.notify_one();
        Ok(Response::new(SendResponse { batch_id, total }))
    }

    async fn get_batch(&self, request: Request<GetBatchRequest>) -> Result<Response<GetBatchResponse>, Status> {
        senders_only(request.metadata())?;
        let batch = self.batches.get(&request.into_inner().batch_id).await?;
        Ok(Response::new(GetBatchResponse { batch: Some(batch.shown()) }))
    }

    async fn cancel_batch(&self, request: Request<CancelBatchRequest>) -> Result<Response<CancelBatchResponse>, Status> {
        senders_only(request.metadata())?;
        let batch = self.batches.cancel(&request.into_inner().batch_id).await?;
        Ok(Response::new(CancelBatchResponse { batch: Some(batch.shown()) }))
    }
}
