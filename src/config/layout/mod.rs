//! The layout of a file: `protogate fmt`.
//!
//! Two spaces for every level, one blank line at most, `{ a: b }` and `[a, b]`, one space behind `-`, `:` and `,`, nothing at the end of a
//! line, and one line end at the end of the file. Keys, quotes, numbers, comments, the gap before a comment behind a value, and the inside of
//! what stands in several lines are left as they are. Promises: laying out what is laid out changes nothing; what the file means, and every
//! comment, is what it was, or there is no layout at all.

mod tokens;

use std::ops::Range;

use self::tokens::{Kind, Token, tokens};
use super::parse;
use crate::diagnostic::{FileId, Report};

/// Spaces of one level.
const STEP: usize = 2;

/// Why a file is not laid out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unlaid {
    /// It is not sound YAML of this language; what is wrong with it was reported.
    Broken,
    /// It would not mean the same: something in it is written in a way that is not known here.
    Strange,
}

/// The text in its layout.
pub fn layout(file: FileId, text: &str, report: &mut Report) -> Result<String, Unlaid> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut found = Report::default();
    let tree = parse::parse(file, text, &mut found);
    let sound = !found.has_errors();
    report.extend(found);
    let Some(tree) = tree.filter(|_| sound) else { return Err(Unlaid::Broken) };
    let before = tokens(file, text);
    let laid = Layout::new(text, &before).text();
    let again = parse::parse(file, &laid, &mut Report::default()).ok_or(Unlaid::Strange)?;
    let after = tokens(file, &laid);
    let is_same = tree.is_same(&again) && comments(text, &before).eq(comments(&laid, &after));
    if is_same { Ok(laid) } else { Err(Unlaid::Strange) }
}

fn comments<'t>(text: &'t str, tokens: &'t [Token]) -> impl Iterator<Item = &'t str> {
    tokens.iter().filter(|token| token.kind == Kind::Comment).map(|token| &text[token.start..token.end])
}

struct Layout<'t> {
    text: &'t str,
    tokens: &'t [Token],
    end_of_line: &'static str,
    out: String,
    /// The open lists and maps of the present line, outermost first.
    levels: Vec<Level>,
    /// Comments that stand by themselves, until it is known what follows them.
    waiting: Vec<Comment<'t>>,
    /// Whether a blank line comes before whatever is next.
    blank: bool,
    /// How many brackets and braces are open.
    depth: usize,
    /// How far the lines of what is open have moved.
    shift: isize,
    /// What announced the block that is next, until its first line comes.
    header: Option<&'t str>,
}

/// A list or map in lines of their own: the column it had, and the one it gets.
#[derive(Clone, Copy, PartialEq)]
struct Level {
    old: usize,
    new: usize,
    is_list: bool,
}

struct Comment<'t> {
    text: &'t str,
    column: usize,
    blank: bool,
}

// === impl Layout ===

impl<'t> Layout<'t> {
    fn new(text: &'t str, tokens: &'t [Token]) -> Layout<'t> {
        let first = text.find('\n').unwrap_or(0);
        let end_of_line = if text[..first].ends_with('\r') { "\r\n" } else { "\n" };
        Layout {
            text,
            tokens,
            end_of_line,
            out: String::with_capacity(text.len()),
            levels: Vec::new(),
            waiting: Vec::new(),
            blank: false,
            depth: 0,
            shift: 0,
            header: None,
        }
    }

    fn text(mut self) -> String {
        let (mut start, mut next) = (0, 0);
        let text = self.text;
        for raw in text.split_inclusive('\n') {
            let line = start..start + raw.len();
            start = line.end;
            let first = next;
            while self.tokens.get(next).is_some_and(|token| token.start < line.end) {
                next += 1;
            }
            // A token that began before goes on here.
            let open = first.checked_sub(1).map(|before| self.tokens[before]).filter(|before| before.end > line.start);
            self.line(&line, &self.tokens[first..next], open);
        }
        self.settle_comments(&[]);
        self.out
    }

    fn line(&mut self, line: &Range<usize>, tokens: &'t [Token], open: Option<Token>) {
        let raw = self.text[line.clone()].trim_end_matches(['\n', '\r']);
        if let Some(open) = open {
            let to_its_end = open.kind == Kind::Block || open.end > line.end;
            self.shifted(if to_its_end { raw } else { trimmed(raw) });
            self.count(tokens);
            return;
        }
        let Some(first) = tokens.first() else {
            if self.header.is_some() {
                // It belongs to the block.
                return self.push(0, "");
            }
            self.blank = !self.out.is_empty() || !self.waiting.is_empty();
            return;
        };
        if first.kind == Kind::Block {
            self.begin_block(first.start - line.start);
            return self.shifted(raw);
        }
        if self.depth > 0 {
            self.settle_blank();
            self.shifted(trimmed(raw));
            self.count(tokens);
            return;
        }
        let column = first.start - line.start;
        if first.kind == Kind::Comment {
            self.waiting.push(Comment { text: &self.text[first.start..first.end], column, blank: self.blank });
            self.blank = false;
            return;
        }
        let before = self.levels.clone();
        let new = self.enter(tokens, line.start);
        let blank = std::mem::take(&mut self.blank);
        self.settle_comments(&before);
        self.blank = blank;
        self.settle_blank();
        let joined = self.joined(tokens, line.end);
        self.push(new, &joined);
        self.count(tokens);
        self.header = tokens.iter().find(|token| token.kind == Kind::Header).map(|token| &self.text[token.start..token.end]);
    }

    /// A block stands one level below its key, unless a number says where it stands.
    fn begin_block(&mut self, old: usize) {
        let header = self.header.take().unwrap_or_default();
        if !header.contains(|c: char| c.is_ascii_digit()) {
            let new = self.levels.last().map_or(0, |level| level.new + STEP);
            self.shift = new.cast_signed() - old.cast_signed();
        }
    }

    /// Finds the levels that a line stands in, and the column it gets.
    fn enter(&mut self, tokens: &[Token], line_start: usize) -> usize {
        let mut column = None;
        for (at, token) in tokens.iter().enumerate() {
            let old = token.start - line_start;
            let is_list = token.kind == Kind::Dash;
            let is_entry = is_list || is_entry(&tokens[at..]);
            self.levels.retain(|level| level.old < old || (level.old == old && is_entry && (is_list || !level.is_list)));
            let inner = self.levels.last().map_or(0, |level| level.new + STEP);
            let level = match self.levels.last() {
                _ if !is_entry => Level { old, new: inner, is_list },
                Some(level) if level.old == old && level.is_list == is_list => *level,
                _ => {
                    let level = Level { old, new: inner, is_list };
                    self.levels.push(level);
                    level
                }
            };
            column = column.or(Some(level.new));
            self.shift = level.new.cast_signed() - level.old.cast_signed();
            if !is_list {
                break;
            }
        }
        column.unwrap_or(0)
    }

    /// The tokens of a line with as much space between them as belongs there.
    fn joined(&self, tokens: &[Token], line_end: usize) -> String {
        // What is open at the end of the line is left as it is.
        let mut open = Vec::new();
        for (at, token) in tokens.iter().enumerate() {
            match token.kind {
                Kind::OpenMap | Kind::OpenList => open.push(at),
                Kind::CloseMap | Kind::CloseList => drop(open.pop()),
                _ => {}
            }
        }
        let whole = open.first().copied().unwrap_or(tokens.len());
        let mut joined = String::new();
        for (at, token) in tokens.iter().enumerate() {
            if let Some(before) = at.checked_sub(1).map(|before| tokens[before]) {
                let gap = &self.text[before.end..token.start];
                joined.push_str(if at > whole || token.kind == Kind::Comment { gap } else { space(before.kind, token.kind) });
            }
            joined.push_str(&self.text[token.start..token.end.min(line_end)]);
        }
        joined.truncate(trimmed(&joined).len());
        joined
    }

    fn count(&mut self, tokens: &[Token]) {
        for token in tokens {
            match token.kind {
                Kind::OpenMap | Kind::OpenList => self.depth += 1,
                Kind::CloseMap | Kind::CloseList => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    /// Writes the comments that wait: each stands with what it stood with, before (`before`) or after it.
    fn settle_comments(&mut self, before: &[Level]) {
        let after = std::mem::take(&mut self.levels);
        let before = if before.is_empty() { &after } else { before };
        for comment in std::mem::take(&mut self.waiting) {
            let beside = |levels: &[Level]| levels.iter().rev().find(|level| level.old == comment.column).copied();
            let inside = || before.iter().chain(&after).filter(|level| level.old <= comment.column).max_by_key(|level| level.old).copied();
            let level = beside(&after).or_else(|| beside(before)).or_else(inside).or(after.first().copied());
            self.blank = comment.blank;
            self.settle_blank();
            self.push(level.map_or(0, |level| level.new), comment.text);
        }
        self.levels = after;
    }

    fn settle_blank(&mut self) {
        if std::mem::take(&mut self.blank) {
            self.out.push_str(self.end_of_line);
        }
    }

    /// A line of something that began above, moved as that was.
    fn shifted(&mut self, raw: &str) {
        match usize::try_from(self.shift) {
            Ok(more) => self.push(if raw.is_empty() { 0 } else { more }, raw),
            Err(_) => {
                let spaces = raw.len() - raw.trim_start_matches(' ').len();
                self.push(0, &raw[spaces.min(self.shift.unsigned_abs())..]);
            }
        }
    }

    fn push(&mut self, column: usize, text: &str) {
        self.out.extend(std::iter::repeat_n(' ', column));
        self.out.push_str(text);
        self.out.push_str(self.end_of_line);
    }
}

/// Without what is white space to YAML at its end; every other space is a part of a text.
fn trimmed(text: &str) -> &str {
    text.trim_end_matches([' ', '\t', '\r', '\n'])
}

/// Whether a key begins here: something with a colon behind it, outside of brackets.
fn is_entry(tokens: &[Token]) -> bool {
    let mut depth = 0_usize;
    for token in tokens {
        match token.kind {
            Kind::Question | Kind::Colon if depth == 0 => return true,
            Kind::OpenMap | Kind::OpenList => depth += 1,
            Kind::CloseMap | Kind::CloseList => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// What belongs between two tokens of one line.
fn space(before: Kind, after: Kind) -> &'static str {
    match (before, after) {
        (Kind::OpenMap, Kind::CloseMap) | (Kind::OpenList, _) | (_, Kind::CloseList | Kind::Comma) => "",
        // Without the space the colon would be part of the name.
        (Kind::Alias | Kind::Mark, Kind::Colon) => " ",
        (_, Kind::Colon) => "",
        _ => " ",
    }
}

#[cfg(test)]
mod tests;
