//! The same work for each of many things, on a few threads.

use std::sync::Mutex;
use std::thread;

/// More would wait for memory rather than compute, and a reload shares the machine with the calls.
const THREADS_MAX: usize = 4;

/// Fewer things are done sooner than a thread is started.
const THINGS_MIN: usize = 64;

/// Does `work` for each thing; the answers stand in the order of the things. A panic of `work` is one here.
pub(super) fn in_parallel<T: Send, R: Send>(things: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let threads = thread::available_parallelism().map_or(1, |count| count.get().min(THREADS_MAX));
    if things.len() < THINGS_MIN || threads == 1 {
        return things.into_iter().map(work).collect();
    }
    let (mut done, things) = (Vec::with_capacity(things.len()), Mutex::new(things.into_iter().enumerate()));
    let run = || {
        let next = || things.lock().expect("an iterator over a list does not panic").next();
        std::iter::from_fn(next).map(|(at, thing)| (at, work(thing))).collect::<Vec<(usize, R)>>()
    };
    thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
        done.extend(run());
        for helper in helpers {
            match helper.join() {
                Ok(answers) => done.extend(answers),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, answer)| answer).collect()
}

#[cfg(test)]
mod tests {
    use super::in_parallel;

    #[test]
    fn answers_stand_in_the_order_of_the_things() {
        let doubled: Vec<usize> = in_parallel((0..1000).collect(), |thing: usize| thing * 2);
        assert_eq!(doubled, (0..1000).map(|thing| thing * 2).collect::<Vec<_>>());
    }

    #[test]
    #[should_panic = "seven"]
    fn a_panic_is_not_lost() {
        in_parallel((0..1000).collect(), |thing: usize| assert!(thing != 7, "seven"));
    }
}
