//! Rules of `buf.validate` are enforced as protovalidate defines them, on the message that a backend will read.

mod cases;
mod merging;
mod naive;
mod problems;

use std::fs;

use crate::diagnostic::{Report, Sources, Span};
use crate::files::Files;
use crate::proto::{DescriptorSource, MessageType, Pool, Pools, Values, Walk, WalkOptions, WalkProblem, Wanted, from_json};

/// A pool of one file that imports the rules, which nobody has vendored.
fn pool(messages: &str) -> Pool {
    let imports = [
        "buf/validate/validate",
        "google/protobuf/any",
        "google/protobuf/duration",
        "google/protobuf/timestamp",
        "google/protobuf/wrappers",
    ];
    let imports: String = imports.iter().map(|import| format!("import \"{import}.proto\";\n")).collect();
    let (pool, report) = load(&[("test.proto", &format!("syntax = \"proto3\";\npackage test;\n{imports}{messages}"))]);
    assert!(report.is_empty(), "{report:?}");
    pool
}

fn load(texts: &[(&str, &str)]) -> (Pool, Report) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in texts {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let (mut report, mut sources) = (Report::default(), Sources::default());
    let span = Span::start_of(sources.add("routes.yaml", String::new()));
    let source = DescriptorSource::Proto { folder: folder.path().to_owned(), span };
    let pool = Pools::new().load(&Files::on_disk(), &[source], &Wanted::everything(), &mut report, &mut sources).pool;
    (pool, report)
}

fn walk(kind: &MessageType) -> Walk {
    Walk::compile(kind, &[], WalkOptions { validate: true, ..WalkOptions::default() })
}

/// `field rule` of everything that the message breaks.
fn broken(kind: &MessageType, bytes: &[u8]) -> Vec<String> {
    match walk(kind).run(bytes, &mut Values::new()) {
        Ok(()) => Vec::new(),
        Err(WalkProblem::Rules(violations)) => {
            violations.iter().map(|violation| format!("{} {}", violation.field, violation.rule)).collect()
        }
        Err(problem) => panic!("{problem}: {bytes:02x?}"),
    }
}

fn broken_json(kind: &MessageType, json: &str) -> Vec<String> {
    let mut bytes = Vec::new();
    from_json(kind, json, &mut bytes).unwrap_or_else(|problem| panic!("{problem}: {json}"));
    broken(kind, &bytes)
}
