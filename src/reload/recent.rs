//! How often each route was called in the last hour: for whoever is about to take one away.
//!
//! Nothing of it is on the data path: once a minute the totals that routes count anyway are looked at. Promises: what is said is never less
//! than the calls that ended in the last hour, and at most a minute's more; a route that nobody calls costs nothing; what a table no longer
//! has is forgotten.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::Reloader;

const EVERY: Duration = Duration::from_secs(60);

/// An hour of them.
const MINUTES: usize = 60;

/// The calls of each route that has any, by its name.
#[derive(Default)]
pub struct Recent(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    routes: HashMap<Arc<str>, Window>,
    /// Which minute is written next.
    next: usize,
}

/// One route.
struct Window {
    /// Its total when it was looked at last.
    total: u64,
    /// What came in each minute; beyond what fits, as much as fits.
    minutes: Box<[u32; MINUTES]>,
}

// === impl Recent ===

impl Recent {
    /// Looks at all routes of a table: their names, and how many calls each has counted.
    fn look(&self, totals: impl Iterator<Item = (Arc<str>, u64)>) {
        let mut seen = self.lock();
        let (minute, mut before) = (seen.next, std::mem::take(&mut seen.routes));
        seen.next = (minute + 1) % MINUTES;
        for (name, total) in totals.filter(|(_, total)| *total > 0) {
            let mut window = before.remove(&name).unwrap_or_else(|| Window { total: 0, minutes: Box::new([0; MINUTES]) });
            // A route that went and came back counts from the start.
            let new = total.checked_sub(window.total).unwrap_or(total);
            window.minutes[minute] = u32::try_from(new).unwrap_or(u32::MAX);
            window.total = total;
            seen.routes.insert(name, window);
        }
    }

    /// How many calls of a route ended in the last hour. `total`: how many it has counted by now.
    pub fn calls(&self, name: &str, total: u64) -> u64 {
        match self.lock().routes.get(name) {
            Some(window) => {
                let since = total.checked_sub(window.total).unwrap_or(total);
                window.minutes.iter().map(|count| u64::from(*count)).sum::<u64>() + since
            }
            None => total,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().expect("nothing panics while it looks at numbers")
    }
}

/// Looks once a minute, for as long as the gateway runs. Never ends by itself.
pub async fn follow(reloader: Arc<Reloader>) {
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let live = reloader.reader.load();
        reloader.recent.look(live.routes().map(|route| (Arc::clone(&route.name), route.counters.calls())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(recent: &Recent, total: u64) {
        recent.look([(Arc::from("echo"), total)].into_iter());
    }

    #[test]
    fn an_hour_of_calls_is_told_and_no_more() {
        let recent = Recent::default();
        assert_eq!(recent.calls("echo", 7), 7, "before anybody has looked, all there are");
        look(&recent, 10);
        assert_eq!(recent.calls("echo", 15), 15, "those of this minute count");
        for _ in 1..MINUTES {
            look(&recent, 15);
        }
        assert_eq!(recent.calls("echo", 16), 16);
        look(&recent, 16);
        assert_eq!(recent.calls("echo", 16), 6, "those of an hour ago do not");
    }

    #[test]
    fn what_is_not_called_or_is_gone_is_not_kept() {
        let recent = Recent::default();
        look(&recent, 0);
        assert!(recent.lock().routes.is_empty());
        look(&recent, 5);
        recent.look(std::iter::empty());
        assert!(recent.lock().routes.is_empty());
        assert_eq!(recent.calls("echo", 0), 0);
    }
}
