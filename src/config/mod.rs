//! The configuration as written: YAML files to a [`Document`].
//!
//! [`load`] reads the files, merges overlays, puts variables in, and reads everything by the grammar. What the document means (whether a name
//! exists, whether bounds nest, which defaults hold) is `table/compile`'s to say; nothing here knows a descriptor, a socket or a default.
//!
//! Promises: reading never fails, every independent error is in the report of one run, and a secret is in none of them.
//!
//! - `document`: the grammar, every section and key; `grammar`, `collection`, `value`: what it is made of
//! - `parse`, `bounds`, `places`, `tree`: text to tree; `reader`, `path`: tree to document
//! - `overlay`, `vars`, `expand`: what is done to trees before they are read; `layers`: what is done to policies after; `leaves`: what is told of
//!   them
//! - `schema`: the grammar for editors; `layout`: what `fmt` does

mod bounds;
pub mod collection;
pub mod document;
mod expand;
pub mod grammar;
pub mod layers;
pub mod layout;
pub mod leaves;
mod overlay;
mod parse;
mod path;
mod places;
mod reader;
pub mod schema;
mod tree;
pub mod value;
mod vars;

use std::io;
use std::path::{Path, PathBuf};

use crate::diagnostic::{Diagnostic, FileId, Report, Rule, Sources, Span, Spanned};
use crate::files::{Files, reason};
use document::trial::TestFile;
use document::{GatewayFile, MainFile, RoutesFile};
use grammar::{List, Read};
use leaves::Expanded;
use reader::Reader;
use tree::{Kind, Node};
use value::{FilePath, Version};
use vars::Variables;

pub use layers::resolve;

/// Largest file of configuration. Ten thousand routes are about 1.4 MB.
pub const FILE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What to load, and for which environment.
pub struct LoadOptions<'a> {
    /// The folder of `routes.yaml` and `gateway.yaml`.
    pub folder: PathBuf,
    pub environment: Environment,
    /// Environment variables by name.
    pub variables: &'a dyn Fn(&str) -> Option<String>,
}

/// Which overlays apply, and how strict `table/compile` is.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Environment {
    #[default]
    Development,
    Testing,
    Production,
}

/// Everything that was written, read by the grammar.
pub struct Document {
    pub environment: Environment,
    /// `gateway.yaml`; empty when there is none.
    pub gateway: GatewayFile,
    /// `routes.yaml`, then each file it includes, in its order.
    pub groups: Vec<Group>,
    /// The text of every file, for rendering findings.
    pub sources: Sources,
    /// What texts with variables in them are.
    pub expanded: Expanded,
    /// Variables that are declared and stand nowhere.
    pub unused_variables: Vec<Spanned<String>>,
    /// False when a file could not be read to its end: what seems not to be declared may stand in the part that is missing.
    pub complete: bool,
}

/// One file of routes.
pub struct Group {
    pub file: FileId,
    pub routes: RoutesFile,
}

/// Reads the configuration in a folder.
pub fn load(files: &Files, options: &LoadOptions<'_>) -> (Document, Report) {
    let mut loader = Loader { files, options, sources: Sources::default(), report: Report::default(), complete: true };
    let document = loader.load();
    (document, loader.report)
}

struct Loader<'a> {
    files: &'a Files,
    options: &'a LoadOptions<'a>,
    sources: Sources,
    report: Report,
    complete: bool,
}

/// A file as a tree, its overlay merged in.
struct Tree {
    file: FileId,
    root: Node,
    /// What the file says without its overlay, where it has one: that has to make sense as well, also where the overlay says otherwise.
    below: Option<Node>,
}

// === impl Environment ===

impl Environment {
    pub const ALL: [Environment; 3] = [Environment::Development, Environment::Testing, Environment::Production];

    /// The name in `--env` and in the names of overlays.
    pub fn name(self) -> &'static str {
        match self {
            Environment::Development => "development",
            Environment::Testing => "testing",
            Environment::Production => "production",
        }
    }

    /// The overlay beside a file, whether it is there or not.
    pub fn overlay_of(self, file: &Path) -> PathBuf {
        overlay::path(file, self)
    }
}

// === impl Loader ===

impl Loader<'_> {
    fn load(&mut self) -> Document {
        let mut gateway = self.gateway_tree();
        let mut main = self.main_tree();
        let mut included = main.as_ref().map_or_else(Vec::new, |main| self.included_trees(main));

        let roots: Vec<&Node> = gateway.iter().chain(&main).chain(&included).map(|tree| &tree.root).collect();
        let variables = Variables::declare(&roots, self.options.variables, &mut self.report);
        let mut expanded = Expanded::default();
        for tree in gateway.iter_mut().chain(&mut main).chain(&mut included) {
            expand::expand(&mut tree.root, &variables, &mut expanded, &mut self.report);
            tree.below.iter_mut().for_each(|below| expand::expand(below, &variables, &mut expanded, &mut self.report));
        }

        let gateway = gateway.and_then(|tree| self.read(&tree)).unwrap_or_default();
        let main = main.and_then(|tree| Some(Group { file: tree.file, routes: self.read::<MainFile>(&tree)?.routes }));
        let mut groups = Vec::from_iter(main);
        for tree in included {
            groups.extend(self.read(&tree).map(|routes| Group { file: tree.file, routes }));
        }
        Document {
            environment: self.options.environment,
            gateway,
            groups,
            sources: std::mem::take(&mut self.sources),
            expanded,
            unused_variables: variables.unused(),
            complete: self.complete,
        }
    }

    fn gateway_tree(&mut self) -> Option<Tree> {
        let path = self.options.folder.join("gateway.yaml");
        let bytes = self.files.read(&path);
        if matches!(&bytes, Err(error) if error.kind() == io::ErrorKind::NotFound) {
            self.refuse_lone_overlay(&path);
            return None;
        }
        self.tree(&path, bytes, &GatewayFile::shape()).filter(|tree| self.speaks(tree))
    }

    /// Without the file that it changes, an overlay would be silently without effect.
    fn refuse_lone_overlay(&mut self, path: &Path) {
        let overlay = overlay::path(path, self.options.environment);
        let Ok(text) = self.files.read_text(&overlay) else { return };
        let file = self.sources.add(&overlay, text);
        let finding =
            Diagnostic::new(Rule::Overlay, Span::start_of(file), format!("`{}`, which this changes, does not exist", path.display()));
        self.report.push(finding.help("create it: `version: 1` is enough"));
    }

    fn main_tree(&mut self) -> Option<Tree> {
        let path = self.options.folder.join("routes.yaml");
        let bytes = self.files.read(&path);
        self.tree(&path, bytes, &MainFile::shape()).filter(|tree| self.speaks(tree))
    }

    fn included_trees(&mut self, main: &Tree) -> Vec<Tree> {
        let folder = self.sources.folder(main.file).to_path_buf();
        let Some(list) = main.root.get("include") else { return Vec::new() };
        // Whatever is wrong with the list itself is reported when the whole file is read.
        let paths = List::<FilePath>::read(list, &mut Reader::new(&mut Report::default(), &folder)).unwrap_or_default();
        let mut seen = vec![Spanned::new(self.sources.file(main.file).path.clone(), Span::start_of(main.file))];
        let mut trees = Vec::new();
        for (index, include) in paths.iter().enumerate() {
            let path = include.as_path().to_path_buf();
            if let Some(first) = seen.iter().find(|first| first.value == path) {
                let finding = Diagnostic::new(Rule::Include, include.span, "this file is part of the configuration already");
                self.report.push(finding.related(first.span, "already here").path(format!("include[{index}]")));
                continue;
            }
            trees.extend(self.included_tree(&path, include.span, index));
            seen.push(Spanned::new(path, include.span));
        }
        trees
    }

    fn included_tree(&mut self, path: &Path, span: Span, index: usize) -> Option<Tree> {
        let bytes = match self.files.read(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                let finding = Diagnostic::new(Rule::Include, span, format!("`{}` cannot be read", path.display()));
                self.report.push(
                    finding.label(reason(&error)).help("a path is relative to the file it is written in").path(format!("include[{index}]")),
                );
                self.complete = false;
                return None;
            }
        };
        let mut tree = self.tree(path, Ok(bytes), &RoutesFile::shape())?;
        if let Kind::Map(entries) = &mut tree.root.kind {
            for (key, why) in
                [("version", "the version is stated once, in `routes.yaml`"), ("include", "only `routes.yaml` includes files")]
            {
                if let Some(at) = entries.iter().position(|entry| entry.key.text == key) {
                    let entry = entries.remove(at);
                    let finding = Diagnostic::new(Rule::Include, entry.key.span, format!("an included file has no `{key}`"));
                    self.report.push(finding.label(why).help("remove it here").path(key));
                }
            }
        }
        Some(tree)
    }

    /// A file and its overlay as one tree.
    fn tree(&mut self, path: &Path, bytes: io::Result<Vec<u8>>, shape: &grammar::Shape) -> Option<Tree> {
        let tree = self.parse(path, bytes);
        let overlay_path = overlay::path(path, self.options.environment);
        let overlay = match self.files.read(&overlay_path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            bytes => self.parse(&overlay_path, bytes),
        };
        let tree = tree?;
        let Some(overlay) = overlay else { return Some(tree) };
        let below = Some(tree.root.clone());
        Some(Tree { file: tree.file, root: overlay::merge(tree.root, overlay.root, shape, &mut self.report), below })
    }

    fn parse(&mut self, path: &Path, bytes: io::Result<Vec<u8>>) -> Option<Tree> {
        let (text, unreadable) = match bytes.and_then(text_of) {
            Ok(text) => (text, None),
            Err(error) => (String::new(), Some(error)),
        };
        let file = self.sources.add(path, text);
        let root = match unreadable {
            Some(error) => {
                let finding = Diagnostic::new(Rule::Unreadable, Span::start_of(file), format!("`{}` cannot be read", path.display()));
                self.report.push(finding.label(reason(&error)).help("check the path, or name another folder with `--config`"));
                None
            }
            None => parse::parse(file, &self.sources.file(file).text, &mut self.report),
        };
        self.complete &= root.is_some();
        Some(Tree { file, root: root?, below: None })
    }

    /// False, with a finding, for a file of another version: every other finding about it would be beside the point.
    fn speaks(&mut self, tree: &Tree) -> bool {
        let Some(entry) = tree.root.entries().iter().find(|entry| entry.key.text == "version") else { return true };
        let speaks = Reader::new(&mut self.report, Path::new("")).field::<Version>(entry).is_some();
        self.complete &= speaks;
        speaks
    }

    fn read<T: Read>(&mut self, tree: &Tree) -> Option<T> {
        let folder = self.sources.folder(tree.file).to_path_buf();
        if let Some(below) = &tree.below {
            let mut found = Report::default();
            T::read(below, &mut Reader::new(&mut found, &folder));
            // What is said of keys is said of both together: an overlay may bring what is missing.
            let of_values = found.sorted().into_iter().filter(|finding| matches!(finding.rule, Rule::BadValue | Rule::WrongType));
            of_values.for_each(|finding| self.report.push(finding.clone()));
        }
        T::read(&tree.root, &mut Reader::new(&mut self.report, &folder))
    }
}

/// Reads files that are no part of the configuration: tests of its routes. One that cannot be used is left out, and said why.
pub fn read_tests(files: &Files, paths: &[PathBuf], sources: &mut Sources, report: &mut Report) -> Vec<(FileId, TestFile)> {
    let mut tests = Vec::new();
    for path in paths {
        let options = LoadOptions { folder: PathBuf::new(), environment: Environment::Development, variables: &|_| None };
        let mut loader =
            Loader { files, options: &options, sources: std::mem::take(sources), report: std::mem::take(report), complete: true };
        let tree = loader.parse(path, files.read(path)).filter(|tree| loader.speaks(tree));
        tests.extend(tree.and_then(|tree| Some((tree.file, loader.read::<TestFile>(&tree)?))));
        (*sources, *report) = (loader.sources, loader.report);
    }
    tests
}

/// The text of a file without its byte order mark.
fn text_of(bytes: Vec<u8>) -> io::Result<String> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {} MiB", FILE_BYTES_MAX >> 20)));
    }
    let text = String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not UTF-8 text"))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}
