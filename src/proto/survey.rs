//! Reads every source once: what its files declare is kept, their texts are not.
//!
//! Promise: a source that cannot be read is reported, and the others go on without it.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::declared::Declared;
use super::index::{Index, IndexedFile, Place};
use super::parallel::in_parallel;
use super::read::{self, Malformed, Wire};
use super::scan::scan;
use super::source::{DescriptorSource, SET_FILE};
use crate::diagnostic::{Diagnostic, Report, Rule};
use crate::files::{self, Files};

/// All sources, as far as they were looked at.
#[derive(Default)]
pub(super) struct Survey {
    pub index: Index,
    /// The bytes of sets, by the place of their source.
    pub sets: HashMap<usize, Vec<u8>>,
    /// Nothing was reported.
    pub complete: bool,
}

/// Looks at every source.
pub(super) fn survey(files: &Files, sources: &[DescriptorSource], report: &mut Report) -> Survey {
    let mut survey = Survey { complete: true, ..Survey::default() };
    let mut found = Vec::new();
    for (at, source) in sources.iter().enumerate() {
        let looked = match source {
            DescriptorSource::Proto { folder, .. } => look_into(files, at, source, folder),
            DescriptorSource::Set { file, .. } | DescriptorSource::Lock { file, .. } => match files.read(file) {
                Err(error) => Err(unreadable(source, file, &error)),
                Ok(bytes) => {
                    let looked = set(at, &bytes).ok().filter(|files| !files.is_empty()).ok_or_else(|| no_set(source));
                    survey.sets.insert(at, bytes);
                    looked
                }
            },
        };
        match looked {
            Ok(looked) => found.extend(looked),
            Err(finding) => {
                survey.complete = false;
                report.push(finding);
            }
        }
    }
    survey.index = Index::new(found);
    survey
}

/// One set that is compiled into the program.
pub(super) fn compiled_in(bytes: &[u8]) -> Survey {
    let files = set(0, bytes).expect("the build made this set");
    Survey { index: Index::new(files), sets: HashMap::from([(0, bytes.to_vec())]), complete: true }
}

fn look_into(files: &Files, at: usize, source: &DescriptorSource, folder: &Path) -> Result<Vec<IndexedFile>, Diagnostic> {
    let paths = files.walk(folder, "proto").map_err(|error| unreadable(source, folder, &error))?;
    if paths.is_empty() {
        let message = format!("folder `{}` holds no .proto file", files::normal(folder).display());
        return Err(Diagnostic::new(Rule::ProtoSource, source.span(), message));
    }
    let looked = in_parallel(paths, |path: PathBuf| match files.read_hashed(&path) {
        Ok((text, hash)) => {
            let name = file_name(folder, &path);
            Ok(IndexedFile { source: at, name, declared: Arc::new(scan(&text)), place: Place::Text(path), hash })
        }
        Err(error) => Err(unreadable(source, &path, &error)),
    });
    looked.into_iter().collect()
}

fn set(source: usize, bytes: &[u8]) -> Result<Vec<IndexedFile>, Malformed> {
    let files = read::fields(bytes).map(|field| {
        let field = field?;
        if field.number != SET_FILE || field.wire != Wire::Len {
            return Err(Malformed);
        }
        let file = &bytes[field.body.clone()];
        let (name, declared) = Declared::of_compiled(file)?;
        Ok(IndexedFile { source, name, declared: Arc::new(declared), place: Place::Set(field.body), hash: Sha256::digest(file).into() })
    });
    files.collect()
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
