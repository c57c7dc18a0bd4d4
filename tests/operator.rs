//! What an operator sees of sessions and does about them, by HTTP and by command line; and that nobody else can.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::support::client::{Heard, TestClient};
use crate::support::{ECHO, PATIENCE, TestGateway, admin_request, operator};

fn gateway() -> TestGateway {
    TestGateway::start(&format!(
        "{ECHO}pushes:\n  2101: {{ name: echo.said, message: protogate.echo.v1.EchoResponse }}\n  \
         2103: {{ name: echo.seen, message: protogate.echo.v1.EchoResponse, delivery: best_effort, on_slow: {{ conflate: message.text }} }}\n"
    ))
}

/// Connects, and takes the payload of Ready.
async fn connect(gateway: &TestGateway, token: &str) -> (TestClient, Value) {
    let mut client = TestClient::connect_with_token(gateway.edge(), token).await;
    let ready = client.hear_message().await;
    assert_eq!(ready["protocol"], 3, "{ready}");
    (client, ready["payload"].clone())
}

async fn revoke(gateway: &TestGateway, what: Value) {
    assert_eq!(operator(gateway, "/api/v1/revoke", Some(&what.to_string())).await, (200, json!({ "revoked": what })));
}

async fn sessions(gateway: &TestGateway, user: &str) -> Vec<Value> {
    let (status, answer) = operator(gateway, &format!("/api/v1/sessions?user={user}"), None).await;
    assert_eq!(status, 200, "{answer}");
    answer["sessions"].as_array().unwrap().clone()
}

/// Waits until a session of this user has no connection, and shows it.
async fn detached(gateway: &TestGateway, user: &str) -> Value {
    let began = Instant::now();
    loop {
        let listed = sessions(gateway, user).await;
        if let Some(waiting) = listed.iter().find(|session| session["state"] == "detached") {
            return waiting.clone();
        }
        assert!(began.elapsed() < PATIENCE, "{listed:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

async fn push(gateway: &TestGateway, what: Value) -> (u16, Value) {
    operator(gateway, "/api/v1/push", Some(&what.to_string())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_users_sessions_are_listed_with_how_they_are_and_without_what_resumes_them() {
    let gateway = gateway();
    let token = gateway.token("alice", &["player"]);
    let (first, ready) = connect(&gateway, &token).await;
    let (_second, _) = connect(&gateway, &token).await;
    let (_bob, _) = connect(&gateway, &gateway.token("bob", &[])).await;
    let listed = sessions(&gateway, "alice").await;
    assert_eq!(listed.len(), 2);
    assert_eq!(
        (&listed[0]["session"], &listed[0]["state"], &listed[0]["roles"]),
        (&ready["sessionId"], &json!("attached"), &json!(["player"]))
    );
    let keys: Vec<&String> = listed[0].as_object().unwrap().keys().collect();
    assert!(keys.iter().all(|key| !key.contains("resume")), "{keys:?}");
    assert_eq!(sessions(&gateway, "nobody").await.len(), 0);

    drop(first);
    let waiting = detached(&gateway, "alice").await;
    assert!(waiting["detached_until_ms"].as_u64().unwrap() > 1_700_000_000_000);
    let (status, statistics) = operator(&gateway, "/api/v1/statistics", None).await;
    assert_eq!((status, &statistics["sessions"]), (200, &json!(3)), "{statistics}");
    assert_eq!(statistics["connections"], 2, "{statistics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_a_token_or_all_of_a_user_is_revoked_and_nothing_else() {
    let gateway = gateway();
    let token = gateway.token("alice", &[]);
    let (mut first, ready) = connect(&gateway, &token).await;
    let (mut second, _) = connect(&gateway, &token).await;
    let (mut bob, _) = connect(&gateway, &gateway.token("bob", &[])).await;

    revoke(&gateway, json!({ "session": ready["sessionId"] })).await;
    timeout(PATIENCE, first.assert_sent_away(4501)).await.expect("it is told in time");
    assert_eq!(second.echo(9002, "here").await, "here");
    // It cannot be resumed, though its token makes another.
    let mut again = TestClient::connect(gateway.edge()).await;
    again.say(json!({ "protocol": 4, "id": 1, "payload": { "resumeToken": ready["resumeToken"] } }).to_string()).await;
    assert_eq!(again.hear_message().await["status"]["reason"], "RESUME_FAILED");
    let (mut third, _) = connect(&gateway, &token).await;

    let jti = sessions(&gateway, "alice").await[0]["token"].clone();
    if jti.is_string() {
        revoke(&gateway, json!({ "token": jti })).await;
    } else {
        revoke(&gateway, json!({ "user": "alice" })).await;
    }
    for client in [&mut second, &mut third] {
        timeout(PATIENCE, client.assert_sent_away(4501)).await.expect("it is told in time");
    }
    TestClient::connect_with_token(gateway.edge(), &token).await.assert_sent_away(4500).await;
    assert_eq!(bob.echo(9002, "here").await, "here");

    let (mut fresh, _) = connect(&gateway, &gateway.token("alice", &[])).await;
    revoke(&gateway, json!({ "user": "alice" })).await;
    timeout(PATIENCE, fresh.assert_sent_away(4501)).await.expect("it is told in time");
    // Tokens say to the millisecond when they were issued.
    sleep(Duration::from_millis(5)).await;
    let (mut later, _) = connect(&gateway, &gateway.token("alice", &[])).await;
    assert_eq!(later.echo(9002, "back").await, "back", "what was issued later is good");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoking_a_user_ends_their_refresh_tokens_too() {
    let gateway = TestGateway::start_shipped("");
    let mut client = TestClient::connect(gateway.edge()).await;
    let application = json!({ "username": "alice", "password": "correct horse battery", "email": "alice@example.com" });
    let registered = client.call(1002, application).await["payload"].clone();
    revoke(&gateway, json!({ "user": registered["user"]["userId"] })).await;
    timeout(PATIENCE, client.assert_sent_away(4501)).await.expect("it is told in time");
    let mut client = TestClient::connect(gateway.edge()).await;
    assert_eq!(client.refused(1004, json!({ "refreshToken": registered["refreshToken"] })).await, "INVALID_REFRESH_TOKEN");
    let again = client.call(1001, json!({ "username": "alice", "password": "correct horse battery" })).await;
    assert!(again["payload"]["accessToken"].is_string(), "whoever knows the password logs in again: {again}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_reaches_the_sessions_of_its_user_and_waits_for_who_is_away() {
    let gateway = gateway();
    let token = gateway.token("alice", &[]);
    let (mut first, ready) = connect(&gateway, &token).await;
    let (mut second, _) = connect(&gateway, &token).await;
    let (mut bob, _) = connect(&gateway, &gateway.token("bob", &[])).await;
    let both = json!({ "user": "alice", "protocol": 2101, "payload": { "text": "to both" } });
    assert_eq!(push(&gateway, both).await, (200, json!({ "reached": 2 })));
    for client in [&mut first, &mut second] {
        assert_eq!(client.hear_message().await, json!({ "protocol": 2101, "seq": 1, "payload": { "text": "to both" } }));
    }
    let one = json!({ "user": "alice", "session": ready["sessionId"], "protocol": 2101, "payload": { "text": "to one" } });
    assert_eq!(push(&gateway, one.clone()).await, (200, json!({ "reached": 1 })));
    assert_eq!(first.hear_message().await["payload"]["text"], "to one");
    assert_eq!(second.echo(9002, "nothing came").await, "nothing came");
    assert_eq!(bob.echo(9002, "nor here").await, "nor here");
    let seen = json!({ "user": "alice", "protocol": 2103, "payload": { "text": "best effort" } });
    assert_eq!(push(&gateway, seen.clone()).await, (200, json!({ "reached": 2 })));
    for client in [&mut first, &mut second] {
        assert_eq!(client.hear_message().await, json!({ "protocol": 2103, "payload": { "text": "best effort" } }), "nobody keeps it");
    }
    let nobody = json!({ "user": "nobody", "protocol": 2101, "payload": {} });
    assert_eq!(push(&gateway, nobody).await, (200, json!({ "reached": 0 })));

    drop(first);
    detached(&gateway, "alice").await;
    let away = json!({ "user": "alice", "session": ready["sessionId"], "protocol": 2101, "payload": { "text": "while away" } });
    assert_eq!(push(&gateway, away).await, (200, json!({ "reached": 1 })));
    assert_eq!(push(&gateway, seen).await, (200, json!({ "reached": 1 })), "who is away misses it");
    assert_eq!(second.hear_message().await["payload"]["text"], "best effort");
    let mut back = TestClient::connect(gateway.edge()).await;
    back.say(json!({ "protocol": 4, "id": 1, "payload": { "resumeToken": ready["resumeToken"], "lastSeq": 2 } }).to_string()).await;
    let resumed = back.hear_message().await;
    assert_eq!((&resumed["protocol"], &resumed["payload"]["recovered"]), (&json!(5), &json!(true)), "{resumed}");
    assert_eq!(back.hear_message().await, json!({ "protocol": 2101, "seq": 3, "payload": { "text": "while away" } }));

    let (status, answer) = push(&gateway, json!({ "user": "alice", "protocol": 2102, "payload": {} })).await;
    assert_eq!((status, answer["error"].as_str().unwrap().contains("pushes:")), (404, true), "{answer}");
    let (status, answer) = push(&gateway, json!({ "user": "alice", "protocol": 2101, "payload": { "txt": "x" } })).await;
    assert_eq!((status, answer["error"].as_str().unwrap().contains("`txt`")), (422, true), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_door_is_closed_to_who_has_no_token_and_to_pages_of_others() {
    let gateway = gateway();
    let (mut alice, _) = connect(&gateway, &gateway.token("alice", &[])).await;
    let token = gateway.admin_token();
    let body = r#"{"user":"alice"}"#;
    let request = |method: &str, path: &str, headers: &str| {
        format!("{method} {path} HTTP/1.1\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
    };
    let (json_body, key) = ("content-type: application/json\r\n", format!("authorization: Bearer {token}\r\n"));
    let paths = [
        ("POST", "/api/v1/revoke"),
        ("POST", "/api/v1/push"),
        ("GET", "/api/v1/sessions?user=alice"),
        ("GET", "/api/v1/statistics"),
        ("POST", "/api/v1/reload"),
    ];
    for (method, path) in paths {
        for (headers, status) in [
            (format!("host: localhost\r\n{json_body}"), 401),
            (format!("host: localhost\r\n{json_body}authorization: Bearer {}\r\n", "x".repeat(token.len())), 401),
            (format!("host: localhost\r\n{json_body}authorization: Basic {token}\r\n"), 401),
            (format!("host: evil.example\r\n{json_body}{key}"), 403),
            (format!("{json_body}{key}"), 403),
            (format!("host: localhost\r\norigin: https://evil.example\r\n{json_body}{key}"), 403),
            (format!("host: localhost\r\norigin: null\r\n{json_body}{key}"), 403),
        ] {
            assert_eq!(admin_request(&gateway, &request(method, path, &headers)).await.0, status, "{method} {path}\n{headers}");
        }
        let other = if method == "POST" { "GET" } else { "POST" };
        assert_eq!(
            admin_request(&gateway, &request(other, path, &format!("host: localhost\r\n{json_body}{key}"))).await.0,
            405,
            "{other} {path}"
        );
        if method == "POST" {
            // What a page's form can send without asking.
            let headers = format!("host: localhost\r\ncontent-type: text/plain\r\n{key}");
            assert_eq!(admin_request(&gateway, &request(method, path, &headers)).await.0, 415, "{path}");
        }
    }
    assert_eq!(alice.echo(9002, "still here").await, "still here", "none of it did anything");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_wrong_changes_nothing_and_is_told_why() {
    let gateway = gateway();
    let (mut alice, _) = connect(&gateway, &gateway.token("alice", &[])).await;
    let deep = format!(r#"{{"user":"alice","protocol":2101,"payload":{}1{}}}"#, "[".repeat(20_000), "]".repeat(20_000));
    let large = format!(r#"{{"user":"{}"}}"#, "a".repeat(70_000));
    let wrong = [
        ("/api/v1/revoke", r"{}", 400),
        ("/api/v1/revoke", r#"{"user":"alice","session":"x"}"#, 400),
        ("/api/v1/revoke", r#"{"users":"alice"}"#, 400),
        ("/api/v1/revoke", r#"{"user":"alice","user":"bob"}"#, 400),
        ("/api/v1/revoke", r#"{"user":["alice"]}"#, 400),
        ("/api/v1/revoke", r#"["alice",null,null]"#, 400),
        ("/api/v1/revoke", r#"{"user":""}"#, 400),
        ("/api/v1/revoke", r#"{"user":"alice\u001b[31m\n"}"#, 400),
        ("/api/v1/revoke", r#"{"user":"alice"} {"user":"bob"}"#, 400),
        ("/api/v1/revoke", "", 400),
        ("/api/v1/revoke", &large, 413),
        ("/api/v1/push", &deep, 422),
        ("/api/v1/push", r#"{"user":"alice","protocol":2101}"#, 400),
        ("/api/v1/push", r#"{"user":"alice","protocol":-1,"payload":{}}"#, 400),
        ("/api/v1/push", r#"{"user":"alice","protocol":2101,"payload":[]}"#, 422),
    ];
    for (path, body, expected) in wrong {
        let (status, answer) = operator(&gateway, path, Some(body)).await;
        assert_eq!(status, expected, "{path} {}: {answer}", &body[..body.len().min(80)]);
        assert!(answer["error"].is_string(), "{answer}");
    }
    for query in ["", "?", "?user=", "?user=%zz", "?user=%00", "?user=a&user=b", "?name=alice"] {
        assert_eq!(operator(&gateway, &format!("/api/v1/sessions{query}"), None).await.0, 400, "{query}");
    }
    assert_eq!(operator(&gateway, "/api/v1/nothing", None).await.0, 404);
    assert_eq!(alice.echo(9002, "still here").await, "still here");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_revokes_and_pushes() {
    let gateway = gateway();
    let (mut alice, _) = connect(&gateway, &gateway.token("alice", &[])).await;
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
    assert_eq!(run(&["push", "--user", "alice", "2101", r#"{"text":"hello"}"#]), (0, "1 session reached\n".to_owned()));
    assert_eq!(alice.hear_message().await["payload"]["text"], "hello");
    assert_eq!(run(&["push", "--user", "bob", "2101"]), (0, "0 sessions reached\n".to_owned()));
    let (code, told) = run(&["push", "--user", "alice", "2109"]);
    assert!(code == 1 && told.contains("no push 2109 is declared"), "{told}");
    assert_eq!(run(&["push", "--user", "alice", "2101", "{"]).0, 64);
    assert_eq!(run(&["revoke"]).0, 64, "nothing is said to be revoked");
    assert_eq!(run(&["revoke", "--user", "alice", "--session", "x"]).0, 64);
    let (code, told) = run(&["revoke", "--user", "alice"]);
    assert!(code == 0 && told.starts_with("revoked: "), "{told}");
    let goodbye = timeout(PATIENCE, alice.hear_message()).await.expect("it is told in time");
    assert_eq!(goodbye["payload"]["code"], 4501);
    assert_eq!(alice.hear().await, Heard::Close(4501));
    assert_eq!(run(&["revoke", "--user", "alice", "--token", "wrong token of the operator"]).0, 1);
}
