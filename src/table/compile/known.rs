//! The names that a configuration has, for schemas with which an editor completes them. What is wrong elsewhere does not matter.

use super::descriptors;
use super::{entries, items};
use crate::config::Document;
use crate::config::document::Policy;
use crate::config::schema::Known;
use crate::diagnostic::Report;
use crate::files::Files;
use crate::proto::Pools;

/// Every name that something in the document may refer to.
pub fn known(document: &mut Document, files: &Files, pools: &Pools, report: &mut Report) -> Known {
    let descriptors = descriptors::load(document, files, pools, report);
    let messages = descriptors.index.messages().map(str::to_owned).collect();
    let mut known = Known { methods: descriptors.methods_said(), messages, ..Known::default() };
    for group in &document.groups {
        let routes = &group.routes;
        known.backends.extend(entries(&routes.backends).map(|(name, _)| name.as_str().to_owned()));
        known.limits.extend(entries(&routes.rate_limits).map(|(name, _)| name.as_str().to_owned()));
        known.topics.extend(entries(&routes.topics).map(|(pattern, _)| pattern.as_str().to_owned()));
        let named = |name: Option<&str>| name.unwrap_or_default().to_owned();
        known.pushes.extend(entries(&routes.pushes).map(|(number, push)| (number.0, named(push.name.as_ref().map(|name| name.as_str())))));
        if let Some(permissions) = &routes.permissions {
            for (name, role) in entries(&permissions.roles) {
                known.roles.push(name.as_str().to_owned());
                known.permissions.extend(items(&role.grant).iter().chain(items(&role.deny)).map(|pattern| pattern.as_str().to_owned()));
            }
        }
        routes.defaults.iter().for_each(|defaults| required(defaults, &mut known));
        entries(&routes.routes).for_each(|(_, route)| required(&route.policy, &mut known));
    }
    for names in [&mut known.messages, &mut known.backends, &mut known.limits, &mut known.roles, &mut known.permissions, &mut known.topics]
    {
        names.sort_unstable();
        names.dedup();
    }
    known
}

fn required(policy: &Policy, known: &mut Known) {
    known.permissions.extend(policy.permissions.iter().flat_map(|edit| edit.items()).map(|permission| permission.as_str().to_owned()));
}
