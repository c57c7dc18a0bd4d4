//! What looks like a secret in a file, whatever is wrong around it: it is hidden before anybody is shown a line of the file.
//!
//! What is known to be a secret is hidden by whoever knows it; this is for files in which nobody can know: the key is misspelt, or stands
//! twice, or the text is no YAML. It is found by the name of its key, or by its own shape. Promises: a place in a text stays where it is,
//! only values are hidden, and the time is linear in the text. Too much may be hidden, which a reader sees.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

/// Last words of keys under which secrets stand, and how many letters may be wrong.
const WORDS: &[(&str, usize)] = &[
    ("token", 1),
    ("password", 2),
    ("passphrase", 2),
    ("passwd", 1),
    ("passwrd", 1),
    ("secret", 1),
    ("credential", 2),
    ("credentials", 2),
    ("authorization", 2),
    ("headers", 1),
    ("pass", 0),
    ("pwd", 0),
    ("apikey", 0),
];

/// What `key` is the end of when it is a secret and no file.
const KEYS: [&str; 5] = ["api", "private", "secret", "access", "shared"];

/// What stands under such a key and is none: what a variable is made of, fields of messages, and words.
const HARMLESS_KEYS: [&str; 2] = ["env", "type"];
const HARMLESS_HEADS: [&str; 6] = ["request.", "response.", "session.", "peer.", "message.", "claims."];
const HARMLESS_WORDS: [&str; 9] = ["", "true", "false", "yes", "no", "on", "off", "null", "~"];

/// The fewest characters of one word that are too many to be chance.
const LONG_MIN: usize = 32;

/// How far it is looked around a key, for what its line or its variable says: a file may be one line.
const AROUND: usize = 512;

/// A key, and where its value begins; at the start of a line also without its colon.
static KEY: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r#"(?m)(?:^|[\s{,\[(])["']?([A-Za-z_][A-Za-z0-9_.-]*)["']?(?:[ \t]*[:=]|[ \t]*$)|(?:^[ \t]*(?:- )?|[{,][ \t]*)([A-Za-z_][A-Za-z0-9_-]*)[ \t]+"#,
    )
    .expect("it is constant, and the tests compile it")
});

/// Whatever has the shape of a secret, or what stands before it and the secret behind.
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

/// The same in what is said: in backquotes, or as a part of a path.
static NAMED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[.`]([A-Za-z_][A-Za-z0-9_-]*)[:= ]+([^`]+)").expect("it is constant, and the tests compile it"));

/// Every part of a file that may be a secret.
pub fn places(text: &str) -> Vec<Range<usize>> {
    let mut found = shapes(text);
    // Up to here everything was looked at.
    let (mut done, mut line_end) = (0, 0);
    for key in KEY.captures_iter(text) {
        let (whole, with_colon) = (key.get(0).expect("the match itself"), key.get(1));
        let Some(name) = with_colon.or(key.get(2)).filter(|name| name.start() >= done) else { continue };
        let near = text.floor_char_boundary(name.start().saturating_sub(AROUND));
        let line = text[near..name.start()].rfind('\n').map_or(near, |newline| near + newline + 1);
        // In prose, words stand without colons.
        if with_colon.is_none() && text[line..name.start()].contains('#') {
            continue;
        }
        let is_default = name.as_str() == "default" && is_of_a_secret(text, line);
        if is_default || is_secret(name.as_str()) {
            if line_end <= whole.end() {
                line_end = text[whole.end()..].find('\n').map_or(text.len(), |newline| whole.end() + newline);
            }
            done = hide(text, line, whole.end()..line_end, &mut found);
        }
    }
    found
}

/// A message without what looks like a secret by itself.
pub fn without(text: &str) -> Cow<'_, str> {
    let found = shapes(text);
    if found.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(masked(text, &found)) }
}

/// A message or a path without what stands behind the name of a secret's key: a key and its value without `: ` between them are one key.
pub fn without_named(text: &str) -> Cow<'_, str> {
    let secret = |found: regex::Captures<'_>| found.get(2).filter(|_| is_secret(&found[1])).map(|value| value.range());
    let found: Vec<_> = NAMED.captures_iter(text).filter_map(secret).collect();
    if found.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(masked(text, &found)) }
}

/// The text with these parts hidden, as long as it was.
pub fn masked(text: &str, parts: &[Range<usize>]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for part in parts {
        // What a text is made of stays, so that a reader sees what it is.
        let shown = |byte: &u8| byte.is_ascii_whitespace() || b"{}[],:=\"'".contains(byte);
        bytes[part.clone()].iter_mut().filter(|byte| !shown(byte)).for_each(|byte| *byte = b'*');
    }
    String::from_utf8(bytes).expect("whole characters were hidden")
}

/// Whether this is how the key of a secret is written, or nearly.
fn is_secret(key: &str) -> bool {
    let key = key.to_lowercase().replace('-', "_");
    let mut words = key.split(['.', '_']).rev();
    let (Some(last), before) = (words.next(), words.next()) else { return false };
    let near = |(word, far): &(&str, usize)| last.len().abs_diff(word.len()) <= *far && strsim::damerau_levenshtein(last, word) <= *far;
    WORDS.iter().any(|(word, _)| last == *word)
        || WORDS.iter().any(near)
        || last == "key" && before.is_some_and(|before| KEYS.contains(&before))
}

/// Whether a variable that is declared around this line says, more or less, that it is secret.
fn is_of_a_secret(text: &str, line: usize) -> bool {
    let far = text.floor_char_boundary((line + AROUND).min(text.len()));
    let own = text[line..far].lines().next().unwrap_or_default();
    let near = text.floor_char_boundary(line.saturating_sub(AROUND));
    let around = if own.contains('{') { own } else { &text[near..far] }.to_lowercase();
    ["secr", "scret", "secet", "sercet", "token", "passw"].iter().any(|word| around.contains(word))
}

/// Hides what stands under a key of the line: on the line, and on those below that are further in. The end of it is returned.
fn hide(text: &str, line: usize, rest: Range<usize>, found: &mut Vec<Range<usize>>) -> usize {
    let (start, line_end) = (rest.start.min(rest.end), rest.end);
    let start = line_end - text[start..line_end].trim_start_matches([' ', '\t']).len();
    let rest = &text[start..line_end];
    let end = start + on_the_line(rest, is_open(&text[line..start]));
    push(text, start..end, found);
    if is_open(&text[line..start]) || end < line_end && rest.starts_with(['"', '\'']) {
        return end;
    }
    let column = |line: &str| line.len() - line.trim_start_matches([' ', '-']).len();
    let own = column(&text[line..]);
    let mut at = line_end + 1;
    while at < text.len() {
        let next = text[at..].find('\n').map_or(text.len(), |newline| at + newline);
        let below = &text[at..next];
        if !below.trim().is_empty() && column(below) <= own {
            break;
        }
        push(text, at..next, found);
        at = next + 1;
    }
    at.min(text.len())
}

/// How much of the rest of a line is the value.
fn on_the_line(rest: &str, in_flow: bool) -> usize {
    let comment = || rest.find(" #").unwrap_or(rest.len());
    let Some(first) = rest.chars().next() else { return 0 };
    match first {
        '"' | '\'' => rest[1..].rfind(first).filter(|_| !in_flow).or_else(|| rest[1..].find(first)).map_or(rest.len(), |end| end + 2),
        '{' | '[' => {
            let mut depth = 0;
            for (at, c) in rest.char_indices() {
                match c {
                    '{' | '[' => depth += 1,
                    '}' | ']' => depth -= 1,
                    _ => {}
                }
                if depth == 0 {
                    return at + 1;
                }
            }
            rest.len()
        }
        _ if in_flow => rest.find(", ").or_else(|| rest.rfind(['}', ']'])).unwrap_or_else(comment),
        _ => comment(),
    }
}

/// Whether a bracket is open at the end of this.
fn is_open(before: &str) -> bool {
    before.matches(['{', '[']).count() > before.matches(['}', ']']).count()
}

/// Hides a value, or every value in it, but for what is harmless.
fn push(text: &str, part: Range<usize>, found: &mut Vec<Range<usize>>) {
    let value = &text[part.clone()];
    let on_the_line_of_its_key = part.start > 0 && !text[..part.start].ends_with('\n');
    let mut from = 0;
    for key in KEY.captures_iter(value) {
        let Some(name) = key.get(1).filter(|_| value[..key.get(0).map_or(0, |whole| whole.end())].contains([':', '='])) else { continue };
        // What stands right behind a key is a value, whatever follows it.
        let is_value = match value.get(from..name.start()) {
            Some(between) if from > 0 => between.trim_end().ends_with([':', '=']),
            Some(between) => on_the_line_of_its_key && !between.contains(['{', '[', ',', '\n']),
            None => true,
        };
        if is_value {
            continue;
        }
        push_one(value, from..name.start(), part.start, found);
        from = name.end();
        if HARMLESS_KEYS.contains(&name.as_str()) {
            from += value[from..].find([',', '}', '\n']).unwrap_or(value.len() - from);
        }
    }
    push_one(value, from..value.len(), part.start, found);
}

fn push_one(value: &str, part: Range<usize>, offset: usize, found: &mut Vec<Range<usize>>) {
    let written = value[part.clone()].trim_matches(|c: char| c.is_whitespace() || "{}[],\"'-:".contains(c));
    if HARMLESS_WORDS.contains(&written) || HARMLESS_HEADS.iter().any(|head| written.starts_with(head)) {
        return;
    }
    // A variable is the name of a secret and none itself.
    let mut at = part.start;
    while let Some(begin) = value[at..part.end].find("${").map(|begin| at + begin) {
        let end = value[begin..part.end].find('}').map_or(part.end, |end| begin + end + 1);
        found.push(offset + at..offset + begin);
        at = end;
    }
    found.push(offset + at..offset + part.end);
}

/// Parts that look like secrets by themselves.
fn shapes(text: &str) -> Vec<Range<usize>> {
    let secret = |found: regex::Captures<'_>| {
        let named = ["pem", "bearer", "jwt", "key", "url"].iter().find_map(|name| found.name(name));
        let part = named.or_else(|| found.name("long").filter(|long| is_random(long.as_str())))?;
        (!part.as_str().contains("${")).then(|| part.range())
    };
    SHAPES.captures_iter(text).filter_map(secret).collect()
}

/// Whether a long word was drawn rather than written: digits among letters, and the case changing as it never does in names.
fn is_random(word: &str) -> bool {
    let kind = |c: char| {
        if c.is_ascii_digit() {
            0
        } else if c.is_ascii_uppercase() {
            1
        } else {
            2
        }
    };
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let is_hexadecimal = word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let changes = word.chars().zip(word.chars().skip(1)).filter(|(one, next)| kind(*one) != kind(*next)).count();
    word.len() >= LONG_MIN && digits >= 2 && (is_hexadecimal || changes * 5 >= word.len() * 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left of a text.
    fn left(text: &str) -> String {
        masked(text, &places(text))
    }

    #[test]
    fn a_secret_is_hidden_by_the_name_of_its_key_however_it_is_written() {
        for key in [
            "token",
            "tokn",
            "tokens",
            "TOKEN",
            "admin_token",
            "admin-token",
            "passwrd",
            "pasword",
            "smtp_password",
            "secrt",
            "api_key",
            "headers",
            "Authorization",
        ] {
            for value in [
                "hunter2",
                "\"hunter2\"",
                "'hunter2'",
                "[hunter2]",
                "{ a: hunter2 }",
                "|\n    hunter2\n    hunter2",
                "\n  - hunter2",
                "\"hunter2",
                "hunter2 # as ever",
                "!t hunter2",
            ] {
                let text = format!("a:\n  {key}: {value}\n  address: here\n");
                let left = left(&text);
                assert!(!left.contains("hunter2") && left.contains(key) && left.contains("address: here"), "{text}\n{left}");
                assert_eq!(left.len(), text.len());
            }
            for line in [
                format!("{key}:hunter2"),
                format!("{key} hunter2"),
                format!("{{ {key}: hunter2, address: here }}"),
                format!("\"{key}\": hunter2"),
                format!("\t{key}: hunter2"),
            ] {
                assert!(!left(&line).contains("hunter2"), "{line}\n{}", left(&line));
            }
        }
        assert_eq!(left("{ token: hunter2, address: here }"), "{ token: *******, address: here }");
    }

    #[test]
    fn what_is_no_secret_is_left() {
        for text in [
            "token: \"${var.admin_token}\"",
            "bind_session: { token: response.access_token }",
            "admin_token: { env: ADMIN_TOKEN, type: string, secret: true }",
            "redact: [request.password, response.user.email]",
            "rate_limits: { per_caller: { key: [caller], rate: 20/s } }",
            "tls: { cert: server.pem, key: server.key }",
            "# A password takes its time, and in a rush those before it do too.",
            "rpc: protogate.auth.v1.AuthService/ForgotPasswordOfSomebodyElseEntirely2",
            "hash: sha256:6ca13d52ca70c883e0f0bb101e425a89e8624de51db2d2392593af6a84118090",
            "set: { request.token_id: session.token_id }",
            "a_very_long_name_of_something_that_is_long_enough_2_be_a_key: 1",
        ] {
            assert_eq!(left(text), text);
        }
    }

    #[test]
    fn what_has_the_shape_of_a_secret_is_hidden_wherever_it_stands() {
        for secret in [
            "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl",
            "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=",
            "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "pgk_ci_0123456789",
            "-----BEGIN PRIVATE KEY-----\nMC4CAQ+\n-----END PRIVATE KEY-----",
        ] {
            let text = format!("address: {secret}\n");
            assert!(!left(&text).contains(&secret[secret.len().min(28)..]) || left(&text) != text, "{}", left(&text));
            assert!(matches!(without(&text), Cow::Owned(_)), "{text}");
        }
        assert_eq!(left("url: redis://:hunter2@cache:6379"), "url: redis://:*******@cache:6379");
    }

    #[test]
    fn what_was_read_as_a_part_of_a_key_is_hidden() {
        for text in ["unknown key `token:hunter2`", "`authorization hunter2` is not a header", "admin.tokn hunter2"] {
            assert!(!without_named(text).contains("hunter2"), "{text}");
        }
        assert!(matches!(without_named("tokens of `partner` cannot be verified"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_default_of_what_is_nearly_secret_is_hidden() {
        let text = "vars:\n  door:\n    env: DOOR\n    secrt: true\n    default: hunter2\n";
        assert!(!left(text).contains("hunter2"), "{}", left(text));
        let text = "vars:\n  door:\n    env: DOOR\n    type: string\n    default: open\n";
        assert_eq!(left(text), text);
    }
}
