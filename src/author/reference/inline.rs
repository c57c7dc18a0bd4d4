//! Words with code in them: between backquotes, as comments and our own sentences have it.

/// A part of a line.
#[derive(PartialEq, Debug)]
pub enum Piece<'t> {
    Words(&'t str),
    Code(&'t str),
}

/// Cuts a line at its backquotes. Where they do not pair, they are words.
pub fn pieces(line: &str) -> Vec<Piece<'_>> {
    let parts: Vec<&str> = line.split('`').collect();
    let pairs = parts.len() % 2 == 1;
    let is_code = |at: usize| at % 2 == 1;
    // Code is something, and has no space at its ends, so that every reader of Markdown agrees on where it is.
    let sound = parts.iter().enumerate().all(|(at, part)| !is_code(at) || (!part.is_empty() && part.trim() == *part));
    if !pairs || !sound {
        return vec![Piece::Words(line)];
    }
    let pieces = parts.into_iter().enumerate().map(|(at, part)| if is_code(at) { Piece::Code(part) } else { Piece::Words(part) });
    pieces.filter(|piece| *piece != Piece::Words("")).collect()
}

/// A name or a text between backquotes, whatever is in it.
pub fn code(text: &str) -> String {
    let text = crate::author::saying::line(text).replace('`', "'");
    if text.is_empty() { "\"\"".to_owned() } else { format!("`{text}`") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_stands_between_backquotes() {
        assert_eq!(pieces("a `b` c"), [Piece::Words("a "), Piece::Code("b"), Piece::Words(" c")]);
        assert_eq!(pieces("`b`"), [Piece::Code("b")]);
        for odd in ["a ` c", "`` x", "` b `"] {
            assert_eq!(pieces(odd), [Piece::Words(odd)]);
        }
        assert_eq!(code("a`b\n c"), "`a'b c`");
    }
}
