//! The store that several gateways share: a Redis of version 6.2 or later.
//!
//! - `url`: where it is
//! - `connection`: connections, and the pool that lends them
//! - `scripts`: what happens in one step
//! - `ears`: the connection on which signals come
//!
//! Everything stands under `PREFIX:v1:`: documents as `d:KEY`, logs as streams `l:KEY`, counters `c:KEY`, channels `s:NAME`, and the last
//! version. Promises: whatever happens to the server, an operation ends within [`PATIENCE`] and is never done by half; a server that is
//! well again is used again within two seconds. What survives the server's own death is for its configuration to say.
//!
//! A cluster cannot serve: what a batch changes would lie on several of its servers.

mod connection;
mod ears;
mod scripts;
mod url;

pub use self::url::RedisUrl;

use std::sync::Arc;
use std::time::Duration;

use bb8_redis::redis::{RedisError, Value, cmd, pipe};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_rustls::rustls::RootCertStore;

use self::connection::{Connections, Dialer};
use self::ears::Ears;
use self::scripts::Scripts;
use super::{Batch, Change, Count, Document, Engine, Entries, Expect, Key, Result, Signal, StoreError};
use crate::tls;

/// The engine on a server.
pub struct Redis {
    prefix: String,
    connections: Connections,
    scripts: Scripts,
    ears: Ears,
}

/// How long an operation may take. Below the quarter of a second within which a gateway without its store says so.
const PATIENCE: Duration = Duration::from_millis(230);

/// The oldest version that has all that the scripts use.
const VERSION_MIN: (u32, u32) = (6, 2);

/// Times that Redis can add to the present; longer ones are as good as for ever.
const MILLIS_MAX: u64 = 1 << 46;

/// Numbers that Lua can tell from the next one.
const NUMBER_MAX: u64 = (1 << 53) - 2;

// === impl Redis ===

impl Redis {
    /// Connects, and looks whether this is a server that can serve. Connections live on the runtime that this runs on. The error is for
    /// a person.
    pub async fn open(url: &RedisUrl, prefix: &str) -> std::result::Result<Redis, String> {
        Redis::open_trusting(url, prefix, tls::native_roots).await
    }

    /// The same with other authorities than the system's.
    async fn open_trusting(url: &RedisUrl, prefix: &str, roots: impl FnOnce() -> RootCertStore) -> std::result::Result<Redis, String> {
        let unreachable = |why: String| format!("the redis at {url} cannot be used: {why}");
        let dialer = Arc::new(Dialer::new(url.clone(), roots, Handle::current()).map_err(unreachable)?);
        let mut first = dialer.dial().await.map_err(unreachable)?;
        let info = first.ask(cmd("INFO").arg("server")).await.map_err(|error| unreachable(error.to_string()))?;
        suits(&bytes_of(info).unwrap_or_default()).map_err(unreachable)?;
        drop(first);
        let ears = dialer.dial_to_listen().await.map_err(unreachable)?;
        let redis = Redis {
            prefix: prefix.to_owned(),
            connections: Connections::new(Arc::clone(&dialer)),
            scripts: Scripts::new(),
            ears: Ears::start(dialer, ears),
        };
        // A server that lets this user run no scripts would otherwise be found out by the first of ours.
        redis.write(Batch::default()).await.map_err(|error| unreachable(error.to_string()))?;
        Ok(redis)
    }

    fn name(&self, what: char, key: &str) -> String {
        format!("{}:v1:{what}:{key}", self.prefix)
    }

    async fn documents(&self, keys: &[Key]) -> Result<Vec<Option<Document>>> {
        let mut connection = self.connections.get().await?;
        let answers = match keys {
            [] => Vec::new(),
            [key] => vec![connection.ask(cmd("GET").arg(self.name('d', key.as_str()))).await.map_err(unavailable)?],
            keys => {
                // Not MGET, to which a key of another type is one that is not there.
                let mut together = pipe();
                together.atomic();
                for key in keys {
                    together.cmd("GET").arg(self.name('d', key.as_str()));
                }
                list_of(connection.ask_together(&together).await.map_err(unavailable)?)?
            }
        };
        answers.into_iter().map(document).collect()
    }

    async fn change(&self, batch: Batch) -> Result<Vec<u64>> {
        let mut keys = vec![format!("{}:v1:versions", self.prefix)];
        let mut arguments: Vec<Bytes> = Vec::with_capacity(batch.changes.len() * 7);
        for change in batch.changes {
            let (what, key, expect, millis, value, bounds, announce) = match change {
                Change::Put { key, value, expect, ttl } => ("p", self.name('d', key.as_str()), expect, ttl.map(millis), value, None, None),
                Change::Delete { key, expect } => ("d", self.name('d', key.as_str()), expect, None, Bytes::new(), None, None),
                Change::Check { key, expect } => ("c", self.name('d', key.as_str()), expect, None, Bytes::new(), None, None),
                Change::Append { log, entry, bounds, announce } => {
                    let announce = announce.map(|channel| self.name('s', &channel));
                    ("a", self.name('l', log.as_str()), Expect::Anything, Some(millis(bounds.age)), entry, Some(bounds), announce)
                }
            };
            keys.push(key);
            arguments.push(what.into());
            arguments.push(match expect {
                Expect::Anything => "*".into(),
                Expect::Absent => "-".into(),
                Expect::Version(version) => version.to_string().into(),
            });
            arguments.push(written(millis));
            arguments.push(value);
            arguments.push(written(bounds.map(|bounds| bounds.count.into())));
            arguments.push(written(bounds.and_then(|bounds| bounds.bytes)));
            arguments.push(announce.unwrap_or_default().into());
        }
        let arguments: Vec<&[u8]> = arguments.iter().map(Bytes::as_ref).collect();
        let mut connection = self.connections.get().await?;
        let answer = self.scripts.write.run(&mut connection, &keys, &arguments).await.map_err(unavailable)?;
        let mut answer = list_of(answer)?.into_iter();
        let verdict = answer.next().map(bytes_of).transpose()?;
        let numbers = answer.map(number_of).collect::<Result<Vec<u64>>>()?;
        match (verdict.as_deref(), numbers.first()) {
            (Some(b"ok"), _) => Ok(numbers),
            (Some(b"conflict"), Some(index)) => Err(StoreError::Conflict(usize::try_from(*index).map_err(|_| strange())?)),
            _ => Err(strange()),
        }
    }

    async fn counted(&self, key: &Key, by: u32, window: Duration) -> Result<Count> {
        let mut connection = self.connections.get().await?;
        let arguments = [u64::from(by), millis(window)];
        let answer = self.scripts.count.run(&mut connection, &[self.name('c', key.as_str())], &arguments).await.map_err(unavailable)?;
        match list_of(answer)?.into_iter().map(number_of).collect::<Result<Vec<u64>>>()?[..] {
            [0, _] => Ok(Count { value: 0, left: Duration::ZERO }),
            [value, left] => Ok(Count { value, left: Duration::from_millis(left) }),
            _ => Err(strange()),
        }
    }

    async fn entries(&self, log: &Key, after: u64, limit: usize) -> Result<Entries> {
        let mut connection = self.connections.get().await?;
        let arguments = [after.min(NUMBER_MAX), u64::from(u32::try_from(limit).unwrap_or(u32::MAX))];
        let answer = self.scripts.read.run(&mut connection, &[self.name('l', log.as_str())], &arguments).await.map_err(unavailable)?;
        let mut answer = list_of(answer)?.into_iter();
        let mut number = || answer.next().map_or(Err(strange()), number_of);
        let (first, last) = (number()?, number()?);
        let mut entries = Vec::with_capacity(answer.len() / 2);
        while let (Some(offset), Some(entry)) = (answer.next(), answer.next()) {
            entries.push((number_of(offset)?, bytes_of(entry)?));
        }
        Ok(Entries { entries, first, last })
    }
}

impl Engine for Redis {
    fn patience(&self) -> Duration {
        PATIENCE
    }

    fn get<'a>(&'a self, keys: &'a [Key]) -> BoxFuture<'a, Result<Vec<Option<Document>>>> {
        self.documents(keys).boxed()
    }

    fn write(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<u64>>> {
        self.change(batch).boxed()
    }

    fn count<'a>(&'a self, key: &'a Key, by: u32, window: Duration) -> BoxFuture<'a, Result<Count>> {
        self.counted(key, by, window).boxed()
    }

    fn read<'a>(&'a self, log: &'a Key, after: u64, limit: usize) -> BoxFuture<'a, Result<Entries>> {
        self.entries(log, after, limit).boxed()
    }

    fn publish<'a>(&'a self, channel: &'a str, message: Bytes) -> BoxFuture<'a, Result<u64>> {
        async move {
            let mut connection = self.connections.get().await?;
            let answer = connection.ask(cmd("PUBLISH").arg(self.name('s', channel)).arg(message.as_ref())).await;
            number_of(answer.map_err(unavailable)?)
        }
        .boxed()
    }

    fn listen(&self, channel: &str) -> BoxFuture<'_, Result<mpsc::Receiver<Signal>>> {
        self.ears.listen(self.name('s', channel)).boxed()
    }
}

/// What `INFO server` says, against what is needed.
fn suits(info: &[u8]) -> std::result::Result<(), String> {
    let info = String::from_utf8_lossy(info);
    let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    let version = field("redis_version").ok_or("it does not say which version it is")?;
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    if (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < VERSION_MIN {
        return Err(format!("it is of version {version}, and {}.{} or later is needed", VERSION_MIN.0, VERSION_MIN.1));
    }
    match field("redis_mode") {
        Some("cluster") => Err("it is a cluster, and a single server (with replicas, if you like) is needed".to_owned()),
        _ => Ok(()),
    }
}

fn document(answer: Value) -> Result<Option<Document>> {
    if answer == Value::Nil {
        return Ok(None);
    }
    let stored = bytes_of(answer)?;
    let colon = stored.iter().take(21).position(|byte| *byte == b':').ok_or_else(strange)?;
    let version = std::str::from_utf8(&stored[..colon]).ok().and_then(|version| version.parse().ok()).ok_or_else(strange)?;
    Ok(Some(Document { value: stored.slice(colon + 1..), version }))
}

fn list_of(answer: Value) -> Result<Vec<Value>> {
    match answer {
        Value::Array(values) => Ok(values),
        _ => Err(strange()),
    }
}

fn number_of(answer: Value) -> Result<u64> {
    match answer {
        Value::Int(number) => u64::try_from(number).map_err(|_| strange()),
        other => std::str::from_utf8(&bytes_of(other)?).ok().and_then(|text| text.parse().ok()).ok_or_else(strange),
    }
}

fn bytes_of(answer: Value) -> Result<Bytes> {
    match answer {
        Value::BulkString(bytes) => Ok(Bytes::from(bytes)),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Ok(Bytes::from(text)),
        _ => Err(strange()),
    }
}

/// A number as an argument of a script, to which nothing is an empty text.
fn written(number: Option<u64>) -> Bytes {
    number.map_or_else(Bytes::new, |number| number.to_string().into())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(MILLIS_MAX).min(MILLIS_MAX)
}

/// The answer is none that a script of ours gives.
fn strange() -> StoreError {
    StoreError::Unavailable("redis answered something that this program does not understand".to_owned())
}

fn unavailable(error: RedisError) -> StoreError {
    StoreError::Unavailable(format!("redis: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;
    use crate::store::tests::server::RedisServer;

    #[test]
    fn what_cannot_serve_is_named() {
        let says = |version: &str, mode: &str| suits(format!("# Server\r\nredis_version:{version}\r\nredis_mode:{mode}\r\n").as_bytes());
        for (version, mode) in [("6.2.0", "standalone"), ("7.0.15", "sentinel"), ("8", "standalone"), ("10.1.1", "standalone")] {
            assert_eq!(says(version, mode), Ok(()), "{version} {mode}");
        }
        for version in ["6.0.16", "5.9", "2", "", "x"] {
            assert!(says(version, "standalone").unwrap_err().contains("6.2 or later"), "{version}");
        }
        assert!(says("7.0.15", "cluster").unwrap_err().contains("cluster"));
        assert!(suits(b"").is_err());
    }

    #[tokio::test]
    async fn tls_is_spoken_and_the_certificate_is_checked() {
        let folder = tempfile::tempdir().unwrap();
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        std::fs::write(&cert, pair.cert.pem()).unwrap();
        std::fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (cert, key, tls_port) = (cert.display().to_string(), key.display().to_string(), port.to_string());
        let options = [
            "--tls-port",
            &tls_port,
            "--tls-cert-file",
            &cert,
            "--tls-key-file",
            &key,
            "--tls-auth-clients",
            "no",
            "--tls-ca-cert-file",
            &cert,
        ];
        let _server = RedisServer::start_with(&options);

        let trust = || {
            let mut roots = RootCertStore::empty();
            roots.add(pair.cert.der().clone()).unwrap();
            roots
        };
        let url = |host: &str| RedisUrl::parse(&format!("rediss://{host}:{port}")).ok().unwrap();
        let store = Store::new(Redis::open_trusting(&url("localhost"), "test", trust).await.unwrap_or_else(|error| panic!("{error}")));
        store.write(Batch::default().put(Key::new("test", "a"), "x", Expect::Absent, None)).await.unwrap();
        store.listen("news").await.unwrap();
        assert_eq!(store.get(&Key::new("test", "a")).await.unwrap().unwrap().value, "x");

        let Err(why) = Redis::open_trusting(&url("127.0.0.1"), "test", trust).await else { panic!("the name is another") };
        assert!(why.contains("TLS"), "{why}");
        let Err(why) = Redis::open(&url("localhost"), "test").await else { panic!("nobody vouches for it") };
        assert!(why.contains("TLS") || why.contains("certificate"), "{why}");
    }
}
