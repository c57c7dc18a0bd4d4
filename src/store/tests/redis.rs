//! What the store in Redis promises beyond the suite: what happens to it when something happens to the server.

use tokio::time::{Instant, sleep, timeout};

use super::*;

/// Within which an operation that cannot succeed has failed: the quarter of a second, and what a very busy machine adds to it.
const SOON: Duration = Duration::from_millis(250 + 4750);

/// Within which a server that is well again is used again: two seconds, and the same addition.
const HEALED: Duration = Duration::from_secs(2 + 18);

/// Every operation fails, soon, and as unavailable.
async fn nothing_succeeds(store: &Store) {
    fn unavailable<T>(what: &str, result: Result<T>) {
        assert!(matches!(result, Err(StoreError::Unavailable(_) | StoreError::Busy(_))), "{what}");
    }
    for round in 0..3 {
        let begin = Instant::now();
        unavailable("get", store.get(&key("a")).await);
        assert!(begin.elapsed() < SOON, "round {round}: {:?}", begin.elapsed());
        unavailable("get_all", store.get_all(&[key("a"), key("b")]).await);
        unavailable("write", store.write(put("a", "lost", Expect::Anything)).await);
        unavailable("count", store.count(&key("a"), 1, Duration::from_secs(9)).await);
        unavailable("read", store.read(&key("a"), 0, 1).await);
        unavailable("publish", store.publish("news", Bytes::new()).await);
        assert!(begin.elapsed() < 6 * SOON, "round {round}: {:?}", begin.elapsed());
    }
}

/// Everything works again, within the time that is promised.
async fn everything_heals(store: &Store) {
    let begin = Instant::now();
    let mut last = None;
    while begin.elapsed() < HEALED {
        match works(store).await {
            Ok(()) => return,
            Err(error) => last = Some(error),
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("not well again after {HEALED:?}: {last:?}");
}

async fn works(store: &Store) -> Result<()> {
    let version = store.write(put("healed", "x", Expect::Anything)).await?[0];
    assert_eq!(store.get(&key("healed")).await?.unwrap().version, version);
    store.get_all(&[key("healed"), key("b")]).await?;
    store.count(&key("healed"), 1, Duration::from_secs(9)).await?;
    store.read(&key("healed"), 0, 1).await?;
    let mut news = store.listen("healed").await?;
    store.publish("healed", Bytes::from_static(b"x")).await?;
    while timeout(HEALED, news.recv()).await.expect("a listener hears") == Some(Signal::Gap) {}
    Ok(())
}

/// Opens several connections, so that more than one of them can turn out to be dead.
async fn busy(store: &Store) {
    let asks: Vec<_> = (0..64)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move { store.get(&key(&number.to_string())).await })
        })
        .collect();
    for ask in asks {
        ask.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_server_that_was_killed_is_used_again_when_it_is_back() {
    let mut server = RedisServer::start();
    let store = redis(&server).await;
    busy(&store).await;
    server.kill();
    nothing_succeeds(&store).await;
    server.restart();
    everything_heals(&store).await;
}

#[tokio::test]
async fn a_server_that_was_restarted_between_two_operations_is_not_noticed() {
    let mut server = RedisServer::start();
    let store = redis(&server).await;
    busy(&store).await;
    server.restart();
    // The end of a connection is told to whoever reads from it, and that is not this task.
    sleep(Duration::from_millis(100)).await;
    for _ in 0..20 {
        store.write(put("a", "x", Expect::Anything)).await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up_soon_and_used_again() {
    let server = RedisServer::start();
    let store = redis(&server).await;
    busy(&store).await;
    server.pause();
    nothing_succeeds(&store).await;
    server.resume();
    everything_heals(&store).await;
}

#[tokio::test]
async fn no_answer_is_given_to_the_wrong_question() {
    let server = RedisServer::start();
    let store = redis(&server).await;
    for number in ["1", "2", "3"] {
        store.write(Batch::default().put(key(number), number.to_owned(), Expect::Absent, None)).await.unwrap();
    }
    for _ in 0..20 {
        server.pause();
        assert!(store.get(&key("1")).await.is_err());
        server.resume();
        let begin = Instant::now();
        let answer = loop {
            match store.get(&key("2")).await {
                Ok(answer) => break answer,
                Err(_) => assert!(begin.elapsed() < HEALED),
            }
        };
        assert_eq!(text(&answer), Some("2"));
    }
}

#[tokio::test]
async fn a_flood_while_the_server_does_not_answer_ends_in_time() {
    let server = RedisServer::start();
    let store = redis(&server).await;
    server.pause();
    let begin = Instant::now();
    let asks: Vec<_> = (0..500)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.count(&key("c"), 1, Duration::from_secs(60)).await.is_err() })
        })
        .collect();
    for ask in asks {
        assert!(ask.await.unwrap());
    }
    assert!(begin.elapsed() < 2 * SOON, "{:?}", begin.elapsed());
    server.resume();
    everything_heals(&store).await;
}

#[tokio::test]
async fn forgotten_scripts_are_sent_again() {
    let server = RedisServer::start();
    let store = redis(&server).await;
    for _ in 0..3 {
        server.say(&["SCRIPT", "FLUSH"]);
        works(&store).await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_is_loading_is_unavailable_until_it_has() {
    // Half a millisecond a key, and commands are looked at after every kilobyte.
    let mut server = RedisServer::start_with(&["--key-load-delay", "500", "--loading-process-events-interval-bytes", "1024"]);
    let store = redis(&server).await;
    let fill = "for key = 1, 2000 do redis.call('SET', 'filler:' .. key, string.rep('x', 100)) end";
    server.say(&["EVAL", fill, "0"]);
    store.write(put("kept", "x", Expect::Absent)).await.unwrap();
    assert!(server.say(&["SAVE"]).starts_with("+OK"));
    server.restart();
    let begin = Instant::now();
    let mut refused = 0;
    let found = loop {
        let asked = Instant::now();
        match store.get(&key("kept")).await {
            Ok(found) => break found,
            Err(StoreError::Unavailable(why)) => refused += u32::from(why.to_lowercase().contains("loading")),
            Err(other) => panic!("{other}"),
        }
        assert!(asked.elapsed() < SOON && begin.elapsed() < Duration::from_secs(20));
        sleep(Duration::from_millis(20)).await;
    };
    assert!(refused > 0, "the server was never seen loading");
    assert_eq!(text(&found), Some("x"));
    everything_heals(&store).await;
}

#[tokio::test]
async fn a_replica_is_read_and_not_written() {
    let server = RedisServer::start();
    let store = redis(&server).await;
    store.write(put("a", "x", Expect::Absent)).await.unwrap();
    // Its master is nowhere. It goes on with the data it has.
    server.say(&["REPLICAOF", "127.0.0.1", "1"]);
    assert_eq!(text(&store.get(&key("a")).await.unwrap()), Some("x"));
    let refused = store.write(put("a", "y", Expect::Anything)).await.unwrap_err();
    assert!(refused.to_string().to_lowercase().contains("read"), "{refused}");
    assert!(store.count(&key("a"), 1, Duration::from_secs(9)).await.is_err());
    server.say(&["REPLICAOF", "NO", "ONE"]);
    everything_heals(&store).await;
    assert_eq!(text(&store.get(&key("a")).await.unwrap()), Some("x"));
}

#[tokio::test]
async fn a_full_server_does_nothing_by_half() {
    let server = RedisServer::start();
    let store = redis(&server).await;
    let bounds = Bounds { count: 10, bytes: None, age: Duration::from_secs(60) };
    store.write(put("old", "x", Expect::Absent)).await.unwrap();
    server.say(&["CONFIG", "SET", "maxmemory", "1mb"]);
    server.say(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    let batch = || put("a", "x", Expect::Anything).append(key("log"), "x", bounds).delete(key("old"), Expect::Anything);
    let refused = store.write(batch()).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Unavailable(why) if why.contains("OOM")), "{refused}");
    assert!(store.get(&key("a")).await.unwrap().is_none() && store.get(&key("old")).await.unwrap().is_some());
    assert_eq!(store.read(&key("log"), 0, 1).await.unwrap().last, 0);
    server.say(&["CONFIG", "SET", "maxmemory", "0"]);
    store.write(batch()).await.unwrap();
}

#[tokio::test]
async fn a_key_that_somebody_else_wrote_is_unavailable_and_stays_as_it_is() {
    let server = RedisServer::start();
    let store = redis(&server).await;
    server.say(&["LPUSH", "test:v1:d:test:list", "x"]);
    server.say(&["SET", "test:v1:d:test:text", "no version"]);
    server.say(&["SET", "test:v1:l:test:log", "x"]);
    server.say(&["SET", "test:v1:c:test:c", "many"]);
    let bounds = Bounds { count: 10, bytes: None, age: Duration::from_secs(60) };
    for foreign in ["list", "text"] {
        assert!(matches!(store.get(&key(foreign)).await, Err(StoreError::Unavailable(_))), "{foreign}");
        assert!(matches!(store.get_all(&[key(foreign), key("a")]).await, Err(StoreError::Unavailable(_))), "{foreign}");
        let batch = put("a", "x", Expect::Absent).put(key(foreign), "x", Expect::Anything, None);
        assert!(matches!(store.write(batch).await, Err(StoreError::Unavailable(_))), "{foreign}");
    }
    assert!(store.read(&key("log"), 0, 1).await.is_err());
    let batch = put("a", "x", Expect::Absent).append(key("log"), "x", bounds);
    assert!(matches!(store.write(batch).await, Err(StoreError::Unavailable(_))));
    assert!(store.count(&key("c"), 1, Duration::from_secs(9)).await.is_err());
    assert!(store.get(&key("a")).await.unwrap().is_none(), "nothing happened by half");
    assert!(server.say(&["GET", "test:v1:d:test:text"]).contains("no version"));
}

#[tokio::test]
async fn a_server_that_lost_its_data_gives_out_no_version_again() {
    let mut server = RedisServer::start();
    let store = redis(&server).await;
    let remembered = store.write(put("a", "x", Expect::Absent)).await.unwrap()[0];
    server.restart();
    everything_heals(&store).await;
    let version = store.write(put("a", "y", Expect::Absent)).await.unwrap()[0];
    assert!(version > remembered);
    assert_eq!(store.write(put("a", "z", Expect::Version(remembered))).await.unwrap_err(), StoreError::Conflict(0));
}

#[tokio::test]
async fn who_listens_hears_a_gap_and_then_again_after_the_server_was_gone() {
    let mut server = RedisServer::start();
    let (store, other) = (redis(&server).await, redis(&server).await);
    let mut news = store.listen("news").await.unwrap();
    server.restart();
    assert_eq!(timeout(HEALED, news.recv()).await.expect("in time"), Some(Signal::Gap));
    let begin = Instant::now();
    while other.publish("news", Bytes::from_static(b"x")).await != Ok(1) {
        assert!(begin.elapsed() < HEALED);
    }
    assert_eq!(timeout(HEALED, news.recv()).await.expect("in time"), Some(Signal::Message(Bytes::from_static(b"x"))));
}

#[tokio::test]
async fn after_a_restart_a_gap_is_heard_and_then_announcements_again() {
    let mut server = RedisServer::start();
    let (store, other) = (redis(&server).await, redis(&server).await);
    let bounds = Bounds { count: 10, bytes: Some(1000), age: Duration::from_secs(60) };
    let append = |entry: &'static str| Batch::default().append_announced(key("log"), entry, bounds, "news");
    let said = |offset, entry: &'static str| Some((offset, Bytes::from_static(entry.as_bytes())));
    let mut news = store.listen("news").await.unwrap();
    other.write(append("a")).await.unwrap();
    let Some(Signal::Message(message)) = timeout(HEALED, news.recv()).await.expect("in time") else { panic!("nothing was lost") };
    assert_eq!(announced(&message), said(1, "a"));
    server.restart();
    assert_eq!(timeout(HEALED, news.recv()).await.expect("in time"), Some(Signal::Gap));
    // Whoever looks after the gap misses nothing any more. The server kept nothing, so offsets begin anew.
    let begin = Instant::now();
    while let Err(error) = other.write(append("b")).await {
        assert!(begin.elapsed() < HEALED, "{error}");
    }
    let Some(Signal::Message(message)) = timeout(HEALED, news.recv()).await.expect("in time") else { panic!("one gap is enough") };
    assert_eq!(announced(&message), said(1, "b"));
}

#[tokio::test]
async fn entries_of_an_older_version_are_read_and_go_as_soon_as_bytes_are_bounded() {
    let server = RedisServer::start();
    let store = redis(&server).await;
    for id in ["1-0", "2-0"] {
        server.say(&["XADD", "test:v1:l:test:log", id, "end", "99999999999999", "entry", "old"]);
    }
    let bounds = Bounds { count: 10, bytes: None, age: Duration::from_secs(60) };
    let offsets = async || {
        let entries = store.read(&key("log"), 0, 10).await.unwrap().entries;
        entries.into_iter().map(|(offset, _)| offset).collect::<Vec<_>>()
    };
    assert_eq!(store.write(Batch::default().append(key("log"), "new", bounds)).await.unwrap(), [3]);
    assert_eq!(offsets().await, [1, 2, 3]);
    let bounded = Bounds { bytes: Some(6), ..bounds };
    assert_eq!(store.write(Batch::default().append(key("log"), "new", bounded)).await.unwrap(), [4]);
    assert_eq!(offsets().await, [3, 4]);
}

#[tokio::test]
async fn who_may_not_publish_appends_nothing_by_half() {
    let server = RedisServer::start();
    server.say(&["ACL", "SETUSER", "mute", "on", ">pass", "+@all", "~*", "resetchannels"]);
    let url = RedisUrl::parse(&format!("redis://mute:pass@127.0.0.1:{}", server.port())).ok().unwrap();
    let store = Store::new(Redis::open(&url, "test").await.unwrap_or_else(|error| panic!("{error}")));
    let bounds = Bounds { count: 10, bytes: None, age: Duration::from_secs(60) };
    let batch = put("a", "x", Expect::Absent).append_announced(key("log"), "x", bounds, "news");
    let refused = store.write(batch).await.unwrap_err();
    assert!(refused.to_string().contains("may not publish"), "{refused}");
    assert!(store.get(&key("a")).await.unwrap().is_none());
}

#[tokio::test]
async fn an_ear_that_only_seems_to_be_there_is_replaced() {
    let server = RedisServer::start();
    let store = redis(&server).await;
    let mut news = store.listen("news").await.unwrap();
    server.pause();
    sleep(Duration::from_millis(2500)).await;
    server.resume();
    assert_eq!(timeout(HEALED, news.recv()).await.expect("in time"), Some(Signal::Gap));
    assert_eq!(store.publish("news", Bytes::from_static(b"x")).await.unwrap(), 1, "and the old ear is gone");
}

#[tokio::test]
async fn a_channel_that_nobody_listens_to_is_left() {
    let server = RedisServer::start();
    let store = redis(&server).await;
    let (news, other) = (store.listen("news").await.unwrap(), store.listen("other").await.unwrap());
    drop(news);
    let begin = Instant::now();
    while store.publish("news", Bytes::new()).await.unwrap() > 0 {
        assert!(begin.elapsed() < 2 * HEALED);
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(store.publish("other", Bytes::new()).await.unwrap(), 1);
    drop(other);
}

#[tokio::test]
async fn nodes_hear_each_other_and_prefixes_do_not() {
    let server = RedisServer::start();
    let (one, two) = (redis(&server).await, redis(&server).await);
    let url = RedisUrl::parse(&format!("{}/3", server.url())).ok().unwrap();
    let (apart, elsewhere) = (Redis::open(&url, "test").await.ok().unwrap(), Redis::open(&url, "apart").await.ok().unwrap());
    let (apart, elsewhere) = (Store::new(apart), Store::new(elsewhere));
    let mut hears = one.listen("news").await.unwrap();
    let mut silent = elsewhere.listen("news").await.unwrap();
    assert_eq!(two.publish("news", Bytes::from_static(b"x")).await.unwrap(), 1);
    assert_eq!(hears.recv().await, Some(Signal::Message(Bytes::from_static(b"x"))));
    assert!(silent.try_recv().is_err());
    one.write(put("a", "x", Expect::Absent)).await.unwrap();
    assert!(two.get(&key("a")).await.unwrap().is_some());
    assert!(apart.get(&key("a")).await.unwrap().is_none(), "another database");
    assert!(elsewhere.get(&key("a")).await.unwrap().is_none(), "and another prefix");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn connections_outlive_the_runtime_that_asked_for_them() {
    let server = RedisServer::start();
    let store = redis(&server).await;
    let asking = store.clone();
    let elsewhere = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { asking.get(&key("a")).await.unwrap() });
    };
    std::thread::spawn(elsewhere.clone()).join().unwrap_or_else(|_| panic!("it was answered"));
    tokio::task::spawn_blocking(elsewhere).await.unwrap();
    store.get(&key("a")).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_used_is_said_at_the_start_and_without_the_password() {
    let mut server = RedisServer::start_with(&["--requirepass", "s3cret"]);
    let port = server.port();
    let open = |url: String| async move {
        let url = RedisUrl::parse(&url).ok().unwrap();
        Redis::open(&url, "test").await
    };
    assert!(open(format!("redis://:s3cret@127.0.0.1:{port}")).await.is_ok());
    for (user, said) in [("", "auth"), (":s3cret-not@", "auth"), ("nobody:s3cret@", "auth")] {
        let Err(why) = open(format!("redis://{user}127.0.0.1:{port}")).await else { panic!("{user}") };
        assert!(why.to_lowercase().contains(said) && !why.contains("s3cret") && why.contains(&port.to_string()), "{why}");
    }
    server.stop();
    let Err(why) = open(format!("redis://:s3cret@127.0.0.1:{port}")).await else { panic!("nobody is there") };
    assert!(why.contains("refused") && !why.contains("s3cret"), "{why}");
}
