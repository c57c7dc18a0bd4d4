//! Logins of people who do not exist, at a steady rate, from as many addresses as there are connections.
//!
//! Prints `open` when all connections are, and goes on until standard input closes; then it prints how many logins were sent and answered.

use std::io;
use std::time::{Duration, Instant};

use prost::Message;
use protogate_bench::wire::Envelope;

use crate::crowd::Crowd;
use crate::frame;

/// The number of the login's route.
const LOGIN: u32 = 1001;

/// How often some are sent.
const STEP: Duration = Duration::from_millis(10);

pub fn flood(crowd: &mut Crowd, per_second: f64) -> io::Result<()> {
    crowd.listen_to_stdin()?;
    println!("open");
    let (start, mut sent, mut answered) = (Instant::now(), 0_u64, 0_u64);
    loop {
        let due = (start.elapsed().as_secs_f64() * per_second) as u64;
        while sent < due {
            sent += 1;
            let count = crowd.sockets.len();
            let socket = &mut crowd.sockets[sent as usize % count];
            socket.send(&login(u32::try_from(sent).unwrap_or(u32::MAX)));
            socket.flush()?;
        }
        if crowd.turn(STEP, |_, _, _, _| answered += 1)? {
            println!(r#"{{"sent":{sent},"answered":{answered}}}"#);
            return Ok(());
        }
    }
}

/// A login with a name that nobody has. What costs is the password, which is hashed all the same.
fn login(number: u32) -> Vec<u8> {
    // LoginRequest { username, password }: two texts, numbered 1 and 2.
    let (name, password) = (format!("nobody{number}"), "a guess");
    let mut payload = Vec::new();
    prost::encoding::string::encode(1, &name, &mut payload);
    prost::encoding::string::encode(2, &password.to_owned(), &mut payload);
    let envelope = Envelope { protocol: LOGIN, id: number, payload: payload.into(), ..Envelope::default() };
    frame::masked(frame::BINARY, &envelope.encode_to_vec())
}
