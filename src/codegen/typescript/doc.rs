//! Comments of .proto files as comments of TypeScript.
//!
//! Promises: no comment ends before its end, whatever is written in it; nothing in it is a tag of TSDoc that we did not write.

use std::fmt::Write as _;

use crate::telemetry::line::is_harmless;

/// A comment: what a file says, what we say, and whether it is to be used no more. Empty where there is nothing to say.
pub fn doc(indent: &str, said: Option<&str>, ours: &str, deprecated: bool) -> String {
    let said = said.map(harmless).unwrap_or_default();
    let deprecated = if deprecated { "@deprecated" } else { "" };
    let parts: Vec<&str> = [said.as_str(), ours, deprecated].into_iter().filter(|part| !part.is_empty()).collect();
    if parts.is_empty() {
        return String::new();
    }
    let mut out = format!("{indent}/**\n");
    for line in parts.join("\n\n").lines() {
        let line = format!("{indent} * {line}");
        writeln!(out, "{}", line.trim_end()).expect("a text takes what is written to it");
    }
    out + indent + " */\n"
}

/// What somebody else wrote, without what means something in a comment: its end, a tag, a link, and characters that
/// end a line or are shown elsewhere than where they stand.
fn harmless(said: &str) -> String {
    let mut out = String::with_capacity(said.len());
    for c in said.trim().chars() {
        match c {
            '/' if out.ends_with('*') => out.push_str("\\/"),
            '@' | '{' | '}' => {
                out.push('\\');
                out.push(c);
            }
            '\n' => out.push('\n'),
            c if is_harmless(c) => out.push(c),
            _ => out.push(' '),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_ends_where_we_end_it() {
        let out = doc("  ", Some("a */ b\r\n`c` @deprecated {@link x} \u{2028}d \u{202e}*/*/"), "Route 7.", true);
        assert_eq!(out.matches("*/").count(), 1, "{out}");
        assert!(out.ends_with("   */\n") && out.contains("   * Route 7.\n   *\n   * @deprecated\n"), "{out}");
        assert!(!out.contains(" @deprecated \\{") && !out.contains('\r') && !out.contains(['\u{2028}', '\u{202e}']), "{out}");
        assert_eq!(doc("", None, "", false), "");
        assert_eq!(doc("", Some("*"), "", false), "/**\n * *\n */\n");
    }
}
