//! Many sockets and one epoll.

use std::io;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crate::socket::{Reply, Socket, Target};

/// How long the first connection waits for a Hello. The others wait only if it got one, and then until it is there.
const FIRST_PATIENCE: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(5);

/// How long calls may go without any answer: more than the slowest gateway under valgrind takes for one.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// Large enough that one read takes all that 64 replies bring.
const SCRATCH_BYTES: usize = 64 * 1024;

/// Registered with the token after the last socket.
const STDIN: i32 = 0;

pub struct Crowd {
    pub sockets: Vec<Socket>,
    poll: Poll,
    events: Events,
    scratch: Vec<u8>,
}

// === impl Crowd ===

impl Crowd {
    /// Opens all connections, one after the other. With a gateway that says Hello each has heard it when this returns.
    pub fn open(target: &Target, count: usize) -> io::Result<Crowd> {
        let poll = Poll::new()?;
        let mut scratch = vec![0; SCRATCH_BYTES];
        let mut sockets: Vec<Socket> = Vec::with_capacity(count);
        for index in 0..count {
            let mut socket = Socket::open(target, index)?;
            let patience = match sockets.first() {
                None => FIRST_PATIENCE,
                Some(first) if first.greeted => PATIENCE,
                Some(_) => Duration::ZERO,
            };
            socket.greet(patience, &mut scratch)?;
            // Edge-triggered both ways: what `receive` leaves behind must be read before the next wait, and `turn` sees to that.
            poll.registry().register(&mut SourceFd(&socket.stream.as_raw_fd()), Token(index), Interest::READABLE | Interest::WRITABLE)?;
            sockets.push(socket);
        }
        Ok(Crowd { sockets, poll, events: Events::with_capacity(1024), scratch })
    }

    pub fn listen_to_stdin(&self) -> io::Result<()> {
        self.poll.registry().register(&mut SourceFd(&STDIN), Token(self.sockets.len()), Interest::READABLE)
    }

    /// A turn in which something must happen, because calls are in flight: a gateway that forgets one must not hang the bench.
    pub fn expect(&mut self, on_reply: impl FnMut(&mut Socket, usize, Reply, Instant)) -> io::Result<()> {
        self.turn(SILENCE_MAX, on_reply)?;
        if self.events.is_empty() {
            return Err(io::Error::other(format!("calls are in flight and the gateway has been silent for {SILENCE_MAX:?}")));
        }
        Ok(())
    }

    /// Waits once and hands out every reply that came, with the index of its socket and the time the batch was read.
    ///
    /// What the callback queues on a socket leaves in one write. Returns whether standard input has something to say.
    pub fn turn(&mut self, timeout: Duration, mut on_reply: impl FnMut(&mut Socket, usize, Reply, Instant)) -> io::Result<bool> {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        let mut asked = false;
        for event in &self.events {
            let Token(index) = event.token();
            let Some(socket) = self.sockets.get_mut(index) else {
                asked = true;
                continue;
            };
            let now = Instant::now();
            while event.is_readable() && socket.receive(&mut self.scratch, &mut |socket, reply| on_reply(socket, index, reply, now))? {}
            socket.flush()?;
        }
        Ok(asked)
    }
}
