//! Who a limit refuses just now, for the operator.
//!
//! Limits know their keys by hash alone. This keeps readable ones of those that were refused lately. Promises: at most [`KEPT_MAX`] for a
//! limit, those that were refused most; a text is made only where something is refused; when two workers refuse at once, one of them does
//! not wait to note it, so that counts here are a little low; a value of a request is shown by a short hash of a secret kind alone.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::buckets::Key;

/// How many are kept.
const KEPT_MAX: usize = 32;

/// How long somebody who is no longer limited is still shown.
const LINGERING: Duration = Duration::from_secs(60);

/// Those who were refused lately.
#[derive(Default)]
pub struct LimitedKeys(Mutex<Vec<Limited>>);

/// One key of a limit.
#[derive(Clone)]
pub struct Limited {
    key: Key,
    /// Its parts, such as `user alice` or `peer 192.0.2.7, route 2003`.
    pub text: Box<str>,
    /// When it was refused first.
    pub since: Instant,
    /// When it has a token again.
    pub until: Instant,
    /// How often it was refused since.
    pub refused: u64,
}

// === impl LimitedKeys ===

impl LimitedKeys {
    /// Notes that a key was refused, for so long; `text` says which it is.
    pub fn note(&self, key: Key, now: Instant, wait: Duration, text: impl FnOnce() -> String) {
        let Ok(mut kept) = self.0.try_lock() else { return };
        let until = now.checked_add(wait).unwrap_or(now);
        if let Some(known) = kept.iter_mut().find(|limited| limited.key == key) {
            if known.until + LINGERING < now {
                (known.since, known.refused) = (now, 0);
            }
            (known.until, known.refused) = (until, known.refused + 1);
            return;
        }
        if kept.len() >= KEPT_MAX {
            let weakest =
                kept.iter().enumerate().min_by_key(|(_, limited)| (limited.until + LINGERING >= now, limited.refused, limited.until));
            let (weakest, _) = weakest.expect("there are as many as are kept");
            kept.swap_remove(weakest);
        }
        kept.push(Limited { key, text: text().into(), since: now, until, refused: 1 });
    }

    /// Those who are limited, or were a moment ago, who was refused most first.
    pub fn all(&self, now: Instant) -> Vec<Limited> {
        let mut all = self.0.lock().expect("nothing panics while it holds the keys").clone();
        all.retain(|limited| limited.until + LINGERING >= now);
        all.sort_by_key(|limited| std::cmp::Reverse(limited.refused));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::buckets::Buckets;

    fn key(buckets: &Buckets, name: u32) -> Key {
        let mut key = buckets.key();
        key.part(0, &name.to_le_bytes());
        key.finish()
    }

    #[test]
    fn who_is_refused_most_is_kept_through_a_flood_of_others() {
        let (limited, buckets, now) = (LimitedKeys::default(), Buckets::new(100), Instant::now());
        for _ in 0..3 {
            limited.note(key(&buckets, 0), now, Duration::from_secs(1), || "user alice".to_owned());
        }
        for name in 1..10_000 {
            limited.note(key(&buckets, name), now, Duration::from_secs(1), || format!("user {name}"));
        }
        let all = limited.all(now);
        assert_eq!((all.len(), &*all[0].text, all[0].refused), (KEPT_MAX, "user alice", 3));
    }

    #[test]
    fn who_waited_long_enough_is_forgotten_and_begins_anew() {
        let (limited, buckets, now) = (LimitedKeys::default(), Buckets::new(100), Instant::now());
        let note = |at| limited.note(key(&buckets, 0), at, Duration::from_secs(1), || "user alice".to_owned());
        note(now);
        assert_eq!(limited.all(now + Duration::from_secs(61)).len(), 1);
        assert_eq!(limited.all(now + Duration::from_secs(62)).len(), 0);
        let later = now + Duration::from_secs(100);
        note(later);
        assert_eq!(limited.all(later).iter().map(|one| (one.since, one.refused)).collect::<Vec<_>>(), [(later, 1)]);
    }
}
