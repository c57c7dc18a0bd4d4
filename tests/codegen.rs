//! A client that is written by the program: what lies in the folder then, and what is left alone. That it works is shown by
//! tests/python/test_typescript.py.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::{ECHO, folder_with, top};

fn codegen(folder: &Path, arguments: &[&str]) -> Output {
    let all = [&["codegen", "typescript", "--out", "client"], arguments].concat();
    Command::new(env!("CARGO_BIN_EXE_protogate")).args(all).current_dir(folder).env_remove("GATEWAY_MODE").output().unwrap()
}

fn said(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8([&*output.stdout, &*output.stderr].concat()).unwrap())
}

fn read(folder: &Path, path: &str) -> String {
    fs::read_to_string(folder.join("client").join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

const COLLIDING: &str = r#"
syntax = "proto2";
package odd.v1;
service Odd { rpc Ask(Asked) returns (Asked); }
message Asked { optional string room_id = 1; optional string roomId = 2 [json_name = "other"]; }
"#;

const ODD: &str = r"
version: 1
descriptors: [{ proto: ../proto }]
backends: { odd: { grpc: { endpoints: ['http://127.0.0.1:1'] } } }
routes:
  5001: { name: odd.ask, rpc: odd.v1.Odd/Ask, backend: odd }
";

#[test]
fn a_client_for_the_shipped_routes_has_all_of_them() {
    let folder = folder_with(&[]);
    let output =
        codegen(folder.path(), &["--config", top().join("routes").to_str().unwrap(), "--name", "@acme/game", "--package-version", "1.2.3"]);
    let (code, text) = said(&output);
    assert_eq!(code, Some(0), "{text}");
    let manifest: serde_json::Value = serde_json::from_str(&read(folder.path(), "package.json")).unwrap();
    assert_eq!((manifest["name"].as_str(), manifest["version"].as_str()), (Some("@acme/game"), Some("1.2.3")));
    let (routes, client) = (read(folder.path(), "src/routes.ts"), read(folder.path(), "src/client.ts"));
    assert!(
        routes.contains("gameJoinRoom")
            && routes.contains("number: 2003")
            && client.contains("joinRoom: method(this, routes.gameJoinRoom)")
    );
    assert!(routes.contains("Takes a seat."), "what the .proto file says of a method");
    assert!(routes.lines().any(|line| line.contains("authLogout") && line.contains("leaves: true")), "logging out ends the session");
    assert!(read(folder.path(), "src/pushes.ts").contains("gameEvent"));
    assert!(!folder.path().join("client/src/messages/protogate/push").exists(), "what services say is not for clients");

    let again =
        codegen(folder.path(), &["--config", top().join("routes").to_str().unwrap(), "--name", "@acme/game", "--package-version", "1.2.3"]);
    assert!(said(&again).1.contains(" 0 of them new or changed"), "{}", said(&again).1);
}

#[test]
fn what_was_not_generated_is_left_and_what_is_of_no_use_is_named() {
    let folder = folder_with(&[("routes/routes.yaml", ECHO), ("client/src/index.ts", "export const mine = 1;\n")]);
    let (code, text) = said(&codegen(folder.path(), &[]));
    assert!(code == Some(1) && text.contains("index.ts") && text.contains("was not generated"), "{text}");
    assert!(!folder.path().join("client/package.json").exists(), "all or nothing");
    assert_eq!(read(folder.path(), "src/index.ts"), "export const mine = 1;\n");

    fs::remove_file(folder.path().join("client/src/index.ts")).unwrap();
    assert_eq!(said(&codegen(folder.path(), &[])).0, Some(0));
    let old = read(folder.path(), "src/index.ts");
    fs::write(folder.path().join("client/src/old.ts"), old).unwrap();
    let (code, text) = said(&codegen(folder.path(), &[]));
    assert!(code == Some(0) && text.contains("client/src/old.ts: was generated once"), "{text}");
}

#[test]
fn names_that_typescript_cannot_have_and_mistakes_are_said() {
    let folder = folder_with(&[("routes/routes.yaml", ODD), ("proto/odd.proto", COLLIDING)]);
    let (code, text) = said(&codegen(folder.path(), &[]));
    assert!(code == Some(1) && text.contains("`odd.v1.Asked`") && text.contains("`roomId`"), "{code:?} {text}");
    assert_eq!(said(&codegen(folder.path(), &["--name", "../evil"])).0, Some(64));
    assert_eq!(said(&codegen(folder.path(), &["--package-version", "one"])).0, Some(64));
    fs::write(folder.path().join("routes/routes.yaml"), ODD.replace("rpc:", "rcp:")).unwrap();
    let (code, text) = said(&codegen(folder.path(), &[]));
    assert!(code == Some(1) && text.contains("error[PG"), "{text}");
    assert!(!folder.path().join("client").exists());
}
