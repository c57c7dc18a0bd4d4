//! Who asks: one per connection, for as long as it lasts.
//!
//! Promise: the permissions of a caller are resolved once for a table and an identity; what a call costs is one comparison and one bit.

use std::net::IpAddr;
use std::sync::Arc;

use super::identity::Identity;
use super::permission::{Grants, Permissions};
use super::told::Told;
use crate::id::{ConnectionId, Generation, WorkerId};
use crate::session::{Attachment, Held};
use crate::telemetry::trace::Traces;

/// The caller behind one connection. Owned by the connection's task.
pub struct Caller {
    pub connection: ConnectionId,
    pub worker: WorkerId,
    /// The client's address, as trusted proxies told it.
    pub peer: IpAddr,
    identity: Option<Arc<Identity>>,
    /// The session it is in.
    attachment: Option<Attachment>,
    /// What the identity may do by the table of this generation. Dropped when the identity changes.
    grants: Option<(Generation, Grants)>,
    /// Made for the first call, given back by [`Caller::tidy`], and dropped when the identity changes.
    told: Option<Box<Told>>,
}

// === impl Caller ===

impl Caller {
    /// A caller who has not said who it is.
    pub fn new(connection: ConnectionId, worker: WorkerId, peer: IpAddr) -> Caller {
        Caller { connection, worker, peer, identity: None, attachment: None, grants: None, told: None }
    }

    /// Who the connection speaks for; None while it is anonymous.
    pub fn identity(&self) -> Option<&Arc<Identity>> {
        self.identity.as_ref()
    }

    /// The id of the session it is in; None while it is anonymous.
    pub fn session(&self) -> Option<&Arc<str>> {
        self.attachment.as_ref().map(|attachment| &attachment.session().id)
    }

    /// The session it is in; None while it is anonymous.
    pub fn held(&self) -> Option<Held> {
        self.attachment.as_ref().map(Attachment::held)
    }

    /// The client has every push of its session up to this one.
    pub fn acknowledge(&self, seq: u32) {
        if let Some(attachment) = &self.attachment {
            attachment.session().acknowledge(seq);
        }
    }

    /// The connection speaks for this identity from now on, in this session. Answers which one it was in before.
    pub fn enter(&mut self, identity: Arc<Identity>, attachment: Attachment) -> Option<Attachment> {
        self.refresh(identity);
        self.attachment.replace(attachment)
    }

    /// The connection speaks for a later identity of the same user, in the same session.
    pub fn refresh(&mut self, identity: Arc<Identity>) {
        self.identity = Some(identity);
        (self.grants, self.told) = (None, None);
    }

    /// The connection speaks for nobody from now on. Answers which session it was in.
    pub fn leave(&mut self) -> Option<Attachment> {
        self.identity = None;
        (self.grants, self.told) = (None, None);
        self.attachment.take()
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
        self.told_mut()
    }

    /// The ids and the dice of its calls that are traced.
    pub fn traces(&mut self) -> &mut Traces {
        self.told_mut().traces.get_or_insert_default()
    }

    fn told_mut(&mut self) -> &mut Told {
        let session = self.attachment.as_ref().map(|attachment| &*attachment.session().id);
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
        let attachment = Attachment::for_tests("s1", &alice);
        caller.enter(alice, attachment);
        assert!(caller.grants(Generation(2), &permissions("player")).permits(play));
        assert!(!caller.grants(Generation(3), &permissions("anonymous")).permits(play));
        assert!(!format!("{:?}", caller.identity()).contains("secret"));

        drop(caller.leave());
        assert!(caller.grants(Generation(3), &permissions("anonymous")).permits(play));
    }
}
