//! The sessions of this node, by id and by user.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use super::live::Session;

/// All of them.
#[derive(Default)]
pub struct Registry {
    index: Mutex<Index>,
}

#[derive(Default)]
struct Index {
    by_id: HashMap<Arc<str>, Arc<Session>, RandomState>,
    by_user: HashMap<Arc<str>, SmallVec<[Arc<Session>; 1]>, RandomState>,
}

// === impl Registry ===

impl Registry {
    /// Lists a session, instead of one with the same id.
    pub fn insert(&self, session: &Arc<Session>) -> Option<Arc<Session>> {
        let mut index = self.lock();
        let before = index.by_id.insert(Arc::clone(&session.id), Arc::clone(session));
        if let Some(before) = &before {
            index.forget_user(before);
        }
        index.by_user.entry(Arc::clone(&session.user)).or_default().push(Arc::clone(session));
        before
    }

    pub fn get(&self, id: &str) -> Option<Arc<Session>> {
        self.lock().by_id.get(id).cloned()
    }

    /// The sessions that a user has here.
    pub fn of_user(&self, user: &str) -> Vec<Arc<Session>> {
        self.lock().by_user.get(user).map_or_else(Vec::new, |sessions| sessions.to_vec())
    }

    pub fn all(&self) -> Vec<Arc<Session>> {
        self.lock().by_id.values().cloned().collect()
    }

    /// Takes exactly this session off the list, not one that has its id by now.
    pub fn remove(&self, session: &Arc<Session>) {
        let mut index = self.lock();
        if index.by_id.get(&session.id).is_some_and(|listed| Arc::ptr_eq(listed, session)) {
            index.by_id.remove(&session.id);
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

impl Index {
    fn forget_user(&mut self, session: &Arc<Session>) {
        if let Some(sessions) = self.by_user.get_mut(&session.user) {
            sessions.retain(|listed| !Arc::ptr_eq(listed, session));
            if sessions.is_empty() {
                self.by_user.remove(&session.user);
            }
        }
    }
}
