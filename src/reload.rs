//! load → compile → link → swap: the one way in which a table comes to be, at the start and at every reload.
//!
//! Promises: all that can fail comes before `link`; on any error the old table stays, untouched; what is byte for byte the same is not
//! compiled again; one reload runs at a time, and it alone holds the `TableWriter`; what breaks clients is not made live unless somebody says
//! that it may be.
//!
//! - `check`: the first half, which changes nothing
//! - `breaking`: what would break clients, and who may have it all the same
//! - `desk`: the thread on which all of it is compiled and linked
//! - `history`: what became of the last attempts
//! - `recent`: how often routes were called lately

mod breaking;
mod check;
pub mod desk;
pub mod history;
pub mod recent;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, error, info, warn};

pub use self::breaking::{Breaking, Looked};
pub use self::check::{Checked, Inputs, Origin, Variables, check, check_in, known, log_findings, read_fixed};
use self::desk::{Desk, Ground, LINKED};
use self::history::{Attempt, Cause, History};
use self::recent::Recent;
use crate::clock::Clock;
use crate::compare::{Comparison, View, compare};
use crate::diagnostic::render::Summary;
use crate::diagnostic::{Report, Sources};
use crate::files::Fingerprint;
use crate::id::Generation;
use crate::proto::Pools;
use crate::table::link::Living;
use crate::table::{Fixed, TableReader, TableWriter, live};
use crate::telemetry::labels::Reloaded;
use crate::telemetry::reload_counters::ReloadCounters;
use crate::tls::Certificate;

/// What came of a reload.
pub enum Outcome {
    /// A new table is live.
    Swapped(Swapped),
    /// Byte for byte what is live already.
    Unchanged(Swapped),
    /// Not usable; the old table stays.
    Refused { report: Report, sources: Sources, summary: Summary },
    /// The caller expected another table than the one that is live.
    Stale { live: Fingerprint },
    /// We are wrong: compiling panicked. The old table stays.
    Failed,
}

/// Which table is live, and what was said about its files.
pub struct Swapped {
    pub generation: Generation,
    pub fingerprint: Fingerprint,
    pub report: Report,
    pub sources: Sources,
    pub summary: Summary,
    pub took: Duration,
}

/// Holds the pen. Everything in it is used by one reload at a time.
pub struct Reloader {
    desk: Desk,
    ground: Arc<Ground>,
    writer: TableWriter,
    reader: TableReader,
    counters: ReloadCounters,
    state: Mutex<State>,
    history: History,
    recent: Recent,
}

struct State {
    /// Shared with the desk while it links.
    living: Arc<Mutex<Living>>,
    /// What to watch: the paths of the last attempt, also of a refused one, so that mending a file is noticed.
    seen: Vec<PathBuf>,
}

// === impl Reloader ===

impl Reloader {
    /// Links the first table out of a plan that was checked, with all that is alive.
    pub fn start(desk: Desk, inputs: Inputs, pools: Pools, checked: &mut Checked, living: Living) -> Reloader {
        let plan = checked.plan.take().expect("whoever starts has looked whether there is a plan");
        let fixed = plan.fixed.clone();
        let history = History::default();
        history.note(Attempt {
            at_ms: Clock::system().now_ms(),
            cause: Cause::Start,
            outcome: "swapped",
            generation: Generation(1),
            fingerprint: checked.fingerprint,
            took: checked.took,
            check: Some(history::check(&checked.report, &checked.sources, checked.summary)),
        });
        let living = Arc::new(Mutex::new(living));
        let table = desk.link(&living, plan, Generation(1), checked.fingerprint);
        let (writer, reader) = live(Arc::new(table));
        living.lock().expect(LINKED).tell();
        let state = Mutex::new(State { living, seen: std::mem::take(&mut checked.seen) });
        let ground = Arc::new(Ground { inputs, fixed, pools });
        Reloader { desk, ground, writer, reader, counters: ReloadCounters::begin(), state, history, recent: Recent::default() }
    }

    /// Reads everything again, and makes it live if it is sound. Blocks while it compiles: call it from the back room.
    ///
    /// `expected`: refuse as stale unless this is what is live (`If-Match`).
    pub fn reload(&self, cause: Cause, expected: Option<Fingerprint>, breaking: Breaking) -> Outcome {
        let (began, at_ms) = (Instant::now(), Clock::system().now_ms());
        let outcome = self.reload_unnoted(expected, breaking, began);
        self.counters.note(outcome.label(), outcome.report());
        let live = self.reader.load();
        // Whoever watches looks often, and mostly for nothing.
        if !(cause == Cause::Watch && matches!(outcome, Outcome::Unchanged(_))) {
            self.history.note(Attempt {
                at_ms,
                cause,
                outcome: outcome.name(),
                generation: live.generation,
                fingerprint: live.fingerprint,
                took: began.elapsed(),
                check: outcome.check(),
            });
        }
        outcome
    }

    /// What became of the last attempts, newest first.
    pub fn history(&self) -> Vec<Attempt> {
        self.history.all()
    }

    fn reload_unnoted(&self, expected: Option<Fingerprint>, breaking: Breaking, began: Instant) -> Outcome {
        let mut state = self.state.lock().expect("what a reload does under this lock does not panic: compiling is contained");
        let live = self.reader.load();
        if expected.is_some_and(|expected| expected != live.fingerprint) {
            return Outcome::Stale { live: live.fingerprint };
        }
        // Nothing in a file may end the process that serves by the old one, not even a mistake of ours.
        let before = Arc::clone(&live);
        let read = move |ground: &Ground| {
            let checked = ground.check();
            let other = checked.plan.as_ref().filter(|_| checked.fingerprint != before.fingerprint);
            let comparison = other.map(|plan| compare(&View::from(&*before), &View::from(plan)));
            (checked, comparison.filter(Comparison::is_breaking))
        };
        let Ok((mut checked, broken)) = self.at_desk(read) else {
            error!("reload failed: compiling panicked, the old table stays; this is a defect, please report it with the files");
            return Outcome::Failed;
        };
        state.seen = std::mem::take(&mut checked.seen);
        let Some(plan) = checked.plan.take() else {
            warn!(errors = checked.report.errors(), "reload refused, the old table stays");
            log_findings(&checked);
            return Outcome::Refused { report: checked.report, sources: checked.sources, summary: checked.summary };
        };
        if checked.fingerprint == live.fingerprint {
            debug!(generation = live.generation.0, "nothing has changed");
            return Outcome::Unchanged(Swapped::new(live.generation, checked, began));
        }
        if let Some(broken) = broken {
            let count = broken.breaks().count();
            if !breaking.is_allowed(&plan) {
                checked.report.extend(self.findings(&broken, &live, &plan));
                let what_to_do = "see `protogate diff --against running`, then mend it or `protogate reload --allow-breaking`";
                warn!(breaks = count, what_to_do, "reload refused, it would break clients; the old table stays");
                log_findings(&checked);
                return Outcome::Refused { report: checked.report, sources: checked.sources, summary: checked.summary };
            }
            warn!(breaks = count, "this reload breaks clients, which is allowed");
        }
        let generation = Generation(live.generation.0 + 1);
        log_findings(&checked);
        let table = self.desk.link(&state.living, plan, generation, checked.fingerprint);
        self.writer.store(Arc::new(table));
        // What the routes of the old one have counted, and that some of them are gone.
        self.recent.look(&live);
        self.recent.look(&self.reader.load());
        state.living().tell();
        let swapped = Swapped::new(generation, checked, began);
        info!(generation = generation.0, routes = swapped.summary.routes, took = ?swapped.took, "reloaded");
        // Unless a call still has it, the old table ends where it was made, and its memory is at once of use for the next.
        self.at_desk(move |_| drop(live)).expect("a table ends in silence");
        Outcome::Swapped(swapped)
    }

    /// Reads the certificates again, and them alone: new connections see the new ones, those of clients and those to backends. What cannot
    /// be used leaves the old one in place.
    ///
    /// The rules stay those of the live table, and so does its generation. Blocks while it reads: call it from the back room.
    pub fn renew_certificates(&self) {
        let state = self.state.lock().expect("what a reload does under this lock does not panic: compiling is contained");
        let live = self.reader.load();
        let files = self.ground.inputs.origin.files();
        let renewed = |certificate: &Option<Certificate>| match certificate.as_ref()?.renewed(&files) {
            Ok(renewed) => {
                renewed.inspect(|renewed| info!(cert = %renewed.place.cert.display(), "new connections see the renewed certificate"))
            }
            Err(problem) => {
                warn!(problem, "the renewed certificate cannot be used, the old one stays");
                None
            }
        };
        let (tls, push_tls) = (renewed(&live.settings.tls), renewed(&live.settings.push_tls));
        state.living().renew_certificates(&files);
        if tls.is_some() || push_tls.is_some() {
            self.writer.store(Arc::new(live.with_certificates(tls, push_tls)));
        }
    }

    /// Every path that the last attempt looked at, and those of the live certificates, which an attempt that failed early never reached.
    pub fn watched(&self) -> Vec<PathBuf> {
        let state = self.state.lock().expect("what a reload does under this lock does not panic: compiling is contained");
        let mut paths = state.seen.clone();
        let live = self.reader.load();
        let certificates = live.settings.tls.iter().chain(&live.settings.push_tls);
        for path in certificates.flat_map(|certificate| certificate.place.files()).chain(state.living().certificate_files()) {
            if !paths.contains(path) {
                paths.push(path.clone());
            }
        }
        paths
    }

    /// The table's readers, for whoever is built after the reloader.
    pub fn reader(&self) -> TableReader {
        self.reader.clone()
    }

    /// What is counted of reloads.
    pub fn counters(&self) -> &ReloadCounters {
        &self.counters
    }

    /// The part that only a restart changes.
    pub fn fixed(&self) -> &Fixed {
        &self.ground.fixed
    }

    /// Works where everything is compiled. A panic, for which we are to blame, is the error.
    fn at_desk<T: Send + 'static>(&self, work: impl FnOnce(&Ground) -> T + Send + 'static) -> thread::Result<T> {
        let ground = Arc::clone(&self.ground);
        self.desk.work(move || work(&ground))
    }
}

// === impl State ===

impl State {
    fn living(&self) -> MutexGuard<'_, Living> {
        self.living.lock().expect(LINKED)
    }
}

// === impl Outcome ===

impl Outcome {
    /// As metrics call it.
    fn label(&self) -> Reloaded {
        match self {
            Outcome::Swapped(_) => Reloaded::Swapped,
            Outcome::Unchanged(_) => Reloaded::Unchanged,
            Outcome::Refused { .. } => Reloaded::Refused,
            Outcome::Stale { .. } => Reloaded::Stale,
            Outcome::Failed => Reloaded::Failed,
        }
    }

    /// What was found in the files, if they were read to the end.
    fn report(&self) -> Option<&Report> {
        match self {
            Outcome::Swapped(live) | Outcome::Unchanged(live) => Some(&live.report),
            Outcome::Refused { report, .. } => Some(report),
            Outcome::Stale { .. } | Outcome::Failed => None,
        }
    }
}

// === impl Swapped ===

impl Swapped {
    fn new(generation: Generation, checked: Checked, began: Instant) -> Swapped {
        Swapped {
            generation,
            fingerprint: checked.fingerprint,
            report: checked.report,
            sources: checked.sources,
            summary: checked.summary,
            took: began.elapsed(),
        }
    }
}
