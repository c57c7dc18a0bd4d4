//! Whether backends still tell what was locked: looked at on the back room, at the start and then now and again.
//!
//! Promises: no call waits for it, and no table is changed by it; a backend that does not answer is no news, and is asked again later and
//! later; a difference is one warning in the log, until it is another one or gone.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use super::asking::{Bounds, Unanswered};
use super::lock;
use crate::backend::Builtins;
use crate::proto::Change;
use crate::table::TableReader;
use crate::table::plan::LockPlan;

/// How often the table is looked at for other locks.
const TICK: Duration = Duration::from_secs(1);

/// How long to wait after the first look that found nobody; twice as long after each further one, up to what `refresh` says.
const AGAIN: Duration = Duration::from_secs(2);

/// Changes that are kept of one look. Who wants to know all of them runs `protogate lock`.
const CHANGES_MAX: usize = 100;

/// Changes that one line of the log names.
const CHANGES_LOGGED_MAX: usize = 5;

/// What was found out. Clones share it.
#[derive(Clone, Default)]
pub struct Drift(Arc<Mutex<BTreeMap<Lock, Seen>>>);

/// One lock, as it was looked at last.
#[derive(Clone)]
pub struct Looked {
    pub backend: Arc<str>,
    pub file: PathBuf,
    pub agreement: Agreement,
    /// How long ago that was found, if ever.
    pub age: Option<Duration>,
}

/// Whether a backend tells what its lock holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Agreement {
    /// Nobody has answered yet, and perhaps why.
    Unknown(Option<String>),
    Agrees,
    /// What is different, at most [`CHANGES_MAX`] of it, and how much that is in all.
    Differs {
        changes: Vec<Change>,
        count: usize,
    },
}

/// Which lock.
type Lock = (PathBuf, Arc<str>);

struct Seen {
    plan: LockPlan,
    agreement: Agreement,
    since: Option<Instant>,
    /// When to look next.
    due: Instant,
    /// How long to wait if that finds nobody.
    patience: Duration,
}

// === impl Drift ===

impl Drift {
    /// Every lock of the live table.
    pub fn all(&self) -> Vec<Looked> {
        let seen = self.0.lock().expect("no holder of this lock panics");
        let looked = seen.iter().map(|((file, backend), seen)| Looked {
            backend: Arc::clone(backend),
            file: file.clone(),
            agreement: seen.agreement.clone(),
            age: seen.since.map(|since| since.elapsed()),
        });
        looked.collect()
    }

    /// Looks whenever it is time to. Never ends by itself.
    pub async fn watch(self, reader: TableReader, builtins: Arc<Builtins>, bounds: Bounds) {
        loop {
            self.follow(&reader.load().locks);
            let looks = self.due().into_iter().map(|(lock, plan)| {
                let builtins = &builtins;
                async move { (lock, look(plan, builtins, &bounds).await) }
            });
            for (lock, found) in join_all(looks).await {
                self.learn(&lock, found);
            }
            sleep(TICK).await;
        }
    }

    /// Takes over which locks there are. What was found about one that is the same stays known.
    fn follow(&self, plans: &[LockPlan]) {
        let mut seen = self.0.lock().expect("no holder of this lock panics");
        seen.retain(|_, seen| plans.contains(&seen.plan));
        for plan in plans {
            seen.entry((plan.file.clone(), Arc::clone(&plan.backend.name))).or_insert_with(|| Seen {
                plan: plan.clone(),
                agreement: Agreement::Unknown(None),
                since: None,
                due: Instant::now(),
                patience: AGAIN,
            });
        }
    }

    fn due(&self) -> Vec<(Lock, LockPlan)> {
        let (seen, now) = (self.0.lock().expect("no holder of this lock panics"), Instant::now());
        seen.iter().filter(|(_, seen)| seen.due <= now).map(|(lock, seen)| (lock.clone(), seen.plan.clone())).collect()
    }

    fn learn(&self, lock: &Lock, found: Result<Agreement, Unanswered>) {
        let mut all = self.0.lock().expect("no holder of this lock panics");
        let Some(seen) = all.get_mut(lock) else { return };
        let (backend, file) = (&seen.plan.backend.name, seen.plan.file.display());
        match found {
            Ok(agreement) => {
                if agreement != seen.agreement {
                    match &agreement {
                        Agreement::Differs { changes, count } => {
                            let changes = summary(changes, *count);
                            warn!(%backend, %file, changes, "the backend tells other descriptors than its lock holds; run `protogate lock`");
                        }
                        _ => info!(%backend, %file, "the backend tells what its lock holds"),
                    }
                }
                (seen.agreement, seen.since, seen.patience) = (agreement, Some(Instant::now()), AGAIN);
                seen.due = Instant::now() + seen.plan.refresh;
            }
            Err(problem) => {
                match &problem {
                    Unanswered::Unreachable(why) => debug!(%backend, why, "the backend is not there to tell its descriptors"),
                    Unanswered::Refused(why) => info!(%backend, why, "the backend does not tell its descriptors"),
                }
                // What was found before is still the last that is known.
                if let Agreement::Unknown(why) = &mut seen.agreement {
                    *why = Some(problem.to_string());
                }
                seen.due = Instant::now() + seen.patience.min(seen.plan.refresh);
                seen.patience = (seen.patience * 2).min(seen.plan.refresh);
            }
        }
    }
}

async fn look(plan: LockPlan, builtins: &Builtins, bounds: &Bounds) -> Result<Agreement, Unanswered> {
    let told = lock::told(&plan, builtins, bounds).await?;
    let compare = move || {
        let locked = lock::read(&plan.file).map_err(|error| Unanswered::Refused(format!("`{}`: {error}", plan.file.display())))?;
        if locked == told {
            return Ok(Agreement::Agrees);
        }
        let mut changes = told.changes_since(&locked);
        let count = changes.len();
        changes.truncate(CHANGES_MAX);
        Ok(Agreement::Differs { changes, count })
    };
    spawn_blocking(compare).await.expect("comparing does not panic and is not aborted")
}

/// The first changes in words.
fn summary(changes: &[Change], count: usize) -> String {
    let named: Vec<String> = changes
        .iter()
        .take(CHANGES_LOGGED_MAX)
        .map(|change| format!("{} {} {}", change.kind, change.name, change.changed.name()))
        .collect();
    match count.saturating_sub(named.len()) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}
