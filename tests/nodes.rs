//! Sessions on several gateways that share one Redis: real ones, in this process and in their own.
//!
//! Whatever is waited for has a generous ceiling, and nothing depends on what comes first where that is not promised.

use std::time::Duration;

use crate::support::TestGateway;
use crate::support::client::TestClient;
use crate::support::nodes::{Cluster, eventually, roster};
use crate::support::player::{Player, Session};

// Coming back: to the same node or another, that lives, stopped or died.
mod resume;

// Sent away: revoked elsewhere, or expired.
mod revoked;

// A node dies under load.
mod killed;

// Anything in any order, against a model.
mod interleavings;

// Topics through all of that: what was published against what was received.
mod ledger;

// Redis stops, is stopped, is full, loses its memory.
mod lost;

/// A route for whoever is known.
const KNOWN: u32 = 9002;

/// The route for everybody.
const ECHO: u32 = 9001;

/// A session that ends by the time a test does.
const MINUTE: Duration = Duration::from_secs(60);

fn token(gateway: &TestGateway, user: &str) -> String {
    gateway.token_for(MINUTE, user, &[])
}

/// Waits until the roster says that nobody is connected to a session.
async fn detached(cluster: &Cluster, session: &Session) {
    let store = cluster.store().await;
    eventually("nobody is connected", async || {
        roster(&store, &session.user).await.iter().any(|record| record.id == session.id && record.detached_until_ms.is_some())
    })
    .await;
}

#[tokio::test]
async fn of_one_user_the_latest_login_stays_whatever_node_it_is_on() {
    let cluster = Cluster::new("{ per_user_max: 1 }");
    let (a, b) = (cluster.gateway(), cluster.gateway());
    let store = cluster.store().await;
    let mut before = Player::login(a.edge(), &token(&a, "alice")).await;
    for gateway in [&b, &a, &b] {
        // Either node believes the other's tokens.
        let player = Player::login(gateway.edge(), &token(&a, "alice")).await;
        let ended = std::mem::replace(&mut before, player).hear_sent_away(4502).await;
        assert!(!ended.goodbye.unwrap()["canResume"].as_bool().unwrap_or(false));
        assert_eq!(before.echo(KNOWN, "still").await.unwrap(), "still");
        let listed: Vec<String> = roster(&store, "alice").await.into_iter().map(|record| record.id).collect();
        assert_eq!(listed, [before.session.id.as_str()]);
    }
    let mut other = Player::login(a.edge(), &token(&b, "bob")).await;
    assert_eq!(before.echo(KNOWN, "other").await.unwrap(), "other", "another user is nothing to her");
    assert_eq!(other.echo(KNOWN, "other").await.unwrap(), "other");
}

#[tokio::test]
async fn logins_at_the_same_moment_leave_exactly_one_session() {
    let cluster = Cluster::new("{ per_user_max: 1 }");
    let (a, b) = (cluster.gateway(), cluster.gateway());
    let store = cluster.store().await;
    for round in 0..5 {
        let user = format!("user{round}");
        let logins = (0..8).map(|number| {
            let (edge, token) = (if number % 2 == 0 { a.edge() } else { b.edge() }, token(&a, &user));
            async move {
                let mut player = Player::connect(edge).await;
                // Who is replaced before it has entered is told so, too.
                let entered = player.authenticate(&token).await.is_ok();
                (player, entered)
            }
        });
        let players = futures_util::future::join_all(logins).await;
        let listed = roster(&store, &user).await;
        assert_eq!(listed.len(), 1);
        let mut left = 0;
        for (mut player, entered) in players {
            if entered && player.session.id == listed[0].id {
                assert_eq!(player.echo(KNOWN, "here").await.unwrap(), "here");
                left += 1;
            } else {
                player.hear_sent_away(4502).await;
            }
        }
        assert_eq!(left, 1);
    }
}

#[tokio::test]
async fn where_the_next_is_refused_it_waits_until_the_first_has_gone() {
    let cluster = Cluster::new("{ per_user_max: 1, when_full: refuse }");
    let (a, b) = (cluster.gateway(), cluster.gateway());
    let mut first = Player::login(a.edge(), &token(&a, "alice")).await;
    let mut second = Player::connect(b.edge()).await;
    assert_eq!(second.authenticate(&token(&a, "alice")).await.unwrap_err(), "SESSION_LIMIT");
    assert_eq!(second.echo(ECHO, "nobody").await.unwrap(), "nobody", "it may go on as nobody");
    TestClient::connect_with_token(b.edge(), &token(&a, "alice")).await.assert_sent_away(4505).await;
    assert_eq!(first.echo(KNOWN, "mine").await.unwrap(), "mine");

    let left = first.vanish();
    detached(&cluster, &left).await;
    second.authenticate(&token(&a, "alice")).await.unwrap();
    assert_eq!(second.echo(KNOWN, "mine").await.unwrap(), "mine");
    let mut late = Player::connect(a.edge()).await;
    assert_eq!(late.resume(&left, "").await.unwrap_err(), "RESUME_FAILED", "its place is taken");
}
