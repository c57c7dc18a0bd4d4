//! What it costs to read and compile a large configuration: ten thousand routes over five thousand messages.
//!
//! Prints the median of several rounds, in milliseconds: from nothing (as `check` and a start do it), and with the descriptors unchanged (as
//! most reloads do). Run with `cargo bench --bench compile`.

use std::fmt::Write as _;
use std::path::PathBuf;

use protogate::config::{self, Environment, LoadOptions};
use protogate::diagnostic::render::{self, Color};
use protogate::files::Files;
use protogate::proto::Pools;
use protogate::table::compile::{Context, compile};
use protogate::table::plan::Plan;
use tokio::time::Instant;

const ROUNDS: usize = 9;
const FILES: usize = 50;
const METHODS_A_FILE: usize = 50;
const GROUPS: usize = 20;
const ROUTES_A_GROUP: usize = 500;

/// At most this long, in milliseconds.
const GOAL: f64 = 300.0;

fn main() {
    let files: Vec<(&'static str, &'static str)> =
        (0..FILES).map(proto).chain((0..GROUPS).map(group)).chain([routes()]).map(|(path, text)| (&*path.leak(), &*text.leak())).collect();
    let bytes =
        |extension: &str| files.iter().filter(|(path, _)| path.ends_with(extension)).map(|(_, text)| text.len()).sum::<usize>() >> 10;
    let (yaml, protos) = (bytes("yaml"), bytes("proto"));
    let files: &'static [(&'static str, &'static str)] = files.leak();

    let mut rounds = [const { Vec::new() }; 4];
    for _ in 0..ROUNDS {
        let pools = Pools::default();
        let (cold_load, cold_compile, plan) = once(files, &pools);
        let (load, compile, _again) = once(files, &pools);
        assert_eq!(plan.routes.len(), GROUPS * ROUTES_A_GROUP);
        [cold_load + cold_compile, load, compile, load + compile].into_iter().zip(&mut rounds).for_each(|(took, round)| round.push(took));
    }
    let [cold, load, compile, warm] = rounds.map(median);
    eprintln!(
        "{} routes in {yaml} KiB of YAML, {} messages in {protos} KiB of .proto",
        GROUPS * ROUTES_A_GROUP,
        FILES * METHODS_A_FILE * 2
    );
    eprintln!("from nothing {cold:>8.0} ms{}", if cold <= GOAL { "" } else { "  over the goal" });
    eprintln!("descriptors unchanged {warm:>8.0} ms: load {load:.0}, compile {compile:.0}");
}

/// Loads and compiles; how long each took, in milliseconds.
fn once(files: &'static [(&'static str, &'static str)], pools: &Pools) -> (f64, f64, Plan) {
    let files = Files::in_memory(files);
    let options = LoadOptions { folder: PathBuf::from("routes"), environment: Environment::Development, variables: &|_| None };
    let start = Instant::now();
    let (mut document, mut report) = config::load(&files, &options);
    let loaded = start.elapsed();
    let plan = compile(&mut document, &files, pools, &Context::default(), None, &mut report).plan;
    let took = start.elapsed();
    let plan = plan.unwrap_or_else(|| panic!("{}", render::human(&report, &document.sources, Color::Plain)));
    (loaded.as_secs_f64() * 1e3, (took - loaded).as_secs_f64() * 1e3, plan)
}

fn proto(file: usize) -> (String, String) {
    let mut text = format!("syntax = \"proto3\";\npackage bench.v{file};\nservice Service {{\n");
    for method in 0..METHODS_A_FILE {
        writeln!(text, "  rpc Call{method}(Request{method}) returns (Reply{method});").expect("writing to a String cannot fail");
    }
    text.push_str("}\n");
    for method in 0..METHODS_A_FILE {
        let next = (method + 1) % METHODS_A_FILE;
        writeln!(
            text,
            "message Request{method} {{\n  string user_id = 1;\n  string room_id = 2;\n  uint64 at = 3;\n  repeated int32 marks = 4;\n  \
             Reply{next} inner = 5;\n  map<string, string> labels = 6;\n}}\n\
             message Reply{method} {{\n  bool done = 1;\n  string note = 2;\n  double price = 3;\n}}"
        )
        .expect("writing to a String cannot fail");
    }
    (format!("proto/bench/v{file}.proto"), text)
}

fn routes() -> (String, String) {
    let include: Vec<String> = (0..GROUPS).map(|group| format!("group{group}.yaml")).collect();
    let text = format!(
        "version: 1\ninclude: [{}]\ndescriptors: [{{ proto: ../proto }}]\n\
         backends: {{ game: {{ grpc: {{ endpoints: [\"http://127.0.0.1:50051\"] }} }} }}\n\
         permissions: {{ roles: {{ player: {{ grant: [\"game.**\"] }} }} }}\n\
         rate_limits:\n  per_caller: {{ key: [caller], rate: 20/s }}\n  per_room: {{ key: [peer.ip, request.room_id], rate: 5/s }}\n\
         defaults: {{ backend: game, timeout: 3s, rate_limits: [per_caller], set: {{ request.user_id: session.user }} }}\n",
        include.join(", ")
    );
    ("routes/routes.yaml".to_owned(), text)
}

fn group(group: usize) -> (String, String) {
    let first = 1000 + group * 1000;
    let mut text = format!("numbers: {first}..{}\ndefaults: {{ permissions: [game.group{group}] }}\nroutes:\n", first + 999);
    for route in 0..ROUTES_A_GROUP {
        let method = group * ROUTES_A_GROUP + route;
        writeln!(
            text,
            "  {}:\n    name: game.route_{group}_{route}\n    rpc: bench.v{}.Service/Call{}\n    timeout: 2s\n    request_bytes_max: 16KiB\n    \
             permissions: {{ append: [game.route{route}] }}\n    rate_limits: {{ append: [per_room] }}\n    redact: [request.inner.note]",
            first + route,
            method / METHODS_A_FILE % FILES,
            method % METHODS_A_FILE
        )
        .expect("writing to a String cannot fail");
    }
    (format!("routes/group{group}.yaml"), text)
}

fn median(mut rounds: Vec<f64>) -> f64 {
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}
