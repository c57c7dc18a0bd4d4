//! The first half of a reload, and all of `check`: what the files mean, or what is wrong with them. Opens no socket, changes nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use crate::config::schema::Known;
use crate::config::{self, Environment, LoadOptions};
use crate::diagnostic::render::{self, Summary};
use crate::diagnostic::{Report, Sources};
use crate::files::{Files, Fingerprint};
use crate::proto::Pools;
use crate::table::Fixed;
use crate::table::compile::{self, Context};
use crate::table::plan::{LockPlan, Plan};

/// Findings that one attempt writes into the log. The first is usually what broke the rest.
const FINDINGS_LOGGED_MAX: usize = 20;

/// Where a configuration comes from, and what the command line says about it.
pub struct Inputs {
    pub origin: Origin,
    pub environment: Environment,
    /// The environment variables that `vars:` may name.
    pub variables: Variables,
    pub context: Context,
}

/// Looks up an environment variable.
pub type Variables = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Which files.
#[derive(Clone, PartialEq, Eq)]
pub enum Origin {
    Folder(PathBuf),
    /// The configuration compiled into the program.
    Shipped,
}

/// The first half of serving, and all of `check`: what the files mean, or what is wrong with them.
pub struct Checked {
    pub report: Report,
    pub sources: Sources,
    pub fingerprint: Fingerprint,
    /// Every path that was read, looked for or walked.
    pub seen: Vec<PathBuf>,
    /// Present when the report has no error.
    pub plan: Option<Plan>,
    /// The part that only a restart changes, whatever else is wrong.
    pub fixed: Fixed,
    /// The locks of descriptors, whatever else is wrong: above all, whether they are there.
    pub locks: Vec<LockPlan>,
    /// How much was read.
    pub summary: Summary,
    pub took: Duration,
}

/// The first half: reads and compiles, opens no socket, changes nothing.
pub fn check(inputs: &Inputs, running: Option<&Fixed>, pools: &Pools) -> Checked {
    check_in(&inputs.origin.files(), inputs, running, pools)
}

/// The same where the files of the folder are not those of this machine.
pub fn check_in(files: &Files, inputs: &Inputs, running: Option<&Fixed>, pools: &Pools) -> Checked {
    let began = Instant::now();
    let looked_up = Mutex::new(BTreeMap::new());
    let variables = |name: &str| {
        let value = (inputs.variables)(name);
        looked_up.lock().expect("looking up does not panic").insert(name.to_owned(), value.clone());
        value
    };
    let options = LoadOptions { folder: inputs.origin.folder().to_path_buf(), environment: inputs.environment, variables: &variables };
    let (mut document, mut report) = config::load(files, &options);
    let compiled = compile::compile(&mut document, files, pools, &inputs.context, running, &mut report);
    Checked {
        fingerprint: files.fingerprint(format!("{:?}", looked_up.into_inner().expect("looking up does not panic")).as_bytes()),
        seen: files.seen(),
        summary: Summary {
            routes: document.groups.iter().map(|group| group.routes.routes.as_ref().map_or(0, |routes| routes.len())).sum(),
            files: document.sources.len(),
        },
        plan: compiled.plan,
        fixed: compiled.fixed,
        locks: compiled.locks,
        report,
        sources: document.sources,
        took: began.elapsed(),
    }
}

/// Every name that a configuration has, for schemas; and whether something in it is wrong, so that some may be missing.
pub fn known(inputs: &Inputs, pools: &Pools) -> (Known, bool) {
    let files = inputs.origin.files();
    let options =
        LoadOptions { folder: inputs.origin.folder().to_path_buf(), environment: inputs.environment, variables: &inputs.variables };
    let (mut document, mut report) = config::load(&files, &options);
    let known = compile::known(&mut document, &files, pools, &mut report);
    (known, report.has_errors())
}

/// The fixed part alone, for whoever wants to find a running gateway. Other mistakes in the files do not matter to it.
pub fn read_fixed(inputs: &Inputs, pools: &Pools) -> Fixed {
    check(inputs, None, pools).fixed
}

/// A line of the log for each finding, since a line is all that an event may be. Whoever wants to see the places runs `check`.
pub fn log_findings(checked: &Checked) {
    let lines = render::lines(&checked.report, &checked.sources);
    lines.iter().take(FINDINGS_LOGGED_MAX).for_each(|line| warn!("{line}"));
    if let Some(more) = lines.len().checked_sub(FINDINGS_LOGGED_MAX).filter(|more| *more > 0) {
        warn!("and {more} more, see `protogate check`");
    }
}

// === impl Origin ===

impl Origin {
    /// The folder that holds `routes.yaml`.
    pub fn folder(&self) -> &Path {
        match self {
            Origin::Folder(folder) => folder,
            Origin::Shipped => Path::new("routes"),
        }
    }

    /// The files themselves.
    pub fn files(&self) -> Files {
        match self {
            Origin::Folder(_) => Files::on_disk(),
            Origin::Shipped => Files::shipped(),
        }
    }
}
