//! Refresh tokens: one is good at a time.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::*;

#[tokio::test]
async fn a_refresh_token_is_good_once_and_its_second_use_ends_the_login() {
    let world = World::new();
    let first = world.register("alice").await;
    let other = world.login("alice", PASSWORD).await.unwrap();
    let second = world.refresh(&first.refresh_token).await.unwrap();
    let third = world.refresh(&second.refresh_token).await.unwrap();
    assert_eq!(third.user, first.user);
    assert!(world.identity(&third.access_token).token_id.unwrap().ends_with(".3"));

    assert_eq!(refused(world.refresh(&first.refresh_token).await), "INVALID_REFRESH_TOKEN");
    assert_eq!(refused(world.refresh(&third.refresh_token).await), "INVALID_REFRESH_TOKEN", "the thief's and the owner's alike");
    for access in [&first.access_token, &second.access_token, &third.access_token] {
        assert!(!world.is_believed(access).await);
    }
    assert!(world.is_believed(&other.access_token).await, "another login of the same user goes on");
    world.refresh(&other.refresh_token).await.unwrap();
}

#[tokio::test]
async fn what_was_made_up_ends_nothing() {
    let world = World::new();
    let alice = world.register("alice").await;
    let bob = world.register("bob").await;
    let parts: Vec<&str> = alice.refresh_token.split('.').collect();
    let bobs: Vec<&str> = bob.refresh_token.split('.').collect();
    let long = "x".repeat(100_000);
    for made_up in [
        "",
        "..",
        &long,
        &format!("{}.{}.{}", parts[0], "A".repeat(22), parts[2]),
        &format!("{}.{}.{}", parts[0], bobs[1], bobs[2]),
        &format!("{}.{}.{}", bobs[0], parts[1], parts[2]),
        &format!("{}..{}", parts[0], "A".repeat(65)),
        &alice.access_token,
    ] {
        assert_eq!(refused(world.refresh(made_up).await), "INVALID_REFRESH_TOKEN");
    }
    world.refresh(&alice.refresh_token).await.expect("her login goes on");
    world.refresh(&bob.refresh_token).await.expect("so does his");
}

#[tokio::test]
async fn of_those_who_show_one_token_at_once_one_is_served_and_the_login_ends() {
    let world = World::new();
    let alice = world.register("alice").await;
    let all = join_all((0..8).map(|_| world.refresh(&alice.refresh_token))).await;
    assert_eq!(all.iter().filter(|answer| answer.is_ok()).count(), 1);
    let won = all.into_iter().find_map(Result::ok).unwrap();
    assert!(!world.is_believed(&won.access_token).await, "nobody knows whether the owner won");
    assert_eq!(refused(world.refresh(&won.refresh_token).await), "INVALID_REFRESH_TOKEN");
}

#[tokio::test]
async fn a_login_ends_when_it_is_told_to_and_no_access_token_outlives_it() {
    let world = World::new();
    let mut refresh = world.register("alice").await.refresh_token;
    let half = Duration::from_secs(7 * 60);
    world.clock.advance(REFRESH_TTL - half);
    let last = world.refresh(&refresh).await.unwrap();
    assert_eq!(last.expires_in, 7 * 60, "no longer than the login");
    refresh = last.refresh_token;
    world.clock.advance(half);
    assert_eq!(refused(world.refresh(&refresh).await), "INVALID_REFRESH_TOKEN");
    assert!(!world.is_believed(&last.access_token).await);
}

#[tokio::test]
async fn beyond_so_many_living_access_tokens_the_oldest_is_revoked() {
    let world = World::new();
    let first = world.register("alice").await;
    let mut last = world.refresh(&first.refresh_token).await.unwrap();
    for _ in 2..32 {
        last = world.refresh(&last.refresh_token).await.unwrap();
    }
    assert!(world.is_believed(&first.access_token).await, "32 are good at once");
    last = world.refresh(&last.refresh_token).await.unwrap();
    assert!(!world.is_believed(&first.access_token).await);
    assert_eq!(world.notices().await.len(), 1);
    world.clock.advance(ACCESS_TTL);
    for _ in 0..31 {
        last = world.refresh(&last.refresh_token).await.unwrap();
    }
    assert_eq!(world.notices().await.len(), 1, "those that expired are not counted");
}

#[test]
fn any_order_of_uses_leaves_at_most_one_good_token_a_login() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let mut runner = TestRunner::new(Config { cases: 64, failure_persistence: None, ..Config::default() });
    // Which of the tokens known so far is shown, and how much time passes before.
    let steps = prop::collection::vec((any::<prop::sample::Index>(), 0_u64..20), 1..24);
    let outcome = runner.run(&steps, |steps| {
        runtime.block_on(async {
            let world = World::new();
            let mut known = vec![world.register("alice").await.refresh_token];
            // The model: the newest is good until an older one was shown.
            let mut over = false;
            for (which, minutes) in steps {
                world.clock.advance(Duration::from_secs(60 * minutes));
                let shown = which.index(known.len());
                let answer = world.refresh(&known[shown]).await;
                let good = !over && shown + 1 == known.len();
                prop_assert_eq!(answer.is_ok(), good);
                over |= !good;
                known.extend(answer.map(|answer| answer.refresh_token));
            }
            let mut good = 0;
            for token in &known {
                good += u32::from(world.refresh(token).await.is_ok());
            }
            // The first that is shown here is the newest only if there is one alone; any other ends the login.
            prop_assert!(good <= 1);
            Ok(())
        })
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}
