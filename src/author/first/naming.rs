//! Names as route files have them, out of those that .proto files have: `GreeterService/SayHello` is `greeter.say_hello`.
//!
//! Promise: whatever they are made from, names are names of the language, and as many as there are things to name.

use std::collections::HashMap;

/// The longest part of a name; what is longer is cut.
const NAME_CHARS_MAX: usize = 80;

/// Words that some readers of YAML take for something else than text.
const WORDS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];

/// In small letters with `_` between words; it begins with a letter, or is `otherwise`.
pub fn snake(name: &str, otherwise: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut snake = String::new();
    for (at, c) in letters.iter().enumerate() {
        let before = at.checked_sub(1).map(|before| letters[before]);
        let after = letters.get(at + 1);
        let begins = c.is_ascii_uppercase()
            && before.is_some_and(|before| {
                before.is_ascii_lowercase()
                    || before.is_ascii_digit()
                    || (before.is_ascii_uppercase() && after.is_some_and(char::is_ascii_lowercase))
            });
        if begins {
            snake.push('_');
        }
        snake.push(if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' });
    }
    let name = snake.trim_start_matches(|c: char| !c.is_ascii_lowercase()).trim_end_matches('_');
    let name: String = name.chars().take(NAME_CHARS_MAX).collect();
    if name.is_empty() { otherwise.to_owned() } else { name }
}

/// What a service is called: without the word that says that it is one.
pub fn service(name: &str) -> String {
    let name = snake(name, "service");
    name.strip_suffix("_service").filter(|rest| !rest.is_empty()).map_or(name.clone(), str::to_owned)
}

/// Each part of a dotted name.
pub fn dotted(name: &str) -> Vec<String> {
    name.split('.').filter(|part| !part.is_empty()).map(|part| snake(part, "p")).collect()
}

/// Names that are taken, each with the number that may be behind the next of its kind.
pub type Taken = HashMap<String, u64>;

/// The name, or with a number behind it the first that nobody has.
pub fn unique(name: &str, taken: &mut Taken) -> String {
    let mut free = name.to_owned();
    let mut next = taken.get(name).copied().unwrap_or(2);
    while taken.contains_key(&free) {
        free = format!("{name}_{next}");
        next += 1;
    }
    taken.insert(name.to_owned(), next);
    taken.entry(free.clone()).or_insert(2);
    free
}

/// A name as YAML writes it: in quotes where it would be another word.
pub fn written(name: &str) -> String {
    if WORDS.contains(&name) { format!("\"{name}\"") } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_small_letters() {
        for (name, expected) in [
            ("SayHello", "say_hello"),
            ("HTTPServer", "http_server"),
            ("GetV2Thing", "get_v2_thing"),
            ("already_snake", "already_snake"),
            ("_Private_", "private"),
            ("__1", "x"),
            ("X", "x"),
            ("OAuth2", "o_auth2"),
        ] {
            assert_eq!(snake(name, "x"), expected);
        }
        assert_eq!(service("GameService"), "game");
        assert_eq!(service("Service"), "service");
        assert_eq!(snake(&"a".repeat(500), "x").len(), NAME_CHARS_MAX);
    }

    #[test]
    fn names_that_are_taken_get_a_number() {
        let mut taken = Taken::new();
        assert_eq!(["a", "a", "a_2", "a"].map(|name| unique(name, &mut taken)), ["a", "a_2", "a_2_2", "a_3"]);
        // However many there are, each costs the same; one after the other would take minutes.
        (4..200_000).for_each(|n| assert_eq!(unique("a", &mut taken), format!("a_{n}")));
    }

    #[test]
    fn words_of_yaml_are_in_quotes() {
        assert_eq!(["null", "on", "one"].map(written), ["\"null\"", "\"on\"", "one"]);
    }
}
