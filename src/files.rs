//! The files a configuration is made of, and a record of which were read.
//!
//! Everything that a table depends on is read through one [`Files`]: the configuration, descriptors, certificates, keys.
//! Its [`Fingerprint`] therefore changes exactly when one of them does, and a watcher knows what to watch.

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Mutex;

use sha2::{Digest, Sha256};

/// Largest file that is read, in bytes. A configuration is text written by people; descriptor sets of ten thousand
/// messages are about 5 MiB, the largest public collection 22 MiB.
pub const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Most files one folder of descriptors may hold, so that a wrong path such as `/` ends early.
pub const FOLDER_FILES_MAX: usize = 20_000;

/// Where files come from, and what has been read so far.
pub struct Files {
    origin: Origin,
    seen: Mutex<BTreeMap<PathBuf, Option<[u8; 32]>>>,
}

enum Origin {
    Disk,
    /// The shipped configuration, compiled in: path below the project's top, and text.
    Shipped(&'static [(&'static str, &'static str)]),
}

/// What was read: one hash over every path and content.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

// === impl Files ===

impl Files {
    /// Files of this machine.
    pub fn on_disk() -> Files {
        Files { origin: Origin::Disk, seen: Mutex::default() }
    }

    /// The given texts and nothing else.
    pub fn shipped(files: &'static [(&'static str, &'static str)]) -> Files {
        Files { origin: Origin::Shipped(files), seen: Mutex::default() }
    }

    /// A file's bytes. A file that cannot be read is recorded too: when it appears, the fingerprint changes.
    pub fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let path = normal(path);
        let read = self.read_unrecorded(&path);
        let hash = read.as_ref().ok().map(|bytes| Sha256::digest(bytes).into());
        self.seen.lock().expect("no holder of this lock panics").insert(path, hash);
        read
    }

    /// A file's text.
    pub fn read_text(&self, path: &Path) -> io::Result<String> {
        let text = String::from_utf8(self.read(path)?).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not UTF-8 text"))?;
        Ok(text)
    }

    /// True when there is a file at `path`; absence is recorded as part of the fingerprint.
    pub fn exists(&self, path: &Path) -> bool {
        self.read(path).is_ok()
    }

    /// Every file below `folder` whose name ends in `.{extension}`, sorted, as paths that [`Files::read`] takes.
    pub fn walk(&self, folder: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
        let folder = normal(folder);
        let mut found = match &self.origin {
            Origin::Disk => walk_disk(&folder, extension)?,
            Origin::Shipped(files) => {
                files.iter().map(|(path, _)| PathBuf::from(path)).filter(|path| path.starts_with(&folder) && has_extension(path, extension)).collect()
            }
        };
        found.sort();
        self.seen.lock().expect("no holder of this lock panics").insert(folder, None);
        Ok(found)
    }

    /// One hash over everything read so far.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut hash = Sha256::new();
        for (path, content) in self.seen.lock().expect("no holder of this lock panics").iter() {
            let path = path.as_os_str().as_encoded_bytes();
            hash.update((path.len() as u64).to_le_bytes());
            hash.update(path);
            hash.update(content.unwrap_or_default());
        }
        Fingerprint(hash.finalize().into())
    }

    /// Every path that was read, looked for or walked.
    pub fn seen(&self) -> Vec<PathBuf> {
        self.seen.lock().expect("no holder of this lock panics").keys().cloned().collect()
    }

    fn read_unrecorded(&self, path: &Path) -> io::Result<Vec<u8>> {
        match &self.origin {
            Origin::Disk => {
                let metadata = std::fs::metadata(path)?;
                if !metadata.is_file() {
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
                }
                if metadata.len() > FILE_BYTES_MAX {
                    return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {} MiB", FILE_BYTES_MAX >> 20)));
                }
                std::fs::read(path)
            }
            Origin::Shipped(files) => files
                .iter()
                .find(|(name, _)| Path::new(name) == path)
                .map(|(_, text)| text.as_bytes().to_vec())
                .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "not among the shipped files")),
        }
    }
}

/// Without `.` and, where it can be told, `..`: `routes/../proto` is `proto`.
pub(crate) fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(normal.components().next_back(), Some(Component::Normal(_))) => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}

fn walk_disk(folder: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_path_buf()];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            // Hidden entries are editors' and Kubernetes' own (`..data`), not sources.
            if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")) {
                continue;
            }
            if path.is_dir() {
                waiting.push(path);
            } else if has_extension(&path, extension) {
                found.push(path);
            }
            if found.len() + waiting.len() > FOLDER_FILES_MAX {
                return Err(io::Error::other(format!("more than {FOLDER_FILES_MAX} files below it")));
            }
        }
    }
    Ok(found)
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}
