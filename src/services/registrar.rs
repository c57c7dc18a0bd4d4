//! How an endpoint registers, and stays registered: by the Registry of a gateway.
//!
//! Promises: it is renewed three times within its lease; what a gateway has forgotten is registered again; when it leaves, that is said
//! before anything else happens.

use std::time::Duration;

use http::{HeaderValue, header};
use prost::Message;
use tokio::runtime::Handle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::unary::Way;
use crate::backend::{self, Backend, Builtins, Spec, SpecKind};
use crate::failure::{Code, Failure, Result};
use crate::registry::v1::{DeregisterRequest, DeregisterResponse, RegisterRequest, RegisterResponse, RenewRequest, RenewResponse};

/// How long a gateway may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// The largest answer.
const REPLY_BYTES_MAX: usize = 16 << 10;

/// The pause after a gateway could not be asked: it doubles from the first to the last.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// How often it is tried to leave. What does not succeed ends with its lease.
const FAREWELLS: u32 = 3;

/// One endpoint, and the way to where it registers.
pub struct Registrar {
    way: Way,
    request: RegisterRequest,
    lease: Option<Lease>,
}

struct Lease {
    id: String,
    renewed_every: Duration,
}

// === impl Registrar ===

impl Registrar {
    /// By one of the gateways at these addresses, which want this token. The error is for a person.
    pub fn new(gateways: SpecKind, token: &str, request: RegisterRequest, runtime: &Handle) -> std::result::Result<Registrar, String> {
        let spec = Spec { name: "registry".into(), kind: gateways };
        let backend = Backend::open(spec, 1, &Builtins::new(runtime.clone()), None)?;
        let mut bearer = HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|_| "the token holds characters that HTTP does not allow".to_owned())?;
        bearer.set_sensitive(true);
        let headers = backend::headers([(header::AUTHORIZATION, bearer)]).into();
        let way = Way { backend, headers, patience: PATIENCE, reply_bytes_max: REPLY_BYTES_MAX };
        Ok(Registrar { way, request, lease: None })
    }

    /// Registers, stays registered until it is asked to `leave`, and leaves. Fails when it is refused for good at first.
    pub async fn stay(mut self, leave: &CancellationToken) -> Result<()> {
        let (mut pause, mut is_first, mut was_refused) = (PAUSE_MIN, true, false);
        while !leave.is_cancelled() {
            // Not given up half-way: a lease of which nobody knows would outlast its endpoint.
            let wait = match self.step().await {
                Ok(wait) => {
                    (pause, is_first, was_refused) = (PAUSE_MIN, false, false);
                    wait
                }
                Err(failure) if is_first && is_final(&failure) => return Err(failure),
                Err(failure) => {
                    if !was_refused {
                        warn!(
                            reason = failure.reason(),
                            why = failure.message(),
                            "the gateway cannot be told of this endpoint, trying again"
                        );
                    }
                    was_refused = true;
                    let wait = pause;
                    pause = PAUSE_MAX.min(pause * 2);
                    wait
                }
            };
            tokio::select! {
                biased;
                () = leave.cancelled() => {}
                () = sleep(wait) => {}
            }
        }
        self.leave().await;
        Ok(())
    }

    /// Renews the lease, or registers where there is none. How long until the next time.
    async fn step(&mut self) -> Result<Duration> {
        if let Some(lease) = &self.lease {
            let request = RenewRequest { backend: self.request.backend.clone(), lease: lease.id.clone() };
            match self.call::<_, RenewResponse>("/protogate.registry.v1.Registry/Renew", &request).await {
                Ok(RenewResponse {}) => return Ok(lease.renewed_every),
                Err(failure) if failure.code() == Code::NotFound => debug!("the lease has ended"),
                Err(failure) => return Err(failure),
            }
            self.lease = None;
        }
        let RegisterResponse { lease, url, ttl_seconds } = self.call("/protogate.registry.v1.Registry/Register", &self.request).await?;
        info!(backend = self.request.backend, url, "registered");
        let renewed_every = Duration::from_secs(ttl_seconds.max(1).into()) / 3;
        self.lease = Some(Lease { id: lease, renewed_every });
        Ok(renewed_every)
    }

    async fn leave(self) {
        let Some(Lease { id, .. }) = &self.lease else { return };
        let request = DeregisterRequest { backend: self.request.backend.clone(), lease: id.clone() };
        for _ in 0..FAREWELLS {
            match self.call::<_, DeregisterResponse>("/protogate.registry.v1.Registry/Deregister", &request).await {
                Ok(DeregisterResponse {}) => return info!(backend = self.request.backend, "no longer registered"),
                Err(failure) => {
                    warn!(reason = failure.reason(), why = failure.message(), "the gateway cannot be told that this endpoint leaves");
                    sleep(PAUSE_MIN).await;
                }
            }
        }
    }

    async fn call<Q: Message, A: Message + Default>(&self, path: &'static str, request: &Q) -> Result<A> {
        self.way.call(path, request).await
    }
}

/// Whether asking again would be answered alike.
fn is_final(failure: &Failure) -> bool {
    matches!(failure.code(), Code::Unauthenticated | Code::PermissionDenied | Code::InvalidArgument | Code::Unimplemented)
}
