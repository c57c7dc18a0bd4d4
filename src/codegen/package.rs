//! The files of a client, and how they come to lie in a folder.
//!
//! Promises: a file without the mark of what is generated is left as it is, and so is everything else then; nothing is written through a
//! link; a file that is written is there as a whole, or as it was.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use super::Problem;

/// How far into a file the mark is looked for.
const HEAD_BYTES: u64 = 512;

/// Texts by their path below the folder, with `/`.
pub struct Package {
    pub files: BTreeMap<String, String>,
    /// What every text has in its head.
    pub mark: &'static str,
}

/// What came of writing.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Written {
    pub files: usize,
    /// Of those, that were not there or said something else.
    pub changed: usize,
    /// Marked files in the same folders that are of no use any more.
    pub left_over: Vec<PathBuf>,
}

// === impl Package ===

impl Package {
    /// All files or, if one of them must not be written over, none.
    pub fn write(&self, folder: &Path) -> Result<Written, Problem> {
        for path in self.files.keys() {
            self.may_be_written(folder, path)?;
        }
        let mut written = Written { files: self.files.len(), ..Written::default() };
        for (path, text) in &self.files {
            let path = folder.join(path);
            if fs::read(&path).is_ok_and(|there| there == text.as_bytes()) {
                continue;
            }
            put(&path, text).map_err(|error| cannot("be written", &path, &error))?;
            written.changed += 1;
        }
        written.left_over = self.left_over(folder);
        Ok(written)
    }

    fn may_be_written(&self, folder: &Path, path: &str) -> Result<(), Problem> {
        // The folder itself may be a link: it was named.
        let mut place = folder.to_owned();
        for part in path.split('/') {
            place.push(part);
            match fs::symlink_metadata(&place) {
                Ok(found) if found.is_symlink() => {
                    return Err(Problem::new(format!("`{}` is a link; nothing is written through it", place.display())));
                }
                Ok(found) if found.is_file() && !self.is_marked(&place).map_err(|error| cannot("be read", &place, &error))? => {
                    let what =
                        format!("`{}` is there and was not generated; it is left as it is, and nothing was written", place.display());
                    return Err(Problem::new(what));
                }
                Ok(found) if !found.is_file() && place == folder.join(path) => {
                    return Err(Problem::new(format!("`{}` is there and is no file; nothing was written", place.display())));
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(cannot("be looked at", &place, &error)),
            }
        }
        Ok(())
    }

    fn is_marked(&self, path: &Path) -> io::Result<bool> {
        let mut head = Vec::new();
        fs::File::open(path)?.take(HEAD_BYTES).read_to_end(&mut head)?;
        Ok(String::from_utf8_lossy(&head).contains(self.mark))
    }

    /// Of the folders that the package has, so that no more is looked through than was written.
    fn left_over(&self, folder: &Path) -> Vec<PathBuf> {
        let folders = self.files.keys().filter_map(|path| Path::new(path).parent());
        let folders: std::collections::BTreeSet<&Path> = folders.collect();
        let mut found = Vec::new();
        for below in folders {
            for entry in fs::read_dir(folder.join(below)).into_iter().flatten().flatten() {
                let path = below.join(entry.file_name());
                let known = path.to_str().is_some_and(|path| self.files.contains_key(path));
                let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
                if !known && is_file && self.is_marked(&entry.path()).unwrap_or_default() {
                    found.push(path);
                }
            }
        }
        found.sort();
        found
    }
}

fn put(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().expect("every file of a package is below its folder");
    fs::create_dir_all(folder)?;
    let mut beside = tempfile_in(folder)?;
    io::Write::write_all(&mut beside.1, text.as_bytes())?;
    fs::rename(&beside.0, path).inspect_err(|_| {
        // It failed already; what is left of it is of no use.
        let _ = fs::remove_file(&beside.0);
    })
}

/// A new file with a name that nobody has.
fn tempfile_in(folder: &Path) -> io::Result<(PathBuf, fs::File)> {
    let name = format!(".protogate-{:016x}", u64::from_be_bytes(crate::random::bytes()));
    let path = folder.join(name);
    let file = fs::OpenOptions::new().write(true).create_new(true).open(&path)?;
    Ok((path, file))
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> Problem {
    Problem::new(format!("`{}` cannot {what}: {}", path.display(), crate::files::reason(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARK: &str = "Generated by a test";

    fn package(files: &[(&str, &str)]) -> Package {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), format!("// {MARK}\n{text}")));
        Package { files: files.collect(), mark: MARK }
    }

    #[test]
    fn what_was_generated_is_written_again_and_nothing_else_is_touched() {
        let folder = tempfile::tempdir().unwrap();
        let first = package(&[("a.ts", "1"), ("src/b.ts", "1"), ("src/old.ts", "1")]);
        assert_eq!(first.write(folder.path()).unwrap(), Written { files: 3, changed: 3, left_over: vec![] });
        fs::write(folder.path().join("src/mine.ts"), "mine").unwrap();
        let second = package(&[("a.ts", "1"), ("src/b.ts", "2")]);
        let written = second.write(folder.path()).unwrap();
        assert_eq!(written, Written { files: 2, changed: 1, left_over: vec![PathBuf::from("src/old.ts")] });
        assert_eq!(fs::read_to_string(folder.path().join("src/mine.ts")).unwrap(), "mine");
        assert_eq!(fs::read_dir(folder.path().join("src")).unwrap().count(), 3, "nothing is left beside");
    }

    #[test]
    fn a_file_of_somebody_elses_keeps_all_from_being_written() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("b.ts"), "mine").unwrap();
        let problem = package(&[("a.ts", "1"), ("b.ts", "1")]).write(folder.path()).unwrap_err().to_string();
        assert!(problem.contains("b.ts") && problem.contains("was not generated"), "{problem}");
        assert!(!folder.path().join("a.ts").exists());
        assert_eq!(fs::read_to_string(folder.path().join("b.ts")).unwrap(), "mine");
        fs::create_dir(folder.path().join("c.ts")).unwrap();
        let problem = package(&[("a.ts", "1"), ("c.ts", "1")]).write(folder.path()).unwrap_err().to_string();
        assert!(problem.contains("is no file") && !folder.path().join("a.ts").exists(), "{problem}");
    }

    #[cfg(unix)]
    #[test]
    fn nothing_is_written_through_a_link() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(elsewhere.path(), folder.path().join("src")).unwrap();
        let problem = package(&[("src/a.ts", "1")]).write(folder.path()).unwrap_err().to_string();
        assert!(problem.contains("is a link"), "{problem}");
        assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    }
}
