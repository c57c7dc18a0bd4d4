//! The protocol reference: every example in it is a message that the gateway reads, whatever comments say is words, what clients do not
//! see is not in it, and the one in docs/ is that of the shipped configuration.

use std::fs;
use std::path::Path;

use protogate::author::reference::Reference;
use protogate::config::Environment;
use protogate::proto::{self, MessageType, Pools};
use protogate::reload::{self, Inputs, Origin};
use protogate::table::compile::Context;
use protogate::table::plan::Plan;
use protogate::wire::Codec;

use crate::support::{folder_with, top};

/// Every kind of method, of type and of field, and comments that would like to be more than that.
const PROTO: &str = r#"
syntax = "proto3";
package chess.v1;
import "buf/validate/validate.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/any.proto";
import "google/protobuf/empty.proto";
service Chess {
  // Plays a move. See `Move`.
  //
  // <script>alert(1)</script> | a bar, *stars*, [a link](http://x), ```
  rpc Play(Move) returns (Moved);
  rpc Watch(Game) returns (stream Moved) { option deprecated = true; }
  rpc Record(stream Move) returns (google.protobuf.Empty);
  rpc Talk(stream Move) returns (stream Moved);
}
message Game { string id = 1; }
// What is played.
message Move {
  // # Where from.
  string from_square = 1 [(buf.validate.field).string.len = 2];
  Piece piece = 2;
  string user_id = 3;
  string password = 4;
  optional uint64 clock_ms = 5;
  oneof how { string spoken = 6; bytes drawn = 7; }
  map<string, Game> games = 8;
  map<int32, bool> flags = 9;
  repeated Move variations = 10 [deprecated = true];
  google.protobuf.Timestamp at = 11;
  google.protobuf.Value anything = 12;
  google.protobuf.Any any = 13;
  string evil = 14 [json_name = "\"><img src=x onerror=alert(2)>`|\u202e"];
}
enum Piece { PIECE_UNSPECIFIED = 0; /* | <b>A pawn</b> */ PIECE_PAWN = 1; }
message Moved { Move move = 1; repeated Piece taken = 2; double rating = 3; }
"#;

const ROUTES: &str = r#"
version: 1
descriptors: [{ proto: ../chess }]
backends: { hidden_backend: { grpc: { endpoints: ["http://10.9.8.7:50051"] } } }
rate_limits:
  hidden_limit: { key: [request.user_id, peer.ip], rate: 30/min, burst: 5 }
permissions:
  roles: { player: { grant: ["chess.**"] }, watcher: { grant: [chess.watch] } }
topics:
  "game/{id}": { join: effect, history: { count: 10, bytes: 1KiB, age: 5m }, pushes: [5101] }
defaults: { backend: hidden_backend, permissions: [chess.watch] }
routes:
  5001:
    name: chess.play
    rpc: chess.v1.Chess/Play
    permissions: { replace: [chess.play] }
    rate_limits: [hidden_limit]
    set: { request.user_id: session.user }
    redact: [request.password]
    metadata: [x-board]
    on_success: { subscribe: "game/${request.from_square}" }
  5002: { name: chess.watch, rpc: chess.v1.Chess/Watch }
  5003: { name: chess.record, rpc: chess.v1.Chess/Record }
  5004: { name: chess.talk, rpc: chess.v1.Chess/Talk }
pushes:
  5101: { name: chess.moved, message: chess.v1.Moved }
  5102: { name: chess.kept, message: chess.v1.Game, delivery: durable }
"#;

fn plan(origin: Origin) -> Plan {
    let inputs = Inputs { origin, environment: Environment::Development, variables: Box::new(|_| None), context: Context::default() };
    let checked = reload::check(&inputs, None, &Pools::default());
    let told = protogate::diagnostic::render::lines(&checked.report, &checked.sources);
    checked.plan.unwrap_or_else(|| panic!("{told:?}"))
}

fn chess() -> Plan {
    let folder = folder_with(&[("chess/chess.proto", PROTO), ("routes/routes.yaml", ROUTES)]);
    plan(Origin::Folder(folder.path().join("routes")))
}

/// Compares with a file of the repository, or with UPDATE=1 writes it.
fn compare(text: &str, file: &Path) {
    if std::env::var_os("UPDATE").is_some() {
        fs::write(file, text).unwrap();
    }
    let kept = fs::read_to_string(file).unwrap_or_default();
    assert!(kept == text, "{} is not current: UPDATE=1 writes it", file.display());
}

/// Reads every example as the gateway would, with the types of its number.
fn read_all(plan: &Plan) -> usize {
    let reference = Reference::of(plan, "Reference");
    let mut read = 0;
    // What goes on by its id alone belongs to the number before it.
    let mut number = 0;
    for example in reference.examples() {
        let envelope = Codec::Json.decode(example.as_bytes()).unwrap_or_else(|problem| panic!("{}: {example}", problem.what));
        number = if envelope.protocol == 0 { number } else { envelope.protocol };
        let types: Vec<&MessageType> = match plan.routes.iter().find(|route| route.number.0 == number) {
            Some(route) => vec![&route.method.input, &route.method.output],
            None => plan.pushes.iter().filter(|push| push.number.0 == number).map(|push| &push.message).collect(),
        };
        let payload: serde_json::Value = serde_json::from_str::<serde_json::Value>(example).unwrap()["payload"].clone();
        if !payload.is_null() {
            let fits = types.iter().any(|kind| proto::from_json(kind, &payload.to_string(), &mut Vec::new()).is_ok());
            assert!(fits, "{number} does not take {payload}");
            read += 1;
        }
    }
    read
}

#[test]
fn every_example_is_a_message_that_the_gateway_reads() {
    assert!(read_all(&plan(Origin::Shipped)) > 50);
    assert!(read_all(&chess()) >= 9);
}

#[test]
fn the_reference_of_a_small_table_is_as_it_was() {
    let reference = Reference::of(&chess(), "Chess");
    compare(&reference.markdown(), &top().join("tests/reference/chess.md"));
    assert_eq!(reference.html(), Reference::of(&chess(), "Chess").html(), "the same table makes the same text");
}

#[test]
fn what_comments_say_is_words_and_what_clients_do_not_see_is_left_out() {
    let reference = Reference::of(&chess(), "<script>title</script>");
    let (page, text) = (reference.html(), reference.markdown());
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt; | a bar"));
    assert!(text.contains(r"\<script\>alert(1)\</script\> \| a bar, \*stars\*, \[a link\](http://x), \`\`\`"));
    for told in [&page, &text] {
        for hidden in ["hidden_backend", "hidden_limit", "10.9.8.7", "\u{202e}", "chess.v1.Chess/"] {
            assert!(!told.contains(hidden), "{hidden} is told");
        }
    }
    for evil in ["<script>alert", "<img src=x", "<b>A pawn", "<script>title"] {
        assert!(!page.contains(evil), "{evil}");
    }
    assert_eq!(page.matches("<script").count(), 1, "its own, and no other");
}

#[test]
fn the_reference_of_the_shipped_configuration_is_current() {
    compare(&Reference::of(&plan(Origin::Shipped), "Protocol reference").markdown(), &top().join("docs/reference.md"));
}
