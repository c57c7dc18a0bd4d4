//! The `endpoints` and the `balance` of a backend: who shares its calls, and how.

use super::items;
use crate::backend::{BalancePolicy, EndpointSpec, SpecKind};
use crate::config::document::{self, Backend, Endpoint, Grpc};
use crate::config::grammar::WordOr;
use crate::config::value::{EndpointUrl, Line};
use crate::diagnostic::{Diagnostic, Rule, Span, Spanned};

/// The heaviest endpoint. A share of a thousandth is as fine as anybody can tell.
const WEIGHT_MAX: u32 = 1000;

/// The endpoints that are written, each once. Paths of findings start at the backend.
pub fn endpoints(grpc: &Grpc) -> Result<Vec<EndpointSpec>, Diagnostic> {
    let mut found: Vec<(EndpointSpec, Span)> = Vec::new();
    for (index, written) in items(&grpc.endpoints).iter().enumerate() {
        let path = format!("grpc.endpoints[{index}]");
        let Some(spec) = endpoint(&written.value).map_err(|finding| finding.path(format!("{path}.weight")))? else { continue };
        if let Some((_, first)) = found.iter().find(|(other, _)| other.is_same_place(&spec)) {
            let what = format!("the endpoint `{}:{}` is listed twice", spec.host, spec.port);
            return Err(Diagnostic::new(Rule::BadValue, written.span, what)
                .related(*first, "listed first here")
                .help("list it once; for more calls give it a `weight`")
                .path(path));
        }
        found.push((spec, written.span));
    }
    Ok(found.into_iter().map(|(spec, _)| spec).collect())
}

/// None of a finding: its URL is missing or could not be read, which has been reported.
fn endpoint(written: &WordOr<EndpointUrl, Endpoint>) -> Result<Option<EndpointSpec>, Diagnostic> {
    let at = |url: &EndpointUrl| EndpointSpec::new(url.host.as_str(), url.port, url.tls);
    let more = match written {
        WordOr::Word(url) => return Ok(Some(at(url))),
        WordOr::Map(more) => more,
    };
    let text = |text: &Option<Spanned<Line>>| text.as_ref().map(|text| text.as_str().to_owned());
    let weight = match &more.weight {
        Some(weight) if !(1..=WEIGHT_MAX).contains(&weight.value) => {
            let what = format!("a weight of {} cannot be compared with the others'", weight.value);
            let finding = Diagnostic::new(Rule::BadValue, weight.span, what);
            return Err(finding.help(format!("write a number from 1 to {WEIGHT_MAX}; to have no calls sent there, remove the endpoint")));
        }
        weight => weight.as_ref().map_or(1, |weight| weight.value),
    };
    let url = more.url.as_ref();
    Ok(url.map(|url| EndpointSpec { weight, zone: text(&more.zone), version: text(&more.version), ..at(url) }))
}

/// Says in `kind` how the endpoints of `backend` share its calls.
pub fn apply(name: &str, backend: &Backend, mut kind: SpecKind) -> Result<SpecKind, Diagnostic> {
    let Some(balance) = &backend.balance else { return Ok(kind) };
    match (&mut kind, balance.policy.as_ref().map(|policy| policy.value)) {
        (SpecKind::Builtin(_), _) => {
            let what = format!("`balance` does nothing: `{name}` is a service of this process");
            return Err(Diagnostic::new(Rule::BadValue, balance.span, what).help("remove it").path("balance"));
        }
        (SpecKind::Grpc(_), None) => {}
        (SpecKind::Grpc(grpc), Some(policy)) => {
            grpc.balance = match policy {
                document::BalancePolicy::RoundRobin => BalancePolicy::RoundRobin,
                document::BalancePolicy::LeastRequest => BalancePolicy::LeastRequest,
                document::BalancePolicy::ConsistentHash => BalancePolicy::ConsistentHash,
            }
        }
    }
    Ok(kind)
}
