//! Where descriptors come from: folders of .proto files, and sets that protoc or buf wrote.
//!
//! Reading is in two steps, so that descriptors which did not change are not parsed again: [`read`] takes the bytes and their hash,
//! [`parse`] makes files of them. Promise: every problem of every file is reported, and the others go on without it.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use prost::Message as _;
use prost_reflect::DescriptorPool;
use prost_types::FileDescriptorProto;
use sha2::{Digest, Sha256};

use super::comments::Comments;
use super::{blame, read};
use crate::diagnostic::{Diagnostic, Report, Rule, Sources, Span};
use crate::files::{self, Files, Fingerprint};

/// One entry of `descriptors:`, and where it is written.
#[derive(Clone)]
pub enum DescriptorSource {
    /// A folder of .proto files, compiled in-process; file names are relative to it, as imports are.
    Proto { folder: PathBuf, span: Span },
    /// A `FileDescriptorSet`.
    Set { file: PathBuf, span: Span },
    /// A `FileDescriptorSet` that `protogate lock` wrote: what a backend told.
    Lock { file: PathBuf, span: Span },
}

/// The bytes of all sources.
pub(super) struct Bytes {
    pub fingerprint: Fingerprint,
    pub complete: bool,
    files: Vec<Unparsed>,
}

struct Unparsed {
    source: usize,
    path: PathBuf,
    /// The name that imports use; a set has none.
    name: Option<String>,
    bytes: Vec<u8>,
}

/// The files of all sources.
#[derive(Default)]
pub(super) struct Parsed {
    pub files: Vec<Unlinked>,
    /// Names of files that exist and were reported: who imports them is not to blame.
    pub broken: HashSet<String>,
    /// A whole set was reported.
    pub incomplete: bool,
    /// Of the files that are text.
    pub comments: Comments,
}

/// One file whose imports and names are not resolved yet.
pub(super) struct Unlinked {
    pub source: usize,
    pub proto: FileDescriptorProto,
    pub origin: Origin,
}

pub(super) enum Origin {
    Text {
        path: PathBuf,
        text: String,
    },
    /// The bytes, because the options in them are more than `proto` can hold.
    Set {
        encoded: Vec<u8>,
    },
}

struct Parser<'a> {
    sources: &'a [DescriptorSource],
    report: &'a mut Report,
    texts: &'a mut Sources,
    bundled: DescriptorPool,
    parsed: Parsed,
}

/// The number of `source_code_info` in a `FileDescriptorProto`: comments and positions, most of its bytes, and of no use at run time.
pub(super) const SOURCE_CODE_INFO: u32 = 9;

/// The number of `file` in a `FileDescriptorSet`.
pub(super) const SET_FILE: u32 = 1;

// === impl DescriptorSource ===

impl DescriptorSource {
    pub fn span(&self) -> Span {
        match self {
            DescriptorSource::Proto { span, .. } | DescriptorSource::Set { span, .. } | DescriptorSource::Lock { span, .. } => *span,
        }
    }

    pub fn path(&self) -> &Path {
        match self {
            DescriptorSource::Proto { folder: path, .. }
            | DescriptorSource::Set { file: path, .. }
            | DescriptorSource::Lock { file: path, .. } => path,
        }
    }

    /// The name by which a file of this source is imported, with `/` on every system.
    fn file_name(&self, path: &Path) -> Option<String> {
        let DescriptorSource::Proto { folder, .. } = self else { return None };
        let name = path.strip_prefix(crate::files::normal(folder)).unwrap_or(path);
        Some(name.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/"))
    }
}

// === impl Unlinked ===

impl Unlinked {
    pub fn name(&self) -> &str {
        self.proto.name()
    }
}

/// Reads every source.
pub(super) fn read(files: &Files, sources: &[DescriptorSource], report: &mut Report) -> Bytes {
    let mut bytes = Bytes { fingerprint: Fingerprint([0; 32]), complete: true, files: Vec::new() };
    for (index, source) in sources.iter().enumerate() {
        let paths = match source {
            DescriptorSource::Set { file, .. } | DescriptorSource::Lock { file, .. } => Ok(vec![file.clone()]),
            DescriptorSource::Proto { folder, .. } => files.walk(folder, "proto"),
        };
        let found = paths.map_err(|error| (source.path().to_owned(), error)).and_then(|paths| {
            let read = |path: PathBuf| match files.read(&path) {
                Ok(bytes) => Ok(Unparsed { source: index, name: source.file_name(&path), path, bytes }),
                Err(error) => Err((path, error)),
            };
            paths.into_iter().map(read).collect::<Result<Vec<_>, _>>()
        });
        match found {
            Ok(found) if found.is_empty() => {
                bytes.complete = false;
                let message = format!("folder `{}` holds no .proto file", files::normal(source.path()).display());
                report.push(Diagnostic::new(Rule::ProtoSource, source.span(), message));
            }
            Ok(found) => bytes.files.extend(found),
            Err((path, error)) => {
                bytes.complete = false;
                report.push(unreadable(source, &path, &error));
            }
        }
    }
    bytes.fingerprint = fingerprint(&bytes.files);
    bytes
}

fn unreadable(source: &DescriptorSource, path: &Path, error: &io::Error) -> Diagnostic {
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

/// One set that is compiled into the program.
pub(super) fn compiled_in(set: &[u8]) -> Bytes {
    let files = vec![Unparsed { source: 0, path: PathBuf::new(), name: None, bytes: set.to_vec() }];
    Bytes { fingerprint: fingerprint(&files), complete: true, files }
}

/// Makes files of the bytes; what cannot be parsed is reported.
pub(super) fn parse(bytes: Bytes, sources: &[DescriptorSource], report: &mut Report, texts: &mut Sources) -> Parsed {
    let mut parser = Parser { sources, report, texts, bundled: DescriptorPool::global(), parsed: Parsed::default() };
    for file in bytes.files {
        match &file.name {
            Some(name) if parser.is_bundled(name) => {}
            Some(name) => parser.text(name.clone(), file),
            None => parser.set(&file),
        }
    }
    parser.parsed
}

// === impl Parser ===

impl Parser<'_> {
    /// The well-known types are part of this program: a source's own copies may be newer than what protox parses, and are left alone.
    fn is_bundled(&self, name: &str) -> bool {
        is_bundled(&self.bundled, name)
    }

    fn text(&mut self, name: String, file: Unparsed) {
        let Unparsed { source, path, bytes, .. } = file;
        let Ok(text) = String::from_utf8(bytes) else {
            let message = format!("`{}` is not UTF-8 text", path.display());
            self.report.push(Diagnostic::new(Rule::ProtoSource, self.sources[source].span(), message));
            self.parsed.broken.insert(name);
            return;
        };
        match protox::file::File::from_source(&name, &text) {
            Ok(file) => {
                let mut proto = FileDescriptorProto::from(file);
                self.parsed.comments.note(&proto);
                proto.source_code_info = None;
                self.parsed.files.push(Unlinked { source, proto, origin: Origin::Text { path, text } });
            }
            Err(error) => {
                let edition = edition(&text);
                let file = self.texts.add(path, text);
                match edition {
                    Some((start, end)) => self.report.push(editions(Span { file, start, end }, format!("file `{name}`"))),
                    None => blame::report(&error, file, self.texts, self.report),
                }
                self.parsed.broken.insert(name);
            }
        }
    }

    fn set(&mut self, set: &Unparsed) {
        let files = read::fields(&set.bytes).map(|field| match field? {
            field if field.number == SET_FILE && field.wire == read::Wire::Len => set_file(set.source, &set.bytes[field.body]),
            _ => Err(read::Malformed),
        });
        let files: Result<Vec<Unlinked>, read::Malformed> = files.collect();
        let Some(files) = files.ok().filter(|files| !files.is_empty()) else {
            self.parsed.incomplete = true;
            let message = format!("`{}` is not a descriptor set", set.path.display());
            let help = match self.sources[set.source] {
                DescriptorSource::Lock { .. } => "write it with `protogate lock`, and nothing else",
                _ => "write it with `protoc --include_imports --descriptor_set_out=FILE` or `buf build -o FILE`",
            };
            return self.report.push(Diagnostic::new(Rule::DescriptorSet, self.sources[set.source].span(), message).help(help));
        };
        for file in files {
            if file.proto.syntax() == "editions" {
                let message = format!("file `{}` in `{}`", file.name(), set.path.display());
                self.report.push(editions(self.sources[set.source].span(), message));
                self.parsed.broken.insert(file.name().to_owned());
            } else if !self.is_bundled(file.name()) {
                self.parsed.files.push(file);
            }
        }
    }
}

/// Whether `name` is a file that this program has by itself, whatever a source says.
pub(super) fn is_bundled(bundled: &DescriptorPool, name: &str) -> bool {
    let file = name.strip_prefix("google/protobuf/");
    file.is_some_and(|file| bundled.get_file_by_name(name).is_some() || file.ends_with("_features.proto"))
}

fn set_file(source: usize, bytes: &[u8]) -> Result<Unlinked, read::Malformed> {
    let mut encoded = Vec::with_capacity(bytes.len());
    read::copy_without(bytes, |number| number == SOURCE_CODE_INFO, &mut encoded)?;
    let proto = FileDescriptorProto::decode(encoded.as_slice()).map_err(|_| read::Malformed)?;
    if proto.name().is_empty() { Err(read::Malformed) } else { Ok(Unlinked { source, proto, origin: Origin::Set { encoded } }) }
}

fn editions(span: Span, file: String) -> Diagnostic {
    Diagnostic::new(Rule::Editions, span, format!("{file} uses protobuf Editions"))
        .help("write `syntax = \"proto3\"`, or keep this file out of the descriptors; Editions are not supported yet")
}

/// Where the first statement of a .proto file says `edition`, if it does.
fn edition(text: &str) -> Option<(usize, usize)> {
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    loop {
        rest = match (rest.strip_prefix("//"), rest.strip_prefix("/*")) {
            (Some(line), _) => line.split_once('\n')?.1,
            (_, Some(block)) => block.split_once("*/")?.1,
            _ => break,
        }
        .trim_start();
    }
    let start = text.len() - rest.len();
    let after = rest.strip_prefix("edition")?;
    after.trim_start().starts_with('=').then_some((start, start + rest.find(';').map_or("edition".len(), |end| end)))
}

fn fingerprint(files: &[Unparsed]) -> Fingerprint {
    let mut hash = Sha256::new();
    for file in files {
        hash.update((file.source as u64).to_le_bytes());
        for part in [file.name.as_deref().unwrap_or_default().as_bytes(), &file.bytes] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
    }
    Fingerprint(hash.finalize().into())
}
