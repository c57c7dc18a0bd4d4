//! What a configuration comes to: files with layers, overlays and variables, compiled to a plan and looked at.

use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;
use protogate::backend::{BalancePolicy, EndpointSpec, Source, SpecKind};
use protogate::config::{self, Environment, LoadOptions};
use protogate::diagnostic::render::{self, Color};
use protogate::diagnostic::{Report, Sources};
use protogate::files::Files;
use protogate::pipeline::signer::Signer;
use protogate::proto::Pools;
use protogate::push::rules::Delivery;
use protogate::session::OnSlow;
use protogate::session::roster::WhenFull;
use protogate::table::compile::{Context, compile};
use protogate::table::plan::{Access, BackendsPlan, HashPlan, LogPayload, Plan, RoutePlan, SessionValue};

const PROTO: &str = r#"
syntax = "proto3";
package game.v1;
service Game {
  rpc Join(JoinRequest) returns (JoinReply);
  rpc Leave(LeaveRequest) returns (LeaveReply);
}
message JoinRequest { string user_id = 1; string address = 2; Room room = 3; string password = 4; }
message Room { string id = 1; }
message JoinReply {}
message LeaveRequest { string user_id = 1; string address = 2; Room room = 3; }
message LeaveReply {}
"#;

const GATEWAY: &str = r#"
version: 1
listen: { address: 127.0.0.1:7080, workers: 2 }
connections: { message_bytes_max: 256KiB, outbox_bytes_max: 256KiB, auth_timeout: 30s }
telemetry: { log: { format: json, level: debug } }
reload: { watch: false, debounce: 500ms }
"#;

const ROUTES: &str = r#"
version: 1
include: [game.yaml]
vars:
  game_host: { env: GAME_HOST, default: "127.0.0.1:50051" }
  burst: { env: BURST, type: integer, default: 40 }
descriptors:
  - proto: ../proto
backends:
  auth: { builtin: echo }
  game: { grpc: { endpoints: ["http://${var.game_host}"], connect_timeout: 2s } }
permissions:
  roles:
    player: { grant: ["game.**", "chat.**"] }
    guest: { inherit: [player], deny: [chat.shout] }
rate_limits:
  per_caller: { key: [caller], rate: 20/s, burst: "${var.burst}" }
  per_route: { key: [route], rate: 5000/s }
  per_room: { key: [peer.ip, request.room.id], rate: 5/min, mode: dry_run }
defaults:
  backend: auth
  timeout: 3s
  request_bytes_max: 16KiB
  permissions: [game.play]
  rate_limits: [per_caller]
  set: { request.user_id: session.user }
  log: { slow: 200ms }
routes:
  1001: { name: game.plain, rpc: game.v1.Game/Leave }
"#;

const GAME: &str = r#"
numbers: 2000..2999
defaults:
  backend: game
  timeout: 5s
  permissions: { append: [game.fight] }
  rate_limits: { append: [per_route] }
  set: { request.address: peer.ip }
  metadata: [x-client-version]
routes:
  2001: { name: game.leave, rpc: game.v1.Game/Leave }
  2002:
    name: game.join
    rpc: game.v1.Game/Join
    timeout: 1s
    permissions: { replace: [chat.say] }
    rate_limits: { append: [per_room] }
    metadata: { append: [x-build] }
    redact: [request.password]
    reply: on_failure
    log: { payload: failures }
  2003: { name: game.open, rpc: game.v1.Game/Leave, forward_token: true, rate_limits: { replace: [per_route] }, expose_errors: false }
"#;

const GAME_TESTING: &str = r#"
routes:
  game.join: { timeout: 10s, rate_limits: { replace: [per_room] } }
"#;

/// Loads and compiles, and holds that there is a plan exactly when there is no error.
fn plan_of(files: &[(&'static str, String)], environment: Environment, variables: &[(&str, &str)]) -> (Option<Plan>, Report, Sources) {
    let files: Vec<(&'static str, &'static str)> = files.iter().map(|(path, text)| (*path, &*text.clone().leak())).collect();
    let files = Files::in_memory(files.leak());
    let lookup = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    let (mut document, mut report) =
        config::load(&files, &LoadOptions { folder: PathBuf::from("routes"), environment, variables: &lookup });
    let compiled = compile(&mut document, &files, &Pools::default(), &Context::default(), None, &mut report);
    assert_eq!(compiled.plan.is_some(), !report.has_errors(), "{}", render::human(&report, &document.sources, Color::Plain));
    (compiled.plan, report, document.sources)
}

fn written() -> Vec<(&'static str, String)> {
    let files = [
        ("proto/game.proto", PROTO),
        ("routes/gateway.yaml", GATEWAY),
        ("routes/routes.yaml", ROUTES),
        ("routes/game.yaml", GAME),
        ("routes/game.testing.yaml", GAME_TESTING),
    ];
    files.map(|(path, text)| (path, text.to_owned())).to_vec()
}

fn plan(environment: Environment, variables: &[(&str, &str)]) -> Plan {
    let (plan, report, sources) = plan_of(&written(), environment, variables);
    assert!(report.is_empty(), "{}", render::human(&report, &sources, Color::Plain));
    plan.unwrap()
}

fn route(plan: &Plan, number: u32) -> &RoutePlan {
    plan.routes.iter().find(|route| route.number.0 == number).unwrap()
}

/// The one backend of a route.
fn only(route: &RoutePlan) -> usize {
    let BackendsPlan::One(backend) = route.backends else { panic!("it has one") };
    backend
}

fn permissions(plan: &Plan, number: u32) -> Vec<&str> {
    route(plan, number).permissions.iter().map(|(_, name)| &**name).collect()
}

fn limits(plan: &Plan, number: u32) -> Vec<&str> {
    route(plan, number).limits.iter().map(|used| &*plan.limits[used.limit].name).collect()
}

fn stamps(plan: &Plan, number: u32) -> Vec<SessionValue> {
    route(plan, number).stamps.iter().map(|(_, value)| *value).collect()
}

#[test]
fn a_route_is_what_its_layers_come_to() {
    let plan = plan(Environment::Development, &[]);

    let plain = route(&plan, 1001);
    assert_eq!((&*plan.backends[only(plain)].name, plain.timeout, plain.request_bytes_max), ("auth", Duration::from_secs(3), 16 << 10));
    assert_eq!((permissions(&plan, 1001), limits(&plan, 1001)), (vec!["game.play"], vec!["per_caller"]));
    assert_eq!((stamps(&plan, 1001), plain.metadata.len()), (vec![SessionValue::User], 0));
    assert_eq!((plain.reply_bytes_max, plain.access, plain.answers_success), (256 << 10, Access::Authenticated, true));
    assert_eq!((plain.log.slow, plain.log.payload), (Duration::from_millis(200), LogPayload::None));
    // Where nothing is said and every listener is on loopback, a developer sees what went wrong.
    assert!(plain.expose_errors && !plain.forward_token);

    let leave = route(&plan, 2001);
    assert_eq!((&*plan.backends[only(leave)].name, leave.timeout), ("game", Duration::from_secs(5)));
    assert_eq!(permissions(&plan, 2001), ["game.play", "game.fight"]);
    assert_eq!(limits(&plan, 2001), ["per_caller", "per_route"]);
    assert_eq!(stamps(&plan, 2001), [SessionValue::User, SessionValue::PeerIp]);

    let join = route(&plan, 2002);
    assert_eq!((join.timeout, join.request_bytes_max, join.answers_success), (Duration::from_secs(1), 16 << 10, false));
    assert_eq!(permissions(&plan, 2002), ["chat.say"]);
    assert_eq!(limits(&plan, 2002), ["per_caller", "per_route", "per_room"]);
    assert_eq!(join.metadata.iter().map(|key| &**key).collect::<Vec<_>>(), ["x-client-version", "x-build"]);
    assert_eq!((join.log.slow, join.log.payload), (Duration::from_millis(200), LogPayload::Failures));
    assert_eq!(join.limits[2].fields, [0], "the room is the one value that the walk takes out");

    let open = route(&plan, 2003);
    assert_eq!(limits(&plan, 2003), ["per_route"]);
    assert!(open.forward_token && !open.expose_errors);
}

#[test]
fn an_overlay_changes_a_route_by_name_and_nothing_else() {
    let (below, plan) = (plan(Environment::Development, &[]), plan(Environment::Testing, &[]));
    assert_eq!((route(&plan, 2002).timeout, limits(&plan, 2002)), (Duration::from_secs(10), vec!["per_room"]));
    assert_eq!(permissions(&plan, 2002), ["chat.say"]);
    for number in [1001, 2001, 2003] {
        assert_eq!((route(&plan, number).timeout, limits(&plan, number)), (route(&below, number).timeout, limits(&below, number)));
    }
    assert_eq!(plan.catalogue_hash, below.catalogue_hash, "clients see no difference");
}

#[test]
fn variables_reach_endpoints_and_numbers() {
    for (variables, host, port, burst) in
        [(&[][..], "127.0.0.1", 50051, 40), (&[("GAME_HOST", "game.internal:9000"), ("BURST", "7")][..], "game.internal", 9000, 7)]
    {
        let plan = plan(Environment::Development, variables);
        let game = plan.backends.iter().find(|backend| &*backend.name == "game").unwrap();
        let SpecKind::Grpc(game) = &game.kind else { panic!("game is a gRPC service") };
        let Source::Static(endpoints) = &game.source else { panic!("its endpoints are listed") };
        assert_eq!((&*endpoints[0].host, endpoints[0].port, game.connect_timeout), (host, port, Duration::from_secs(2)));
        let per_caller = plan.limits.iter().find(|limit| &*limit.name == "per_caller").unwrap();
        assert_eq!((per_caller.count.get(), per_caller.burst.get()), (20, burst));
    }
}

#[test]
fn endpoints_and_routes_say_how_calls_are_shared() {
    let routes = ROUTES.replace(
        r#"game: { grpc: { endpoints: ["http://${var.game_host}"], connect_timeout: 2s } }"#,
        r#"game: { grpc: { endpoints: ["http://a:1", { url: "https://b:2", weight: 3, zone: west, version: "7" }] } }
  game_v2: { grpc: { endpoints: ["http://c:3"] }, balance: { policy: consistent_hash } }"#,
    );
    let routes = routes.replace("  game_host: { env: GAME_HOST, default: \"127.0.0.1:50051\" }\n", "");
    let game = GAME.replace("  backend: game\n", "  split: { game: 90, game_v2: 10 }\n  hash: request.room.id\n").replace(
        "  2001: { name: game.leave, rpc: game.v1.Game/Leave }",
        "  2001: { name: game.leave, rpc: game.v1.Game/Leave, backend: auth }",
    );
    let game = game.replace("forward_token: true,", "forward_token: true, hash: session.user, split: { game_v2: 0 },");
    let mut files = written();
    (files[2].1, files[3].1) = (routes, game);
    let (plan, report, sources) = plan_of(&files, Environment::Development, &[]);
    assert!(report.is_empty(), "{}", render::human(&report, &sources, Color::Plain));
    let plan = plan.unwrap();

    let grpc = |name: &str| match &plan.backends.iter().find(|backend| &*backend.name == name).unwrap().kind {
        SpecKind::Grpc(grpc) => grpc,
        SpecKind::Builtin(_) => panic!("{name} is a gRPC service"),
    };
    let heavy = EndpointSpec { weight: 3, zone: Some("west".into()), version: Some("7".into()), ..EndpointSpec::new("b", 2, true) };
    assert_eq!(grpc("game").source, Source::Static(vec![EndpointSpec::new("a", 1, false), heavy]));
    assert_eq!((grpc("game").balance, grpc("game_v2").balance), (BalancePolicy::LeastRequest, BalancePolicy::ConsistentHash));

    let shares = |number| match &route(&plan, number).backends {
        BackendsPlan::One(backend) => vec![(&*plan.backends[*backend].name, 0)],
        BackendsPlan::Split(split) => split.iter().map(|(backend, share)| (&*plan.backends[*backend].name, *share)).collect(),
    };
    assert_eq!(shares(2002), [("game", 90), ("game_v2", 10)]);
    assert_eq!(shares(2003), [("game", 90), ("game_v2", 0)], "shares of layers merge");
    assert_eq!(shares(2001), [("auth", 0)], "a backend takes the place of a split");
    // 2002 counts its limit by the same field; it is read once.
    assert_eq!((route(&plan, 2002).hash, &route(&plan, 2002).limits[2].fields), (Some(HashPlan::Field(0)), &vec![0]));
    assert_eq!(route(&plan, 2003).hash, Some(HashPlan::User));
    assert_eq!(route(&plan, 2001).hash, None, "no endpoint is chosen there");
}

#[test]
fn the_process_is_what_gateway_yaml_says() {
    let plan = plan(Environment::Development, &[]);
    assert_eq!((plan.fixed.listen.port(), plan.fixed.admin.port(), plan.fixed.workers), (7080, 7081, 2));
    assert!(plan.fixed.log_json && plan.settings.log_level == tracing::Level::DEBUG && !plan.settings.watch);
    assert_eq!((plan.settings.message_bytes_max, plan.settings.connections_max), (256 << 10, 20_000));
}

/// One edit of one line: its key, its value, or the whole of it.
#[derive(Clone, Debug)]
enum Change {
    Value(String),
    Key(String),
    Remove,
    Double,
    Indent,
    Word(usize, String),
}

fn change() -> impl Strategy<Value = Change> {
    let word = prop::sample::select(vec![
        "game",
        "gmae",
        "per_room",
        "2001",
        "0",
        "-1",
        "3s",
        "99999999999",
        "64KiB",
        "1GiB",
        "true",
        "null",
        "[]",
        "{}",
        "[a, b]",
        "{ append: [per_caller] }",
        "{ replace: [] }",
        "[game.play]",
        "session.user",
        "request.room",
        "request.room.id",
        "anonymous",
        "${var.burst}",
        "${var.none}",
        "127.0.0.1:0",
        "0.0.0.0:1",
        "../proto",
        "http://a:1",
        "https://a:1",
        "game.v1.Game/Join",
        "é😀",
        "\"",
        "'",
        "**",
        "game.v1.Room",
        "1000..1999",
        "backend",
        "access",
        "name",
        "routes",
        "defaults",
        "grpc",
    ]);
    let word = word.prop_map(str::to_owned);
    prop_oneof![
        word.clone().prop_map(Change::Value),
        word.clone().prop_map(Change::Key),
        Just(Change::Remove),
        Just(Change::Double),
        Just(Change::Indent),
        (any::<usize>(), word).prop_map(|(at, word)| Change::Word(at, word)),
    ]
}

fn changed(text: &str, at: prop::sample::Index, change: &Change) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let at = at.index(lines.len());
    let line = lines[at].clone();
    let (key, value) = line.split_once(": ").unwrap_or((&line, ""));
    lines[at] = match change {
        Change::Value(word) => format!("{key}: {word}"),
        Change::Key(word) => format!("{}{word}: {value}", " ".repeat(key.len() - key.trim_start().len())),
        Change::Remove => String::new(),
        Change::Double => format!("{line}\n{line}"),
        Change::Indent => format!("  {line}"),
        Change::Word(nth, word) => {
            let words: Vec<&str> = line.split_inclusive(' ').collect();
            let nth = nth % words.len().max(1);
            words.iter().enumerate().map(|(index, old)| if index == nth { format!("{word} ") } else { (*old).to_owned() }).collect()
        }
    };
    lines.join("\n") + "\n"
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_changed_there_is_a_plan_or_an_error(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), change()), 1..4),
        shipped in any::<bool>(),
        environment in prop::sample::select(Environment::ALL.to_vec()),
    ) {
        let mut files = if shipped {
            let read = |path: &'static str| (path, std::fs::read_to_string(path).unwrap());
            let process = ["routes/gateway.yaml", "routes/gateway.development.yaml"];
            let routes = ["routes/routes.yaml", "routes/auth.yaml", "routes/chat.yaml", "routes/game.yaml", "routes/notify.yaml"];
            let proto = [
                "proto/protogate/echo/v1/echo.proto",
                "proto/protogate/auth/v1/auth.proto",
                "proto/protogate/chat/v1/chat.proto",
                "proto/protogate/game/v1/game.proto",
                "proto/protogate/notify/v1/notify.proto",
                "proto/protogate/push/v1/push.proto",
            ];
            process.into_iter().chain(routes).chain(proto).map(read).collect()
        } else {
            written()
        };
        for (file, line, change) in &changes {
            let at = file.index(files.len());
            let text = &mut files[at].1;
            *text = changed(text, *line, change);
        }
        let (_, report, sources) = plan_of(&files, environment, &[]);
        render::human(&report, &sources, Color::Plain);
    }
}

/// What is said of `auth.signing`, and of the service that needs it, outside of development.
#[test]
fn whoever_signs_in_production_needs_a_key() {
    let routes = "version: 1\nbackends: { accounts: { builtin: auth } }\n";
    for environment in Environment::ALL {
        let files = vec![("routes/gateway.yaml", "version: 1\n"), ("routes/routes.yaml", routes)];
        let options = LoadOptions { folder: PathBuf::from("routes"), environment, variables: &|_| None };
        let files = Files::in_memory(files.leak());
        let (mut document, mut report) = config::load(&files, &options);
        compile(&mut document, &files, &Pools::default(), &Context::default(), None, &mut report);
        let found = report.sorted().iter().any(|finding| finding.message.contains("production needs a key that signs tokens"));
        assert_eq!(found, environment == Environment::Production, "{}", render::human(&report, &document.sources, Color::Plain));
    }
}

#[test]
fn how_tokens_are_signed_has_defaults_and_a_key_of_its_own_or_of_development() {
    let plan = |signing: &str, development: Option<Signer>| {
        let gateway: &'static str = format!("version: 1\n{signing}").leak();
        let key: &'static str = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_pem().leak();
        let files = vec![("routes/gateway.yaml", gateway), ("routes/routes.yaml", "version: 1\n"), ("routes/signing.pem", key)];
        let options = LoadOptions { folder: PathBuf::from("routes"), environment: Environment::Development, variables: &|_| None };
        let files = Files::in_memory(files.leak());
        let (mut document, mut report) = config::load(&files, &options);
        let context = Context { development, ..Context::default() };
        let plan = compile(&mut document, &files, &Pools::default(), &context, None, &mut report).plan;
        (plan.unwrap_or_else(|| panic!("{}", render::human(&report, &document.sources, Color::Plain))), key)
    };
    let (nothing, _) = plan("", None);
    assert!(nothing.tokens.signing.is_none());
    assert_eq!(&*nothing.settings.jwks, "{\"keys\":[]}");

    let development = Signer::generate();
    let (by_default, _) = plan("", Some(development.clone()));
    let signing = by_default.tokens.signing.unwrap();
    assert!(signing.signer.public() == development.public());
    assert_eq!((&*signing.issuer, &*signing.audience), ("protogate", "protogate"));
    assert_eq!((signing.access_ttl, signing.refresh_ttl), (Duration::from_secs(900), Duration::from_secs(30 * 86_400)));
    assert_eq!(by_default.tokens.issuers.iter().map(|spec| &*spec.issuer).collect::<Vec<_>>(), ["protogate-development", "protogate"]);

    let written = "auth: { signing: { key: signing.pem, issuer: game, access_ttl: 5m, refresh_ttl: 1h } }";
    let (by_file, key) = plan(written, Some(development));
    let signing = by_file.tokens.signing.unwrap();
    assert!(signing.signer.public() == Signer::from_pem(key.as_bytes()).unwrap().public());
    assert_eq!((&*signing.issuer, signing.access_ttl, signing.refresh_ttl), ("game", Duration::from_secs(300), Duration::from_secs(3600)));
    assert!(by_file.settings.jwks.contains(&signing.signer.public().id()));
}

#[test]
fn sessions_and_pushes_are_as_written_and_else_as_the_shipped_file_shows() {
    let gateway = format!("{GATEWAY}sessions: {{ per_user_max: 1, when_full: refuse, resume_window: 10s, ring_bytes_max: 1KiB }}\n");
    let pushes = format!(
        "{ROUTES}pushes:\n  2101: {{ name: game.left, message: game.v1.LeaveReply }}\n  \
         2102: {{ name: game.moved, message: game.v1.LeaveReply, delivery: best_effort, on_slow: drop_oldest }}\n"
    );
    let planned = |gateway: &str, routes: &str| {
        let files = written().into_iter().map(|(path, text)| match path {
            "routes/gateway.yaml" => (path, gateway.to_owned()),
            "routes/routes.yaml" => (path, routes.to_owned()),
            _ => (path, text),
        });
        let (plan, report, sources) = plan_of(&files.collect::<Vec<_>>(), Environment::Development, &[]);
        plan.unwrap_or_else(|| panic!("{}", render::human(&report, &sources, Color::Plain)))
    };
    let said = planned(&gateway, &pushes);
    let sessions = said.settings.sessions;
    assert_eq!((sessions.per_user_max, sessions.when_full, sessions.ring_bytes_max), (1, WhenFull::Refuse, 1024));
    assert_eq!(sessions.resume_window, Duration::from_secs(10));
    let push = &said.pushes[0];
    assert_eq!((push.number.0, &*push.name, push.message.name()), (2101, "game.left", "game.v1.LeaveReply"));
    assert_eq!(push.delivery.name(), "session", "where nothing is said");
    assert!(matches!(said.pushes[1].delivery, Delivery::BestEffort(OnSlow::DropOldest)));

    let silent = planned(GATEWAY, ROUTES);
    let sessions = silent.settings.sessions;
    assert_eq!((sessions.per_user_max, sessions.when_full, sessions.ring_bytes_max), (8, WhenFull::ReplaceOldest, 64 << 10));
    assert_eq!((sessions.resume_window, silent.pushes.len()), (Duration::from_secs(120), 0));
}
