//! Many connections hear one topic, and the first of them speaks.
//!
//! Prints `joined` when all have joined. Then each line `BURST SECONDS` on standard input is a measurement: so many messages are published
//! with one write, everybody hears them, and so on until the time is over; it is answered with one line of JSON. Ends when standard input
//! closes.

use std::io::{self, BufRead};
use std::time::{Duration, Instant};

use protogate_bench::latency::Latencies;
use protogate_bench::{JOIN, PUBLISH};

use crate::cpu;
use crate::crowd::Crowd;
use crate::frame;

/// What is said: 100 bytes.
const SAID: &str = "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789";

/// Connections that join at the same time.
const AT_ONCE: usize = 64;

/// Before anything is counted.
const WARM_UP: Duration = Duration::from_millis(500);

pub fn hear(crowd: &mut Crowd, watch: Option<u32>) -> io::Result<()> {
    join(crowd)?;
    crowd.listen_to_stdin()?;
    println!("joined");
    loop {
        if crowd.turn(Duration::from_secs(1), |_, _, _, _| ())? {
            let mut line = String::new();
            if io::stdin().lock().read_line(&mut line)? == 0 {
                return Ok(());
            }
            let (burst, seconds) = read(&line).ok_or_else(|| io::Error::other(format!("`{line}` is not understood")))?;
            println!("{}", measure(crowd, burst, Duration::from_secs_f64(seconds), watch)?);
        }
    }
}

fn read(line: &str) -> Option<(usize, f64)> {
    let (burst, seconds) = line.trim().split_once(' ')?;
    Some((burst.parse().ok()?, seconds.parse().ok()?))
}

/// Every connection joins the topic, a few at a time.
fn join(crowd: &mut Crowd) -> io::Result<()> {
    let call = frame::call_of(JOIN, 1, "all");
    let count = crowd.sockets.len();
    for first in (0..count).step_by(AT_ONCE) {
        let group = first..count.min(first + AT_ONCE);
        let (mut left, mut failed) = (group.len(), 0);
        for socket in &mut crowd.sockets[group] {
            socket.send(&call);
            socket.flush()?;
        }
        while left > 0 {
            crowd.expect(|_, _, reply, _| {
                left -= 1;
                failed += usize::from(!reply.ok);
            })?;
        }
        if failed > 0 {
            return Err(io::Error::other(format!("{failed} connections could not join")));
        }
    }
    Ok(())
}

fn measure(crowd: &mut Crowd, burst: usize, window: Duration, watch: Option<u32>) -> io::Result<String> {
    let calls = (1..).take(burst).flat_map(|id| frame::call_of(PUBLISH, id, SAID)).collect::<Vec<u8>>();
    let mut latencies = Latencies::default();
    publish_until(crowd, &calls, burst, Instant::now() + WARM_UP, &mut latencies)?;
    latencies = Latencies::default();

    let cpu_before = watch.map(cpu::of_process).transpose()?;
    let opened = Instant::now();
    publish_until(crowd, &calls, burst, opened + window, &mut latencies)?;
    let seconds = opened.elapsed().as_secs_f64();
    let cpu_us = match cpu_before.zip(watch) {
        Some((before, process)) => (cpu::of_process(process)? - before).as_secs_f64() * 1e6,
        None => 0.0,
    };
    let (deliveries, latencies) = (latencies.count(), latencies.to_json());
    Ok(format!(r#"{{"deliveries":{deliveries},{latencies},"seconds":{seconds:.3},"cpu_us":{cpu_us:.0}}}"#))
}

/// Bursts, each when everybody has heard the one before.
fn publish_until(crowd: &mut Crowd, calls: &[u8], burst: usize, end: Instant, latencies: &mut Latencies) -> io::Result<()> {
    while Instant::now() < end {
        let publisher = &mut crowd.sockets[0];
        publisher.send(calls);
        let said = Instant::now();
        publisher.flush()?;
        let (mut due, mut failed) = (crowd.sockets.len() * burst + burst, 0);
        while due > 0 {
            crowd.expect(|_, _, reply, now| {
                due = due.saturating_sub(1);
                failed += usize::from(!reply.ok);
                if reply.push {
                    latencies.record(now - said);
                }
            })?;
        }
        if failed > 0 {
            return Err(io::Error::other(format!("{failed} messages could not be published")));
        }
    }
    Ok(())
}
