//! The one thread on which configurations are read, compiled and linked, at the start and at every reload.
//!
//! An allocator keeps what was freed by thread: what one reload leaves is where the next one looks for it, not somewhere else each time.
//! Promises: one job is done after the other, and whoever asks for it waits; a panic of a job is told to them, and the thread goes on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::{io, mem};

use super::{Checked, Inputs, check};
use crate::files::Fingerprint;
use crate::id::Generation;
use crate::proto::Pools;
use crate::table::link::Living;
use crate::table::plan::Plan;
use crate::table::{Fixed, Table};

/// Why nobody finds what is linked broken, nor waits for it in vain.
pub(super) const LINKED: &str = "nothing in linking can fail";

/// Jobs that wait. For each of them somebody waits as well; who comes then waits longer.
const JOBS_MAX: usize = 16;

type Job = Box<dyn FnOnce() + Send>;

/// Where to ask for a job. When it goes, the thread has ended.
pub struct Desk {
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
}

/// What every reload begins with.
pub(super) struct Ground {
    pub inputs: Inputs,
    pub fixed: Fixed,
    pub pools: Pools,
}

// === impl Ground ===

impl Ground {
    pub fn check(&self) -> Checked {
        check(&self.inputs, Some(&self.fixed), &self.pools)
    }
}

// === impl Desk ===

impl Desk {
    pub fn open() -> io::Result<Desk> {
        let (jobs, asked) = sync_channel::<Job>(JOBS_MAX);
        let thread = thread::Builder::new().name("compile".to_owned()).spawn(move || asked.into_iter().for_each(|job| job()))?;
        Ok(Desk { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Does the job there; its panic is the error. Blocks: call it from the back room, or before there is any.
    pub fn work<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> thread::Result<T> {
        let (answer, answered) = sync_channel(1);
        let job = move || answer.send(catch_unwind(AssertUnwindSafe(job))).expect("whoever asked waits for the answer");
        let jobs = self.jobs.as_ref().expect("taken only when the desk goes");
        jobs.send(Box::new(job)).expect("the thread ends after the desk");
        answered.recv().expect("every job answers")
    }

    /// The plan as a table, made there because it is memory like all that it was compiled from.
    pub(super) fn link(&self, living: &Arc<Mutex<Living>>, plan: Plan, generation: Generation, fingerprint: Fingerprint) -> Table {
        let living = Arc::clone(living);
        self.work(move || living.lock().expect(LINKED).link(plan, generation, fingerprint)).expect(LINKED)
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        drop(mem::take(&mut self.jobs));
        if let Some(thread) = self.thread.take() {
            thread.join().expect("panics of jobs are caught");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::Desk;

    #[test]
    fn every_job_is_done_on_one_thread_also_after_a_panic() {
        let desk = Desk::open().unwrap();
        let first = desk.work(|| thread::current().id()).unwrap();
        assert!(desk.work(|| panic!("this one is expected")).is_err());
        assert_eq!(desk.work(|| thread::current().id()).unwrap(), first);
        assert_ne!(thread::current().id(), first);
    }
}
