//! The same work for each of many things, on a few threads.

use std::sync::Mutex;
use std::thread;

/// More would wait for memory rather than compute, and a reload shares the machine with the calls.
const THREADS_MAX: usize = 4;

/// Fewer things are done sooner than a thread is started.
const THINGS_MIN: usize = 64;

/// Does `work` for each thing; the answers stand in the order of the things. A panic of `work` is one here.
pub(super) fn in_parallel<T: Send, R: Send>(things: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    in_parallel_with_heavy(Vec::new(), things, work)
}

/// The same, where for some things there is room for one at a time. They are done first, beside the others, and answered first.
pub(super) fn in_parallel_with_heavy<T: Send, R: Send>(heavy: Vec<T>, things: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let threads = thread::available_parallelism().map_or(1, |count| count.get().min(THREADS_MAX));
    if things.len() < THINGS_MIN || threads == 1 {
        return heavy.into_iter().chain(things).map(work).collect();
    }
    let (mut done, first) = (Vec::with_capacity(heavy.len() + things.len()), heavy.len());
    let things = Mutex::new(things.into_iter().zip(first..));
    let run = || {
        let next = || things.lock().expect("an iterator over a list does not panic").next();
        std::iter::from_fn(next).map(|(thing, at)| (at, work(thing))).collect::<Vec<(usize, R)>>()
    };
    thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
        done.extend(heavy.into_iter().map(&work).enumerate());
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
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::Relaxed;
    use std::thread;

    use super::{in_parallel, in_parallel_with_heavy};

    #[test]
    fn answers_stand_in_the_order_of_the_things() {
        let doubled: Vec<usize> = in_parallel((0..1000).collect(), |thing: usize| thing * 2);
        assert_eq!(doubled, (0..1000).map(|thing| thing * 2).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_heavy_is_done_one_at_a_time() {
        let under_way = AtomicUsize::new(0);
        let answers = in_parallel_with_heavy((0..10).collect(), (10..1000).collect(), |thing: usize| {
            if thing < 10 {
                assert_eq!(under_way.fetch_add(1, Relaxed), 0);
                thread::yield_now();
                under_way.fetch_sub(1, Relaxed);
            }
            thing
        });
        assert_eq!(answers, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    #[should_panic = "seven"]
    fn a_panic_is_not_lost() {
        in_parallel((0..1000).collect(), |thing: usize| assert!(thing != 7, "seven"));
    }
}
