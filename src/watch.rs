//! Notices that a file of the configuration changed, and has it read again: by a gateway, or by `check --watch`.
//!
//! Editors rename over the file, and Kubernetes swaps a symbolic link two levels up, so what is watched are folders, and every two
//! seconds all files are looked at besides: an event that the system never sent is made up for. A change counts when the files have been
//! quiet for a moment, so that a save in several steps is one reload.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};
use tracing::warn;

use crate::reload::history::Cause;
use crate::reload::{Breaking, Outcome, Reloader};

/// How often files are looked at without an event.
const LOOK: Duration = Duration::from_secs(2);

/// Longest time that a stream of changes may put off a reload, as a multiple of the debounce time.
const RESTLESS_MAX: u32 = 10;

/// What the files look like from outside: enough to tell that one was changed, replaced, added or removed.
#[derive(PartialEq, Eq)]
struct Glance(Vec<Option<(u64, u64, i64, i64)>>);

/// Events of the operating system for the folders it was told of.
struct Events {
    watcher: Option<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
    changed: mpsc::Receiver<()>,
}

/// What some files look like, and when they look otherwise.
pub struct Changes {
    events: Events,
    look: Interval,
    paths: Vec<PathBuf>,
    seen: Glance,
}

/// Reloads whenever a file changes, for as long as `reload.watch` says so; otherwise renews certificates alone. Never ends by itself.
pub async fn watch(reloader: Arc<Reloader>) {
    let mut changes = Changes::begin();
    loop {
        if changes.look(watched(&reloader).await).await {
            changes.settle(reloader.reader().load().settings.debounce).await;
            read_again(&reloader).await;
        }
    }
}

/// Reads everything again, or the certificates alone: they are renewed by programs that know nothing of reloads, and not only where
/// somebody edits files. So it is also when the rest of what changed cannot be used, or is what it was before a renewal.
async fn read_again(reloader: &Arc<Reloader>) {
    let reloader = Arc::clone(reloader);
    let read = move || {
        let whole = reloader.reader().load().settings.watch;
        if !whole || matches!(reloader.reload(Cause::Watch, None, Breaking::AsConfigured), Outcome::Refused { .. } | Outcome::Unchanged(_))
        {
            reloader.renew_certificates();
        }
    };
    spawn_blocking(read).await.expect("a reload does not panic and is not aborted");
}

/// Waits until the files have looked the same for `debounce`, and returns how they look. Events do not count here: a single save makes
/// many, and whoever reads a file beside them makes some.
async fn settle(paths: &[PathBuf], debounce: Duration) -> Glance {
    let mut seen = look_at(paths.to_vec()).await;
    for _ in 0..RESTLESS_MAX {
        sleep(debounce).await;
        let now = look_at(paths.to_vec()).await;
        if now == seen {
            break;
        }
        seen = now;
    }
    seen
}

/// On a thread that may block, because a reload that is under way holds the answer.
async fn watched(reloader: &Arc<Reloader>) -> Vec<PathBuf> {
    let reloader = Arc::clone(reloader);
    spawn_blocking(move || reloader.watched()).await.expect("asking does not panic and is not aborted")
}

async fn look_at(paths: Vec<PathBuf>) -> Glance {
    spawn_blocking(move || Glance(paths.iter().flat_map(|path| [look_at_one(path), path.parent().and_then(look_at_one)]).collect()))
        .await
        .expect("looking at files does not panic and is not aborted")
}

fn look_at_one(path: &Path) -> Option<(u64, u64, i64, i64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}

// === impl Changes ===

impl Changes {
    /// Nothing is watched yet. Within a runtime.
    pub fn begin() -> Changes {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Changes { events: Events::new(), look, paths: Vec::new(), seen: Glance(Vec::new()) }
    }

    /// Looks at files once: true when they are not those of the last look, or look otherwise. If not, it returns when there may be more to see.
    pub async fn look(&mut self, paths: Vec<PathBuf>) -> bool {
        // What is new to watch counts as changed: nobody has looked since it was read, and it may have been replaced right behind the reader.
        if paths != self.paths {
            self.events.follow(&paths);
            self.paths = paths;
            return true;
        }
        if look_at(self.paths.clone()).await != self.seen {
            return true;
        }
        tokio::select! {
            biased;
            () = self.events.next() => {}
            _ = self.look.tick() => {}
        }
        false
    }

    /// Waits until the files have looked the same for `debounce`. How they look then is from before whoever waits reads them: what changes
    /// while they are read is noticed next time.
    pub async fn settle(&mut self, debounce: Duration) {
        self.seen = settle(&self.paths, debounce).await;
    }
}

// === impl Events ===

impl Events {
    fn new() -> Events {
        // One slot: what matters is that something happened since the last look, not how often.
        let (tell, changed) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |_| {
            let _ = tell.try_send(());
        });
        if let Err(error) = &watcher {
            warn!(%error, "no file events on this system, files are looked at every {LOOK:?}");
        }
        Events { watcher: watcher.ok(), folders: BTreeSet::new(), changed }
    }

    /// Watches the folders that hold `paths`, and those folders that are in `paths`.
    fn follow(&mut self, paths: &[PathBuf]) {
        let Some(watcher) = &mut self.watcher else { return };
        let wanted: BTreeSet<PathBuf> = paths
            .iter()
            .flat_map(|path| [path.is_dir().then(|| path.clone()), path.parent().map(Path::to_path_buf)])
            .flatten()
            .map(|folder| if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder })
            .collect();
        // A folder that cannot be watched, or is gone, is still looked at every two seconds.
        for folder in self.folders.difference(&wanted) {
            let _ = watcher.unwatch(folder);
        }
        for folder in wanted.difference(&self.folders) {
            let _ = watcher.watch(folder, RecursiveMode::NonRecursive);
        }
        self.folders = wanted;
    }

    /// Resolves when something may have changed. Cancel-safe.
    async fn next(&mut self) {
        if self.watcher.is_none() || self.changed.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}
