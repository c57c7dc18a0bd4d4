//! A terminal in which a program runs that shows lines and takes lines.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::PATIENCE;

/// The program ends with the test.
pub struct Terminal {
    child: Child,
    pub keyboard: Option<ChildStdin>,
    pub screen: mpsc::UnboundedReceiver<String>,
    /// What is said to a person and not shown as a result.
    pub complaints: mpsc::UnboundedReceiver<String>,
}

fn lines_of(stream: impl Read + Send + 'static) -> mpsc::UnboundedReceiver<String> {
    let (tell, lines) = mpsc::unbounded_channel();
    std::thread::spawn(move || BufReader::new(stream).lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
    lines
}

// === impl Terminal ===

impl Terminal {
    pub fn open(command: &mut Command) -> Terminal {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (screen, complaints) = (lines_of(child.stdout.take().unwrap()), lines_of(child.stderr.take().unwrap()));
        Terminal { keyboard: child.stdin.take(), child, screen, complaints }
    }

    pub fn types(&mut self, line: &str) {
        writeln!(self.keyboard.as_mut().expect("the keyboard is there"), "{line}").unwrap();
    }

    pub async fn sees(&mut self, shown: &str) {
        let line = self.next().await;
        assert!(line.starts_with(shown), "expected `{shown}…`, saw `{line}`");
    }

    pub async fn next(&mut self) -> String {
        self.try_next().await.unwrap_or_else(|told| panic!("nothing is shown; it told: {told}"))
    }

    /// The next line; if there is none in time, what was complained about.
    pub async fn try_next(&mut self) -> Result<String, String> {
        if let Ok(Some(line)) = timeout(PATIENCE, self.screen.recv()).await {
            return Ok(line);
        }
        let told: Vec<String> = std::iter::from_fn(|| self.complaints.try_recv().ok()).collect();
        Err(told.join("\n"))
    }

    pub async fn is_told(&mut self, part: &str) {
        let line = timeout(PATIENCE, self.complaints.recv()).await.expect("something is told in time").expect("it still runs");
        assert!(line.contains(part), "expected `{part}`, was told `{line}`");
    }

    /// Presses Ctrl-C.
    pub fn interrupt(&self) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), rustix::process::Signal::INT).unwrap();
    }

    /// Its exit code, and that it showed nothing more.
    pub async fn ends(mut self) -> i32 {
        let more = timeout(PATIENCE, self.screen.recv()).await.expect("it ends in time");
        assert_eq!(more, None, "nothing more is shown");
        self.child.wait().unwrap().code().expect("it ends by itself")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
