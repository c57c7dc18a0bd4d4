//! No secret that stands in a file is in what `check` says about the file, whatever is wrong with it.
//!
//! The canary stands literally under every key that takes a secret, one at a time, and then every mistake is made on top of that.

use protogate::diagnostic::render::{self, Color, Summary};
use protogate::diagnostic::{Report, Sources, Top};

use super::corpus::{Corpus, WHOLE};

/// As short as a password may be: nothing but its key tells that it is one.
const CANARY: &str = "hunter2xyz";

/// Everything that somebody may be shown.
fn all_that_is_said(report: &Report, sources: &Sources) -> String {
    let summary = Summary { routes: 0, files: sources.len() };
    let programs = [
        render::json(report, sources, summary),
        render::sarif(report, sources, &Top::here()),
        render::github(report, sources, &Top::here()),
    ];
    format!("{}{}{}", render::human(report, sources, Color::Plain), programs.concat(), render::lines(report, sources).concat())
}

/// The texts of gateway.yaml with the canary in place of a secret, and the keys that it stands under.
fn planted(corpus: &Corpus) -> Vec<(&'static str, &'static str, String)> {
    let secret =
        |written: &str| written == "\"${var.admin_token}\"" || written == "\"${var.smtp_password}\"" || written == "\"${var.shared}\"";
    let places = corpus.places().into_iter().filter(|place| secret(place.written()) && place.entry.is_some());
    places.map(|place| (place.file.path, key_of(&place.path), place.with(CANARY))).collect()
}

fn key_of(path: &str) -> &'static str {
    path.rsplit('.').next().unwrap().to_owned().leak()
}

/// What people do to a line with a secret: each is tried on the text around the canary.
fn mistakes(text: &str, key: &str) -> Vec<String> {
    let at = text.find(CANARY).unwrap();
    let key_at = text[..at].rfind(key).unwrap();
    let with = |range: std::ops::Range<usize>, new: &str| format!("{}{new}{}", &text[..range.start], &text[range.end..]);
    let value = |new: &str| with(at..at + CANARY.len(), new);
    let named = |new: &str| with(key_at..key_at + key.len(), new);
    let middle = key.len() / 2;
    let mut lost = key.to_owned();
    lost.remove(middle);
    let mut swapped: Vec<char> = key.chars().collect();
    swapped.swap(middle - 1, middle);
    let mut mistakes = vec![
        text.to_owned(),
        named(&lost),
        named(&swapped.into_iter().collect::<String>()),
        named(&format!("{key}s")),
        named(&key.to_uppercase()),
        named(&format!("my_{key}")),
        named(&format!("{key}: 1, {key}")),
        named(&format!("{key}: other, x: 1, {key}")),
        value(&format!("[{CANARY}]")),
        value(&format!("[[{CANARY}]]")),
        value(&format!("{{ a: {CANARY} }}")),
        value(&format!("\"{CANARY}")),
        value(&format!("'{CANARY}")),
        value(&format!("!secret {CANARY}")),
        value(&format!("&a {CANARY}")),
        value(&format!("{{ {CANARY}")),
        value(&format!("{CANARY} }} }} }}")),
        value(&format!("{CANARY}: more")),
        value(&format!("\"{CANARY}${{var.nobody}}\"")),
        value(&format!("\"${{var.nobody}}{CANARY}\"")),
        value(&format!("\"{CANARY}\0\"")),
        value(&format!("\"{CANARY}\\q\"")),
        with(key_at + key.len()..at, ":"),
        with(key_at + key.len()..at, " "),
        with(key_at..key_at, "\t"),
        with(key_at..key_at, "zzz: 1, "),
        with(key_at..key_at, "<<: {}, "),
        format!("{text}\n---\na: 1\n"),
    ];
    // The same line once more, below.
    let line = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[at..].find('\n').map_or(text.len(), |newline| at + newline + 1);
    mistakes.push(format!("{}{}{}", &text[..end], &text[line..end], &text[end..]));
    mistakes
}

#[test]
fn a_secret_in_a_file_is_shown_by_no_format_whatever_is_wrong_with_the_file() {
    let corpus = &WHOLE;
    let planted = planted(corpus);
    assert!(planted.len() >= 5, "{}", planted.len());
    let (mut tried, mut shown) = (0, String::new());
    for (path, key, text) in planted {
        assert!(text.contains(CANARY));
        for mistake in mistakes(&text, key) {
            let (_, report, sources) = corpus.check(path, &mistake);
            let said = all_that_is_said(&report, &sources);
            tried += 1;
            if said.contains(CANARY) {
                let line = said.lines().find(|line| line.contains(CANARY)).unwrap();
                shown.push_str(&format!("{key}: {line}\n"));
            }
        }
    }
    assert!(tried >= 100, "{tried}");
    assert!(shown.is_empty(), "{shown}");
}

#[test]
fn in_an_overlay_a_secret_is_one_too() {
    let overlays = [
        "admin: { tokn: hunter2xyz }\n",
        "admin: { token: hunter2xyz, token: hunter2xyz }\n",
        "admin: { token: [hunter2xyz] }\n",
        "push:\n  token:hunter2xyz\n",
        "auth: { mail: { smtp: { passwrd: hunter2xyz } } }\n",
        "telemetry: { otlp: { headers: { x-tenant: hunter2xyz, authorization: [hunter2xyz] } } }\n",
    ];
    for overlay in overlays {
        let (_, report, sources) = WHOLE.check("routes/gateway.testing.yaml", overlay);
        let said = all_that_is_said(&report, &sources);
        assert!(!report.is_empty() && !said.contains(CANARY), "{said}");
        assert!(said.contains("gateway.testing.yaml"), "{said}");
    }
}

#[test]
fn what_is_hidden_is_the_value_and_nothing_else() {
    let (_, report, sources) =
        WHOLE.check("routes/gateway.testing.yaml", "admin: { tokn: hunter2xyz, address: \"127.0.0.1:1\", zzz: 1 }\n");
    let said = render::human(&report, &sources, Color::Plain);
    assert!(
        said.contains("admin: { tokn: **********, address: \"127.0.0.1:1\", zzz: 1 }") && said.contains("did you mean `token`?"),
        "{said}"
    );
}
