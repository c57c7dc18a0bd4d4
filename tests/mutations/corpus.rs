//! What is mutated: whole configurations that are right, in memory, every place of them with what the grammar says may stand there.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use protogate::config::document::{GatewayFile, MainFile, RoutesFile};
use protogate::config::grammar::{Read, Shape};
use protogate::config::{self, Environment, LoadOptions};
use protogate::diagnostic::{Report, Sources};
use protogate::files::Files;
use protogate::proto::Pools;
use protogate::table::compile::{Context, compile};
use protogate::table::plan::Plan;

use super::yaml::{self, Entry, Kind, Node};
use crate::top;

/// A configuration that is right.
pub struct Corpus {
    pub files: Vec<File>,
    environment: Environment,
    /// Every file, the .proto files included.
    in_memory: &'static [(&'static str, &'static str)],
    pools: Pools,
    /// What it comes to; as long as it lives, nothing is compiled twice that is the same.
    pub plan: Plan,
}

/// One YAML file of it.
pub struct File {
    pub path: &'static str,
    pub text: &'static str,
    pub root: Node,
    pub shape: Shape,
}

/// A value in a file, and what is known about it.
pub struct Place<'a> {
    pub file: &'a File,
    /// `routes.1001.timeout`.
    pub path: String,
    /// Of an entry of a map, all of it.
    pub entry: Option<&'a Entry>,
    pub node: &'a Node,
    pub shape: Option<Shape>,
    /// What it stands in.
    pub parent: &'a Node,
    pub parent_shape: Option<Shape>,
}

/// The configuration that the program is shipped with.
pub static SHIPPED: LazyLock<Corpus> = LazyLock::new(|| Corpus::load(shipped(), Environment::Development));

/// One that says most of what can be said.
pub static WHOLE: LazyLock<Corpus> = LazyLock::new(|| {
    let mut files = shipped();
    files.retain(|(path, _)| path.starts_with("proto/"));
    for name in ["gateway.yaml", "gateway.testing.yaml", "routes.yaml", "routes.testing.yaml", "game.yaml"] {
        files.push((format!("routes/{name}").leak(), read(&format!("tests/mutations/whole/{name}"))));
    }
    Corpus::load(files, Environment::Testing)
});

/// A file; of a .proto file what is no comment, because each is read and hashed for each mutant.
fn read(path: &str) -> &'static str {
    let text = std::fs::read_to_string(top().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    if path.ends_with(".proto") {
        return text.lines().filter(|line| !line.trim_start().starts_with("//")).map(|line| format!("{line}\n")).collect::<String>().leak();
    }
    text.leak()
}

fn shipped() -> Vec<(&'static str, &'static str)> {
    let (mut found, mut waiting) = (Vec::new(), vec![PathBuf::from("routes"), PathBuf::from("proto")]);
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(top().join(&folder)).unwrap() {
            let path = folder.join(entry.unwrap().file_name());
            // Tests of routes are no part of the configuration.
            if path == Path::new("routes/tests") {
                continue;
            }
            if top().join(&path).is_dir() {
                waiting.push(path);
            } else {
                let path = path.to_str().unwrap();
                found.push((&*path.to_owned().leak(), read(path)));
            }
        }
    }
    found.sort_unstable();
    found
}

// === impl Corpus ===

impl Corpus {
    fn load(texts: Vec<(&'static str, &'static str)>, environment: Environment) -> Corpus {
        let in_memory: &'static [_] = texts.leak();
        let yaml = in_memory.iter().filter(|(path, _)| path.ends_with(".yaml"));
        let shape = |path: &str| match Path::new(path).file_name().unwrap().to_str().unwrap().split('.').next() {
            Some("gateway") => GatewayFile::shape(),
            Some("routes") => MainFile::shape(),
            _ => RoutesFile::shape(),
        };
        let files = yaml.map(|(path, text)| File { path, text, root: yaml::parse(text), shape: shape(path) }).collect();
        let pools = Pools::default();
        let (plan, report, sources) = check(&Files::in_memory(in_memory), environment, &pools);
        let said = protogate::diagnostic::render::human(&report, &sources, protogate::diagnostic::render::Color::Plain);
        assert!(report.is_empty(), "what is mutated must be right before:\n{said}");
        Corpus { files, environment, in_memory, pools, plan: plan.unwrap() }
    }

    /// What `check` says when this text stands in the place of a file.
    pub fn check(&self, path: &str, text: &str) -> (Option<Plan>, Report, Sources) {
        let files = Files::in_memory(self.in_memory).with(path, text.as_bytes().to_vec());
        check(&files, self.environment, &self.pools)
    }

    /// The text of any file, a .proto file too.
    pub fn texts(&self) -> impl Iterator<Item = &(&'static str, &'static str)> {
        self.in_memory.iter()
    }

    /// Every value of every file, outermost first, that is what it comes to: what an overlay replaces is read by nobody.
    pub fn places(&self) -> Vec<Place<'_>> {
        let places: Vec<Place<'_>> = self.files.iter().flat_map(File::places).collect();
        let over = |file: &File| format!("{}.{}.yaml", file.path.trim_end_matches(".yaml"), self.environment.name());
        let replaced: BTreeSet<(String, String)> = places
            .iter()
            .filter(|place| place.file.is_overlay() && place.node.scalar().is_some())
            .map(|place| (place.file.path.to_owned(), place.path.clone()))
            .collect();
        places.into_iter().filter(|place| !replaced.contains(&(over(place.file), place.path.clone()))).collect()
    }

    /// Every place whose value is text that the grammar calls so, such as `a duration`.
    pub fn texts_of(&self, what: &str) -> Vec<Place<'_>> {
        self.places().into_iter().filter(|place| place.is_text(what)).collect()
    }
}

fn check(files: &Files, environment: Environment, pools: &Pools) -> (Option<Plan>, Report, Sources) {
    // The secret ones are set, the others have defaults.
    let secret = |name: &str| ["TOKEN", "URL", "PASSWORD", "SHARED"].iter().any(|end| name.ends_with(end));
    let variables = |name: &str| secret(name).then(|| format!("{name}-0123456789-0123456789-0123456789"));
    let options = LoadOptions { folder: PathBuf::from("routes"), environment, variables: &variables };
    let (mut document, mut report) = config::load(files, &options);
    let compiled = compile(&mut document, files, pools, &Context::default(), None, &mut report);
    (compiled.plan, report, document.sources)
}

// === impl File ===

impl File {
    /// The text with something else in place of a part of it.
    pub fn with(&self, part: &Range<usize>, text: &str) -> String {
        format!("{}{text}{}", &self.text[..part.start], &self.text[part.end..])
    }

    /// The line of a byte, from 1.
    pub fn line(&self, at: usize) -> usize {
        self.text[..at].matches('\n').count() + 1
    }

    pub fn is_overlay(&self) -> bool {
        self.path.split('/').next_back().unwrap().matches('.').count() == 2
    }

    fn places(&self) -> Vec<Place<'_>> {
        let mut places = Vec::new();
        self.collect(&self.root, Some(&self.shape), String::new(), &mut places);
        places
    }

    fn collect<'a>(&'a self, node: &'a Node, shape: Option<&Shape>, path: String, places: &mut Vec<Place<'a>>) {
        let shape = shape.and_then(|shape| alternative(shape, node));
        for entry in node.entries() {
            let path = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
            let below = shape.as_ref().and_then(|shape| below(shape, &entry.key));
            places.push(Place {
                file: self,
                path: path.clone(),
                entry: Some(entry),
                node: &entry.value,
                shape: below.as_ref().and_then(|shape| alternative(shape, &entry.value)),
                parent: node,
                parent_shape: shape.clone(),
            });
            self.collect(&entry.value, below.as_ref(), path, places);
        }
        for (index, item) in node.items().iter().enumerate() {
            let path = format!("{path}[{index}]");
            let below = match &shape {
                Some(Shape::List(item) | Shape::Edit(item)) => Some((**item).clone()),
                _ => None,
            };
            places.push(Place {
                file: self,
                path: path.clone(),
                entry: None,
                node: item,
                shape: below.as_ref().and_then(|shape| alternative(shape, item)),
                parent: node,
                parent_shape: shape.clone(),
            });
            self.collect(item, below.as_ref(), path, places);
        }
    }
}

/// What stands under a key.
fn below(shape: &Shape, key: &str) -> Option<Shape> {
    match shape {
        // `append` and `replace`.
        Shape::Edit(item) | Shape::List(item) => Some(Shape::List(item.clone())),
        shape => shape.of_key(key).cloned(),
    }
}

/// Of a shape that is one or the other, the one that a value is of.
fn alternative(shape: &Shape, node: &Node) -> Option<Shape> {
    let Shape::Either(one, other) = shape else { return Some(shape.clone()) };
    let fits = |shape: &Shape| match &node.kind {
        Kind::Map(_) => matches!(shape, Shape::Section { .. } | Shape::Map { .. } | Shape::Edit(_)),
        Kind::List(_) => matches!(shape, Shape::List(_)),
        Kind::Scalar { .. } => !matches!(shape, Shape::Section { .. } | Shape::Map { .. } | Shape::List(_)),
    };
    [one, other].into_iter().find(|shape| fits(shape)).map(|shape| (**shape).clone())
}

// === impl Place ===

impl Place<'_> {
    pub fn is_text(&self, what: &str) -> bool {
        self.node.scalar().is_some()
            && !self.is_variable()
            && matches!(&self.shape, Some(Shape::Text { what: found, .. }) if *found == what)
    }

    /// What is written there, with its quotes.
    pub fn written(&self) -> &str {
        &self.file.text[self.node.at.clone()]
    }

    pub fn is_variable(&self) -> bool {
        self.node.scalar().is_some_and(|text| text.contains("${var."))
    }

    /// The file with another value here.
    pub fn with(&self, text: &str) -> String {
        self.file.with(&self.node.at, text)
    }

    pub fn line(&self) -> usize {
        self.file.line(self.node.at.start)
    }

    /// The line of the key, else of the value.
    pub fn key_line(&self) -> usize {
        self.entry.map_or_else(|| self.line(), |entry| self.file.line(entry.key_at.start))
    }

    /// The keys that may stand where this one does, and which of them must.
    pub fn known_keys(&self) -> Vec<(&'static str, bool)> {
        match &self.parent_shape {
            Some(Shape::Section { keys, .. }) => keys.iter().map(|key| (key.name, key.required)).collect(),
            _ => Vec::new(),
        }
    }
}
