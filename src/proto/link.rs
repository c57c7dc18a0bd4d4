//! Makes one pool of the files of all sources: each after the files it imports, wherever those come from.
//!
//! Promises: a file that is broken, or imports one that is, is left out and takes nothing else with it; each independent problem is
//! reported once; two sources may hold the same file, but not two that differ.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use prost_reflect::{DescriptorError, DescriptorPool, DynamicMessage, FileDescriptor, MessageDescriptor};
use prost_types::FileDescriptorProto;

use super::blame;
use super::rules::{self, Options};
use super::source::{DescriptorSource, Origin, Parsed, Unlinked};
use crate::diagnostic::{Diagnostic, FileId, Report, Rule, Sources, Span};
use crate::files::{Files, normal};

/// The pool, and what is read from its options once. They are not read later: an extension that another file declares afterwards
/// could make the library fail on them.
pub(super) struct Linked {
    pub pool: DescriptorPool,
    /// Full names of the fields marked `debug_redact`.
    pub redacted: HashSet<String>,
    /// The rules of `buf.validate`.
    pub rules: Options,
    pub complete: bool,
}

struct Linker<'a> {
    files: &'a Files,
    sources: &'a [DescriptorSource],
    report: &'a mut Report,
    texts: &'a mut Sources,
    linked: Linked,
    /// Top-level names and the file that brought each.
    owners: HashMap<String, usize>,
}

/// How far a file is from being linked.
struct Waiting {
    /// Imports that are not linked yet.
    imports: usize,
    importers: Vec<usize>,
    /// It, or one of its imports, was reported.
    broken: bool,
}

/// Links what can be linked and reports the rest.
pub(super) fn link(files: &Files, mut parsed: Parsed, sources: &[DescriptorSource], report: &mut Report, texts: &mut Sources) -> Linked {
    let complete = parsed.broken.is_empty() && !parsed.incomplete;
    let linked = Linked { pool: DescriptorPool::global(), redacted: HashSet::new(), rules: Options::default(), complete };
    let mut linker = Linker { files, sources, report, texts, linked, owners: HashMap::new() };
    let mut by_name: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, file) in parsed.files.iter().enumerate() {
        by_name.entry(file.name.clone()).or_default().push(index);
    }
    // A copy in the sources wins, also one that is broken.
    let missing = |import: &&String| !by_name.contains_key(import.as_str()) && !parsed.broken.contains(*import);
    let imports = parsed.files.iter().flat_map(|file| &file.proto.dependency);
    rules::add_import(&mut linker.linked.pool, imports.filter(missing));
    let first: HashMap<&str, usize> = by_name.iter().map(|(name, indices)| (name.as_str(), indices[0])).collect();
    linker.link_in_order(&mut parsed, &first);
    for indices in by_name.values() {
        indices[1..].iter().for_each(|copy| linker.compare(&parsed.files, indices[0], *copy));
    }
    linker.linked
}

// === impl Linker ===

impl Linker<'_> {
    /// Links each file when its last import is. What is left over in the end imports itself.
    fn link_in_order(&mut self, parsed: &mut Parsed, first: &HashMap<&str, usize>) {
        let mut waiting: BTreeMap<usize, Waiting> =
            first.values().map(|index| (*index, Waiting { imports: 0, importers: Vec::new(), broken: false })).collect();
        let order: Vec<usize> = waiting.keys().copied().collect();
        for index in &order {
            let imports: HashSet<&String> = parsed.files[*index].proto.dependency.iter().collect();
            for import in imports {
                if let Some(imported) = first.get(import.as_str()) {
                    waiting.get_mut(imported).expect("every first file waits").importers.push(*index);
                    waiting.get_mut(index).expect("every first file waits").imports += 1;
                } else if self.linked.pool.get_file_by_name(import).is_none() {
                    waiting.get_mut(index).expect("every first file waits").broken = true;
                    if !parsed.broken.contains(import) {
                        self.report_import(
                            &parsed.files[*index],
                            import,
                            format!("import `{import}` is in none of the descriptor sources"),
                        );
                    }
                }
            }
        }
        let mut ready: VecDeque<usize> = order.into_iter().filter(|index| waiting[index].imports == 0).collect();
        while let Some(index) = ready.pop_front() {
            let file = waiting.remove(&index).expect("a file is ready once");
            let broken = file.broken || !self.add(&mut parsed.files, index);
            self.linked.complete &= !broken;
            for importer in file.importers {
                let importer_waiting = waiting.get_mut(&importer).expect("an importer waits for all its imports");
                importer_waiting.imports -= 1;
                importer_waiting.broken |= broken;
                if importer_waiting.imports == 0 {
                    ready.push_back(importer);
                }
            }
        }
        self.report_cycles(parsed, first, waiting.into_keys().collect());
    }

    /// Adds a file to the pool, which takes its content over; false when it was reported instead.
    fn add(&mut self, files: &mut [Unlinked], index: usize) -> bool {
        let file = &files[index];
        for name in top_level_names(&file.proto) {
            let owner = *self.owners.entry(name.clone()).or_insert(index);
            if files[owner].source != file.source {
                self.report_conflict(&format!("`{name}`"), &files[owner], file);
                return false;
            }
        }
        let added = add_to(&mut self.linked.pool, &mut files[index]);
        let file = &files[index];
        match added {
            Ok(()) => {
                let found = self.linked.pool.get_file_by_name(&file.name).expect("it was just added");
                let well_formed = found.messages().all(|message| note_options(&message, &mut self.linked));
                self.linked.rules.note_extensions(found.extensions());
                found.extensions().for_each(|field| note_redacted(field.full_name(), &field.options(), &mut self.linked));
                if !well_formed {
                    self.report_set(file, "a map in it has no key or no value");
                }
                well_formed
            }
            Err(error) => {
                self.report_error(file, &error);
                false
            }
        }
    }

    /// Reports a copy of a linked file that says something else.
    fn compare(&mut self, files: &[Unlinked], first: usize, copy: usize) {
        let (first, copy) = (&files[first], &files[copy]);
        let Some(linked) = self.linked.pool.get_file_by_name(&first.name) else { return };
        // The copy is linked beside the imports of the first, because only then do two ways of writing a name become the same.
        let (mut beside, mut copied) = (DescriptorPool::global(), copy.clone());
        let mut imports = Vec::new();
        collect_imports(&linked, &mut HashSet::new(), &mut imports);
        let same = beside.add_file_descriptor_protos(imports).is_ok()
            && add_to(&mut beside, &mut copied).is_ok()
            && beside
                .get_file_by_name(&copy.name)
                .is_some_and(|copy| comparable(copy.file_descriptor_proto()) == comparable(linked.file_descriptor_proto()));
        if !same {
            self.report_conflict(&format!("file `{}`", copy.name), first, copy);
            self.linked.complete = false;
        }
    }

    fn report_conflict(&mut self, what: &str, first: &Unlinked, second: &Unlinked) {
        let (one, other) = (&self.sources[first.source], &self.sources[second.source]);
        let message =
            format!("{what} is defined differently by `{}` and `{}`", normal(one.path()).display(), normal(other.path()).display());
        let mut diagnostic =
            Diagnostic::new(Rule::DescriptorConflict, other.span(), message).related(one.span(), "the other definition comes from here");
        if first.name != second.name {
            diagnostic = diagnostic.label(format!("in `{}`; the other is in `{}`", second.name, first.name));
        }
        self.report.push(diagnostic.help("keep one of the two, or bring both to the same version"));
    }

    fn report_error(&mut self, file: &Unlinked, error: &DescriptorError) {
        let Some((place, text)) = self.show(file) else {
            return self.report_set(file, &error.to_string().replace('\'', "`"));
        };
        // Positions are kept out of the pool for their size; they are asked for only when there is something to point at.
        let again =
            protox::file::File::from_source(&file.name, &text).ok().map(|file| self.linked.pool.add_file_descriptor_proto(file.into()));
        match again {
            Some(Err(error)) => blame::report(&error.with_source_code(&text), place, self.texts, self.report),
            // It was written again meanwhile, and says something else now.
            None | Some(Ok(())) => blame::report(error, place, self.texts, self.report),
        }
    }

    /// The text of a .proto file, as it is to be pointed into.
    fn show(&mut self, file: &Unlinked) -> Option<(FileId, String)> {
        let Origin::Text { path } = &file.origin else { return None };
        let text = String::from_utf8(self.files.read_apart(path).unwrap_or_default()).unwrap_or_default();
        Some((self.texts.add(path.clone(), text.clone()), text))
    }

    fn report_set(&mut self, file: &Unlinked, what: &str) {
        let source = &self.sources[file.source];
        let message = format!("file `{}` in `{}` is broken: {what}", file.name, normal(source.path()).display());
        self.report.push(Diagnostic::new(Rule::DescriptorSet, source.span(), message));
    }

    fn report_import(&mut self, file: &Unlinked, import: &str, message: String) {
        self.linked.complete = false;
        let diagnostic = match self.show(file) {
            Some((place, text)) => {
                let (start, len) = ['"', '\'']
                    .map(|quote| format!("{quote}{import}{quote}"))
                    .iter()
                    .find_map(|quoted| Some((text.find(quoted.as_str())?, quoted.len())))
                    .unwrap_or_default();
                Diagnostic::new(Rule::ProtoSource, Span { file: place, start, end: start + len }, message)
            }
            None => {
                let source = &self.sources[file.source];
                let message = format!("{message}: file `{}` in `{}`", file.name, normal(source.path()).display());
                Diagnostic::new(Rule::DescriptorSet, source.span(), message)
                    .help("write the set with its imports (`protoc --include_imports`)")
            }
        };
        self.report.push(diagnostic);
    }

    /// Reports each ring of imports once. The files that merely import one of a ring are left out in silence.
    fn report_cycles(&mut self, parsed: &Parsed, first: &HashMap<&str, usize>, left: HashSet<usize>) {
        let mut starts: Vec<usize> = left.iter().copied().collect();
        starts.sort_unstable();
        let mut seen = HashSet::new();
        for start in starts {
            let mut ring = Vec::new();
            let mut next = Some(start);
            while let Some(index) = next.filter(|index| seen.insert(*index)) {
                ring.push(index);
                let mut imports = parsed.files[index].proto.dependency.iter().filter_map(|import| first.get(import.as_str()));
                next = imports.find(|import| left.contains(*import)).copied();
            }
            if let Some(begin) = next.and_then(|index| ring.iter().position(|known| *known == index)) {
                let names: Vec<&str> = ring[begin..].iter().chain([&ring[begin]]).map(|index| parsed.files[*index].name.as_str()).collect();
                self.report_import(&parsed.files[ring[begin]], names[1], format!("files import each other: `{}`", names.join("` → `")));
            }
        }
        self.linked.complete &= left.is_empty();
    }
}

fn add_to(pool: &mut DescriptorPool, file: &mut Unlinked) -> Result<(), DescriptorError> {
    let proto = std::mem::take(&mut file.proto);
    match &mut file.origin {
        Origin::Set { encoded } => pool.decode_file_descriptor_proto(std::mem::take(encoded).as_slice()),
        Origin::Text { .. } => pool.add_file_descriptor_proto(proto),
    }
}

/// Notes the fields marked `debug_redact`, and all rules. False when a map has no key or no value: the library would fail on its first message.
fn note_options(message: &MessageDescriptor, linked: &mut Linked) -> bool {
    for field in message.fields().filter(|field| field.field_descriptor_proto().options.is_some()) {
        note_redacted(field.full_name(), &field.options(), linked);
    }
    message.child_extensions().for_each(|field| note_redacted(field.full_name(), &field.options(), linked));
    linked.rules.note(message);
    let complete = !message.is_map_entry() || (message.get_field(1).is_some() && message.get_field(2).is_some());
    complete && message.child_messages().all(|child| note_options(&child, linked))
}

fn note_redacted(field: &str, options: &DynamicMessage, linked: &mut Linked) {
    if options.get_field_by_name("debug_redact").is_some_and(|value| value.as_bool() == Some(true)) {
        linked.redacted.insert(field.to_owned());
    }
}

fn top_level_names(file: &FileDescriptorProto) -> Vec<String> {
    let messages = file.message_type.iter().map(|message| message.name());
    let enums = file.enum_type.iter().map(|kind| kind.name());
    let services = file.service.iter().map(|service| service.name());
    let names = messages.chain(enums).chain(services);
    names.map(|name| if file.package().is_empty() { name.to_owned() } else { format!("{}.{name}", file.package()) }).collect()
}

/// Every file that `file` needs, each after those it needs itself.
fn collect_imports(file: &FileDescriptor, seen: &mut HashSet<String>, into: &mut Vec<FileDescriptorProto>) {
    for import in file.dependencies() {
        if seen.insert(import.name().to_owned()) {
            collect_imports(&import, seen, into);
            into.push(import.file_descriptor_proto().clone());
        }
    }
}

/// The file without what may differ between two compilers of the same text.
fn comparable(file: &FileDescriptorProto) -> FileDescriptorProto {
    let syntax = file.syntax.clone().filter(|syntax| syntax != "proto2");
    FileDescriptorProto { source_code_info: None, syntax, ..file.clone() }
}
