//! Where a text stops being YAML, and where the mistake is: a parser stumbles behind it, often in another line.
//!
//! Promise: every place lies in the text. What is guessed here is only where to point; that the text is no YAML the parser has said.

use super::super::places::quoted;
use crate::diagnostic::{Diagnostic, FileId, Rule, Span};

/// A text in which the parser got no further.
pub struct Stumbled<'a> {
    pub file: FileId,
    pub text: &'a str,
    /// Where it stumbled, and what it says about that.
    pub at: usize,
    pub info: &'a str,
    /// Where what was read last ends.
    pub read: usize,
    /// Where the innermost of the brackets began that are open.
    pub bracket: Option<usize>,
    /// Where the outermost of the blocks began that ended last.
    pub block: Option<usize>,
}

/// What the words of the parser suggest to do.
const REMEDIES: &[(&str, &str)] = &[
    ("tab", "indent with spaces"),
    ("mapping values", "put a text with `: ` in it into quotes"),
    ("quoted scalar", "close the quote"),
    ("flow", "look for a bracket, brace or comma that is missing before this place"),
    ("block", "let the keys of a map, and the dashes of a list, begin in one column"),
    ("unknown anchor", "an alias `*name` needs an anchor `&name` before it, in the same file"),
];

// === impl Stumbled ===

impl Stumbled<'_> {
    pub fn finding(&self) -> Diagnostic {
        let what = format!("this is not YAML: {}", self.info);
        let remedy = REMEDIES.iter().find(|(words, _)| self.info.contains(words)).map(|(_, remedy)| *remedy);
        let here = Span { file: self.file, start: self.at, end: self.at };
        let there = |start: usize, end: usize| Diagnostic::new(Rule::Syntax, Span { file: self.file, start, end }, what.as_str());
        if let Some(tab) = self.tab() {
            return there(tab, tab + 1).help("indent with spaces");
        }
        if let Some(quote) = self.open_quote() {
            return there(quote, quote + 1).label("begins here").related(here, "and goes on to here").help("close the quote");
        }
        if let Some(bracket) = self.open_bracket() {
            return there(bracket, bracket + 1).label("is not closed").related(here, "this is no part of it").help("close it");
        }
        if let Some((start, end)) = self.entry_without_colon() {
            return there(start, end).related(here, "the next key is here").help("a colon and a space stand between a key and its value");
        }
        let finding = there(self.at, self.at).help(remedy.unwrap_or("look at the line before this place, too"));
        match self.block.filter(|block| self.info.contains("block") && self.column(*block) != self.column(self.at)) {
            Some(block) => finding.related(Span { start: block, end: block, ..here }, "what is before it began in another column"),
            None => finding,
        }
    }

    /// A tab among the spaces that begin a line.
    fn tab(&self) -> Option<usize> {
        let after = Some(self.at).filter(|_| self.info.contains("tab"))?;
        let tab = after + self.text[after..].find('\t')?;
        self.text[self.line_start(tab)..tab].trim_ascii().is_empty().then_some(tab)
    }

    /// A quote in a line above, that ends only here.
    fn open_quote(&self) -> Option<usize> {
        let mut from = Some(self.read).filter(|read| self.info.contains("quoted scalar") && *read < self.at)?;
        while let Some(quote) = self.text.get(from..self.at)?.find(['"', '\'', '#']).map(|offset| from + offset) {
            let begins = self.text[..quote].ends_with([' ', '\t', '\n', '[', '{', ',']);
            from = match quoted(&self.text[quote..]) {
                // A comment goes on to the end of its line.
                None if begins && self.text[quote..].starts_with('#') => quote + self.text[quote..].find('\n')?,
                Some(length) if begins && quote + length < self.at.saturating_sub(1) => quote + length,
                _ if begins && !self.text[quote..].starts_with('#') => {
                    return Some(quote).filter(|quote| self.line_start(*quote) != self.line_start(self.at));
                }
                _ => quote + 1,
            };
        }
        None
    }

    /// A bracket in a line above, with something behind it that is no further in than the line of the bracket.
    fn open_bracket(&self) -> Option<usize> {
        let bracket = self.bracket.filter(|bracket| self.line_start(*bracket) < self.line_start(self.at))?;
        (self.indent(self.at) <= self.indent(bracket)).then_some(bracket)
    }

    /// What stands in the line before, where that is neither a key with its colon nor an item.
    fn entry_without_colon(&self) -> Option<(usize, usize)> {
        if !["simple key", "mapping values"].iter().any(|words| self.info.contains(words)) {
            return None;
        }
        let above = self.text[..self.line_start(self.at)].trim_ascii_end();
        let start = self.line_start(above.len());
        let line = above[start..].split(" #").next().unwrap_or_default().trim_ascii_end();
        let first = start + line.len() - line.trim_ascii_start().len();
        let is_whole =
            line.contains(": ") || line.ends_with(':') || line.trim_ascii_start().starts_with(['#', '-', '?', '[', '{', '"', '\'']);
        (!is_whole && !line.is_empty()).then_some((first, start + line.len()))
    }

    fn line_start(&self, at: usize) -> usize {
        self.text[..at].rfind('\n').map_or(0, |newline| newline + 1)
    }

    fn column(&self, at: usize) -> usize {
        at - self.line_start(at)
    }

    /// How far in the line of a place begins.
    fn indent(&self, at: usize) -> usize {
        let line = &self.text[self.line_start(at)..];
        line.len() - line.trim_start_matches(' ').len()
    }
}
