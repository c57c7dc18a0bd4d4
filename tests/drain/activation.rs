//! Socket activation: the socket belongs to whoever starts the gateway, and a restart refuses nobody.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::files;
use crate::support::client::TestClient;
use crate::support::nodes::eventually;
use crate::support::{ECHO, PATIENCE, folder_with};

/// Does with two sockets what systemd does: they become the descriptors 3 and 4 of a process that is told so. That process is then the
/// gateway; `$$` is its id before and after.
const SUPERVISOR: &str = r#"export LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=admin:edge; exec "$0" "$@" 3<&1 4<&0 </dev/null >/dev/null"#;

/// What outlives the processes.
struct Kept {
    edge: TcpListener,
    admin: TcpListener,
    folder: TempDir,
}

struct Process(Child);

// === impl Kept ===

impl Kept {
    fn new(drain: &str) -> Kept {
        let any = || TcpListener::bind("127.0.0.1:0").unwrap();
        let folder = folder_with(&[("routes/gateway.yaml", &files(drain)), ("routes/routes.yaml", ECHO)]);
        Kept { edge: any(), admin: any(), folder }
    }

    fn edge(&self) -> SocketAddr {
        self.edge.local_addr().unwrap()
    }

    /// Starts a process on the sockets, and waits until it says that it is ready.
    async fn start(&self, notify: Option<&Path>) -> Process {
        let ready = self.folder.path().join("ready.json");
        _ = std::fs::remove_file(&ready);
        let log = std::fs::File::options().create(true).append(true).open(self.folder.path().join("gateway.log")).unwrap();
        let socket = |socket: &TcpListener| Stdio::from(OwnedFd::from(socket.try_clone().unwrap()));
        let mut command = Command::new("sh");
        command.args(["-c", SUPERVISOR, env!("CARGO_BIN_EXE_protogate"), "serve", "--ready-file", "ready.json"]);
        command.current_dir(self.folder.path()).env_remove("GATEWAY_MODE");
        command.stdin(socket(&self.edge)).stdout(socket(&self.admin)).stderr(log);
        if let Some(notify) = notify {
            command.env("NOTIFY_SOCKET", notify);
        }
        let mut process = Process(command.spawn().unwrap());
        eventually("the process is ready", || {
            assert!(process.0.try_wait().unwrap().is_none(), "it ended:\n{}", self.log());
            std::future::ready(ready.exists())
        })
        .await;
        let addresses: Value = serde_json::from_str(&std::fs::read_to_string(ready).unwrap()).unwrap();
        assert_eq!(addresses["edge"], self.edge().to_string());
        assert_eq!(addresses["admin"], self.admin.local_addr().unwrap().to_string());
        process
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("gateway.log")).unwrap_or_default()
    }
}

// === impl Process ===

impl Process {
    fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.0.id().to_string()]).status().unwrap().success());
    }

    async fn ends(&mut self) {
        eventually("it ends", || std::future::ready(self.0.try_wait().unwrap().is_some())).await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// Connects again and again. How many connections were served, how often one that had been accepted ended before it was served, and how long
/// the longest took.
async fn connects(edge: SocketAddr, stop: Arc<AtomicBool>) -> (u32, u32, Duration) {
    let (mut served, mut dropped, mut longest) = (0, 0, Duration::ZERO);
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        match timeout(PATIENCE, TestClient::try_introduce(edge, &Default::default())).await.expect("it is served in time") {
            Ok(mut client) => {
                served += u32::from(client.try_say(r#"{"protocol":6,"id":1}"#).await.is_ok());
                longest = longest.max(began.elapsed());
            }
            Err(tokio_tungstenite::tungstenite::Error::Io(error)) if error.kind() == ErrorKind::ConnectionRefused => {
                panic!("refused: {error}")
            }
            // Whoever had accepted it was killed.
            Err(_) => dropped += 1,
        }
        sleep(Duration::from_millis(5)).await;
    }
    (served, dropped, longest)
}

/// Restarts once for each signal, while others connect. How often one that had been accepted was cut off before it was served.
async fn restarts(drain: &str, signals: &[&str]) -> u32 {
    let kept = Kept::new(drain);
    let mut process = kept.start(None).await;
    let stop = Arc::new(AtomicBool::new(false));
    let connecting: Vec<_> = (0..4).map(|_| tokio::spawn(connects(kept.edge(), Arc::clone(&stop)))).collect();
    for signal in signals {
        let mut client = TestClient::connect(kept.edge()).await;
        process.signal(signal);
        if *signal == "-TERM" {
            if !drain.contains("over: 0s") {
                let reconnect = client.hear_message().await;
                assert_eq!((&reconnect["protocol"], &reconnect["payload"]["reason"]), (&10.into(), &"RESTART".into()), "{reconnect}");
            }
            client.assert_sent_away(1012).await;
        }
        process.ends().await;
        process = kept.start(None).await;
        sleep(Duration::from_millis(200)).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut cut_off = 0;
    for connecting in connecting {
        let (served, dropped, longest) = connecting.await.unwrap();
        println!("{served} connections served, {dropped} cut off, the longest after {longest:?}");
        assert!(served > 0, "{served}");
        cut_off += dropped;
    }
    cut_off
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_restart_refuses_anybody_whose_socket_outlives_it() {
    let cut_off = restarts("{ grace: 0s, over: 300ms }", &["-TERM", "-TERM", "-KILL", "-TERM"]).await;
    assert!(cut_off <= 8, "SIGKILL cuts off who is connecting, and nothing else does: {cut_off}");
}

// As the unit of examples/deploy has it: who leaves early would only wait longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_restart_cuts_off_a_handshake_though_nobody_has_time_to_move() {
    assert_eq!(restarts("{ grace: 0s, over: 0s }", &["-TERM"; 8]).await, 0);
}

#[tokio::test]
async fn the_supervisor_is_told_what_it_wants_to_know() {
    let kept = Kept::new("{ grace: 0s, over: 0s }");
    let path = kept.folder.path().join("notify");
    let supervisor = UnixDatagram::bind(&path).unwrap();
    supervisor.set_read_timeout(Some(PATIENCE)).unwrap();
    let hear = || {
        let mut bytes = [0; 1024];
        let length = supervisor.recv(&mut bytes).expect("it is told in time");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    let mut process = kept.start(Some(&path)).await;
    assert_eq!(hear(), format!("READY=1\nSTATUS=listening on {}\n", kept.edge()));
    process.signal("-HUP");
    let reloading = hear();
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert!(hear().starts_with("READY=1\n"));
    process.signal("-TERM");
    assert_eq!(hear(), "STOPPING=1\nSTATUS=draining 0 connections\n");
    process.ends().await;
}

#[tokio::test]
async fn the_end_waits_for_no_reload() {
    let kept = Kept::new("{ grace: 0s, over: 0s }");
    let path = kept.folder.path().join("notify");
    let supervisor = UnixDatagram::bind(&path).unwrap();
    supervisor.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let hear = || {
        let mut bytes = [0; 1024];
        let length = supervisor.recv(&mut bytes).expect("it is told in time");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    let mut process = kept.start(Some(&path)).await;
    assert!(hear().starts_with("READY=1\n"));
    // So many that reading them takes much longer than a signal does.
    let route = |number| format!("  {number}: {{ name: echo.r{number}, rpc: protogate.echo.v1.EchoService/Echo, access: anonymous }}\n");
    let routes: String = (10_000..20_000).map(route).collect();
    std::fs::write(kept.folder.path().join("routes/routes.yaml"), format!("{ECHO}{routes}")).unwrap();
    process.signal("-HUP");
    assert!(hear().starts_with("RELOADING=1\n"));
    process.signal("-TERM");
    assert_eq!(hear(), "STOPPING=1\nSTATUS=draining 0 connections\n");
    process.ends().await;
}
