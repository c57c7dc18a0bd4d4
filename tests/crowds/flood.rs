//! A rush of logins, twenty times as many as there is room for: each is answered, few are looked at, and memory stays.

use std::collections::BTreeMap;

use serde_json::json;

use crate::support::nodes::Process;
use crate::support::player::Player;
use crate::support::shipped_routes;

const LOGIN: u32 = 1001;
const ECHO: u32 = 9001;

/// Callers of the auth service that may wait for their turn, beside those whose turn it is: one for each processor.
const WAITING_MAX: usize = 64;

/// What one hash takes, in KiB.
const HASH_KIB: u64 = 19 * 1024;

/// What connections and answers may take meanwhile, in KiB.
const BESIDE_KIB: u64 = 64 * 1024;

/// Calls of one client at once.
const AT_ONCE: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rush_of_logins_is_refused_beyond_what_there_is_room_for() {
    // The shipped files; only that the rush comes from many addresses, which a proxy tells, is new.
    let process = "version: 1\nreload: { watch: false }\ntrusted_proxies: [127.0.0.0/8]\n";
    let mut routes = shipped_routes();
    // A hash leaves the processor to whoever else wants it, so that on a busy machine a call takes as long as it must.
    routes.iter_mut().for_each(|(_, text)| *text = text.replace("timeout: 3s", "timeout: 1m").replace("timeout: 10s", "timeout: 1m"));
    let routes = routes.iter().map(|(path, text)| (path.as_str(), text.as_str()));
    let gateway = Process::start(&routes.chain([("routes/gateway.yaml", process)]).collect::<Vec<_>>()).await;
    let processors = std::thread::available_parallelism().unwrap().get();
    let capacity = processors + WAITING_MAX;
    let clients = (20 * capacity).div_ceil(AT_ONCE);

    let mut known = Player::from("192.0.2.1", gateway.edge).await;
    let account = json!({ "username": "alice", "password": "correct horse battery staple", "email": "alice@example.com" });
    known.ask(1002, account.clone()).await.unwrap();
    let mut players = Vec::new();
    for number in 0..clients {
        players.push(Player::from(&format!("198.51.{}.{}", 100 + number / 250, 1 + number % 250), gateway.edge).await);
    }
    let before = gateway.memory_peak_kib();

    let rush = players.into_iter().enumerate().map(|(number, mut player)| async move {
        let mut open = BTreeMap::new();
        for call in 0..AT_ONCE {
            // Some know the name, and nobody the password.
            let username = if call == 0 { "alice".to_owned() } else { format!("nobody{number}.{call}") };
            let id = player.send(LOGIN, json!({ "username": username, "password": "a guess like others" })).await;
            open.insert(id, ());
        }
        let mut reasons = Vec::new();
        while !open.is_empty() {
            let said = player.try_hear().await.expect("the connection stays");
            assert!(open.remove(&said.id).is_some(), "answered twice: {said:?}");
            reasons.push(said.reason);
        }
        reasons
    });
    let (answers, ()) = tokio::join!(futures_util::future::join_all(rush), async {
        for _ in 0..20 {
            assert_eq!(known.echo(ECHO, "hi").await.unwrap(), "hi", "others are answered meanwhile");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    });

    let mut counted: BTreeMap<String, usize> = BTreeMap::new();
    answers.into_iter().flatten().for_each(|reason| *counted.entry(reason).or_default() += 1);
    let after = gateway.memory_peak_kib();
    println!("{clients} clients, {AT_ONCE} logins each, room for {capacity}: {counted:?}; at most {before} KiB before, {after} KiB then");
    assert_eq!(counted.values().sum::<usize>(), clients * AT_ONCE);
    let definite = ["INVALID_CREDENTIALS", "OVERLOADED", "TOO_MANY_ATTEMPTS"];
    assert!(counted.keys().all(|reason| definite.contains(&&**reason)), "{counted:?}");
    assert!(counted["OVERLOADED"] > clients * AT_ONCE / 2, "{counted:?}");
    // On a machine that keeps up those who have room; on another some of them wait too long for their turn, and are refused as well.
    assert!(counted["INVALID_CREDENTIALS"] > 0, "{counted:?}");
    assert!(after < before + u64::try_from(processors).unwrap() * HASH_KIB + BESIDE_KIB, "{before} KiB before, {after} KiB then");

    // The rush is over, and the door open; that somebody guessed at her name is for the limit on guesses to say.
    known.ask(1007, json!({})).await.unwrap();
    let mut bob = Player::from("192.0.2.2", gateway.edge).await;
    let account = json!({ "username": "bob", "password": account["password"], "email": "bob@example.com" });
    bob.ask(1002, account.clone()).await.unwrap();
    let mut again = Player::from("192.0.2.2", gateway.edge).await;
    again.ask(LOGIN, json!({ "username": "bob", "password": account["password"] })).await.unwrap();
}
