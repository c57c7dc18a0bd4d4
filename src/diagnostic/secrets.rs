//! What looks like a secret in a file, whatever is wrong around it: it is hidden before anybody is shown a line of the file.
//!
//! What is known to be a secret is hidden by whoever knows it; this is for files in which nobody can know: the key is misspelt, or stands
//! twice, or the text is no YAML. So no YAML is read here, only lines. Behind a word that is written as the key of a secret is, or nearly,
//! everything is its value: to the end of the line, inside of brackets to the comma or bracket that ends it, and on lines below that are
//! further in. Of a value brackets, keys, variables and words that are no secrets are left. What has the shape of a secret (`shapes`) is
//! hidden wherever it stands.
//!
//! Promises: a place in a text stays where it is, and the time is linear in the text. Too much may be hidden, which a reader sees.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::shapes;

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
];

/// What a word begins with that ends with `key` and is no file: `api_key`, `apikey`.
const KEYS: [&str; 5] = ["api", "private", "secret", "access", "shared"];

/// What stands in a value and is no secret: what a variable is made of, whose a token of a test is, fields of messages, and words.
const HARMLESS_KEYS: [&str; 4] = ["env", "type", "user", "roles"];
const HARMLESS_HEADS: [&str; 6] = ["request.", "response.", "session.", "peer.", "message.", "claims."];
const HARMLESS_WORDS: [&str; 14] = ["", "true", "false", "yes", "no", "on", "off", "null", "~", "|", ">", "|-", ">-", "|+"];

/// How far around a `default` it is looked whether it is one of a secret variable.
const AROUND: usize = 256;

/// A key with its colon, wherever it stands; or one that lost it, at the start of a line, or behind a bracket or comma.
static KEY: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"([A-Za-z_][A-Za-z0-9_.-]*)["']?[ \t]*[:=]|(?:^[ \t]*(?:- )?|[{,][ \t]*)["']?([A-Za-z_][A-Za-z0-9_-]*)["']?(?:[ \t]|$)"#)
        .expect("it is constant, and the tests compile it")
});

/// The same in what is said: in backquotes, or as a part of a path.
static NAMED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"[.`]([A-Za-z_][A-Za-z0-9_-]*)[:= ]+([^`]+)").expect("it is constant, and the tests compile it"));

/// The name of a secret, and none itself.
static VARIABLE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\$\{[A-Za-z_][A-Za-z0-9_.]*\}").expect("it is constant, and the tests compile it"));

/// A line without its end, and where it begins.
#[derive(Clone, Copy)]
struct Line<'a> {
    text: &'a str,
    start: usize,
}

/// The value of a secret that may go on below its line.
struct Open {
    /// How far in its key is.
    column: usize,
    /// Nothing of it stands on the line of the key: it may be on the next, wrongly indented.
    is_empty: bool,
    /// It is one text, in which nothing is a key.
    is_text: bool,
}

/// Every part of a file that may be a secret.
pub fn places(text: &str) -> Vec<Range<usize>> {
    let mut found = by_shape(text);
    let (mut start, mut open) = (0, None);
    for whole in text.split_inclusive('\n') {
        let line = Line { text: whole.trim_end(), start };
        start += whole.len();
        match open.as_ref().filter(|open: &&Open| open.holds(line)) {
            Some(open) => hide(line.text, line.start, !open.is_text, &mut found),
            None => open = line.hide_secrets(text, &mut found),
        }
    }
    found
}

/// What has the shape of a secret, but for variables in it.
fn by_shape(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for shape in shapes::places(text) {
        let written = &text[shape.clone()];
        if !VARIABLE.is_match(written) || VARIABLE.replace_all(written, "").contains(char::is_alphanumeric) {
            push(text, shape, &mut found);
        }
    }
    found
}

/// A message without what looks like a secret by itself.
pub fn without(text: &str) -> Cow<'_, str> {
    let found = by_shape(text);
    if found.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(masked(text, &found)) }
}

/// A message or a path without what stands behind the name of a secret's key: a key and its value without `: ` between them are one key.
pub fn without_named(text: &str) -> Cow<'_, str> {
    let secret = |found: regex::Captures<'_>| found.get(2).filter(|_| is_secret(&found[1])).map(|value| value.range());
    let found: Vec<_> = NAMED.captures_iter(text).filter_map(secret).collect();
    if found.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(masked(text, &found)) }
}

/// The text with these parts hidden, as long as it was, and in as many lines.
pub fn masked(text: &str, parts: &[Range<usize>]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for part in parts {
        bytes[part.clone()].iter_mut().filter(|byte| !byte.is_ascii_whitespace()).for_each(|byte| *byte = b'*');
    }
    String::from_utf8(bytes).expect("whole characters were hidden")
}

/// Whether this is how the key of a secret is written, or nearly.
fn is_secret(key: &str) -> bool {
    let key = key.to_lowercase().replace('-', "_");
    let last = key.rsplit(['.', '_']).next().unwrap_or_default();
    let is_near = |(word, far): &(&str, usize)| {
        last == *word
            || word.len() > 4 && last.ends_with(word)
            || last.len().abs_diff(word.len()) <= *far && strsim::damerau_levenshtein(last, word) <= *far
    };
    let before_key = key.strip_suffix("key").map(|before| before.trim_end_matches('_'));
    WORDS.iter().any(is_near) || before_key.is_some_and(|before| KEYS.iter().any(|start| before.ends_with(start)))
}

/// Where a value inside of brackets ends, if it does on its line.
fn end_in_brackets(rest: &str) -> Option<usize> {
    let bytes = rest.as_bytes();
    let (mut depth, mut quote, mut before) = (0_usize, None, b' ');
    for (at, &byte) in bytes.iter().enumerate() {
        // Inside of a word they are a part of it.
        let is_last = bytes.get(at + 1).is_none_or(|next| b" \t,]}".contains(next));
        match byte {
            _ if quote == Some(byte) && before != b'\\' => quote = None,
            _ if quote.is_some() => {}
            b'"' | b'\'' if b" \t{[,:".contains(&before) => quote = Some(byte),
            b'{' | b'[' => depth += 1,
            b'}' | b']' | b',' if depth == 0 && is_last => return Some(at),
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        before = byte;
    }
    None
}

/// Hides a value piece by piece; what is a key in it is left where it `has_keys`.
fn hide(value: &str, offset: usize, has_keys: bool, found: &mut Vec<Range<usize>>) {
    let bytes = value.as_bytes();
    let mut variables = VARIABLE.find_iter(value).peekable();
    let (mut start, mut before, mut is_hidden, mut is_harmless, mut is_list) = (0, b'\n', false, false, false);
    for at in 0..=bytes.len() {
        while variables.next_if(|variable| variable.end() <= at).is_some() {}
        if variables.peek().is_some_and(|variable| variable.start() <= at) {
            continue;
        }
        let byte = bytes.get(at).copied().unwrap_or(b'\n');
        let is_colon = byte == b':' && bytes.get(at + 1).is_none_or(u8::is_ascii_whitespace);
        let is_comment = byte == b'#' && is_comment(&value[..at]);
        if !(b"{}[],\n".contains(&byte) || is_colon || is_comment) {
            continue;
        }
        let piece = value[start..at].trim_start_matches([' ', '\t', '-', '"', '\'']);
        let from = at - piece.len();
        let piece = piece.trim_end_matches([' ', '\t', '"', '\'']);
        let is_key = has_keys && is_colon && b"{,\n".contains(&before);
        let is_word = HARMLESS_WORDS.contains(&piece) || HARMLESS_HEADS.iter().any(|head| piece.starts_with(head));
        if !is_key && !is_word && !is_harmless {
            let first = found.len();
            push(value, from..from + piece.len(), found);
            found[first..].iter_mut().for_each(|part| *part = offset + part.start..offset + part.end);
            is_hidden |= found[first..].iter().any(|part| !part.is_empty());
        }
        // Behind a secret it may be a part of it.
        if is_comment && !is_hidden {
            return;
        }
        // A list is as harmless as the key before it.
        is_harmless = match byte {
            b'[' => is_harmless && piece.is_empty(),
            b',' => is_harmless && is_list,
            _ => is_key && HARMLESS_KEYS.contains(&piece),
        };
        is_list = byte == b'[' || byte == b',' && is_list;
        (start, before) = (at + 1, byte);
    }
}

/// Whether a `#` behind this begins a comment.
fn is_comment(before: &str) -> bool {
    let quotes = ['"', '\''];
    before.ends_with([' ', '\t']) && (!before.trim_start().starts_with(quotes) || before.trim_end().ends_with(quotes))
}

/// Hides a part of a text, but for the variables in it.
fn push(text: &str, part: Range<usize>, found: &mut Vec<Range<usize>>) {
    let mut from = part.start;
    for variable in VARIABLE.find_iter(&text[part.clone()]) {
        found.push(from..part.start + variable.start());
        from = part.start + variable.end();
    }
    found.push(from..part.end);
}

// === impl Line ===

impl Line<'_> {
    /// How far in it begins; what is in a list is further in than the list.
    fn column(self) -> usize {
        self.text.len() - self.text.trim_start_matches([' ', '\t', '-']).len()
    }

    fn begins_with_a_key(self) -> bool {
        let key = self.text.trim_start().split_once(':').filter(|(_, rest)| rest.is_empty() || rest.starts_with([' ', '\t']));
        key.is_some_and(|(key, _)| !key.contains(' ') || key.starts_with(['"', '\'']))
    }

    /// Hides what stands behind keys of secrets. The last value may go on below.
    fn hide_secrets(self, text: &str, found: &mut Vec<Range<usize>>) -> Option<Open> {
        let (mut done, mut depth) = (0, 0_usize);
        let comment = self.text.find('#').unwrap_or(self.text.len());
        for key in KEY.captures_iter(self.text) {
            let (from, with_colon) = (key.get(0).expect("the match itself").end(), key.get(1));
            let Some(name) = with_colon.or(key.get(2)).filter(|name| name.start() >= done) else { continue };
            let rest = &self.text[from..];
            let is_map = matches!(rest.trim_start().bytes().next(), None | Some(b'{' | b'#'));
            // In prose, words stand without colons; and a route may be called `auth.reset_password`.
            if with_colon.is_none() && name.start() > comment || name.as_str().contains('.') && is_map {
                continue;
            }
            if !is_secret(name.as_str()) && name.as_str() != "default" {
                continue;
            }
            for byte in self.text[done..name.start()].bytes() {
                match byte {
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth = depth.saturating_sub(1),
                    _ => {}
                }
            }
            done = name.start();
            if name.as_str() == "default" && !self.is_secret_around(text, done, depth > 0) {
                continue;
            }
            let end = Some(rest).filter(|_| depth > 0).and_then(end_in_brackets);
            let value = &rest[..end.unwrap_or(rest.len())];
            let is_text = value.trim_start().starts_with(['"', '\'', '|', '>']);
            hide(value, self.start + from, !is_text && value.trim_start().starts_with(['{', '[']), found);
            let Some(end) = end else {
                let is_empty = with_colon.is_some() && value.trim_matches([' ', '\t', '|', '>', '-', '+']).is_empty();
                return Some(Open { column: self.column(), is_empty, is_text });
            };
            done = from + end;
        }
        None
    }

    /// Whether what is around a `default` says, more or less, that it is secret: in brackets the line, else the lines around.
    fn is_secret_around(self, text: &str, at: usize, in_brackets: bool) -> bool {
        let (at, end) = (self.start + at, self.start + self.text.len());
        let (from, to) = if in_brackets { (self.start, end) } else { (0, text.len()) };
        let from = text.ceil_char_boundary(at.saturating_sub(AROUND)).max(from);
        let to = text.floor_char_boundary((at + AROUND).min(to));
        let around = text[from..to].to_ascii_lowercase();
        ["secr", "scret", "secet", "sercet", "token", "passw"].iter().any(|word| around.contains(word))
    }
}

// === impl Open ===

impl Open {
    /// Whether a line belongs to the value.
    fn holds(&self, line: Line<'_>) -> bool {
        let text = line.text.trim_start();
        let is_astray = self.is_empty && !text.starts_with(['#', '}', ']']) && !text.starts_with("- ") && !line.begins_with_a_key();
        text.is_empty() || line.column() > self.column || is_astray
    }
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
    fn what_has_the_shape_of_a_secret_is_hidden_but_for_variables_in_it() {
        assert_eq!(left("url: redis://:hunter2@cache:6379"), "url: redis://********@cache:6379");
        assert_eq!(left("url: redis://:${var.password}@cache"), "url: redis://:${var.password}@cache");
        assert_eq!(left("url: redis://me:hunter2${var.x}@cache"), "url: redis://**********${var.x}@cache");
        assert!(matches!(without("at pgk_ci_0123456789"), Cow::Owned(_)));
    }

    #[test]
    fn of_a_value_that_is_no_one_word_what_is_no_secret_is_left() {
        for (text, shown) in [
            (
                "token: { user: \"7\", roles: [player, clerk], x: [hunter2], hunter2 }",
                "token: { user: \"7\", roles: [player, clerk], x: [*******], ******* }",
            ),
            ("token:\n  user: ann\n  roles: [a, b]\n  id: hunter2", "token:\n  user: ann\n  roles: [a, b]\n  id: *******"),
            ("headers: { x-tenant: hunter2, b: [hunter2] }", "headers: { x-tenant: *******, b: [*******] }"),
            ("token: \"${var.t}hunter2\" # mine", "token: \"${var.t}*******\" # ****"),
            ("token: \"${var.t}\" # mine, too", "token: \"${var.t}\" # mine, too"),
            ("token: \"${hunter2\"", "token: \"*{*******\""),
            ("password: \"a, b: c\"\nport: 1", "password: \"*, *: *\"\nport: 1"),
            ("{ token: hun,ter}2, port: 1 }", "{ token: ***,***}*, port: 1 }"),
            ("auth.reset_password:\n  timeout: 3", "auth.reset_password:\n  timeout: 3"),
            ("auth.token: { timeout: 3 }", "auth.token: { timeout: 3 }"),
            ("redact:\n  - request.token\n  - request.password\n", "redact:\n  - request.token\n  - request.password\n"),
            ("secret: |\nhunter2\nport: 1", "secret: |\n*******\nport: 1"),
            ("vars:\n  admin_token:\n    env: TOKEN\n    secret: true\n", "vars:\n  admin_token:\n    env: TOKEN\n    secret: true\n"),
            ("accessToken: hunter2\nprivateKey: hunter2\nmonkey: banana", "accessToken: *******\nprivateKey: *******\nmonkey: banana"),
        ] {
            assert_eq!(left(text), shown);
        }
    }

    #[test]
    fn a_megabyte_in_one_line_is_read_once() {
        // What were quadratic would take hours.
        for part in
            ["token: [", "{ token: a, default: b, ", "password: \"", "token,", "secret: |\n  x\n ", "a", "é: ", "default: ", "\"{ token "]
        {
            let text = part.repeat(1_000_000 / part.len());
            assert_eq!(left(&text).len(), text.len());
        }
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
