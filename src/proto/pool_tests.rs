//! Loading: what is shared, what is found across sources, and how each kind of broken input is reported.

use std::path::PathBuf;

use prost::Message;
use tempfile::TempDir;

use super::*;
use crate::diagnostic::{Rule, Span};

/// The pool of one proto text, for the other tests of this room.
pub(in crate::proto) fn pool_of(text: &str) -> Pool {
    let folder = Folder::new(&[("inline.proto", text)]);
    let (pool, rules, text) = load(&[folder.source()]);
    assert!(rules.is_empty(), "{text}");
    pool
}

struct Folder(TempDir);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Folder {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("it lies in the folder")).expect("a folder");
            std::fs::write(path, text).expect("a file");
        }
        Folder(folder)
    }

    fn source(&self) -> DescriptorSource {
        DescriptorSource::Proto { folder: self.0.path().to_owned(), span: span() }
    }

    /// The folder compiled, as a set with all imports or with the named files alone.
    fn set(&self, names: &[&str], imports: bool) -> (TempDir, DescriptorSource) {
        let mut compiler = protox::Compiler::new([self.0.path()]).expect("an include path");
        compiler.include_imports(imports).include_source_info(true).open_files(names).expect("the files compile");
        set_of(&compiler.encode_file_descriptor_set())
    }
}

fn set_of(bytes: &[u8]) -> (TempDir, DescriptorSource) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file: PathBuf = folder.path().join("set.binpb");
    std::fs::write(&file, bytes).expect("a file");
    (folder, DescriptorSource::Set { file, span: span() })
}

fn span() -> Span {
    Span::start_of(Sources::default().add("routes.yaml", String::new()))
}

/// The pool, the rules that were broken, and everything that was said.
fn load(sources: &[DescriptorSource]) -> (Pool, Vec<Rule>, String) {
    let (mut report, mut texts) = (Report::default(), Sources::default());
    texts.add("routes.yaml", String::new());
    let pool = Pools::default().load(&Files::on_disk(), sources, &mut report, &mut texts);
    assert_eq!(pool.is_complete(), !report.has_errors());
    let mut said = String::new();
    for finding in report.sorted() {
        let file = texts.file(finding.label.span.file);
        let at = file.position(finding.label.span.start);
        let name = file.path.file_name().expect("a name").to_string_lossy().into_owned();
        said += &format!("{name}:{}:{} {}\n", at.line, at.column, finding.message);
    }
    (pool, report.sorted().iter().map(|finding| finding.rule).collect(), said)
}

const USER: &str = "syntax = \"proto3\"; package u; message User { string id = 1; }";
const CHAT: &str = "syntax = \"proto3\"; package c;\nimport \"u/user.proto\";\nmessage Say { u.User by = 1; }\n\
    service Chat { rpc Say(Say) returns (Say); rpc Listen(Say) returns (stream Say) { option deprecated = true; } }";

#[test]
fn a_folder_becomes_methods_and_messages() {
    let (pool, rules, said) = load(&[Folder::new(&[("u/user.proto", USER), ("chat.proto", CHAT)]).source()]);
    assert!(rules.is_empty(), "{said}");
    let method = pool.method("c.Chat/Listen").expect("the service is declared");
    assert_eq!(
        (method.path.as_str(), method.input.name(), method.kind, method.deprecated),
        ("/c.Chat/Listen", "c.Say", Kind::ServerStream, true)
    );
    assert!(pool.message("google.protobuf.Timestamp").is_ok());
    let missing = pool.method("c.Chat/Sya").err().expect("it is missing");
    assert_eq!(missing.what, "service `c.Chat` has no method `Sya`");
    assert_eq!(missing.known, ["c.Chat/Say", "c.Chat/Listen"]);
    assert_eq!(pool.method("c.Chta/Say").err().expect("it is missing").what, "there is no service `c.Chta`");
    assert!(pool.method("Say").is_err_and(|missing| missing.known.len() == 2));
    assert!(pool.message("u.Usr").is_err_and(|missing| missing.known.contains(&"u.User".to_owned())));
}

#[test]
fn imports_resolve_across_sources() {
    let both = Folder::new(&[("u/user.proto", USER), ("chat.proto", CHAT)]);
    let (users, chat) = (Folder::new(&[("u/user.proto", USER)]), Folder::new(&[("chat.proto", CHAT)]));
    let (_a, user_set) = both.set(&["u/user.proto"], false);
    let (_b, chat_set) = both.set(&["chat.proto"], false);
    for sources in [[chat.source(), users.source()], [chat.source(), user_set], [chat_set, users.source()]] {
        let (pool, rules, said) = load(&sources);
        assert!(rules.is_empty(), "{said}");
        assert!(pool.method("c.Chat/Say").is_ok());
    }
}

#[test]
fn unchanged_descriptors_are_compiled_once() {
    let folder = Folder::new(&[("u/user.proto", USER)]);
    let (pools, mut report, mut texts) = (Pools::default(), Report::default(), Sources::default());
    let mut again = || pools.load(&Files::on_disk(), &[folder.source()], &mut report, &mut texts);
    let (a, b) = (again(), again());
    assert!(Arc::ptr_eq(&a.0, &b.0) && a.fingerprint() == b.fingerprint());
    std::fs::write(folder.0.path().join("u/user.proto"), format!("{USER} message More {{}}")).expect("a file");
    assert!(!Arc::ptr_eq(&a.0, &again().0));
}

#[test]
fn every_broken_file_is_reported_at_its_place_and_the_rest_is_there() {
    let bad_type = "syntax = \"proto3\"; package t;\nmessage M {\n  Nowhere x = 1;\n}";
    let importer = "syntax = \"proto3\"; package i; import \"bad.proto\"; import \"type.proto\"; message I {}";
    let files = [("bad.proto", "syntax = \"proto3\";\nmessage {"), ("type.proto", bad_type), ("i.proto", importer), ("u.proto", USER)];
    let (pool, rules, said) = load(&[Folder::new(&files).source()]);
    assert_eq!(rules, [Rule::ProtoSource, Rule::ProtoSource], "{said}");
    assert!(said.contains("bad.proto:2:9 ") && said.contains("type.proto:3:3 ") && said.contains("`Nowhere` is not defined"), "{said}");
    assert!(pool.message("u.User").is_ok() && pool.message("i.I").is_err());
}

#[test]
fn a_missing_import_is_named() {
    let folder = Folder::new(&[("chat.proto", CHAT)]);
    let (_, rules, said) = load(&[folder.source()]);
    assert_eq!(rules, [Rule::ProtoSource]);
    assert!(said.contains("chat.proto:2:") && said.contains("import `u/user.proto` not found"), "{said}");
    let (_a, set) = Folder::new(&[("u/user.proto", USER), ("chat.proto", CHAT)]).set(&["chat.proto"], false);
    let (_, rules, said) = load(&[set]);
    assert_eq!(rules, [Rule::ProtoSource]);
    assert!(said.contains("import `u/user.proto` not found"), "{said}");
}

#[test]
fn identical_copies_are_one_and_different_ones_conflict() {
    let folder = Folder::new(&[("u/user.proto", USER), ("chat.proto", CHAT)]);
    let commented = Folder::new(&[("u/user.proto", &format!("// The user.\n{USER}"))]);
    let (_a, set) = folder.set(&["chat.proto"], true);
    for sources in [[folder.source(), commented.source()], [folder.source(), set.clone()], [set.clone(), folder.source()]] {
        let (_, rules, said) = load(&sources);
        assert!(rules.is_empty(), "{said}");
    }
    let newer = Folder::new(&[("u/user.proto", "syntax = \"proto3\"; package u; message User { string id = 2; }")]);
    for sources in [[folder.source(), newer.source()], [set, newer.source()]] {
        let (pool, rules, said) = load(&sources);
        assert_eq!(rules, [Rule::DescriptorConflict], "{said}");
        assert!(said.contains("`u/user.proto` is not the same in `"), "{said}");
        assert!(pool.method("c.Chat/Say").is_ok());
    }
}

#[test]
fn one_type_in_two_files_conflicts_and_both_are_named() {
    let (a, b) = (Folder::new(&[("user.proto", USER)]), Folder::new(&[("u/user.proto", USER)]));
    let (_, rules, said) = load(&[a.source(), b.source()]);
    assert_eq!(rules, [Rule::DescriptorConflict], "{said}");
    assert!(said.contains("`u.User` is defined by both") && said.contains("/u/user.proto`"), "{said}");
}

#[test]
fn own_copies_of_google_files_are_passed_over() {
    let user =
        "syntax = \"proto3\"; package u; import \"google/protobuf/timestamp.proto\"; message M { google.protobuf.Timestamp at = 1; }";
    let newer = "syntax = \"proto2\"; package google.protobuf; message X { extensions 4 to 5 [ declaration = { number: 4 } ]; }";
    let folder =
        Folder::new(&[("m.proto", user), ("google/protobuf/descriptor.proto", newer), ("google/protobuf/timestamp.proto", "broken")]);
    let (pool, rules, said) = load(&[folder.source()]);
    assert!(rules.is_empty() && pool.message("u.M").is_ok(), "{said}");
    let (_a, set) = Folder::new(&[("m.proto", user)]).set(&["m.proto"], true);
    let (pool, rules, said) = load(&[folder.source(), set]);
    assert!(rules.is_empty() && pool.message("google.protobuf.X").is_err(), "{said}");
}

#[test]
fn editions_are_refused_by_name() {
    let text = "// edition = \"x\"\n/* note */ edition = \"2023\";\nmessage M {}";
    let importer = "syntax = \"proto3\"; import \"new.proto\"; message I {}";
    let (_, rules, said) = load(&[Folder::new(&[("new.proto", text), ("i.proto", importer)]).source()]);
    assert_eq!(rules, [Rule::Editions], "{said}");
    assert!(said.contains("new.proto:2:12 ") && said.contains("Editions"), "{said}");
    let file = prost_types::FileDescriptorProto { name: Some("new.proto".into()), syntax: Some("editions".into()), ..Default::default() };
    let (_a, set) = set_of(&prost_types::FileDescriptorSet { file: vec![file] }.encode_to_vec());
    let (_, rules, said) = load(&[set]);
    assert_eq!(rules, [Rule::Editions]);
    assert!(said.contains("`new.proto` in `"), "{said}");
}

#[test]
fn what_is_no_set_is_refused() {
    for bytes in [&b"not a set"[..], b"", b"\x0a\x02\x08\x01"] {
        let (_a, set) = set_of(bytes);
        let (_, rules, said) = load(&[set]);
        assert_eq!(rules, [Rule::DescriptorSet], "{said}");
    }
    let (_, rules, _) = load(&[DescriptorSource::Set { file: "/nowhere/at.all".into(), span: span() }]);
    assert_eq!(rules, [Rule::DescriptorSet]);
    let (_, rules, _) = load(&[DescriptorSource::Proto { folder: "/nowhere/at/all".into(), span: span() }, Folder::new(&[]).source()]);
    assert_eq!(rules, [Rule::ProtoSource, Rule::ProtoSource]);
}

#[test]
fn the_gateways_own_messages_are_there() {
    assert!(Pool::own().is_complete() && Pool::own().messages().count() > 0);
}
