//! The data folder: the only place a gateway writes to.
//!
//! Promises: the folder and what is in it belong to its owner alone (modes 0700 and 0600); a secret is made once, whole or not at all,
//! and two processes that start together agree on it.

use crate::random;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The operator's token in development, which the command line reads.
pub const ADMIN_TOKEN: &str = "admin.token";

/// The key that signs tokens in development, PKCS #8.
pub const DEVELOPMENT_KEY: &str = "development.key";

/// Where state is kept; made when something is first written.
#[derive(Clone)]
pub struct DataFolder {
    path: PathBuf,
}

// === impl DataFolder ===

impl DataFolder {
    pub fn at(path: impl Into<PathBuf>) -> DataFolder {
        DataFolder { path: path.into() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A secret that somebody made before. One in a folder that others can write to is not believed: they may have planted it.
    pub fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.belongs_to_us()?;
        let path = self.path.join(name);
        fs::read(&path).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    }

    /// The secret of this name; made now if nobody has.
    pub fn read_or_create(&self, name: &str, make: impl FnOnce() -> Vec<u8>) -> io::Result<Vec<u8>> {
        match self.read(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            read => return read,
        }
        let draft = self.draft(name, &make())?;
        // A link is atomic and refuses to replace: of two that start together one wins, and both read the winner's.
        let linked = fs::hard_link(&draft, self.path.join(name));
        fs::remove_file(&draft)?;
        match linked {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => self.read(name),
        }
    }

    /// Puts another secret in the place of one.
    pub fn replace(&self, name: &str, secret: &[u8]) -> io::Result<()> {
        let draft = self.draft(name, secret)?;
        fs::rename(&draft, self.path.join(name))
    }

    /// Where something of this name belongs, in a folder that is there and is ours alone.
    pub fn private_path(&self, name: &str) -> io::Result<PathBuf> {
        self.make()?;
        self.belongs_to_us()?;
        Ok(self.path.join(name))
    }

    fn draft(&self, name: &str, secret: &[u8]) -> io::Result<PathBuf> {
        self.make()?;
        // A name nobody else has: two containers that share a volume may well share a process id.
        let draft = self.path.join(format!("{name}.{}.new", random::name()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(secret)?;
        file.sync_all()?;
        Ok(draft)
    }

    fn make(&self) -> io::Result<()> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.path);
        made.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", self.path.display())))
    }

    fn belongs_to_us(&self) -> io::Result<()> {
        let folder = fs::metadata(&self.path).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", self.path.display())))?;
        let owned = folder.uid() == rustix::process::geteuid().as_raw();
        if owned && folder.mode() & 0o022 == 0 {
            return Ok(());
        }
        let what = format!(
            "{} can be written by others; make it yours alone with `chmod 700`, or name another `--data` folder",
            self.path.display()
        );
        Err(io::Error::new(io::ErrorKind::PermissionDenied, what))
    }

    /// The operator's development token.
    pub fn admin_token(&self) -> io::Result<String> {
        let token = self.read_or_create(ADMIN_TOKEN, || random::secret::<32>().into_bytes())?;
        String::from_utf8(token).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the admin token is not text"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_secret_is_made_once_and_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::at(folder.path().join("data"));
        assert!(data.read(ADMIN_TOKEN).is_err(), "reading makes nothing");
        let token = data.admin_token().unwrap();
        assert_eq!(data.admin_token().unwrap(), token);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(data.path()), 0o700);
        assert_eq!(mode(&data.path().join(ADMIN_TOKEN)), 0o600);
        assert_eq!(fs::read_dir(data.path()).unwrap().count(), 1, "no draft is left behind");
    }

    #[test]
    fn a_secret_that_others_may_have_planted_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(ADMIN_TOKEN), "planted").unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let refused = DataFolder::at(folder.path()).admin_token().unwrap_err();
        assert!(refused.to_string().contains("chmod 700"), "{refused}");
    }
}
