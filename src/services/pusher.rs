//! How a service reaches clients: the PushService of a gateway, in this process or elsewhere.
//!
//! Promises: every call ends within [`PATIENCE`]; one that fails says so, and whoever calls decides whether that matters: what must not be
//! lost is in the service's own store before it is pushed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use prost::Message;

use super::unary::Way;
use crate::backend::{self, Backend, Builtins, Spec, SpecKind};
use crate::failure::Result;
use crate::push::v1::push_request::Target;
use crate::push::v1::{
    KickRequest, KickResponse, PresenceRequest, PresenceResponse, PushRequest, PushResponse, TopicPresence, UnsubscribeRequest,
    UnsubscribeResponse, UserPresence, Users,
};

/// How long the gateway may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// The largest answer: a thousand topics with their members.
const REPLY_BYTES_MAX: usize = 16 << 20;

/// Users in one request.
const USERS_MAX: usize = 1000;

/// The name of the service among those of the process.
const BUILTIN: &str = "push";

/// The way to the PushService. Clones are the same way.
#[derive(Clone)]
pub struct Pusher(Way);

// === impl Pusher ===

impl Pusher {
    /// To the service of this process.
    pub fn inside<S>(service: S, runtime: &tokio::runtime::Handle) -> Pusher
    where
        S: tower::Service<http::Request<tonic::body::Body>, Response = http::Response<tonic::body::Body>, Error = std::convert::Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        let mut builtins = Builtins::new(runtime.clone());
        builtins.add(BUILTIN, service);
        let spec = Spec { name: BUILTIN.into(), kind: SpecKind::Builtin(BUILTIN.into()) };
        let backend = Backend::open(spec, 1, &builtins, None).expect("the service was added just now");
        Pusher::over(backend, backend::headers([]))
    }

    /// To a gateway elsewhere, which wants this token. The error is for a person.
    pub fn remote(kind: SpecKind, token: &str, runtime: &tokio::runtime::Handle) -> std::result::Result<Pusher, String> {
        let backend = Backend::open(Spec { name: BUILTIN.into(), kind }, 1, &Builtins::new(runtime.clone()), None)?;
        let mut bearer = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| "the token holds characters that HTTP does not allow".to_owned())?;
        bearer.set_sensitive(true);
        Ok(Pusher::over(backend, backend::headers([(header::AUTHORIZATION, bearer)])))
    }

    fn over(backend: Arc<Backend>, headers: HeaderMap) -> Pusher {
        Pusher(Way { backend, headers: Arc::new(headers), patience: PATIENCE, reply_bytes_max: REPLY_BYTES_MAX })
    }

    /// Sends a message to all sessions of these users, in as many requests as it takes.
    pub async fn to_users(&self, users: &[String], number: u32, message: &impl Message) -> Result<()> {
        let payload = Bytes::from(message.encode_to_vec());
        for users in users.chunks(USERS_MAX) {
            let target = Target::Users(Users { users: users.to_vec() });
            self.push(PushRequest { number, payload: payload.clone(), wait: 0, target: Some(target) }).await?;
        }
        Ok(())
    }

    /// Sends a message to whoever hears a topic.
    pub async fn to_topic(&self, topic: &str, number: u32, message: &impl Message) -> Result<PushResponse> {
        let payload = Bytes::from(message.encode_to_vec());
        self.push(PushRequest { number, payload, wait: 0, target: Some(Target::Topic(topic.to_owned())) }).await
    }

    pub async fn push(&self, request: PushRequest) -> Result<PushResponse> {
        self.call("/protogate.push.v1.PushService/Push", &request).await
    }

    /// Who is in these topics, in their order; at most a thousand of them.
    pub async fn members(&self, topics: Vec<String>) -> Result<Vec<TopicPresence>> {
        Ok(self.presence(PresenceRequest { topics, users: Vec::new() }).await?.topics)
    }

    /// Where these users are, in their order; at most a thousand of them.
    pub async fn whereabouts(&self, users: Vec<String>) -> Result<Vec<UserPresence>> {
        Ok(self.presence(PresenceRequest { topics: Vec::new(), users }).await?.users)
    }

    /// Takes users out of a topic, or everybody if none is named.
    pub async fn unsubscribe(&self, topic: &str, users: &[String], reason: &str) -> Result<()> {
        let request = UnsubscribeRequest { topic: topic.to_owned(), users: users.to_vec(), reason: reason.to_owned() };
        self.call::<_, UnsubscribeResponse>("/protogate.push.v1.PushService/Unsubscribe", &request).await.map(drop)
    }

    /// Ends all sessions of a user.
    pub async fn kick(&self, user: &str, reason: &str) -> Result<KickResponse> {
        let request = KickRequest { user: user.to_owned(), session: String::new(), reason: reason.to_owned() };
        self.call("/protogate.push.v1.PushService/Kick", &request).await
    }

    async fn presence(&self, request: PresenceRequest) -> Result<PresenceResponse> {
        self.call("/protogate.push.v1.PushService/Presence", &request).await
    }

    async fn call<Q: Message, A: Message + Default>(&self, path: &'static str, request: &Q) -> Result<A> {
        self.0.call(path, request).await
    }
}

/// A PushService that remembers what it was asked, for the tests of services.
#[cfg(test)]
pub mod testing {
    use std::collections::HashMap;
    use std::sync::{Arc, Mutex};

    use tokio::runtime::Handle;
    use tonic::{Request, Response, Status};

    use super::Pusher;
    use crate::push::v1::push_service_server::{PushService, PushServiceServer};
    use crate::push::v1::{
        KickRequest, KickResponse, Member, PresenceRequest, PresenceResponse, PushRequest, PushResponse, TopicPresence, UnsubscribeRequest,
        UnsubscribeResponse, UserPresence,
    };

    /// What was asked of the service, and what it says of topics. Clones are the same.
    #[derive(Clone, Default)]
    pub struct Recorder(Arc<Mutex<State>>);

    #[derive(Default)]
    struct State {
        pushes: Vec<PushRequest>,
        unsubscribed: Vec<UnsubscribeRequest>,
        kicked: Vec<KickRequest>,
        members: HashMap<String, Vec<Member>>,
        broken: bool,
    }

    impl Recorder {
        /// The way to it. To be made on the runtime of the test.
        pub fn pusher(&self) -> Pusher {
            Pusher::inside(PushServiceServer::new(self.clone()), &Handle::current())
        }

        /// What was pushed since this was last asked.
        pub fn pushed(&self) -> Vec<PushRequest> {
            std::mem::take(&mut self.0.lock().unwrap().pushes)
        }

        pub fn unsubscribed(&self) -> Vec<UnsubscribeRequest> {
            std::mem::take(&mut self.0.lock().unwrap().unsubscribed)
        }

        pub fn kicked(&self) -> Vec<KickRequest> {
            std::mem::take(&mut self.0.lock().unwrap().kicked)
        }

        /// From now on these users are in a topic, each in one session that is connected.
        pub fn set_members(&self, topic: &str, users: &[&str]) {
            let member = |user: &&str| Member { user: (*user).to_owned(), session: format!("s-{user}"), since_ms: 0, connected: true };
            self.0.lock().unwrap().members.insert(topic.to_owned(), users.iter().map(member).collect());
        }

        /// From now on nothing succeeds, or everything does again.
        pub fn set_broken(&self, broken: bool) {
            self.0.lock().unwrap().broken = broken;
        }

        fn answer<T>(&self, answer: impl FnOnce(&mut State) -> T) -> Result<Response<T>, Status> {
            let mut state = self.0.lock().unwrap();
            if state.broken { Err(Status::unavailable("broken by a test")) } else { Ok(Response::new(answer(&mut state))) }
        }
    }

    #[tonic::async_trait]
    impl PushService for Recorder {
        async fn push(&self, request: Request<PushRequest>) -> Result<Response<PushResponse>, Status> {
            self.answer(|state| {
                state.pushes.push(request.into_inner());
                PushResponse::default()
            })
        }

        async fn kick(&self, request: Request<KickRequest>) -> Result<Response<KickResponse>, Status> {
            self.answer(|state| {
                state.kicked.push(request.into_inner());
                KickResponse::default()
            })
        }

        async fn unsubscribe(&self, request: Request<UnsubscribeRequest>) -> Result<Response<UnsubscribeResponse>, Status> {
            self.answer(|state| {
                state.unsubscribed.push(request.into_inner());
                UnsubscribeResponse::default()
            })
        }

        async fn presence(&self, request: Request<PresenceRequest>) -> Result<Response<PresenceResponse>, Status> {
            let PresenceRequest { topics, users } = request.into_inner();
            self.answer(|state| {
                let topic = |topic: String| TopicPresence { members: state.members.get(&topic).cloned().unwrap_or_default(), topic };
                let user = |user: String| UserPresence {
                    sessions: state.members.values().flatten().filter(|member| member.user == user).cloned().collect(),
                    user,
                };
                PresenceResponse { topics: topics.into_iter().map(topic).collect(), users: users.into_iter().map(user).collect() }
            })
        }
    }
}
