//! From files to one pool: parsing, imports across sources, conflicts.
//!
//! Promises: every broken file is reported once, at its own place; a file that merely imports a broken one adds no noise;
//! everything else is in the pool. `google/protobuf/*` is always protox's own copy: protox cannot parse newer editions of
//! `descriptor.proto`, and two copies of it in one pool would be two different types of the same name.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::rc::Rc;

use prost_reflect::DescriptorPool;
use prost_types::{DescriptorProto, FileDescriptorProto};
use protox::Compiler;
use protox::file::{File, FileResolver, GoogleFileResolver};

use super::source::{Content, Found};
use crate::diagnostic::{Diagnostic, Report, Rule, Sources};

const GOOGLE: &str = "google/protobuf/";

/// Always in the pool, so that an `Any` that holds one of them can be shown.
const WELL_KNOWN: [&str; 7] = [
    "google/protobuf/any.proto",
    "google/protobuf/duration.proto",
    "google/protobuf/empty.proto",
    "google/protobuf/field_mask.proto",
    "google/protobuf/struct.proto",
    "google/protobuf/timestamp.proto",
    "google/protobuf/wrappers.proto",
];

/// What the resolver says about a file that was found but is not used; whoever imports it need not be reported again.
const LEFT_OUT: &str = "left out";

/// A found file, parsed; `None` when it was reported and is left out.
struct Candidate {
    found: Found,
    file: Option<File>,
}

/// Every file by its import name. More than one candidate: sources disagree, or one has text and the other a compiled copy.
type Candidates = BTreeMap<String, Vec<Candidate>>;

/// Finds imports among the candidates of one layer: the first of each name, then, to compare them, the second, and so on.
struct Resolver {
    candidates: Rc<Candidates>,
    layer: usize,
    google: GoogleFileResolver,
}

/// Compiles what was found; the report says what is missing from the result.
pub(super) fn compile(found: Vec<Found>, report: &mut Report, texts: &mut Sources) -> DescriptorPool {
    let mut candidates = parse(found, report, texts);
    leave_out_redefinitions(&mut candidates, report);
    let candidates = Rc::new(candidates);
    let mut reported = BTreeSet::new();
    let first = compile_layer(&candidates, 0, &mut reported, report, texts);
    let layers = candidates.values().map(Vec::len).max().unwrap_or_default();
    for layer in 1..layers {
        let other = compile_layer(&candidates, layer, &mut reported, report, texts);
        report_differences(&candidates, layer, &first, &other, report);
    }
    first
}

// === impl Resolver ===

impl FileResolver for Resolver {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if name.starts_with(GOOGLE) {
            return self.google.open_file(name);
        }
        let candidates = self.candidates.get(name).ok_or_else(|| protox::Error::file_not_found(name))?;
        let candidate = candidates.get(self.layer).unwrap_or(&candidates[0]);
        candidate.file.clone().ok_or_else(|| protox::Error::new(LEFT_OUT))
    }
}

fn parse(found: Vec<Found>, report: &mut Report, texts: &mut Sources) -> Candidates {
    let mut candidates = Candidates::new();
    for found in found.into_iter().filter(|found| !found.name.starts_with(GOOGLE)) {
        let file = match &found.content {
            Content::Text(text) => parse_text(&found, text, report, texts),
            Content::Encoded(bytes) => {
                let file = File::decode_file_descriptor_proto(bytes.clone()).expect("reading the set decoded this file");
                let editions = file.file_descriptor_proto().syntax() == "editions";
                if editions {
                    report.push(editions_refused(&found, texts, 0, 0));
                }
                (!editions).then_some(file)
            }
        };
        let same_name = candidates.entry(found.name.clone()).or_default();
        let known = same_name.iter().any(|other| match (&other.file, &file) {
            (Some(other), Some(file)) => plain(other.file_descriptor_proto()) == plain(file.file_descriptor_proto()),
            _ => false,
        });
        if !known {
            same_name.push(Candidate { found, file });
        }
    }
    candidates
}

fn parse_text(found: &Found, text: &str, report: &mut Report, texts: &mut Sources) -> Option<File> {
    if let Some(at) = edition_statement(text) {
        report.push(editions_refused(found, texts, at, at + "edition".len()));
        return None;
    }
    File::from_source(&found.name, text).map_err(|error| report.push(does_not_compile(found, &error, texts))).ok()
}

/// Keeps the first file that defines a type; another file that defines it too is left out.
fn leave_out_redefinitions(candidates: &mut Candidates, report: &mut Report) {
    let mut owners: HashMap<String, String> = HashMap::new();
    let mut refused = BTreeSet::new();
    for (name, same_name) in candidates.iter() {
        let Some(file) = &same_name[0].file else { continue };
        let defined = definitions(file.file_descriptor_proto());
        let Some((taken, owner)) = defined.iter().find_map(|full| owners.get(full).map(|owner| (full, owner))) else {
            owners.extend(defined.into_iter().map(|full| (full, name.clone())));
            continue;
        };
        let (first, second) = (&candidates[owner][0].found, &same_name[0].found);
        let message = format!("`{taken}` is defined by both {} and {}", origin(first), origin(second));
        let finding = Diagnostic::new(Rule::DescriptorConflict, second.span, message);
        let finding = if first.span == second.span { finding } else { finding.related(first.span, "the first is loaded from here") };
        report.push(finding.help("remove one of the two, or list only the folder that imports are relative to"));
        refused.insert(name.clone());
    }
    for name in refused {
        if let Some(same_name) = candidates.get_mut(&name) {
            same_name.truncate(1);
            same_name[0].file = None;
        }
    }
}

fn compile_layer(
    candidates: &Rc<Candidates>,
    layer: usize,
    reported: &mut BTreeSet<(String, usize)>,
    report: &mut Report,
    texts: &mut Sources,
) -> DescriptorPool {
    let mut compiler =
        Compiler::with_file_resolver(Resolver { candidates: Rc::clone(candidates), layer, google: GoogleFileResolver::new() });
    for name in WELL_KNOWN {
        compiler.open_file(name).expect("protox compiles the files that it bundles");
    }
    for (name, same_name) in candidates.iter().filter(|(_, same_name)| same_name.len() > layer) {
        let Err(error) = compiler.open_file(Path::new(name)) else { continue };
        if error.to_string() == LEFT_OUT {
            continue;
        }
        // The error may lie in an import, which is reported in its own name and once.
        let broken = error.file().and_then(|file| candidates.get(file)).unwrap_or(same_name);
        let used = if layer < broken.len() { layer } else { 0 };
        let broken = &broken[used].found;
        if reported.insert((broken.name.clone(), used)) {
            report.push(does_not_compile(broken, &error, texts));
        }
    }
    compiler.descriptor_pool()
}

/// Compiled copies are compared, because a parsed file and a compiled one write the same thing differently.
fn report_differences(candidates: &Candidates, layer: usize, first: &DescriptorPool, other: &DescriptorPool, report: &mut Report) {
    for (name, same_name) in candidates.iter().filter(|(_, same_name)| same_name.len() > layer) {
        let (Some(a), Some(b)) = (first.get_file_by_name(name), other.get_file_by_name(name)) else { continue };
        if plain(a.file_descriptor_proto()) == plain(b.file_descriptor_proto()) {
            continue;
        }
        let (a, b) = (&same_name[0].found, &same_name[layer].found);
        let message = format!("`{name}` is not the same in `{}` and `{}`", a.path.display(), b.path.display());
        report.push(
            Diagnostic::new(Rule::DescriptorConflict, b.span, message)
                .related(a.span, "the first is loaded from here")
                .help("load the file from one place, or make both copies the same version"),
        );
    }
}

fn does_not_compile(found: &Found, error: &protox::Error, texts: &mut Sources) -> Diagnostic {
    let message = error.to_string().replace('\'', "`");
    // A missing import is a fault of the sources as listed, in whatever form the importing file came.
    let rule = if error.is_file_not_found() { Rule::ProtoSource } else { found.rule() };
    let (start, end) = match &found.content {
        Content::Text(text) => place_in(text, &found.name, &format!("{error:?}")),
        Content::Encoded(_) => (0, 0),
    };
    let diagnostic = Diagnostic::new(rule, found.place(texts, start, end), format!("{} does not compile: {message}", origin(found)));
    let diagnostic = if let Content::Text(_) = found.content { diagnostic.related(found.span, "loaded from here") } else { diagnostic };
    if error.is_file_not_found() {
        return diagnostic.help("imports are looked up in every listed folder and set, by the path below the folder");
    }
    diagnostic
}

fn editions_refused(found: &Found, texts: &mut Sources, start: usize, end: usize) -> Diagnostic {
    let message = format!("{} uses protobuf Editions, which are not supported", origin(found));
    Diagnostic::new(Rule::Editions, found.place(texts, start, end), message)
        .help("write `syntax = \"proto3\";`; messages with the same fields look the same on the wire")
}

/// The file's name, and the set that it lies in.
fn origin(found: &Found) -> String {
    match found.content {
        Content::Text(_) => format!("`{}`", found.path.display()),
        Content::Encoded(_) => format!("`{}` in `{}`", found.name, found.path.display()),
    }
}

/// protox keeps the place of an error to itself and prints it only in `Debug`, as `name:line:column: text`.
fn place_in(text: &str, name: &str, printed: &str) -> (usize, usize) {
    let mut numbers = printed.strip_prefix(name).unwrap_or_default().split(':').skip(1).map(|number| number.trim().parse::<usize>());
    let (Some(Ok(line)), Some(Ok(column))) = (numbers.next(), numbers.next()) else { return (0, 0) };
    let line_start = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum::<usize>().min(text.len());
    let rest = text[line_start..].lines().next().unwrap_or_default();
    let start = rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(at, _)| at);
    let word = rest[start..].find(|c: char| !c.is_alphanumeric() && c != '_' && c != '.').unwrap_or(rest.len() - start);
    (line_start + start, line_start + start + word)
}

/// Where the statement `edition = …` begins, if it is the file's first.
fn edition_statement(text: &str) -> Option<usize> {
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    loop {
        rest = if let Some(comment) = rest.strip_prefix("//") {
            comment.split_once('\n')?.1
        } else if let Some(comment) = rest.strip_prefix("/*") {
            comment.split_once("*/")?.1
        } else {
            break;
        };
        rest = rest.trim_start();
    }
    rest.strip_prefix("edition")?.trim_start().starts_with('=').then(|| text.len() - rest.len())
}

/// Without comments and positions, which are not part of what a file means.
fn plain(file: &FileDescriptorProto) -> FileDescriptorProto {
    FileDescriptorProto { source_code_info: None, ..file.clone() }
}

/// The full names of all messages, enums and services of a file.
fn definitions(file: &FileDescriptorProto) -> Vec<String> {
    let mut names = Vec::new();
    let top = if file.package().is_empty() { String::new() } else { format!("{}.", file.package()) };
    names.extend(file.service.iter().map(|service| format!("{top}{}", service.name())));
    names.extend(file.enum_type.iter().map(|kind| format!("{top}{}", kind.name())));
    let mut waiting: Vec<(String, &DescriptorProto)> = file.message_type.iter().map(|message| (top.clone(), message)).collect();
    while let Some((prefix, message)) = waiting.pop() {
        let full = format!("{prefix}{}", message.name());
        names.extend(message.enum_type.iter().map(|kind| format!("{full}.{}", kind.name())));
        waiting.extend(message.nested_type.iter().map(|nested| (format!("{full}."), nested)));
        names.push(full);
    }
    names
}
