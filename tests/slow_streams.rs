//! A thousand clients that open a stream and read nothing, beside those that do: memory stays, the services wait, the others miss nothing.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};
use protogate::wire::{Codec, Envelope};
use tokio::time::{Instant, sleep};

use crate::support::TestGateway;
use crate::support::nodes::eventually;
use crate::support::streams::{PROTO, Tapper, Taps, Told};

const SLOW: usize = 1000;
const HEALTHY: usize = 20;

/// Of one message, and lines that each of the healthy reads.
const LINE_BYTES: usize = 4 << 10;
const LINES: usize = 100;

/// Of what may wait for a client streams take a quarter, and one message.
const OUTBOX_BYTES: usize = 64 << 10;
const SHARE_BYTES: usize = OUTBOX_BYTES / 4 + 2 * LINE_BYTES;

/// What there is for a slow stream in all: its share of the outbox, its window, what kernels hold for two sockets and the service for one.
const STREAM_BYTES: usize = 256 << 10;

const GATEWAY: &str = "
version: 1
reload: { watch: false }
connections: { outbox_bytes_max: 64KiB, per_ip_max: 2000, stream_credit: 1000 }
";

fn routes(taps: &Taps) -> String {
    let address = taps.address;
    format!(
        r#"
version: 1
descriptors: [{{ proto: ../stream }}]
backends: {{ taps: {{ grpc: {{ endpoints: ["http://{address}"] }} }} }}
rate_limits: {{ plenty: {{ key: [connection], rate: 100000/s, burst: 100000 }} }}
defaults: {{ backend: taps, rate_limits: [plenty], access: anonymous, reply_bytes_max: 16KiB }}
routes:
  5001: {{ name: tap.list, rpc: stream.v1.Taps/List }}
"#
    )
}

/// Reads a stream to its end, and grants what it read.
async fn read(gateway: &TestGateway, codec: Codec) {
    let mut client = Tapper::connect(gateway.edge(), codec, None).await;
    client.ask(5001, 7, &format!("count {LINES} {LINE_BYTES}")).await;
    for place in 0..LINES {
        assert_eq!(client.hear().await, Told::Line(7, place.to_string()));
        client.grant(7, 1).await;
    }
    assert_eq!(client.hear().await, Told::Done(7));
}

/// Bytes of this process that are in memory, the gateway, its clients and the service.
fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").ok().and_then(|text| text.split(' ').nth(1)?.parse::<usize>().ok());
    pages.unwrap_or(0) * 4096
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_streams_that_nobody_reads_cost_what_they_may_and_nobody_else_anything() {
    let taps = Taps::start().await;
    let gateway =
        TestGateway::start_with(&[("routes/gateway.yaml", GATEWAY), ("routes/routes.yaml", &routes(&taps)), ("stream/taps.proto", PROTO)]);
    let connecting = (0..SLOW).map(|_| Tapper::connect_narrowly(gateway.edge()));
    let mut slow: Vec<Tapper> = stream::iter(connecting).buffer_unordered(64).collect().await;
    let before = resident_bytes();

    let began = Instant::now();
    let text = format!("count 1000000 {LINE_BYTES}");
    for client in &mut slow {
        client.say(&Envelope { protocol: 5001, id: 7, credit: u32::MAX, ..Envelope::default() }, Some(&text)).await;
    }
    taps.until(|state| &state.opened, SLOW).await;
    let mut said = 0;
    while said != taps.state.said.load(SeqCst) {
        said = taps.state.said.load(SeqCst);
        sleep(Duration::from_millis(300)).await;
    }
    let outboxes = gateway.gateway().outbox_bytes();
    println!(
        "{SLOW} slow streams: {} KiB said for each, {} KiB in its outbox; the process grew by {} MiB; after {:?}",
        (said * LINE_BYTES / SLOW) >> 10,
        (outboxes / SLOW) >> 10,
        resident_bytes().saturating_sub(before) >> 20,
        began.elapsed()
    );
    assert!(outboxes <= SLOW * SHARE_BYTES, "{outboxes} bytes wait");
    assert!(said * LINE_BYTES <= SLOW * STREAM_BYTES, "{said} messages were said");

    let began = Instant::now();
    join_all((0..HEALTHY).map(|place| read(&gateway, if place % 2 == 0 { Codec::Proto } else { Codec::Json }))).await;
    println!("{HEALTHY} clients read {LINES} messages each beside them in {:?}", began.elapsed());

    // Half of them say that they do not want it any more, which is heard though they do not read; the others just go.
    let mut leaving = slow.split_off(SLOW / 2);
    for client in &mut leaving {
        // On a machine that is busy enough it was closed for being slow, which is an end as well.
        _ = client.try_cancel(7).await;
    }
    taps.until(|state| &state.cancelled, SLOW / 2).await;
    drop((slow, leaving));
    taps.until(|state| &state.cancelled, SLOW).await;
    eventually("nothing waits any more", async || gateway.gateway().outbox_bytes() == 0).await;
}
