//! Folders and sets become one pool; what is wrong with them has a place.

use std::fs;
use std::path::PathBuf;

use prost::Message as _;
use prost_types::{FileDescriptorProto, FileDescriptorSet};

use super::{POOL, load, message_type};
use crate::diagnostic::{Report, Sources, Span};
use crate::files::Files;
use crate::proto::{DescriptorSource, FieldPath, Kind, Pool, Pools, Wanted, closure_hash};

struct Folder(tempfile::TempDir);

impl Folder {
    /// Files by path; those whose content is compiled are the keys' sets.
    fn with(files: &[(&str, &str)]) -> Folder {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Folder(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A set of one file, compiled or not.
    fn set(&self, name: &str, files: Vec<FileDescriptorProto>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, FileDescriptorSet { file: files }.encode_to_vec()).unwrap();
        path
    }
}

fn parsed(name: &str, text: &str) -> FileDescriptorProto {
    protox::file::File::from_source(name, text).unwrap().into()
}

/// `code file:line:column message` of each finding.
fn lines((_, report, texts): &(Pool, Report, Sources)) -> Vec<String> {
    let line = |span: Span| {
        let (file, position) = (texts.file(span.file), texts.file(span.file).position(span.start));
        format!("{}:{}:{}", file.path.file_name().unwrap().to_string_lossy(), position.line, position.column)
    };
    report.sorted().iter().map(|found| format!("{} {} {}", found.rule.code(), line(found.label.span), found.message)).collect()
}

#[test]
fn methods_have_a_path_types_and_a_kind() {
    let kinds = ["Get", "Watch", "Send", "Talk"].map(|name| POOL.method(&format!("test.v1.Store/{name}")).unwrap().kind);
    assert_eq!(kinds, [Kind::Unary, Kind::ServerStream, Kind::ClientStream, Kind::Bidi]);
    let method = POOL.method("test.v1.Store/Talk").unwrap();
    assert_eq!(method.path, "/test.v1.Store/Talk");
    assert_eq!((method.input.name(), method.output.name(), method.deprecated), ("test.v1.Kinds", "test.v1.Inner", true));
}

#[test]
fn a_missing_name_says_what_there_is() {
    let folder = Folder::with(&[(
        "p/shop.proto",
        "syntax = \"proto3\"; package shop; service Shop { rpc Buy(Order) returns (Order); } message Order {}",
    )]);
    let (mut report, mut texts) = (Report::default(), Sources::default());
    let span = Span::start_of(texts.add("routes.yaml", String::new()));
    let sources = [DescriptorSource::Proto { folder: folder.path("p"), span }];
    let loaded = Pools::new().load(&Files::on_disk(), &sources, &Wanted::default(), &mut report, &mut texts);
    let missing = loaded.method("shop.Shop/Buyy").err().unwrap();
    assert_eq!(missing.what, "service `shop.Shop` has no method `Buyy`");
    assert_eq!(missing.known, ["shop.Shop/Buy"]);
    assert_eq!(loaded.method("shop.Store/Buy").err().unwrap().what, "service `shop.Store` does not exist");
    assert_eq!(loaded.method("Buy").err().unwrap().what, "`Buy` is not of the form `package.Service/Method`");
    assert_eq!(loaded.message("shop.Oder").err().unwrap().known, ["shop.Order"]);
}

#[test]
fn paths_say_what_is_wrong_with_them() {
    let kind = message_type("test.v1.Kinds");
    let problem = |path| FieldPath::resolve(&kind, path).err().unwrap().what;
    assert_eq!(problem("inner.nmae"), "message `test.v1.Inner` has no field `nmae`");
    assert_eq!(problem("f_string.x"), "field `f_string` is a string and has no fields");
    assert_eq!(problem(""), "message `test.v1.Kinds` has no field ``");
    assert_eq!(FieldPath::resolve(&kind, "inner_by_id.name").ok().unwrap().numbers(), [41, 2, 2]);
}

#[test]
fn the_gateways_own_messages_are_compiled_in() {
    let own = Pool::own();
    assert!(own.is_complete());
    assert!(own.message("protogate.wire.v1.Envelope").is_some());
    assert!(own.method("protogate.echo.v1.EchoService/Echo").is_some());
}

#[test]
fn imports_are_found_in_other_sources() {
    let folder = Folder::with(&[
        ("a/a.proto", "syntax = \"proto3\"; package a; import \"b.proto\"; message A { b.B b = 1; }"),
        ("b/b.proto", "syntax = \"proto3\"; package b; import \"c.proto\"; message B { c.C c = 1; }"),
        ("d/d.proto", "syntax = \"proto3\"; package d; message D {}"),
    ]);
    let set =
        folder.set("c.binpb", vec![parsed("c.proto", "syntax = \"proto3\"; package c; import \"d.proto\"; message C { d.D d = 1; }")]);
    let loaded = load(&[folder.path("a"), folder.path("b"), set, folder.path("d")]);
    assert_eq!(lines(&loaded), Vec::<String>::new());
    assert!(loaded.0.is_complete() && loaded.0.message("a.A").is_some());
}

#[test]
fn every_broken_file_is_reported_in_its_place_and_the_others_are_used() {
    let folder = Folder::with(&[
        ("p/broken.proto", "syntax = \"proto3\";\nmessage M {\n  string = 1;\n}\n"),
        ("p/above.proto", "syntax = \"proto3\"; import \"broken.proto\"; message Above { M m = 1; }"),
        ("p/types.proto", "syntax = \"proto3\";\nmessage T {\n  Nothing n = 1;\n  Void v = 2;\n}\n"),
        ("p/imports.proto", "syntax = \"proto3\";\nimport \"gone.proto\";\n"),
        ("p/edition.proto", "// new\nedition = \"2023\";\nmessage E {}\n"),
        ("p/one.proto", "syntax = \"proto3\"; import \"two.proto\";"),
        ("p/two.proto", "syntax = \"proto3\"; import \"one.proto\";"),
        ("p/good.proto", "syntax = \"proto3\"; message Good {}"),
    ]);
    let loaded = load(&[folder.path("p")]);
    let mut found = lines(&loaded);
    found.sort();
    assert_eq!(
        found,
        [
            "PG030 broken.proto:3:10 expected an identifier, but found `=`",
            "PG030 imports.proto:2:8 import `gone.proto` is in none of the descriptor sources",
            "PG030 one.proto:1:27 files import each other: `one.proto` → `two.proto` → `one.proto`",
            "PG030 types.proto:3:3 name `Nothing` is not defined",
            "PG030 types.proto:4:3 name `Void` is not defined",
            "PG033 edition.proto:2:1 file `edition.proto` uses protobuf Editions",
        ]
    );
    assert!(!loaded.0.is_complete());
    assert!(loaded.0.message("Good").is_some() && loaded.0.message("Above").is_none());
}

#[test]
fn a_set_that_is_none_and_a_set_of_editions_are_reported() {
    let folder = Folder::with(&[("text.binpb", "this is not a set"), ("empty.binpb", "")]);
    let edition = FileDescriptorProto { name: Some("e.proto".into()), syntax: Some("editions".into()), ..Default::default() };
    let lonely = parsed("lonely.proto", "syntax = \"proto3\"; import \"gone.proto\";");
    let set = folder.set("set.binpb", vec![edition, lonely]);
    let found = lines(&load(&[folder.path("text.binpb"), folder.path("empty.binpb"), set.clone(), folder.path("no.binpb")]));
    assert!(found[0].starts_with("PG031 routes.yaml:1:1 ") && found[0].ends_with("is not a descriptor set"), "{found:?}");
    assert!(found[1].starts_with("PG031 routes.yaml:2:1 "));
    assert!(
        found[2].starts_with("PG031 routes.yaml:3:1 import `gone.proto` is in none of the descriptor sources: file `lonely.proto`"),
        "{found:?}"
    );
    assert!(found[3].starts_with("PG033 routes.yaml:3:1 file `e.proto` in "));
    assert!(found[4].starts_with("PG001 routes.yaml:4:1 "));
}

const SHARED: &str =
    "syntax = \"proto3\"; package s; message S { enum E { Z = 0; } repeated E e = 1; optional int32 count = 2; map<string, S> m = 3; }";

#[test]
fn identical_copies_are_one() {
    let folder = Folder::with(&[("a/s.proto", SHARED), ("b/s.proto", &format!("// Another comment.\n{SHARED}"))]);
    let mut compiler = protox::Compiler::new([folder.path("a")]).unwrap();
    compiler.open_file("s.proto").unwrap();
    let set = folder.set("s.binpb", compiler.file_descriptor_set().file);
    for order in [[folder.path("a"), folder.path("b"), set.clone()], [set, folder.path("b"), folder.path("a")]] {
        let loaded = load(&order);
        assert_eq!(lines(&loaded), Vec::<String>::new());
        assert!(loaded.0.is_complete() && loaded.0.message("s.S").is_some());
    }
}

#[test]
fn sources_that_disagree_are_both_named() {
    let folder = Folder::with(&[
        ("a/s.proto", SHARED),
        ("b/s.proto", &SHARED.replace("count = 2", "count = 4")),
        ("c/other.proto", "syntax = \"proto3\"; package s; message S {}"),
    ]);
    let loaded = load(&[folder.path("a"), folder.path("b"), folder.path("c")]);
    let found = lines(&loaded);
    let named = |line: &str, what: &str, one: &str, other: &str| {
        line.contains(what) && line.contains(folder.path(one).to_str().unwrap()) && line.contains(folder.path(other).to_str().unwrap())
    };
    assert!(found[0].starts_with("PG032 routes.yaml:2:1") && named(&found[0], "file `s.proto`", "a", "b"), "{found:?}");
    assert!(found[1].starts_with("PG032 routes.yaml:3:1") && named(&found[1], "`s.S`", "a", "c"), "{found:?}");
    assert!(loaded.0.message("s.S").is_some() && !loaded.0.is_complete());
}

#[test]
fn a_folder_may_carry_its_own_well_known_types() {
    let folder = Folder::with(&[
        ("p/google/protobuf/descriptor.proto", "edition = \"2023\"; this is newer than what we parse"),
        ("p/google/protobuf/cpp_features.proto", "syntax = \"proto2\"; nonsense"),
        ("p/m.proto", "syntax = \"proto3\"; import \"google/protobuf/timestamp.proto\"; message M { google.protobuf.Timestamp at = 1; }"),
    ]);
    let loaded = load(&[folder.path("p")]);
    assert_eq!(lines(&loaded), Vec::<String>::new());
    assert!(loaded.0.message("M").is_some());
}

#[test]
fn an_empty_folder_and_one_that_is_not_there_are_reported() {
    let folder = Folder::with(&[("empty/readme.md", "")]);
    let found = lines(&load(&[folder.path("empty"), folder.path("gone")]));
    assert!(found[0].starts_with("PG030 routes.yaml:1:1") && found[0].ends_with("holds no .proto file"), "{found:?}");
    assert!(found[1].starts_with("PG001 routes.yaml:2:1"), "{found:?}");
}

#[test]
fn equal_bytes_share_a_pool_while_it_is_used() {
    let folder = Folder::with(&[("p/m.proto", "syntax = \"proto3\"; message M {}")]);
    let (pools, mut report, mut texts) = (Pools::new(), Report::default(), Sources::default());
    let span = Span::start_of(texts.add("routes.yaml", String::new()));
    let sources = [DescriptorSource::Proto { folder: folder.path("p"), span }];
    let mut load = || pools.load(&Files::on_disk(), &sources, &Wanted::everything(), &mut report, &mut texts).pool;
    let first = load();
    assert!(std::sync::Arc::ptr_eq(first.shapes(), load().shapes()));
    fs::write(folder.path("p/m.proto"), "syntax = \"proto3\"; message M {} message N {}").unwrap();
    assert!(load().message("N").is_some());
    drop(first);
}

#[test]
fn the_shipped_files_load_without_a_disk() {
    let files = Files::in_memory(&[("proto/a/a.proto", "syntax = \"proto3\"; message A {}")]);
    let (mut report, mut texts) = (Report::default(), Sources::default());
    let span = Span::start_of(texts.add("routes.yaml", String::new()));
    let sources = [DescriptorSource::Proto { folder: "routes/../proto".into(), span }];
    assert!(Pools::new().load(&files, &sources, &Wanted::everything(), &mut report, &mut texts).message("A").is_ok());
}

#[test]
fn the_closure_hash_is_of_what_clients_see() {
    let hash = |text: &str| {
        let folder = Folder::with(&[("p/m.proto", text)]);
        closure_hash(&[load(&[folder.path("p")]).0.message("M").unwrap()]).0
    };
    let base = "syntax = \"proto3\"; message M { int32 a = 1; N n = 2; } message N { string b = 1; } message Other {}";
    assert_eq!(
        hash(base),
        hash("syntax = \"proto3\"; /* a */ message N { string b = 1 [deprecated = true]; } message M { N n = 2; int32 a = 1; }")
    );
    for other in [
        base.replace("a = 1", "a = 3"),
        base.replace("string b", "bytes b"),
        base.replace("string b", "repeated string b"),
        base.replace("b = 1", "c = 1"),
    ] {
        assert_ne!(hash(base), hash(&other), "{other}");
    }
}
