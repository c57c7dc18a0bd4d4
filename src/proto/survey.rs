//! Reads every source once: what its files declare is kept, their bytes are not.
//!
//! Promises: a source that cannot be read is reported, and the others go on without it; a file that was looked at before, by its hash, is
//! not looked into again.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::declared::Declared;
use super::index::{Index, IndexedFile, Place};
use super::parallel::in_parallel;
use super::read::{Malformed, Wire};
use super::scan::scan;
use super::source::{DescriptorSource, SET_FILE};
use crate::diagnostic::{Diagnostic, Report, Rule};
use crate::files::{self, FILE_BYTES_MAX, Files};

/// The key of every file in a `FileDescriptorSet`, which holds nothing else.
const SET_FILE_KEY: u64 = (SET_FILE as u64) << 3 | Wire::Len as u64;

/// How much of a set is read at a time.
const READ_BYTES: usize = 64 << 10;

/// All sources, as far as they were looked at.
#[derive(Default)]
pub(super) struct Survey {
    pub index: Index,
    /// Nothing was reported.
    pub complete: bool,
}

/// What is known of files by the hash of their bytes.
type Known<'l> = HashMap<[u8; 32], &'l IndexedFile>;

/// Looks at every source. What the last index has is taken from there.
pub(super) fn survey(files: &Files, sources: &[DescriptorSource], last: &Index, report: &mut Report) -> Survey {
    let known: Known<'_> = last.files().map(|file| (file.hash, file)).collect();
    let (mut found, mut complete) = (Vec::new(), true);
    for (at, source) in sources.iter().enumerate() {
        let looked = match source {
            DescriptorSource::Proto { folder, .. } => look_into(files, at, source, folder, &known),
            DescriptorSource::Set { file, .. } | DescriptorSource::Lock { file, .. } => {
                match files.read_through(file, |bytes| set(at, bytes, &known)) {
                    Err(error) => Err(unreadable(source, file, &error)),
                    Ok(looked) => looked.ok().filter(|files| !files.is_empty()).ok_or_else(|| no_set(source)),
                }
            }
        };
        match looked {
            Ok(looked) => found.extend(looked),
            Err(finding) => {
                complete = false;
                report.push(finding);
            }
        }
    }
    Survey { index: Index::new(found), complete }
}

fn look_into(
    files: &Files,
    at: usize,
    source: &DescriptorSource,
    folder: &Path,
    known: &Known<'_>,
) -> Result<Vec<IndexedFile>, Diagnostic> {
    let paths = files.walk(folder, "proto").map_err(|error| unreadable(source, folder, &error))?;
    if paths.is_empty() {
        let message = format!("folder `{}` holds no .proto file", files::normal(folder).display());
        return Err(Diagnostic::new(Rule::ProtoSource, source.span(), message));
    }
    let looked = in_parallel(paths, |path: PathBuf| {
        let (declared, bytes, hash) = text(files, &path, known).map_err(|error| unreadable(source, &path, &error))?;
        Ok(IndexedFile { source: at, name: file_name(folder, &path), declared, place: Place::Text(path), bytes, hash })
    });
    looked.into_iter().collect()
}

/// What a text declares, how long it is, and its hash. One that is as it was when it was looked at before is hashed without being held.
fn text(files: &Files, path: &Path, known: &Known<'_>) -> io::Result<(Arc<Declared>, u64, [u8; 32])> {
    if !known.is_empty() {
        let hash = files.hash(path)?;
        if let Some(file) = known.get(&hash) {
            return Ok((Arc::clone(&file.declared), file.bytes, hash));
        }
    }
    let (text, hash) = files.read_hashed(path)?;
    Ok((Arc::new(scan(&text)), text.len() as u64, hash))
}

/// Looks at the files of a set, one after the other.
fn set(source: usize, bytes: &mut dyn Read, known: &Known<'_>) -> io::Result<Result<Vec<IndexedFile>, Malformed>> {
    let mut bytes = BufReader::with_capacity(READ_BYTES, bytes);
    let (mut found, mut at, mut file) = (Vec::new(), 0, Vec::new());
    while !bytes.fill_buf()?.is_empty() {
        let (Some(SET_FILE_KEY), Some(len @ ..FILE_BYTES_MAX)) = (varint(&mut bytes, &mut at)?, varint(&mut bytes, &mut at)?) else {
            return Ok(Err(Malformed));
        };
        file.clear();
        bytes.by_ref().take(len).read_to_end(&mut file)?;
        if file.len() as u64 != len {
            return Ok(Err(Malformed));
        }
        let hash = Sha256::digest(&file).into();
        let (name, declared) = match known.get(&hash) {
            Some(known) => (known.name.clone(), Arc::clone(&known.declared)),
            None => match Declared::of_compiled(&file) {
                Ok((name, declared)) => (name, Arc::new(declared)),
                Err(Malformed) => return Ok(Err(Malformed)),
            },
        };
        found.push(IndexedFile { source, name, declared, place: Place::Set(at..at + len), bytes: len, hash });
        at += len;
    }
    Ok(Ok(found))
}

/// A varint, where one is; `at` is moved by what was read.
fn varint(bytes: &mut impl Read, at: &mut u64) -> io::Result<Option<u64>> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let mut byte = [0];
        if bytes.read(&mut byte)? == 0 {
            return Ok(None);
        }
        *at += 1;
        value |= u64::from(byte[0] & 0x7f) << shift;
        if byte[0] < 0x80 {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// The name by which a file of a folder is imported, with `/` on every system.
fn file_name(folder: &Path, path: &Path) -> String {
    let name = path.strip_prefix(files::normal(folder)).unwrap_or(path);
    name.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}

pub(super) fn no_set(source: &DescriptorSource) -> Diagnostic {
    let help = match source {
        DescriptorSource::Lock { .. } => "write it with `protogate lock`, and nothing else",
        _ => "write it with `protoc --include_imports --descriptor_set_out=FILE` or `buf build -o FILE`",
    };
    let message = format!("`{}` is not a descriptor set", source.path().display());
    Diagnostic::new(Rule::DescriptorSet, source.span(), message).help(help)
}

pub(super) fn unreadable(source: &DescriptorSource, path: &Path, error: &io::Error) -> Diagnostic {
    let shown = files::normal(path);
    match source {
        DescriptorSource::Lock { span, .. } if error.kind() == io::ErrorKind::NotFound => {
            Diagnostic::new(Rule::MissingLock, *span, format!("the lock `{}` is not there", shown.display()))
                .help("run `protogate lock` while the backend is running; it asks the backend and writes this file")
        }
        _ => {
            let what = format!("`{}` cannot be read: {}", shown.display(), files::reason(error));
            Diagnostic::new(Rule::Unreadable, source.span(), what)
        }
    }
}
