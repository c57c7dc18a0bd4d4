//! A real `redis-server` for a test: on a free port, in a folder of its own, gone when dropped.
//!
//! Unit tests include this file too, so it names nothing of the gateway.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A server. Unless told otherwise it keeps nothing on disk.
pub struct RedisServer {
    server: Option<Child>,
    port: u16,
    folder: TempDir,
    options: Vec<String>,
}

/// How long a server may take to answer. Machines that test many things at once are slow.
const START_PATIENCE: Duration = Duration::from_secs(20);

impl RedisServer {
    pub fn start() -> RedisServer {
        RedisServer::start_with(&[])
    }

    /// With more on its command line, such as `--requirepass`.
    pub fn start_with(options: &[&str]) -> RedisServer {
        let folder = tempfile::tempdir().unwrap();
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        let mut server = RedisServer { server: None, port: 0, folder, options };
        // Between finding a free port and taking it another may have: then the server ends, and the next port is tried.
        for _ in 0..5 {
            server.port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            if server.run() {
                return server;
            }
        }
        panic!("redis-server does not start");
    }

    /// For tests of the store alone.
    #[allow(dead_code)]
    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Ends it as an operator would, and waits until it has.
    pub fn stop(&mut self) {
        self.signal("TERM");
        self.wait();
    }

    /// Ends it as a machine's death would.
    pub fn kill(&mut self) {
        self.signal("KILL");
        self.wait();
    }

    /// Runs it again on the same port, with nothing in it but what it kept on disk. One that still runs is ended first.
    pub fn restart(&mut self) {
        if self.server.is_some() {
            self.stop();
        }
        assert!(self.run(), "redis-server does not start again on port {}", self.port);
    }

    /// From now on it answers nothing, and its connections stay.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    pub fn resume(&self) {
        self.signal("CONT");
    }

    /// Types a command, such as `SCRIPT FLUSH`, and reads what it answers.
    pub fn say(&self, command: &[&str]) -> String {
        self.try_say(command).unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    fn try_say(&self, command: &[&str]) -> std::io::Result<String> {
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let mut text = format!("*{}\r\n", command.len());
        for word in command {
            text.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        stream.write_all(text.as_bytes())?;
        let mut answer = vec![0; 4096];
        let length = stream.read(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
    }

    fn run(&mut self) -> bool {
        let port = self.port.to_string();
        let fixed = ["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no", "--dir"];
        let mut command = Command::new("redis-server");
        command.args(fixed).arg(self.folder.path()).args(&self.options).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = command.spawn().unwrap_or_else(|error| {
            panic!("this test needs `redis-server`, which cannot be run ({error}): install it with `apt-get install redis-server`")
        });
        self.server = Some(server);
        let begin = Instant::now();
        while begin.elapsed() < START_PATIENCE {
            // Any answer will do: a server with a password refuses, and is there.
            if self.try_say(&["PING"]).is_ok_and(|answer| !answer.is_empty()) {
                return true;
            }
            if self.server.as_mut().is_some_and(|server| server.try_wait().is_ok_and(|ended| ended.is_some())) {
                self.server = None;
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.kill();
        false
    }

    fn signal(&self, name: &str) {
        if let Some(server) = &self.server {
            let sent = Command::new("kill").args([format!("-{name}"), server.id().to_string()]).status().unwrap();
            assert!(sent.success(), "kill -{name}");
        }
    }

    fn wait(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.wait().unwrap();
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            // Also one that is paused.
            server.kill().ok();
            server.wait().ok();
        }
    }
}
