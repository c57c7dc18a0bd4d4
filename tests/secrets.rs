//! Canaries: every secret a client or an operator can send, sent by every way there is, at the most talkative level of the log. None may
//! be found there. And what clients write cannot forge a line.

use std::fs;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::client::{Introduction, TestClient};
use crate::support::walkthrough::Reader;
use crate::support::{copy, folder_with, shipped_routes, top};

/// A gateway in a process of its own, whose log is kept, with the shipped routes and all that may be logged of them logged.
fn talkative(level: &str, format: &str) -> (tempfile::TempDir, Reader) {
    let folder = folder_with(&[]);
    copy(&top().join("routes"), &folder.path().join("routes"));
    let hash = "sha256:6ca13d52ca70c883e0f0bb101e425a89e8624de51db2d2392593af6a84118090";
    let gateway = format!(
        "version: 1\ntelemetry: {{ log: {{ level: {level}, format: {format} }} }}\n\
         auth: {{ api_keys: [{{ name: ci, user: \"service:ci\", hash: \"{hash}\" }}] }}\n"
    );
    fs::write(folder.path().join("routes/gateway.yaml"), gateway).unwrap();
    for (name, text) in shipped_routes() {
        fs::write(folder.path().join(name), text.replace("\ndefaults:\n", "\ndefaults:\n  log: { payload: all }\n")).unwrap();
    }
    let mut reader = Reader::new(folder.path());
    reader.types("protogate serve", &[]);
    (folder, reader)
}

async fn http(address: std::net::SocketAddr, head: String) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Whole envelopes that are wrong where the secret is.
async fn resume_with(client: &mut TestClient, secret: &str) {
    say_and_see(client, json!({ "protocol": 4, "id": secret })).await;
    say_and_see(client, json!({ "protocol": secret, "id": 3 })).await;
    say_and_see(client, json!({ "protocol": 4, "id": 903, "payload": { "resumeToken": [secret] } })).await;
    say_and_see(client, json!({ "protocol": 4, "id": 904, "payload": { "resumeToken": "x", "lastSeq": secret } })).await;
}

/// Says something, and does not mind how it is taken.
async fn say_and_see(client: &mut TestClient, message: Value) -> Value {
    client.say(message.to_string()).await;
    client.hear_message().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_in_the_log_by_whatever_way_it_came() {
    let (folder, reader) = talkative("trace", "human");
    let mut secrets: Vec<String> = vec!["4815162342".to_owned()];
    let mut canary = |what: &str| {
        let made = format!("canary-{what}-4d1f");
        secrets.push(made.clone());
        made
    };
    let (password, wrong, new_password, weak) = (canary("password"), canary("wrong"), canary("new"), canary("alice"));
    let (refresh, resume, token, code, key) = (canary("refresh"), canary("resume"), canary("token"), canary("code"), canary("key"));
    let (operators, in_path) = (canary("operators"), canary("query"));
    let said = canary("said");

    let mut client = TestClient::connect(reader.edge()).await;
    let registered =
        client.call(1002, json!({ "username": "alice", "password": password, "email": "alice@example.com" })).await["payload"].clone();
    // What people say is nobody else's business either, whether or not it was taken.
    let room = client.call(3003, json!({ "name": "Tea" })).await["payload"]["room"]["id"].clone();
    for text in [json!(said), json!([said]), json!(format!("{said}\u{7}"))] {
        client.call(3001, json!({ "roomId": room, "text": text })).await;
        client.call(3007, json!({ "receiver": "nobody", "text": text })).await;
    }
    client.call(3002, json!({ "roomId": room })).await;
    let mut other = TestClient::connect(reader.edge()).await;
    other.call(1001, json!({ "username": "alice", "password": wrong })).await;
    other.call(1001, json!({ "username": "nobody", "password": wrong })).await;
    other.call(1001, json!({ "username": "alice", "password": [weak] })).await;
    // A number where a text should be, and a text where a truth should be: what is wrong is said, not what was there.
    other.call(1001, json!({ "username": "alice", "password": 4_815_162_342u64 })).await;
    other.call(1001, json!({ "username": "alice", "password": { "text": weak } })).await;
    resume_with(&mut other, &weak).await;
    other.call(1002, json!({ "username": "alice", "password": weak, "email": "x" })).await;
    other.call(1003, json!({ "email": "alice@example.com", "code": code, "newPassword": new_password })).await;
    other.call(1003, json!({ "email": "alice@example.com" })).await;
    other.call(1004, json!({ "refreshToken": refresh })).await;
    let logged_in = other.call(1001, json!({ "username": "alice", "password": password })).await["payload"].clone();
    let renewed = other.call(1004, json!({ "refreshToken": logged_in["refreshToken"] })).await["payload"].clone();
    say_and_see(&mut other, json!({ "protocol": 8, "id": 900, "payload": { "token": token } })).await;
    other.call(1006, json!({ "refreshToken": renewed["refreshToken"] })).await;
    say_and_see(&mut other, json!({ "protocol": 4, "id": 901, "payload": { "resumeToken": resume, "lastSeq": 0 } })).await;
    say_and_see(&mut other, json!({ "protocol": 2, "id": 902, "payload": { "token": token } })).await;

    // By header, by subprotocol, and a key of a program.
    for shown in [token.clone(), format!("protogate_ci_{key}"), key.clone(), registered["accessToken"].as_str().unwrap().to_owned()] {
        TestClient::connect_with_token(reader.edge(), &shown).await;
        let offered = format!("protogate.bearer.{}", BASE64_URL_SAFE_NO_PAD.encode(&shown));
        TestClient::introduce(reader.edge(), &Introduction { offered: &offered, ..Introduction::default() }).await.ok();
    }
    let mut resumed = TestClient::connect_as(reader.edge(), registered["accessToken"].as_str().unwrap()).await;
    resumed.call(1007, json!({})).await;
    http(reader.edge(), format!("GET /ws?token={in_path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")).await;
    let operator = |path: &str, token: &str| {
        let body = json!({ "user": "alice" }).to_string();
        format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
    };
    http(reader.admin(), operator("/api/v1/revoke", &operators)).await;
    let admin_token = fs::read_to_string(folder.path().join("data/admin.token")).unwrap().trim().to_owned();
    let answer = http(reader.admin(), operator("/api/v1/revoke", &admin_token)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    secrets.push(admin_token);

    for reply in [&registered, &logged_in, &renewed] {
        for key in ["accessToken", "refreshToken"] {
            let token = reply[key].as_str().unwrap_or_else(|| panic!("no {key} in {reply}"));
            secrets.push(token.to_owned());
            // A part of it is not to be found either.
            secrets.extend(token.split('.').skip(1).filter(|part| part.len() > 20).map(str::to_owned));
        }
    }
    let mail = fs::read_dir(folder.path().join("data/outbox")).ok().and_then(|mut files| files.next());
    if let Some(mail) = mail {
        let mail = fs::read_to_string(mail.unwrap().path()).unwrap();
        secrets.extend(mail.split_whitespace().filter(|word| word.len() == 14 && word.matches('-').count() == 2).map(str::to_owned));
    }

    let log = reader.log();
    assert!(
        ["auth.login", "auth.forgot_password", "chat.send_message", "chat.send_private"].iter().all(|route| log.contains(route)),
        "calls are logged, with their payloads:\n{log}"
    );
    for secret in &secrets {
        for line in log.lines() {
            assert!(!line.contains(secret.as_str()), "the log holds {secret}:\n{line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clients_write_forges_no_line_of_the_log() {
    for format in ["human", "json"] {
        let (_folder, reader) = talkative("debug", format);
        let mut client = TestClient::connect(reader.edge()).await;
        let name = "x\n2026-01-01 INFO forged\u{1b}[31m\r\u{7}\u{9b}";
        client.call(1001, json!({ "username": name, "password": "a guess of many" })).await;
        client.call(1002, json!({ "username": name, "password": "a guess of many", "email": name })).await;
        client.call(9001, json!({ "text": name })).await;
        let log = reader.log();
        assert!(log.contains("auth.login"), "{log}");
        assert!(!log.chars().any(|c| c.is_control() && c != '\n'), "{log:?}");
        assert!(log.lines().all(|line| !line.starts_with("2026-01-01 INFO forged")), "{log}");
        if format == "json" {
            assert!(log.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{log}");
        }
    }
}
