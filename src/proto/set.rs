//! The files that a server told, as a lock holds them: a `FileDescriptorSet` in one order.
//!
//! Promises: equal files make equal bytes, however they were come by; options are kept as they were told, known or not; every name in
//! a set is one that protobuf allows, so that it can be shown.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;

use bytes::BufMut as _;
use prost::encoding::{WireType, encode_key, encode_varint};
use prost_reflect::DescriptorPool;

use super::read::{self, Wire};
use super::source::{self, SET_FILE, SOURCE_CODE_INFO};

/// The longest name of a file or of anything in it. Paths are shorter, and so are names that people write.
const NAME_BYTES_MAX: usize = 512;

/// The most imports of one file.
const IMPORTS_MAX: usize = 4000;

/// Numbers in a `FileDescriptorProto`, and of the name in everything that it declares.
const NAME: u32 = 1;
const PACKAGE: u32 = 2;
const DEPENDENCY: u32 = 3;
const MESSAGE: u32 = 4;
const ENUM: u32 = 5;
const SERVICE: u32 = 6;

/// One .proto file, compiled. What it declares stays encoded: a descriptor takes a hundred times its bytes when it is decoded, and who
/// told it may not be a friend.
#[derive(Clone)]
pub struct SetFile {
    name: String,
    imports: Vec<String>,
    /// By kind and full name: where in the bytes.
    declared: BTreeMap<(&'static str, String), Vec<Range<usize>>>,
    /// As it was told, without comments and positions.
    bytes: Vec<u8>,
}

/// Files, each behind those that it imports.
#[derive(Clone, Default)]
pub struct FileSet {
    files: Vec<SetFile>,
}

/// One difference between two sets.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Change {
    /// `service`, `message`, `enum` or `file`; the last where nothing is declared differently, and yet the file is another.
    pub kind: &'static str,
    pub name: String,
    pub changed: Changed,
}

/// What became of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Changed {
    Added,
    Removed,
    Differs,
}

/// What is in a set, by kind and full name, encoded.
type Content<'s> = BTreeMap<(&'static str, &'s str), Vec<&'s [u8]>>;

// === impl SetFile ===

impl SetFile {
    /// A file as a server tells it; nothing when it is none, or declares what has no proper name.
    pub fn read(told: &[u8]) -> Option<SetFile> {
        let mut bytes = Vec::with_capacity(told.len());
        read::copy_without(told, |number| number == SOURCE_CODE_INFO, &mut bytes).ok()?;
        let (mut name, mut package, mut imports, mut found) = (String::new(), String::new(), Vec::new(), Vec::new());
        for field in read::fields(&bytes) {
            let field = field.ok()?;
            let kind = match field.number {
                NAME | PACKAGE | DEPENDENCY => "text",
                MESSAGE => "message",
                ENUM => "enum",
                SERVICE => "service",
                _ => continue,
            };
            if field.wire != Wire::Len {
                return None;
            }
            let body = &bytes[field.body.clone()];
            match field.number {
                NAME => name = text(body)?,
                PACKAGE => package = text(body)?,
                DEPENDENCY if imports.len() >= IMPORTS_MAX => return None,
                DEPENDENCY => imports.push(text(body)?),
                _ => found.push((kind, name_of(body)?, field.body)),
            }
        }
        let mut declared: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (kind, name, place) in found {
            let full_name = if package.is_empty() { name } else { format!("{package}.{name}") };
            declared.entry((kind, full_name)).or_default().push(place);
        }
        let named =
            is_file_name(&name) && imports.iter().all(|import| is_file_name(import)) && declared.keys().all(|(_, name)| is_full_name(name));
        named.then_some(SetFile { name, imports, declared, bytes })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The names of the files it imports.
    pub fn imports(&self) -> impl Iterator<Item = &str> {
        self.imports.iter().map(String::as_str)
    }

    /// Whether the service `package.Service` is declared in it.
    pub fn has_service(&self, name: &str) -> bool {
        self.declared.contains_key(&("service", name.to_owned()))
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn services(&self) -> impl Iterator<Item = &str> {
        self.declared.keys().filter(|(kind, _)| *kind == "service").map(|(_, name)| name.as_str())
    }

    fn content(&self) -> impl Iterator<Item = ((&'static str, &str), Vec<&[u8]>)> {
        let bytes = |places: &Vec<Range<usize>>| places.iter().map(|place| &self.bytes[place.clone()]).collect();
        self.declared.iter().map(move |((kind, name), places)| ((*kind, name.as_str()), bytes(places)))
    }
}

impl PartialEq for SetFile {
    fn eq(&self, other: &SetFile) -> bool {
        self.bytes == other.bytes
    }
}

// === impl FileSet ===

impl FileSet {
    /// Puts files in their one order: each behind its imports, and by name where that says nothing.
    ///
    /// Fails with the names of those that import each other.
    pub fn of(mut files: BTreeMap<String, SetFile>) -> Result<FileSet, Vec<String>> {
        let mut waits: BTreeMap<String, usize> = BTreeMap::new();
        let mut importers: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, file) in &files {
            let imports: BTreeSet<&str> = file.imports().filter(|import| files.contains_key(*import)).collect();
            waits.insert(name.clone(), imports.len());
            imports.into_iter().for_each(|import| importers.entry(import.to_owned()).or_default().push(name.clone()));
        }
        let mut ready: BTreeSet<String> = waits.iter().filter(|(_, count)| **count == 0).map(|(name, _)| name.clone()).collect();
        let mut ordered = Vec::with_capacity(files.len());
        while let Some(name) = ready.pop_first() {
            for importer in importers.remove(&name).unwrap_or_default() {
                let count = waits.get_mut(&importer).expect("every file waits");
                *count -= 1;
                if *count == 0 {
                    ready.insert(importer);
                }
            }
            ordered.push(files.remove(&name).expect("a file is ready once"));
        }
        if files.is_empty() { Ok(FileSet { files: ordered }) } else { Err(files.into_keys().collect()) }
    }

    /// What a lock holds; nothing when it is none.
    pub fn decode(set: &[u8]) -> Option<FileSet> {
        let files = read::fields(set).map(|field| {
            let field = field.ok().filter(|field| field.number == SET_FILE && field.wire == Wire::Len)?;
            SetFile::read(&set[field.body])
        });
        files.collect::<Option<Vec<_>>>().map(|files| FileSet { files })
    }

    /// The `FileDescriptorSet`.
    pub fn encode(&self) -> Vec<u8> {
        let mut set = Vec::with_capacity(self.files.iter().map(|file| file.len() + 8).sum());
        for file in &self.files {
            encode_key(SET_FILE, WireType::LengthDelimited, &mut set);
            encode_varint(file.len() as u64, &mut set);
            set.put_slice(&file.bytes);
        }
        set
    }

    /// Each file, behind those that it imports.
    pub fn files(&self) -> impl Iterator<Item = &SetFile> {
        self.files.iter()
    }

    /// How many files there are.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The services that are declared in it, in the order of their names.
    pub fn services(&self) -> BTreeSet<&str> {
        self.files.iter().flat_map(SetFile::services).collect()
    }

    /// What is different in this set from an older one, in the order of kinds and names.
    pub fn changes_since(&self, older: &FileSet) -> Vec<Change> {
        let mut changes = differences(&older.declared(), &self.declared());
        // A file may be another although all that it declares is the same: by its imports and options, or by declaring nothing.
        let said: BTreeSet<(&str, &str)> = changes.iter().map(|change| (change.kind, change.name.as_str())).collect();
        let is_told = |file: &&SetFile| file.content().any(|(key, _)| said.contains(&key));
        let told: BTreeSet<&str> = [older, self].iter().flat_map(|set| &set.files).filter(is_told).map(SetFile::name).collect();
        let files = differences(&older.whole_files(), &self.whole_files());
        let files: Vec<Change> = files.into_iter().filter(|change| !told.contains(change.name.as_str())).collect();
        changes.extend(files);
        changes.sort();
        changes
    }

    fn declared(&self) -> Content<'_> {
        self.files.iter().flat_map(SetFile::content).collect()
    }

    fn whole_files(&self) -> Content<'_> {
        self.files.iter().map(|file| (("file", file.name()), vec![file.bytes.as_slice()])).collect()
    }
}

impl PartialEq for FileSet {
    fn eq(&self, other: &FileSet) -> bool {
        self.files == other.files
    }
}

impl fmt::Debug for FileSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.files.iter().map(SetFile::name)).finish()
    }
}

// === impl Changed ===

impl Changed {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Changed::Added => "added",
            Changed::Removed => "removed",
            Changed::Differs => "changed",
        }
    }

    /// The sign that stands before a line about it.
    pub fn sign(self) -> char {
        match self {
            Changed::Added => '+',
            Changed::Removed => '-',
            Changed::Differs => '~',
        }
    }
}

/// Whether `name` is a file that every configuration has, told or not.
pub fn is_bundled(name: &str) -> bool {
    source::is_bundled(&DescriptorPool::global(), name)
}

/// Whether this may be the full name of something declared: identifiers with dots between them.
pub fn is_full_name(name: &str) -> bool {
    let is_identifier = |part: &str| {
        part.bytes().next().is_some_and(|first| !first.is_ascii_digit())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    name.len() <= NAME_BYTES_MAX && name.split('.').all(is_identifier)
}

fn is_file_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
}

fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}

/// The name of a message, an enum or a service. Of two the later counts, as everywhere in protobuf.
fn name_of(declaration: &[u8]) -> Option<String> {
    let mut name = None;
    for field in read::fields(declaration) {
        let field = field.ok()?;
        if field.number == NAME && field.wire == Wire::Len {
            name = Some(text(&declaration[field.body])?);
        }
    }
    name
}

fn differences(then: &Content<'_>, now: &Content<'_>) -> Vec<Change> {
    let change = |(kind, name): &(&'static str, &str), changed| Change { kind, name: (*name).to_owned(), changed };
    let gone = then.keys().filter(|key| !now.contains_key(*key)).map(|key| change(key, Changed::Removed));
    let new = now.iter().filter_map(|(key, bytes)| match then.get(key) {
        None => Some(change(key, Changed::Added)),
        Some(before) if before != bytes => Some(change(key, Changed::Differs)),
        Some(_) => None,
    });
    gone.chain(new).collect()
}
