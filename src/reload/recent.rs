//! How often each route was called in the last hour: for whoever is about to take one away.
//!
//! Nothing of it is on the data path: once a minute, and when a table takes another's place, the totals that routes count anyway are
//! looked at. Promises: what is said is never less than the calls that ended in the last hour, and at most a minute's more, also of a route
//! that went and came back; a route that nobody calls costs nothing, and one that is gone is forgotten within an hour.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::Reloader;
use crate::table::Table;

const EVERY: Duration = Duration::from_secs(60);

/// An hour of them, and the one that is running.
const MINUTES: usize = 61;

/// Routes that are gone, and were called in the last hour. Of more the calls are forgotten.
const GONE_MAX: usize = 10_000;

/// The calls of each route that has any, by its name.
#[derive(Default)]
pub struct Recent(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    routes: HashMap<Arc<str>, Window>,
    /// The minute that is running.
    now: usize,
}

/// One route.
struct Window {
    /// Its total when it was looked at last. A route that is gone, and comes back, counts from the start.
    total: u64,
    /// What came in each minute; beyond what fits, as much as fits.
    minutes: Box<[u32; MINUTES]>,
}

// === impl Recent ===

impl Recent {
    /// Looks at all routes of a table.
    pub(super) fn look(&self, table: &Table) {
        self.count(table.routes().map(|route| (Arc::clone(&route.name), route.counters.calls())));
    }

    /// How many calls of a route ended in the last hour. `total`: how many it has counted by now.
    pub fn calls(&self, name: &str, total: u64) -> u64 {
        self.lock().routes.get(name).map_or(total, |window| window.calls() + window.since(total))
    }

    /// Names of routes, and how many calls each has counted.
    fn count(&self, totals: impl Iterator<Item = (Arc<str>, u64)>) {
        let mut seen = self.lock();
        let (now, mut before) = (seen.now, std::mem::take(&mut seen.routes));
        for (name, total) in totals.filter(|(_, total)| *total > 0) {
            let mut window = before.remove(&name).unwrap_or_else(|| Window { total: 0, minutes: Box::new([0; MINUTES]) });
            let since = u32::try_from(window.since(total)).unwrap_or(u32::MAX);
            window.minutes[now] = window.minutes[now].saturating_add(since);
            window.total = total;
            seen.routes.insert(name, window);
        }
        let gone = before.into_iter().filter(|(_, window)| window.calls() > 0).take(GONE_MAX);
        seen.routes.extend(gone.map(|(name, window)| (name, Window { total: 0, ..window })));
    }

    /// A minute is over.
    fn turn(&self) {
        let mut seen = self.lock();
        let now = (seen.now + 1) % MINUTES;
        seen.now = now;
        seen.routes.values_mut().for_each(|window| window.minutes[now] = 0);
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().expect("nothing panics while it looks at numbers")
    }
}

// === impl Window ===

impl Window {
    fn calls(&self) -> u64 {
        self.minutes.iter().map(|count| u64::from(*count)).sum()
    }

    fn since(&self, total: u64) -> u64 {
        total.checked_sub(self.total).unwrap_or(total)
    }
}

/// Looks once a minute, for as long as the gateway runs. Never ends by itself.
pub async fn follow(reloader: Arc<Reloader>) {
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        reloader.recent.look(&reloader.reader.load());
        reloader.recent.turn();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(recent: &Recent, total: u64) {
        recent.count([(Arc::from("echo"), total)].into_iter());
    }

    fn minute(recent: &Recent, total: u64) {
        count(recent, total);
        recent.turn();
    }

    #[test]
    fn an_hour_of_calls_is_told_and_no_more() {
        let recent = Recent::default();
        assert_eq!(recent.calls("echo", 7), 7, "before anybody has looked, all there are");
        minute(&recent, 10);
        assert_eq!(recent.calls("echo", 15), 15, "those of this minute count");
        count(&recent, 12);
        assert_eq!(recent.calls("echo", 15), 15, "however often somebody has looked");
        for _ in 1..MINUTES {
            minute(&recent, 15);
        }
        assert_eq!(recent.calls("echo", 16), 6, "those of an hour ago do not");
        minute(&recent, 16);
        assert_eq!(recent.calls("echo", 16), 1);
    }

    #[test]
    fn a_route_that_went_and_came_back_keeps_its_calls() {
        let recent = Recent::default();
        minute(&recent, 5);
        count(&recent, 7);
        // Another table has no such route, and the one after that counts it anew.
        recent.count(std::iter::empty());
        recent.turn();
        count(&recent, 0);
        assert_eq!(recent.calls("echo", 9), 16);
        minute(&recent, 9);
        assert_eq!(recent.calls("echo", 9), 16);
    }

    #[test]
    fn what_is_not_called_or_is_long_gone_is_not_kept() {
        let recent = Recent::default();
        minute(&recent, 0);
        assert!(recent.lock().routes.is_empty());
        minute(&recent, 5);
        for _ in 0..MINUTES {
            recent.count(std::iter::empty());
            recent.turn();
        }
        recent.count(std::iter::empty());
        assert!(recent.lock().routes.is_empty());
        assert_eq!(recent.calls("echo", 0), 0);
    }
}
