//! The files of a folder as they were at a revision, out of `git`.
//!
//! Nothing is checked out and nothing is written: the names of all files of the revision are listed once, and what is asked for is read by
//! `git cat-file`. Promises: every run of `git` has a deadline and a bound on what it says, and is ended with the command; a revision is never
//! taken for an option; nothing that the repository says is run or fetched; what the repository does not hold, such as a key that is deployed beside it, is read as it is now.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use tokio::time::Instant;

use crate::cli::{Exit, UNREADABLE, harmless};
use crate::files::{FILE_BYTES_MAX, FOLDER_FILES_MAX, Files, Lender};

/// The longest that one run of `git` may take, and the most that it may say.
const PATIENCE: Duration = Duration::from_secs(30);
const SAID_BYTES_MAX: usize = 256 << 20;

/// Extensions of files that are the configuration's own: what of them the revision does not have was not there.
const OWN: [&str; 4] = ["yaml", "yml", "proto", "binpb"];

/// Variables that say which repository `git` is to read.
const ELSEWHERE: [&str; 6] = ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY"];

/// A folder at a revision.
pub struct Revision {
    /// Below the top of the repository.
    folder: PathBuf,
    tree: Arc<Tree>,
}

/// All files of a revision.
struct Tree {
    /// Where the work tree is.
    top: PathBuf,
    /// The ids of files, by their path below it.
    files: BTreeMap<PathBuf, String>,
    /// What was read together before it is asked for, by id.
    read: Mutex<HashMap<String, Vec<u8>>>,
}

/// What lends a tree's files.
struct Lent(Arc<Tree>);

/// Whether this may be handed to `git` as a revision.
pub fn is_revision(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('-') && !text.chars().any(char::is_control)
}

// === impl Revision ===

impl Revision {
    pub fn open(folder: &Path, name: &str) -> Result<Revision, Exit> {
        let unreadable = |what: String| Exit::new(UNREADABLE, harmless(&format!("error: {what}")));
        let ask = |folder: &Path, arguments: &[&str]| {
            git(folder, arguments, Vec::new()).map_err(|error| unreadable(format!("`git {}`: {error}", arguments[0])))
        };
        let line = |folder: &Path, arguments: &[&str]| {
            let said = String::from_utf8(ask(folder, arguments)?);
            let said = said.map_err(|_| unreadable(format!("`git {}` says what is no text", arguments[0])))?;
            Ok::<_, Exit>(said.trim_end_matches('\n').to_owned())
        };
        let top = PathBuf::from(line(folder, &["rev-parse", "--show-toplevel"])?);
        let prefix = PathBuf::from(line(folder, &["rev-parse", "--show-prefix"])?);
        let commit = format!("{name}^{{commit}}");
        let id = line(&top, &["rev-parse", "--verify", "--quiet", "--end-of-options", &commit]).ok();
        // What is left out (`^main`) is no revision either.
        let id = id
            .filter(|id| id.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .ok_or_else(|| unreadable(format!("there is no revision `{name}`")))?;
        let listed = ask(&top, &["ls-tree", "-r", "-z", "--full-tree", &id])?;
        // A name that is no text is none that a configuration can say.
        let files = listed.split(|byte| *byte == 0).filter_map(|line| blob(std::str::from_utf8(line).ok()?)).collect();
        Ok(Revision { folder: prefix.components().collect(), tree: Arc::new(Tree { top, files, read: Mutex::default() }) })
    }

    /// The folder, as a path of these files.
    pub fn folder(&self) -> &Path {
        if self.folder.as_os_str().is_empty() { Path::new(".") } else { &self.folder }
    }

    pub fn files(&self) -> Files {
        Files::lent(Box::new(Lent(Arc::clone(&self.tree))))
    }
}

/// `MODE blob ID\tPATH`: the path and the id, of ordinary files alone. What a link leads to is another file's business.
fn blob(line: &str) -> Option<(PathBuf, String)> {
    let (about, path) = line.split_once('\t')?;
    let mut about = about.split(' ');
    let (mode, kind, id) = (about.next()?, about.next()?, about.next()?);
    (kind == "blob" && mode != "120000").then(|| (PathBuf::from(path), id.to_owned()))
}

// === impl Lent ===

impl Lender for Lent {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let Lent(tree) = self;
        match tree.files.get(path) {
            Some(id) => tree.blob(id),
            None if is_own(path) => Err(io::ErrorKind::NotFound.into()),
            // A path that leads out of the repository leads out of it by its first part.
            None => Files::on_disk().read_apart(&tree.top.join(path)),
        }
    }

    fn walk(&self, folder: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
        let Lent(tree) = self;
        if leads_out(folder) {
            return Files::on_disk().walk(&tree.top.join(folder), extension);
        }
        let is_hidden = |path: &Path| path.components().any(|part| part.as_os_str().as_encoded_bytes().starts_with(b"."));
        let below = tree.files.iter().filter_map(|(path, id)| Some((path, path.strip_prefix(folder).ok()?, id)));
        let mut is_there = false;
        let below = below
            .inspect(|_| is_there = true)
            .filter(|(path, rest, _)| path.extension().is_some_and(|found| found == extension) && !is_hidden(rest));
        let found: Vec<(PathBuf, String)> = below.map(|(path, _, id)| (path.clone(), id.clone())).collect();
        match found.len() {
            _ if !is_there => return Err(io::ErrorKind::NotFound.into()),
            FOLDER_FILES_MAX.. => return Err(io::Error::other(format!("more than {FOLDER_FILES_MAX} files below it"))),
            _ => {}
        }
        tree.read_together(found.iter().map(|(_, id)| id.as_str()))?;
        Ok(found.into_iter().map(|(path, _)| path).collect())
    }
}

fn leads_out(path: &Path) -> bool {
    path.is_absolute() || path.components().next() == Some(Component::ParentDir)
}

fn is_own(path: &Path) -> bool {
    !leads_out(path) && path.extension().is_some_and(|extension| OWN.iter().any(|own| extension == *own))
}

// === impl Tree ===

impl Tree {
    fn blob(&self, id: &str) -> io::Result<Vec<u8>> {
        if let Some(bytes) = self.read.lock().expect("nothing panics while it holds files").remove(id) {
            return Ok(bytes);
        }
        let bytes = git(&self.top, &["cat-file", "blob", id], Vec::new()).map_err(io::Error::other)?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {} MiB", FILE_BYTES_MAX >> 20)));
        }
        Ok(bytes)
    }

    /// Many files at once: a process for each of thousands would take a minute.
    fn read_together<'a>(&self, ids: impl Iterator<Item = &'a str>) -> io::Result<()> {
        let asked: String = ids.map(|id| format!("{id}\n")).collect();
        let said = git(&self.top, &["cat-file", "--batch"], asked.into_bytes()).map_err(io::Error::other)?;
        let mut read = self.read.lock().expect("nothing panics while it holds files");
        let mut rest = &said[..];
        while !rest.is_empty() {
            let (id, bytes, behind) = entry(rest).ok_or_else(|| io::Error::other("`git cat-file` says what it should not"))?;
            read.insert(id.to_owned(), bytes.to_vec());
            rest = behind;
        }
        Ok(())
    }
}

/// `ID blob SIZE\n`, so many bytes, and `\n`; and what is behind them.
fn entry(said: &[u8]) -> Option<(&str, &[u8], &[u8])> {
    let end = said.iter().position(|byte| *byte == b'\n')?;
    let mut head = std::str::from_utf8(&said[..end]).ok()?.split(' ');
    let (id, size) = (head.next()?, head.nth(1)?.parse::<usize>().ok()?);
    let (bytes, behind) = said[end + 1..].split_at_checked(size)?;
    Some((id, bytes, behind.strip_prefix(b"\n")?))
}

/// Runs `git` in a folder and returns what it says.
fn git(folder: &Path, arguments: &[&str], input: Vec<u8>) -> Result<Vec<u8>, String> {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).arg("--no-pager").arg("--literal-pathspecs").args(arguments);
    // Nobody is there to type a password, and reading takes no lock.
    command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_OPTIONAL_LOCKS", "0");
    // What is not there is not fetched: a repository of others would say by which program. Older versions of git know the second alone.
    command.env("GIT_NO_LAZY_FETCH", "1").env("GIT_ALLOW_PROTOCOL", "none");
    // A hook of git's, in which this may be run, says which repository it is of by paths from elsewhere.
    ELSEWHERE.into_iter().for_each(|name| _ = command.env_remove(name));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().map_err(|error| format!("it cannot be run: {error}"))?;
    let mut child = Ended(child);
    let (mut to, from, wrong) = (child.0.stdin.take(), child.0.stdout.take(), child.0.stderr.take());
    let (tell, told) = mpsc::channel();
    let tell_wrong = tell.clone();
    // They end when git does, which ends with this function.
    std::thread::spawn(move || to.as_mut().map(|to| to.write_all(&input)));
    std::thread::spawn(move || tell.send((true, all(from, SAID_BYTES_MAX))));
    std::thread::spawn(move || tell_wrong.send((false, all(wrong, 4096))));
    let (mut said, mut complaint) = (Vec::new(), Vec::new());
    let until = Instant::now() + PATIENCE;
    for _ in 0..2 {
        let left = until.saturating_duration_since(Instant::now());
        let (is_said, bytes) = told.recv_timeout(left).map_err(|_| format!("it did not end within {} s", PATIENCE.as_secs()))?;
        *(if is_said { &mut said } else { &mut complaint }) = bytes.map_err(|error| error.to_string())?;
    }
    if said.len() > SAID_BYTES_MAX {
        return Err(format!("it says more than {} MiB", SAID_BYTES_MAX >> 20));
    }
    let status = child.0.wait().map_err(|error| error.to_string())?;
    let complaint = String::from_utf8_lossy(&complaint);
    if status.success() { Ok(said) } else { Err(complaint.lines().next().unwrap_or("it failed").to_owned()) }
}

/// All that comes, and at most one byte more than so many.
fn all(from: Option<impl Read>, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.map_or(Ok(0), |from| from.take(bytes_max as u64 + 1).read_to_end(&mut bytes)).map(|_| bytes)
}

/// A process that ends with whoever started it.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_is_no_option() {
        assert!(is_revision("main") && is_revision("HEAD~1") && is_revision("v1.0"));
        assert!(!is_revision("") && !is_revision("--output=/etc/passwd") && !is_revision("a\nb"));
    }

    #[test]
    fn only_ordinary_files_are_listed() {
        let listed = |line| blob(line).map(|(path, id)| (path.display().to_string(), id));
        assert_eq!(listed("100644 blob abc\troutes/a b.yaml"), Some(("routes/a b.yaml".to_owned(), "abc".to_owned())));
        assert_eq!(listed("120000 blob abc\tlink"), None);
        assert_eq!(listed("160000 commit abc\tmodule"), None);
    }

    #[test]
    fn a_batch_is_read_by_its_sizes() {
        assert_eq!(entry(b"ab blob 3\na\nb\ncd blob 0\n\n"), Some(("ab", &b"a\nb"[..], &b"cd blob 0\n\n"[..])));
        assert_eq!(entry(b"cd blob 0\n\n"), Some(("cd", &b""[..], &b""[..])));
        assert_eq!(entry(b"ab missing\n"), None);
        assert_eq!(entry(b"ab blob 9\na\n"), None);
    }

    #[test]
    fn what_the_repository_does_not_hold_is_read_as_it_is_now() {
        assert!(is_own(Path::new("routes/auth.production.yaml")) && is_own(Path::new("proto/a.proto")));
        assert!(!is_own(Path::new("routes/signing.pem")) && !is_own(Path::new("/etc/a.yaml")) && !is_own(Path::new("../a.proto")));
    }
}
