//! `init`: what it writes passes `check` as it is, whatever the descriptors say; nothing is written over, and all of it is written or none.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use prost::Message as _;

use crate::support::folder_with;

fn protogate(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_protogate")).args(arguments).current_dir(folder).env_remove("GATEWAY_MODE").output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn init(folder: &Path, arguments: &[&str]) -> String {
    let output = protogate(folder, &[&["init"], arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    said(&output)
}

fn passes(folder: &Path, config: &str) -> String {
    let mut summary = String::new();
    for environment in ["development", "testing"] {
        let checked = protogate(folder, &["check", "--deny-warnings", "--config", config, "--env", environment]);
        assert_eq!(checked.status.code(), Some(0), "{environment}: {}", said(&checked));
        summary = said(&checked);
    }
    summary
}

const GREETER: &str = "
syntax = \"proto3\";
package hello.v1;
// Greets.
service Greeter {
  // Says hello.
  rpc SayHello(Request) returns (Reply);
  rpc KeepSaying(Request) returns (stream Reply);
  rpc Old(Request) returns (Reply) { option deprecated = true; }
  rpc Read(Request) returns (Reply) { option idempotency_level = NO_SIDE_EFFECTS; }
}
service Empty {}
message Request { string name = 1; string password = 2; string user_id = 3; Inner inner = 4; }
message Inner { bytes api_key = 1; Inner inner = 2; }
message Reply { string access_token = 1; }
";

const HOSTILE: &str = "
syntax = \"proto3\";
package yes.on;
import \"buf/validate/validate.proto\";
message M {
  string s = 1 [(buf.validate.field).string.min_len = 3];
  string c = 2 [(buf.validate.field).cel = { id: \"x\", expression: \"this != ''\" }];
  string evil = 3 [json_name = \"'; touch evil; '\"];
}
/* routes: {}
   --- !!tag &anchor *alias ${var.x} \u{2028}routes: []
   # yaml-language-server: $schema=http://evil */
service Null { rpc Yes(M) returns (M); rpc YES(M) returns (stream M); rpc yes(M) returns (M); rpc _(stream M) returns (stream M); }
service null { rpc Off(M) returns (M); }
service Yes { rpc On(M) returns (M); }
service On { rpc On(M) returns (M); }
service Y { rpc N(M) returns (M); }
";

#[test]
fn every_method_has_a_route_with_what_its_file_says_of_it() {
    let folder = folder_with(&[("protos/hello.proto", GREETER)]);
    let told = init(folder.path(), &["--from", "protos", "--endpoint", "http://127.0.0.1:50051"]);
    assert!(told.starts_with("routes: 3 routes of 1 service, in 3 files\n"), "{told}");
    assert!(!told.contains("CHANGE THIS"));
    assert!(passes(folder.path(), "routes").contains("3 routes"));
    let routes = fs::read_to_string(folder.path().join("routes/routes.yaml")).unwrap();
    for line in [
        "  - proto: ../protos\n",
        "  greeter: { grpc: { endpoints: [\"http://127.0.0.1:50051\"] } }\n",
        "  permissions: [hello.v1.greeter.call]\n",
        "  # Says hello.\n  1001:\n    name: greeter.say_hello\n    rpc: hello.v1.Greeter/SayHello\n    redact: [request.password, request.inner.api_key, response.access_token]\n    # If `user_id` is who calls, let the gateway write it:\n    # set: { request.user_id: session.user }\n",
        "  # Answers with a stream.\n  1002:\n",
        "  # Deprecated, and not routed:\n  # 1003: { name: greeter.old, rpc: hello.v1.Greeter/Old }\n",
        "  # May be repeated, by its `idempotency_level`.\n  1004:\n",
    ] {
        assert!(routes.contains(line), "{line} is not in\n{routes}");
    }
    assert!(!routes.contains("anonymous"), "that everybody may call stands in the overlay for development alone");
}

#[test]
fn whatever_names_and_comments_are_like_it_passes() {
    let package_less = "syntax = \"proto3\"; message N {} service NoPackage { rpc Go(N) returns (N); }";
    let twin = "syntax = \"proto3\"; package x; import \"a.proto\"; service Null { rpc Yes(yes.on.M) returns (yes.on.M); }";
    let folder = folder_with(&[("protos/a.proto", HOSTILE), ("protos/n.proto", package_less), ("protos/deep/x.proto", twin)]);
    for access in ["development", "anonymous", "authenticated"] {
        let told = init(folder.path(), &["--from", "protos", "--out", access, "--access", access]);
        assert!(told.contains("10 routes of 7 services"), "{told}");
        assert!(!told.contains("touch evil"), "what is printed can be pasted: {told}");
        assert!(passes(folder.path(), access).contains("10 routes"));
        assert_eq!(folder.path().join(access).join("routes.development.yaml").exists(), access == "development");
    }
    let group = fs::read_to_string(folder.path().join("development/3000_yes_on_null.yaml")).unwrap();
    assert!(group.contains("# yaml-language-server $schema"), "an editor does not obey what a comment says: {group}");
    assert!(!group.contains('\u{2028}'));
    let permissions = ["3000_yes_on_null.yaml", "7000_yes_on_null_2.yaml"].map(|name| {
        let text = fs::read_to_string(folder.path().join("development").join(name)).unwrap();
        text.lines().find(|line| line.contains("permissions:")).unwrap().to_owned()
    });
    assert_eq!(
        permissions,
        ["  permissions: [yes.on.null.call]", "  permissions: [yes.on.null_2.call]"],
        "each service is permitted by itself"
    );
}

#[test]
fn a_set_serves_as_well_and_a_service_may_have_more_methods_than_a_share() {
    use prost_types::source_code_info::Location;
    use prost_types::{
        DescriptorProto, FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto, ServiceDescriptorProto, SourceCodeInfo,
    };
    let method = |number: usize| MethodDescriptorProto {
        name: Some(format!("Do{number}")),
        input_type: Some(".many.M".to_owned()),
        output_type: Some(".many.M".to_owned()),
        ..MethodDescriptorProto::default()
    };
    let service = |name: &str, methods: usize| ServiceDescriptorProto {
        name: Some(name.to_owned()),
        method: (0..methods).map(method).collect(),
        ..ServiceDescriptorProto::default()
    };
    // Whoever compiles a set may keep what its files say.
    let says = Location { path: vec![6, 0, 2, 1199], leading_comments: Some(" The last one.\n".to_owned()), ..Location::default() };
    let file = FileDescriptorProto {
        name: Some("many.proto".to_owned()),
        package: Some("many".to_owned()),
        syntax: Some("proto3".to_owned()),
        message_type: vec![DescriptorProto { name: Some("M".to_owned()), ..DescriptorProto::default() }],
        service: vec![service("A", 1200), service("B", 1), service("Empty", 0)],
        source_code_info: Some(SourceCodeInfo { location: vec![says] }),
        ..FileDescriptorProto::default()
    };
    let folder = folder_with(&[]);
    fs::write(folder.path().join("many.binpb"), FileDescriptorSet { file: vec![file] }.encode_to_vec()).unwrap();
    let told = init(folder.path(), &["--from", "many.binpb", "--start", "5000", "--out", "in/there"]);
    assert!(told.contains("1201 routes of 2 services") && told.contains("protogate serve --config in/there"), "{told}");
    assert!(passes(folder.path(), "in/there").contains("1201 routes"));
    let names: Vec<String> = ["5000_a.yaml", "7000_b.yaml"].map(str::to_owned).to_vec();
    let first = fs::read_to_string(folder.path().join("in/there").join(&names[0])).unwrap();
    assert!(first.contains("numbers: 5000..6999\n") && first.contains("  # The last one.\n  6200:\n    name: a.do1199\n"));
    assert!(folder.path().join("in/there").join(&names[1]).exists());
}

#[test]
fn nothing_is_written_over_and_nothing_is_left_of_what_failed() {
    let folder = folder_with(&[
        ("protos/hello.proto", GREETER),
        ("broken/a.proto", "syntax = \"proto3\"; message {"),
        ("routes/routes.yaml", "mine"),
    ]);
    let refused = protogate(folder.path(), &["init", "--from", "protos"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("these are there already:\n  routes/routes.yaml\n"), "{}", said(&refused));
    assert_eq!(fs::read_to_string(folder.path().join("routes/routes.yaml")).unwrap(), "mine");
    let broken = protogate(folder.path(), &["init", "--from", "broken", "--out", "new"]);
    assert_eq!(broken.status.code(), Some(1));
    assert!(said(&broken).contains("error[PG030]") && said(&broken).contains("nothing is written"), "{}", said(&broken));
    let printed = init(folder.path(), &["--from", "protos", "--out", "new", "--dry-run"]);
    assert!(printed.contains("# === routes.yaml ===") && printed.contains("name: greeter.say_hello"));
    for (arguments, code, why) in [
        (["init", "--from", "nowhere"], 66, "cannot be read"),
        (["init", "--from", "localhost:50051"], 66, "a server is named by its URL: http://localhost:50051"),
        (["init", "--from", "ftp://x:1"], 64, "neither `http` nor `https`"),
        (["init", "--from", "routes"], 1, "holds no .proto file"),
    ] {
        let refused = protogate(folder.path(), &arguments);
        assert_eq!(refused.status.code(), Some(code), "{}", said(&refused));
        assert!(said(&refused).contains(why), "{}", said(&refused));
    }
    let mut left: Vec<String> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    left.retain(|name| name != "proto");
    left.sort();
    assert_eq!(left, ["broken", "protos", "routes"]);
}

#[test]
fn without_descriptors_it_is_the_shipped_configuration() {
    let folder = folder_with(&[]);
    init(folder.path(), &["--out", "mine"]);
    assert!(passes(folder.path(), "mine").contains("26 routes"));
    let first = fs::read_to_string(folder.path().join("mine/routes.yaml")).unwrap();
    assert!(first.starts_with("# What the gateway routes.") && first.contains("  - proto: proto\n"), "{first}");
}
