//! The Registry: how endpoints register. `proto/protogate/registry/v1` is the contract.
//!
//! Promises: without the token of the backend nobody learns whether there is such a backend; what is registered is an address in its
//! networks, and never one of those that no service is at.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use tracing::{info, warn};

use super::leases::{Lease, Refused};
use super::v1::registry_server::{Registry as Service, RegistryServer};
use super::v1::{DeregisterRequest, DeregisterResponse, RegisterRequest, RegisterResponse, RenewRequest, RenewResponse};
use super::{Registry, Rule};
use crate::accept::Peer;
use crate::backend::{ENDPOINTS_MAX, Written, may_register};

/// What the paths of this service begin with.
pub const PATH: &str = "/protogate.registry.v1.Registry/";

/// The largest request.
const REQUEST_BYTES_MAX: usize = 16 << 10;

/// How long a lease lasts where nothing is said, and how long it may.
const TTL: Duration = Duration::from_secs(15);
const TTL_SECONDS_MIN: u64 = 5;
const TTL_SECONDS_MAX: u64 = 300;

/// The service, ready to be served. To be called on the back room.
pub fn service(registry: Registry) -> RegistryServer<impl Service> {
    RegistryServer::new(registry).max_decoding_message_size(REQUEST_BYTES_MAX)
}

// === impl Registry ===

impl Registry {
    /// The rule of the backend, for who shows its token.
    fn rule<T>(&self, request: &Request<T>, backend: &str) -> Result<Rule, Status> {
        let rules = self.rules.load();
        let rule = rules.iter().find(|rule| &*rule.backend == backend);
        rule.filter(|rule| rule.token.is_shown(request.metadata().as_ref())).cloned().ok_or_else(|| {
            let what = "nothing is registered for this backend by this token; send `authorization: Bearer TOKEN` with `grpc.registry.token` of the backend";
            refusal(Code::Unauthenticated, "UNAUTHENTICATED", what)
        })
    }
}

#[tonic::async_trait]
impl Service for Registry {
    async fn register(&self, request: Request<RegisterRequest>) -> Result<Response<RegisterResponse>, Status> {
        let rule = self.rule(&request, &request.get_ref().backend)?;
        let caller = request.extensions().get::<Peer>().map(|peer| peer.0.ip());
        let request = request.into_inner();
        let ttl = ttl(request.ttl_seconds)?;
        let endpoint = endpoint(&rule, &request, caller)?;
        let lease = Lease { endpoint, ttl_ms: ttl.as_millis() as u64 };
        let id = self.leases.register(&rule.backend, &lease).await.map_err(status)?;
        let url = lease.endpoint.url;
        info!(backend = &*rule.backend, url, "an endpoint has registered");
        Ok(Response::new(RegisterResponse { lease: id, url, ttl_seconds: ttl.as_secs() as u32 }))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewResponse>, Status> {
        let rule = self.rule(&request, &request.get_ref().backend)?;
        let renewed = self.leases.renew(&rule.backend, known(&request.get_ref().lease)?).await;
        renewed.map(|()| Response::new(RenewResponse {})).map_err(status)
    }

    async fn deregister(&self, request: Request<DeregisterRequest>) -> Result<Response<DeregisterResponse>, Status> {
        let rule = self.rule(&request, &request.get_ref().backend)?;
        let ended = self.leases.deregister(&rule.backend, known(&request.get_ref().lease)?).await;
        ended.map(|()| Response::new(DeregisterResponse {})).map_err(status)
    }
}

/// What is registered, as it will be called.
fn endpoint(rule: &Rule, request: &RegisterRequest, caller: Option<IpAddr>) -> Result<Written, Status> {
    let invalid = |what: String| refusal(Code::InvalidArgument, "INVALID_ENDPOINT", what);
    let own = |(scheme, rest): (&str, &str)| match (rest.starts_with(':'), caller.map(|caller| caller.to_canonical())) {
        (true, Some(IpAddr::V4(caller))) => Some(format!("{scheme}://{caller}{rest}")),
        (true, Some(IpAddr::V6(caller))) => Some(format!("{scheme}://[{caller}]{rest}")),
        _ => None,
    };
    let url = request.url.split_once("://").and_then(own).unwrap_or_else(|| request.url.clone());
    let label = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let (zone, version) = (label(&request.zone), label(&request.version));
    let written = Written { url, weight: request.weight.max(1), zone, version };
    let spec = written.read().map_err(invalid)?;
    let Ok(address) = spec.host.parse::<IpAddr>() else {
        return Err(invalid(format!("`{}` is no IP address; register one, or leave it out (`http://:50051`) for your own", spec.host)));
    };
    match may_register(&rule.allow, address) {
        true => Ok(written),
        false => {
            let what = format!("{address} may not be registered; `grpc.registry.allow` of the backend says which addresses may");
            Err(refusal(Code::PermissionDenied, "ADDRESS_REFUSED", what))
        }
    }
}

fn ttl(seconds: u32) -> Result<Duration, Status> {
    match u64::from(seconds) {
        0 => Ok(TTL),
        seconds @ TTL_SECONDS_MIN..=TTL_SECONDS_MAX => Ok(Duration::from_secs(seconds)),
        seconds => {
            let what = format!("a lease lasts {TTL_SECONDS_MIN} to {TTL_SECONDS_MAX} seconds, not {seconds}");
            Err(refusal(Code::InvalidArgument, "INVALID_TTL", what))
        }
    }
}

/// An id that could be one of ours.
fn known(lease: &str) -> Result<&str, Status> {
    let is_ours = (1..=64).contains(&lease.len()) && lease.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_ours { Ok(lease) } else { Err(status(Refused::Unknown)) }
}

/// As gRPC tells it. What only we may know goes into the log.
fn status(refused: Refused) -> Status {
    match refused {
        Refused::Full => {
            let what = format!("the backend has {ENDPOINTS_MAX} endpoints, which is the most");
            refusal(Code::ResourceExhausted, "REGISTRY_FULL", what)
        }
        Refused::Unknown => refusal(Code::NotFound, "LEASE_UNKNOWN", "there is no such lease, or it has ended; register again"),
        Refused::Store(error) => {
            warn!(%error, "the registry cannot answer");
            refusal(Code::Unavailable, "UNAVAILABLE", "the store is not available; try again")
        }
    }
}

fn refusal(code: Code, reason: &str, what: impl Into<String>) -> Status {
    Status::with_error_details(code, what, ErrorDetails::with_error_info(reason, "registry.protogate", HashMap::new()))
}
