//! A service in a process of its own, on a port that it keeps.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::support::top;

/// Ends with the test.
pub struct Service {
    pub address: SocketAddr,
    /// What it has done, a line each.
    pub file: PathBuf,
    takes: u32,
    child: Option<Child>,
}

/// The program, as new as its source.
fn program() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let beside = Path::new(env!("CARGO_BIN_EXE_protogate")).parent().unwrap();
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--locked", "--example", "ledger"]).current_dir(top());
        if beside.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success(), "the service `ledger` does not build");
        beside.join("examples/ledger")
    })
}

/// The whole lines of a ledger.
pub fn lines(file: &Path) -> Vec<String> {
    fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect()
}

// === impl Service ===

impl Service {
    /// Not started yet. `takes` milliseconds pass before each effect.
    pub fn new(file: PathBuf, takes: u32) -> Service {
        // Given back at once: what listens there later says so.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        Service { address, file, takes, child: None }
    }

    /// Started, and it listens.
    pub async fn start(&mut self) {
        let mut command = Command::new(program());
        command.arg(self.address.port().to_string()).arg(&self.file).arg(self.takes.to_string()).stdin(Stdio::null());
        self.child = Some(command.spawn().unwrap());
        let listens = async {
            while tokio::net::TcpStream::connect(self.address).await.is_err() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(10), listens).await.expect("the service listens");
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub fn signal(&self, signal: &str) {
        let child = self.child.as_ref().expect("it runs");
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}
