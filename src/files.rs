//! The files a configuration is made of, and a record of which were read.
//!
//! Everything that a table depends on is read through one [`Files`]: the configuration, descriptors, certificates, keys.
//! Its [`Fingerprint`] therefore changes exactly when one of them does, and a watcher knows what to watch.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::Permissions;
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write as _};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;
use std::sync::Mutex;

use sha2::{Digest, Sha256};

/// Largest file that is read, in bytes. A configuration is text written by people; descriptor sets of ten thousand
/// messages are about 5 MiB, the largest public collection 22 MiB.
pub const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Most files one folder of descriptors may hold, so that a wrong path such as `/` ends early.
pub const FOLDER_FILES_MAX: usize = 20_000;

/// The files this program is shipped with: path below the project's top, and text.
const SHIPPED: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/shipped.rs"));

/// Where files come from, and what has been read so far.
pub struct Files {
    origin: Origin,
    seen: Mutex<BTreeMap<PathBuf, Option<[u8; 32]>>>,
}

enum Origin {
    Disk,
    Memory(BTreeMap<PathBuf, Cow<'static, [u8]>>),
    Lent(Box<dyn Lender>),
}

/// Whoever has files that lie neither on the disk nor in the program, such as those of an old revision.
pub trait Lender: Send + Sync {
    /// A file's bytes.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// Every file below a folder whose name ends in `.{extension}`, in any order. They are about to be read.
    fn walk(&self, folder: &Path, extension: &str) -> io::Result<Vec<PathBuf>>;
}

/// What was read: one hash over every path and content.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

/// What can be read at any place.
trait Bytes: Read + Seek {}

impl<T: Read + Seek> Bytes for T {}

/// Hashes what is read.
struct Hashed<R> {
    file: R,
    hash: Sha256,
}

// === impl Fingerprint ===

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Fingerprint {
    type Err = ();

    fn from_str(text: &str) -> Result<Fingerprint, ()> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(());
        }
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).expect("hexadecimal digits are ASCII");
            *byte = u8::from_str_radix(pair, 16).expect("hexadecimal digits make a number");
        }
        Ok(Fingerprint(bytes))
    }
}

// === impl Files ===

impl Files {
    /// Files of this machine.
    pub fn on_disk() -> Files {
        Files { origin: Origin::Disk, seen: Mutex::default() }
    }

    /// What is compiled into the program.
    pub fn shipped() -> Files {
        Files::in_memory(SHIPPED)
    }

    /// Path and text of everything that is compiled into the program.
    pub fn all_shipped() -> impl Iterator<Item = (&'static str, &'static str)> {
        SHIPPED.iter().copied()
    }

    /// The given texts and nothing else: path, and text.
    pub fn in_memory(files: &'static [(&'static str, &'static str)]) -> Files {
        let files = files.iter().map(|(path, text)| (PathBuf::from(path), Cow::Borrowed(text.as_bytes()))).collect();
        Files { origin: Origin::Memory(files), seen: Mutex::default() }
    }

    /// What somebody else has. Paths are asked for without `.` and, where it can be told, `..`.
    pub fn lent(lender: Box<dyn Lender>) -> Files {
        Files { origin: Origin::Lent(lender), seen: Mutex::default() }
    }

    /// These and one more file in memory, which need not be text, such as a descriptor set.
    #[must_use]
    pub fn with(mut self, path: &str, bytes: Vec<u8>) -> Files {
        match &mut self.origin {
            Origin::Memory(files) => drop(files.insert(path.into(), bytes.into())),
            Origin::Disk | Origin::Lent(_) => unreachable!("files are added to those in memory alone"),
        }
        self
    }

    /// A file's bytes. A file that cannot be read is recorded too: when it appears, the fingerprint changes.
    pub fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.read_hashed(path).map(|(bytes, _)| bytes)
    }

    /// The same, with the hash that is recorded.
    pub fn read_hashed(&self, path: &Path) -> io::Result<(Vec<u8>, [u8; 32])> {
        let path = normal(path);
        let read = self.read_unrecorded(&path).map(|bytes| {
            let hash = Sha256::digest(&bytes).into();
            (bytes, hash)
        });
        let hash = read.as_ref().ok().map(|(_, hash)| *hash);
        self.seen.lock().expect("no holder of this lock panics").insert(path, hash);
        read
    }

    /// Hands over a file from its beginning to its end without holding all of it. It is recorded as one that was read.
    pub fn read_through<T>(&self, path: &Path, work: impl FnOnce(&mut dyn Read) -> io::Result<T>) -> io::Result<T> {
        self.pass_through(path, work).map(|(worked, _)| worked)
    }

    /// The hash of a file, which is recorded as one that was read, without holding all of it.
    pub fn hash(&self, path: &Path) -> io::Result<[u8; 32]> {
        self.pass_through(path, |_| Ok(())).map(|((), hash)| hash)
    }

    fn pass_through<T>(&self, path: &Path, work: impl FnOnce(&mut dyn Read) -> io::Result<T>) -> io::Result<(T, [u8; 32])> {
        let path = normal(path);
        let read = self.open(&path).and_then(|file| {
            let mut file = Hashed { file, hash: Sha256::new() };
            let worked = work(&mut file)?;
            // What was of no interest counts as well.
            io::copy(&mut file, &mut io::sink())?;
            Ok((worked, file.hash.finalize().into()))
        });
        let hash = read.as_ref().ok().map(|(_, hash)| *hash);
        self.seen.lock().expect("no holder of this lock panics").insert(path, hash);
        read
    }

    /// Some bytes of a file that was handed over before.
    pub fn read_part(&self, path: &Path, part: Range<u64>) -> io::Result<Vec<u8>> {
        let mut file = self.open(&normal(path))?;
        file.seek(SeekFrom::Start(part.start))?;
        let mut bytes = Vec::new();
        file.take(part.end.saturating_sub(part.start)).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// A file's bytes, where no table depends on them: whoever uses the file follows it by itself.
    pub fn read_apart(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.read_unrecorded(&normal(path))
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
            Origin::Memory(files) => walk_memory(files.keys().filter(|path| path.starts_with(&folder)), extension)?,
            Origin::Lent(lender) => lender.walk(&folder, extension)?,
        };
        found.sort();
        self.seen.lock().expect("no holder of this lock panics").insert(folder, None);
        Ok(found)
    }

    /// One hash over everything read so far, and over `also`: what a configuration depends on besides files.
    pub fn fingerprint(&self, also: &[u8]) -> Fingerprint {
        let mut hash = Sha256::new();
        hash.update((also.len() as u64).to_le_bytes());
        hash.update(also);
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
                check(path)?;
                std::fs::read(path)
            }
            Origin::Lent(lender) => lender.read(path),
            Origin::Memory(files) => Ok(held(files, path)?.to_vec()),
        }
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Bytes + '_>> {
        match &self.origin {
            Origin::Disk => {
                check(path)?;
                Ok(Box::new(std::fs::File::open(path)?))
            }
            Origin::Lent(lender) => Ok(Box::new(Cursor::new(lender.read(path)?))),
            Origin::Memory(files) => Ok(Box::new(Cursor::new(held(files, path)?))),
        }
    }
}

// === impl Hashed ===

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(into)?;
        self.hash.update(&into[..count]);
        Ok(count)
    }
}

/// Whether a file of this machine may be read.
fn check(path: &Path) -> io::Result<()> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {} MiB", FILE_BYTES_MAX >> 20)));
    }
    Ok(())
}

fn held<'f>(files: &'f BTreeMap<PathBuf, Cow<'static, [u8]>>, path: &Path) -> io::Result<&'f [u8]> {
    files.get(path).map(|bytes| &**bytes).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such file"))
}

/// Puts `bytes` in the place of a file, or makes it: whoever reads it sees all of the old ones or all of the new ones.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    place(path, bytes, None)
}

/// The same for a file that is there: it keeps its permissions, and where `path` is a link, what the link leads to is changed.
pub fn rewrite(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = std::fs::canonicalize(path)?;
    let permissions = std::fs::metadata(&path)?.permissions();
    place(&path, bytes, Some(permissions))
}

fn place(path: &Path, bytes: &[u8], permissions: Option<Permissions>) -> io::Result<()> {
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no name of a file"))?;
    let draft = path.with_file_name(format!(".{}.{}.new", name.to_string_lossy(), crate::random::name()));
    let written = std::fs::File::create_new(&draft).and_then(|mut file| {
        file.write_all(bytes)?;
        permissions.map_or(Ok(()), |permissions| file.set_permissions(permissions))?;
        file.sync_all()
    });
    let placed = written.and_then(|()| std::fs::rename(&draft, path));
    if placed.is_err() {
        // What is left of it would be in nobody's way, and may not even be there.
        let _ = std::fs::remove_file(&draft);
    }
    placed
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

/// Why something cannot be read, in the same words on every system.
pub fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or folder".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::NotADirectory => "it is a file, not a folder".to_owned(),
        _ => error.to_string(),
    }
}

/// A folder in memory is there when something lies in it.
fn walk_memory<'a>(files: impl Iterator<Item = &'a PathBuf>, extension: &str) -> io::Result<Vec<PathBuf>> {
    let mut files = files.peekable();
    if files.peek().is_none() {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(files.filter(|path| has_extension(path, extension)).cloned().collect())
}

fn walk_disk(folder: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    // What `.` is without its dot.
    let here = folder.as_os_str().is_empty();
    let mut waiting = vec![if here { PathBuf::from(".") } else { folder.to_path_buf() }];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            // Hidden entries are editors' and Kubernetes' own (`..data`), not sources.
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let (path, kind) = (entry.path(), entry.file_type()?);
            // Asked of the file itself only where the folder does not know: where it is a link.
            if kind.is_dir() || kind.is_symlink() && path.is_dir() {
                waiting.push(path);
            } else if has_extension(&path, extension) {
                found.push(if here { normal(&path) } else { path });
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
