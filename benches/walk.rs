//! The wire walker against the two ways to decode: `DynamicMessage`, which also knows its types at run time only, and prost.
//!
//! `cargo bench --bench walk`. The three take turns within each round, so that a busy machine slows all of them; the median round counts.
//! Fails when the walker allocates, or is slower than its goals where it only checks: 0.07 of `DynamicMessage`, 0.27 of prost.
//! The messages of `ruled` are held against rules as well, and must be cheaper than decoding them.
//! Each string that is read costs about 20 ns more: only `str::from_utf8` makes a `&str` without unsafe code.

#![allow(clippy::print_stdout)] // A benchmark's result is what it prints.

use std::alloc::System;
use std::collections::HashMap;
use std::hint::black_box;
use std::time::Duration;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
use protogate::diagnostic::{Report, Sources, Span};
use protogate::files::Files;
use protogate::proto::{DescriptorSource, FieldPath, Pools, Values, Walk, WalkOptions, Wanted};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::time::Instant;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const PROTO: &str = r#"
syntax = "proto3";
package bench;
message Small { string user = 1; uint64 id = 2; int32 x = 3; int32 y = 4; bool on = 5; string room = 6; fixed64 at = 7; }
message Medium { Small who = 1; repeated Small friends = 2; map<string, int32> scores = 3; repeated uint32 tiles = 4; bytes blob = 5; string text = 6; }
message Row { uint32 id = 1; string name = 2; repeated sint32 deltas = 3; }
message Large { repeated Row rows = 1; }
"#;

/// The same with rules, all of which the messages keep.
const RULED: &str = r#"
syntax = "proto3";
package ruled;
import "buf/validate/validate.proto";
message Small {
  string user = 1 [(buf.validate.field).string = { min_len: 1, max_len: 40 }];
  uint64 id = 2;
  int32 x = 3 [(buf.validate.field).int32 = { gte: 0, lt: 1000 }];
  int32 y = 4 [(buf.validate.field).int32 = { gte: 0, lt: 1000 }];
  bool on = 5;
  string room = 6 [(buf.validate.field).string.pattern = "^[a-z-]+$"];
  fixed64 at = 7 [(buf.validate.field).required = true];
}
message Medium {
  Small who = 1 [(buf.validate.field).required = true];
  repeated Small friends = 2 [(buf.validate.field).repeated.max_items = 20];
  map<string, int32> scores = 3;
  repeated uint32 tiles = 4 [(buf.validate.field).repeated.items.uint32.lt = 1000];
  bytes blob = 5 [(buf.validate.field).bytes.max_len = 200];
  string text = 6 [(buf.validate.field).string.max_bytes = 200];
}
"#;

#[derive(Clone, PartialEq, Message)]
struct Small {
    #[prost(string, tag = "1")]
    user: String,
    #[prost(uint64, tag = "2")]
    id: u64,
    #[prost(int32, tag = "3")]
    x: i32,
    #[prost(int32, tag = "4")]
    y: i32,
    #[prost(bool, tag = "5")]
    on: bool,
    #[prost(string, tag = "6")]
    room: String,
    #[prost(fixed64, tag = "7")]
    at: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Medium {
    #[prost(message, optional, tag = "1")]
    who: Option<Small>,
    #[prost(message, repeated, tag = "2")]
    friends: Vec<Small>,
    #[prost(map = "string, int32", tag = "3")]
    scores: HashMap<String, i32>,
    #[prost(uint32, repeated, tag = "4")]
    tiles: Vec<u32>,
    #[prost(bytes = "vec", tag = "5")]
    blob: Vec<u8>,
    #[prost(string, tag = "6")]
    text: String,
}

#[derive(Clone, PartialEq, Message)]
struct Row {
    #[prost(uint32, tag = "1")]
    id: u32,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(sint32, repeated, tag = "3")]
    deltas: Vec<i32>,
}

#[derive(Clone, PartialEq, Message)]
struct Large {
    #[prost(message, repeated, tag = "1")]
    rows: Vec<Row>,
}

fn small(id: u64) -> Small {
    Small { user: format!("user-{id:08}"), id: id * 1000, x: 812, y: 44, on: true, room: "lobby-europe-west".into(), at: 1_700_000_000_000 }
}

fn medium() -> Medium {
    Medium {
        who: Some(small(1)),
        friends: (0..8).map(small).collect(),
        scores: (0..10).map(|n| (format!("level-{n}"), n * 100)).collect(),
        tiles: (0..100).map(|n| n * 7).collect(),
        blob: vec![7; 100],
        text: "hello, ".repeat(10),
    }
}

fn large() -> Large {
    let row = |id: u32| Row { id, name: format!("row number {id}"), deltas: (0..20).map(|n| n * 17 - 150).collect() };
    Large { rows: (0..300).map(row).collect() }
}

fn main() {
    let files = Files::in_memory(&[("proto/bench.proto", PROTO), ("proto/ruled.proto", RULED)]);
    let (mut report, mut texts) = (Report::default(), Sources::default());
    let span = Span::start_of(texts.add("routes.yaml", String::new()));
    let source = DescriptorSource::Proto { folder: "proto".into(), span };
    let pool = Pools::new().load(&files, &[source], &Wanted::everything(), &mut report, &mut texts).pool;
    let file = protox::file::File::from_source("bench.proto", PROTO).expect("it compiles");
    let mut reflected = DescriptorPool::new();
    reflected.add_file_descriptor_proto(file.into()).expect("it links");

    let bench = |name: &str, extract: &[&str], bytes: Vec<u8>, decode: fn(&[u8])| {
        let kind = pool.message(name).expect("it is defined");
        let extract: Vec<FieldPath> = extract.iter().map(|path| FieldPath::resolve(&kind, path).expect("it is a field")).collect();
        let validate = name.starts_with("ruled.");
        let walk = Walk::compile(&kind, &extract, WalkOptions { validate, ..WalkOptions::default() });
        let descriptor = reflected.get_message_by_name(&name.replace("ruled.", "bench.")).expect("it is defined");
        let walk = |bytes: &[u8]| {
            let mut values = Values::new();
            walk.run(black_box(bytes), &mut values).expect("it is valid");
            black_box(&values);
        };
        let dynamic = |bytes: &[u8]| drop(black_box(DynamicMessage::decode(descriptor.clone(), black_box(bytes)).expect("it is valid")));
        let goals = if extract.is_empty() && !validate {
            Goals { to_dynamic: 0.07, to_prost: 0.27 }
        } else {
            Goals { to_dynamic: 1.0, to_prost: 1.0 }
        };
        compare(name, &bytes, &walk, &dynamic, &decode, &goals)
    };
    let decode_small = |bytes: &[u8]| drop(black_box(Small::decode(black_box(bytes)).expect("it is valid")));
    let decode_medium = |bytes: &[u8]| drop(black_box(Medium::decode(black_box(bytes)).expect("it is valid")));
    let decode_large = |bytes: &[u8]| drop(black_box(Large::decode(black_box(bytes)).expect("it is valid")));
    println!("message           bytes   walk ns  dynamic ns  prost ns  ÷ dynamic  ÷ prost  allocations");
    let good = [
        bench("bench.Small", &[], small(1).encode_to_vec(), decode_small),
        bench("bench.Small", &["user", "room"], small(1).encode_to_vec(), decode_small),
        bench("bench.Medium", &[], medium().encode_to_vec(), decode_medium),
        bench("bench.Medium", &["who.user", "text"], medium().encode_to_vec(), decode_medium),
        bench("ruled.Medium", &[], medium().encode_to_vec(), decode_medium),
        bench("bench.Large", &[], large().encode_to_vec(), decode_large),
    ];
    assert!(good.iter().all(|good| *good), "the walker misses its goals");
}

/// The most that a walk may take of the time of the others.
struct Goals {
    to_dynamic: f64,
    to_prost: f64,
}

fn compare(name: &str, bytes: &[u8], walk: &dyn Fn(&[u8]), dynamic: &dyn Fn(&[u8]), prost: &dyn Fn(&[u8]), goals: &Goals) -> bool {
    let region = Region::new(ALLOCATOR);
    walk(bytes);
    let allocations = region.change().allocations;
    let mut times: [Vec<f64>; 3] = Default::default();
    for _ in 0..9 {
        for (way, times) in [walk, dynamic, prost].into_iter().zip(&mut times) {
            times.push(nanoseconds(bytes, way));
        }
    }
    let [walk, dynamic, prost] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    });
    let (to_dynamic, to_prost) = (walk / dynamic, walk / prost);
    println!("{name:14} {:8} {walk:9.0} {dynamic:11.0} {prost:9.0} {to_dynamic:10.3} {to_prost:8.3} {allocations:12}", bytes.len());
    allocations == 0 && to_dynamic <= goals.to_dynamic && to_prost <= goals.to_prost
}

/// How long one call takes, from as many as fit into some milliseconds.
fn nanoseconds(bytes: &[u8], way: &dyn Fn(&[u8])) -> f64 {
    let start = Instant::now();
    let mut calls = 0;
    while start.elapsed() < Duration::from_millis(20) {
        (0..16).for_each(|_| way(bytes));
        calls += 16;
    }
    start.elapsed().as_nanos() as f64 / f64::from(calls)
}
