//! What `protogate explain` says of routes, by the files, and of diagnostics.

use std::process::{Command, Output};

use protogate::diagnostic::Rule;
use serde_json::Value;

use crate::support::{ECHO, folder_with};

/// Layers, roles and limits, of which each has something to say.
const ROUTES: &str = r#"
version: 1
include: [game.yaml]
descriptors: [{ proto: ../proto }]
backends:
  echo: { builtin: echo }
  far: { grpc: { endpoints: ["http://a.example:1", "http://b.example:1"] } }
rate_limits:
  plenty: { key: [caller], rate: 20/s, burst: 40 }
  by_text: { key: [route, request.text], rate: 5/min, burst: 2, mode: dry_run }
permissions: { roles: { player: { grant: ["game.**"] }, admin: { inherit: [player] }, guest: {} } }
defaults: { backend: echo, rate_limits: [plenty], timeout: 3s }
"#;

const GROUP: &str = r#"
defaults: { permissions: [game.play], allow: [{ code: PG091, reason: "slow is measured elsewhere" }] }
routes:
  2001:
    name: game.say
    rpc: protogate.echo.v1.EchoService/Echo
    rate_limits: { append: [by_text] }
    log: { slow: 5s }
  2002:
    name: game.open
    rpc: protogate.echo.v1.EchoService/Echo
    backend: far
    access: anonymous
    permissions: { replace: [] }
    idempotent: by_key
pushes: { 2101: { name: game.said, message: protogate.echo.v1.EchoResponse } }
"#;

fn explain(arguments: &[&str]) -> (i32, String, String) {
    let folder = folder_with(&[("routes/routes.yaml", ROUTES), ("routes/game.yaml", GROUP)]);
    said(Command::new(env!("CARGO_BIN_EXE_protogate")).arg("explain").args(arguments).current_dir(folder.path()))
}

fn said(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.env_remove("GATEWAY_MODE").output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn a_route_is_told_with_who_may_call_it_what_limits_it_and_where_all_of_that_is_written() {
    let (code, told, complaint) = explain(&["2001"]);
    assert_eq!(code, 0, "{complaint}");
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let told: Vec<String> = told.lines().map(words).collect();
    for line in [
        "2001 game.say: protogate.echo.v1.EchoService/Echo",
        "takes: protogate.echo.v1.EchoRequest",
        "answers with: protogate.echo.v1.EchoResponse",
        "can be called by: whoever has shown a valid token and may game.play",
        "roles that suffice: admin, player",
        "roles that do not: guest",
        "limited by: plenty: 20 a second, 40 at once, a bucket for each caller (the user, else the address)",
        "by_text: 5 a minute, 2 at once, a bucket for each route and value of request.text; refuses nothing (dry run)",
        "answered by: echo: the service `echo` of the gateway itself",
        "repeated: never, once the service may have acted upon it: nothing says that it may act twice",
        "timeout: 3s defaults routes/routes.yaml:12",
        "permissions[0]: game.play group routes/game.yaml:2",
        "rate_limits[0]: plenty defaults routes/routes.yaml:12",
        "rate_limits[1]: by_text route routes/game.yaml:7",
        "access: authenticated built-in",
        "allow[0].code: PG091 group routes/game.yaml:2",
        "allow[0].reason: \"slow is measured elsewhere\" group routes/game.yaml:2",
    ] {
        assert!(told.iter().any(|told| told == line), "`{line}` is not in\n{}", told.join("\n"));
    }
    let (_, open, _) = explain(&["2002"]);
    for said in ["whoever is connected", "http://a.example:1, http://b.example:1; of two at random", "up to 3 attempts, after UNAVAILABLE"]
    {
        assert!(open.contains(said), "{open}");
    }
    assert!(!open.contains("roles that"), "no role is needed: {open}");
}

#[test]
fn a_name_is_as_good_as_a_number_and_programs_read_json() {
    assert_eq!(explain(&["game.say"]), explain(&["2001"]));
    let (code, told, _) = explain(&["game.say", "--format", "json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((code, told["number"].as_u64(), told["kind"].as_str()), (0, Some(2001), Some("unary")), "{told}");
    assert_eq!(told["meaning"]["roles"], serde_json::json!(["admin", "player"]));
    let slow = told["policy"].as_array().unwrap().iter().find(|line| line["key"] == "log.slow").unwrap();
    assert_eq!((slow["value"].as_str(), slow["layer"].as_str(), slow["line"].as_u64()), (Some("5s"), Some("route"), Some(8)));
}

#[test]
fn what_is_not_there_is_said_with_what_is_near() {
    let refused = |subject: &str, near: &str| {
        let (code, told, complaint) = explain(&[subject]);
        assert!(code == 1 && told.is_empty() && complaint.contains(near), "{subject}: {complaint}");
    };
    refused("2003", "near it is 2002 `game.open`");
    refused("1999", "near it is 2001 `game.say`");
    refused("2101", "it is the push `game.said`");
    refused("game.said", "it is the push 2101");
    refused("game.sya", "did you mean `game.say`?");
    refused("PG999", "`protogate explain` lists them");
    refused("999", "routes have numbers from 1000 on");
}

#[test]
fn a_configuration_with_errors_is_told_as_check_tells_it() {
    let folder = folder_with(&[("routes/routes.yaml", &ECHO.replace("backend: echo,", "backend: ecko,"))]);
    let (code, told, complaint) = said(Command::new(env!("CARGO_BIN_EXE_protogate")).args(["explain", "9001"]).current_dir(folder.path()));
    assert!(code == 1 && told.is_empty(), "{told}");
    assert!(complaint.contains("error[PG023]") && complaint.contains("did you mean `echo`?"), "{complaint}");
    let nowhere = explain(&["9001", "--config", "nowhere"]);
    assert_eq!(nowhere.0, 66, "{}", nowhere.2);
}

#[test]
fn a_code_is_explained_however_it_is_written_and_without_any_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let explain = |subject: &str| {
        said(Command::new(env!("CARGO_BIN_EXE_protogate")).args(["explain", subject, "--env", "production"]).current_dir(folder.path()))
    };
    let (code, told, _) = explain("PG014");
    assert_eq!(code, 0);
    assert!(told.starts_with("PG014: A list over a lower layer") && told.contains("\nwrong:\n\n    ") && !told.contains("```"), "{told}");
    for other in ["pg014", "pg14", "14", " PG014 "] {
        assert_eq!(explain(other).1, told, "{other}");
    }
}

#[test]
fn every_code_is_listed() {
    let (code, told, _) = explain(&[]);
    assert_eq!((code, told.lines().count()), (0, Rule::ALL.len()));
    assert!(told.contains("PG081  warning  A route for anonymous clients without any rate limit."), "{told}");
    let (_, told, _) = explain(&["--format", "json"]);
    let listed: Vec<Value> = serde_json::from_str(&told).unwrap();
    assert_eq!(listed.len(), Rule::ALL.len());
}

#[test]
fn check_says_once_where_there_is_more() {
    let folder = folder_with(&[("routes/routes.yaml", &ECHO.replace("backend: echo,", "backend: ecko, timeout: 3,"))]);
    let (_, told, _) = said(Command::new(env!("CARGO_BIN_EXE_protogate")).arg("check").current_dir(folder.path()));
    assert!(told.ends_with("explain: protogate explain PG007 (or PG023)\ncheck: 2 errors, 0 warnings, 3 routes, 1 file\n"), "{told}");
}
