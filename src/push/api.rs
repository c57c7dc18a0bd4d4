//! The PushService: how services reach clients. `proto/protogate/push/v1` is the contract.
//!
//! Promise: a push whose bytes are not of the declared type reaches nobody.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use tracing::{info, warn};

use super::hub::Hub;
use super::rules::{Delivery, PushPlan};
use super::v1::push_request::Target;
use super::v1::push_service_server::{PushService, PushServiceServer};
use super::v1::{
    KickRequest, KickResponse, Member, PresenceRequest, PresenceResponse, PushRequest, PushResponse, TopicPresence, UnsubscribeRequest,
    UnsubscribeResponse, UserPresence, Wait,
};
use crate::failure::{self, Failure, Reason};
use crate::proto::{Values, Walk, WalkOptions};
use crate::session::{Asking, Counts, Reached};

/// Names in one request.
const NAMES_MAX: usize = 1000;

/// The longest name of a user, or id of a session.
const NAME_BYTES_MAX: usize = 256;

/// The largest request: a thousand names, and a payload.
const REQUEST_BYTES_MAX: usize = 4 << 20;

struct Api(Hub);

/// The service, ready to be served. To be called on the back room.
pub fn service(hub: Hub) -> PushServiceServer<impl PushService> {
    PushServiceServer::new(Api(hub)).max_decoding_message_size(REQUEST_BYTES_MAX)
}

// === impl Hub ===

impl Hub {
    /// Sends a message to all sessions of a user, or to one of them, by the delivery that is declared for its number. How many were
    /// reached, or are on their way to another node. To be called on the back room.
    pub async fn push(&self, user: &str, session: Option<&str>, number: u32, payload: Bytes) -> failure::Result<usize> {
        let rule = self.declared(number, &payload)?;
        self.push_by(&rule, user, session, payload).await.map(|reached| reached.len())
    }

    async fn push_by(&self, plan: &PushPlan, user: &str, session: Option<&str>, payload: Bytes) -> failure::Result<Reached> {
        match (&plan.delivery, session) {
            (Delivery::Durable, None) => self.deliver(user, plan.number.0, payload).await,
            _ => plan.send(&self.0.sessions, user, session, payload).await,
        }
    }

    /// The push of a number, if these are the bytes of its message.
    fn declared(&self, number: u32, payload: &[u8]) -> failure::Result<Arc<PushPlan>> {
        let rule = self.rules().push(number).cloned();
        let rule = rule.ok_or_else(|| Failure::gateway(Reason::UnknownPush, format!("no push of the number {number} is declared")))?;
        let walk = Walk::compile(&rule.message, &[], WalkOptions::default());
        match walk.run(payload, &mut Values::default()) {
            Ok(()) => Ok(rule),
            Err(problem) => {
                let what = format!("the payload is no valid `{}`: {problem}", rule.message.name());
                Err(Failure::gateway(Reason::InvalidPayload, what))
            }
        }
    }
}

// === impl Api ===

impl Api {
    async fn push(&self, request: PushRequest) -> failure::Result<PushResponse> {
        let wait = request.wait();
        let PushRequest { target, number, payload, .. } = request;
        let rule = self.0.declared(number, &payload)?;
        let asking = match wait {
            Wait::None => None,
            Wait::Written => Some(self.0.0.sessions.begin_asking()?),
        };
        let mut response = PushResponse::default();
        match target {
            Some(Target::Users(users)) => {
                names(&users.users)?;
                let mut reached = Reached::default();
                for user in &users.users {
                    reached.add(self.0.push_by(&rule, user, None, payload.clone()).await?);
                }
                response.count(reached_by(&rule, asking, reached).await);
            }
            Some(Target::Session(session)) => {
                names(&[&session.user, &session.session])?;
                let reached = self.0.push_by(&rule, &session.user, Some(&session.session), payload).await?;
                response.count(reached_by(&rule, asking, reached).await);
            }
            Some(Target::Topic(topic)) => {
                let at = self.0.publish(&topic, number, payload).await?;
                if let Some(asking) = asking {
                    response.count(self.0.written_to_topic(asking, &topic, at.as_ref()).await);
                }
                if let Some(at) = at {
                    (response.epoch, response.offset) = (at.epoch.to_string(), at.offset);
                }
            }
            Some(Target::Everyone(_)) => {
                let asked = asking.as_ref().map(|asking| asking.question().into());
                let hearing = self.0.to_everyone(number, payload, asked).await?;
                if let Some(asking) = asking {
                    response.count(asking.answers(hearing).await);
                }
            }
            None => return Err(Failure::gateway(Reason::NoTarget, "the push has no target; name users, a session, a topic or everyone")),
        }
        Ok(response)
    }

    async fn kick(&self, KickRequest { user, session, reason }: KickRequest) -> failure::Result<KickResponse> {
        names(&[&user])?;
        let session = Some(&*session).filter(|session| !session.is_empty());
        let sessions = clamped(self.0.0.sessions.kick(&user, session).await?.len());
        info!(user, reason, sessions, "a service ended sessions of a user");
        Ok(KickResponse { sessions })
    }

    async fn presence(&self, PresenceRequest { topics, users }: PresenceRequest) -> failure::Result<PresenceResponse> {
        if topics.len() + users.len() > NAMES_MAX {
            return Err(too_many());
        }
        let mut response = PresenceResponse::default();
        for topic in topics {
            self.0.rule(&topic)?;
            response.topics.push(TopicPresence { members: self.0.members(&topic).await?, topic });
        }
        for user in users {
            let shown = |record: crate::session::roster::Record| Member {
                user: user.clone(),
                connected: record.detached_until_ms.is_none(),
                since_ms: i64::try_from(record.issued_ms).unwrap_or(i64::MAX),
                session: record.id,
            };
            let sessions = self.0.0.sessions.list(&user).await?.into_iter().map(shown).collect();
            response.users.push(UserPresence { sessions, user });
        }
        Ok(response)
    }
}

// === impl PushResponse ===

impl PushResponse {
    fn count(&mut self, counts: Counts) {
        (self.sessions, self.written) = (counts.sessions, counts.written);
    }
}

#[tonic::async_trait]
impl PushService for Api {
    async fn push(&self, request: Request<PushRequest>) -> Result<Response<PushResponse>, Status> {
        self.push(request.into_inner()).await.map(Response::new).map_err(status)
    }

    async fn kick(&self, request: Request<KickRequest>) -> Result<Response<KickResponse>, Status> {
        self.kick(request.into_inner()).await.map(Response::new).map_err(status)
    }

    async fn unsubscribe(&self, request: Request<UnsubscribeRequest>) -> Result<Response<UnsubscribeResponse>, Status> {
        let UnsubscribeRequest { topic, users, reason } = request.into_inner();
        if users.len() > NAMES_MAX {
            return Err(status(too_many()));
        }
        self.0.expel(&topic, users, reason).await.map(|()| Response::new(UnsubscribeResponse {})).map_err(status)
    }

    async fn presence(&self, request: Request<PresenceRequest>) -> Result<Response<PresenceResponse>, Status> {
        self.presence(request.into_inner()).await.map(Response::new).map_err(status)
    }
}

/// Of how many sessions it is known that they were reached; and, if that is asked, that it was written to them.
async fn reached_by(plan: &PushPlan, asking: Option<Asking>, reached: Reached) -> Counts {
    match asking {
        None => Counts { sessions: clamped(reached.len()), written: 0 },
        Some(asking) => asking.about(reached, plan.delivery.keeping()).await,
    }
}

fn names<T: AsRef<str>>(names: &[T]) -> failure::Result<()> {
    if names.len() > NAMES_MAX {
        return Err(too_many());
    }
    let is_name = |name: &T| (1..=NAME_BYTES_MAX).contains(&name.as_ref().len());
    let what = "a user and a session have between 1 and 256 bytes";
    if names.iter().all(is_name) { Ok(()) } else { Err(Failure::gateway(Reason::NoTarget, what)) }
}

fn too_many() -> Failure {
    Failure::gateway(Reason::NoTarget, format!("more than {NAMES_MAX} names; ask several times"))
}

fn clamped(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A failure as gRPC tells it. What only we may know goes into the log.
fn status(failure: Failure) -> Status {
    if let Some(cause) = failure.cause() {
        warn!(reason = failure.reason(), cause, "the PushService cannot answer");
    }
    let details = ErrorDetails::with_error_info(failure.reason(), "push.protogate", HashMap::new());
    let code = Code::from_i32(i32::try_from(failure.code().number()).unwrap_or(2));
    Status::with_error_details(code, failure.message(), details)
}
