//! Descriptors that hold far more than routes need: what is reached is compiled, and what is not is known by name.
//!
//! The collection is made up: a service in each of 300 files, which import each other in rows of ten. Each test looks at it as a folder and
//! as one set.

use std::path::PathBuf;

use prost::Message as _;
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use protogate::config::{self, Environment, LoadOptions};
use protogate::diagnostic::render::{self, Color};
use protogate::diagnostic::{Report, Sources};
use protogate::files::{Files, Fingerprint};
use protogate::proto::{Index, Kind, MessageType, Pools, from_json};
use protogate::table::compile::{Context, compile};
use protogate::table::plan::Plan;

const FILES: usize = 300;

/// How the collection lies there.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Form {
    Folder,
    Set,
}

/// A configuration over the collection.
struct Case {
    form: Form,
    /// `NAME: text` of files that are other than usual, or more.
    protos: Vec<(String, String)>,
    descriptor: &'static str,
    routes: &'static str,
    pools: Pools,
}

struct Checked {
    plan: Option<Plan>,
    report: Report,
    sources: Sources,
    fingerprint: Fingerprint,
}

// === impl Case ===

impl Case {
    fn new(form: Form, routes: &'static str) -> Case {
        Case { form, protos: (0..FILES).map(proto).collect(), descriptor: "", routes, pools: Pools::default() }
    }

    /// Puts a file in, perhaps in the place of another.
    fn with(mut self, name: &str, text: &str) -> Case {
        self.put(name, text);
        self
    }

    fn put(&mut self, name: &str, text: &str) {
        self.protos.retain(|(known, _)| known != name);
        self.protos.push((name.to_owned(), text.to_owned()));
    }

    fn check(&self) -> Checked {
        let source = if self.form == Form::Folder { "proto: ../proto" } else { "set: all.binpb" };
        let (descriptor, routes) = (self.descriptor, self.routes);
        let yaml = format!(
            "version: 1\ndescriptors: [{{ {source}, {descriptor} }}]\nbackends: {{ b: {{ grpc: {{ endpoints: [\"http://127.0.0.1:1\"] }} }} }}\n\
             defaults: {{ backend: b }}\n{routes}\n"
        );
        let mut files: Vec<(&'static str, &'static str)> = vec![("routes/routes.yaml", yaml.leak())];
        if self.form == Form::Folder {
            files.extend(self.protos.iter().map(|(name, text)| (&*format!("proto/{name}").leak(), &*text.clone().leak())));
        }
        let mut files = Files::in_memory(files.leak());
        if self.form == Form::Set {
            files = files.with("routes/all.binpb", self.set());
        }
        let lookup = |_: &str| None;
        let options = LoadOptions { folder: PathBuf::from("routes"), environment: Environment::Development, variables: &lookup };
        let (mut document, mut report) = config::load(&files, &options);
        let compiled = compile(&mut document, &files, &self.pools, &Context::default(), None, &mut report);
        Checked { plan: compiled.plan, report, sources: document.sources, fingerprint: files.fingerprint(b"") }
    }

    /// What compilers write has full names, and no file that they cannot read.
    fn set(&self) -> Vec<u8> {
        let files = self.protos.iter().filter_map(|(name, text)| {
            let file: FileDescriptorProto = protox::file::File::from_source(name, text).ok()?.into();
            Some(file)
        });
        FileDescriptorSet { file: files.collect() }.encode_to_vec()
    }
}

// === impl Checked ===

impl Checked {
    fn said(&self) -> String {
        render::human(&self.report, &self.sources, Color::Plain)
    }

    fn input(&self) -> MessageType {
        let plan = self.plan.as_ref().unwrap_or_else(|| panic!("{}", self.said()));
        plan.routes[0].method.input.clone()
    }

    fn has(&self, message: &str) -> bool {
        self.input().pool().message(message).is_some()
    }
}

/// `p7/f.proto`: a service, its messages, and the import of the next file unless it is the last of its ten.
fn proto(at: usize) -> (String, String) {
    let next = at + 1;
    let (import, field) = match at % 10 {
        9 => (String::new(), String::new()),
        _ => (format!("import \"p{next}/f.proto\";"), format!("p{next}.Ask next = 2;")),
    };
    let text = format!(
        "syntax = \"proto3\"; package p{at}; import \"google/protobuf/any.proto\"; {import}\n\
         service Service{at} {{ rpc Call(Ask) returns (Answer); rpc Watch(Ask) returns (stream Answer); }}\n\
         message Ask {{ string id = 1; {field} google.protobuf.Any any = 3; }}\n\
         message Answer {{ message Inner {{ }} Inner inner = 1; }}\n"
    );
    (format!("p{at}/f.proto"), text)
}

const SEVENTEEN: &str = "routes: { 2001: { name: a, rpc: p17.Service17/Call } }";

#[test]
fn what_routes_reach_is_compiled_and_nothing_else() {
    for form in [Form::Folder, Form::Set] {
        let checked = Case::new(form, SEVENTEEN).check();
        assert!(checked.has("p17.Ask") && checked.has("p17.Answer.Inner") && checked.has("p18.Ask") && checked.has("p19.Ask"));
        assert!(!checked.has("p16.Ask") && !checked.has("p20.Ask") && !checked.has("p200.Answer"), "{form:?}");
    }
}

#[test]
fn guards_and_pushes_reach_too() {
    for form in [Form::Folder, Form::Set] {
        let routes = "routes: { 2001: { name: a, rpc: p17.Service17/Call } }\n\
                      pushes: { 3001: { name: b, message: p101.Answer.Inner } }";
        let checked = Case::new(form, routes).check();
        assert!(checked.has("p101.Answer.Inner") && checked.has("p109.Ask") && !checked.has("p110.Ask"), "{form:?}");
        let routes = "routes: { 2001: { name: a, rpc: p17.Service17/Call, guards: [{ rpc: p55.Service55/Call, backend: b }] } }";
        let said = Case::new(form, routes).check().said();
        assert!(said.contains("`p55.Service55/Call` is no guard: it takes `p55.Ask`"), "{form:?} {said}");
    }
}

#[test]
fn names_that_nothing_reaches_are_known() {
    for form in [Form::Folder, Form::Set] {
        let said = |routes| Case::new(form, routes).check().said();
        assert!(said("routes: { 2001: { name: a, rpc: p150.Service150/Cal } }").contains("did you mean `p150.Service150/Call`?"));
        assert!(said("routes: { 2001: { name: a, rpc: p150.Servce150/Call } }").contains("did you mean `p150.Service150/Call`?"));
        assert!(said("pushes: { 2001: { name: a, message: p299.Answer.Iner } }").contains("did you mean `p299.Answer.Inner`?"));
        // A message that is named beside a route is told from the right one, without being compiled.
        let stated = said("routes: { 2001: { name: a, rpc: p17.Service17/Call, request: p200.Ask, response: p17.Anser } }");
        assert!(stated.contains("PG036") && stated.contains("`p17.Service17/Call` takes `p17.Ask`, not `p200.Ask`"), "{stated}");
        assert!(stated.contains("message `p17.Anser` does not exist"), "{stated}");
    }
}

#[test]
fn a_mistake_is_reported_where_something_needs_the_file() {
    let broken = "syntax = \"proto3\"; package p200; service Service200 { rpc Call(Nothing) returns (Nothing); }";
    for form in [Form::Folder, Form::Set] {
        let aside = Case::new(form, SEVENTEEN).with("p200/f.proto", broken).check();
        assert!(aside.report.is_empty(), "{form:?} {}", aside.said());
        for routes in
            ["routes: { 2001: { name: a, rpc: p200.Service200/Call } }", "routes: { 2001: { name: a, rpc: p195.Service195/Call } }"]
        {
            let reached = Case::new(form, routes).with("p200/f.proto", broken);
            // The second reaches it by an import of a file that it imports.
            let reached =
                reached.with("p199/f.proto", "syntax = \"proto3\"; package p199; import \"p200/f.proto\"; message Ask { }").check();
            assert!(
                reached.said().contains("`Nothing` is not defined") || reached.said().contains("is broken"),
                "{form:?} {}",
                reached.said()
            );
            assert_eq!(reached.report.errors(), if form == Form::Folder { 2 } else { 1 }, "{}", reached.said());
        }
    }
}

#[test]
fn a_file_that_makes_no_sense_may_have_the_missing_name() {
    let half = "syntax = \"proto3\"; package p200; service Service200 { rpc Call(Ask) returns (";
    let said = Case::new(Form::Folder, SEVENTEEN).with("p200/f.proto", half).check().said();
    assert_eq!(said, "", "nobody needs it");
    let said = Case::new(Form::Folder, "routes: { 2001: { name: a, rpc: p200.Other/Call } }").with("p200/f.proto", half).check().said();
    assert!(said.contains("it may be in `p200/f.proto`, of which a part makes no sense"), "{said}");
    let said = Case::new(Form::Folder, "routes: { 2001: { name: a, rpc: p20.Other/Call } }").with("p200/f.proto", half).check().said();
    assert!(!said.contains("p200/f.proto"), "{said}");
}

#[test]
fn a_type_that_only_a_message_names_is_reached_when_it_is_asked_for() {
    let json = r#"{"any": {"@type": "type.googleapis.com/p250.Ask", "id": "x"}}"#;
    for form in [Form::Folder, Form::Set] {
        let read = |case: &Case| from_json(&case.check().input(), json, &mut Vec::new());
        let mut case = Case::new(form, SEVENTEEN);
        let refused = read(&case).unwrap_err();
        assert!(refused.contains("`any`: `@type` is none of the types that are reached here"), "{form:?} {refused}");
        for types in ["types: [p250.Ask]", "types: [p250.*]"] {
            case.descriptor = types;
            assert_eq!(read(&case), Ok(()), "{form:?} {types}");
        }
        case.descriptor = "types: [p250.Aks, nobody.*, p30.*]";
        let said = case.check().said();
        assert!(said.contains("this source declares no type `p250.Aks`") && said.contains("did you mean `p250.Ask`?"), "{said}");
        assert!(said.contains("no type of this source has a name that begins with `nobody.`") && !said.contains("`p30"), "{said}");
    }
}

#[test]
fn a_file_that_adds_to_a_message_is_reached_with_it() {
    let base = "syntax = \"proto2\"; package p17; import \"google/protobuf/any.proto\"; message Ask { extensions 100 to 200; }\n\
                service Service17 { rpc Call(Ask) returns (Ask); }";
    let more = "syntax = \"proto2\"; package p17.more; import \"p17/f.proto\"; extend Ask { optional string note = 100; }";
    for form in [Form::Folder, Form::Set] {
        let case = Case::new(form, SEVENTEEN).with("p17/f.proto", base).with("more.proto", more);
        assert_eq!(from_json(&case.check().input(), r#"{"[p17.more.note]": "x"}"#, &mut Vec::new()), Ok(()), "{form:?}");
    }
}

#[test]
fn a_pool_stays_while_what_is_reached_does() {
    for form in [Form::Folder, Form::Set] {
        let mut case = Case::new(form, SEVENTEEN);
        let first = case.check();
        // Another route into the same files, and a change of a file that nobody needs.
        case.routes = "routes: { 2001: { name: a, rpc: p17.Service17/Call, timeout: 3s }, 2002: { name: b, rpc: p18.Service18/Watch } }";
        let (name, text) = proto(222);
        case.put(&name, &text.replace("string id", "bytes id"));
        let second = case.check();
        assert!(first.input() == second.input(), "{form:?}: one pool serves both");
        assert!(first.fingerprint != second.fingerprint);
        // A reached file.
        let (name, text) = proto(19);
        case.put(&name, &text.replace("string id", "bytes id"));
        let third = case.check();
        assert!(second.input() != third.input() && second.fingerprint != third.fingerprint, "{form:?}");
        // A file that appears, of which nobody knows yet whether it matters.
        case.put("new.proto", "syntax = \"proto3\";");
        let fourth = case.check();
        assert!(third.input() == fourth.input() && third.fingerprint != fourth.fingerprint, "{form:?}");
    }
}

#[test]
fn two_files_that_declare_one_name_are_both_looked_at_if_it_is_wanted() {
    let copy = "syntax = \"proto3\"; package p17; message Ask { } message Answer { } service Service17 { rpc Call(Ask) returns (Answer); }";
    for form in [Form::Folder, Form::Set] {
        let said = Case::new(form, SEVENTEEN).with("copy.proto", copy).check().said();
        assert!(said.contains("already defined"), "{form:?} {said}");
        let said = Case::new(form, "routes: { 2001: { name: a, rpc: p30.Service30/Call } }").with("copy.proto", copy).check().said();
        assert_eq!(said, "", "{form:?}: nobody needs either");
    }
}

#[test]
fn everything_is_listed_without_being_compiled() {
    for form in [Form::Folder, Form::Set] {
        let index = index(&Case::new(form, SEVENTEEN));
        assert_eq!(index.files().count(), FILES);
        let services: Vec<_> = index.services().collect();
        assert_eq!(services.len(), FILES);
        let (service, file) = services.iter().find(|(service, _)| &*service.name == "p42.Service42").unwrap();
        let methods: Vec<(&str, Kind)> = service.methods.iter().map(|method| (&*method.name, method.kind)).collect();
        assert_eq!((methods, file.name.as_str()), (vec![("Call", Kind::Unary), ("Watch", Kind::ServerStream)], "p42/f.proto"));
        assert_eq!(index.messages().filter(|name| name.ends_with(".Answer.Inner")).count(), FILES);
    }
}

/// What the sources of a case declare.
fn index(case: &Case) -> Index {
    use protogate::diagnostic::Span;
    use protogate::proto::DescriptorSource;

    let folder = tempfile::tempdir().unwrap();
    let mut texts = Sources::default();
    let span = Span::start_of(texts.add("routes.yaml", String::new()));
    let source = match case.form {
        Form::Folder => {
            for (name, text) in &case.protos {
                let path = folder.path().join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            DescriptorSource::Proto { folder: folder.path().to_owned(), span }
        }
        Form::Set => {
            let file = folder.path().join("all.binpb");
            std::fs::write(&file, case.set()).unwrap();
            DescriptorSource::Set { file, span }
        }
    };
    let mut report = Report::default();
    let index = Index::of(&Files::on_disk(), &[source], &mut report);
    assert!(report.is_empty());
    index
}
