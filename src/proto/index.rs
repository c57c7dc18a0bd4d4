//! What all descriptor sources declare, and where, found without compiling anything.
//!
//! Of it is told what there is; and by it is decided which files somebody needs: those that declare a wanted name, those that they
//! import, and those that add fields to a message of one of them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use super::declared::{Declared, DeclaredService};
use super::wanted::{Pattern, Wanted};
use super::{DescriptorSource, Missing, source, survey};
use crate::diagnostic::Report;
use crate::files::Files;

/// Every file of every source, in their order. Cheap to clone.
#[derive(Clone, Default)]
pub struct Index {
    files: Arc<Vec<IndexedFile>>,
}

/// One file of a source.
pub struct IndexedFile {
    /// The place of its source among all.
    pub source: usize,
    /// The name that imports use.
    pub name: String,
    pub declared: Arc<Declared>,
    pub(super) place: Place,
    /// How many there were.
    pub(super) bytes: u64,
    /// Of its bytes, as they were.
    pub(super) hash: [u8; 32],
}

/// Where the bytes are.
#[derive(Clone)]
pub(super) enum Place {
    Text(PathBuf),
    /// In the set of its source.
    Set(Range<u64>),
}

// === impl Index ===

impl Index {
    /// Looks at every source without compiling any of it.
    pub fn of(files: &Files, sources: &[DescriptorSource], report: &mut Report) -> Index {
        survey::survey(files, sources, &Index::default(), report).index
    }

    pub(super) fn new(files: Vec<IndexedFile>) -> Index {
        let bundled = prost_reflect::DescriptorPool::global();
        Index { files: Arc::new(files.into_iter().filter(|file| !source::is_bundled(&bundled, &file.name)).collect()) }
    }

    /// Every file, except those that the program has by itself.
    pub fn files(&self) -> impl Iterator<Item = &IndexedFile> {
        self.files.iter()
    }

    /// Every service, with the file that declares it.
    pub fn services(&self) -> impl Iterator<Item = (&DeclaredService, &IndexedFile)> {
        self.files.iter().flat_map(|file| file.declared.services.iter().map(move |service| (service, file)))
    }

    /// The service of this name; the first, where several files declare it.
    pub fn service(&self, name: &str) -> Option<&DeclaredService> {
        self.services().map(|(service, _)| service).find(|service| &*service.name == name)
    }

    /// The full name of every message.
    pub fn messages(&self) -> impl Iterator<Item = &str> {
        self.files.iter().flat_map(|file| file.declared.messages.iter().map(|name| &**name))
    }

    /// Whether a source declares something that the pattern names.
    pub fn has(&self, source: usize, pattern: &Pattern) -> bool {
        self.files.iter().filter(|file| file.source == source).any(|file| file.declared.names().any(|name| pattern.matches(name)))
    }

    /// A file that may declare this name although nothing is known of it.
    fn doubtful(&self, name: &str) -> Option<&IndexedFile> {
        let may = |package: &str| package.is_empty() || name.strip_prefix(package).is_some_and(|rest| rest.starts_with('.'));
        self.files.iter().find(|file| file.declared.doubtful && may(&file.declared.package))
    }

    /// What is said of a method that is not there.
    pub(super) fn missing_method(&self, name: &str) -> Missing {
        let all = || self.services().flat_map(|(service, _)| service.methods()).collect();
        let Some((service, method)) = name.split_once('/') else {
            return Missing { what: format!("`{name}` is not of the form `package.Service/Method`"), known: all(), doubtful: None };
        };
        let doubtful = self.doubtful(service).map(|file| file.name.clone());
        match self.service(service) {
            Some(found) => {
                Missing { what: format!("service `{service}` has no method `{method}`"), known: found.methods().collect(), doubtful }
            }
            None => Missing { what: format!("service `{service}` does not exist"), known: all(), doubtful },
        }
    }

    /// What is said of a message that is not there.
    pub fn missing_message(&self, name: &str) -> Missing {
        Missing {
            what: format!("message `{name}` does not exist"),
            known: self.messages().map(str::to_owned).collect(),
            doubtful: self.doubtful(name).map(|file| file.name.clone()),
        }
    }

    /// The places of the files that are needed, ascending.
    pub(super) fn reached(&self, wanted: &Wanted) -> Vec<usize> {
        if wanted.wants_all() {
            return (0..self.files.len()).collect();
        }
        let is_wanted = |file: &IndexedFile| file.declared.names().any(|name| wanted.wants(file.source, name));
        let roots = (0..self.files.len()).filter(|at| is_wanted(&self.files[*at])).collect();
        let mut reach = Reach { files: &self.files, by_name: self.by_name(), reached: HashSet::new() };
        reach.follow(roots);
        reach.follow_extensions();
        let mut reached: Vec<usize> = reach.reached.into_iter().collect();
        reached.sort_unstable();
        reached
    }

    /// The places of every copy of each file. A name that two sources have is looked at in both.
    pub(super) fn by_name(&self) -> HashMap<&str, Vec<usize>> {
        let mut by_name: HashMap<&str, Vec<usize>> = HashMap::with_capacity(self.files.len());
        for (at, file) in self.files.iter().enumerate() {
            by_name.entry(&file.name).or_default().push(at);
        }
        by_name
    }

    pub(super) fn file(&self, at: usize) -> &IndexedFile {
        &self.files[at]
    }
}

/// A walk along the imports.
struct Reach<'i> {
    files: &'i [IndexedFile],
    by_name: HashMap<&'i str, Vec<usize>>,
    reached: HashSet<usize>,
}

// === impl Reach ===

impl Reach<'_> {
    fn follow(&mut self, mut open: Vec<usize>) {
        while let Some(at) = open.pop() {
            if self.reached.insert(at) {
                open.extend(self.by_name.get(&*self.files[at].name).into_iter().flatten());
                let imports = self.files[at].declared.imports.iter();
                open.extend(imports.filter_map(|import| self.by_name.get(&**import)).flatten());
            }
        }
    }

    /// A message has the fields that other files add to it, whoever imports them.
    fn follow_extensions(&mut self) {
        let mut waiting: BTreeMap<usize, Vec<String>> = (0..self.files.len())
            .filter(|at| !self.files[*at].declared.extended.is_empty())
            .map(|at| (at, self.files[at].declared.extended.iter().flat_map(|extended| extended.candidates()).collect()))
            .collect();
        loop {
            waiting.retain(|at, _| !self.reached.contains(at));
            if waiting.is_empty() {
                return;
            }
            let known: HashSet<&str> =
                self.reached.iter().flat_map(|at| self.files[*at].declared.messages.iter().map(|name| &**name)).collect();
            let extends = |names: &[String]| names.iter().any(|name| known.contains(name.as_str()));
            let found: Vec<usize> = waiting.iter().filter(|(_, names)| extends(names)).map(|(at, _)| *at).collect();
            if found.is_empty() {
                return;
            }
            self.follow(found);
        }
    }
}
