//! What another configuration would do otherwise, said by `diff` and by a gateway that runs; and that a reload breaks no client unasked.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use protogate::reload::Outcome;
use serde_json::{Value, json};

use crate::support::client::TestClient;
use crate::support::nodes::eventually;
use crate::support::walkthrough::{Reader, Step, steps, wait_for};
use crate::support::{ECHO, TestGateway, copy, folder_with, operator, reload, top};

/// Open to everybody, so that production needs no issuer.
const ROUTES: &str = r"
version: 1
descriptors: [{ proto: ../proto }]
backends: { echo: { builtin: echo } }
rate_limits: { plenty: { key: [caller], rate: 100000/s, burst: 100000 } }
defaults: { backend: echo, rate_limits: [plenty], access: anonymous }
routes:
  9001: { name: echo, rpc: protogate.echo.v1.EchoService/Echo }
  9002: { name: echo.old, rpc: protogate.echo.v1.EchoService/Echo }
";

const PROTO: &str = "proto/protogate/echo/v1/echo.proto";

fn without_old() -> String {
    ROUTES.lines().filter(|line| !line.contains("9002")).map(|line| format!("{line}\n")).collect()
}

fn findings(check: &Value) -> Vec<(&str, &str)> {
    let findings = check["diagnostics"].as_array().unwrap().iter();
    let text = |finding: &'_ Value, key: &str| finding[key].as_str().unwrap().to_owned().leak() as &str;
    findings.filter(|finding| finding["severity"] == "error").map(|finding| (text(finding, "code"), text(finding, "message"))).collect()
}

/// The first finding of a code.
fn found<'c>(check: &'c Value, code: &str) -> &'c Value {
    check["diagnostics"].as_array().unwrap().iter().find(|finding| finding["code"] == code).unwrap()
}

fn protogate(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_protogate"));
    command.args(arguments).current_dir(folder).env_remove("GATEWAY_MODE").output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it ends by itself")
}

fn said(output: &Output) -> String {
    String::from_utf8([&output.stdout[..], &output.stderr[..]].concat()).unwrap()
}

#[test]
fn how_tokens_are_signed_is_compared_without_a_key_as_well() {
    let folder = folder_with(&[("old/routes.yaml", ROUTES), ("new/routes.yaml", ROUTES)]);
    let signing = |name: &str, ttl: &str| {
        let text = format!("version: 1\nauth: {{ signing: {{ issuer: ours, access_ttl: {ttl} }} }}\n");
        fs::write(folder.path().join(name).join("gateway.yaml"), text).unwrap();
    };
    signing("old", "10m");
    signing("new", "10m");
    let same = protogate(folder.path(), &["diff", "old", "new"]);
    assert_eq!(code(&same), 0, "{}", said(&same));
    signing("new", "20m");
    let longer = protogate(folder.path(), &["diff", "old", "new"]);
    assert_eq!(code(&longer), 4);
    assert!(said(&longer).contains("`auth.signing.access_ttl` is 20m, and was 10m"), "{}", said(&longer));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_that_would_break_clients_is_refused_with_how_many_there_are_and_done_when_asked_for() {
    let gateway = TestGateway::start_in_production(ROUTES, "reload: { watch: false }");
    let (mut alice, mut bob) = (TestClient::connect(gateway.edge()).await, TestClient::connect(gateway.edge()).await);
    assert_eq!(alice.echo(9001, "hi").await, "hi");
    assert_eq!(alice.echo(9002, "hi").await, "hi");
    assert_eq!(bob.echo(9002, "hi").await, "hi");

    gateway.write("routes/routes.yaml", &without_old());
    let (status, refused) = reload(&gateway).await;
    assert_eq!((status, &refused["outcome"]), (422, &json!("refused")));
    let expected = [("PG120", "route 9002 `echo.old` is gone; called 2 times in the last hour")];
    assert_eq!(findings(&refused["check"]), expected);
    assert!(found(&refused["check"], "PG120")["help"].as_str().unwrap().contains("--allow-breaking"), "{refused}");
    assert_eq!(bob.echo(9002, "still there").await, "still there");

    // Whoever asks before sees the same, and the history remembers it.
    let (_, difference) = operator(&gateway, "/api/v1/diff", None).await;
    assert_eq!(
        (&difference["breaking"], &difference["allowed"], &difference["effects"]["breaks"]),
        (&json!(true), &json!(false), &json!(1))
    );
    assert_eq!(difference["changes"][0]["routes"], json!([{ "number": 9002, "name": "echo.old", "calls_last_hour": 3 }]));
    let (_, check) = operator(&gateway, "/api/v1/check", Some("{}")).await;
    assert_eq!(findings(&check["check"])[0].0, "PG120");
    assert!(matches!(gateway.gateway().reload(), Outcome::Refused { .. }), "a signal asks for nothing more");
    let (_, reloads) = operator(&gateway, "/api/v1/reloads", None).await;
    assert_eq!((&reloads["reloads"][0]["cause"], &reloads["reloads"][0]["outcome"]), (&json!("signal"), &json!("refused")));
    assert_eq!(findings(&reloads["reloads"][1]["check"])[0].0, "PG120");

    // What is put back is what runs.
    gateway.write("routes/routes.yaml", ROUTES);
    assert_eq!(reload(&gateway).await.1["outcome"], "unchanged");
    gateway.write("routes/routes.yaml", &without_old());
    for (wrong, status) in
        [(r#"{"allow": true}"#, 400), (r#"{"allow_breaking": "yes"}"#, 400), (r#"{"allow_breaking": false}"#, 422), ("", 422)]
    {
        assert_eq!(operator(&gateway, "/api/v1/reload", Some(wrong)).await.0, status, "{wrong}");
    }
    let (status, answer) = operator(&gateway, "/api/v1/reload", Some(r#"{"allow_breaking": true}"#)).await;
    assert_eq!((status, &answer["outcome"], &answer["generation"]), (200, &json!("swapped"), &json!(2)));
    assert_eq!(bob.call(9002, json!({})).await["status"]["reason"], "UNKNOWN_PROTOCOL", "by the same connection");
    assert_eq!(alice.echo(9001, "hi").await, "hi");

    // A route that comes back has its calls still.
    gateway.write("routes/routes.yaml", ROUTES);
    assert_eq!(reload(&gateway).await.1["outcome"], "swapped");
    assert_eq!(bob.echo(9002, "again").await, "again");
    gateway.write("routes/routes.yaml", &without_old());
    let (_, refused) = reload(&gateway).await;
    assert_eq!(findings(&refused["check"])[0].1, "route 9002 `echo.old` is gone; called 4 times in the last hour");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_clients_no_longer_read_is_refused_and_one_that_they_do_is_not() {
    let gateway = TestGateway::start_in_production(ROUTES, "reload: { watch: false }");
    let proto = fs::read_to_string(gateway.folder().join(PROTO)).unwrap();
    let request = "message EchoRequest {\n  string text = 1;\n";
    assert!(proto.contains(request));
    gateway.write(PROTO, &proto.replace(request, "message EchoRequest {\n  string text = 2;\n"));
    let (_, refused) = reload(&gateway).await;
    let errors = findings(&refused["check"]);
    let [("PG122", what)] = &*errors else { panic!("{errors:?}") };
    let expected = "field 1 `text` of `protogate.echo.v1.EchoRequest` has another number, 2; for clients that speak protobuf; \
                    in 9001 `echo` (called 0 times in the last hour), 9002 `echo.old` (called 0 times in the last hour)";
    assert_eq!(*what, expected);
    assert_eq!(found(&refused["check"], "PG122")["line"], 8, "where the first route says what it calls");

    gateway.write(PROTO, &proto.replace(request, &format!("{request}  string mood = 2;\n")));
    assert_eq!(reload(&gateway).await.1["outcome"], "swapped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watched_gateway_refuses_by_itself_and_takes_over_what_its_files_allow() {
    let gateway = TestGateway::start_in_production(ROUTES, "reload: { watch: true, debounce: 50ms }");
    gateway.write("routes/routes.yaml", &without_old());
    let refused = || async {
        let (_, reloads) = operator(&gateway, "/api/v1/reloads", None).await;
        reloads["reloads"][0]["cause"] == "watch" && reloads["reloads"][0]["outcome"] == "refused"
    };
    eventually("what it reads by itself is refused", refused).await;
    assert_eq!(gateway.gateway().generation(), 1);
    let process = fs::read_to_string(gateway.folder().join("routes/gateway.yaml")).unwrap();
    gateway.write("routes/gateway.yaml", &process.replace("watch: true", "watch: true, allow_breaking: true"));
    wait_for("the files are read again", || gateway.gateway().generation() == 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_development_clients_may_break_unless_the_files_say_otherwise() {
    let gateway = TestGateway::start(ROUTES);
    gateway.write("routes/routes.yaml", &without_old());
    let (_, difference) = operator(&gateway, "/api/v1/diff", None).await;
    assert_eq!((&difference["breaking"], &difference["allowed"]), (&json!(true), &json!(true)));
    assert_eq!(reload(&gateway).await.1["outcome"], "swapped");
    gateway.write("routes/gateway.yaml", "version: 1\nreload: { watch: false, allow_breaking: false }\n");
    gateway.write("routes/routes.yaml", &without_old().replace("9001", "9003"));
    assert_eq!(
        findings(&reload(&gateway).await.1["check"])[0].1,
        "route 9001 `echo` has another number, 9003; called 0 times in the last hour"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_sees_the_difference_to_what_runs_and_says_that_clients_may_break() {
    let gateway = TestGateway::start(ROUTES);
    let admin = gateway.admin().to_string();
    let run = |arguments: &[&str]| protogate(gateway.folder(), &[arguments, &["--admin", &admin]].concat());
    let same = run(&["diff", "--against", "running"]);
    assert_eq!((code(&same), said(&same).as_str()), (0, "diff: nothing means anything else\n"));

    TestClient::connect(gateway.edge()).await.echo(9002, "hi").await;
    gateway.write("routes/gateway.yaml", "version: 1\nreload: { watch: false, allow_breaking: false }\n");
    gateway.write("routes/routes.yaml", &without_old());
    let broken = run(&["diff", "--against", "running"]);
    assert_eq!(code(&broken), 5);
    assert!(
        said(&broken).starts_with("breaks clients (1)\n  route 9002 `echo.old` is gone: called once in the last hour"),
        "{}",
        said(&broken)
    );
    let refused = run(&["reload"]);
    assert_eq!(code(&refused), 1);
    assert!(said(&refused).contains("error[PG120]: route 9002 `echo.old` is gone") && said(&refused).contains("--allow-breaking"));
    assert_eq!(code(&run(&["reload", "--allow-breaking"])), 0);

    gateway.write("routes/routes.yaml", &without_old().replace("builtin: echo", "builtin: ecko"));
    let broken = run(&["diff", "--against", "running"]);
    assert!(code(&broken) == 1 && said(&broken).contains("error[PG026]"), "{}", said(&broken));
    assert_eq!(code(&protogate(gateway.folder(), &["diff", "--against", "running", "--admin", "127.0.0.1:1"])), 69);
}

#[test]
fn two_folders_are_compared_and_the_exit_code_says_how_they_differ() {
    let folder = folder_with(&[("old/routes.yaml", ECHO), ("new/routes.yaml", ECHO)]);
    let diff = |arguments: &[&str]| protogate(folder.path(), &[&["diff"], arguments].concat());
    let becomes = |from: &str, to: &str| fs::write(folder.path().join("new/routes.yaml"), ECHO.replace(from, to)).unwrap();
    assert_eq!(code(&diff(&["old", "new"])), 0);

    becomes("rate: 100000/s", "rate: 100/s");
    let tighter = diff(&["old", "new"]);
    let expected = "tightens (1)\n  the rate limit `plenty` lets 100/s through, and let 100000/s: 9001 `echo`, 9002 `echo.known`, 9003 `echo.player`  new/routes.yaml:6\n\ndiff: no client breaks (1 tightens)\n";
    assert_eq!((code(&tighter), said(&tighter).as_str()), (4, expected));

    becomes("  9003:", "  9004:");
    assert_eq!(code(&diff(&["old", "new"])), 5);
    let told: Value = serde_json::from_slice(&diff(&["old", "new", "--format", "json"]).stdout).unwrap();
    assert_eq!((&told["version"], &told["changes"][0]["code"]), (&json!(1), &json!("PG120")));
    let github = said(&diff(&["old", "new", "--format", "github"]));
    assert!(
        github.starts_with("::error file=new/routes.yaml,line=11,title=PG120::route 9003 `echo.player` has another number, 9004"),
        "{github}"
    );
    assert!(said(&diff(&["old", "new", "--format", "markdown"])).starts_with("### diff: clients break"));

    becomes("builtin: echo", "builtin: ecko");
    let broken = diff(&["old", "new"]);
    assert_eq!(code(&broken), 1);
    assert!(said(&broken).ends_with("error: the configuration as it is now does not compile (1 error)\n"), "{}", said(&broken));
    assert!(said(&diff(&["new", "old"])).contains("the configuration in new does not compile"));
    assert_eq!(code(&diff(&["nowhere", "old"])), 66);
    for wrong in [
        &["old"][..],
        &[],
        &["--against", "walking"],
        &["--against", "git:"],
        &["--against", "git:-x"],
        &["old", "new", "--against", "running"],
    ] {
        assert_eq!(code(&diff(wrong)), 64, "{wrong:?}");
    }
    assert!(said(&diff(&[])).starts_with("error: name two folders, or what to compare with"));
}

#[cfg(unix)]
#[test]
fn nothing_that_a_repository_says_is_run_or_fetched_by_a_comparison() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = folder_with(&[("routes/routes.yaml", ECHO)]);
    let (trap, mark) = (folder.path().join("trap"), folder.path().join("mark"));
    fs::write(&trap, format!("#!/bin/sh\ntouch {}\nexit 1\n", mark.display())).unwrap();
    fs::set_permissions(&trap, fs::Permissions::from_mode(0o755)).unwrap();
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"]);
        let output = git.args(arguments).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    git(&["init", "-q", "-b", "main"]);
    git(&["add", "."]);
    git(&["commit", "-q", "-m", "first"]);
    let trap = trap.to_str().unwrap();
    for key in ["core.fsmonitor", "core.pager", "core.sshCommand", "filter.x.smudge", "diff.x.textconv", "remote.origin.uploadpack"] {
        git(&["config", key, trap]);
    }
    fs::write(folder.path().join(".git/info/attributes"), "* filter=x diff=x\n").unwrap();
    let diff = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_protogate"));
        let command = command.args(["diff", "--against", "git:main", "--config", "routes"]).current_dir(folder.path());
        // As in a hook of another repository; and older versions of git do not know that nothing is to be fetched.
        command.env("GIT_DIR", "/nowhere").env("GIT_COMMON_DIR", "/nowhere").env("GIT_OBJECT_DIRECTORY", "/nowhere").output().unwrap()
    };
    assert_eq!(code(&diff()), 0, "{}", said(&diff()));

    // What is missing would be fetched from where the repository says.
    let id = git(&["rev-parse", "HEAD:routes/routes.yaml"]);
    fs::remove_file(folder.path().join(".git/objects").join(&id[..2]).join(id[2..].trim_end())).unwrap();
    git(&["config", "core.repositoryformatversion", "1"]);
    git(&["config", "extensions.partialClone", "origin"]);
    for url in ["ssh://host/there", "/there", &format!("ext::{trap}")] {
        git(&["config", "remote.origin.url", url]);
        assert_ne!(code(&diff()), 0);
    }
    assert!(!mark.exists(), "something of the repository's was run");
}

#[test]
fn a_folder_is_compared_with_itself_at_a_revision() {
    let folder = folder_with(&[("deploy/routes/routes.yaml", &ECHO.replace("../proto", "../../proto"))]);
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"]);
        let output = git.args(arguments).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", said(&output));
    };
    git(&["init", "-q", "-b", "main"]);
    git(&["add", "."]);
    git(&["commit", "-q", "-m", "first"]);
    let diff = |revision: &str| protogate(folder.path(), &["diff", "--config", "deploy/routes", "--against", revision]);
    let same = diff("git:main");
    assert_eq!(code(&same), 0, "{}", said(&same));

    // The descriptors beside the folder are those of the revision too.
    let proto = fs::read_to_string(folder.path().join(PROTO)).unwrap();
    fs::write(
        folder.path().join(PROTO),
        proto.replace("message EchoRequest {\n  string text = 1;", "message EchoRequest {\n  string said = 1;"),
    )
    .unwrap();
    let renamed = diff("git:HEAD");
    assert_eq!(code(&renamed), 5, "{}", said(&renamed));
    let expected = "breaks clients (1)\n  field 1 `text` of `protogate.echo.v1.EchoRequest` is `said` in JSON, and was `text`: only for clients that speak JSON; 9001 `echo`, 9002 `echo.known`, 9003 `echo.player`";
    assert!(said(&renamed).starts_with(expected), "{}", said(&renamed));
    git(&["commit", "-q", "-a", "-m", "second"]);
    assert_eq!((code(&diff("git:HEAD")), code(&diff("git:HEAD~1"))), (0, 5));
    let nothing = diff("git:nowhere");
    assert_eq!((code(&nothing), said(&nothing).as_str()), (66, "error: there is no revision `nowhere`\n"));
    assert_eq!(said(&diff("git:^main")), "error: there is no revision `^main`\n");

    // A file beside it whose name is no text is nobody's business.
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::ffi::OsStrExt as _;
        fs::write(folder.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9")), "").unwrap();
        git(&["add", "."]);
        git(&["commit", "-q", "-m", "third"]);
        assert_eq!(code(&diff("git:HEAD")), 0, "{}", said(&diff("git:HEAD")));
    }
    let elsewhere = folder_with(&[("routes/routes.yaml", ECHO)]);
    assert_eq!(code(&protogate(elsewhere.path(), &["diff", "--against", "git:main"])), 66, "it is no repository");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_page_about_changes_types_shows_what_it_shows() {
    let folder = folder_with(&[]);
    copy(&top().join("routes"), &folder.path().join("routes"));
    let mut reader = Reader::new(folder.path());
    let mut typed = 0;
    for step in steps(&fs::read_to_string(top().join("docs/changes.md")).unwrap()) {
        match step {
            Step::Type { command, shown } => {
                reader.types(&command, &shown);
                typed += 1;
            }
            Step::Other { language, .. } if language == "yaml" || language.is_empty() => {}
            other => panic!("nobody follows {other:?}"),
        }
    }
    assert!(typed >= 3);
}
