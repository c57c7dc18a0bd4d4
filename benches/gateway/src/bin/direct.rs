//! Calls the backend with no gateway in between: what latency is divided by.
//!
//! `direct --backend ADDRESS --inflight N --seconds S` runs on one thread over one connection, as a gateway would, and prints one JSON line.

use std::time::{Duration, Instant};

use protogate_bench::args::Args;
use protogate_bench::echo::EchoRequest;
use protogate_bench::echo::echo_service_client::EchoServiceClient;
use protogate_bench::latency::Latencies;
use protogate_bench::{Outcome, TEXT};
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};

/// Calls before this are not counted: connections open, buffers grow.
const WARM_UP: Duration = Duration::from_millis(500);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let args = Args::read(0)?;
    let backend: String = args.required("backend")?;
    let inflight: usize = args.required("inflight")?;
    let seconds: f64 = args.required("seconds")?;

    let channel = Endpoint::from_shared(format!("http://{backend}"))?.connect().await?;
    let from = Instant::now() + WARM_UP;
    let until = from + Duration::from_secs_f64(seconds);
    let mut callers = JoinSet::new();
    for _ in 0..inflight {
        callers.spawn(call_in_turn(EchoServiceClient::new(channel.clone()), from, until));
    }
    let mut latencies = Latencies::default();
    while let Some(caller) = callers.join_next().await {
        latencies.append(caller??);
    }
    let rate = latencies.count() as f64 / seconds;
    println!(r#"{{"calls_per_second":{rate:.0},{}}}"#, latencies.to_json());
    Ok(())
}

async fn call_in_turn(mut client: EchoServiceClient<Channel>, from: Instant, until: Instant) -> Result<Latencies, tonic::Status> {
    let mut latencies = Latencies::default();
    loop {
        let start = Instant::now();
        client.echo(EchoRequest { text: TEXT.to_owned() }).await?;
        let end = Instant::now();
        if end >= until {
            return Ok(latencies);
        }
        if start >= from {
            latencies.record(end - start);
        }
    }
}
