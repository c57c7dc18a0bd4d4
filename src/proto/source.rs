//! Reading descriptor sources: folders of .proto files, and descriptor sets as `protoc` or `buf` write them.
//!
//! What cannot be read is reported and left out; nothing here looks at what the files mean.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use prost::Message;
use prost_types::FileDescriptorProto;
use sha2::{Digest, Sha256};

use crate::diagnostic::{Diagnostic, Report, Rule, Sources, Span};
use crate::files::{self, Files};

/// One entry of `descriptors:` in the configuration, and where it is written.
#[derive(Clone, Debug)]
pub enum DescriptorSource {
    /// A folder of .proto files; imports are relative to it.
    Proto { folder: PathBuf, span: Span },
    /// A serialized `google.protobuf.FileDescriptorSet`.
    Set { file: PathBuf, span: Span },
}

/// One .proto file, as text or already compiled by someone else.
pub(super) struct Found {
    /// The name that other files import it by, such as `chat/v1/chat.proto`.
    pub(super) name: String,
    pub(super) content: Content,
    /// The file on disk: the .proto file itself, or the set that it is part of.
    pub(super) path: PathBuf,
    /// The entry of the configuration.
    pub(super) span: Span,
}

pub(super) enum Content {
    Text(String),
    /// The bytes of one FileDescriptorProto. Bytes, because decoding them into prost's type would lose custom options.
    Encoded(Bytes),
}

/// A FileDescriptorSet that leaves its files undecoded.
#[derive(Clone, PartialEq, prost::Message)]
struct RawSet {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    file: Vec<Bytes>,
}

/// Reads every source in order.
pub(super) fn read(files: &Files, sources: &[DescriptorSource], report: &mut Report) -> Vec<Found> {
    let mut found = Vec::new();
    for source in sources {
        match source {
            DescriptorSource::Proto { folder, span } => read_folder(files, folder, *span, &mut found, report),
            DescriptorSource::Set { file, span } => read_set(files, file, *span, &mut found, report),
        }
    }
    found
}

/// One hash over names, contents and their order: everything that the compiled result depends on.
pub(super) fn digest(found: &[Found]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for file in found {
        let (kind, content) = match &file.content {
            Content::Text(text) => (0, text.as_bytes()),
            Content::Encoded(bytes) => (1, &bytes[..]),
        };
        hash.update([kind]);
        for part in [file.name.as_bytes(), content] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
    }
    hash.finalize().into()
}

// === impl Found ===

impl Found {
    /// A place in the file's own text, or the entry of the configuration when the file has none.
    ///
    /// Texts are kept only here, so that a healthy folder of thousands of files costs no memory after loading.
    pub(super) fn place(&self, texts: &mut Sources, start: usize, end: usize) -> Span {
        match &self.content {
            Content::Text(text) => Span { file: texts.add(&self.path, text.clone()), start, end },
            Content::Encoded(_) => self.span,
        }
    }

    /// The rule that a file of this kind breaks when it does not compile.
    pub(super) fn rule(&self) -> Rule {
        match self.content {
            Content::Text(_) => Rule::ProtoSource,
            Content::Encoded(_) => Rule::DescriptorSet,
        }
    }
}

fn read_folder(files: &Files, folder: &Path, span: Span, found: &mut Vec<Found>, report: &mut Report) {
    let paths = match files.walk(folder, "proto") {
        Ok(paths) => paths,
        Err(error) => {
            return report.push(
                Diagnostic::new(
                    Rule::ProtoSource,
                    span,
                    format!("the folder `{}` cannot be read: {}", files::normal(folder).display(), files::reason(&error)),
                )
                .help("paths are relative to the file they are written in"),
            );
        }
    };
    if paths.is_empty() {
        report.push(Diagnostic::new(
            Rule::ProtoSource,
            span,
            format!("there is no .proto file below `{}`", files::normal(folder).display()),
        ));
    }
    let top = files::normal(folder);
    for path in paths {
        let text = match files.read_text(&path) {
            Ok(text) => text,
            Err(error) => {
                report.push(Diagnostic::new(
                    Rule::ProtoSource,
                    span,
                    format!("`{}` cannot be read: {}", path.display(), files::reason(&error)),
                ));
                continue;
            }
        };
        // Import names use `/` on every system.
        let below = path.strip_prefix(&top).unwrap_or(&path);
        let name = below.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/");
        found.push(Found { name, content: Content::Text(text), path, span });
    }
}

fn read_set(files: &Files, path: &Path, span: Span, found: &mut Vec<Found>, report: &mut Report) {
    let mut refuse = |why: String| {
        let help = "write one with `buf build -o set.binpb`, or `protoc --include_imports --descriptor_set_out=set.binpb`";
        report.push(Diagnostic::new(Rule::DescriptorSet, span, why).help(help));
    };
    let bytes = match files.read(path) {
        Ok(bytes) => Bytes::from(bytes),
        Err(error) => return refuse(format!("the descriptor set `{}` cannot be read: {}", path.display(), files::reason(&error))),
    };
    let set = match RawSet::decode(bytes) {
        Ok(set) if set.file.is_empty() => return refuse(format!("`{}` holds no descriptors", path.display())),
        Ok(set) => set,
        Err(error) => return refuse(format!("`{}` is not a descriptor set: {error}", path.display())),
    };
    for encoded in set.file {
        match FileDescriptorProto::decode(encoded.clone()) {
            Ok(file) if !file.name().is_empty() => {
                found.push(Found { name: file.name().to_owned(), content: Content::Encoded(encoded), path: path.to_owned(), span });
            }
            Ok(_) => refuse(format!("`{}` is not a descriptor set: one of its files has no name", path.display())),
            Err(error) => refuse(format!("`{}` is not a descriptor set: {error}", path.display())),
        }
    }
}
