//! What an operator asks of a running gateway, and that the answers are what its document says.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::client::TestClient;
use crate::support::{ECHO, TestGateway, admin_request, operator, reload, top};

const ROUTES: &str = r#"
version: 1
include: [game.yaml]
descriptors: [{ proto: ../proto }]
vars:
  patience: { env: PROTOGATE_TEST_NOT_SET, default: 7s }
backends: { echo: { builtin: echo } }
rate_limits:
  plenty: { key: [caller], rate: 100000/s, burst: 100000 }
  few: { key: [caller, request.text], rate: 1/h, burst: 1 }
defaults:
  backend: echo
  rate_limits: [plenty]
  timeout: 4s
permissions: { roles: { player: { grant: [game.play] } } }
routes:
  9001: { name: echo, rpc: protogate.echo.v1.EchoService/Echo, access: anonymous }
  9002: { name: echo.known, rpc: protogate.echo.v1.EchoService/Echo, timeout: "${var.patience}" }
  9004: { name: echo.few, rpc: protogate.echo.v1.EchoService/Echo, access: anonymous, rate_limits: { replace: [few] } }
pushes:
  2101: { name: echo.said, message: protogate.echo.v1.EchoResponse }
"#;

const GAME: &str = r"
defaults:
  permissions: [game.play]
  timeout: 2s
routes:
  9003:
    name: game.echo
    rpc: protogate.echo.v1.EchoService/Echo
    rate_limits: { append: [few] }
";

const OVERLAY: &str = r"
routes:
  game.echo: { request_bytes_max: 1KiB }
";

fn gateway() -> TestGateway {
    TestGateway::start_with(&[
        ("routes/gateway.yaml", "version: 1\nreload: { watch: false }\n"),
        ("routes/routes.yaml", ROUTES),
        ("routes/game.yaml", GAME),
        ("routes/game.development.yaml", OVERLAY),
    ])
}

async fn get(gateway: &TestGateway, path: &str) -> Value {
    let (status, answer) = operator(gateway, path, None).await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

/// What was found in the files.
fn codes(check: &Value) -> Vec<&str> {
    check["diagnostics"].as_array().unwrap().iter().map(|finding| finding["code"].as_str().unwrap()).collect()
}

/// A line of a policy: value, layer, the file's name and the line.
fn line(route: &Value, key: &str) -> (String, String, String) {
    let lines = route["policy"].as_array().unwrap();
    let line = lines.iter().find(|line| line["key"] == key).unwrap_or_else(|| panic!("no `{key}` in {route:#}"));
    let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
    let file = text("file").rsplit('/').next().unwrap().to_owned();
    let place = if file.is_empty() { file } else { format!("{file}:{}", line["line"]) };
    (text("value"), text("layer"), place)
}

fn is(value: &str, layer: &str, place: &str) -> (String, String, String) {
    (value.to_owned(), layer.to_owned(), place.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_value_that_holds_for_a_route_is_shown_with_its_layer_and_its_place() {
    let gateway = gateway();
    let game = get(&gateway, "/api/v1/routes/9003").await;
    assert_eq!(line(&game, "name"), is("game.echo", "route", "game.yaml:7"));
    assert_eq!(line(&game, "timeout"), is("2s", "group", "game.yaml:4"));
    assert_eq!(line(&game, "permissions[0]"), is("game.play", "group", "game.yaml:3"));
    assert_eq!(line(&game, "rate_limits[0]"), is("plenty", "defaults", "routes.yaml:13"));
    assert_eq!(line(&game, "rate_limits[1]"), is("few", "route", "game.yaml:9"));
    assert_eq!(line(&game, "backend"), is("echo", "defaults", "routes.yaml:12"));
    assert_eq!(line(&game, "request_bytes_max"), is("1KiB", "overlay", "game.development.yaml:3"));
    assert_eq!(line(&game, "reply_bytes_max"), is("256KiB", "built-in", ""));
    assert_eq!(line(&game, "access"), is("authenticated", "built-in", ""));
    assert_eq!((&game["limits"], &game["backends"]), (&json!(["plenty", "few"]), &json!(["echo"])));
    assert_eq!((&game["kind"], &game["permissions"]), (&json!("unary"), &json!(["game.play"])));

    let known = get(&gateway, "/api/v1/routes/9002").await;
    assert_eq!(line(&known, "timeout"), is("7s", "route", "routes.yaml:18"), "the value of a variable");
    assert_eq!(operator(&gateway, "/api/v1/routes/9999", None).await.0, 404);
    assert_eq!(operator(&gateway, "/api/v1/routes/echo", None).await.0, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routes_are_searched_and_listed_page_by_page() {
    let gateway = gateway();
    let numbers =
        |answer: &Value| answer["routes"].as_array().unwrap().iter().map(|route| route["number"].as_u64().unwrap()).collect::<Vec<_>>();
    for (query, expected) in [
        ("", vec![9001, 9002, 9003, 9004]),
        ("?search=GAME.PLAY", vec![9003]),
        ("?search=few", vec![9003, 9004]),
        ("?search=9002", vec![9002]),
        ("?search=no+such", vec![]),
        ("?limit=2", vec![9001, 9002]),
        ("?after=9002&limit=1000", vec![9003, 9004]),
    ] {
        let answer = get(&gateway, &format!("/api/v1/routes{query}")).await;
        assert_eq!(numbers(&answer), expected, "{query}");
        assert_eq!(answer["next"], if query == "?limit=2" { json!("9002") } else { Value::Null }, "{query}");
    }
    for wrong in ["?limit=0", "?limit=1001", "?after=x", "?serch=x", "?limit=1&limit=2", "?search=%zz"] {
        let (status, answer) = operator(&gateway, &format!("/api/v1/routes{wrong}"), None).await;
        assert!(status == 400 && answer["error"].is_string(), "{wrong}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_refused_by_a_limit_is_named_and_what_they_said_is_not() {
    let gateway = gateway();
    let mut alice = TestClient::connect_as(gateway.edge(), &gateway.token("alice", &["player"])).await;
    alice.call(9004, json!({ "text": "a private word" })).await;
    for _ in 0..3 {
        assert_eq!(alice.refused(9004, json!({ "text": "a private word" })).await, "RATE_LIMITED");
    }
    let limits = get(&gateway, "/api/v1/limits").await;
    let [few, plenty] = limits["limits"].as_array().unwrap().as_slice() else { panic!("{limits}") };
    assert_eq!((&few["name"], &few["key"], &few["rate"]), (&json!("few"), &json!(["caller", "request.text"]), &json!("1/h")));
    assert_eq!((&few["refused"], &few["keys"], &few["mode"]), (&json!(3), &json!(1), &json!("enforce")));
    let limited = &few["limited"][0];
    assert!(limited["key"].as_str().unwrap().starts_with("user alice, request.text #"), "{limited}");
    assert!(!limits.to_string().contains("private"), "{limits}");
    assert_eq!(limited["refused"], 3);
    assert!(limited["until_ms"].as_u64() > limited["since_ms"].as_u64().map(|since| since + 3_000_000), "{limited}");
    assert_eq!((&plenty["name"], &plenty["limited"]), (&json!("plenty"), &json!([])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_reload_would_change_is_known_before_and_what_it_changed_after() {
    let gateway = gateway();
    let same = get(&gateway, "/api/v1/diff").await;
    assert_eq!((&same["same"], &same["counts"]), (&json!(true), &json!({ "added": 0, "removed": 0, "changed": 0 })));

    let added = "  9005: { name: echo.new, rpc: protogate.echo.v1.EchoService/Echo }\npushes:";
    let changed = ROUTES.replace("timeout: 4s", "timeout: 3s").replace("  9004:", "  9006:").replace("pushes:", added);
    gateway.write("routes/routes.yaml", &changed);
    let diff = get(&gateway, "/api/v1/diff").await;
    assert_eq!(diff["same"], false);
    assert_eq!(diff["routes"]["added"], json!([{ "number": 9005, "name": "echo.new" }, { "number": 9006, "name": "echo.few" }]));
    assert_eq!(diff["routes"]["removed"], json!([{ "number": 9004, "name": "echo.few" }]));
    let expected = json!([{ "number": 9001, "name": "echo", "changes": [{ "key": "timeout", "from": "4s", "to": "3s" }] }]);
    assert_eq!(diff["routes"]["changed"], expected, "9002 and 9003 say themselves how long they may take");
    let (status, answer) = operator(&gateway, "/api/v1/check", Some("{}")).await;
    assert_eq!((status, &answer["check"]["summary"]["errors"]), (200, &json!(0)), "{answer}");
    assert_eq!(operator(&gateway, "/api/v1/routes/9005", None).await.0, 404, "looking changes nothing");
    assert_eq!(reload(&gateway).await.1["outcome"], "swapped");
    assert_eq!(operator(&gateway, "/api/v1/routes/9005", None).await.0, 200);

    gateway.write("routes/routes.yaml", &changed.replace("builtin: echo", "builtin: ecko"));
    let (status, answer) = operator(&gateway, "/api/v1/diff", None).await;
    assert!(status == 422 && codes(&answer["check"]).contains(&"PG026"), "{answer}");
    let (status, answer) = operator(&gateway, "/api/v1/check", Some("{}")).await;
    assert_eq!((status, &answer["check"]["summary"]["errors"]), (200, &json!(1)), "{answer}");
    assert_eq!(reload(&gateway).await.0, 422);

    let reloads = get(&gateway, "/api/v1/reloads").await;
    let told: Vec<_> = reloads["reloads"].as_array().unwrap().iter().map(|attempt| (&attempt["cause"], &attempt["outcome"])).collect();
    let (operator, start) = (json!("operator"), json!("start"));
    assert_eq!(told, [(&operator, &json!("refused")), (&operator, &json!("swapped")), (&start, &json!("swapped"))]);
    let newest = &reloads["reloads"][0];
    assert!(newest["generation"] == 2 && codes(&newest["check"]).contains(&"PG026"), "{newest}");
    assert!(newest["at_ms"].as_u64().unwrap() > 1_700_000_000_000);
    for _ in 0..40 {
        gateway.gateway().reload();
    }
    assert_eq!(get(&gateway, "/api/v1/reloads").await["reloads"].as_array().unwrap().len(), 32, "the oldest are forgotten");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_level_of_the_log_changes_for_now() {
    let gateway = gateway();
    let configured = json!({ "level": "info", "configured": "info", "by": "configuration" });
    let set = async |level: Value| operator(&gateway, "/api/v1/log", Some(&json!({ "level": level }).to_string())).await;
    assert_eq!(get(&gateway, "/api/v1/log").await, configured);
    let changed = json!({ "level": "debug", "configured": "info", "by": "operator" });
    assert_eq!(set(json!("debug")).await, (200, changed.clone()));
    assert_eq!(get(&gateway, "/api/v1/log").await, changed);
    assert_eq!(set(Value::Null).await, (200, configured.clone()));
    for wrong in [json!("loud"), json!(3), json!({})] {
        assert_eq!(set(wrong.clone()).await.0, 400, "{wrong}");
    }
    assert_eq!(operator(&gateway, "/api/v1/log", Some("{}")).await.0, 400, "what is not said is no level");
    set(json!("trace")).await;
    gateway.write("routes/game.yaml", &GAME.replace("2s", "3s"));
    reload(&gateway).await;
    assert_eq!(get(&gateway, "/api/v1/log").await, configured, "another configuration is live");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_path_keeps_the_promises_of_the_door() {
    let gateway = gateway();
    let document = get(&gateway, "/api/v1/openapi.json").await;
    assert!(document["paths"].as_object().unwrap().len() > 15);
    let (token, mut asked) = (format!("authorization: Bearer {}\r\n", gateway.admin_token()), 0);
    for (path, operations) in document["paths"].as_object().unwrap() {
        let path = path.replace("{number}", "9001").replace("{folder}/{file}", "views/routes.js").replace("{file}", "app.js");
        for (method, operation) in operations.as_object().unwrap() {
            let method = method.to_uppercase();
            let ask = |headers: String, method: &str, body: &str| {
                format!("{method} {path} HTTP/1.1\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
            };
            let host = "host: localhost\r\ncontent-type: application/json\r\n";
            if operation["security"] == json!([]) {
                assert_eq!(admin_request(&gateway, &ask(host.to_owned(), &method, "")).await.0, 200, "{path}");
                continue;
            }
            asked += 1;
            assert_eq!(admin_request(&gateway, &ask(host.to_owned(), &method, "{}")).await.0, 401, "{path}");
            assert_eq!(admin_request(&gateway, &ask(format!("host: evil.example\r\n{token}"), &method, "{}")).await.0, 403, "{path}");
            let foreign = format!("{host}{token}origin: https://evil.example\r\n");
            assert_eq!(admin_request(&gateway, &ask(foreign, &method, "{}")).await.0, 403, "{path}");
            assert_eq!(admin_request(&gateway, &ask(format!("{host}{token}"), "DELETE", "")).await.0, 405, "{path}");
            if method == "POST" {
                let plain = format!("host: localhost\r\ncontent-type: text/plain\r\n{token}");
                assert_eq!(admin_request(&gateway, &ask(plain, "POST", "{}")).await.0, 415, "{path}");
                let large = format!("{{\"user\":\"{}\"}}", "a".repeat(70_000));
                assert_eq!(admin_request(&gateway, &ask(format!("{host}{token}"), "POST", &large)).await.0, 413, "{path}");
                for wrong in ["{\"nonsense\":1}", "[]", "null", "{", "\"s3cret\""] {
                    let (status, answer) = admin_request(&gateway, &ask(format!("{host}{token}"), "POST", wrong)).await;
                    assert_eq!(status, 400, "{path} {wrong}: {answer}");
                    assert!(!answer.to_string().contains("struct") && !answer.to_string().contains("s3cret"), "{answer}");
                }
            } else {
                let (status, body) = admin_request(&gateway, &ask(format!("{host}{token}"), "HEAD", "")).await;
                assert!(status < 500 && body == Value::Null, "HEAD {path} has no body");
                let (status, answer) =
                    admin_request(&gateway, &ask(format!("{host}{token}"), "GET", "").replacen(" HTTP", "?nonsense=1 HTTP", 1)).await;
                assert!(status == 400 && answer["error"].is_string(), "{path}: {answer}");
            }
        }
    }
    assert!(asked > 15);
}

#[test]
fn every_endpoint_stands_in_the_guide() {
    let guide = std::fs::read_to_string(top().join("docs/admin.md")).unwrap();
    let rows: Vec<(String, String)> = guide
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter(|line| line.starts_with("GET /") || line.starts_with("POST /"))
        .map(|line| {
            let (endpoint, rest) = line.split_once('`').unwrap();
            (endpoint.to_owned(), rest.trim_matches(['|', ' ']).to_owned())
        })
        .collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let document = runtime.block_on(async { get(&TestGateway::start(ECHO), "/api/v1/openapi.json").await });
    let mut expected: Vec<(String, String)> = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let query: Vec<&str> = operation["parameters"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|one| one["in"] == "query")
                .map(|one| one["name"].as_str().unwrap())
                .collect();
            let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
            expected.push((format!("{} {path}{query}", method.to_uppercase()), operation["summary"].as_str().unwrap().to_owned()));
        }
    }
    let sorted = |mut rows: Vec<(String, String)>| {
        rows.sort();
        rows
    };
    assert_eq!(sorted(rows), sorted(expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_shows_routes_by_a_gateway_and_by_files() {
    let gateway = gateway();
    let admin = gateway.admin().to_string();
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_protogate"))
            .args(arguments)
            .args(["--admin", &admin])
            .current_dir(gateway.folder())
            .env_remove("GATEWAY_MODE")
            .output()
            .unwrap();
        let told = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        (output.status.code().unwrap(), told)
    };
    let (code, told) = run(&["routes"]);
    assert!(code == 0 && told.starts_with("NUMBER  NAME ") && told.ends_with("4 routes\n"), "{told}");
    assert_eq!(run(&["routes", "--files"]), (0, told));
    let (code, told) = run(&["routes", "--search", "game play"]);
    assert_eq!((code, told.lines().count()), (0, 2), "{told}");
    let (code, told) = run(&["routes", "--search", "game.play"]);
    assert!(code == 0 && told.ends_with("1 route\n"), "{told}");
    // The gateway and the command line read the same files by other paths.
    let words = |told: String| {
        told.replace(&format!("{}/", gateway.folder().display()), "").split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let (code, told) = run(&["routes", "9003"]);
    assert!(code == 0 && told.contains("9003 game.echo: protogate.echo.v1.EchoService/Echo"), "{told}");
    let (code_by_files, by_files) = run(&["routes", "9003", "--files"]);
    assert_eq!((code_by_files, words(by_files)), (0, words(told)));
    for wrong in [&["routes", "9999"][..], &["routes", "9999", "--files"]] {
        let (code, told) = run(wrong);
        assert!(code == 1 && told.contains("no route of this number"), "{told}");
    }
    assert_eq!(run(&["routes", "--search", "x", "9003"]).0, 64);
}

/// All that the door says to bytes, until it closes.
async fn said(gateway: &TestGateway, request: &str) -> String {
    let mut stream = TcpStream::connect(gateway.admin()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_tells_http_what_would_be_answered() {
    let gateway = gateway();
    let token = format!("authorization: Bearer {}\r\n", gateway.admin_token());
    let ask = |line: &str, headers: &str| format!("{line} HTTP/1.1\r\nhost: LocalHost\r\n{headers}connection: close\r\n\r\n");
    for (line, status, header) in [
        ("DELETE /api/v1/log", "405", "allow: GET, HEAD, POST"),
        ("GET /api/v1/kick", "405", "allow: POST"),
        ("POST /api/v1/edge", "405", "allow: GET, HEAD"),
        ("GET http://evil.example/api/v1/edge", "400", "cache-control: no-store"),
        ("GET http://localhost:1/api/v1/edge", "400", "cache-control: no-store"),
        ("GET http://localhost/api/v1/edge", "200", "cache-control: no-store"),
    ] {
        let said = said(&gateway, &ask(line, &token)).await;
        assert!(said.starts_with(&format!("HTTP/1.1 {status} ")) && said.contains(&format!("{header}\r\n")), "{line}: {said}");
    }
    let small = said(&gateway, &ask("GET /api/v1/edge", &token.replace("Bearer", "bearer"))).await;
    assert!(small.starts_with("HTTP/1.1 200 "), "{small}");
    let said = said(&gateway, &ask("GET /api/v1/edge", "")).await;
    assert!(said.starts_with("HTTP/1.1 401 ") && said.contains("www-authenticate: Bearer\r\n"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_keep_no_operator_out_by_being_there() {
    let gateway = gateway();
    let mut strangers = Vec::new();
    for _ in 0..300 {
        strangers.push(TcpStream::connect(gateway.admin()).await.unwrap());
    }
    let asked = tokio::time::timeout(Duration::from_secs(4), get(&gateway, "/api/v1/edge"));
    assert!(asked.await.expect("it is answered before the strangers' time is over")["port"].is_number());
}

#[tokio::test]
async fn whoever_has_not_shown_the_token_is_not_there_for_long() {
    let gateway = gateway();
    let mut stranger = TcpStream::connect(gateway.admin()).await.unwrap();
    stranger.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut said = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(20), stranger.read_to_end(&mut said)).await;
    closed.expect("it is closed").unwrap();
    assert!(said.starts_with(b"HTTP/1.1 200"), "and was answered before");
}
