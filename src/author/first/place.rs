//! Puts the files of a draft into their folder: all of them or none, and none in the place of another.
//!
//! They are written beside the folder first and checked there, where relative paths mean the same. A folder that is new comes to be by
//! one renaming; one that is there gets each file under a name that nobody has, the one that makes a configuration of them last.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::{Draft, Refused};
use crate::config::Environment;
use crate::diagnostic::{Report, Sources};
use crate::files::reason;
use crate::proto::Pools;
use crate::reload::{self, Inputs, Origin};
use crate::table::compile::Context;

/// What `check` finds that is no error.
pub struct Placed {
    pub report: Report,
    pub sources: Sources,
}

/// A folder that goes with everything in it, unless it has become another.
struct Stage(PathBuf);

/// Writes the draft.
pub fn place(draft: &Draft, folder: &Path, pools: &Pools) -> Result<Placed, Refused> {
    let taken: Vec<PathBuf> = draft.names().map(|name| folder.join(name)).filter(|path| path.symlink_metadata().is_ok()).collect();
    if !taken.is_empty() {
        return Err(Refused::Exists(taken));
    }
    let folder = std::path::absolute(folder).map_err(|error| unwritten(folder, &error))?;
    let stage = Stage::beside(&folder).map_err(|error| unwritten(&folder, &error))?;
    fill(&stage.0, draft).map_err(|error| unwritten(&folder, &error))?;
    let checked = reload::check(&inputs(&stage.0), None, pools);
    if checked.report.has_errors() {
        return Err(Refused::Findings(Box::new((checked.report, checked.sources))));
    }
    let moved = if folder.symlink_metadata().is_ok() { fill(&folder, draft) } else { fs::rename(&stage.0, &folder) };
    moved.map_err(|error| unwritten(&folder, &error))?;
    Ok(Placed { report: checked.report, sources: checked.sources })
}

fn inputs(folder: &Path) -> Inputs {
    let variables = Box::new(|_: &str| None);
    Inputs { origin: Origin::Folder(folder.to_owned()), environment: Environment::Development, variables, context: Context::default() }
}

/// Writes every file anew. When one cannot be, those that were written go again.
fn fill(folder: &Path, draft: &Draft) -> io::Result<()> {
    let mut done = Vec::new();
    let written = draft.files.iter().try_for_each(|(name, content)| {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut file = fs::File::create_new(&path)?;
        done.push(path);
        file.write_all(content)?;
        file.sync_all()
    });
    if written.is_err() {
        // What cannot be taken away is named by the next attempt.
        done.iter().for_each(|path| drop(fs::remove_file(path)));
    }
    written
}

fn unwritten(folder: &Path, error: &io::Error) -> Refused {
    Refused::Because(format!("`{}` cannot be written: {}", folder.display(), reason(error)))
}

// === impl Stage ===

impl Stage {
    fn beside(folder: &Path) -> io::Result<Stage> {
        let name = folder.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no name of a folder"))?;
        let parent = folder.parent().expect("what has a name is in something");
        fs::create_dir_all(parent)?;
        let stage = parent.join(format!(".{}.{}.new", name.to_string_lossy(), crate::random::name()));
        fs::create_dir(&stage)?;
        Ok(Stage(stage))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // It is not there any more when it has become the folder.
        let _ = fs::remove_dir_all(&self.0);
    }
}
