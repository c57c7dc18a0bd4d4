//! Two configurations, and what is said of the difference.

use std::path::PathBuf;

use super::{Effect, View, compare};
use crate::config::{self, Environment, LoadOptions};
use crate::files::Files;
use crate::proto::Pools;
use crate::table::compile::{Context, compile};
use crate::table::plan::Plan;

const ROUTES: &str = r"
version: 1
descriptors: [{ proto: ../proto }]
backends: { echo: { builtin: echo } }
rate_limits:
  plenty: { key: [caller], rate: 10/s, burst: 10 }
  few: { key: [caller], rate: 1/s, burst: 1 }
permissions: { roles: { player: { grant: [game.*] }, admin: { grant: ['**'] }, banned: { deny: ['**'] } } }
defaults: { backend: echo, rate_limits: [plenty], timeout: 4s }
routes:
  1001: { name: open, rpc: t.S/Call, access: anonymous }
  1002: { name: known, rpc: t.S/Call, redact: [request.text], set: { request.user: session.user } }
  1003: { name: play, rpc: t.S/Call, permissions: [game.play], rate_limits: { append: [few] } }
  1004: { name: plain, rpc: t.S/Call }
pushes:
  1009: { name: said, message: t.Reply }
topics:
  'room/{id}': { join: effect, pushes: [1009] }
  'news/{id}': { join: game.play, pushes: [1009] }
";

const PROTO: &str = "syntax = \"proto3\";\npackage t;\nservice S { rpc Call(Request) returns (Reply); rpc Many(Request) returns (stream Reply); }\nmessage Request { string text = 1; string user = 2; }\nmessage Reply { string text = 1; }\n";

const GATEWAY: &str = "version: 1\n";

/// A plan of these files, which are sound.
fn plan(routes: &str, gateway: &str, proto: &str) -> Plan {
    let leak = |text: &str| -> &'static str { text.to_owned().leak() };
    let files = vec![("routes/routes.yaml", leak(routes)), ("routes/gateway.yaml", leak(gateway)), ("proto/t.proto", leak(proto))];
    let files = Files::in_memory(files.leak());
    let options = LoadOptions { folder: PathBuf::from("routes"), environment: Environment::Development, variables: &|_| None };
    let (mut document, mut report) = config::load(&files, &options);
    let compiled = compile(&mut document, &files, &Pools::default(), &Context::default(), None, &mut report);
    compiled.plan.unwrap_or_else(|| {
        panic!("{}", crate::diagnostic::render::human(&report, &document.sources, crate::diagnostic::render::Color::Plain))
    })
}

/// What is said of the difference of two plans.
fn said(before: &Plan, after: &Plan) -> Vec<(Effect, String)> {
    compare(&View::from(before), &View::from(after)).changes.into_iter().map(|change| (change.effect, change.what)).collect()
}

/// What is said when one text in the routes becomes another.
fn changed(from: &str, to: &str) -> Vec<(Effect, String)> {
    assert!(ROUTES.contains(from), "{from}");
    said(&plan(ROUTES, GATEWAY, PROTO), &plan(&ROUTES.replace(from, to), GATEWAY, PROTO))
}

fn is(effect: Effect, what: &str) -> (Effect, String) {
    (effect, what.to_owned())
}

#[test]
fn what_is_written_otherwise_and_means_the_same_is_no_difference() {
    assert_eq!(changed("version: 1\n", "version: 1\n# a comment\n"), []);
    assert_eq!(changed("timeout: 4s", "timeout: 4000ms"), []);
    assert_eq!(changed("[game.*]", "['game.*']"), []);
    assert_eq!(changed("room/{id}", "room/{room}"), [], "what a part of a topic is called is nobody's business");
}

#[test]
fn a_route_that_is_gone_or_has_another_number_breaks() {
    assert_eq!(
        changed("  1002: { name: known", "  1005: { name: known")[0],
        is(Effect::Breaks, "route 1002 `known` has another number, 1005")
    );
    let gone = ROUTES.lines().filter(|line| !line.starts_with("  1002:")).collect::<Vec<_>>().join("\n");
    assert_eq!(said(&plan(ROUTES, GATEWAY, PROTO), &plan(&gone, GATEWAY, PROTO)), [is(Effect::Breaks, "route 1002 `known` is gone")]);
    let new = "route 1002 `known` is new; `player`, `banned`, `admin` and whoever is logged in, without any role, may call it";
    assert_eq!(said(&plan(&gone, GATEWAY, PROTO), &plan(ROUTES, GATEWAY, PROTO)), [is(Effect::Changes, new)]);
}

#[test]
fn a_route_that_speaks_otherwise_breaks() {
    let streams = ROUTES.replace("t.S/Call, access", "t.S/Many, access");
    let streams =
        said(&plan(&ROUTES.replace(", timeout: 4s", ""), GATEWAY, PROTO), &plan(&streams.replace(", timeout: 4s", ""), GATEWAY, PROTO));
    assert_eq!(streams[0], is(Effect::Breaks, "route 1001 `open` is server_stream, and was unary"));
    let quiet = changed("access: anonymous }", "access: anonymous, reply: on_failure }");
    assert_eq!(quiet, [is(Effect::Breaks, "route 1001 `open` answers no longer when a call succeeds")]);
}

#[test]
fn a_call_that_clients_repeat_must_stay_repeatable() {
    let safe =
        PROTO.replace("rpc Call(Request) returns (Reply);", "rpc Call(Request) returns (Reply) { option idempotency_level = IDEMPOTENT; }");
    let breaks = |routes: &str| {
        let said = said(&plan(ROUTES, GATEWAY, &safe), &plan(routes, GATEWAY, PROTO));
        said.into_iter().filter(|(effect, _)| *effect == Effect::Breaks).map(|(_, what)| what).collect::<Vec<_>>()
    };
    let lost = breaks(ROUTES);
    assert_eq!(lost[0], "calls of route 1001 `open` may no longer be repeated, by its `idempotency_level`");
    assert_eq!(lost.len(), 4);
    assert_eq!(
        breaks(&ROUTES.replace("timeout: 4s", "timeout: 4s, idempotent: true")),
        Vec::<String>::new(),
        "the route says that they may"
    );
    let won = said(&plan(ROUTES, GATEWAY, PROTO), &plan(ROUTES, GATEWAY, &safe));
    assert!(won.iter().all(|(effect, _)| *effect == Effect::Changes), "{won:?}");
}

#[test]
fn every_pair_of_a_role_and_a_route_that_opens_or_closes_is_told() {
    let opened = changed("player: { grant: [game.*] }", "player: { grant: [game.*] }, vip: { inherit: [player] }");
    assert_eq!(opened, [is(Effect::Opens, "`vip` may call 1003 `play`")], "everything else it could call without being declared");
    assert_eq!(changed("grant: [game.*]", "grant: [other.*]")[0], is(Effect::Closes, "`player` may no longer call 1003 `play`"));
    let all = changed("permissions: [game.play], ", "");
    assert_eq!(
        all,
        [
            is(Effect::Opens, "`banned` may call 1003 `play`"),
            is(Effect::Opens, "whoever is logged in, without any role, may call 1003 `play`"),
            is(Effect::Changes, "`permissions` is not there any more, and was game.play"),
        ],
        "a denial is of a permission"
    );
    let anonymous = changed("name: plain, rpc: t.S/Call", "name: plain, rpc: t.S/Call, access: anonymous");
    assert_eq!(anonymous[0], is(Effect::Opens, "`access` is anonymous, and was authenticated"));
    assert_eq!(anonymous[1], is(Effect::Opens, "`anonymous` may call 1004 `plain`"));
    let closed = changed("access: anonymous", "access: authenticated");
    assert!(closed.iter().all(|(effect, _)| *effect == Effect::Closes) && closed.len() == 2, "{closed:?}");
}

#[test]
fn what_opens_is_said_to() {
    for (from, to, what) in [
        ("set: { request.user: session.user }", "timeout: 4s", "`set.request.user` is not there any more"),
        ("redact: [request.text], ", "", "`redact` is not there any more"),
        ("access: anonymous", "access: anonymous, validate: false", "`validate` is false"),
        ("permissions: [game.play]", "permissions: [game.play], forward_token: true", "`forward_token` is true"),
        ("permissions: [game.play]", "permissions: [game.play], metadata: [x-color]", "`metadata` is x-color"),
    ] {
        let said = changed(from, to);
        assert!(matches!(&*said, [(Effect::Opens, said)] if said.starts_with(what)), "{said:?}");
    }
}

#[test]
fn limits_and_bounds_are_looser_or_tighter() {
    for (from, to, effect, what) in [
        ("rate_limits: { append: [few] }", "timeout: 4s", Effect::Loosens, "the rate limit `few` does not hold any more"),
        ("rate: 1/s", "rate: 2/s", Effect::Loosens, "the rate limit `few` lets 2/s through, and let 1/s"),
        ("rate: 1/s, burst: 1", "rate: 1/s, burst: 1, mode: dry_run", Effect::Loosens, "the rate limit `few` refuses nobody any more"),
        ("access: anonymous", "access: anonymous, request_bytes_max: 1KiB", Effect::Tightens, "`request_bytes_max` is 1KiB, and was 64KiB"),
        ("access: anonymous", "access: anonymous, timeout: 9s", Effect::Loosens, "`timeout` is 9s, and was 4s"),
        ("access: anonymous", "access: anonymous, rate_limits: { append: [few] }", Effect::Tightens, "the rate limit `few` holds"),
    ] {
        let said = changed(from, to);
        assert!(matches!(&*said, [(found, said)] if *found == effect && said.starts_with(what)), "{to}: {said:?}");
    }
}

#[test]
fn what_a_default_does_to_many_routes_is_one_line() {
    let (before, after) = (plan(ROUTES, GATEWAY, PROTO), plan(&ROUTES.replace("timeout: 4s", "timeout: 5s"), GATEWAY, PROTO));
    let changes = compare(&View::from(&before), &View::from(&after)).changes;
    let [change] = &*changes else { panic!("{changes:?}") };
    assert_eq!((change.what.as_str(), change.routes.len()), ("`timeout` is 5s, and was 4s", 4));
}

#[test]
fn a_message_is_told_once_with_every_route_that_reaches_it() {
    let shorter = PROTO.replace("string text = 1; string user = 2;", "string user = 2;").replace("redact", "");
    let routes = ROUTES.replace("redact: [request.text], ", "");
    let (before, after) = (plan(&routes, GATEWAY, PROTO), plan(&routes, GATEWAY, &shorter));
    let comparison = compare(&View::from(&before), &View::from(&after));
    let [change] = &*comparison.changes else { panic!("{:?}", comparison.changes) };
    assert_eq!((change.effect, change.routes.len()), (Effect::Breaks, 4));
    let place = change.place.expect("a route reaches it");
    assert_eq!(after.explained.file_and_line(place), ("routes/routes.yaml".to_owned(), 11));
    assert!(comparison.is_breaking());

    let pushed = PROTO.replace("message Reply { string text = 1; }", "message Reply { int32 text = 1; }");
    let comparison = compare(&View::from(&before), &View::from(&plan(&routes, GATEWAY, &pushed)));
    assert_eq!(comparison.changes[0].routes.len(), 5, "the push is one of them");
}

#[test]
fn pushes_and_topics_that_clients_know_are_kept() {
    let renumbered = ROUTES.replace("  1009: { name: said", "  1008: { name: said").replace("pushes: [1009]", "pushes: [1008]");
    let told = said(&plan(ROUTES, GATEWAY, PROTO), &plan(&renumbered, GATEWAY, PROTO));
    assert_eq!(told[0], is(Effect::Breaks, "push 1009 `said` has another number, 1008"));
    assert_eq!(
        changed("  'news/{id}': { join: game.play, pushes: [1009] }\n", ""),
        [is(Effect::Breaks, "the topic `news/{id}` is gone, which clients may ask for")]
    );
    assert_eq!(changed("  'room/{id}': { join: effect, pushes: [1009] }\n", ""), [is(Effect::Changes, "the topic `room/{id}` is gone")]);
    assert_eq!(changed("join: effect", "join: game.play")[0].0, Effect::Opens);
    let room = |more: &str| changed("join: effect, pushes: [1009]", &format!("join: effect, {more}"));
    let changes = |what: &str| [is(Effect::Changes, what)];
    assert_eq!(room("pushes: []"), changes("the topic `room/{id}` no longer carries push 1009"));
    assert_eq!(room("pushes: [1009], history: { count: 5, age: 1m }"), changes("the topic `room/{id}` keeps a history, and kept none"));
    assert_eq!(room("pushes: [1009], presence: true"), changes("the topic `room/{id}` knows who is in it, and did not"));
}

#[test]
fn of_the_process_what_clients_notice_is_compared() {
    let gateway = |more: &str| said(&plan(ROUTES, GATEWAY, PROTO), &plan(ROUTES, &format!("{GATEWAY}{more}\n"), PROTO));
    assert_eq!(gateway("listen: { path: /other }"), [is(Effect::Breaks, "clients connect at `/other`, and did at `/ws`")]);
    assert_eq!(
        gateway("origins: ['https://a.example']"),
        [
            is(Effect::Opens, "pages of `https://a.example` may connect"),
            is(Effect::Closes, "it is no longer so that pages of the gateway's own host may connect")
        ]
    );
    assert_eq!(gateway("reload: { watch: false }"), [is(Effect::Changes, "`reload.watch` is another")]);
    assert_eq!(gateway("drain: { grace: 1s }"), [is(Effect::Changes, "`drain` is another")]);
    assert_eq!(gateway("listen: { address: '127.0.0.1:1' }"), [is(Effect::Changes, "`listen.address` is another, which needs a restart")]);
    assert_eq!(gateway("connections: { inflight_max: 8 }"), [is(Effect::Tightens, "`connections.inflight_max` is 8, and was 32")]);
    assert_eq!(
        changed("echo: { builtin: echo }", "echo: { builtin: echo }, other: { builtin: echo }"),
        [is(Effect::Changes, "the backend `other` is new")]
    );
}

#[test]
fn who_gets_which_roles_by_which_word_is_compared() {
    let between = |was: &str, is: &str| {
        let of = |more: &str| plan(ROUTES, &format!("{GATEWAY}auth: {{ {more} }}\n"), PROTO);
        said(&of(was), &of(is))
    };
    let opens = |what: &str| is(Effect::Opens, what);
    assert_eq!(
        between("accounts: { default_roles: [player] }", "accounts: { default_roles: [admin] }"),
        [opens("a new account has the role `admin`"), is(Effect::Closes, "it is no longer so that a new account has the role `player`")]
    );
    let key = |user: &str, digit: &str, roles: &str| {
        format!("api_keys: [{{ name: ci, user: {user}, hash: 'sha256:{}', roles: [{roles}] }}]", digit.repeat(64))
    };
    let one = key("a", "1", "player");
    assert_eq!(between(&one, &one), []);
    assert_eq!(between(&one, &key("a", "1", "player, admin")), [opens("the API key `ci` has the role `admin`")]);
    assert_eq!(between(&one, &key("b", "1", "player")), [opens("the API key `ci` is `b`'s, and was `a`'s")]);
    assert_eq!(between(&one, &key("a", "2", "player")), [opens("the API key `ci` is another one")]);
    let issuer = |audience: &str, more: &str| {
        format!("issuers: [{{ issuer: x, audience: [{audience}], algorithm: EdDSA, jwks: 'https://x.example/keys'{more} }}]")
    };
    let one = issuer("a", "");
    assert_eq!(between(&one, &one), []);
    assert_eq!(between(&one, &issuer("a, b", "")), [opens("tokens of `x` for `b` are believed")]);
    assert_eq!(between(&one, &issuer("a", ", default_roles: [admin]")), [opens("a token of `x` that lists no roles has `admin`")]);
    assert_eq!(
        between(&one, &issuer("a", ", roles: claims.roles")),
        [opens("the roles in tokens of `x` are read from `claims.roles`, and were read nowhere")]
    );
    assert_eq!(between(&one, &one.replace("/keys", "/others")), [opens("tokens of `x` are believed by another key")]);
}

#[test]
fn networks_from_which_endpoints_may_register_are_compared() {
    let of = |allow: &str| {
        let backend = format!(
            "backends: {{ echo: {{ builtin: echo }}, far: {{ grpc: {{ registry: {{ token: 0123456789abcdef0123, allow: ['{allow}'] }} }} }} }}"
        );
        let routes = ROUTES.replace("backends: { echo: { builtin: echo } }", &backend);
        plan(&routes, &format!("{GATEWAY}push: {{ token: 0123456789abcdef }}\n"), PROTO)
    };
    assert_eq!(said(&of("10.0.0.0/8"), &of("10.0.0.0/8")), []);
    assert_eq!(
        said(&of("10.0.0.0/8"), &of("0.0.0.0/0")),
        [
            is(Effect::Opens, "endpoints in `0.0.0.0/0` may register for `far`"),
            is(Effect::Closes, "it is no longer so that endpoints in `10.0.0.0/8` may register for `far`")
        ]
    );
}

#[test]
fn numbers_that_are_exchanged_break() {
    let plain = |known: &str, play: &str| {
        let routes = ROUTES.lines().map(|line| match line {
            line if line.starts_with("  1003:") => format!("  1003: {{ {known} }}\n"),
            line if line.starts_with("  1004:") => format!("  1004: {{ {play} }}\n"),
            line => format!("{line}\n"),
        });
        let proto = PROTO.replace("rpc Many", "rpc Other(Request) returns (Reply); rpc Many");
        plan(&routes.collect::<String>(), GATEWAY, &proto)
    };
    let (call, other) = ("name: one, rpc: t.S/Call", "name: two, rpc: t.S/Other");
    let found = said(&plain(call, other), &plain(other, call));
    assert_eq!(
        found[..2],
        [is(Effect::Breaks, "route 1003 `one` has another number, 1004"), is(Effect::Breaks, "route 1004 `two` has another number, 1003")]
    );
    let renamed = said(&plain(call, other), &plain("name: two, rpc: t.S/Call", "name: one, rpc: t.S/Other"));
    assert!(renamed.iter().all(|(effect, _)| *effect == Effect::Changes), "what they are called is nothing to clients: {renamed:?}");
}
