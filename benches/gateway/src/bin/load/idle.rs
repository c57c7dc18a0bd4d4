//! Connections that do nothing, so that their memory can be read from outside.
//!
//! Prints `open` when all are open. A line `traffic` on standard input makes every one of them work once; then it prints `worked`.
//! Until standard input closes it answers pings and nothing else.

use std::io::{self, BufRead};
use std::time::Duration;

use crate::crowd::Crowd;
use crate::frame;

/// Ordinary calls of one connection, then one large one: buffers that only grow are seen.
const ECHOES: usize = 150;
const LARGE_BYTES: usize = 16 * 1024;

/// Connections that work at the same time: few, so that what the gateway holds for calls in flight does not pass for memory of connections.
const AT_ONCE: usize = 64;

pub fn idle(crowd: &mut Crowd) -> io::Result<()> {
    crowd.listen_to_stdin()?;
    println!("open");
    loop {
        if crowd.turn(Duration::from_secs(1), |_, _, _, _| ())? {
            let mut line = String::new();
            if io::stdin().lock().read_line(&mut line)? == 0 {
                return Ok(());
            }
            work(crowd)?;
            println!("worked");
        }
    }
}

fn work(crowd: &mut Crowd) -> io::Result<()> {
    let (small, large) = (frame::call(1, &"x".repeat(100)), frame::call(1, &"x".repeat(LARGE_BYTES)));
    let count = crowd.sockets.len();
    for first in (0..count).step_by(AT_ONCE) {
        let group = first..count.min(first + AT_ONCE);
        let mut left = vec![ECHOES + 1; group.len()];
        for socket in &mut crowd.sockets[group.clone()] {
            socket.send(&small);
            socket.flush()?;
        }
        let mut failed = 0;
        while left.iter().any(|left| *left > 0) {
            crowd.expect(|socket, index, reply, _| {
                failed += usize::from(!reply.ok);
                let left = &mut left[index - first];
                *left -= 1;
                match *left {
                    0 => {}
                    1 => socket.send(&large),
                    _ => socket.send(&small),
                }
            })?;
        }
        if failed > 0 {
            return Err(io::Error::other(format!("{failed} calls failed")));
        }
    }
    Ok(())
}
