//! A stream: opened like a call, then messages both ways, and exactly one end.
//!
//! A [`Stream`] is run one step after the other: each step ends with something [`Said`], which holds the rest of the stream, and the next
//! one begins when there is room for what that may say. So for a client that does not read the service is not read from either: it is
//! stopped by HTTP/2's flow control. How one comes to be is in `opening`.
//!
//! Promises: what the client was not granted is not sent, and what it may not send ends the stream; no message is lost, doubled or out of
//! order before the end; whatever happens is an end, told once; dropping it cancels it at the service.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Sleep, sleep_until};

use super::ended::Record;
use super::mailbox::Mailbox;
use super::{Answer, Reply, caught, contained, guard, reply};
use crate::backend;
use crate::failure::{Failure, Reason, Result};
use crate::id::{CallId, WorkerId};
use crate::proto::Kind;
use crate::wire::{Codec, Status};

/// A stream that runs, between two of its steps.
pub struct Stream {
    codec: Codec,
    worker: WorkerId,
    mailbox: Arc<Mailbox>,
    /// Until the service is asked.
    asking: Option<Asking>,
    receiving: Option<backend::Receiving>,
    /// Hands messages to the service, until the client has said its last.
    sender: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// What the service has said and the client does not take yet.
    held: Option<Bytes>,
    /// The one reply to a stream of the client's; it counts once the service has ended well.
    reply: Option<Bytes>,
    life: Life,
    record: Record,
}

/// What is asked before a stream has begun.
pub(super) struct Asking {
    /// Of its guards, if it has any.
    pub question: Option<Box<guard::v1::CheckRequest>>,
    /// Of the service.
    pub opening: backend::Opening,
}

/// What a stream says, and what follows.
pub enum Said {
    Message {
        id: CallId,
        reply: Reply,
        rest: Box<Stream>,
    },
    /// The client may send so many messages more.
    Grant {
        id: CallId,
        messages: u32,
        rest: Box<Stream>,
    },
    /// It is over: with a failure, or with the reply to a stream of the client's.
    Over(Box<Answer>),
    /// It is over, and all is well.
    Done(CallId),
}

/// Tells whether a stream is to end, while it runs.
pub struct Ending(Arc<Mailbox>);

enum Step {
    Message(Reply),
    Grant(u32),
    Over(Reply),
    Done,
}

/// For how long a stream may go on.
pub(super) struct Life {
    idle: Duration,
    ends: Instant,
    /// Why it ends then.
    reason: Reason,
    /// Never set to a later moment than the next that counts.
    timer: Pin<Box<Sleep>>,
}

// === impl Stream ===

impl Stream {
    /// One that nobody has been asked for yet.
    pub(super) fn new(codec: Codec, worker: WorkerId, mailbox: Arc<Mailbox>, asking: Asking, life: Life, record: Record) -> Stream {
        let asking = Some(asking);
        Stream { codec, worker, mailbox, asking, receiving: None, sender: None, held: None, reply: None, life, record }
    }

    /// The next that it says. Never fails and never panics: whatever happens is an end.
    pub async fn next(mut self: Box<Self>) -> Said {
        let id = self.record.id;
        let result = match contained(self.step()).await {
            Ok(Step::Message(reply)) => return Said::Message { id, reply, rest: self },
            Ok(Step::Grant(messages)) => return Said::Grant { id, messages, rest: self },
            Ok(Step::Over(reply)) => Ok(Some(reply)),
            Ok(Step::Done) => Ok(None),
            Err(failure) => Err(failure),
        };
        let (route, codec) = (Arc::clone(&self.record.route), self.codec);
        let told = caught(|| {
            self.record.tell(result.as_ref().map(|_| 0));
            Ok(result.map_err(|failure| reply::status(&route, codec, &failure)))
        });
        let result = match told.unwrap_or_else(|failure| Err(Status::from(&failure))) {
            Ok(None) => return Said::Done(id),
            Ok(Some(reply)) => Ok(reply),
            Err(status) => Err(status),
        };
        Said::Over(Box::new(Answer { protocol: route.number, id, result, silent: false, effect: None }))
    }

    pub fn ending(&self) -> Ending {
        Ending(Arc::clone(&self.mailbox))
    }

    /// Ends it with this failure, which its next step says.
    pub fn fail(&self, failure: Failure) {
        self.mailbox.end(failure);
    }

    async fn step(&mut self) -> Result<Step> {
        if let Some(asking) = self.asking.take() {
            self.ask(asking).await?;
        }
        loop {
            let receiving = self.receiving.as_mut().expect("a service that was not asked is no service to hear");
            // Of all these only what the service says is more than a flag, and asking for that is cancel-safe.
            tokio::select! {
                biased;
                failure = self.mailbox.failed() => return Err(failure),
                failure = self.life.over(&self.mailbox) => return Err(failure),
                () = running(&mut self.sender) => self.sender = None,
                messages = self.mailbox.grant() => return Ok(Step::Grant(messages)),
                message = hear(receiving, &mut self.held, &self.mailbox, self.record.route.method.kind) => {
                    let message = message.map_err(|failure| reply::presentable(&self.record.route, failure))?;
                    if let Some(step) = self.heard(message)? {
                        return Ok(step);
                    }
                }
            }
        }
    }

    /// Asks the service, which is told only then that there is a stream.
    async fn ask(&mut self, Asking { question, mut opening }: Asking) -> Result<()> {
        let route = Arc::clone(&self.record.route);
        if let Some(question) = question {
            let deadline = opening.deadline;
            let traced = self.record.traced.as_deref_mut();
            let passing = Box::pin(guard::pass(&route, self.worker, question, deadline, &mut opening.metadata, traced));
            tokio::select! {
                biased;
                failure = self.mailbox.failed() => return Err(failure),
                failure = self.life.over(&self.mailbox) => return Err(failure),
                passed = passing => passed?,
            }
        }
        let (sending, receiving) = tokio::select! {
            biased;
            failure = self.mailbox.failed() => return Err(failure),
            failure = self.life.over(&self.mailbox) => return Err(failure),
            opened = self.record.backend.open_stream(self.worker, opening, &mut self.record.journey) => {
                opened.map_err(|failure| reply::presentable(&route, failure))?
            }
        };
        self.receiving = Some(receiving);
        self.sender = Some(Box::pin(send(sending, Arc::clone(&self.mailbox))));
        Ok(())
    }

    /// What follows from what the service said; nothing is its good end.
    fn heard(&mut self, message: Option<Bytes>) -> Result<Option<Step>> {
        let route = &self.record.route;
        let is_one = route.method.kind == Kind::ClientStream;
        let step = match message {
            Some(message) if is_one => {
                let is_second = self.reply.replace(message).is_some();
                return if is_second { Err(bad_reply("the service answered twice, and its method answers once")) } else { Ok(None) };
            }
            Some(message) => Step::Message(self.encode(message)?),
            None if is_one => {
                let message = self.reply.take().ok_or_else(|| bad_reply("the reply says OK and holds no message"))?;
                Step::Over(self.encode(message)?)
            }
            None => Step::Done,
        };
        Ok(Some(step))
    }

    fn encode(&self, message: Bytes) -> Result<Reply> {
        let reply = reply::encode(&self.record.route, self.codec, message)?;
        self.mailbox.said(reply.len(), Instant::now());
        Ok(reply)
    }
}

/// Hands the service what waits for it.
async fn send(mut sending: backend::Sending, mailbox: Arc<Mailbox>) {
    while let Some(message) = mailbox.next().await {
        if sending.send(message).await.is_err() {
            // The stream is over; why is for the other half to say.
            return;
        }
        mailbox.handed_over();
    }
    sending.finish();
}

async fn running(sender: &mut Option<Pin<Box<dyn Future<Output = ()> + Send>>>) {
    match sender {
        Some(sender) => sender.await,
        None => std::future::pending().await,
    }
}

/// What the service says next, once the client takes it. The one reply to a stream of the client's needs no grant, and an end needs none:
/// hence one message is held.
async fn hear(receiving: &mut backend::Receiving, held: &mut Option<Bytes>, mailbox: &Mailbox, kind: Kind) -> Result<Option<Bytes>> {
    if held.is_none() {
        *held = receiving.message().await?;
    }
    if held.is_some() && kind != Kind::ClientStream {
        mailbox.wanted().await;
    }
    Ok(held.take())
}

fn bad_reply(cause: &'static str) -> Failure {
    Failure::gateway(Reason::BadReply, "the service gave a reply that cannot be read").because(cause)
}

// === impl Ending ===

impl Ending {
    /// Ready once it is. To be asked by whoever runs the stream, which is woken by it.
    pub fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        self.0.poll_failed(cx)
    }
}

// === impl Life ===

impl Life {
    /// No longer than `idle` without a message, and then until `ends`, for this reason.
    pub fn new(idle: Duration, ends: Instant, reason: Reason, now: Instant) -> Life {
        Life { idle, ends, reason, timer: Box::pin(sleep_until(ends.min(now + idle))) }
    }

    /// Why it is over; waits until it is. Looks at the clock only when the timer has rung.
    async fn over(&mut self, mailbox: &Mailbox) -> Failure {
        loop {
            self.timer.as_mut().await;
            let (now, idle_from) = (Instant::now(), mailbox.last() + self.idle);
            if now >= self.ends {
                return self.ended();
            }
            if now >= idle_from {
                let what = format!("no message went either way for {} ms; open the stream again", self.idle.as_millis());
                return Failure::gateway(Reason::StreamIdle, what);
            }
            self.timer.as_mut().reset(self.ends.min(idle_from));
        }
    }

    fn ended(&self) -> Failure {
        let what = match self.reason {
            Reason::StreamTooOld => "the stream is as old as it may be; open it again",
            _ => "the time that you gave the stream is over",
        };
        Failure::gateway(self.reason, what)
    }
}
