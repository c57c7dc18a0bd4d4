//! What a plan and the live table have in common, as far as it is compared.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Named;
use crate::backend::Spec;
use crate::diagnostic::Span;
use crate::pipeline::api_key::ApiKeySpec;
use crate::pipeline::auth::IssuerSpec;
use crate::pipeline::permission::{ANONYMOUS, Grants, PermissionId, Permissions};
use crate::pipeline::rate_limit::LimitSpec;
use crate::proto::Method;
use crate::table::explain::{Explained, Line};
use crate::table::plan::{Access, Plan, PushPlan, StreamPlan, TopicPlan};
use crate::table::{Fixed, Settings, Table};

/// One side of a comparison.
pub struct View<'a> {
    pub(super) settings: &'a Settings,
    /// Nothing of what is live: what differs there is refused as such.
    pub(super) fixed: Option<&'a Fixed>,
    pub(super) permissions: &'a Permissions,
    /// Whose tokens are believed.
    pub(super) issuers: BTreeMap<&'a str, &'a IssuerSpec>,
    pub(super) api_keys: BTreeMap<&'a str, &'a ApiKeySpec>,
    pub(super) backends: BTreeMap<&'a str, &'a Spec>,
    pub(super) limits: BTreeMap<&'a str, &'a LimitSpec>,
    pub(super) routes: BTreeMap<u32, RouteView<'a>>,
    pub(super) pushes: BTreeMap<u32, &'a PushPlan>,
    pub(super) topics: &'a [TopicPlan],
    pub(super) explained: &'a Explained,
}

/// One route of it.
pub(super) struct RouteView<'a> {
    pub number: u32,
    pub name: &'a str,
    pub method: &'a Method,
    pub access: Access,
    pub permissions: Vec<PermissionId>,
    pub limits: BTreeSet<&'a str>,
    pub timeout: Duration,
    pub request_bytes_max: usize,
    pub reply_bytes_max: usize,
    pub answers_success: bool,
    pub stream: StreamPlan,
}

/// Somebody who may or may not call: nobody in particular, somebody without a role, or somebody with one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who<'a> {
    Anonymous,
    Anybody,
    Role(&'a str),
}

// === impl View ===

impl<'a> View<'a> {
    /// Where something of a route is written: a key of it, or else the route itself.
    pub(super) fn place(&self, number: u32, key: &str) -> Option<Span> {
        self.explained.place(number, key).or_else(|| self.explained.place(number, "rpc"))
    }

    /// All that is written of a route, and what is built in.
    pub(super) fn lines(&self, number: u32) -> Vec<Line> {
        self.explained.route(number).unwrap_or_default()
    }

    /// The routes that the other has not.
    pub(super) fn only(&self, other: &View<'_>) -> Vec<Named> {
        self.routes.values().filter(|route| !other.routes.contains_key(&route.number)).map(RouteView::named).collect()
    }

    /// What somebody is granted.
    pub(super) fn grants(&self, who: Who<'_>) -> Grants {
        match who {
            Who::Anonymous => self.permissions.anonymous().clone(),
            Who::Anybody => self.permissions.grants(&[]),
            Who::Role(role) => self.permissions.grants(&[role.into()]),
        }
    }
}

impl<'a> From<&'a Plan> for View<'a> {
    fn from(plan: &'a Plan) -> View<'a> {
        let routes = plan.routes.iter().map(|route| RouteView {
            number: route.number.0,
            name: &route.name,
            method: &route.method,
            access: route.access,
            permissions: route.permissions.iter().map(|(bit, _)| *bit).collect(),
            limits: route.limits.iter().map(|used| &*plan.limits[used.limit].name).collect(),
            timeout: route.timeout,
            request_bytes_max: route.request_bytes_max,
            reply_bytes_max: route.reply_bytes_max,
            answers_success: route.answers_success,
            stream: route.stream,
        });
        View {
            settings: &plan.settings,
            fixed: Some(&plan.fixed),
            permissions: &plan.permissions,
            issuers: plan.tokens.issuers.iter().map(|spec| (spec.issuer.as_str(), spec)).collect(),
            api_keys: plan.tokens.api_keys.iter().map(|key| (&*key.name, key)).collect(),
            backends: plan.backends.iter().map(|spec| (&*spec.name, spec)).collect(),
            limits: plan.limits.iter().map(|spec| (&*spec.name, spec)).collect(),
            routes: routes.map(|route| (route.number, route)).collect(),
            pushes: plan.pushes.iter().map(|push| (push.number.0, push)).collect(),
            topics: &plan.topics,
            explained: &plan.explained,
        }
    }
}

impl<'a> From<&'a Table> for View<'a> {
    fn from(table: &'a Table) -> View<'a> {
        let routes = table.routes().map(|route| RouteView {
            number: route.number.0,
            name: &route.name,
            method: &route.method,
            access: route.access,
            permissions: route.permissions.iter().map(|(bit, _)| *bit).collect(),
            limits: route.limits.iter().map(|used| &*used.limiter.spec().name).collect(),
            timeout: route.timeout,
            request_bytes_max: route.request_bytes_max,
            reply_bytes_max: route.reply_bytes_max,
            answers_success: route.answers_success,
            stream: route.stream,
        });
        View {
            settings: &table.settings,
            fixed: None,
            permissions: &table.permissions,
            issuers: table.verifier.issuers().map(|spec| (spec.issuer.as_str(), spec)).collect(),
            api_keys: table.verifier.api_keys().map(|key| (&*key.name, key)).collect(),
            backends: table.backends.iter().map(|backend| (&**backend.name(), backend.spec())).collect(),
            limits: table.limiters.iter().map(|limiter| (&*limiter.spec().name, limiter.spec())).collect(),
            routes: routes.map(|route| (route.number, route)).collect(),
            pushes: table.pushes().map(|push| (push.number.0, &**push)).collect(),
            topics: table.topics(),
            explained: &table.explained,
        }
    }
}

// === impl RouteView ===

impl RouteView<'_> {
    pub fn named(&self) -> Named {
        Named { number: self.number, name: self.name.to_owned() }
    }

    /// Whether somebody may call it who is granted this.
    pub fn admits(&self, who: Who<'_>, grants: &Grants) -> bool {
        let is_known = who != Who::Anonymous || self.access == Access::Anonymous;
        is_known && self.permissions.iter().all(|permission| grants.permits(*permission))
    }
}

// === impl Who ===

impl<'a> Who<'a> {
    /// Everybody whom one of two tables tells from others.
    pub fn all(before: &View<'a>, after: &View<'a>) -> BTreeSet<Who<'a>> {
        let roles = before.permissions.roles().chain(after.permissions.roles()).map(|role| &**role).filter(|role| *role != ANONYMOUS);
        [Who::Anonymous, Who::Anybody].into_iter().chain(roles.map(Who::Role)).collect()
    }

    /// As a sentence begins with.
    pub fn name(self) -> String {
        match self {
            Who::Anonymous => format!("`{ANONYMOUS}`"),
            Who::Anybody => "whoever is logged in, without any role,".to_owned(),
            Who::Role(role) => format!("`{role}`"),
        }
    }
}
