//! Patterns mean here what they mean to RE2, which is what protovalidate says: linear time, and classes such as `\d` are ASCII.
//!
//! Promises: a compiled pattern is bounded in size; one that would mean something else to RE2 is refused.

use regex::{Regex, RegexBuilder};
use regex_syntax::ast::parse::Parser;
use regex_syntax::ast::{self, AssertionKind, Ast, ClassPerlKind, ClassSetItem, Flag, FlagsItemKind, Visitor};

/// Most bytes of one compiled pattern, and of what it remembers while it runs.
const SIZE_MAX: usize = 1 << 20;

/// A pattern that is searched for anywhere in a text.
pub(super) fn compile(pattern: &str) -> Result<Regex, String> {
    let ast = Parser::new().parse(pattern).map_err(|error| format!("it is no pattern: {}", error.kind()))?;
    let mut edits = Vec::new();
    ast::visit(&ast, Translator { pattern, edits: &mut edits })?;
    edits.sort_by_key(|edit| edit.0);
    let mut translated = String::new();
    let mut copied = 0;
    for (start, end, text) in edits {
        translated.push_str(&pattern[copied..start]);
        translated.push_str(text);
        copied = end;
    }
    translated.push_str(&pattern[copied..]);
    RegexBuilder::new(&translated).size_limit(SIZE_MAX).dfa_size_limit(SIZE_MAX).build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "it is too large when it is compiled".to_owned(),
        other => format!("it is no pattern: {other}"),
    })
}

/// Finds what must be written differently, as start, end and text, and what cannot be.
struct Translator<'p, 'e> {
    pattern: &'p str,
    edits: &'e mut Vec<(usize, usize, &'static str)>,
}

// === impl Translator ===

impl Translator<'_, '_> {
    fn edit(&mut self, span: &ast::Span, text: &'static str) {
        self.edits.push((span.start.offset, span.end.offset, text));
    }

    fn perl(&mut self, class: &ast::ClassPerl, bracketed: bool) {
        let text = match (&class.kind, class.negated, bracketed) {
            (ClassPerlKind::Digit, false, false) => "[0-9]",
            (ClassPerlKind::Digit, true, _) => "[^0-9]",
            (ClassPerlKind::Digit, false, true) => "0-9",
            (ClassPerlKind::Word, false, false) => "[0-9A-Za-z_]",
            (ClassPerlKind::Word, true, _) => "[^0-9A-Za-z_]",
            (ClassPerlKind::Word, false, true) => "0-9A-Za-z_",
            (ClassPerlKind::Space, false, false) => "[\\t\\n\\f\\r ]",
            (ClassPerlKind::Space, true, _) => "[^\\t\\n\\f\\r ]",
            (ClassPerlKind::Space, false, true) => "\\t\\n\\f\\r ",
        };
        self.edit(&class.span, text);
    }
}

impl Visitor for Translator<'_, '_> {
    type Output = ();
    type Err = String;

    fn finish(self) -> Result<(), String> {
        Ok(())
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), String> {
        let refused = |what: &str| Err(format!("{what} is not what it is to RE2"));
        match ast {
            Ast::ClassPerl(class) => self.perl(class, false),
            Ast::Assertion(assertion) => match assertion.kind {
                AssertionKind::WordBoundary => self.edit(&assertion.span, "(?-u:\\b)"),
                AssertionKind::NotWordBoundary => return refused("`\\B`"),
                AssertionKind::StartLine | AssertionKind::EndLine | AssertionKind::StartText | AssertionKind::EndText => {}
                _ => return refused("a boundary"),
            },
            Ast::Flags(set) => return flags(&set.flags),
            Ast::Group(group) => {
                if let Some(set) = group.flags() {
                    return flags(set);
                }
            }
            Ast::Repetition(repetition) if self.pattern[repetition.op.span.start.offset..].starts_with("{,") => {
                return refused("a repetition without a lower bound");
            }
            _ => {}
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), String> {
        match item {
            ClassSetItem::Perl(class) => self.perl(class, true),
            ClassSetItem::Bracketed(_) => return Err("a class in a class is not what it is to RE2".to_owned()),
            _ => {}
        }
        Ok(())
    }

    fn visit_class_set_binary_op_pre(&mut self, _: &ast::ClassSetBinaryOp) -> Result<(), String> {
        Err("an operator in a class is not what it is to RE2".to_owned())
    }
}

fn flags(flags: &ast::Flags) -> Result<(), String> {
    let foreign = |item: &ast::FlagsItem| matches!(item.kind, FlagsItemKind::Flag(Flag::Unicode | Flag::CRLF | Flag::IgnoreWhitespace));
    if flags.items.iter().any(foreign) { Err("a flag in it is none of RE2's".to_owned()) } else { Ok(()) }
}
