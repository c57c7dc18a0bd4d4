//! Who asks: one per connection, for as long as it lasts.
//!
//! Promise: the permissions of a caller are resolved once for a table and an identity; what a call costs is one comparison and one bit.

use std::net::IpAddr;
use std::sync::Arc;

use super::identity::Identity;
use super::permission::{Grants, Permissions};
use super::told::Told;
use crate::id::{ConnectionId, Generation, WorkerId};
use crate::session::Held;

/// The caller behind one connection. Owned by the connection's task.
pub struct Caller {
    pub connection: ConnectionId,
    pub worker: WorkerId,
    /// The client's address, as trusted proxies told it.
    pub peer: IpAddr,
    identity: Option<Arc<Identity>>,
    /// The session it is in.
    held: Option<Held>,
    /// What the identity may do by the table of this generation. Dropped when the identity changes.
    grants: Option<(Generation, Grants)>,
    /// Made for the first call, given back by [`Caller::tidy`], and dropped when the identity changes.
    told: Option<Box<Told>>,
}

// === impl Caller ===

impl Caller {
    /// A caller who has not said who it is.
    pub fn new(connection: ConnectionId, worker: WorkerId, peer: IpAddr) -> Caller {
        Caller { connection, worker, peer, identity: None, held: None, grants: None, told: None }
    }

    /// Who the connection speaks for; None while it is anonymous.
    pub fn identity(&self) -> Option<&Arc<Identity>> {
        self.identity.as_ref()
    }

    /// The id of the session it is in; None while it is anonymous.
    pub fn session(&self) -> Option<&Arc<str>> {
        self.held.as_ref().map(|held| &held.session.id)
    }

    /// The session it is in; None while it is anonymous.
    pub fn held(&self) -> Option<&Held> {
        self.held.as_ref()
    }

    /// The connection speaks for this identity from now on, in this session.
    pub fn identify(&mut self, identity: Arc<Identity>, held: Held) {
        (self.identity, self.held) = (Some(identity), Some(held));
        (self.grants, self.told) = (None, None);
    }

    /// The connection speaks for nobody from now on.
    pub fn forget(&mut self) {
        (self.identity, self.held) = (None, None);
        (self.grants, self.told) = (None, None);
    }

    /// What the caller may do by `permissions`, which belong to the table of `generation`.
    pub fn grants(&mut self, generation: Generation, permissions: &Permissions) -> &Grants {
        if self.grants.as_ref().is_none_or(|(known, _)| *known != generation) {
            self.grants = None;
        }
        let identity = &self.identity;
        let resolved = self.grants.get_or_insert_with(|| {
            let grants = match identity {
                Some(identity) => permissions.grants(&identity.roles),
                None => permissions.anonymous().clone(),
            };
            (generation, grants)
        });
        &resolved.1
    }

    /// What backends are told about the caller.
    pub fn told(&mut self) -> &Told {
        let session = self.held.as_ref().map(|held| &*held.session.id);
        let (identity, peer) = (self.identity.as_deref(), self.peer);
        self.told.get_or_insert_with(|| Box::new(Told::new(identity, session, peer)))
    }

    /// Whether there is memory to give back with [`Caller::tidy`].
    pub fn is_untidy(&self) -> bool {
        self.told.is_some()
    }

    /// Gives back what only a caller that calls needs.
    pub fn tidy(&mut self) {
        self.told = None;
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::SystemTime;

    use super::*;
    use crate::pipeline::identity::Token;
    use crate::pipeline::permission::{PermissionId, RoleSpec};
    use crate::session::Session;

    fn permissions(role: &str) -> Permissions {
        let role = RoleSpec { name: role.into(), grant: vec!["**".into()], deny: vec![], inherit: vec![] };
        Permissions::compile(&[role], &["game.play".into()])
    }

    #[test]
    fn permissions_follow_the_table_and_the_identity() {
        let play = PermissionId(0);
        let mut caller = Caller::new(ConnectionId(1), WorkerId(0), Ipv4Addr::LOCALHOST.into());
        assert!(caller.grants(Generation(1), &permissions("anonymous")).permits(play));
        assert!(!caller.grants(Generation(2), &permissions("player")).permits(play));

        let alice = Arc::new(Identity {
            user: "alice".into(),
            roles: vec!["player".into()],
            token_id: None,
            issued_ms: 0,
            expires: SystemTime::UNIX_EPOCH,
            token: Some(Token::new("secret")),
            api_key: None,
        });
        let session = Session::new("s1", Arc::clone(&alice), String::new(), None);
        caller.identify(alice, Held { session, generation: 1 });
        assert!(caller.grants(Generation(2), &permissions("player")).permits(play));
        assert!(!caller.grants(Generation(3), &permissions("anonymous")).permits(play));
        assert!(!format!("{:?}", caller.identity()).contains("secret"));

        caller.forget();
        assert!(caller.grants(Generation(3), &permissions("anonymous")).permits(play));
    }
}
