//! What has the shape of a secret, wherever it stands: keys, tokens, passwords in URLs, long words that nobody would write.
//!
//! Promise: names, paths, and hashes that say so (`sha256:…`) have none of these shapes.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

/// The fewest characters of one word that are too many to be chance.
const LONG_MIN: usize = 32;

/// A group is the secret; what is before it tells of which kind it is. One without a group is no secret and looks like one.
static SHAPES: LazyLock<Regex> = LazyLock::new(|| {
    let shapes = [
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?<pem>[^-`]{6,})",
        r"[Bb](?:earer|asic)[ \t]+(?<bearer>[A-Za-z0-9_.~+/=-]{8,})",
        r"eyJ(?<jwt>[A-Za-z0-9_-]{14,}[A-Za-z0-9_.-]*)",
        r"pgk_(?<key>[A-Za-z0-9_-]{8,})",
        r#"://(?<url>[^/\s"'\\@]+)@"#,
        r"sha256:[0-9a-f]+",
        r"(?<long>[A-Za-z0-9+/_=-]{32,})",
    ];
    Regex::new(&shapes.join("|")).expect("it is constant, and the tests compile it")
});

/// Parts that look like secrets by themselves.
pub fn places(text: &str) -> Vec<Range<usize>> {
    let secret = |found: regex::Captures<'_>| {
        let named = ["pem", "bearer", "jwt", "key", "url"].iter().find_map(|name| found.name(name));
        let part = named.or_else(|| found.name("long").filter(|long| is_random(long.as_str())))?;
        Some(part.range())
    };
    SHAPES.captures_iter(text).filter_map(secret).collect()
}

/// Whether a long word was drawn rather than written: digits among letters, and the case changing as it never does in names.
fn is_random(word: &str) -> bool {
    let kind = |byte: u8| (byte.is_ascii_digit(), byte.is_ascii_uppercase());
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let is_hexadecimal = word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let changes = word.bytes().zip(word.bytes().skip(1)).filter(|(one, next)| kind(*one) != kind(*next)).count();
    word.len() >= LONG_MIN && digits >= 2 && (is_hexadecimal || changes * 5 >= word.len() * 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_the_shape_of_a_secret_is_found_wherever_it_stands() {
        for secret in [
            "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl",
            "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=",
            "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "pgk_ci_0123456789",
            "Bearer 0123456789",
            "-----BEGIN PRIVATE KEY-----\nMC4CAQ+\n-----END PRIVATE KEY-----",
            "redis://:hunter2@cache:6379",
        ] {
            assert_eq!(places(&format!("address: {secret}\n")).len(), 1, "{secret}");
        }
    }

    #[test]
    fn names_and_hashes_have_no_such_shape() {
        for text in [
            "rpc: protogate.auth.v1.AuthService/ForgotPasswordOfSomebodyElseEntirely2",
            "hash: sha256:6ca13d52ca70c883e0f0bb101e425a89e8624de51db2d2392593af6a84118090",
            "a_very_long_name_of_something_that_is_long_enough_2_be_a_key: 1",
            "/usr/local/share/protogate/routes/of/somebody/2024/routes.yaml",
        ] {
            assert!(places(text).is_empty(), "{text}");
        }
    }
}
