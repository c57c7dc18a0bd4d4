//! The closed loop: every connection keeps the same number of calls in flight, and each reply is followed by the next call.

use std::io;
use std::time::{Duration, Instant};

use protogate_bench::TEXT;
use protogate_bench::latency::Latencies;

use crate::cpu;
use crate::crowd::Crowd;
use crate::frame;
use crate::socket::{Reply, Socket};

pub struct Plan {
    pub pipelining: usize,
    pub end: End,
    /// The process whose CPU time is read when the window opens and closes.
    pub watch: Option<u32>,
}

/// When it is enough.
#[derive(Clone, Copy)]
pub enum End {
    After {
        warm_up: Duration,
        window: Duration,
    },
    /// Exactly so many calls, with no warm-up: for counting instructions.
    Calls(u64),
}

struct Loop {
    frames: Vec<Vec<u8>>,
    /// By socket, then by id: when the call in flight left.
    sent: Vec<Option<Instant>>,
    calls_left: u64,
    errors: u64,
    latencies: Latencies,
}

/// Runs the plan and answers with one line of JSON.
pub fn run(crowd: &mut Crowd, plan: &Plan) -> io::Result<String> {
    let mut calls = Loop::new(plan, crowd.sockets.len());
    let start = Instant::now();
    for (index, socket) in crowd.sockets.iter_mut().enumerate() {
        for id in 1..=plan.pipelining {
            calls.ask(socket, index, id, start);
        }
        socket.flush()?;
    }
    let (opened, closes) = match plan.end {
        End::After { warm_up, window } => {
            calls.until(crowd, start + warm_up)?;
            calls.forget();
            (Instant::now(), Some(window))
        }
        End::Calls(_) => (start, None),
    };
    let cpu_before = plan.watch.map(cpu::of_process).transpose()?;
    match closes {
        Some(window) => calls.until(crowd, opened + window)?,
        None => calls.until_none_is_left(crowd)?,
    }
    let seconds = opened.elapsed().as_secs_f64();
    let cpu_us = match cpu_before.zip(plan.watch) {
        Some((before, process)) => (cpu::of_process(process)? - before).as_secs_f64() * 1e6,
        None => 0.0,
    };
    let (replies, errors, hello) = (calls.latencies.count(), calls.errors, crowd.sockets.iter().all(|socket| socket.greeted));
    let latencies = calls.latencies.to_json();
    Ok(format!(r#"{{"replies":{replies},"errors":{errors},{latencies},"seconds":{seconds:.3},"cpu_us":{cpu_us:.0},"hello":{hello}}}"#))
}

// === impl Loop ===

impl Loop {
    fn new(plan: &Plan, connections: usize) -> Loop {
        Loop {
            frames: (1..).take(plan.pipelining).map(|id| frame::call(id, TEXT)).collect(),
            sent: vec![None; connections * plan.pipelining],
            calls_left: match plan.end {
                End::After { .. } => u64::MAX,
                End::Calls(calls) => calls,
            },
            errors: 0,
            latencies: Latencies::default(),
        }
    }

    fn until(&mut self, crowd: &mut Crowd, deadline: Instant) -> io::Result<()> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            crowd.turn(left, |socket, index, reply, now| self.take(socket, index, &reply, now))?;
        }
    }

    fn until_none_is_left(&mut self, crowd: &mut Crowd) -> io::Result<()> {
        while self.calls_left > 0 || self.sent.iter().any(Option::is_some) {
            crowd.expect(|socket, index, reply, now| self.take(socket, index, &reply, now))?;
        }
        Ok(())
    }

    /// What happened before the window opened does not count; calls in flight stay in flight.
    fn forget(&mut self) {
        self.errors = 0;
        self.latencies = Latencies::default();
    }

    fn ask(&mut self, socket: &mut Socket, index: usize, id: usize, now: Instant) {
        if self.calls_left > 0 {
            self.calls_left -= 1;
            socket.send(&self.frames[id - 1]);
            self.sent[index * self.frames.len() + id - 1] = Some(now);
        }
    }

    /// A reply to a call that is not in flight, and every failure, is an error.
    fn take(&mut self, socket: &mut Socket, index: usize, reply: &Reply, now: Instant) {
        let id = reply.id as usize;
        let in_range = (1..=self.frames.len()).contains(&id);
        let sent = if in_range { self.sent[index * self.frames.len() + id - 1].take() } else { None };
        match sent {
            Some(sent) if reply.ok => self.latencies.record(now - sent),
            _ => self.errors += 1,
        }
        if sent.is_some() {
            self.ask(socket, index, id, now);
        }
    }
}
