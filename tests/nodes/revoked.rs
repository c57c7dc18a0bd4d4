//! Sent away: revoked on another node, or expired.

use std::time::Instant;

use protogate::session::revocation::Revocation;

use super::*;
use crate::support::PATIENCE;
use crate::support::nodes::Process;

/// Within which a revocation closes on every node, and what a very busy machine adds to it.
const CLOSED_WITHIN: Duration = Duration::from_secs(2 + 13);

/// Everything that can be revoked of a connected player.
fn revocations(player: &Player, token: &str) -> [Revocation; 3] {
    use base64::Engine as _;
    let claims = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
    let soon = std::time::SystemTime::now() + Duration::from_secs(1);
    let soon = soon.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    [
        Revocation::Session(player.session.id.clone()),
        Revocation::Token(claims["jti"].as_str().unwrap().to_owned()),
        Revocation::User { user: player.session.user.clone(), issued_before_ms: soon.try_into().unwrap() },
    ]
}

async fn revoked_everywhere(cluster: &Cluster, by: &TestGateway, there: &[&TestGateway]) {
    for (round, gateway) in there.iter().enumerate() {
        for kind in 0..3 {
            let user = format!("user{round}{kind}");
            let shown = token(by, &user);
            let player = Player::login(gateway.edge(), &shown).await;
            let mut bystander = Player::login(gateway.edge(), &token(by, &format!("{user}-not"))).await;
            let session = player.session.clone();
            let revocation = revocations(&player, &shown)[kind].clone();
            let began = Instant::now();
            by.gateway().revoke(revocation).await.unwrap_or_else(|failure| panic!("{}", failure.reason()));
            let ended = player.hear_sent_away(4501).await;
            assert!(began.elapsed() < CLOSED_WITHIN, "after {:?}", began.elapsed());
            assert!(!ended.goodbye.unwrap()["canResume"].as_bool().unwrap_or(false));
            assert_eq!(bystander.echo(KNOWN, "mine").await.unwrap(), "mine");
            for gateway in there.iter().chain([&by]) {
                let mut back = Player::connect(gateway.edge()).await;
                back.resume(&session, "").await.unwrap_err();
                if kind > 0 {
                    let mut again = Player::connect(gateway.edge()).await;
                    assert_eq!(again.authenticate(&shown).await.unwrap_err(), "INVALID_TOKEN");
                }
            }
        }
    }
    assert!(cluster.redis.say(&["PING"]).contains("PONG"));
}

#[tokio::test]
async fn what_is_revoked_on_one_node_is_sent_away_by_every_node() {
    let cluster = Cluster::new("{}");
    let (a, b) = (cluster.gateway(), cluster.gateway());
    revoked_everywhere(&cluster, &a, &[&b, &a]).await;
}

#[tokio::test]
async fn also_when_no_signal_arrives() {
    let cluster = Cluster::new("{}");
    let (a, b) = (cluster.gateway(), cluster.gateway());
    // From now on nobody can say or hear anything over a channel.
    assert!(cluster.redis.say(&["ACL", "SETUSER", "default", "resetchannels", "-publish", "-subscribe"]).contains("OK"));
    cluster.redis.say(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    revoked_everywhere(&cluster, &a, &[&b]).await;
}

#[tokio::test]
async fn a_token_that_expires_is_announced_once_and_a_fresh_one_resumes_the_session() {
    let cluster = Cluster::new("{}");
    let (a, b) = (cluster.gateway(), cluster.gateway());
    let ttl = Duration::from_secs(8);
    let began = Instant::now();
    let player = Player::login(a.edge(), &a.token_for(ttl, "alice", &[])).await;
    let mut refreshed = Player::login(a.edge(), &a.token_for(ttl, "bob", &[])).await;
    refreshed.hear(9).await;
    refreshed.refresh(&token(&a, "bob")).await.unwrap();
    let session = player.session.clone();
    let ended = player.hear_sent_away(4002).await;
    let lived = began.elapsed();
    // `exp` has whole seconds.
    assert!(lived > ttl - Duration::from_millis(1100) && lived < ttl + PATIENCE / 2, "{lived:?}");
    let announced: Vec<u32> = ended.said.iter().map(|said| said.protocol).collect();
    assert_eq!(announced, [9], "TokenExpiring, once");
    let goodbye = ended.goodbye.unwrap();
    assert_eq!((&goodbye["canResume"], &goodbye["reconnect"]), (&true.into(), &true.into()));

    let mut back = Player::connect(b.edge()).await;
    assert_eq!(back.resume(&session, "").await.unwrap_err(), "RESUME_FAILED", "what it was known by is over");
    let resumed = back.resume(&session, &token(&a, "alice")).await.unwrap();
    assert_eq!((&resumed["recovered"], &resumed["ready"]["sessionId"]), (&true.into(), &session.id.as_str().into()));
    assert_eq!(refreshed.echo(KNOWN, "still").await.unwrap(), "still", "in time is in time");
}

#[tokio::test]
async fn a_process_that_is_asked_to_end_sends_its_clients_to_others() {
    let cluster = Cluster::new("{}");
    let (mut a, b): (Process, TestGateway) = (cluster.process().await, cluster.gateway());
    let mut players = Vec::new();
    for number in 0..20 {
        players.push(Player::login(a.edge, &a.token_for(MINUTE, &format!("user{number}"))).await);
    }
    a.terminate();
    for player in players {
        let session = player.session.clone();
        let ended = player.hear_sent_away(1001).await;
        let goodbye = ended.goodbye.unwrap();
        assert_eq!((&goodbye["canResume"], &goodbye["reconnect"]), (&true.into(), &true.into()));
        let mut back = Player::connect(b.edge()).await;
        assert_eq!(back.resume(&session, "").await.unwrap()["recovered"], true, "{}", session.user);
    }
    eventually("the process has ended", || std::future::ready(a.ended().is_some())).await;
    assert!(a.ended().unwrap().success(), "{}", a.log());
}
