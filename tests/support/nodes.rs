//! Several gateways that share one Redis: some in this process, some in processes of their own.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use prost::Message as _;
use protogate::data::{DEVELOPMENT_KEY, DataFolder};
use protogate::pipeline::signer::Signer;
use protogate::services::echo::v1::EchoResponse;
use protogate::session::roster::{Record, Roster};
use protogate::store::redis::{Redis, RedisUrl};
use protogate::store::{Document, Store};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::sleep;

use super::redis::RedisServer;
use super::{PATIENCE, TestGateway, folder_with};

/// A Redis, and what a gateway on it is told.
pub struct Cluster {
    pub redis: RedisServer,
    files: Vec<(String, String)>,
}

/// A gateway in a process of its own. It is killed when dropped.
pub struct Process {
    child: Child,
    pub edge: SocketAddr,
    pub admin: SocketAddr,
    folder: TempDir,
}

/// A push of a text, in [`ROUTES`].
pub const PUSH: u32 = 2101;

/// What its gateways serve: echoes for everybody and for those who are known, one that ends the session, and a push.
pub const ROUTES: &str = r"
version: 1
descriptors: [{ proto: ../proto }]
backends: { echo: { builtin: echo } }
rate_limits: { plenty: { key: [caller], rate: 100000/s, burst: 100000 } }
defaults: { backend: echo, rate_limits: [plenty], request_bytes_max: 128KiB, reply_bytes_max: 128KiB }
routes:
  9001: { name: echo, rpc: protogate.echo.v1.EchoService/Echo, access: anonymous }
  9002: { name: echo.known, rpc: protogate.echo.v1.EchoService/Echo }
  9004: { name: echo.leave, rpc: protogate.echo.v1.EchoService/Echo, on_success: { unbind_session: true } }
pushes:
  2101: { name: news, message: protogate.echo.v1.EchoResponse }
";

// === impl Cluster ===

impl Cluster {
    /// A Redis without gateways. `sessions` is what stands there in `gateway.yaml`, as a flow mapping.
    pub fn new(sessions: &str) -> Cluster {
        Cluster::serving(sessions, ROUTES)
    }

    pub fn serving(sessions: &str, routes: &str) -> Cluster {
        Cluster::over(RedisServer::start(), sessions, routes)
    }

    pub fn over(redis: RedisServer, sessions: &str, routes: &str) -> Cluster {
        let process = format!(
            "version: 1\nreload: {{ watch: false }}\nlisten: {{ workers: 1 }}\nsessions: {sessions}\nconnections: {{ heartbeat: 60s }}\n\
             store: {{ redis: {{ url: \"{}\", prefix: nodes }} }}\n",
            redis.url()
        );
        Cluster { redis, files: Vec::new() }.with_file("routes/gateway.yaml", &process).with_file("routes/routes.yaml", routes)
    }

    /// The same with one more file.
    pub fn with_file(mut self, name: &str, text: &str) -> Cluster {
        self.files.push((name.to_owned(), text.to_owned()));
        self
    }

    fn files(&self) -> Vec<(&str, &str)> {
        self.files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect()
    }

    /// A gateway in this process.
    pub fn gateway(&self) -> TestGateway {
        TestGateway::start_with(&self.files())
    }

    /// A gateway in a process of its own.
    pub async fn process(&self) -> Process {
        Process::start(&self.files()).await
    }

    /// What the gateways share, as another node would see it.
    pub async fn store(&self) -> Store {
        let url = RedisUrl::parse(&self.redis.url()).ok().unwrap();
        Store::new(Redis::open(&url, "nodes").await.unwrap())
    }
}

/// The sessions that a user has by the roster that all nodes share, oldest first.
pub async fn roster(store: &Store, user: &str) -> Vec<Record> {
    let document: Option<Document> = store.get(&Roster::key(user)).await.unwrap();
    Roster::read(document.as_ref()).unwrap().records().to_vec()
}

/// The text as bytes of the message of [`PUSH`].
pub fn news(text: &str) -> bytes::Bytes {
    EchoResponse { text: text.to_owned() }.encode_to_vec().into()
}

/// Waits until something is so.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut so: impl FnMut() -> F) {
    let began = Instant::now();
    while !so().await {
        assert!(began.elapsed() < PATIENCE, "not in time: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

// === impl Process ===

impl Process {
    /// Starts on files below a fresh folder; `proto/` there holds the project's own.
    pub async fn start(files: &[(&str, &str)]) -> Process {
        let folder = folder_with(files);
        let log = File::create(folder.path().join("gateway.log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_protogate"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--ready-file", "ready.json"]);
        command.current_dir(folder.path()).env_remove("GATEWAY_MODE").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().unwrap();
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut process = Process { child, edge: nowhere, admin: nowhere, folder };
        let ready = process.folder.path().join("ready.json");
        eventually("the process is ready", || {
            assert!(process.child.try_wait().unwrap().is_none(), "it ended:\n{}", process.log());
            std::future::ready(ready.exists())
        })
        .await;
        let addresses: Value = serde_json::from_str(&std::fs::read_to_string(ready).unwrap()).unwrap();
        process.edge = addresses["edge"].as_str().unwrap().parse().unwrap();
        process.admin = addresses["admin"].as_str().unwrap().parse().unwrap();
        process
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Ends it as the machine's death would.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, as an operator does.
    pub fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Has it stand still.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// The most memory that it ever had, in KiB, as the system counts.
    pub fn memory_peak_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// A token of the development key.
    pub fn token_for(&self, ttl: Duration, user: &str) -> String {
        let key = DataFolder::at(self.folder.path().join("data")).read(DEVELOPMENT_KEY).unwrap();
        Signer::from_pkcs8(&key).unwrap().issue_development(user, &[], ttl)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("gateway.log")).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
