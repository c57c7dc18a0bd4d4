//! What the operator's page is made of, asked for without a browser: its files, what numbers stand for, where the edge is, and the link.
//! tests/python/test_dashboard.py looks at it through one.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::{ECHO, TestGateway, admin_request, operator};

async fn get(gateway: &TestGateway, path: &str) -> (u16, Value) {
    operator(gateway, path, None).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_is_for_everybody_and_what_it_shows_is_not() {
    let gateway = TestGateway::start(ECHO);
    let status = async |path: &str, host: &str| {
        admin_request(&gateway, &format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")).await.0
    };
    for path in ["/", "/dashboard/app.js", "/dashboard/views/routes.js", "/dashboard/style.css"] {
        assert_eq!(status(path, "localhost").await, 200, "{path}");
        assert_eq!(status(path, "evil.example").await, 403, "{path}: a name may lead here by somebody else's doing");
    }
    for path in ["/dashboard/mod.rs", "/dashboard/views/mod.rs", "/dashboard/..", "/dashboard/%2e%2e/admin.token"] {
        assert_eq!(status(path, "localhost").await, 404, "{path}");
    }
    for path in ["/api/v1/messages/9001", "/api/v1/edge", "/api/v1/statistics", "/dashboard", "/dashboard/a/b/c"] {
        assert_eq!(status(path, "localhost").await, 401, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_tells_what_it_stands_for() {
    let gateway = TestGateway::start_shipped("");
    let (status, login) = get(&gateway, "/api/v1/messages/1001").await;
    assert_eq!((status, &login["rpc"], &login["kind"]), (200, &json!("protogate.auth.v1.AuthService/Login"), &json!("unary")), "{login}");
    assert_eq!(login["request"]["template"], json!({ "username": "", "password": "" }));
    assert_eq!(login["request"]["fields"][1]["secret"], true);
    assert!(login["comment"].as_str().unwrap().starts_with("Proves who somebody is"), "{login}");
    assert_eq!(login["response"]["type"], "protogate.auth.v1.LoginResponse");

    // What the gateway writes is told, and not proposed.
    let (_, join) = get(&gateway, "/api/v1/messages/2003").await;
    assert_eq!(join["request"]["template"], json!({ "roomId": "", "password": "" }), "{join}");
    assert_eq!((&join["request"]["fields"][0]["name"], &join["request"]["fields"][0]["stamped"]), (&json!("userId"), &json!(true)));

    let (status, push) = get(&gateway, "/api/v1/messages/3101").await;
    assert_eq!((status, &push["name"], &push["message"]["type"]), (200, &json!("chat.message"), &json!("protogate.chat.v1.RoomMessage")));
    assert_eq!(get(&gateway, "/api/v1/messages/7777").await.0, 404);
    assert_eq!(get(&gateway, "/api/v1/messages/-1").await.0, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_edge_is_where_it_is_said_to_be() {
    let gateway = TestGateway::start_shipped("listen: { path: /play, public_url: \"wss://node1.example.com/play\" }\n");
    let (status, edge) = get(&gateway, "/api/v1/edge").await;
    let expected = json!({
        "address": gateway.edge().to_string(), "port": gateway.edge().port(), "path": "/play", "tls": false, "origins": [],
        "public_url": "wss://node1.example.com/play",
    });
    assert_eq!((status, edge), (200, expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_edge_knows_the_operators_page_by_its_port() {
    let gateway = TestGateway::start(ECHO);
    let upgrade = async |origin: String| {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(gateway.edge()).await.unwrap();
        let head = format!(
            "GET /ws HTTP/1.1\r\nhost: {}\r\nconnection: Upgrade\r\nupgrade: websocket\r\norigin: {origin}\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: protogate.v1.json\r\n\r\n",
            gateway.edge()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        String::from_utf8(answer.to_vec()).unwrap()
    };
    assert_eq!(upgrade(format!("http://{}", gateway.admin())).await, "HTTP/1.1 101");
    assert_eq!(upgrade("http://127.0.0.1:1".to_owned()).await, "HTTP/1.1 403");
    assert_eq!(upgrade(format!("http://localhost:{}", gateway.admin().port())).await, "HTTP/1.1 403");
}

#[test]
fn the_link_has_the_token_behind_its_hash_and_is_all_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_protogate")).arg("dashboard").args(arguments).current_dir(folder.path()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let link = "http://127.0.0.1:7081/#token=a%2Fb%23c\n".to_owned();
    assert_eq!(run(&["--admin", "0.0.0.0:7081", "--token", "a/b#c"]), (Some(0), link, String::new()));
    let (code, said, why) = run(&[]);
    assert!(code == Some(66) && said.is_empty() && why.contains("no token for the admin side"), "{code:?} {said} {why}");
}
