//! Markdown for a terminal: the pages of diagnostics, as they are meant to be read without a browser.
//!
//! It knows what those pages use: a title, paragraphs, and fenced examples that say whether they are wrong or right.

/// How wide a line of prose is.
const WIDTH: usize = 96;

/// The text without its marks: paragraphs are broken into lines, examples are set in.
pub fn plain(markdown: &str) -> String {
    let (mut shown, mut paragraph, mut is_example) = (String::new(), String::new(), false);
    for line in markdown.lines() {
        if let Some(fence) = line.strip_prefix("```") {
            flow(&std::mem::take(&mut paragraph), &mut shown);
            is_example = !is_example;
            if let Some(word) = fence.split(' ').nth(1) {
                shown.push_str(&format!("{word}:\n\n"));
            }
        } else if is_example {
            shown.push_str(format!("    {line}").trim_end());
            shown.push('\n');
        } else if line.is_empty() {
            flow(&std::mem::take(&mut paragraph), &mut shown);
            shown.push('\n');
        } else {
            paragraph.push_str(line.strip_prefix("# ").unwrap_or(line));
            paragraph.push(' ');
        }
    }
    flow(&paragraph, &mut shown);
    shown
}

/// One paragraph in lines of at most [`WIDTH`] characters, longer only where a word is.
fn flow(paragraph: &str, shown: &mut String) {
    let mut column = 0;
    for word in paragraph.split_whitespace() {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > WIDTH {
            shown.push('\n');
            column = 0;
        }
        if column > 0 {
            shown.push(' ');
            column += 1;
        }
        shown.push_str(word);
        column += length;
    }
    if column > 0 {
        shown.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_shown_without_its_marks() {
        let shown = plain("# PG001: Title\n\nWhat it is.\n\n```yaml wrong\na:\n\n  b: 1\n```\n\nMend it.\n");
        assert_eq!(shown, "PG001: Title\n\nWhat it is.\n\nwrong:\n\n    a:\n\n      b: 1\n\nMend it.\n");
        let long = plain(&"word ".repeat(40));
        assert_eq!(long.lines().count(), 3);
        assert!(long.lines().all(|line| line.len() <= WIDTH));
    }
}
