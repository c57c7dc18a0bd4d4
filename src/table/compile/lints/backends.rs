//! Backends that everybody on the way can listen to, that may all be left alone, or that cannot do what routes ask of them.

use std::net::IpAddr;

use super::Scope;
use crate::backend::{Source, SpecKind};
use crate::config::Environment;
use crate::config::document::Backend;
use crate::config::grammar::WordOr;
use crate::diagnostic::{Diagnostic, Report, Rule, Spanned};
use crate::table::compile::process::place_of_gateway;
use crate::table::compile::{entries, items};

/// The method of the built-in auth service that sends mail.
const FORGOT_PASSWORD: &str = "/protogate.auth.v1.AuthService/ForgotPassword";

pub fn lint(scope: &Scope<'_>, report: &mut Report) {
    for (name, backend) in scope.document.groups.iter().flat_map(|group| entries(&group.routes.backends)) {
        if scope.document.environment == Environment::Production {
            clear_text(name.as_str(), backend, report);
        }
        ejects_all(name.as_str(), backend, scope, report);
    }
    no_mail(scope, report);
}

/// A name may lead to anywhere, so only addresses are judged.
fn clear_text(name: &str, backend: &Spanned<Backend>, report: &mut Report) {
    let Some(grpc) = &backend.grpc else { return };
    for (index, written) in items(&grpc.endpoints).iter().enumerate() {
        let url = match &written.value {
            WordOr::Word(url) => Some(url),
            WordOr::Map(more) => more.url.as_ref().map(|url| &url.value),
        };
        let Some(url) = url.filter(|url| !url.tls) else { continue };
        let address = url.host.trim_matches(['[', ']']).parse::<IpAddr>().ok();
        if !address.is_some_and(|address| is_open(address.to_canonical())) {
            continue;
        }
        let what = format!("calls of `{name}` go to {} in clear text, and with them what users say", url.host);
        report.push(
            Diagnostic::new(Rule::ClearText, written.span, what)
                .label("an address of the open network")
                .help("write `https://` in front of it, and `tls: { ca: ca.pem }` beside `endpoints` where your own authority signs")
                .path(format!("backends.{name}.grpc.endpoints[{index}]")),
        );
    }
}

/// Whether packets to an address may leave the operator's own network.
fn is_open(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            let is_shared = first == 100 && (64..128).contains(&second);
            !(address.is_loopback() || address.is_private() || address.is_link_local() || address.is_unspecified() || is_shared)
        }
        IpAddr::V6(address) => {
            !(address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local() || address.is_unspecified())
        }
    }
}

/// One endpoint may always be left alone; it is several that are all gone at once.
fn ejects_all(name: &str, backend: &Spanned<Backend>, scope: &Scope<'_>, report: &mut Report) {
    let ejected = backend.breaker.as_ref().and_then(|breaker| breaker.ejected_max.as_ref());
    let Some(ejected) = ejected.filter(|share| share.0 == 100) else { return };
    let kind = scope.backends.index_of(name).map(|index| &scope.backends.get(index).kind);
    let is_alone = matches!(kind, Some(SpecKind::Grpc(grpc)) if matches!(&grpc.source, Source::Static(endpoints) if endpoints.len() == 1));
    if is_alone {
        return;
    }
    let what = format!("every endpoint of `{name}` may be left alone at once, and then every call fails");
    report.push(
        Diagnostic::new(Rule::EjectsAll, ejected.span, what)
            .help("write `50%`, so that a mistake in one call cannot take the whole service away")
            .path(format!("backends.{name}.breaker.ejected_max")),
    );
}

/// A service of this process that is to send mail, and has no way to.
fn no_mail(scope: &Scope<'_>, report: &mut Report) {
    if scope.settings.accounts.mail.is_some() {
        return;
    }
    let is_ours = |index: usize| matches!(&scope.backends.get(index).kind, SpecKind::Builtin(service) if &**service == "auth");
    for (written, plan) in scope.routes().filter(|(_, plan)| plan.method.path.as_str() == FORGOT_PASSWORD) {
        if !plan.backends.all().any(is_ours) {
            continue;
        }
        let Some(missing) = place_of_gateway(scope.document) else { continue };
        let auth = scope.document.gateway.auth.as_ref();
        let what = format!("route {} sends codes for forgotten passwords by mail, and no mail server is named", plan.number.0);
        let lines = "add to gateway.yaml, or say in `allow` there that none is wanted:\nauth:\n  mail:\n    from: \"Game <game@example.com>\"\n    smtp: { host: smtp.example.com, user: game, password: \"${var.smtp_password}\" }";
        let place = written.route.rpc.as_ref().map_or(written.place, |rpc| rpc.span);
        let finding = Diagnostic::new(Rule::NoMail, auth.map_or(missing, |auth| auth.span), what).related(place, "sends mail");
        report.push(finding.help(lines).path("auth.mail"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_the_own_network_is_told_from_what_does_not() {
        let open = |text: &str| is_open(text.parse::<IpAddr>().expect(text).to_canonical());
        for own in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.1.1",
            "100.64.0.1",
            "::1",
            "fd00::1",
            "fe80::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(!open(own), "{own}");
        }
        for other in ["203.0.113.7", "100.128.0.1", "172.32.0.1", "2001:db8::1", "::ffff:203.0.113.7"] {
            assert!(open(other), "{other}");
        }
    }
}
