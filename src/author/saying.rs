//! What somebody else wrote, a comment of a .proto file above all, made harmless for the text that it becomes part of.
//!
//! Promise: whatever it says, it is words in what it becomes part of, never structure.

use crate::telemetry::line::is_harmless;

/// Lines without what is not seen, without empty ones, and without spaces around them.
pub fn lines(text: &str) -> Vec<String> {
    let visible = |line: &str| line.chars().map(|c| if is_visible(c) { c } else { ' ' }).collect::<String>();
    let lines = text.lines().map(|line| visible(line).split_whitespace().collect::<Vec<_>>().join(" "));
    lines.filter(|line| !line.is_empty()).collect()
}

/// The same as paragraphs: a line that ends a sentence ends one, and so does an empty line.
pub fn paragraphs(text: &str) -> Vec<String> {
    let mut paragraphs: Vec<String> = Vec::new();
    for block in text.replace("\r\n", "\n").split("\n\n") {
        let mut open = false;
        for line in lines(block) {
            let ends = line.ends_with(['.', ':', '!', '?']);
            match paragraphs.last_mut().filter(|_| open) {
                Some(last) => *last = format!("{last} {line}"),
                None => paragraphs.push(line),
            }
            open = !ends;
        }
    }
    paragraphs
}

/// The same in one line.
pub fn line(text: &str) -> String {
    lines(text).join(" ")
}

/// A character that every reader of text shows, YAML among them.
fn is_visible(c: char) -> bool {
    is_harmless(c) && !matches!(c, '\u{fffe}' | '\u{ffff}')
}

/// At most so many characters, with `…` in the place of what is cut off.
pub fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text[..end].trim_end()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_is_left_out() {
        let told = "  one\u{1b}[31m two \r\n\n\u{2028}\u{202e}three\u{85}four\u{feff}\n\t\n";
        assert_eq!(lines(told), ["one [31m two", "three four"]);
        assert_eq!(line(told), "one [31m two three four");
    }

    #[test]
    fn what_is_long_is_cut_at_a_character() {
        assert_eq!(shortened("äöü", 3), "äöü");
        assert_eq!(shortened("äöüß", 3), "äöü…");
    }
}
