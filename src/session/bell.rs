//! Wakes connections from other threads: all of one worker with one crossing.
//!
//! Waking a task of another thread costs a system call, so that a message for ten thousand connections would cost ten thousand. Who is to
//! be woken is put on the list of its worker instead; only the first on it wakes the worker, whose ringer then wakes the others at home,
//! where that is a push onto a queue. Promises: whoever rings does not wait; everybody on the list is woken in the order of the rings.

use std::sync::{Mutex, MutexGuard};
use std::task::Waker;

use tokio::sync::Notify;

/// One worker's. Clones of its `Arc` are in the hands of whoever has something for a connection of the worker.
#[derive(Default)]
pub struct Bell {
    /// Whoever waits to be woken. Not more than a few for each connection of the worker: a connection puts itself on it again only when it
    /// was polled, and the ringer's turn comes as often as anybody's.
    waiting: Mutex<Vec<Waker>>,
    rung: Notify,
}

// === impl Bell ===

impl Bell {
    /// Has a task of the worker woken.
    pub fn ring(&self, task: Waker) {
        let is_first = {
            let mut waiting = self.lock();
            waiting.push(task);
            waiting.len() == 1
        };
        if is_first {
            self.rung.notify_one();
        }
    }

    /// Wakes whoever is rung for, until it is dropped. To be run by the worker.
    pub async fn run(&self) {
        // Two lists take turns, so that neither has to grow again for every message.
        let mut woken = Vec::new();
        loop {
            self.rung.notified().await;
            std::mem::swap(&mut *self.lock(), &mut woken);
            woken.drain(..).for_each(Waker::wake);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Waker>> {
        self.waiting.lock().expect("nothing that holds the list panics")
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Wake};

    use super::*;

    /// Whoever is woken says so in here.
    struct Sleeper(u32, Arc<Mutex<Vec<u32>>>);

    impl Wake for Sleeper {
        fn wake(self: Arc<Self>) {
            self.1.lock().unwrap().push(self.0);
        }
    }

    #[test]
    fn the_first_ring_wakes_the_worker_and_the_worker_wakes_everybody_in_order() {
        let (bell, woken) = (Bell::default(), Arc::default());
        let rings = Arc::default();
        let ringer = Waker::from(Arc::new(Sleeper(0, Arc::clone(&rings))));
        let mut running = pin!(bell.run());
        let mut turn = || assert!(running.as_mut().poll(&mut Context::from_waker(&ringer)).is_pending());
        turn();
        for message in 1..=2 {
            for number in 1..=3 {
                bell.ring(Waker::from(Arc::new(Sleeper(number, Arc::clone(&woken)))));
            }
            assert_eq!((rings.lock().unwrap().len(), woken.lock().unwrap().len()), (message, 0));
            turn();
            assert_eq!(std::mem::take(&mut *woken.lock().unwrap()), [1, 2, 3]);
        }
    }
}
