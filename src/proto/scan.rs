//! Finds out what a .proto text declares, without compiling it.
//!
//! It knows comments, strings and brackets, and of statements how they begin. Promises: for a text that protox accepts, what is found is
//! what protox finds; any other bytes end as well, in one pass, and are called doubtful where they make no sense.

use std::io::BufRead as _;

use super::declared::{DEPTH_MAX, Declared, DeclaredMethod, DeclaredService, Draft, join};
use super::method::Kind;

/// Tokens of one statement that are looked at. What declares something is told by its first ones; a full name has two for each part.
const STATEMENT_MAX: usize = 256;

#[derive(Clone, Copy, PartialEq)]
enum Token<'t> {
    /// A name, a part of one, or a number.
    Word(&'t str),
    /// What stands between quotes, as it is written.
    Text(&'t [u8]),
    Sign(u8),
}

/// The tokens of a text. What is between `/*` or a quote and an end that never comes is no token.
struct Tokens<'t> {
    rest: &'t [u8],
    broken: bool,
}

/// What a brace opened.
#[derive(Clone, Copy, PartialEq)]
enum Room {
    Message,
    /// Fields, of this message or of one that is extended.
    Fields,
    Service,
}

struct Scanner<'t> {
    tokens: Tokens<'t>,
    draft: Draft,
    /// The rooms around, and how long the scope is outside of each.
    around: Vec<(Room, usize)>,
    /// The message that we are in, without the package.
    scope: String,
    statement: Vec<Token<'t>>,
}

/// What the text declares.
pub(super) fn scan(text: &[u8]) -> Declared {
    let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
    let tokens = Tokens { rest: text, broken: false };
    let mut scanner = Scanner { tokens, draft: Draft::default(), around: Vec::new(), scope: String::new(), statement: Vec::new() };
    scanner.file();
    scanner.draft.declared.doubtful |= scanner.tokens.broken;
    scanner.draft.complete()
}

// === impl Tokens ===

impl<'t> Iterator for Tokens<'t> {
    type Item = Token<'t>;

    fn next(&mut self) -> Option<Token<'t>> {
        loop {
            let byte = *self.rest.first()?;
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => _ = self.take(1),
                b'#' => self.line(),
                b'/' if self.rest.get(1) == Some(&b'/') => self.line(),
                b'/' if self.rest.get(1) == Some(&b'*') => {
                    let end = self.rest[2..].windows(2).position(|pair| pair == b"*/");
                    self.broken |= end.is_none();
                    self.take(end.map_or(self.rest.len(), |end| end + 4));
                }
                b'"' | b'\'' => {
                    if let Some(text) = self.text(byte) {
                        return Some(Token::Text(text));
                    }
                }
                byte if is_of_word(byte) => {
                    let len = self.rest.iter().position(|byte| !is_of_word(*byte)).unwrap_or(self.rest.len());
                    return Some(Token::Word(std::str::from_utf8(self.take(len)).expect("words are ASCII")));
                }
                byte => {
                    self.take(1);
                    return Some(Token::Sign(byte));
                }
            }
        }
    }
}

impl<'t> Tokens<'t> {
    fn take(&mut self, len: usize) -> &'t [u8] {
        let (taken, rest) = self.rest.split_at(len);
        self.rest = rest;
        taken
    }

    /// Most of a text is comments, so that they are passed by as fast as the library can.
    fn line(&mut self) {
        self.rest.skip_until(b'\n').expect("what is in memory can be read");
    }

    /// A string ends on its line, or is none.
    fn text(&mut self, quote: u8) -> Option<&'t [u8]> {
        let mut at = 1;
        loop {
            match self.rest.get(at) {
                Some(b'\\') if at + 1 < self.rest.len() => at += 2,
                Some(byte) if *byte == quote => {
                    let whole = self.take(at + 1);
                    return Some(&whole[1..at]);
                }
                None | Some(b'\n' | b'\\') => {
                    self.broken = true;
                    self.take(at);
                    return None;
                }
                Some(_) => at += 1,
            }
        }
    }
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

// === impl Scanner ===

impl<'t> Scanner<'t> {
    fn file(&mut self) {
        while let Some(token) = self.tokens.next() {
            match token {
                Token::Sign(b';') => self.ended(),
                Token::Sign(b'{') => self.opened(),
                Token::Sign(b'}') => {
                    self.draft.declared.doubtful |= !self.statement.is_empty();
                    match self.around.pop() {
                        Some((_, scope)) => self.scope.truncate(scope),
                        None => self.draft.declared.doubtful = true,
                    }
                }
                Token::Sign(b'[') => {
                    self.skip(*b"[]");
                    continue;
                }
                token => {
                    if self.statement.len() < STATEMENT_MAX {
                        self.statement.push(token);
                    }
                    continue;
                }
            }
            self.statement.clear();
        }
        self.draft.declared.doubtful |= !self.statement.is_empty() || !self.around.is_empty();
    }

    /// Passes by what the bracket that was just read holds, and by the one that ends it. In braces other brackets do not count: a value may
    /// have one too many.
    fn skip(&mut self, [opens, ends]: [u8; 2]) {
        let (mut open, mut braces) = (1usize, 0usize);
        for token in self.tokens.by_ref() {
            match token {
                Token::Sign(sign) if sign == opens && braces == 0 => open += 1,
                Token::Sign(sign) if sign == ends && braces == 0 => open -= 1,
                Token::Sign(b'{') => braces += 1,
                Token::Sign(b'}') => braces = braces.saturating_sub(1),
                _ => {}
            }
            if open == 0 {
                return;
            }
        }
        self.draft.declared.doubtful = true;
    }

    fn room(&self) -> Option<Room> {
        self.around.last().map(|(room, _)| *room)
    }

    /// The statement ends with a semicolon.
    fn ended(&mut self) {
        use Token::{Text, Word};
        match (self.room(), self.statement.as_slice()) {
            (_, []) | (None, [Word("syntax" | "edition" | "option"), ..]) => {}
            (None, [Word("package"), name @ ..]) => self.draft.package = written(name),
            (None, [Word("import"), Word("public" | "weak" | "option"), name @ ..] | [Word("import"), name @ ..]) => {
                let parts: Vec<&[u8]> = name.iter().filter_map(|part| if let Text(part) = part { Some(*part) } else { None }).collect();
                self.draft.declared.doubtful |= parts.is_empty();
                self.draft.declared.imports.push(String::from_utf8_lossy(&parts.concat()).into());
            }
            (None, _) => self.draft.declared.doubtful = true,
            (Some(Room::Service), [Word("rpc"), ..]) => self.method(),
            (Some(_), _) => {}
        }
    }

    /// The statement goes on with a brace.
    fn opened(&mut self) {
        use Token::{Sign, Word};
        let statement = match self.statement.as_slice() {
            [Word("export" | "local"), declaration @ ..] if matches!(declaration, [Word("message" | "enum"), ..]) => declaration,
            statement => statement,
        };
        let outside = self.scope.len();
        match (self.room(), statement) {
            (None | Some(Room::Message), [Word("message"), Word(name)]) => return self.enter_message(name),
            (None, [Word("enum"), Word(name)]) => self.draft.declared.enums.push((*name).into()),
            (None | Some(Room::Message), [Word("extend"), name @ ..]) => {
                self.draft.extends(&self.scope, &written(name));
                return self.enter(Room::Fields, outside);
            }
            (Some(Room::Message), [Word("oneof"), ..]) => return self.enter(Room::Fields, outside),
            (None, [Word("service"), Word(name)]) => {
                self.draft.declared.services.push(DeclaredService { name: (*name).into(), methods: Vec::new() });
                return self.enter(Room::Service, outside);
            }
            (Some(Room::Message | Room::Fields), [Word("group"), Word(name), Sign(b'='), ..])
            | (Some(Room::Message | Room::Fields), [Word(_), Word("group"), Word(name), Sign(b'='), ..]) => {
                return self.enter_message(name);
            }
            (Some(Room::Service), [Word("rpc"), ..]) => self.method(),
            (Some(Room::Message), [Word("enum"), ..]) | (_, [Word("option"), ..]) => {}
            _ => self.draft.declared.doubtful = true,
        }
        self.skip(*b"{}");
    }

    fn enter_message(&mut self, name: &str) {
        let outside = self.scope.len();
        self.scope = join(&self.scope, name);
        self.draft.declared.messages.push(self.scope.as_str().into());
        self.enter(Room::Message, outside);
    }

    fn enter(&mut self, room: Room, outside: usize) {
        if self.around.len() < DEPTH_MAX {
            return self.around.push((room, outside));
        }
        self.draft.declared.doubtful = true;
        self.scope.truncate(outside);
        self.skip(*b"{}");
    }

    /// `rpc Name (stream A) returns (stream B)`.
    fn method(&mut self) {
        use Token::{Sign, Word};
        let [_, Word(name), Sign(b'('), rest @ ..] = self.statement.as_slice() else {
            self.draft.declared.doubtful = true;
            return;
        };
        let is_stream = |types: &[Token<'_>]| types.first() == Some(&Word("stream"));
        let answers = rest.iter().position(|token| *token == Word("returns")).and_then(|at| rest.get(at + 2..)).unwrap_or_default();
        let kind = Kind::of_streams(is_stream(rest), is_stream(answers));
        if let Some(service) = self.draft.declared.services.last_mut() {
            service.methods.push(DeclaredMethod { name: (*name).into(), kind });
        }
    }
}

/// A name as it stands there, dots and all.
fn written(tokens: &[Token<'_>]) -> String {
    let mut name = String::new();
    for token in tokens {
        match token {
            Token::Word(word) => name.push_str(word),
            Token::Sign(b'.') => name.push('.'),
            _ => break,
        }
    }
    name
}
