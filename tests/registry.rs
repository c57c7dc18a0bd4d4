//! Endpoints that come and go while they are called: real processes, by registration and by a file, alone and over one Redis.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::examples::greeter;
use crate::support::client::TestClient;
use crate::support::nodes::{Process, eventually};
use crate::support::redis::RedisServer;
use crate::support::{TestGateway, folder_with, operator, top};

const TOKEN: &str = "the token of the greeters";

/// A greeter that is called by its number, and who is registered for it.
fn files(source: &str, process: &str) -> Vec<(String, String)> {
    let routes = format!(
        "version: 1\ndescriptors: [{{ proto: ../greeter }}]\nbackends: {{ greeter: {{ grpc: {{ {source} }} }} }}\n\
         rate_limits: {{ plenty: {{ key: [caller], rate: 100000/s, burst: 100000 }} }}\n\
         defaults: {{ backend: greeter, rate_limits: [plenty] }}\n\
         routes: {{ 5001: {{ name: greeter.hello, rpc: greeter.v1.Greeter/Hello, access: anonymous }} }}\n"
    );
    let gateway = format!(
        "version: 1\nreload: {{ watch: false }}\nlisten: {{ workers: 2 }}\npush: {{ address: \"127.0.0.1:0\", token: a token of services }}\n{process}\n"
    );
    let proto = std::fs::read_to_string(top().join("examples/greeter/proto/greeter/v1/greeter.proto")).unwrap();
    let files = [("routes/routes.yaml", routes), ("routes/gateway.yaml", gateway), ("greeter/greeter/v1/greeter.proto", proto)];
    files.map(|(name, text)| (name.to_owned(), text)).into()
}

fn registered() -> String {
    format!("registry: {{ token: {TOKEN}, allow: [\"127.0.0.0/8\"] }}")
}

fn start(files: &[(String, String)]) -> TestGateway {
    TestGateway::start_in(folder_with(&texts(files)))
}

fn texts(files: &[(String, String)]) -> Vec<(&str, &str)> {
    files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A process that ends with the test.
struct Running {
    child: Child,
    port: u16,
}

impl Running {
    /// `protogate register … -- greeter`.
    fn registered(push: &[SocketAddr], greeter: &Path) -> Running {
        let port = free_port();
        let mut command = Command::new(env!("CARGO_BIN_EXE_protogate"));
        command.args(["register", "--backend", "greeter", "--ttl", "5s", "--url", &format!("http://127.0.0.1:{port}")]);
        for push in push {
            command.args(["--push", &format!("http://{push}")]);
        }
        command.arg("--").arg(greeter).arg(format!("127.0.0.1:{port}"));
        command.env("PROTOGATE_REGISTRY_TOKEN", TOKEN).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Running { child: command.spawn().unwrap(), port }
    }

    fn alone(greeter: &Path) -> Running {
        let port = free_port();
        let mut command = Command::new(greeter);
        command.arg(format!("127.0.0.1:{port}")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Running { child: command.spawn().unwrap(), port }
    }

    fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap().success());
    }

    /// Asks it to end, and waits until it has.
    async fn end(mut self) -> ExitStatus {
        self.signal("-TERM");
        self.ended().await
    }

    async fn ended(&mut self) -> ExitStatus {
        let mut ended = None;
        eventually("the process has ended", || {
            ended = self.child.try_wait().unwrap();
            std::future::ready(ended.is_some())
        })
        .await;
        ended.unwrap()
    }

    async fn accepts(&self) {
        eventually("the greeter listens", || async { tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_ok() }).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Clients that call without a pause, until they are asked how it was.
struct Load {
    stop: Arc<AtomicBool>,
    called: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<Vec<Value>>>,
}

impl Load {
    async fn on(edges: &[SocketAddr]) -> Load {
        let (stop, called) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut clients = Vec::new();
        for edge in edges.iter().cycle().take(8) {
            let (mut client, stop, called) = (TestClient::connect(*edge).await, Arc::clone(&stop), Arc::clone(&called));
            clients.push(tokio::spawn(async move {
                let mut failed = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let answer = client.call(5001, json!({ "name": "ada" })).await;
                    called.fetch_add(1, Ordering::Relaxed);
                    if answer["payload"]["text"] != "hello, ada" {
                        failed.push(answer);
                    }
                    sleep(Duration::from_millis(1)).await;
                }
                failed
            }));
        }
        Load { stop, called, clients }
    }

    /// Lets some calls be made.
    async fn go_on(&self) {
        let before = self.called.load(Ordering::Relaxed);
        eventually("calls are answered", || std::future::ready(self.called.load(Ordering::Relaxed) > before + 200)).await;
    }

    /// Not one has failed.
    async fn assert_whole(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            let failed = client.await.unwrap();
            assert!(failed.is_empty(), "{} failed, such as {}", failed.len(), failed[0]);
        }
    }
}

async fn greets(edge: SocketAddr) -> bool {
    let mut client = TestClient::connect(edge).await;
    client.call(5001, json!({ "name": "ada" })).await["payload"]["text"] == "hello, ada"
}

/// Five endpoints, each in turn replaced by another one, and then all but the last gone, under load.
async fn come_and_go(gateways: &[TestGateway]) {
    let greeter = greeter();
    let push: Vec<SocketAddr> = gateways.iter().map(|gateway| gateway.gateway().push_address().unwrap()).collect();
    let edges: Vec<SocketAddr> = gateways.iter().map(TestGateway::edge).collect();
    let mut running: Vec<Running> = (0..5).map(|_| Running::registered(&push, &greeter)).collect();
    for edge in &edges {
        eventually("somebody greets", || greets(*edge)).await;
    }
    let load = Load::on(&edges).await;
    for _ in 0..5 {
        running.push(Running::registered(&push, &greeter));
        load.go_on().await;
        // The oldest goes. It ends as a greeter does that is asked to.
        assert!(running.remove(0).end().await.success());
        load.go_on().await;
    }
    for leaving in running.drain(..4) {
        assert!(leaving.end().await.success());
        load.go_on().await;
    }
    load.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_while_endpoints_register_and_leave() {
    come_and_go(&[start(&files(&registered(), ""))]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_while_endpoints_register_and_leave_at_gateways_over_one_redis() {
    let redis = RedisServer::start();
    let process = format!("store: {{ redis: {{ url: \"{}\", prefix: endpoints }} }}", redis.url());
    let files = files(&registered(), &process);
    come_and_go(&[start(&files), start(&files)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_while_a_file_of_endpoints_is_edited() {
    let greeter = greeter();
    let mut running: Vec<Running> = (0..5).map(|_| Running::alone(&greeter)).collect();
    for greeter in &running {
        greeter.accepts().await;
    }
    let list = |running: &[Running]| running.iter().map(|greeter| format!("- http://127.0.0.1:{}\n", greeter.port)).collect::<String>();
    let mut files = files("file: endpoints.yaml", "");
    files.push(("routes/endpoints.yaml".to_owned(), list(&running)));
    let gateway = start(&files);
    let (generation, load) = (gateway.gateway().generation(), Load::on(&[gateway.edge()]).await);
    for _ in 0..5 {
        let next = Running::alone(&greeter);
        next.accepts().await;
        running.push(next);
        let leaving = running.remove(0);
        gateway.write("routes/endpoints.yaml", &list(&running));
        eventually("the change is in force", async || {
            let told = operator(&gateway, "/api/v1/backends", None).await.1.to_string();
            let is_listed = |one: &Running| told.contains(&format!("127.0.0.1:{}\"", one.port));
            running.iter().all(is_listed) && !is_listed(&leaving)
        })
        .await;
        load.go_on().await;
        assert!(leaving.end().await.success());
        load.go_on().await;
    }
    load.assert_whole().await;
    assert_eq!(gateway.gateway().generation(), generation, "nothing was reloaded");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_registers_again_at_a_gateway_that_was_started_again() {
    let redis = RedisServer::start();
    let process = format!("store: {{ redis: {{ url: \"{}\", prefix: endpoints }} }}", redis.url());
    let port = free_port();
    let mut files = files(&registered(), &process);
    files[1].1 = files[1].1.replace("127.0.0.1:0", &format!("127.0.0.1:{port}"));
    let mut gateway = Process::start(&texts(&files)).await;
    let running = Running::registered(&[SocketAddr::from(([127, 0, 0, 1], port))], &greeter());
    eventually("somebody greets", || greets(gateway.edge)).await;
    gateway.kill();
    redis.say(&["FLUSHALL"]);
    let gateway = Process::start(&texts(&files)).await;
    eventually("somebody greets again", || greets(gateway.edge)).await;
    drop(running);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_ends_is_not_called_and_its_exit_code_is_passed_on() {
    let gateway = start(&files(&registered(), ""));
    let push = gateway.gateway().push_address().unwrap();
    // It listens, so that it is registered, and ends when it is told.
    let port = free_port();
    let script = format!(
        "import signal, socket, sys\ns = socket.create_server(('127.0.0.1', {port}))\nsignal.signal(signal.SIGUSR1, lambda *_: sys.exit(7))\nsignal.pause()"
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_protogate"));
    command.args(["register", "--push", &format!("http://{push}"), "--backend", "greeter", "--url", &format!("http://127.0.0.1:{port}")]);
    command.args(["--", "python3", "-c", &script]).env("PROTOGATE_REGISTRY_TOKEN", TOKEN).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let mut running = Running { child, port };
    running.accepts().await;
    let python = Command::new("pgrep").args(["-P", &running.child.id().to_string()]).output().unwrap();
    let python = String::from_utf8(python.stdout).unwrap();
    assert!(Command::new("kill").args(["-USR1", python.trim()]).status().unwrap().success());
    assert_eq!(running.ended().await.code(), Some(7));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_refused_ends_and_says_why() {
    let gateway = start(&files(&registered(), ""));
    let push = gateway.gateway().push_address().unwrap();
    for (token, url, reason) in [
        ("the token of somebody else", "http://127.0.0.1:1", "UNAUTHENTICATED"),
        (TOKEN, "http://10.0.0.1:1", "ADDRESS_REFUSED"),
        (TOKEN, "http://169.254.169.254:80", "ADDRESS_REFUSED"),
        ("a token of services", "http://127.0.0.1:1", "UNAUTHENTICATED"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_protogate"));
        command.args(["register", "--push", &format!("http://{push}"), "--backend", "greeter", "--url", url]);
        let output = command.env("PROTOGATE_REGISTRY_TOKEN", token).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(reason) && !said.contains(token), "{said}");
    }
}
