//! Paths as programs read them: from the top of a repository, wherever the command was typed.

use std::path::{Path, PathBuf};

use crate::files::normal;

/// Where paths start from for whoever reads them elsewhere.
#[derive(Clone, Default, Debug)]
pub struct Top {
    folder: PathBuf,
    /// What relative paths start from here.
    here: PathBuf,
}

// === impl Top ===

impl Top {
    /// Paths stay as they are written.
    pub fn here() -> Top {
        Top::default()
    }

    /// The top is `stated` (such as a workflow's workspace) if `here` is in it, else the nearest folder above that is a work tree of git,
    /// else `here`. Both are absolute.
    pub fn above(here: &Path, stated: Option<&Path>) -> Top {
        let stated = stated.filter(|stated| here.starts_with(stated));
        let folder = stated.or_else(|| here.ancestors().find(|folder| folder.join(".git").exists())).unwrap_or(here);
        Top { folder: folder.to_path_buf(), here: here.to_path_buf() }
    }

    /// The path from the top; what is outside of it stays absolute.
    pub fn path(&self, path: &Path) -> String {
        if self.folder.as_os_str().is_empty() {
            return path.to_string_lossy().into_owned();
        }
        let whole = normal(&self.here.join(path));
        let below = whole.strip_prefix(&self.folder).unwrap_or(&whole);
        below.to_string_lossy().into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_starts_from_the_top_wherever_one_is() {
        let top = Top::above(Path::new("/srv/repo/sub"), Some(Path::new("/srv/repo")));
        assert_eq!(top.path(Path::new("routes/routes.yaml")), "sub/routes/routes.yaml");
        assert_eq!(top.path(Path::new("routes/../../proto/a.proto")), "proto/a.proto");
        assert_eq!(top.path(Path::new("/srv/repo/b.yaml")), "b.yaml");
        assert_eq!(top.path(Path::new("../../elsewhere/b.yaml")), "/srv/elsewhere/b.yaml");
        assert_eq!(Top::here().path(Path::new("routes/routes.yaml")), "routes/routes.yaml");
    }

    #[test]
    fn a_workspace_that_one_is_not_in_is_none() {
        let top = Top::above(Path::new("/nowhere/sub"), Some(Path::new("/srv/repo")));
        assert_eq!(top.path(Path::new("a.yaml")), "a.yaml");
    }
}
