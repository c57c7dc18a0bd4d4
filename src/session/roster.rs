//! Every session of one user, as one document in the store: who may have how many, and which node holds which.
//!
//! All that can happen to a session is a change of this document by compare-and-set, so that two nodes cannot both be right. A session's
//! generation grows whenever it moves to another connection; whoever acts for an older one finds that it no longer may.
//! Pure: it is told the time and which nodes live.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use super::identity::Identity;
use crate::clock;
use crate::store::{Document, Key};

/// More generations than there will ever be, and few enough to count on from there.
const GENERATION_MAX: u64 = 1 << 53;

/// The sessions of one user.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct Roster {
    /// The highest generation that a session of this user had.
    generation: u64,
    /// In the order in which they were made.
    sessions: Vec<Record>,
}

/// One session.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct Record {
    pub id: String,
    pub generation: u64,
    /// The node that has its connection, or had it last.
    pub node: String,
    /// Until when it may be resumed, in milliseconds since 1970. Nothing while a connection has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detached_until_ms: Option<u64>,
    /// When its identity ends.
    pub expires_ms: u64,
    /// SHA-256 of the secret that resumes it, in base64.
    pub resume: String,
    /// What its identity is, for a resumption without a token.
    pub roles: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_id: Option<String>,
    pub issued_ms: u64,
    /// SHA-256 of the API key by which it came, in base64: whoever resumes it is asked whether that is still listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<String>,
}

/// Whether a node lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Life {
    Alive,
    /// Since this moment nobody has heard of it, in milliseconds since 1970.
    DeadSince(u64),
    /// It has been gone for so long that nobody knows since when.
    Forgotten,
}

/// How many sessions a user may have, and what happens to the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    pub per_user_max: usize,
    pub when_full: WhenFull,
    /// How long a session waits for its client.
    pub resume_window_ms: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WhenFull {
    /// The oldest session gives way.
    ReplaceOldest,
    /// The next is refused.
    Refuse,
}

/// There is no room for one more.
#[derive(PartialEq, Eq, Debug)]
pub struct Full;

// === impl Roster ===

impl Roster {
    /// The key of a user's roster.
    pub fn key(user: &str) -> Key {
        Key::new("sessions", user)
    }

    /// The roster in a document; an empty one where there is none. One that cannot be read was written by a newer version of this program,
    /// or by somebody else.
    pub fn read(document: Option<&Document>) -> Result<Roster, String> {
        let Some(document) = document else { return Ok(Roster::default()) };
        let roster: Roster = serde_json::from_slice(&document.value).map_err(|error| error.to_string())?;
        if roster.generation > GENERATION_MAX || roster.sessions.iter().any(|record| !(1..=roster.generation).contains(&record.generation))
        {
            return Err("its generations are none of ours".to_owned());
        }
        Ok(roster)
    }

    pub fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a roster is texts and numbers")
    }

    pub fn find(&self, id: &str) -> Option<&Record> {
        self.sessions.iter().find(|record| record.id == id)
    }

    /// The sessions, oldest first.
    pub fn records(&self) -> &[Record] {
        &self.sessions
    }

    /// Takes out what is over: expired, waited for in vain, or on a node that has been dead for longer than a session waits.
    pub fn prune(&mut self, now_ms: u64, rules: &Rules, life: impl Fn(&str) -> Life) {
        self.sessions.retain(|record| !record.is_over(now_ms, rules, life(&record.node)));
    }

    /// Adds a session and says which had to give way. Those that nobody is connected to go first, whatever the rules say: their clients
    /// may well be the one that comes now.
    pub fn add(&mut self, mut record: Record, rules: &Rules) -> Result<(u64, Vec<Record>), Full> {
        let mut gone = Vec::new();
        while self.sessions.len() >= rules.per_user_max.max(1) {
            let detached = self.sessions.iter().position(|record| record.detached_until_ms.is_some());
            let place = match (detached, rules.when_full) {
                (Some(place), _) => place,
                (None, WhenFull::ReplaceOldest) => 0,
                (None, WhenFull::Refuse) => return Err(Full),
            };
            gone.push(self.sessions.remove(place));
        }
        record.generation = self.next_generation();
        self.sessions.push(record);
        Ok((self.generation, gone))
    }

    /// Gives a session to a connection of `node`, and says as which generation, and what it was before.
    pub fn take_over(&mut self, id: &str, node: &str) -> Option<(u64, Record)> {
        let generation = self.next_generation();
        let record = self.sessions.iter_mut().find(|record| record.id == id)?;
        let before = record.clone();
        record.generation = generation;
        record.node = node.to_owned();
        record.detached_until_ms = None;
        Some((generation, before))
    }

    /// Changes a session if it is still of this generation.
    pub fn change(&mut self, id: &str, generation: u64, change: impl FnOnce(&mut Record)) -> bool {
        let found = self.sessions.iter_mut().find(|record| record.id == id && record.generation == generation);
        found.map(change).is_some()
    }

    /// Takes out a session that no client was ever told of.
    pub fn withdraw(&mut self, id: &str) -> bool {
        self.find(id).map(|record| record.generation).is_some_and(|generation| self.remove(id, generation))
    }

    /// Takes out a session if it is still of this generation.
    pub fn remove(&mut self, id: &str, generation: u64) -> bool {
        let before = self.sessions.len();
        self.sessions.retain(|record| record.id != id || record.generation != generation);
        self.sessions.len() < before
    }

    /// Puts back a session that the store has lost, as its node knows it.
    pub fn restore(&mut self, record: Record, rules: &Rules) -> Result<(), Full> {
        if self.sessions.len() >= rules.per_user_max.max(1) {
            return Err(Full);
        }
        self.generation = self.generation.max(record.generation);
        self.sessions.push(record);
        Ok(())
    }

    /// Has a session as its node knows it, where the store has it as it was before.
    pub fn take_back(&mut self, record: Record) -> bool {
        self.generation = self.generation.max(record.generation);
        self.sessions.iter_mut().find(|stored| stored.id == record.id).map(|stored| *stored = record).is_some()
    }

    /// For how long the document is of any use.
    pub fn ttl_ms(&self, now_ms: u64, rules: &Rules) -> u64 {
        let ends = self.sessions.iter().map(|record| match record.detached_until_ms {
            Some(until) => until,
            None => record.expires_ms.saturating_add(rules.resume_window_ms),
        });
        // The generation should outlive the last session by a moment: somebody may still act for it.
        ends.max().unwrap_or(now_ms).saturating_sub(now_ms).max(rules.resume_window_ms).max(1000)
    }

    fn next_generation(&mut self) -> u64 {
        self.generation += 1;
        self.generation
    }
}

// === impl Record ===

impl Record {
    /// A session as the store has it.
    pub fn of(id: &str, generation: u64, node: &str, identity: &Identity, resume: String) -> Record {
        Record {
            id: id.to_owned(),
            generation,
            node: node.to_owned(),
            detached_until_ms: None,
            expires_ms: clock::to_millis(identity.expires),
            resume,
            roles: identity.roles.iter().map(ToString::to_string).collect(),
            token_id: identity.token_id.as_ref().map(ToString::to_string),
            issued_ms: identity.issued_ms,
            api_key: identity.api_key.as_ref().map(|hash| BASE64_STANDARD.encode(**hash)),
        }
    }

    /// Whether the session is over, given what is known of its node.
    pub fn is_over(&self, now_ms: u64, rules: &Rules, life: Life) -> bool {
        let waited = |since: u64| since.saturating_add(rules.resume_window_ms) <= now_ms;
        match (self.detached_until_ms, life) {
            (Some(until), _) => until <= now_ms,
            (None, Life::Alive) => waited(self.expires_ms),
            (None, Life::DeadSince(since)) => waited(since.min(self.expires_ms)),
            (None, Life::Forgotten) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(id: &str) -> Record {
        Record {
            api_key: None,
            id: id.to_owned(),
            generation: 0,
            node: "a".to_owned(),
            detached_until_ms: None,
            expires_ms: 1_000_000,
            resume: String::new(),
            roles: Vec::new(),
            token_id: None,
            issued_ms: 0,
        }
    }

    #[test]
    fn a_roster_that_counts_as_no_roster_does_cannot_be_read() {
        let read = |generation, of_record| {
            let roster = Roster { generation, sessions: vec![Record { generation: of_record, ..record("a") }] };
            Roster::read(Some(&Document { value: roster.write().into(), version: 1 }))
        };
        assert!(read(3, 2).is_ok());
        for (generation, of_record) in [(3, 0), (3, 4), (u64::MAX, 3), (u64::MAX, u64::MAX)] {
            assert!(read(generation, of_record).is_err(), "{generation} {of_record}");
        }
    }

    fn rules(per_user_max: usize, when_full: WhenFull) -> Rules {
        Rules { per_user_max, when_full, resume_window_ms: 120_000 }
    }

    fn ids(records: &[Record]) -> Vec<&str> {
        records.iter().map(|record| record.id.as_str()).collect()
    }

    #[test]
    fn the_oldest_gives_way_and_before_it_whoever_is_not_connected() {
        let rules = rules(2, WhenFull::ReplaceOldest);
        let mut roster = Roster::default();
        roster.add(record("one"), &rules).unwrap();
        let (generation, _) = roster.add(record("two"), &rules).unwrap();
        assert!(roster.change("two", generation, |record| record.detached_until_ms = Some(5)));
        let (_, gone) = roster.add(record("three"), &rules).unwrap();
        assert_eq!((ids(&gone), ids(roster.records())), (vec!["two"], vec!["one", "three"]));
        let (_, gone) = roster.add(record("four"), &rules).unwrap();
        assert_eq!((ids(&gone), ids(roster.records())), (vec!["one"], vec!["three", "four"]));
    }

    #[test]
    fn where_the_next_is_refused_a_session_without_a_client_still_gives_way() {
        let rules = rules(1, WhenFull::Refuse);
        let mut roster = Roster::default();
        let (generation, _) = roster.add(record("one"), &rules).unwrap();
        assert_eq!(roster.add(record("two"), &rules).unwrap_err(), Full);
        roster.change("one", generation, |record| record.detached_until_ms = Some(5));
        assert!(roster.add(record("two"), &rules).is_ok());
    }

    #[test]
    fn whoever_acts_for_an_older_generation_changes_nothing() {
        let rules = rules(1, WhenFull::Refuse);
        let mut roster = Roster::default();
        let (first, _) = roster.add(record("one"), &rules).unwrap();
        let (second, before) = roster.take_over("one", "b").unwrap();
        assert_eq!((second, &*before.node), (first + 1, "a"));
        assert!(!roster.remove("one", first) && !roster.change("one", first, |_| unreachable!("it is of another generation")));
        assert!(roster.remove("one", second));
        assert!(roster.take_over("one", "b").is_none());
    }

    #[test]
    fn a_dead_nodes_sessions_are_over_when_their_window_is() {
        let rules = rules(1, WhenFull::Refuse);
        let record = record("one");
        assert!(!record.is_over(129_999, &rules, Life::DeadSince(10_000)));
        assert!(record.is_over(130_000, &rules, Life::DeadSince(10_000)));
        assert!(record.is_over(0, &rules, Life::Forgotten));
        assert!(!record.is_over(1_119_999, &rules, Life::Alive) && record.is_over(1_120_000, &rules, Life::Alive), "its identity ended");
        let waiting = Record { detached_until_ms: Some(500), ..record };
        assert!(!waiting.is_over(499, &rules, Life::Forgotten) && waiting.is_over(500, &rules, Life::Alive));
    }

    proptest! {
        #[test]
        fn there_are_never_more_than_allowed_and_no_generation_is_given_twice(
            max in 1usize..4, refuse in any::<bool>(), steps in proptest::collection::vec((0u8..4, 0usize..6), 0..60)
        ) {
            let rules = rules(max, if refuse { WhenFull::Refuse } else { WhenFull::ReplaceOldest });
            let (mut roster, mut given) = (Roster::default(), std::collections::BTreeSet::new());
            for (step, which) in steps {
                let id = format!("s{which}");
                let generation = roster.find(&id).map(|record| record.generation);
                let given_now = match step {
                    0 if generation.is_none() => roster.add(record(&id), &rules).ok().map(|(generation, _)| generation),
                    1 => roster.take_over(&id, "b").map(|(generation, _)| generation),
                    2 => { roster.change(&id, generation.unwrap_or(0), |record| record.detached_until_ms = Some(9)); None }
                    _ => { roster.remove(&id, generation.unwrap_or(0)); None }
                };
                prop_assert!(given_now.is_none_or(|generation| given.insert(generation)));
                prop_assert!(roster.records().len() <= max);
                let document = Document { value: roster.write().into(), version: 1 };
                prop_assert_eq!(Roster::read(Some(&document)).unwrap(), roster.clone());
            }
        }
    }
}
