//! `protogate lock`: asks backends what they are made of, and keeps the answers in files.

use std::path::Path;

use clap::Args;

use super::check::error_code;
use super::{Config, Exit, UNREACHABLE, harmless, say};
use crate::backend::Builtins;
use crate::diagnostic::render::{self, Color};
use crate::proto::Pools;
use crate::reflection::{self, Bounds, Locked, Unanswered};
use crate::reload::{self, Checked};
use crate::table::compile::Context;
use crate::table::plan::LockPlan;

/// Ask backends for their descriptors, and write the locks that the configuration is compiled from.
///
/// Every source with `reflection` under `descriptors:` is asked, over gRPC server reflection, or those of the named backends alone. What is
/// different from the lock before is printed. Other mistakes in the configuration do not matter, as long as the backends can be told.
///
/// Example: protogate lock --config routes
#[derive(Args)]
pub struct Lock {
    #[command(flatten)]
    config: Config,

    /// The backends to ask; all that have a lock where nothing is said.
    #[arg(value_name = "BACKEND")]
    backends: Vec<String>,
}

// === impl Lock ===

impl Lock {
    pub fn run(self) -> Result<(), Exit> {
        let inputs = self.config.inputs(Context::default());
        let checked = reload::check(&inputs, None, &Pools::default());
        let locks = self.chosen(&checked)?;
        if locks.is_empty() {
            say("nothing to lock: no source under `descriptors:` says `reflection`\n");
            return Ok(());
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime for some calls");
        let (mut worst, nobody) = (None, Builtins::new(runtime.handle().clone()));
        for plan in locks {
            match runtime.block_on(reflection::lock(plan, &nobody, &Bounds::default())) {
                Ok(locked) => tell(plan, &locked),
                Err(problem) => {
                    eprintln!("{}", harmless(&format!("error: the backend `{}` {problem}", plan.backend.name)));
                    let code = if matches!(problem, Unanswered::Unreachable(_)) { UNREACHABLE } else { 1 };
                    worst = worst.or(Some(code));
                }
            }
        }
        let again = reload::check(&inputs, None, &Pools::default());
        if again.report.has_errors() {
            eprintln!("note: the configuration has errors, see `protogate check`");
        }
        worst.map_or(Ok(()), |code| Err(Exit::new(code, "")))
    }

    /// The locks that are meant. What is wrong with the files matters only when a lock cannot be found for it.
    fn chosen<'c>(&self, checked: &'c Checked) -> Result<Vec<&'c LockPlan>, Exit> {
        let is_meant = |lock: &&LockPlan| self.backends.is_empty() || self.backends.iter().any(|name| **name == *lock.backend.name);
        let unknown = self.backends.iter().find(|name| checked.locks.iter().all(|lock| *lock.backend.name != ***name));
        let locks: Vec<&LockPlan> = checked.locks.iter().filter(is_meant).collect();
        match unknown {
            Some(name) => {
                let hint = if checked.report.has_errors() { "\n  help: the configuration has errors, see `protogate check`" } else { "" };
                Err(Exit::new(1, harmless(&format!("error: no source under `descriptors:` says `reflection: {name}`{hint}"))))
            }
            None if locks.is_empty() && checked.report.has_errors() => {
                let told = render::human(&checked.report, &checked.sources, Color::Plain);
                Err(Exit::new(error_code(&checked.report), format!("{told}error: nothing is locked, because the configuration has errors")))
            }
            None => Ok(locks),
        }
    }
}

fn tell(plan: &LockPlan, locked: &Locked) {
    let count = |n: usize, one: &str| format!("{n} {one}{}", if n == 1 { "" } else { "s" });
    let (services, files) = (count(locked.services, "service"), count(locked.files, "file"));
    let (name, file) = (&plan.backend.name, shown(&plan.file));
    match locked.written {
        true => say(&format!("{name}: locked {services} in {files}, {file}\n")),
        false => say(&format!("{name}: unchanged, {services} in {files}, {file}\n")),
    }
    for change in &locked.changes {
        say(&format!("  {} {} {}\n", change.changed.sign(), change.kind, harmless(&change.name)));
    }
}

fn shown(path: &Path) -> String {
    harmless(&path.display().to_string())
}
