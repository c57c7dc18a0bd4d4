//! Where what is explained is written, for whoever says something about it.

use std::path::Path;

use super::explain::Explained;
use crate::diagnostic::{FileId, Span};

// === impl Explained ===

impl Explained {
    /// Where a key of a route is written, or the first item or key below it.
    pub fn place(&self, number: u32, key: &str) -> Option<Span> {
        let found = self.routes.binary_search_by_key(&number, |route| route.number).ok()?;
        let named = |row: &&super::explain::Row| {
            let rest = self.keys[row.key as usize].strip_prefix(key);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['[', '.']))
        };
        let row = self.routes[found].lines.iter().find(named)?;
        Some(Span { file: row.file, start: row.start as usize, end: row.end as usize })
    }

    /// Where the number of a push is written.
    pub fn push(&self, number: u32) -> Option<Span> {
        let found = self.pushes.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        Some(self.pushes[found].1)
    }

    /// The file and the line of a place.
    pub fn file_and_line(&self, place: Span) -> (String, usize) {
        let file = self.sources.file(place.file);
        (file.path.to_string_lossy().into_owned(), file.position(place.start).line)
    }

    /// The file and the line in which a route is written.
    pub fn written(&self, number: u32) -> Option<(String, usize)> {
        self.place(number, "rpc").map(|place| self.file_and_line(place))
    }

    /// The beginning of the file of this path; if there is none, of one of this name, and else of the first: where something is missing
    /// that stood in such a file.
    pub fn top_of(&self, file: &str) -> Option<Span> {
        let wanted = Path::new(file);
        let find = |is: &dyn Fn(&Path) -> bool| self.files().find(|id| is(&self.sources.file(*id).path));
        let found = find(&|path| path == wanted).or_else(|| find(&|path| path.file_name() == wanted.file_name()));
        found.map(Span::start_of).or_else(|| self.top())
    }

    /// The beginning of the first file.
    pub fn top(&self) -> Option<Span> {
        self.files().next().map(Span::start_of)
    }

    fn files(&self) -> impl Iterator<Item = FileId> {
        self.sources.ids()
    }
}
