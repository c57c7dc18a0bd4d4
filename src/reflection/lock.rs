//! The lock: a file with what a backend told, written when a person says so.

use std::fs;
use std::io;
use std::path::Path;

use super::asking::{Bounds, Unanswered, ask};
use crate::backend::{Backend, Builtins, Source, Spec, SpecKind};
use crate::files::{self, reason};
use crate::proto::{Change, FileSet};
use crate::table::plan::LockPlan;

/// What came of locking.
pub struct Locked {
    pub services: usize,
    pub files: usize,
    /// What is different from the lock before; nothing when the file was left as it was.
    pub changes: Vec<Change>,
    /// Whether the file was written.
    pub written: bool,
}

/// Asks the backend and writes what it tells, if that is something else than the lock holds. A lock that cannot be read is written over.
pub async fn lock(plan: &LockPlan, builtins: &Builtins, bounds: &Bounds) -> Result<Locked, Unanswered> {
    if is_registered(&plan.backend) {
        let why = "its endpoints register with running gateways, and none is asked for them; list one under `endpoints` in an overlay, \
                   such as that of another environment, and lock with that";
        return Err(Unanswered::Refused(why.to_owned()));
    }
    let told = told(plan, builtins, bounds).await?;
    let encoded = told.encode();
    let before = fs::read(&plan.file).unwrap_or_default();
    let written = before != encoded;
    if written {
        files::replace(&plan.file, &encoded)
            .map_err(|error| Unanswered::Refused(format!("`{}` cannot be written: {}", plan.file.display(), reason(&error))))?;
    }
    let changes = told.changes_since(&FileSet::decode(&before).unwrap_or_default());
    Ok(Locked { services: told.services().len(), files: told.len(), changes, written })
}

fn is_registered(backend: &Spec) -> bool {
    matches!(&backend.kind, SpecKind::Grpc(grpc) if matches!(grpc.source, Source::Registry { .. }))
}

/// What the backend tells now, over a connection that ends with that.
pub(super) async fn told(plan: &LockPlan, builtins: &Builtins, bounds: &Bounds) -> Result<FileSet, Unanswered> {
    let backend = Backend::open(plan.backend.clone(), 1, builtins, None).map_err(Unanswered::Refused)?;
    ask(&backend, &plan.services, bounds).await
}

/// What the lock holds.
pub(super) fn read(path: &Path) -> io::Result<FileSet> {
    let set = fs::read(path)?;
    FileSet::decode(&set).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it is not a descriptor set"))
}
