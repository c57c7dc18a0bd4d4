//! What a person types, and the exit codes that scripts rely on.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::walkthrough::{Reader, wait_for};
use crate::support::{ECHO, TestGateway, folder_with, top};

fn protogate(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_protogate")).args(arguments).current_dir(folder).env_remove("GATEWAY_MODE").output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it ends by itself")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn check_accepts_what_is_shipped_without_a_warning() {
    let output = protogate(&top(), &["check", "--deny-warnings"]);
    assert_eq!(code(&output), 0, "{}", text(&output.stdout));
    assert!(text(&output.stdout).contains("check: 0 errors, 0 warnings, 26 routes"), "{}", text(&output.stdout));
}

#[test]
fn a_pipe_that_somebody_closed_is_nobodys_fault() {
    let commands = ["check", "explain 2003", "explain PG023", "routes --files", "schema", "docs", "diff routes examples/greeter/routes"];
    for command in commands.into_iter().chain(["init --dry-run", "test", "fmt --check"]) {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut it = Command::new(env!("CARGO_BIN_EXE_protogate"));
        it.args(command.split(' ')).current_dir(top()).env_remove("GATEWAY_MODE").stdout(writer);
        let output = it.output().unwrap();
        let said = text(&output.stderr);
        assert!(code(&output) < 6 && !said.contains("panicked"), "{command}: {said}");
    }
}

#[test]
fn check_ends_with_the_code_that_the_finding_has() {
    let folder = folder_with(&[("routes/routes.yaml", ECHO)]);
    let check = |arguments: &[&str]| code(&protogate(folder.path(), &[&["check"], arguments].concat()));
    assert_eq!(check(&[]), 0);
    assert_eq!(check(&["--config", "nowhere"]), 66, "a file that is not there");
    assert_eq!(check(&["--nonsense"]), 64, "a wrong command line");
    assert_eq!(check(&["--env", "producton"]), 64, "a wrong environment");

    let warned = ECHO.replace("routes:", "  # unused below\nroutes:").replace("backends: {", "backends: { spare: { builtin: echo },");
    std::fs::write(folder.path().join("routes/routes.yaml"), warned).unwrap();
    assert_eq!(check(&[]), 0, "a warning is no error");
    assert_eq!(check(&["--deny-warnings"]), 2);

    std::fs::write(folder.path().join("routes/routes.yaml"), ECHO.replace("rpc:", "rcp:")).unwrap();
    assert_eq!(check(&[]), 1);
}

#[test]
fn check_speaks_to_programs() {
    let folder = folder_with(&[("routes/routes.yaml", &ECHO.replace("backend: echo,", "backend: ecko,"))]);
    let json: serde_json::Value = serde_json::from_slice(&protogate(folder.path(), &["check", "--format", "json"]).stdout).unwrap();
    let found = &json["diagnostics"][0];
    assert_eq!(
        (json["version"].as_u64(), found["code"].as_str(), found["severity"].as_str()),
        (Some(1), Some("PG023"), Some("error")),
        "{json}"
    );
    assert_eq!((found["line"].as_u64(), found["help"].as_str()), (Some(6), Some("did you mean `echo`?")), "{json}");
    let sarif: serde_json::Value = serde_json::from_slice(&protogate(folder.path(), &["check", "--format", "sarif"]).stdout).unwrap();
    assert_eq!(sarif["runs"][0]["results"][0]["ruleId"], "PG023");
    let github = text(&protogate(folder.path(), &["check", "--format", "github"]).stdout);
    assert!(github.starts_with("::error file=routes/routes.yaml,line=6"), "{github}");
}

#[test]
fn check_writes_nothing() {
    let folder = folder_with(&[("routes/routes.yaml", ECHO)]);
    protogate(folder.path(), &["check"]);
    assert!(!folder.path().join("data").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn call_and_reload_and_token_work_against_a_running_gateway() {
    let gateway = TestGateway::start(ECHO);
    let url = format!("ws://{}/ws", gateway.edge());
    let admin = gateway.admin().to_string();
    let run = |arguments: &[&str]| protogate(gateway.folder(), arguments);

    let called = run(&["call", "9001", r#"{"text":"hello"}"#, "--url", &url, "--repeat", "2"]);
    assert_eq!((code(&called), text(&called.stdout)), (0, "{\"text\":\"hello\"}\n".repeat(2)), "{}", text(&called.stderr));

    let refused = run(&["call", "9003", "{}", "--url", &url, "--as", "bob"]);
    assert_eq!(code(&refused), 1);
    assert!(text(&refused.stderr).contains("PERMISSION_DENIED"), "{}", text(&refused.stderr));
    let called = run(&["call", "9003", r#"{"text":"hi"}"#, "--url", &url, "--as", "bob", "--roles", "player", "--format", "proto"]);
    assert_eq!((code(&called), text(&called.stdout)), (0, "{\"text\":\"hi\"}\n".to_owned()), "{}", text(&called.stderr));
    let token = text(&run(&["token", "issue", "--user", "carol", "--roles", "player"]).stdout);
    let called = run(&["call", "9003", "{}", "--url", &url, "--token", token.trim()]);
    assert_eq!(code(&called), 0, "{}", text(&called.stderr));

    let unchanged = run(&["reload", "--admin", &admin]);
    assert_eq!(
        (code(&unchanged), text(&unchanged.stdout)),
        (0, "unchanged: generation 1, 3 routes\n".to_owned()),
        "{}",
        text(&unchanged.stderr)
    );
    gateway.write("routes/routes.yaml", &ECHO.replace("access: anonymous", "access: anonymus"));
    let refused = run(&["reload", "--admin", &admin]);
    assert_eq!(code(&refused), 1);
    assert!(text(&refused.stderr).contains("did you mean `anonymous`?"), "{}", text(&refused.stderr));
    let nobody = run(&["reload", "--admin", "127.0.0.1:1"]);
    assert_eq!(code(&nobody), 69, "{}", text(&nobody.stderr));
}

#[test]
fn serve_without_any_file_uses_the_shipped_ones_and_says_where_it_listens() {
    let folder = tempfile::tempdir().unwrap();
    let mut reader = Reader::new(folder.path());
    reader.types("protogate serve", &[]);
    wait_for("the log speaks", || reader.log().contains('\n'));
    let log = reader.log();
    let first = log.lines().next().unwrap();
    let said = ["protogate is ready", "edge=127.0.0.1:", "admin=127.0.0.1:", "compiled in, since there is no folder `routes`"];
    assert!(said.iter().all(|said| first.contains(said)), "{log}");
    reader.types(r#"protogate call 9001 '{"text":"hello"}'"#, &[r#"{"text":"hello"}"#.to_owned()]);
}
