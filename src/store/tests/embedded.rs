//! What the embedded store promises beyond the suite: the file, the disk, and the death of its process.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::{env, fs, io};

use redb::StorageBackend;
use redb::backends::InMemoryBackend;
use tokio::time::{Instant, sleep};

use super::*;
use crate::data::DataFolder;

/// Within which what happens by itself has happened, on a busy machine.
const BY_AND_BY: Duration = Duration::from_secs(20);

fn open_at(path: &Path) -> Store {
    Store::new(Embedded::open(path, Clock::system()).unwrap_or_else(|error| panic!("{error}")))
}

fn refused(path: &Path) -> String {
    match Embedded::open(path, Clock::system()) {
        Ok(_) => panic!("it opens"),
        Err(why) => why,
    }
}

/// A file with a few hundred documents in it.
async fn filled(path: &Path) {
    let store = open_at(path);
    for number in 0..300 {
        store.write(Batch::default().put(key(&number.to_string()), vec![7; 500], Expect::Absent, None)).await.unwrap();
    }
}

#[tokio::test]
async fn all_of_it_survives_an_orderly_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let bounds = Bounds { count: 10, bytes: None, age: Duration::from_secs(3600) };
    let store = open_at(&path);
    let version = store.write(put("a", "x", Expect::Absent).append(key("log"), "y", bounds)).await.unwrap()[0];
    store.count(&key("c"), 3, Duration::from_secs(3600)).await.unwrap();
    drop(store);
    let store = open_at(&path);
    assert_eq!(store.get(&key("a")).await.unwrap().unwrap().version, version);
    assert_eq!(store.read(&key("log"), 0, 10).await.unwrap().entries, [(1, Bytes::from_static(b"y"))]);
    assert_eq!(store.count(&key("c"), 1, Duration::from_secs(3600)).await.unwrap().value, 4);
    assert!(store.write(put("b", "x", Expect::Absent)).await.unwrap()[0] > version);
}

#[tokio::test]
async fn a_file_knows_whether_it_was_closed_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("store.redb"), folder.path().join("copy.redb"));
    drop(open_at(&path));
    let store = open_at(&path);
    let losses = store.losses();
    drop(store);
    let store = open_at(&path);
    assert_eq!(store.losses(), losses, "nothing was lost");
    // What is on the disk while the process lives is what there is if it dies.
    fs::copy(&path, &copy).unwrap();
    assert_eq!(open_at(&copy).losses(), losses + 1);
}

#[tokio::test]
async fn a_log_in_a_file_of_an_older_version_is_summed_up_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let append = |entry: &'static str| {
        let bounds = Bounds { count: 10, bytes: Some(10), age: Duration::from_secs(3600) };
        Batch::default().append(key("log"), entry, bounds)
    };
    let store = open_at(&path);
    store.write(append("1234").append(key("other"), "x", Bounds { count: 10, bytes: None, age: Duration::from_secs(3600) })).await.unwrap();
    store.write(append("5678")).await.unwrap();
    drop(store);
    let database = redb::Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    assert!(transaction.delete_table(redb::TableDefinition::<&str, u64>::new("log bytes")).unwrap());
    transaction.commit().unwrap();
    drop(database);
    let store = open_at(&path);
    for (entry, first) in [("90", 1), ("a", 2), ("bcd", 2), ("e", 3)] {
        store.write(append(entry)).await.unwrap();
        assert_eq!(store.read(&key("log"), 0, 0).await.unwrap().first, first, "{entry}");
    }
    assert_eq!(
        store
            .write(Batch::default().append(key("other"), "y", Bounds { count: 10, bytes: None, age: Duration::from_secs(3600) }))
            .await
            .unwrap(),
        [2]
    );
}

#[tokio::test]
async fn the_file_lies_in_a_folder_of_ours_and_nobody_else_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let data = DataFolder::at(folder.path().join("data"));
    let store = open(&StoreSpec::Embedded, &data).await.unwrap_or_else(|error| panic!("{error}"));
    store.write(put("a", "x", Expect::Absent)).await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(data.path()), mode(&data.path().join("store.redb"))), (0o700, 0o600));
    drop(store);
    fs::set_permissions(data.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let Err(why) = open(&StoreSpec::Embedded, &data).await else { panic!("others may have written it") };
    assert!(why.contains("chmod 700"), "{why}");
}

#[tokio::test]
async fn a_second_process_is_told_of_redis() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let store = open_at(&path);
    let why = refused(&path);
    assert!(why.contains("another process") && why.contains("redis: { url:") && why.contains("--data"), "{why}");
    store.write(put("a", "x", Expect::Absent)).await.unwrap();
    drop(store);
    open_at(&path);
}

#[tokio::test]
async fn a_file_that_is_no_store_is_refused_with_a_remedy_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    filled(&path).await;
    let sound = fs::read(&path).unwrap();
    let foreign = redb_of_somebody_else(folder.path());
    let ruined: [(&str, Vec<u8>); 5] = [
        ("text", b"this is no database\n".repeat(500)),
        ("a few bytes", vec![1, 2, 3]),
        ("zeros", vec![0; sound.len()]),
        ("half of it", sound[..sound.len() / 2].to_vec()),
        ("another program's", foreign),
    ];
    for (what, bytes) in ruined {
        fs::write(&path, &bytes).unwrap();
        let why = refused(&path);
        assert!(why.contains("move it away") && why.contains("store.redb"), "{what}: {why}");
        assert_eq!(fs::read(&path).unwrap().len(), bytes.len(), "{what}");
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(refused(&path).contains("cannot be opened"));
}

/// A database of the same library with a table of the same name, and other things in it.
fn redb_of_somebody_else(folder: &Path) -> Vec<u8> {
    let path = folder.join("foreign.redb");
    let database = redb::Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(redb::TableDefinition::<u64, &str>::new("documents")).unwrap().insert(1, "x").unwrap();
    transaction.commit().unwrap();
    drop(database);
    fs::read(path).unwrap()
}

#[tokio::test]
async fn a_page_that_the_disk_changed_is_an_error_and_never_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    filled(&path).await;
    let sound = fs::read(&path).unwrap();
    // Every one of these lies in a page of its own.
    for at in (4096 + 100..sound.len()).step_by(16 * 4096) {
        let mut bytes = sound.clone();
        bytes[at..at + 64].iter_mut().for_each(|byte| *byte = !*byte);
        fs::write(&path, &bytes).unwrap();
        match Embedded::open(&path, Clock::system()) {
            Err(why) => assert!(why.contains("move it away"), "{at}: {why}"),
            // The page was not in use.
            Ok(opened) => {
                let store = Store::new(opened);
                for number in 0..300 {
                    assert_eq!(store.get(&key(&number.to_string())).await.unwrap().unwrap().value, vec![7; 500], "{at}");
                }
            }
        }
    }
}

#[tokio::test]
async fn what_is_past_its_expiry_is_deleted_by_and_by() {
    let clock = Clock::by_hand(SystemTime::now());
    let embedded = Arc::new(Embedded::in_memory(clock.clone()));
    let store = Store(Arc::clone(&embedded) as Arc<dyn Engine>);
    let bounds = Bounds { count: 20_000, bytes: None, age: Duration::from_secs(60) };
    for part in 0..20 {
        let batch = (0..500).fold(Batch::default(), |batch, number| {
            let batch = batch.append(key("long"), "x", bounds);
            batch.put(key(&format!("{part} {number}")), "x", Expect::Absent, Some(Duration::from_secs(60)))
        });
        store.write(batch).await.unwrap();
    }
    store.count(&key("c"), 1, Duration::from_secs(60)).await.unwrap();
    assert!(!embedded.is_overdue());
    clock.advance(Duration::from_secs(61));
    assert!(embedded.is_overdue());
    let begin = Instant::now();
    while embedded.is_overdue() {
        assert!(begin.elapsed() < BY_AND_BY);
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(embedded.rows(), 0, "nothing is left of them");
}

/// A disk whose contents outlive whoever has it open, and that can be told to fail.
#[derive(Clone, Debug)]
struct Disk {
    bytes: Arc<InMemoryBackend>,
    fails: Arc<AtomicBool>,
}

impl Disk {
    fn checked<T>(&self, result: io::Result<T>) -> io::Result<T> {
        match self.fails.load(Ordering::SeqCst) {
            true => Err(io::Error::from(io::ErrorKind::StorageFull)),
            false => result,
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.checked(self.bytes.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.checked(self.bytes.read(offset, out))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.checked(Ok(()))?;
        self.bytes.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.checked(self.bytes.sync_data())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.checked(Ok(()))?;
        self.bytes.write(offset, data)
    }
}

#[tokio::test]
async fn a_disk_that_was_full_is_used_again_without_a_restart() {
    let disk = Disk { bytes: Arc::new(InMemoryBackend::new()), fails: Arc::default() };
    let opened = disk.clone();
    let store = Store::new(Embedded::on_backend(move || opened.clone(), Clock::system()));
    let durable = |which: &str| Batch::new(Durability::Durable).put(key(which), "x", Expect::Absent, None);
    let kept = store.write(durable("kept")).await.unwrap()[0];
    disk.fails.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        assert!(matches!(store.write(durable("refused")).await, Err(StoreError::Unavailable(_))));
    }
    disk.fails.store(false, Ordering::SeqCst);
    let begin = Instant::now();
    let mut news = store.listen("news").await.unwrap();
    let version = loop {
        match store.write(durable("again")).await {
            Ok(versions) => break versions[0],
            Err(_) => assert!(begin.elapsed() < BY_AND_BY),
        }
        sleep(Duration::from_millis(20)).await;
    };
    assert!(version > kept);
    assert_eq!(text(&store.get(&key("kept")).await.unwrap()), Some("x"));
    assert!(store.get(&key("refused")).await.unwrap().is_none());
    assert_eq!(news.recv().await, Some(Signal::Gap), "what was announced and not flushed is gone");
}

#[tokio::test]
async fn writers_share_a_flush_and_each_batch_sees_those_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_at(&folder.path().join("store.redb"));
    let write = |number: u32| {
        let store = store.clone();
        tokio::spawn(async move {
            // All want to be the first; in one group, too, only one is.
            let batch = Batch::new(Durability::Durable).put(key("first"), number.to_string(), Expect::Absent, None);
            let first = store.write(batch.put(key(&number.to_string()), "x", Expect::Absent, None)).await;
            let alone = store.write(Batch::new(Durability::Durable).put(key(&number.to_string()), "y", Expect::Anything, None)).await;
            (first, alone)
        })
    };
    let writers: Vec<_> = (0..200).map(write).collect();
    let mut first = 0;
    for writer in writers {
        let (won, alone) = writer.await.unwrap();
        first += usize::from(won.is_ok());
        assert!(won.is_ok() || won == Err(StoreError::Conflict(0)));
        alone.expect("a conflict of another in the group is none of its own");
    }
    assert_eq!(first, 1);
}

#[tokio::test]
async fn more_than_may_wait_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_at(&folder.path().join("store.redb"));
    // None of them lets the runtime go on before all have asked.
    let asks: Vec<_> =
        (0..3000).map(|_| store.write(Batch::new(Durability::Durable).put(key("a"), vec![1; 4000], Expect::Anything, None))).collect();
    let done = futures_util::future::join_all(asks).await;
    let refused = done.iter().filter(|done| matches!(done, Err(StoreError::Busy(why)) if why.contains("too much"))).count();
    assert!(refused > 0, "3000 have waited at once");
    assert!(done.iter().any(Result::is_ok));
    store.write(put("a", "x", Expect::Anything)).await.unwrap();
}

const CHILD: &str = "STORE_OF_CHILD";

/// Not a test of its own: what the next one kills. Writes batches of three, and says so when they are done.
#[tokio::test]
#[ignore = "it is run by another test, which kills it"]
async fn writes_until_it_is_killed() {
    let Some(path) = env::var_os(CHILD) else { return };
    let store = Store::new(Embedded::open(&PathBuf::from(path), Clock::system()).unwrap());
    let bounds = Bounds { count: 100_000, bytes: None, age: Duration::from_secs(3600) };
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for number in 0.. {
                    let name = format!("{writer} {number}");
                    let batch = Batch::new(if writer == 0 { Durability::Flushed } else { Durability::Durable })
                        .put(key(&format!("left {name}")), name.clone(), Expect::Absent, None)
                        .put(key(&format!("right {name}")), name.clone(), Expect::Absent, None)
                        .append(key(&format!("log {writer}")), name.clone(), bounds);
                    store.write(batch).await.unwrap();
                    println!("\nacknowledged {name}");
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill_and_nothing_by_half() {
    for millis in [100, 700, 6000] {
        let folder = tempfile::tempdir().unwrap();
        survives_a_kill(&folder.path().join("store.redb"), Duration::from_millis(millis)).await;
    }
}

async fn survives_a_kill(path: &Path, after: Duration) {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "store::tests::embedded::writes_until_it_is_killed", "--ignored", "--nocapture"])
        .env(CHILD, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let said = Arc::new(Mutex::new(Vec::new()));
    let reader = std::thread::spawn({
        let (said, output) = (Arc::clone(&said), child.stdout.take().unwrap());
        move || {
            for line in BufReader::new(output).lines().map_while(io::Result::ok) {
                if let Some(name) = line.strip_prefix("acknowledged ") {
                    said.lock().unwrap().push((name.to_owned(), Instant::now()));
                }
            }
        }
    });
    let begin = Instant::now();
    while said.lock().unwrap().is_empty() {
        assert!(begin.elapsed() < BY_AND_BY, "the child writes nothing");
        sleep(Duration::from_millis(5)).await;
    }
    sleep(after).await;
    let killed = Instant::now();
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap();

    let store = open_at(path);
    let said = std::mem::take(&mut *said.lock().unwrap());
    for (name, at) in &said {
        // Of what was only to be flushed, the last second may be gone, and what a busy machine adds to it.
        if name.starts_with("0 ") && at.elapsed().saturating_sub(killed.elapsed()) < Duration::from_secs(1 + 3) {
            continue;
        }
        assert_eq!(text(&store.get(&key(&format!("left {name}"))).await.unwrap()), Some(name.as_str()));
    }
    for writer in 0..4 {
        let log = store.read(&key(&format!("log {writer}")), 0, usize::MAX).await.unwrap();
        assert_eq!(log.entries.len() as u64, log.last, "no gaps");
        for (_, name) in &log.entries {
            let name = std::str::from_utf8(name).unwrap();
            let both = store.get_all(&[key(&format!("left {name}")), key(&format!("right {name}"))]).await.unwrap();
            assert_eq!((text(&both[0]), text(&both[1])), (Some(name), Some(name)), "half a batch");
        }
        let beyond = format!("{writer} {}", log.last);
        let both = store.get_all(&[key(&format!("left {beyond}")), key(&format!("right {beyond}"))]).await.unwrap();
        assert_eq!((text(&both[0]), text(&both[1])), (None, None), "half a batch");
    }
    assert!(said.iter().any(|(name, _)| !name.starts_with("0 ")), "some were durable");
}
