//! Where descriptors come from: folders of .proto files, and sets that protoc or buf wrote.
//!
//! `survey` has looked at all of them before; here files that are needed are read and parsed. Promise: every problem of each of those is
//! reported, and the others go on without it.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use prost::Message as _;
use prost_reflect::DescriptorPool;
use prost_types::{FileDescriptorProto, SourceCodeInfo};
use sha2::{Digest, Sha256};

use super::comments::Comments;
use super::index::{Index, IndexedFile, Place};
use super::parallel::in_parallel_with_heavy;
use super::survey::{Survey, no_set, unreadable};
use super::{blame, read};
use crate::diagnostic::{Diagnostic, Report, Rule, Sources, Span};
use crate::files::{Files, Fingerprint};

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

/// The files that are needed.
#[derive(Default)]
pub(super) struct Parsed {
    pub files: Vec<Unlinked>,
    /// Names of files that exist and were reported: who imports them is not to blame.
    pub broken: HashSet<String>,
    /// A whole source was reported.
    pub incomplete: bool,
    /// What the files say of what they declare.
    pub comments: Comments,
    /// The hash of each file's bytes, by its place in the index.
    hashes: BTreeMap<usize, [u8; 32]>,
}

/// One file whose imports and names are not resolved yet.
#[derive(Clone)]
pub(super) struct Unlinked {
    pub source: usize,
    pub name: String,
    pub proto: FileDescriptorProto,
    pub origin: Origin,
}

#[derive(Clone)]
pub(super) enum Origin {
    /// It is read again where something has to be shown of it.
    Text { path: PathBuf },
    /// The bytes, because the options in them are more than `proto` can hold.
    Set { encoded: Vec<u8> },
}

/// Reads files, on several threads.
struct Reader<'a> {
    files: &'a Files,
    sources: &'a [DescriptorSource],
}

/// What became of one file.
struct Attempt {
    hash: [u8; 32],
    outcome: Outcome,
}

enum Outcome {
    Parsed {
        file: Box<Unlinked>,
        comments: Comments,
    },
    /// Its text, and what is wrong with it.
    Broken {
        path: PathBuf,
        text: String,
        error: Box<protox::Error>,
    },
    Refused(Diagnostic),
    /// The whole source is no descriptor set.
    NoSet,
}

/// Files above this are parsed one at a time: a text takes twenty times its length while that lasts.
const FILE_BYTES_LARGE: u64 = 256 << 10;

/// The number of `source_code_info` in a `FileDescriptorProto`: comments and positions, most of its bytes.
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
}

/// Reads and parses the files at these places, and what they turn out to import besides.
pub(super) fn parse(
    files: &Files,
    survey: &Survey,
    reached: Vec<usize>,
    sources: &[DescriptorSource],
    report: &mut Report,
    texts: &mut Sources,
) -> Parsed {
    let reader = Reader { files, sources };
    let mut parsed = Parsed::default();
    let by_name = survey.index.by_name();
    let (mut known, mut open) = (reached.iter().copied().collect::<HashSet<usize>>(), reached);
    while !open.is_empty() {
        let attempt = |at| (at, reader.attempt(survey.index.file(at)));
        let (large, others) = open.into_iter().partition::<Vec<usize>, _>(|at| survey.index.file(*at).bytes > FILE_BYTES_LARGE);
        let mut attempts = in_parallel_with_heavy(large, others, attempt);
        attempts.sort_unstable_by_key(|(at, _)| *at);
        let first = parsed.files.len();
        for (at, attempt) in attempts {
            parsed.hashes.insert(at, attempt.hash);
            parsed.take(survey.index.file(at), attempt.outcome, sources, report, texts);
        }
        // What a file imports was known before; but it may have been written again since, and then it is as it is now.
        let imports = parsed.files[first..].iter().flat_map(|file| &file.proto.dependency);
        open = imports.filter_map(|import| by_name.get(import.as_str())).flatten().copied().filter(|at| known.insert(*at)).collect();
        open.sort_unstable();
    }
    parsed
}

/// The hash of what a pool would be made from, as far as it is known before anything is parsed.
pub(super) fn fingerprint(index: &Index, reached: &[usize]) -> Fingerprint {
    hash_of(index, reached.iter().map(|at| (*at, index.file(*at).hash)))
}

fn hash_of(index: &Index, files: impl Iterator<Item = (usize, [u8; 32])>) -> Fingerprint {
    let mut hash = Sha256::new();
    for (at, content) in files {
        let file = index.file(at);
        hash.update((file.source as u64).to_le_bytes());
        hash.update((file.name.len() as u64).to_le_bytes());
        hash.update(&file.name);
        hash.update(content);
    }
    Fingerprint(hash.finalize().into())
}

// === impl Reader ===

impl Reader<'_> {
    fn attempt(&self, file: &IndexedFile) -> Attempt {
        let source = &self.sources[file.source];
        let refused = |path: &Path, error| Attempt { hash: [0; 32], outcome: Outcome::Refused(unreadable(source, path, &error)) };
        match &file.place {
            Place::Text(path) => match self.files.read_hashed(path) {
                Ok((bytes, hash)) => Attempt { hash, outcome: self.text(file, path, bytes) },
                Err(error) => refused(path, error),
            },
            Place::Set(part) => match self.files.read_part(source.path(), part.clone()) {
                Ok(bytes) => Attempt { hash: Sha256::digest(&bytes).into(), outcome: compiled(file, &bytes, source) },
                Err(error) => refused(source.path(), error),
            },
        }
    }

    fn text(&self, file: &IndexedFile, path: &Path, bytes: Vec<u8>) -> Outcome {
        let Ok(text) = String::from_utf8(bytes) else {
            let message = format!("`{}` is not UTF-8 text", path.display());
            return Outcome::Refused(Diagnostic::new(Rule::ProtoSource, self.sources[file.source].span(), message));
        };
        match protox::file::File::from_source(&file.name, &text) {
            Ok(found) => {
                let (mut proto, mut comments) = (FileDescriptorProto::from(found), Comments::default());
                let info = proto.source_code_info.take();
                info.iter().for_each(|info| comments.note(&proto, info));
                let origin = Origin::Text { path: path.to_owned() };
                let parsed = Unlinked { source: file.source, name: file.name.clone(), proto, origin };
                Outcome::Parsed { file: Box::new(parsed), comments }
            }
            Err(error) => Outcome::Broken { path: path.to_owned(), text, error: Box::new(error) },
        }
    }
}

fn compiled(file: &IndexedFile, bytes: &[u8], source: &DescriptorSource) -> Outcome {
    match set_file(file.source, bytes) {
        Err(read::Malformed) => Outcome::NoSet,
        Ok(found) if found.proto.syntax() == "editions" => {
            Outcome::Refused(editions(source.span(), format!("file `{}` in `{}`", file.name, source.path().display())))
        }
        Ok(found) => {
            let comments = comments(&found.proto, bytes);
            Outcome::Parsed { file: Box::new(found), comments }
        }
    }
}

// === impl Parsed ===

impl Parsed {
    /// One hash over everything that was parsed.
    pub fn fingerprint(&self, index: &Index) -> Fingerprint {
        hash_of(index, self.hashes.iter().map(|(at, hash)| (*at, *hash)))
    }

    fn take(&mut self, file: &IndexedFile, outcome: Outcome, sources: &[DescriptorSource], report: &mut Report, texts: &mut Sources) {
        match outcome {
            Outcome::Parsed { file, comments } => {
                self.comments.extend(comments);
                return self.files.push(*file);
            }
            Outcome::Broken { path, text, error } => {
                let edition = edition(&text);
                let place = texts.add(path, text);
                match edition {
                    Some((start, end)) => report.push(editions(Span { file: place, start, end }, format!("file `{}`", file.name))),
                    None => blame::report(&*error, place, texts, report),
                }
            }
            Outcome::Refused(finding) => report.push(finding),
            // Once is enough: it is about the whole set.
            Outcome::NoSet if !self.incomplete => {
                self.incomplete = true;
                report.push(no_set(&sources[file.source]));
            }
            Outcome::NoSet => {}
        }
        self.broken.insert(file.name.clone());
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
    let name = proto.name().to_owned();
    if name.is_empty() { Err(read::Malformed) } else { Ok(Unlinked { source, name, proto, origin: Origin::Set { encoded } }) }
}

/// What a compiled file says of what it declares, where whoever compiled it has kept that. It is for people alone: what cannot be read is
/// as good as left out.
fn comments(proto: &FileDescriptorProto, bytes: &[u8]) -> Comments {
    let mut comments = Comments::default();
    for field in read::fields(bytes).flatten().filter(|field| field.number == SOURCE_CODE_INFO && field.wire == read::Wire::Len) {
        if let Ok(info) = SourceCodeInfo::decode(&bytes[field.body]) {
            comments.note(proto, &info);
        }
    }
    comments
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
