//! Where something stands: a file, and a range of bytes in it.
//!
//! [`Sources`] keeps the text of every file that was read, so that a span can become a line, a column and a caret.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::secrets;

/// One of the files in [`Sources`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FileId(u32);

/// A range of bytes in one file.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Span {
    pub file: FileId,
    pub start: usize,
    pub end: usize,
}

/// A value and the place where it was written. Equality and order look at the value alone.
#[derive(Clone, Copy, Debug)]
pub struct Spanned<T> {
    pub value: T,
    pub span: Span,
}

/// A line and a column, both from 1; the column counts characters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

/// Every file that was read for one configuration, in reading order.
#[derive(Default, Clone)]
pub struct Sources {
    files: Vec<Arc<SourceFile>>,
}

/// One file's path and text, as read.
pub struct SourceFile {
    pub path: PathBuf,
    pub text: String,
    line_starts: Vec<usize>,
    /// Made when a line of it is shown, which is seldom.
    shown: OnceLock<String>,
}

// === impl Span ===

impl Span {
    /// The first byte of a file: the place of what is missing from it.
    pub fn start_of(file: FileId) -> Span {
        Span { file, start: 0, end: 0 }
    }

    /// From here to the end of `other`, in the same file.
    pub fn to(self, other: Span) -> Span {
        Span { end: other.end.max(self.end), ..self }
    }
}

// === impl Spanned ===

impl<T> Spanned<T> {
    pub fn new(value: T, span: Span) -> Spanned<T> {
        Spanned { value, span }
    }

    /// The same place, another value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned { value: f(self.value), span: self.span }
    }
}

impl<T> std::ops::Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

// === impl Sources ===

impl Sources {
    /// Keeps a file. The same path may be kept twice when it was read twice.
    pub fn add(&mut self, path: impl Into<PathBuf>, text: String) -> FileId {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        self.files.push(Arc::new(SourceFile::new(path.into(), text, line_starts)));
        FileId(u32::try_from(self.files.len() - 1).expect("a configuration has fewer than 2^32 files"))
    }

    /// Hides a secret from everything that shows the file. Places stay what they are.
    pub fn mask(&mut self, place: Span) {
        let SourceFile { path, text, line_starts, .. } = self.file(place.file);
        let masked =
            |(at, c): (usize, char)| if (place.start..place.end).contains(&at) && c != '\n' { "*".repeat(c.len_utf8()) } else { c.into() };
        let text = text.char_indices().map(masked).collect();
        self.files[place.file.0 as usize] = Arc::new(SourceFile::new(path.clone(), text, line_starts.clone()));
    }

    /// The file that an id of these sources stands for.
    pub fn file(&self, id: FileId) -> &SourceFile {
        &self.files[id.0 as usize]
    }

    /// The folder that relative paths written in `id` start from.
    pub fn folder(&self, id: FileId) -> &Path {
        self.file(id).path.parent().unwrap_or(Path::new("."))
    }

    /// The id of every file, in reading order.
    pub fn ids(&self) -> impl Iterator<Item = FileId> + use<> {
        (0..u32::try_from(self.files.len()).expect("a configuration has fewer than 2^32 files")).map(FileId)
    }

    /// Every file, in reading order.
    pub fn iter(&self) -> impl Iterator<Item = &SourceFile> {
        self.files.iter().map(Arc::as_ref)
    }

    pub fn len(&self) -> usize {
        self.files.len()
    }

    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

// === impl SourceFile ===

impl SourceFile {
    fn new(path: PathBuf, text: String, line_starts: Vec<usize>) -> SourceFile {
        SourceFile { path, text, line_starts, shown: OnceLock::new() }
    }

    /// The text as anybody may see it: what looks like a secret in a file of configuration is hidden. Places are what they are in `text`.
    pub fn shown(&self) -> &str {
        if self.path.extension().is_none_or(|extension| extension != "yaml") {
            return &self.text;
        }
        self.shown.get_or_init(|| secrets::masked(&self.text, &secrets::places(&self.text)))
    }

    /// The line and column of a byte; a byte past the end is the end, one inside a character is its start.
    pub fn position(&self, byte: usize) -> Position {
        let byte = self.text.floor_char_boundary(byte.min(self.text.len()));
        let line = self.line_starts.partition_point(|start| *start <= byte) - 1;
        let column = self.text[self.line_starts[line]..byte].chars().count() + 1;
        Position { line: line + 1, column }
    }
}
