//! A reload changes what the next message meets, and nothing else: no connection drops, no call sees half of each table.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use protogate::pipeline::api_key;
use serde_json::json;

use crate::support::client::{Heard, TestClient};
use crate::support::mirror::Mirror;
use crate::support::player::Player;
use crate::support::walkthrough::wait_for;
use crate::support::{ECHO, PATIENCE, TestGateway, admin_request, reload};

#[tokio::test]
async fn a_new_permission_acts_on_the_next_message_of_an_open_connection() {
    let gateway = TestGateway::start(ECHO);
    let mut client = TestClient::connect_as(gateway.edge(), &gateway.token("alice", &["player"])).await;
    assert_eq!(client.call(9003, json!({"text": "hi"})).await["payload"]["text"], "hi");

    gateway.write("routes/routes.yaml", &ECHO.replace("grant: [game.play]", "grant: [game.watch]"));
    assert_eq!(reload(&gateway).await.1["outcome"], "swapped");
    assert_eq!(client.refused(9003, json!({"text": "hi"})).await, "PERMISSION_DENIED");

    gateway.write("routes/routes.yaml", ECHO);
    assert_eq!(reload(&gateway).await.1["outcome"], "swapped");
    assert_eq!(client.call(9003, json!({"text": "hi"})).await["payload"]["text"], "hi");
}

#[tokio::test]
async fn a_new_limit_acts_on_the_next_message_of_an_open_connection() {
    let gateway = TestGateway::start(ECHO);
    let mut client = TestClient::connect(gateway.edge()).await;
    for _ in 0..10 {
        assert_eq!(client.call(9001, json!({"text": "hi"})).await["payload"]["text"], "hi");
    }
    gateway.write("routes/routes.yaml", &ECHO.replace("rate: 100000/s, burst: 100000", "rate: 1/h, burst: 2"));
    reload(&gateway).await;
    assert_eq!(client.call(9001, json!({})).await["status"], json!(null));
    assert_eq!(client.call(9001, json!({})).await["status"], json!(null));
    let refused = client.call(9001, json!({})).await;
    assert_eq!(refused["status"]["reason"], "RATE_LIMITED");
    assert!(refused["status"]["retryAfterMs"].as_u64().is_some_and(|wait| wait > 1_000_000), "an hour for one token: {refused}");
}

#[tokio::test]
async fn good_then_bad_then_good_reports_success_again() {
    let gateway = TestGateway::start(ECHO);
    assert_eq!(reload(&gateway).await.1["outcome"], "unchanged");
    gateway.write("routes/routes.yaml", &ECHO.replace("builtin: echo", "builtin: ecko"));
    let (status, refused) = reload(&gateway).await;
    assert_eq!((status, &refused["outcome"]), (422, &json!("refused")));
    assert_eq!(refused["check"]["diagnostics"][0]["code"], "PG026");
    gateway.write("routes/routes.yaml", ECHO);
    let (status, answer) = reload(&gateway).await;
    assert_eq!((status, &answer["outcome"], &answer["generation"]), (200, &json!("unchanged"), &json!(1)));
}

#[tokio::test]
async fn a_stale_writer_is_refused() {
    let gateway = TestGateway::start(ECHO);
    let token = gateway.admin_token();
    let head = |tag: &str| {
        format!(
            "POST /api/v1/reload HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\nif-match: {tag}\r\ncontent-type: application/json\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        )
    };
    let live = format!("\"{}\"", gateway.gateway().fingerprint());
    assert_eq!(admin_request(&gateway, &head(&live)).await.0, 200);
    assert_eq!(admin_request(&gateway, &head(&format!("\"{}\"", "0".repeat(64)))).await.0, 412);
    assert_eq!(admin_request(&gateway, &head("W/nonsense")).await.0, 400);
}

#[tokio::test]
async fn a_watched_file_is_read_again_however_it_is_replaced() {
    let gateway = TestGateway::start_with(&[
        ("routes/gateway.yaml", "version: 1\nreload: { watch: true, debounce: 50ms }\n"),
        ("routes/routes.yaml", ECHO),
    ]);
    let mut client = TestClient::connect(gateway.edge()).await;
    let folder = gateway.folder().join("routes");

    // Renamed over, as editors do.
    gateway.write("routes/routes.yaml", &ECHO.replace("9001: { name: echo,", "9101: { name: echo,"));
    until_answered(&mut client, 9101).await;

    // A symbolic link swapped two levels up, as Kubernetes does.
    for version in ["v1", "v2"] {
        let number = if version == "v1" { "9201: { name: echo," } else { "9301: { name: echo," };
        std::fs::create_dir_all(folder.join(format!("..{version}"))).unwrap();
        std::fs::write(folder.join(format!("..{version}/routes.yaml")), ECHO.replace("9001: { name: echo,", number)).unwrap();
    }
    std::os::unix::fs::symlink("..v1", folder.join("..data")).unwrap();
    std::fs::remove_file(folder.join("routes.yaml")).unwrap();
    std::os::unix::fs::symlink("..data/routes.yaml", folder.join("routes.yaml")).unwrap();
    until_answered(&mut client, 9201).await;
    std::os::unix::fs::symlink("..v2", folder.join("..data.new")).unwrap();
    std::fs::rename(folder.join("..data.new"), folder.join("..data")).unwrap();
    until_answered(&mut client, 9301).await;
}

/// Calls until the route exists; the client's own patience ends a test in which it never does.
async fn until_answered(client: &mut TestClient, protocol: u32) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while client.call(protocol, json!({})).await["status"]["reason"] == "UNKNOWN_PROTOCOL" {
        assert!(tokio::time::Instant::now() < deadline, "the file was not read again");
        // Not to synchronise: only so that asking is not a hundred failures in ten seconds.
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
    }
}

/// Tables alternate between two backends; the route's name, the backend and the generation must always belong together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_reloads_under_load_drop_nothing_and_mix_nothing() {
    const RELOADS: usize = 1000;
    let (even, odd) = (Mirror::start("even").await, Mirror::start("odd").await);
    let table = |number: usize| {
        let (name, address) = if number.is_multiple_of(2) { ("even", even.address) } else { ("odd", odd.address) };
        format!(
            "version: 1\ndescriptors: [{{ proto: ../proto }}]\nbackends: {{ mirror: {{ grpc: {{ endpoints: [\"http://{address}\"] }} }} }}\n\
             rate_limits: {{ plenty: {{ key: [caller], rate: 100000/s, burst: 100000 }} }}\n\
             routes:\n  9001: {{ name: table.{name}.g{number}, backend: mirror, rate_limits: [plenty], rpc: protogate.echo.v1.EchoService/Echo, access: anonymous }}\n"
        )
    };
    // Unwatched, so that every reload is one of those that are counted here.
    let gateway =
        TestGateway::start_with(&[("routes/gateway.yaml", "version: 1\nreload: { watch: false }\n"), ("routes/routes.yaml", &table(1))]);
    let done = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicU64::new(0));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (done, answered, edge) = (Arc::clone(&done), Arc::clone(&answered), gateway.edge());
            tokio::spawn(async move {
                let mut client = TestClient::connect(edge).await;
                while !done.load(Ordering::Relaxed) {
                    let answer = client.call(9001, json!({"text": "x"})).await;
                    let text = answer["payload"]["text"].as_str().unwrap_or_else(|| panic!("not answered: {answer}")).to_owned();
                    let words: Vec<&str> = text.split(' ').collect();
                    let (label, route, generation) = (words[0], words[1], words[2]);
                    // Generation g was the g-th table that was good, and is named after its number.
                    assert_eq!(route, format!("table.{label}.g{generation}"), "one table answered");
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                client
            })
        })
        .collect();

    let mut good = 1;
    for attempt in 0..RELOADS {
        if attempt % 10 == 9 {
            gateway.write("routes/routes.yaml", &table(good + 1).replace("backend: mirror", "backend: miror"));
            let (status, refused) = reload(&gateway).await;
            assert_eq!((status, &refused["check"]["diagnostics"][0]["code"]), (422, &json!("PG023")), "{refused}");
        } else {
            good += 1;
            gateway.write("routes/routes.yaml", &table(good));
            let (status, answer) = reload(&gateway).await;
            assert_eq!((status, &answer["outcome"], &answer["generation"]), (200, &json!("swapped"), &json!(good)), "{answer}");
        }
    }
    done.store(true, Ordering::Relaxed);
    for caller in callers {
        let mut client = caller.await.expect("no caller saw a mixture or lost its connection");
        client.say(r#"{"protocol":6}"#).await;
        assert!(matches!(client.hear().await, Heard::Message(pong) if pong["protocol"] == 7), "the first connection is still the same one");
    }
    assert!(answered.load(Ordering::Relaxed) > RELOADS as u64, "there was load");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_save_in_many_quick_steps_is_one_reload() {
    let gateway = TestGateway::start_with(&[
        ("routes/gateway.yaml", "version: 1\nreload: { watch: true, debounce: 2s }\n"),
        ("routes/routes.yaml", ECHO),
    ]);
    let mut seen = std::collections::BTreeSet::new();
    // As when a version control system writes many files: events come faster than anyone could read the files between them.
    for step in 0..20 {
        gateway.write("routes/routes.yaml", &format!("{ECHO}# step {step}\n"));
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        seen.insert(gateway.gateway().generation());
    }
    wait_for("the files are read", || gateway.gateway().generation() > 1);
    assert_eq!(seen, [1].into(), "nothing is read before the files are quiet");
    assert_eq!(reload(&gateway).await.1["outcome"], "unchanged", "what was read is the last step");
}

#[tokio::test]
async fn to_a_session_of_an_api_key_that_was_taken_out_nobody_comes_back() {
    let key = api_key::generate("ci");
    let hash: String = api_key::hash(&key).iter().map(|byte| format!("{byte:02x}")).collect();
    let process = |keys: &str| format!("version: 1\nreload: {{ watch: false }}\nauth: {{ api_keys: [{keys}] }}\n");
    let listed = process(&format!("{{ name: ci, user: \"service:ci\", hash: \"sha256:{hash}\" }}"));
    let gateway = TestGateway::start_with(&[("routes/gateway.yaml", &listed), ("routes/routes.yaml", ECHO)]);
    let session = Player::login(gateway.edge(), &key).await.vanish();
    let mut back = Player::connect(gateway.edge()).await;
    back.resume(&session, "").await.expect("the key is listed");
    assert_eq!(back.echo(9002, "hi").await.as_deref(), Ok("hi"));
    let session = back.vanish();

    gateway.write("routes/gateway.yaml", &process(""));
    assert_eq!(reload(&gateway).await.1["outcome"], "swapped");
    let mut back = Player::connect(gateway.edge()).await;
    assert_eq!(back.resume(&session, "").await.unwrap_err(), "INVALID_TOKEN");
}
