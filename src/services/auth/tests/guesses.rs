//! What guessing costs, and what it yields.

use super::*;
use crate::services::hasher::WAITING_MAX;

#[tokio::test]
async fn an_unknown_name_costs_the_same_and_is_told_the_same() {
    let world = World::new();
    world.register("alice").await;
    for username in ["alice", "nobody", "no name at all", ""] {
        let before = world.hasher.done();
        let status =
            world.auth.login(from("192.0.2.1", LoginRequest { username: username.to_owned(), password: "wrong horse".to_owned() }));
        let status = status.await.err().expect("it is wrong");
        assert_eq!(status.message(), "the username or the password is wrong");
        assert_eq!(refused(said::<LoginResponse>(Err(status))), "INVALID_CREDENTIALS");
        assert_eq!(world.hasher.done() - before, 1, "{username:?}");
    }
}

#[tokio::test]
async fn a_password_that_nobody_can_have_is_not_hashed() {
    let world = World::new();
    world.register("alice").await;
    let before = world.hasher.done();
    assert_eq!(refused(world.login("alice", &"x".repeat(1025)).await), "INVALID_CREDENTIALS");
    assert_eq!(world.hasher.done(), before);
}

#[tokio::test]
async fn an_account_is_guessed_at_ten_times_whoever_guesses_and_whether_it_exists() {
    let world = World::new();
    world.register("alice").await;
    for username in ["alice", "nobody"] {
        for guess in 0..10 {
            let peer = format!("192.0.2.{guess}");
            assert_eq!(refused(world.login_from(&peer, username, "wrong horse").await), "INVALID_CREDENTIALS");
        }
        world.clock.advance(Duration::from_secs(60));
        let hashed = world.hasher.done();
        assert_eq!(refused(world.login(&username.to_uppercase(), PASSWORD).await), "TOO_MANY_ATTEMPTS for 840s");
        assert_eq!(world.hasher.done(), hashed, "refused before anything is hashed");
    }
    world.clock.advance(Duration::from_secs(14 * 60));
    world.login("alice", PASSWORD).await.expect("after the window");
}

#[tokio::test]
async fn guesses_that_come_together_are_counted_too() {
    let world = World::new();
    world.register("alice").await;
    let before = world.hasher.done();
    let all = join_all((0..40).map(|_| world.login("alice", "wrong horse"))).await;
    let wrong = all.iter().filter(|answer| answer.as_ref().is_err_and(|reason| reason == "INVALID_CREDENTIALS")).count();
    assert_eq!((wrong, world.hasher.done() - before), (10, 10));
}

#[tokio::test]
async fn getting_it_right_forgives_the_account_and_not_the_address() {
    let world = World::new();
    world.register("alice").await;
    for _ in 0..11 {
        for _ in 0..9 {
            assert_eq!(refused(world.login("alice", "wrong horse").await), "INVALID_CREDENTIALS");
        }
        world.login("alice", PASSWORD).await.expect("nine wrong guesses lock nobody out");
    }
    assert_eq!(refused(world.login("alice", "wrong horse").await), "INVALID_CREDENTIALS", "the hundredth");
    assert_eq!(refused(world.login("alice", PASSWORD).await), "TOO_MANY_ATTEMPTS for 900s");
    world.login_from("192.0.2.2", "alice", PASSWORD).await.expect("from elsewhere she can");
    for _ in 0..30 {
        world.login_from("192.0.2.2", "alice", PASSWORD).await.expect("right ones are not counted");
    }
}

#[tokio::test]
async fn a_hash_of_another_cost_is_renewed_by_the_next_login() {
    let world = World::new();
    let id = world.register("alice").await.user.unwrap().user_id;
    let dearer = Hasher::at_cost(Params::new(16, 2, 1, None).unwrap(), 1);
    let context = Context {
        store: world.store.clone(),
        clock: world.clock.clone(),
        signing: SigningCell::default(),
        accounts: world.settings.clone(),
        outbox: PathBuf::new(),
    };
    context.signing.store(world.auth.families.signing().ok());
    let world = World { auth: Auth::new(context, dearer.clone(), &Handle::current()), ..world };
    for hashes in [2, 3] {
        world.login("alice", PASSWORD).await.unwrap();
        assert_eq!(dearer.done(), hashes, "one to verify, and once one to renew");
    }
    let stored = world.store.get(&accounts::key(&id)).await.unwrap().unwrap();
    assert!(str::from_utf8(&stored.value).unwrap().contains("m=16,t=2,p=1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_logins_is_bounded_and_everybody_is_answered() {
    let world = World::with_hasher(Hasher::at_cost(Params::new(256, 1, 1, None).unwrap(), 2));
    let capacity = 2 + WAITING_MAX;
    let all = join_all((0..20 * capacity).map(|index| {
        let (world, peer, name) = (&world, format!("198.51.100.{}", index % 250), format!("user{index}"));
        async move { world.login_from(&peer, &name, PASSWORD).await }
    }))
    .await;
    assert!(world.hasher.running_max() <= 2);
    let hashed = all.iter().filter(|answer| answer.as_ref().is_err_and(|reason| reason == "INVALID_CREDENTIALS")).count();
    let shed = all.iter().filter(|answer| answer.as_ref().is_err_and(|reason| reason == "OVERLOADED for 2s")).count();
    assert_eq!((hashed + shed, hashed as u64), (all.len(), world.hasher.done()));
    assert!(shed > 0 && hashed >= capacity, "{hashed} hashed, {shed} shed");
    world.register("alice").await;
}
