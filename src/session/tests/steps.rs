//! What can happen to sessions, and how often: the steps of the model.

use proptest::prelude::*;

pub const NODES: usize = 3;
pub const USERS: [&str; 2] = ["alice", "bob"];
pub const SLOTS: usize = 5;

#[derive(Clone, Copy, Debug)]
pub enum Step {
    Login {
        slot: usize,
        node: usize,
    },
    /// The connection is gone, and its node knows.
    Drop {
        slot: usize,
    },
    /// Those that were sent away notice.
    DropStale,
    /// On whatever node, whether the old connection is known to be gone or not.
    Resume {
        slot: usize,
        node: usize,
    },
    Logout {
        slot: usize,
    },
    RevokeSession {
        slot: usize,
    },
    RevokeToken {
        slot: usize,
    },
    RevokeUser {
        user: usize,
    },
    Push {
        user: usize,
        node: usize,
    },
    Acknowledge {
        slot: usize,
    },
    Wait {
        seconds: u64,
    },
    Settle,
    Kill {
        node: usize,
    },
    /// The store fails, or works again.
    Break {
        broken: bool,
    },
}

pub fn step() -> impl Strategy<Value = Step> {
    let (slot, node) = (0..SLOTS, 0..NODES);
    prop_oneof![
        6 => (slot.clone(), node.clone()).prop_map(|(slot, node)| Step::Login { slot, node }),
        4 => slot.clone().prop_map(|slot| Step::Drop { slot }),
        2 => Just(Step::DropStale),
        6 => (slot.clone(), node.clone()).prop_map(|(slot, node)| Step::Resume { slot, node }),
        1 => slot.clone().prop_map(|slot| Step::Logout { slot }),
        1 => slot.clone().prop_map(|slot| Step::RevokeSession { slot }),
        1 => slot.clone().prop_map(|slot| Step::RevokeToken { slot }),
        1 => (0..USERS.len()).prop_map(|user| Step::RevokeUser { user }),
        5 => (0..USERS.len(), node.clone()).prop_map(|(user, node)| Step::Push { user, node }),
        1 => slot.prop_map(|slot| Step::Acknowledge { slot }),
        3 => prop_oneof![Just(1u64), Just(50), Just(119), Just(121), Just(400)].prop_map(|seconds| Step::Wait { seconds }),
        5 => Just(Step::Settle),
        1 => node.prop_map(|node| Step::Kill { node }),
        1 => any::<bool>().prop_map(|broken| Step::Break { broken }),
    ]
}
