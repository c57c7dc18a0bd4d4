//! Every folder of `examples/` is true: its routes are accepted without a warning, and its README, done as it says, shows what it shows.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::walkthrough::{Reader, Running, Step, python, steps};
use crate::support::{copy, top};

/// Every example of a feature has a test below that follows it.
const FOLLOWED: [&str; 2] = ["greeter", "policy"];

/// What is for machines that a test has not: `tests/editing.rs`, `tests/deploy.rs` and `tests/monitoring.rs` hold it together.
const SHOWN: [&str; 3] = ["ci", "deploy", "monitoring"];

/// A copy of what the commands of an example name, so that nothing is written into the project.
fn copied() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["examples", "proto"] {
        copy(&top().join(name), &folder.path().join(name));
    }
    folder
}

/// The greeter in Rust, as new as its source.
pub fn greeter() -> PathBuf {
    let beside = Path::new(env!("CARGO_BIN_EXE_protogate")).parent().unwrap();
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--locked", "--example", "greeter"]).current_dir(top());
    if beside.ends_with("release") {
        build.arg("--release");
    }
    assert!(build.status().unwrap().success(), "the example `greeter` does not build");
    beside.join("examples/greeter")
}

/// Follows a README. `own` says which commands the test has done in its own way.
async fn follow(example: &str, reader: &mut Reader, own: impl Fn(&str) -> bool) {
    let document = fs::read_to_string(top().join("examples").join(example).join("README.md")).unwrap();
    for step in steps(&document) {
        match step {
            Step::Type { command, .. } if own(&command) => {}
            Step::Type { command, shown } => reader.types(&command, &shown),
            Step::Say(values) => reader.says(values).await,
            Step::Follow { who, lines } => reader.follows(&who, &lines).await,
            Step::Other { language, text } => panic!("nobody follows a block of `{language}`:\n{text}"),
        }
    }
}

#[test]
fn every_example_is_followed() {
    let there: BTreeSet<String> =
        fs::read_dir(top().join("examples")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(there, FOLLOWED.into_iter().chain(SHOWN).map(str::to_owned).collect());
}

#[test]
fn the_routes_of_every_example_are_accepted_without_a_warning() {
    for example in FOLLOWED {
        for environment in ["development", "testing"] {
            let routes = top().join("examples").join(example).join("routes");
            let mut check = Command::new(env!("CARGO_BIN_EXE_protogate"));
            let output = check.arg("check").arg("--config").arg(routes).args(["--env", environment, "--deny-warnings"]).output().unwrap();
            assert!(output.status.success(), "{example} in {environment}:\n{}", String::from_utf8_lossy(&output.stdout));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_policy_example_shows_what_its_readme_shows() {
    let folder = copied();
    follow("policy", &mut Reader::new(folder.path()), |_| false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_greeter_in_rust_answers_as_its_readme_says() {
    the_greeter_answers(&mut Command::new(greeter())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_greeter_in_python_answers_as_its_readme_says() {
    the_greeter_answers(Command::new(python()).arg(top().join("examples/greeter/server.py"))).await;
}

async fn the_greeter_answers(service: &mut Command) {
    let folder = copied();
    let (_service, address) = Running::service(service.arg("127.0.0.1:0"), &folder.path().join("service.log"));
    let mut reader = Reader::new(folder.path());
    reader.set("GREETER", &address);
    let services = ["cargo run --example greeter", "pip install ", "python3 examples/greeter/server.py"];
    follow("greeter", &mut reader, |command| services.iter().any(|own| command.starts_with(own))).await;
}
