//! `push:` to the listener of the PushService, and what opens it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::process::bearer;
use super::{Context, certificate, missing};
use crate::config::document::{GatewayFile, PushListener};
use crate::diagnostic::{Report, Spanned};
use crate::files::Files;
use crate::push::door::{TOKEN_BYTES_MIN, Token};
use crate::table::settings::PushSide;
use crate::tls::{Certificate, Without};

const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7082);

/// Where services push, and the certificate they see there. Off where nothing is said.
pub fn compile(gateway: &GatewayFile, files: &Files, context: &Context, report: &mut Report) -> (Option<PushSide>, Option<Certificate>) {
    let Some(push) = &gateway.push else { return (None, None) };
    let token = push.token.as_ref().map(|token| {
        bearer(token, "the token of services", TOKEN_BYTES_MIN, "push.token", report);
        Token::new(token.expose())
    });
    let without = if token.is_some() { Without::Taken } else { Without::Refused };
    let certificate = push.tls.as_ref().and_then(|tls| certificate::of_push(tls, without, files, report));
    require(push, report);
    let address = context.push.or(push.address.as_ref().map(|address| address.0)).unwrap_or(ADDRESS);
    let side = PushSide { address, token, tls: certificate.as_ref().map(|certificate| certificate.place.clone()) };
    (Some(side), certificate)
}

/// Whoever reaches this side may say anything to anybody, so it is never open, not even on loopback.
fn require(push: &Spanned<PushListener>, report: &mut Report) {
    let certificates = push.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    // What was written and could not be read has been reported.
    let spoken_of = ["push.token", "push.tls", "push.tls.client_ca"].into_iter().any(|key| report.speaks_of(key));
    if push.token.is_some() || certificates || spoken_of {
        return;
    }
    let lines = "add to gateway.yaml:\nvars:\n  push_token: { env: PUSH_TOKEN, secret: true }\npush:\n  token: \"${var.push_token}\"\nor name who signs the certificates of services: `tls: { cert: server.pem, key: server.key, client_ca: services.pem }`";
    report.push(
        missing(push.span, "whoever reaches the push side could push, so it needs a token or certificates", lines).path("push.token"),
    );
}
