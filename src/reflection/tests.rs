//! What is asked of servers, good and bad, and what comes of it.
#![allow(clippy::unwrap_used)] // A test that cannot go on says so by panicking.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body_util::{BodyExt as _, Full};
use prost::Message as _;
use prost_types::{DescriptorProto, FileDescriptorProto, ServiceDescriptorProto};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};
use tonic::body::Body;
use tower::service_fn;

use super::question::{Answer, Answered, Files, Question, Refused, ServiceEntry, Services};
use super::{Agreement, Bounds, Drift, Unanswered, ask, lock};
use crate::backend::{self, Backend, Builtins, GrpcSpec, Source, Spec, SpecKind};
use crate::proto::{Change, Changed, FileSet};
use crate::table::plan::LockPlan;
use crate::table::{Table, live};

/// What a server says to a question; nothing: it never answers.
type Script = Arc<dyn Fn(&str, Question) -> Option<Answer> + Send + Sync>;

/// A file of package `a` with these imports, these services, and a message `M` with so many fields for a name.
fn file(name: &str, imports: &[&str], services: &[&str]) -> FileDescriptorProto {
    FileDescriptorProto {
        name: Some(name.to_owned()),
        package: Some("a".to_owned()),
        dependency: imports.iter().map(|import| (*import).to_owned()).collect(),
        service: services.iter().map(|name| ServiceDescriptorProto { name: Some((*name).to_owned()), ..Default::default() }).collect(),
        ..Default::default()
    }
}

fn with_message(file: FileDescriptorProto, name: &str) -> FileDescriptorProto {
    let message = DescriptorProto { name: Some(name.to_owned()), ..Default::default() };
    FileDescriptorProto { message_type: vec![message], ..file }
}

fn told(files: &[FileDescriptorProto]) -> Option<Answer> {
    Some(Answer::Files(Files { files: files.iter().map(|file| file.encode_to_vec().into()).collect() }))
}

fn services(names: &[&str]) -> Option<Answer> {
    Some(Answer::Services(Services { services: names.iter().map(|name| ServiceEntry { name: (*name).to_owned() }).collect() }))
}

fn refused(code: i32) -> Option<Answer> {
    Some(Answer::Refused(Refused { code, message: "not here".to_owned() }))
}

/// A server that keeps the rules: every file alone, of services that are named `a.…`.
fn honest(files: Vec<FileDescriptorProto>) -> Script {
    Arc::new(move |_, question| match question {
        Question::ListServices(_) => {
            let names: Vec<String> = files.iter().flat_map(|file| &file.service).map(|service| format!("a.{}", service.name())).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).chain(super::asking::COMMON).collect();
            services(&names)
        }
        Question::FileContainingSymbol(name) => {
            let has = |file: &&FileDescriptorProto| file.service.iter().any(|service| format!("a.{}", service.name()) == name);
            files.iter().find(has).map_or_else(|| refused(5), |file| told(std::slice::from_ref(file)))
        }
        Question::FileByFilename(name) => {
            files.iter().find(|file| file.name() == name).map_or_else(|| refused(5), |file| told(std::slice::from_ref(file)))
        }
    })
}

/// Says this to the questions for files, and that it has the service `a.S`.
fn liar(say: impl Fn(&str) -> Option<Answer> + Send + Sync + 'static) -> Script {
    Arc::new(move |_, question| match question {
        Question::ListServices(_) => services(&["a.S"]),
        Question::FileContainingSymbol(name) | Question::FileByFilename(name) => say(&name),
    })
}

fn builtins(script: Script) -> Builtins {
    let mut builtins = Builtins::new(Handle::current());
    builtins.add(
        "server",
        service_fn(move |request: http::Request<Body>| {
            let script = Arc::clone(&script);
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let asked = super::question::Asked::decode(&body[5..]).unwrap();
                let Some(answer) = script(head.uri.path(), asked.question.unwrap()) else { std::future::pending().await };
                let message = Answered { answer: Some(answer) }.encode_to_vec();
                let framed = Bytes::from([&backend::frame(message.len())[..], &message].concat());
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                let body = Body::new(Full::new(framed).with_trailers(async { Some(Ok(trailers)) }));
                Ok(http::Response::builder().header("content-type", "application/grpc").body(body).unwrap())
            }
        }),
    );
    builtins
}

fn spec() -> Spec {
    Spec { name: "game".into(), kind: SpecKind::Builtin("server".into()) }
}

async fn asked(script: Script, services: &[&str], bounds: Bounds) -> Result<FileSet, String> {
    let backend = Backend::open(spec(), 1, &builtins(script), None).unwrap();
    let services: Vec<Arc<str>> = services.iter().map(|name| Arc::from(*name)).collect();
    ask(&backend, &services, &bounds).await.map_err(|problem| problem.to_string())
}

fn plan(file: PathBuf) -> LockPlan {
    LockPlan { backend: spec(), file, services: Vec::new(), refresh: Duration::from_secs(300) }
}

fn names(set: &FileSet) -> Vec<&str> {
    set.files().map(|file| file.name()).collect()
}

#[tokio::test]
async fn a_server_is_asked_to_its_last_import_and_not_for_what_every_server_has() {
    let files = vec![file("s.proto", &["z.proto", "b.proto"], &["S"]), file("b.proto", &["z.proto"], &[]), file("z.proto", &[], &[])];
    let set = asked(honest(files), &[], Bounds::default()).await.unwrap();
    assert_eq!(names(&set), ["z.proto", "b.proto", "s.proto"], "each behind its imports");
    assert_eq!(set.services(), BTreeSet::from(["a.S"]));
}

#[tokio::test]
async fn equal_servers_make_equal_locks_however_they_tell_them() {
    let files = vec![file("s.proto", &["z.proto"], &["S"]), file("z.proto", &[], &[])];
    let commented = FileDescriptorProto { source_code_info: Some(Default::default()), ..files[1].clone() };
    let all = [commented, files[0].clone()];
    let at_once = liar(move |_| told(&all));
    let one = asked(honest(files), &[], Bounds::default()).await.unwrap();
    let other = asked(at_once, &[], Bounds::default()).await.unwrap();
    assert_eq!(one.encode(), other.encode());
    assert!(FileSet::decode(&one.encode()).unwrap() == one);
}

#[tokio::test]
async fn only_the_services_that_are_named_are_locked_health_too() {
    let health = FileDescriptorProto { package: Some("grpc.health.v1".to_owned()), ..file("health.proto", &[], &["Health"]) };
    let script: Script = Arc::new(move |_, question| match question {
        Question::ListServices(_) => services(&["a.S", "a.T", "grpc.health.v1.Health"]),
        Question::FileContainingSymbol(name) if name == "a.S" => told(&[file("s.proto", &[], &["S"])]),
        _ => told(std::slice::from_ref(&health)),
    });
    let set = asked(Arc::clone(&script), &["a.S", "grpc.health.v1.Health"], Bounds::default()).await.unwrap();
    assert_eq!(set.services(), BTreeSet::from(["a.S", "grpc.health.v1.Health"]));
    let problem = asked(script, &["a.U"], Bounds::default()).await.unwrap_err();
    assert_eq!(problem, "cannot be locked: it has no service `a.U`; it has `a.S`, `a.T`, `grpc.health.v1.Health`");
}

#[tokio::test]
async fn a_server_that_knows_the_old_name_alone_is_asked_by_it() {
    let honest = honest(vec![file("s.proto", &[], &["S"])]);
    let old: Script = Arc::new(move |path, question| if path.contains("v1alpha") { honest(path, question) } else { refused(12) });
    assert_eq!(names(&asked(old, &[], Bounds::default()).await.unwrap()), ["s.proto"]);
    let none: Script = Arc::new(|_, _| refused(12));
    let problem = asked(none, &[], Bounds::default()).await.unwrap_err();
    assert!(problem.contains("no gRPC server reflection"), "{problem}");
}

#[tokio::test]
async fn what_everybody_has_need_not_be_told() {
    let files = vec![file("s.proto", &["google/protobuf/any.proto"], &["S"])];
    assert_eq!(names(&asked(honest(files), &[], Bounds::default()).await.unwrap()), ["s.proto"]);
}

#[tokio::test]
async fn a_server_without_end_ends_in_an_error() {
    let count = AtomicU32::new(0);
    let next = move || count.fetch_add(1, Ordering::Relaxed);
    let chain = liar(move |name| {
        let (name, import) = (if name == "a.S" { "x.proto" } else { name }, format!("f{}.proto", next()));
        told(&[file(name, &[&import], &["S"])])
    });
    let problem = asked(chain, &[], Bounds::default()).await.unwrap_err();
    assert!(problem.contains("more than 100 files import each other in a row"), "{problem}");

    let count = AtomicU32::new(0);
    let wide = liar(move |name| {
        let name = if name == "a.S" { "x.proto" } else { name };
        let imports: Vec<String> = (0..100).map(|_| format!("f{}.proto", count.fetch_add(1, Ordering::Relaxed))).collect();
        told(&[file(name, &imports.iter().map(String::as_str).collect::<Vec<_>>(), &["S"])])
    });
    let problem = asked(wide, &[], Bounds { depth_max: 1_000_000, ..Bounds::default() }).await.unwrap_err();
    assert_eq!(problem, "cannot be locked: its services need more than 4000 files");
}

#[tokio::test]
async fn a_server_that_tells_too_much_is_cut_off() {
    let big = |name: &str| with_message(file(name, &[], &[]), &"M".repeat(500));
    let few = Bounds { bytes_max: 1000, answer_bytes_max: 10_000, services_max: 4, ..Bounds::default() };
    let files = vec![file("s.proto", &["b.proto", "c.proto"], &["S"]), big("b.proto"), big("c.proto")];
    let problem = asked(honest(files), &[], few).await.unwrap_err();
    assert!(problem.starts_with("cannot be locked: its descriptors are larger than"), "{problem}");

    let huge = liar(move |_| told(&vec![big("b.proto"); 30]));
    let problem = asked(huge, &[], few).await.unwrap_err();
    assert!(problem.contains("10000 bytes announced") || problem.contains("reply_bytes_max is 10000"), "{problem}");

    let many: Script = Arc::new(|_, _| services(&["a.A", "a.B", "a.C", "a.D", "a.E"]));
    assert_eq!(asked(many, &[], few).await.unwrap_err(), "cannot be locked: it has more than 4 services");
}

#[tokio::test]
async fn a_server_that_answers_something_else_is_not_believed() {
    let cases: [(&str, Script); 8] = [
        ("asked for the service `a.S`, it told `b.proto`", liar(|_| told(&[file("b.proto", &[], &["T"])]))),
        ("asked for the service `a.S`, it told nothing", liar(|_| told(&[]))),
        (
            "asked for the file `b.proto`, it told `c.proto`",
            liar(|name| told(&[if name == "a.S" { file("s.proto", &["b.proto"], &["S"]) } else { file("c.proto", &[], &[]) }])),
        ),
        (
            "it told the file `s.proto` twice, and not the same",
            liar(|_| told(&[file("s.proto", &[], &["S"]), file("s.proto", &[], &["T"])])),
        ),
        (
            "files import each other: `b.proto`, `s.proto`",
            liar(|_| told(&[file("s.proto", &["b.proto"], &["S"]), file("b.proto", &["s.proto"], &[])])),
        ),
        ("asked for the service `a.S`, it told what is no descriptor of a file", liar(|_| told(&[file("\u{1b}[2J", &[], &["S"])]))),
        ("asked for the service `a.S`, it told something else", liar(|_| services(&[]))),
        (
            "asked for the service `a.S`, it told what is no descriptor of a file",
            liar(|_| Some(Answer::Files(Files { files: vec![Bytes::from_static(b"\xff\xff")] }))),
        ),
    ];
    for (expected, script) in cases {
        assert_eq!(asked(script, &[], Bounds::default()).await.err(), Some(format!("cannot be locked: {expected}")));
    }
    let forged: Script = Arc::new(|_, _| services(&["a.S\n\u{1b}[31m"]));
    let problem = asked(forged, &[], Bounds::default()).await.unwrap_err();
    assert!(problem.contains("a name that protobuf does not allow"), "{problem}");
    let nothing: Script = Arc::new(|_, _| services(&super::asking::COMMON));
    assert!(asked(nothing, &[], Bounds::default()).await.unwrap_err().contains("no service but reflection and health"));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_not_waited_for() {
    let began = Instant::now();
    let silent: Script = Arc::new(|_, _| None);
    let problem = asked(silent, &[], Bounds::default()).await.unwrap_err();
    assert!(problem.starts_with("cannot be asked: "), "{problem}");
    assert!(began.elapsed() <= Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_lock_is_written_when_it_changes_and_says_what_did() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(folder.path().join("game.lock.binpb"));
    let first = vec![with_message(file("s.proto", &["b.proto"], &["S", "T"]), "Old"), file("b.proto", &[], &[])];
    let locked = lock(&plan, &builtins(honest(first.clone())), &Bounds::default()).await.unwrap();
    assert!(locked.written);
    assert_eq!((locked.services, locked.files, locked.changes.len()), (2, 2, 4), "{:?}", locked.changes);

    let modified = |path: &Path| std::fs::metadata(path).unwrap().modified().unwrap();
    let then = modified(&plan.file);
    let locked = lock(&plan, &builtins(honest(first.clone())), &Bounds::default()).await.unwrap();
    assert!(!locked.written && locked.changes.is_empty());
    assert_eq!(modified(&plan.file), then, "nobody touched it");

    let mut second = vec![with_message(file("s.proto", &["b.proto"], &["S"]), "New"), file("b.proto", &[], &[])];
    second[0].service[0].options = Some(prost_types::ServiceOptions { deprecated: Some(true), ..Default::default() });
    second[1].options = Some(prost_types::FileOptions { go_package: Some("b".to_owned()), ..Default::default() });
    let locked = lock(&plan, &builtins(honest(second)), &Bounds::default()).await.unwrap();
    let change = |kind, name: &str, changed| Change { kind, name: name.to_owned(), changed };
    let expected = [
        change("file", "b.proto", Changed::Differs),
        change("message", "a.New", Changed::Added),
        change("message", "a.Old", Changed::Removed),
        change("service", "a.S", Changed::Differs),
        change("service", "a.T", Changed::Removed),
    ];
    assert_eq!(locked.changes, expected);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no draft is left behind");

    let before = std::fs::read(&plan.file).unwrap();
    let gone: Script = Arc::new(|_, _| refused(14));
    assert!(matches!(lock(&plan, &builtins(gone), &Bounds::default()).await, Err(Unanswered::Unreachable(_))));
    assert_eq!(std::fs::read(&plan.file).unwrap(), before, "what failed changes nothing");
}

#[tokio::test(start_paused = true)]
async fn a_gateway_sees_when_a_backend_tells_something_else_and_keeps_quiet_when_it_tells_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(folder.path().join("game.lock.binpb"));
    let locked = honest(vec![file("s.proto", &[], &["S"])]);
    lock(&plan, &builtins(Arc::clone(&locked)), &Bounds::default()).await.unwrap();

    let gone: Script = Arc::new(|_, _| refused(14));
    let now = Arc::new(Mutex::new((gone, BTreeMap::<Duration, u32>::new())));
    let (script, began) = (Arc::clone(&now), Instant::now());
    let server: Script = Arc::new(move |path, question| {
        let mut now = script.lock().unwrap();
        if let Question::ListServices(_) = &question {
            *now.1.entry(began.elapsed()).or_default() += 1;
        }
        (now.0)(path, question)
    });
    let mut table = Table::empty();
    table.locks = Arc::new([plan]);
    let (_writer, reader) = live(Arc::new(table));
    let drift = Drift::default();
    let watching = tokio::spawn(drift.clone().watch(reader, Arc::new(builtins(server)), Bounds::default()));
    let state = || drift.all().remove(0).agreement;

    sleep(Duration::from_secs(60)).await;
    assert!(matches!(state(), Agreement::Unknown(Some(_))), "{:?}", state());
    let asked = now.lock().unwrap().1.len();
    assert!((4..=7).contains(&asked), "less and less often, not {asked} times");

    now.lock().unwrap().0 = locked;
    sleep(Duration::from_secs(120)).await;
    assert_eq!(state(), Agreement::Agrees);

    now.lock().unwrap().0 = honest(vec![file("s.proto", &[], &["S", "T"])]);
    sleep(Duration::from_secs(310)).await;
    let added = Change { kind: "service", name: "a.T".to_owned(), changed: Changed::Added };
    let differs = Agreement::Differs { changes: vec![added], count: 1 };
    assert_eq!(state(), differs);

    now.lock().unwrap().0 = Arc::new(|_, _| refused(14));
    sleep(Duration::from_secs(400)).await;
    assert_eq!(state(), differs, "what was found is the last that is known");
    assert!(drift.all()[0].age.unwrap() > Duration::from_secs(300));
    watching.abort();
}

#[tokio::test]
async fn a_backend_whose_endpoints_register_is_not_asked_and_says_what_to_do() {
    let mut plan = plan("game.lock.binpb".into());
    let grpc = GrpcSpec { source: Source::Registry { allow: Vec::new() }, ..GrpcSpec::at(Vec::new()) };
    plan.backend.kind = SpecKind::Grpc(Box::new(grpc));
    let problem = lock(&plan, &builtins(honest(Vec::new())), &Bounds::default()).await.err().unwrap().to_string();
    assert!(problem.contains("list one under `endpoints`"), "{problem}");
}
