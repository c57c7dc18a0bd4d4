//! What looks like a secret is taken out of a text, whoever put it there.
//!
//! Found are tokens (JWTs, or whatever follows `Bearer` or `Basic`), our own API keys, and names and passwords in URLs (`//user:password@host`); of what
//! was hidden already the length is. It is the last of several nets: what is known to be secret is hidden by what it is (`proto/redact`).
//! Promises: the time is linear in the text, what is left is text of no greater length, and JSON remains JSON.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

/// What stands for a secret, and behind a text that was cut.
const MASK: &str = "***";
const CUT: &str = "…";

/// Whatever has the shape of a secret; what stands before it tells the reader what it was, and stays. None of them can hold a quotation
/// mark or a backslash, so that in JSON a string ends where it did.
static SECRETS: LazyLock<Regex> = LazyLock::new(|| {
    let shapes = [
        // A scheme or a subprotocol, and what is shown by it.
        r"(?<bearer>[Bb](?:[Ee][Aa][Rr][Ee][Rr]|[Aa][Ss][Ii][Cc])(?:[ .:=]+|%20))[A-Za-z0-9_.~+/=-]{8,}",
        // JSON in base64url: the head of a JWT, or its claims.
        r"(?<jwt>eyJ)[A-Za-z0-9_-]{14,}[A-Za-z0-9_.-]*",
        r"(?<key>pgk_)[A-Za-z0-9_-]{8,}",
        r#"(?<url>://)[^/\s"'\\]+@"#,
        // What was hidden before, as long as it was.
        r"(?<hidden>\*{3})\*+",
        // The same in base64, where it was bytes.
        r"(?<bytes>Kioq)(?:Kioq)+(?:Kg==|Kio=)?",
    ];
    Regex::new(&shapes.join("|")).expect("it is constant, and the tests compile it")
});

/// The text without what looks like a secret.
pub fn masked(text: &str) -> Cow<'_, str> {
    SECRETS.replace_all(text, |found: &Captures<'_>| {
        let kind =
            ["bearer", "jwt", "key", "url", "hidden", "bytes"].iter().find_map(|kind| found.name(kind)).map_or("", |kind| kind.as_str());
        match kind {
            "://" => "://*@".to_owned(),
            MASK | "Kioq" => MASK.to_owned(),
            _ => format!("{kind}{MASK}"),
        }
    })
}

/// What serde says of a value of the wrong type, without the value: it may be a password that somebody wrote in the wrong place, and what
/// we say of it is shown and logged.
pub fn without_value(what: &str) -> String {
    let begins = ["invalid type: ", "invalid value: "].into_iter().find(|begin| what.starts_with(begin));
    let parts = begins.and_then(|begin| Some((begin, what[begin.len()..].rsplit_once(", expected ")?)));
    let Some((begin, (found, expected))) = parts else { return what.to_owned() };
    let kind = found.split(['`', '"']).next().unwrap_or_default().trim_end();
    // Whoever writes JSON calls them otherwise than serde.
    let kind = if kind == "sequence" { "list" } else { kind };
    format!("{begin}{kind}, expected {}", expected.replacen("a map", "an object", 1))
}

/// At most so many bytes of a text, and a mark where something is missing.
pub fn cut(text: &str, bytes_max: usize) -> Cow<'_, str> {
    if text.len() <= bytes_max {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{}{CUT}", &text[..text.floor_char_boundary(bytes_max.saturating_sub(CUT.len()))]))
}

/// Both: what is kept or shown of a text that came from elsewhere.
pub fn shown(text: &str, bytes_max: usize) -> String {
    // Of a token that is cut off here only what is behind the bound is left, unless a lot was masked before it; then it is a part of one.
    let text = &text[..text.floor_char_boundary(4 * bytes_max)];
    cut(&masked(text), bytes_max).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    const JWT: &str = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl-_";

    #[test]
    fn what_looks_like_a_secret_is_masked_and_what_does_not_is_left() {
        for (text, left) in [
            (JWT.to_owned(), "eyJ***"),
            (format!("the token {JWT} is not valid"), "the token eyJ*** is not valid"),
            (JWT.split('.').nth(1).unwrap().to_owned(), "eyJ***"),
            ("authorization: Bearer s3cr3t-as-can-be, x".to_owned(), "authorization: Bearer ***, x"),
            (format!("BEARER {JWT}"), "BEARER ***"),
            ("protogate.bearer.cGdrX2Np0a".to_owned(), "protogate.bearer.***"),
            ("?auth=bearer%20abcdefgh1".to_owned(), "?auth=bearer%20***"),
            (format!("pgk_ci_{}", "x".repeat(43)), "pgk_***"),
            ("a password of ******** letters".to_owned(), "a password of *** letters"),
            ("redis://:p4ss@cache:6379/0 and smtp://a:b@mail".to_owned(), "redis://*@cache:6379/0 and smtp://*@mail"),
        ] {
            assert_eq!(masked(&text), left, "{text}");
        }
        for harmless in [
            "send `Authorization: Bearer TOKEN` with the token",
            "http://127.0.0.1:50051/a@b",
            "a bearer of bad news",
            "eyJust a word",
            "key pgk_ci",
            "eyJhbGciOi",
        ] {
            assert!(matches!(masked(harmless), Cow::Borrowed(_)), "{harmless}: {}", masked(harmless));
        }
    }

    #[test]
    fn a_text_is_cut_between_characters_and_says_so() {
        assert_eq!(
            (&*cut("four", 4), &*cut("fives", 4), &*cut("ééé", 6), &*cut("éééé", 6), &*cut("abc", 1)),
            ("four", "f…", "ééé", "é…", "…")
        );
        let long = format!("{}{JWT}", "x".repeat(30));
        let shown = shown(&long, 40);
        assert!(shown.len() <= 40 && !shown.contains("eyJh"), "{shown}");
    }

    proptest! {
        #[test]
        fn json_remains_json_and_nothing_grows(text in any::<String>(), tail in "[A-Za-z0-9_.\"\\\\@/: -]{0,30}") {
            let texts = [text.clone(), format!("{text}Bearer {tail}"), format!("eyJ{tail}"), format!("pgk_{tail}://{tail}")];
            let json = serde_json::to_string(&texts).unwrap();
            let masked = masked(&json);
            prop_assert!(masked.len() <= json.len());
            let read: Vec<Value> = serde_json::from_str(&masked).expect("it is JSON");
            prop_assert_eq!(read.len(), texts.len());
        }
    }
}
