//! The sessions of this node, by id and by user.
//!
//! Both lists hold sessions and nothing else; their names are read from them, which for ten thousands of idle sessions is worth the detour.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard};

use foldhash::fast::RandomState;
use smallvec::{SmallVec, smallvec};

use super::live::Session;

/// All of them.
#[derive(Default)]
pub struct Registry {
    index: Mutex<Index>,
}

#[derive(Default)]
struct Index {
    by_id: HashSet<ById, RandomState>,
    by_user: HashSet<OfUser, RandomState>,
}

/// A session, found by its id.
struct ById(Arc<Session>);

/// The sessions of one user, at least one, found by the user.
struct OfUser(SmallVec<[Arc<Session>; 1]>);

// === impl Registry ===

impl Registry {
    /// Lists a session, instead of one with the same id.
    pub fn insert(&self, session: &Arc<Session>) -> Option<Arc<Session>> {
        let mut index = self.lock();
        let before = index.by_id.replace(ById(Arc::clone(session))).map(|ById(before)| before);
        if let Some(before) = &before {
            index.forget_user(before);
        }
        let mut sessions = index.by_user.take(&*session.user).map_or_else(|| smallvec![], |OfUser(sessions)| sessions);
        sessions.push(Arc::clone(session));
        index.by_user.insert(OfUser(sessions));
        before
    }

    pub fn get(&self, id: &str) -> Option<Arc<Session>> {
        self.lock().by_id.get(id).map(|ById(session)| Arc::clone(session))
    }

    /// The sessions that a user has here.
    pub fn of_user(&self, user: &str) -> Vec<Arc<Session>> {
        self.lock().by_user.get(user).map_or_else(Vec::new, |OfUser(sessions)| sessions.to_vec())
    }

    pub fn all(&self) -> Vec<Arc<Session>> {
        self.lock().by_id.iter().map(|ById(session)| Arc::clone(session)).collect()
    }

    /// Takes exactly this session off the list, not one that has its id by now.
    pub fn remove(&self, session: &Arc<Session>) {
        let mut index = self.lock();
        if index.by_id.get(&*session.id).is_some_and(|ById(listed)| Arc::ptr_eq(listed, session)) {
            index.by_id.remove(&*session.id);
            index.forget_user(session);
        }
    }

    pub fn len(&self) -> usize {
        self.lock().by_id.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        self.index.lock().expect("nothing that holds the list panics")
    }
}

// === impl Index ===

impl Index {
    fn forget_user(&mut self, session: &Arc<Session>) {
        let Some(OfUser(mut sessions)) = self.by_user.take(&*session.user) else { return };
        sessions.retain(|listed| !Arc::ptr_eq(listed, session));
        if !sessions.is_empty() {
            self.by_user.insert(OfUser(sessions));
        }
    }
}

// === impl ById ===

impl Borrow<str> for ById {
    fn borrow(&self) -> &str {
        &self.0.id
    }
}

impl PartialEq for ById {
    fn eq(&self, other: &ById) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for ById {}

impl Hash for ById {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id.hash(state);
    }
}

// === impl OfUser ===

impl OfUser {
    fn user(&self) -> &str {
        &self.0.first().expect("a user without sessions is not listed").user
    }
}

impl Borrow<str> for OfUser {
    fn borrow(&self) -> &str {
        self.user()
    }
}

impl PartialEq for OfUser {
    fn eq(&self, other: &OfUser) -> bool {
        self.user() == other.user()
    }
}

impl Eq for OfUser {}

impl Hash for OfUser {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.user().hash(state);
    }
}
