//! YAML to [`Document`]: the configuration as written.
//!
//! Promises: reading never fails, it yields a document and a report of everything that is wrong; no default is applied; every value
//! remembers its place.
//!
//! - `tree`: text to a tree with places
//! - `overlay`, `vars`: what happens to the tree before anybody looks at it
//! - `document`: the whole grammar, on `grammar` and `shape`, with the values of `value` and `name`
//! - `layers`: which of several layers of a policy wins
//! - `schema`: the grammar for editors

pub mod document;
pub mod grammar;
pub mod layers;
pub mod name;
pub mod overlay;
pub mod schema;
pub mod shape;
pub mod tree;
pub mod value;
pub mod vars;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use self::document::{GatewayFile, RoutesFile};
use self::grammar::{Entries, Items, List, Read, Reader, Section};
use self::tree::{Entry, Kind, Node};
use self::value::FilePath;
use self::vars::Variables;
use crate::diagnostic::{Diagnostic, FileId, Report, Rule, Sources, Span};
use crate::files::Files;

/// The files this program is shipped with: path below the project's top, and text.
pub const SHIPPED: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/shipped.rs"));

/// The version of the language.
const VERSION: u32 = 1;

/// Which overlays apply, and how much is taken for granted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Environment {
    Development,
    Testing,
    Production,
}

/// What to read.
pub struct LoadOptions<'a> {
    /// Holds `routes.yaml`, and `gateway.yaml` if there is one.
    pub folder: PathBuf,
    pub environment: Environment,
    /// The environment variables that `vars:` may name.
    pub variables: &'a dyn Fn(&str) -> Option<String>,
}

/// Everything that was written.
pub struct Document {
    pub environment: Environment,
    pub gateway: GatewayFile,
    /// `routes.yaml` first, then what it includes, in its order.
    pub groups: Vec<Group>,
    pub sources: Sources,
}

/// One file of routes.
pub struct Group {
    pub file: FileId,
    pub routes: RoutesFile,
}

/// A file's tree, its overlay merged in.
struct Tree {
    file: FileId,
    root: Node,
}

/// Reads the files of a folder.
pub fn load(files: &Files, options: &LoadOptions<'_>) -> (Document, Report) {
    let mut loader = Loader { files, options, sources: Sources::default(), report: Report::default() };
    let gateway = loader.optional_tree("gateway.yaml");
    let routes = loader.tree(&options.folder.join("routes.yaml"), None);
    let mut trees: Vec<Tree> = Vec::new();
    let included = routes.as_ref().map(|routes| loader.includes(routes)).unwrap_or_default();
    trees.extend(routes);
    trees.extend(included);
    loader.document(gateway, trees)
}

struct Loader<'a> {
    files: &'a Files,
    options: &'a LoadOptions<'a>,
    sources: Sources,
    report: Report,
}

// === impl Loader ===

impl Loader<'_> {
    /// A file that may be missing.
    fn optional_tree(&mut self, name: &str) -> Option<Tree> {
        let path = self.options.folder.join(name);
        if self.files.exists(&path) { self.tree(&path, None) } else { None }
    }

    /// A file's tree with its overlay. `named_at` is where a user wrote the path, if one did.
    fn tree(&mut self, path: &Path, named_at: Option<Span>) -> Option<Tree> {
        let (file, root) = self.parse(path, named_at)?;
        let mut root = root.unwrap_or(Node { span: Span::start_of(file), kind: Kind::Map(Vec::new()) });
        let overlay = path.with_extension(format!("{}.yaml", self.options.environment.name()));
        if self.files.exists(&overlay)
            && let Some((_, Some(over))) = self.parse(&overlay, None)
        {
            overlay::merge(&mut root, over, &mut self.report);
        }
        Some(Tree { file, root })
    }

    fn parse(&mut self, path: &Path, named_at: Option<Span>) -> Option<(FileId, Option<Node>)> {
        match self.files.read_text(path) {
            Ok(text) => {
                let file = self.sources.add(path, text.clone());
                Some((file, tree::parse(file, &text, &mut self.report)))
            }
            Err(error) => {
                // Even a file that is not there has a place: its own beginning.
                let place = named_at.unwrap_or_else(|| Span::start_of(self.sources.add(path, String::new())));
                let what = format!("`{}` cannot be read: {error}", path.display());
                let help = if named_at.is_some() { "paths are relative to the file they are written in" } else { "name the folder that holds it with `--config`" };
                self.report.push(Diagnostic::new(Rule::Unreadable, place, what).help(help));
                None
            }
        }
    }

    /// The files that routes.yaml includes, each once.
    fn includes(&mut self, routes: &Tree) -> Vec<Tree> {
        let Some(node) = routes.root.get("include").filter(|node| !matches!(node.kind, Kind::Null)) else { return Vec::new() };
        // Reported when the whole file is read; here only what is sound matters.
        let mut unheard = Report::default();
        let listed = List::<FilePath>::read(node, &mut Reader::new(&self.sources, &mut unheard));
        let mut seen: BTreeMap<PathBuf, Span> = BTreeMap::new();
        let mut trees = Vec::new();
        for path in listed.iter().flat_map(|list| list.iter()) {
            if let Some(first) = seen.insert(path.path().to_path_buf(), path.span) {
                let what = format!("`{}` is included twice", path.path().display());
                self.report.push(Diagnostic::new(Rule::Include, path.span, what).label("again here").related(first, "first here").help("remove one of them"));
                continue;
            }
            let Some(tree) = self.tree(path.path(), Some(path.span)) else { continue };
            self.refuse_in_included(&tree);
            trees.push(tree);
        }
        trees
    }

    fn refuse_in_included(&mut self, tree: &Tree) {
        let Kind::Map(entries) = &tree.root.kind else { return };
        for entry in entries.iter().filter(|entry| entry.key == "include" || entry.key == "version") {
            let what = format!("`{}` stands in an included file", entry.key);
            let help = "only routes.yaml includes files and has a version; remove it here";
            self.report.push(Diagnostic::new(Rule::Include, entry.key_span, what).help(help).path(entry.key.as_str()));
        }
    }

    fn document(mut self, gateway: Option<Tree>, mut trees: Vec<Tree>) -> (Document, Report) {
        let mut variables = Variables::default();
        let mut reader = Reader::new(&self.sources, &mut self.report);
        for tree in gateway.iter().chain(&trees) {
            variables.declare(&tree.root, self.options.variables, &mut reader);
        }
        let gateway = gateway.map(|mut tree| {
            expand(&mut tree.root, &variables, &mut reader);
            let read = reader.section::<GatewayFile>(&tree.root).unwrap_or_else(|| GatewayFile::empty(tree.root.span));
            version(read.version.as_ref().map(|version| (version.value, version.span)), &tree, &mut reader);
            read
        });
        let mut groups = Vec::new();
        for (index, tree) in trees.iter_mut().enumerate() {
            expand(&mut tree.root, &variables, &mut reader);
            let routes = reader.section::<RoutesFile>(&tree.root).unwrap_or_else(|| RoutesFile::empty(tree.root.span));
            if index == 0 {
                version(routes.version.as_ref().map(|version| (version.value, version.span)), tree, &mut reader);
            }
            groups.push(Group { file: tree.file, routes });
        }
        // Without a gateway.yaml, what is missing from it is missing beside routes.yaml.
        let place = gateway.as_ref().map(|gateway| gateway.span).or(groups.first().map(|group| Span::start_of(group.file)));
        let place = place.unwrap_or_else(|| Span::start_of(self.sources.add(self.options.folder.join("gateway.yaml"), String::new())));
        let gateway = gateway.unwrap_or_else(|| GatewayFile::empty(place));
        (Document { environment: self.options.environment, gateway, groups, sources: self.sources }, self.report)
    }
}

/// Variables go everywhere but into their own declarations.
fn expand(root: &mut Node, variables: &Variables, reader: &mut Reader<'_>) {
    let Kind::Map(entries) = &mut root.kind else { return };
    for Entry { key, value, .. } in entries.iter_mut().filter(|entry| entry.key != "vars") {
        reader.at(key, |reader| variables.expand(value, reader));
    }
}

fn version(written: Option<(u32, Span)>, tree: &Tree, reader: &mut Reader<'_>) {
    match written {
        Some((VERSION, _)) => {}
        Some((other, span)) => {
            let what = format!("version {other} of the language is not known");
            reader.push(Diagnostic::new(Rule::Version, span, what).help(format!("write `version: {VERSION}`")).path("version"));
        }
        // One that could not be read has been reported; one over another kind of document too.
        None if tree.root.get("version").is_some() || !matches!(tree.root.kind, Kind::Map(_)) => {}
        None => {
            let what = "the file does not say which version of the language it is written in";
            reader.push(Diagnostic::new(Rule::MissingKey, Span::start_of(tree.file), what).help(format!("begin with `version: {VERSION}`")).path("version"));
        }
    }
}

// === impl Document ===

impl Document {
    /// How many routes are written, sound or not.
    pub fn routes(&self) -> usize {
        self.groups.iter().map(|group| group.routes.routes.entries().len()).sum()
    }

    /// Where something that is missing from `gateway.yaml` is missing.
    pub fn gateway_place(&self) -> Span {
        Span { end: self.gateway.span.start, ..self.gateway.span }
    }

    /// The sources of descriptors that any group names.
    pub fn descriptors(&self) -> impl Iterator<Item = &crate::diagnostic::Spanned<document::Descriptor>> {
        self.groups.iter().flat_map(|group| group.routes.descriptors.items())
    }
}

// === impl Environment ===

impl Environment {
    /// As it stands in the names of overlays.
    pub fn name(self) -> &'static str {
        match self {
            Environment::Development => "development",
            Environment::Testing => "testing",
            Environment::Production => "production",
        }
    }
}

impl FromStr for Environment {
    type Err = String;

    fn from_str(name: &str) -> Result<Environment, String> {
        match name {
            "development" => Ok(Environment::Development),
            "testing" => Ok(Environment::Testing),
            "production" => Ok(Environment::Production),
            _ => Err("there is development, testing and production".to_owned()),
        }
    }
}
