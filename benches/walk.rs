//! What it costs to judge a message: the wire walker against the reflecting decoder and against generated code.
//!
//! Prints the median of several rounds, in nanoseconds a message, and the ratios that the design sets goals for.
//! Run with `cargo bench --bench walk`.

use std::collections::BTreeMap;
use std::hint::black_box;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
use protogate::diagnostic::{Report, Sources, Span};
use protogate::files::Files;
use protogate::proto::{DescriptorSource, FieldPath, Pools, UnknownPolicy, Values, Walk, WalkOptions};
use tokio::time::Instant;

const ROUNDS: usize = 9;

/// At most this much of the decoder's time.
const GOAL_DYNAMIC: f64 = 0.07;

/// At most this much of the generated code's time.
const GOAL_PROST: f64 = 0.27;

const SCHEMA: &str = r#"
    syntax = "proto3"; package bench;
    message Order {
        string user = 1; uint64 id = 2; sint32 change = 3; bool urgent = 4; string note = 5; double price = 6; Address address = 7;
        map<string, string> labels = 8; repeated sint32 samples = 9; repeated Row rows = 10;
    }
    message Address { string street = 1; string city = 2; uint32 zip = 3; }
    message Row { uint32 id = 1; string name = 2; int64 amount = 3; bool done = 4; repeated sint32 marks = 5; }
"#;

#[derive(Clone, PartialEq, prost::Message)]
struct Order {
    #[prost(string, tag = "1")]
    user: String,
    #[prost(uint64, tag = "2")]
    id: u64,
    #[prost(sint32, tag = "3")]
    change: i32,
    #[prost(bool, tag = "4")]
    urgent: bool,
    #[prost(string, tag = "5")]
    note: String,
    #[prost(double, tag = "6")]
    price: f64,
    #[prost(message, optional, tag = "7")]
    address: Option<Address>,
    #[prost(btree_map = "string, string", tag = "8")]
    labels: BTreeMap<String, String>,
    #[prost(sint32, repeated, tag = "9")]
    samples: Vec<i32>,
    #[prost(message, repeated, tag = "10")]
    rows: Vec<Row>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Address {
    #[prost(string, tag = "1")]
    street: String,
    #[prost(string, tag = "2")]
    city: String,
    #[prost(uint32, tag = "3")]
    zip: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Row {
    #[prost(uint32, tag = "1")]
    id: u32,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(int64, tag = "3")]
    amount: i64,
    #[prost(bool, tag = "4")]
    done: bool,
    #[prost(sint32, repeated, tag = "5")]
    marks: Vec<i32>,
}

fn main() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    std::fs::write(folder.path().join("bench.proto"), SCHEMA).expect("the temporary folder can be written");
    let (mut report, mut texts) = (Report::default(), Sources::default());
    let span = Span::start_of(texts.add("bench.yaml", String::new()));
    let source = DescriptorSource::Proto { folder: folder.path().to_owned(), span };
    let kind = Pools::default().load(&Files::on_disk(), &[source], &mut report, &mut texts).message("bench.Order");
    let kind = kind.expect("the schema above declares it");
    let extract = ["user", "address.city"].map(|path| FieldPath::resolve(&kind, path).expect("the schema above declares it"));
    let options = WalkOptions { unknown_fields: UnknownPolicy::Pass };
    let (judging, taking) = (Walk::compile(&kind, &[], options), Walk::compile(&kind, &extract, options));
    let set = protox::compile(["bench.proto"], [folder.path()]).expect("the schema above compiles");
    let descriptor = DescriptorPool::from_file_descriptor_set(set).expect("the schema above compiles");
    let descriptor = descriptor.get_message_by_name("bench.Order").expect("the schema above declares it");

    eprintln!(
        "{:<8}{:>7}{:>9}{:>14}{:>9}{:>9}{:>10}{:>8}",
        "message", "bytes", "walk ns", "+2 values ns", "dyn ns", "prost ns", "walk/dyn", "/prost"
    );
    for (name, order, times) in [("small", small(), 200_000), ("1 KiB", medium(), 20_000), ("14 KiB", large(), 2_000)] {
        let bytes = order.encode_to_vec();
        // Alternating, so that a busy machine disturbs all alike.
        let mut rounds = [const { Vec::new() }; 4];
        for _ in 0..ROUNDS {
            let mut values = Values::default();
            for (round, walk) in rounds.iter_mut().zip([&judging, &taking]) {
                round.push(time(times, || walk.run(black_box(&bytes), black_box(&mut values)).expect("the message is whole")));
            }
            let decode = || drop(black_box(DynamicMessage::decode(descriptor.clone(), black_box(&bytes[..]))));
            rounds[2].push(time(times / 10, decode));
            rounds[3].push(time(times, || drop(black_box(Order::decode(black_box(&bytes[..]))))));
        }
        let [walk, taking, dynamic, prost] = rounds.map(median);
        let (by_dynamic, by_prost) = (walk / dynamic, walk / prost);
        let verdict = if by_dynamic <= GOAL_DYNAMIC && by_prost <= GOAL_PROST { "" } else { "  over the goal" };
        eprintln!(
            "{name:<8}{:>7}{walk:>9.0}{taking:>14.0}{dynamic:>9.0}{prost:>9.0}{by_dynamic:>10.3}{by_prost:>8.3}{verdict}",
            bytes.len()
        );
    }
}

fn small() -> Order {
    Order {
        user: "u-12345678".to_owned(),
        id: 9_000_000_001,
        change: -7,
        urgent: true,
        note: "leave it at the door".to_owned(),
        price: 12.5,
        address: Some(Address { street: String::new(), city: "Lund".to_owned(), zip: 22_100 }),
        ..Order::default()
    }
}

fn medium() -> Order {
    Order {
        labels: (0..12).map(|n| (format!("label-{n}"), format!("value number {n}"))).collect(),
        samples: (0..100).map(|n| n * 37 - 1_800).collect(),
        rows: (0..12).map(row).collect(),
        ..small()
    }
}

fn large() -> Order {
    Order { rows: (0..320).map(row).collect(), samples: (0..400).map(|n| n * 37 - 7_000).collect(), ..medium() }
}

fn row(n: u32) -> Row {
    Row {
        id: n,
        name: format!("article number {n}"),
        amount: i64::from(n) * 1_000,
        done: n.is_multiple_of(2),
        marks: vec![1, -2, 300, -4_000],
    }
}

fn time(times: u32, mut work: impl FnMut()) -> f64 {
    let start = Instant::now();
    (0..times).for_each(|_| work());
    start.elapsed().as_nanos() as f64 / f64::from(times)
}

fn median(mut rounds: Vec<f64>) -> f64 {
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}
