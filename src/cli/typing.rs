//! What a person types while a conversation is followed.

use std::io::{self, BufRead as _, Read as _};

use tokio::sync::mpsc;

/// The longest line that is read; what is left of a longer one is the next.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// What is typed, line by line. The thread that reads cannot be ended while it waits for somebody to type; it ends with the process.
pub fn typed_lines() -> mpsc::Receiver<String> {
    let (line, typed) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut input = io::stdin().lock();
        loop {
            let mut bytes = Vec::new();
            match input.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes) {
                Ok(length) if length > 0 && line.blocking_send(String::from_utf8_lossy(&bytes).into_owned()).is_ok() => {}
                _ => return,
            }
        }
    });
    typed
}
