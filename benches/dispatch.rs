//! What it costs to find a route by its number: the table's index with ten and with ten thousand routes, and a map of texts for comparison.
//! And what it costs to find the endpoint of a key, among three to a thousand, with and without weights.
//!
//! Prints the median of several rounds, in nanoseconds a look-up, over numbers in an order that no predictor learns.
//! Run with `cargo bench --bench dispatch`.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;

use protogate::backend::{Rendezvous, hash};
use protogate::table::index::Index;
use tokio::time::Instant;

const ROUNDS: usize = 9;
const LOOK_UPS: u32 = 1_000_000;

/// Of keys, which take longer the more endpoints there are.
const KEYS: u32 = 100_000;

/// Routes are behind one pointer each, as in a table.
type Route = Arc<[u8; 256]>;

fn main() {
    eprintln!("{:>7}{:>10}{:>13}", "routes", "index ns", "HashMap ns");
    for count in [10u32, 10_000] {
        let routes: Vec<(u32, Route)> = (0..count).map(|route| (1000 + route, Arc::new([0; 256]))).collect();
        let by_name: HashMap<String, Route> = routes.iter().map(|(number, route)| (number.to_string(), Arc::clone(route))).collect();
        let index = Index::new(routes);
        let names: Vec<String> = (0..count).map(|route| (1000 + route).to_string()).collect();

        let mut rounds = [const { Vec::new() }; 2];
        for _ in 0..ROUNDS {
            rounds[0].push(time(LOOK_UPS, |random| black_box(index.get(black_box(1000 + random % count))).is_some()));
            rounds[1].push(time(LOOK_UPS, |random| black_box(by_name.get(black_box(&names[(random % count) as usize]))).is_some()));
        }
        let [index, map] = rounds.map(median);
        eprintln!("{count:>7}{index:>10.1}{map:>13.1}");
    }

    eprintln!("\n{:>9}{:>10}{:>13}", "endpoints", "equal ns", "weighted ns");
    for count in [3u32, 10, 100, 1_000] {
        let group = |weight: fn(u32) -> u32| Rendezvous::new((0..count).map(|place| (format!("10.0.0.{place}:50051"), weight(place))));
        let groups = [group(|_| 1), group(|place| 1 + place % 7)];
        let [equal, weighted] = groups.map(|group| {
            median(
                (0..ROUNDS).map(|_| time(KEYS, |random| group.find(black_box(hash(&random.to_le_bytes())), |_| true).is_some())).collect(),
            )
        });
        eprintln!("{count:>9}{equal:>10.1}{weighted:>13.1}");
    }
}

/// Nanoseconds a look-up; each gets the next of Marsaglia's xorshift.
fn time(look_ups: u32, mut look_up: impl FnMut(u32) -> bool) -> f64 {
    let mut random = 0x9e37_79b9_u32;
    let start = Instant::now();
    for _ in 0..look_ups {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        assert!(look_up(random), "every number looked for is there");
    }
    start.elapsed().as_nanos() as f64 / f64::from(look_ups)
}

fn median(mut rounds: Vec<f64>) -> f64 {
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}
