//! No file that is right gives a finding, in any environment; production says what it requires beyond that, and nothing else.

use std::fs;
use std::path::{Path, PathBuf};

use protogate::config::{self, Environment, LoadOptions};
use protogate::diagnostic::{Rule, render};
use protogate::files::Files;
use protogate::proto::Pools;
use protogate::table::compile::{Context, compile};

use crate::support::{copy, top};

/// What is deployed lies where it is deployed to: the types beside the routes, and a key that signs.
fn deployed(etc: &Path) -> PathBuf {
    copy(&top().join("proto"), &etc.join("proto"));
    copy(&top().join("examples/deploy/routes"), &etc.join("routes"));
    fs::create_dir_all(etc.join("keys")).unwrap();
    fs::write(etc.join("keys/signing.pem"), rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_pem()).unwrap();
    etc.join("routes")
}

#[test]
fn no_file_that_is_right_gives_a_finding() {
    let secret = |name: &str| ["TOKEN", "SECRET"].iter().any(|end| name.ends_with(end));
    let variables = |name: &str| match name {
        "REDIS_URL" => Some("redis://redis:6379/0".to_owned()),
        name => secret(name).then(|| format!("{name}-0123456789-0123456789-0123456789")),
    };
    let pools = Pools::default();
    let etc = tempfile::tempdir().unwrap();
    let shown = ["routes", "examples/greeter/routes", "examples/policy/routes"].map(|folder| top().join(folder));
    for folder in shown.into_iter().chain([deployed(etc.path())]) {
        for environment in Environment::ALL {
            let files = Files::on_disk();
            let options = LoadOptions { folder: folder.clone(), environment, variables: &variables };
            let (mut document, mut report) = config::load(&files, &options);
            compile(&mut document, &files, &pools, &Context::default(), None, &mut report);
            let is_asked = |rule: Rule| environment == Environment::Production && rule == Rule::Production;
            let other = report.sorted().into_iter().filter(|finding| !is_asked(finding.rule)).count();
            assert_eq!(
                other,
                0,
                "{} in {}:\n{}",
                folder.display(),
                environment.name(),
                render::human(&report, &document.sources, render::Color::Plain)
            );
        }
    }
}
