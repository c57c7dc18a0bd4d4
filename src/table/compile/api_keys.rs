//! `auth.api_keys` to the keys of programs.

use std::collections::BTreeMap;

use super::items;
use crate::config::document::GatewayFile;
use crate::diagnostic::{Diagnostic, Report, Rule, Span};
use crate::pipeline::api_key::ApiKeySpec;
use crate::pipeline::identity::is_user;

/// Every key that can be used; the others are reported.
pub fn compile(gateway: &GatewayFile, report: &mut Report) -> Vec<ApiKeySpec> {
    let mut keys = Vec::new();
    let mut names: BTreeMap<&str, Span> = BTreeMap::new();
    for (index, key) in gateway.auth.iter().flat_map(|auth| items(&auth.api_keys)).enumerate() {
        let path = format!("auth.api_keys[{index}]");
        let (Some(name), Some(user), Some(hash)) = (&key.name, &key.user, &key.hash) else { continue };
        if let Some(first) = names.insert(name.as_str(), name.span) {
            report.push(
                Diagnostic::new(Rule::DuplicateName, name.span, format!("the API key `{}` is declared twice", name.as_str()))
                    .label("declared again here")
                    .related(first, "declared first here")
                    .help("give each key a name of its own, so that each can be taken back")
                    .path(format!("{path}.name")),
            );
            continue;
        }
        if !is_user(user.as_str()) {
            let what = "a user has at most 256 bytes and no control characters";
            report.push(
                Diagnostic::new(Rule::BadValue, user.span, what).help("write a name such as `service:ci`").path(format!("{path}.user")),
            );
            continue;
        }
        keys.push(ApiKeySpec {
            name: name.shared(),
            user: user.as_str().into(),
            roles: items(&key.roles).iter().map(|role| role.shared()).collect(),
            hash: hash.0,
        });
    }
    keys
}
