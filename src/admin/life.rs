//! How long one connection of the operator's may live.
//!
//! What goes on for longer than a request says how long; nothing lives for longer than was said.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// The end of a connection, which stands among the extensions of its requests. Clones are of the same connection.
#[derive(Clone)]
pub struct Life(Arc<Mutex<Instant>>);

// === impl Life ===

impl Life {
    pub fn of(time: Duration) -> Life {
        Life(Arc::new(Mutex::new(Instant::now() + time)))
    }

    /// From now on it lasts at least so long.
    pub fn last(&self, time: Duration) {
        let mut end = self.0.lock().expect("nothing that holds it panics");
        *end = (*end).max(Instant::now() + time);
    }

    /// Does something until it is done, or the life is over.
    pub async fn bound(&self, work: impl Future) {
        let over = async {
            loop {
                let end = self.end();
                sleep_until(end).await;
                if end == self.end() {
                    return;
                }
            }
        };
        tokio::select! {
            biased;
            () = over => {}
            _ = work => {}
        }
    }

    fn end(&self) -> Instant {
        *self.0.lock().expect("nothing that holds it panics")
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_ends_when_it_was_said_and_never_earlier_than_it_was_said_before() {
        let (life, began) = (Life::of(Duration::from_secs(60)), Instant::now());
        life.bound(pending::<()>()).await;
        assert_eq!(began.elapsed().as_secs(), 60);
        let (life, began) = (Life::of(Duration::from_secs(60)), Instant::now());
        let longer = async {
            life.last(Duration::from_secs(100));
            life.last(Duration::from_secs(1));
            pending::<()>().await;
        };
        life.bound(longer).await;
        assert_eq!(began.elapsed().as_secs(), 100);
        life.bound(async {}).await;
    }
}
