//! What becomes of a session of which the store and this node do not say the same.
//!
//! Pure. Promises: of two that disagree the later generation is right; what was revoked is over, whoever says what.

use std::cmp::Ordering;

use super::live::Wanted;
use super::roster::{Full, Roster, Rules};
use crate::wire::Close;

/// What else is known of a session here.
#[derive(Clone, Copy, Default, Debug)]
pub struct Circumstances {
    /// It was revoked, or its user or token was.
    pub is_revoked: bool,
    /// It is the one that connections of this node find under its id.
    pub is_listed: bool,
    /// A connection of this node is about to have it.
    pub is_resuming: bool,
}

/// What is to be done.
#[derive(PartialEq, Eq, Debug)]
pub enum Verdict {
    /// They say the same.
    Agreed,
    /// The roster was made to agree with this node, and is to be stored.
    Store,
    /// A connection of this node is about to have it, and will say so itself.
    Later,
    /// This node gives in: this generation of it is over here.
    Over { generation: u64, close: Close },
    /// A connection of this node was promised it as this generation, and never heard so: it waits for its client.
    Promised { generation: u64 },
}

/// Compares a session as this node wants it with the roster of its user.
pub fn reconcile(roster: &mut Roster, id: &str, wanted: Wanted, circumstances: Circumstances, rules: &Rules) -> Verdict {
    let record = match wanted {
        // No client was ever told of it.
        Wanted::Over { generation: 0 } => return stored_if(roster.withdraw(id)),
        Wanted::Over { generation } => return stored_if(roster.remove(id, generation)),
        // Nobody has it yet; whoever makes it tells the store.
        Wanted::Alive(record) if record.generation == 0 => return Verdict::Agreed,
        Wanted::Alive(record) => record,
    };
    let generation = record.generation;
    if circumstances.is_revoked {
        return Verdict::Over { generation, close: Close::Revoked };
    }
    let Some(stored) = roster.find(id) else {
        // The store lost it, and there may be no room for it any more.
        return match roster.restore(record, rules) {
            Ok(()) => Verdict::Store,
            Err(Full) => Verdict::Over { generation, close: Close::Replaced },
        };
    };
    match stored.generation.cmp(&generation) {
        Ordering::Equal if *stored == record => Verdict::Agreed,
        // If less, the store was read before it was written, which the batch will find out, or it lost what it was told last.
        Ordering::Equal | Ordering::Less => stored_if(roster.take_back(record)),
        Ordering::Greater if stored.node == record.node && circumstances.is_listed => match circumstances.is_resuming {
            true => Verdict::Later,
            false => Verdict::Promised { generation: stored.generation },
        },
        // It is another connection's by now.
        Ordering::Greater => Verdict::Over { generation, close: Close::Replaced },
    }
}

fn stored_if(changed: bool) -> Verdict {
    if changed { Verdict::Store } else { Verdict::Agreed }
}

#[cfg(test)]
mod tests {
    use super::super::roster::{Record, WhenFull};
    use super::*;

    const RULES: Rules = Rules { per_user_max: 2, when_full: WhenFull::Refuse, resume_window_ms: 1000 };

    fn record(id: &str, generation: u64, node: &str) -> Record {
        Record {
            id: id.to_owned(),
            generation,
            node: node.to_owned(),
            detached_until_ms: None,
            expires_ms: 9000,
            resume: String::new(),
            roles: Vec::new(),
            token_id: None,
            issued_ms: 0,
            api_key: None,
        }
    }

    /// A roster in which `s` is the third generation that this user had, on the node `here`; the others are `other` and gone.
    fn roster() -> Roster {
        let mut roster = Roster::default();
        for id in ["gone", "other", "s"] {
            let made = roster.add(record(id, 0, "here"), &Rules { per_user_max: 3, ..RULES });
            assert!(made.is_ok_and(|(_, gone)| gone.is_empty()));
        }
        assert!(roster.remove("gone", 1));
        roster
    }

    fn said(wanted: Wanted, circumstances: Circumstances) -> Verdict {
        reconcile(&mut roster(), "s", wanted, circumstances, &RULES)
    }

    const NOTHING_ELSE: Circumstances = Circumstances { is_revoked: false, is_listed: true, is_resuming: false };

    #[test]
    fn who_agrees_has_nothing_to_do() {
        assert_eq!(said(Wanted::Alive(record("s", 3, "here")), NOTHING_ELSE), Verdict::Agreed);
        assert_eq!(said(Wanted::Alive(record("s", 0, "here")), NOTHING_ELSE), Verdict::Agreed);
        assert_eq!(said(Wanted::Over { generation: 2 }, NOTHING_ELSE), Verdict::Agreed, "the third is another connection's");
    }

    #[test]
    fn the_store_learns_what_changed_here() {
        let detached = Record { detached_until_ms: Some(5000), ..record("s", 3, "here") };
        let mut roster = roster();
        assert_eq!(reconcile(&mut roster, "s", Wanted::Alive(detached.clone()), NOTHING_ELSE, &RULES), Verdict::Store);
        assert_eq!(roster.find("s"), Some(&detached));
        for generation in [0, 3] {
            assert_eq!(said(Wanted::Over { generation }, NOTHING_ELSE), Verdict::Store);
        }
    }

    #[test]
    fn a_store_that_forgot_is_told_again_if_there_is_room() {
        let mut roster = roster();
        assert_eq!(reconcile(&mut roster, "s", Wanted::Alive(record("s", 4, "here")), NOTHING_ELSE, &RULES), Verdict::Store);
        assert!(roster.remove("s", 4));
        let wanted = || Wanted::Alive(record("s", 4, "here"));
        assert_eq!(reconcile(&mut roster, "s", wanted(), NOTHING_ELSE, &RULES), Verdict::Store);
        assert!(roster.remove("s", 4));
        let full = Rules { per_user_max: 1, ..RULES };
        let over = Verdict::Over { generation: 4, close: Close::Replaced };
        assert_eq!(reconcile(&mut roster, "s", wanted(), NOTHING_ELSE, &full), over);
    }

    #[test]
    fn a_later_generation_is_another_connections_unless_it_was_promised_here() {
        let earlier = || Wanted::Alive(record("s", 2, "here"));
        assert_eq!(said(earlier(), NOTHING_ELSE), Verdict::Promised { generation: 3 });
        assert_eq!(said(earlier(), Circumstances { is_resuming: true, ..NOTHING_ELSE }), Verdict::Later);
        let over = || Verdict::Over { generation: 2, close: Close::Replaced };
        assert_eq!(said(earlier(), Circumstances { is_listed: false, ..NOTHING_ELSE }), over());
        assert_eq!(said(Wanted::Alive(record("s", 2, "elsewhere")), NOTHING_ELSE), over());
    }

    #[test]
    fn what_was_revoked_is_over_whatever_the_store_has() {
        let revoked = Circumstances { is_revoked: true, ..NOTHING_ELSE };
        for generation in [2, 3, 4] {
            let over = Verdict::Over { generation, close: Close::Revoked };
            assert_eq!(said(Wanted::Alive(record("s", generation, "here")), revoked), over);
        }
    }
}
