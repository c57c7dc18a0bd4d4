//! docs/operating.md is true: what it types is typed on the shipped files in production, and shows what it shows; the commands, the paths of
//! the admin side, the metrics and the exit codes that it names are there.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use crate::support::walkthrough::{Reader, Step, steps};
use crate::support::{copy, folder_with, top};

fn guide() -> String {
    fs::read_to_string(top().join("docs/operating.md")).unwrap()
}

/// Every stretch of the text that follows one of these and is made of such characters.
fn named(text: &str, before: &str, is_part: impl Fn(char) -> bool) -> BTreeSet<String> {
    text.match_indices(before).map(|(at, _)| text[at + before.len()..].chars().take_while(|c| is_part(*c)).collect()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_guide_types_shows_what_it_shows() {
    let folder = folder_with(&[]);
    copy(&top().join("routes"), &folder.path().join("routes"));
    let mut reader = Reader::new(folder.path());
    let mut typed = 0;
    for step in steps(&guide()) {
        match step {
            Step::Type { command, .. } if command.starts_with("export ADMIN_TOKEN=") => reader.set("ADMIN_TOKEN", "0123456789abcdef0123"),
            Step::Type { command, .. } if command.starts_with("export ") => {
                let (name, value) = command.trim_start_matches("export ").split_once('=').unwrap();
                reader.set(name, value);
            }
            Step::Type { command, .. } if command.starts_with("openssl genpkey ") => {
                let path = command.rsplit(' ').next().unwrap();
                let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
                fs::write(folder.path().join(path), key.serialize_pem()).unwrap();
            }
            // How the first line goes is shown; what else is missing follows.
            Step::Type { command, shown } if shown.last().is_some_and(|line| line == "…") => {
                let told = reader.asks(&command);
                assert!(told.starts_with(&shown[..shown.len() - 1].join("\n")), "$ {command}\n{told}");
                typed += 1;
            }
            Step::Type { command, shown } => {
                reader.types(&command, &shown);
                typed += 1;
            }
            Step::Other { language, text } if language == "yaml" => match text.strip_prefix("# routes/gateway.yaml\n") {
                Some(text) => fs::write(folder.path().join("routes/gateway.yaml"), text).unwrap(),
                None => assert!(text.starts_with("# gateway.yaml\n"), "nobody reads\n{text}"),
            },
            other => panic!("nobody follows {other:?}"),
        }
    }
    assert!(typed >= 6);
}

#[test]
fn every_command_that_the_guide_names_is_one() {
    let commands = named(&guide(), "`protogate ", |c| c.is_ascii_lowercase());
    assert!(commands.len() > 5);
    for command in commands.iter().filter(|command| !command.is_empty() && *command != "is") {
        let help = Command::new(env!("CARGO_BIN_EXE_protogate")).args([command, "--help"]).output().unwrap();
        assert!(help.status.success(), "there is no `protogate {command}`");
    }
}

#[test]
fn every_path_that_the_guide_names_is_one_of_the_admin_side() {
    let list = fs::read_to_string(top().join("src/admin/endpoints.rs")).unwrap();
    let there = |path: &str| {
        let pattern = |known: &str| {
            let (known, path): (Vec<&str>, Vec<&str>) = (known.split('/').collect(), path.split('/').collect());
            known.len() == path.len() && known.iter().zip(&path).all(|(known, part)| known.starts_with('{') || known == part)
        };
        list.split('"').skip(1).step_by(2).any(pattern)
    };
    let paths = named(&guide(), "/api/v1/", |c| c.is_ascii_alphanumeric() || "/_.".contains(c));
    assert!(paths.len() > 5);
    for path in paths {
        assert!(there(&format!("/api/v1/{path}")), "there is no /api/v1/{path}");
    }
    assert!(there("/healthz") && there("/readyz") && there("/metrics"));
}

#[test]
fn every_metric_that_the_guide_names_is_one() {
    let list = fs::read_to_string(top().join("docs/metrics.md")).expect("the list of metrics");
    for metric in named(&guide(), "`protogate_", |c| c.is_ascii_lowercase() || c == '_') {
        assert!(list.contains(&format!("`protogate_{metric}`")), "there is no protogate_{metric}");
    }
}

#[test]
fn the_guide_says_every_reason_that_has_a_cause_of_its_own() {
    let text = guide();
    for reason in [
        "RATE_LIMITED",
        "PERMISSION_DENIED",
        "UNKNOWN_PROTOCOL",
        "UNAUTHENTICATED",
        "UNAVAILABLE",
        "OVERLOADED",
        "EFFECT_FAILED",
        "GUARD_DENIED",
        "VALIDATION_FAILED",
    ] {
        assert!(text.contains(&format!("`{reason}`")), "{reason}");
    }
    let all = fs::read_to_string(top().join("docs/protocol.md")).unwrap();
    for reason in named(&text, "`", |c| c.is_ascii_uppercase() || c == '_').into_iter().filter(|name| name.len() > 4 && name.contains('_'))
    {
        let variable = ["GATEWAY_", "PROTOGATE_", "ADMIN_"].iter().any(|prefix| reason.starts_with(prefix));
        assert!(variable || all.contains(&format!("`{reason}`")), "there is no reason {reason}");
    }
}
