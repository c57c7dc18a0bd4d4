//! The load generator: one thread, one epoll, frames encoded beforehand.
//!
//! `load run --address A --connections C --pipelining P --seconds S` (or `--calls N`) prints one line of JSON;
//! `load idle --address A --connections N` holds connections until standard input closes.
//! `load flood --address A --connections N --rate R` sends so many logins a second until standard input closes.
//! `load hear --address A --connections N` has all of them join one topic, and publishes as standard input says.
//! All take `--path` (`/ws`) and `--tokens` FILE (a line for each connection, sent as a bearer); `run` takes `--warm-up` seconds, and `run` and `hear` take `--watch` PID.

#![forbid(unsafe_code)]

mod cpu;
mod crowd;
mod flood;
mod frame;
mod hear;
mod idle;
mod run;
mod socket;

use std::time::Duration;

use crowd::Crowd;
use protogate_bench::Outcome;
use protogate_bench::args::Args;
use run::{End, Plan};
use socket::Target;

fn main() -> Outcome {
    let args = Args::read(1)?;
    let target = Target {
        address: args.required("address")?,
        path: args.optional("path")?.unwrap_or_else(|| "/ws".to_owned()),
        tokens: tokens(args.optional("tokens")?)?,
        forwarded: false,
    };
    let connections = args.required("connections")?;
    match std::env::args().nth(1).as_deref() {
        Some("run") => {
            let plan = plan(&args)?;
            println!("{}", run::run(&mut Crowd::open(&target, connections)?, &plan)?);
        }
        Some("idle") => idle::idle(&mut Crowd::open(&target, connections)?)?,
        Some("flood") => {
            let target = Target { forwarded: true, ..target };
            flood::flood(&mut Crowd::open(&target, connections)?, args.required("rate")?)?;
        }
        Some("hear") => hear::hear(&mut Crowd::open(&target, connections)?, args.optional("watch")?)?,
        _ => return Err("say `run`, `idle`, `flood` or `hear` first".into()),
    }
    Ok(())
}

/// The lines of a file, each of them who a connection is.
fn tokens(path: Option<String>) -> Result<Vec<String>, String> {
    let Some(path) = path else { return Ok(Vec::new()) };
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    Ok(text.lines().map(str::to_owned).collect())
}

fn plan(args: &Args) -> Result<Plan, String> {
    let end = match args.optional("calls")? {
        Some(calls) => End::Calls(calls),
        None => End::After {
            warm_up: Duration::from_secs_f64(args.optional("warm-up")?.unwrap_or(0.5)),
            window: Duration::from_secs_f64(args.required("seconds")?),
        },
    };
    Ok(Plan { pipelining: args.required("pipelining")?, end, watch: args.optional("watch")? })
}
