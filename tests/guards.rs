//! Guards: other services that decide whether a call may happen, and what becomes of a call when they do not.

use prost::Message as _;
use protogate::services::echo::v1::EchoRequest;
use serde_json::{Value, json};

use crate::support::TestGateway;
use crate::support::client::TestClient;
use crate::support::guard::TestGuard;
use crate::support::mirror::Mirror;
use crate::support::openmetrics::{scrape, value};

/// A guarded mirror, by number: denied without a decision, allowed without one, a guard that is not there, with both rules, one that
/// lies, two guards of which one decides, one that sees the payload.
const ROUTES: &str = r#"
version: 1
descriptors: [{ proto: ../proto }]
backends:
  mirror: { grpc: { endpoints: ["http://MIRROR"] } }
  guard: { grpc: { endpoints: ["http://GUARD"] } }
  nobody: { grpc: { endpoints: ["http://127.0.0.1:1"] } }
rate_limits: { plenty: { key: [caller], rate: 100000/s, burst: 100000 } }
permissions: { roles: { player: { grant: [game.play] } } }
defaults:
  backend: mirror
  access: anonymous
  rate_limits: [plenty]
  metadata: [x-ask]
  guards: [{ rpc: protogate.guard.v1.Guard/Check, backend: guard, timeout: 2s, metadata: [x-tenant] }]
routes:
  2001: { name: guarded, rpc: protogate.echo.v1.EchoService/Echo }
  2002:
    name: open
    rpc: protogate.echo.v1.EchoService/Echo
    guards: { replace: [{ rpc: protogate.guard.v1.Guard/Check, backend: guard, timeout: 2s, when_unavailable: allow }] }
  2003:
    name: nobody.deny
    rpc: protogate.echo.v1.EchoService/Echo
    guards: { replace: [{ rpc: protogate.guard.v1.Guard/Check, backend: nobody }] }
  2004:
    name: nobody.allow
    rpc: protogate.echo.v1.EchoService/Echo
    guards: { replace: [{ rpc: protogate.guard.v1.Guard/Check, backend: nobody, when_unavailable: allow }] }
  2005:
    name: lied_to
    rpc: protogate.echo.v1.EchoService/Echo
    guards: { replace: [{ rpc: test.v1.Liar/Check, backend: guard }] }
  2006:
    name: twice
    rpc: protogate.echo.v1.EchoService/Echo
    guards: { append: [{ rpc: protogate.guard.v1.Guard/Check, backend: nobody }] }
  2007:
    name: seen
    rpc: protogate.echo.v1.EchoService/Echo
    access: authenticated
    permissions: [game.play]
    set: { request.text: session.user }
    guards: { replace: [{ rpc: protogate.guard.v1.Guard/Check, backend: guard, send_payload: true }] }
  2008: { name: unguarded, rpc: protogate.echo.v1.EchoService/Echo, guards: { replace: [] } }
"#;

const LIAR: &str = r#"
syntax = "proto3";
package test.v1;
import "protogate/guard/v1/guard.proto";
service Liar { rpc Check(protogate.guard.v1.CheckRequest) returns (protogate.guard.v1.CheckResponse); }
"#;

struct World {
    guard: TestGuard,
    gateway: TestGateway,
    client: TestClient,
    _mirror: Mirror,
}

impl World {
    async fn start() -> World {
        let (mirror, guard) = (Mirror::start("mirror").await, TestGuard::start().await);
        let routes = ROUTES.replace("MIRROR", &mirror.address.to_string()).replace("GUARD", &guard.address.to_string());
        let process = "version: 1\nreload: { watch: false }\n";
        let files = [("routes/gateway.yaml", process), ("routes/routes.yaml", routes.as_str()), ("proto/liar.proto", LIAR)];
        let gateway = TestGateway::start_with(&files);
        let client = TestClient::connect(gateway.edge()).await;
        World { guard, gateway, client, _mirror: mirror }
    }

    /// Calls, with a word for the guard, and has the mirror say which tenant and user it was told.
    async fn ask(&mut self, protocol: u32, word: &str) -> Value {
        let call = json!({
            "protocol": protocol, "id": 7, "metadata": { "x-ask": word }, "payload": { "text": "tell x-tenant protogate-user x-ask" }
        });
        self.client.say(call.to_string()).await;
        let answer = self.client.hear_message().await;
        assert_eq!(answer["id"], 7, "{answer}");
        answer
    }

    async fn refused(&mut self, protocol: u32, word: &str) -> (u64, String, String) {
        let status = self.ask(protocol, word).await["status"].take();
        let text = |key: &str| status[key].as_str().unwrap_or_default().to_owned();
        (status["code"].as_u64().unwrap_or_default(), text("reason"), text("message"))
    }

    async fn passed(&mut self, protocol: u32, word: &str) -> String {
        let answer = self.ask(protocol, word).await;
        answer["payload"]["text"].as_str().unwrap_or_else(|| panic!("expected a reply, heard {answer}")).to_owned()
    }
}

#[tokio::test]
async fn a_call_happens_when_its_guard_allows_it_and_not_when_it_does_not() {
    let mut world = World::start().await;
    assert_eq!(world.passed(2001, "fine").await, "- - fine");
    assert_eq!(world.refused(2001, "deny").await, (7, "GUARD_DENIED".into(), "a guard of this route does not allow this call".into()));
    assert_eq!(world.refused(2001, "explain").await, (9, "OUT_OF_CREDIT".into(), "buy a coin".into()));
    let status = world.ask(2001, "explain").await["status"].take();
    assert_eq!(status["retryAfterMs"], 1500, "{status}");
    assert_eq!(world.refused(2001, "abort").await, (7, "PERMISSION_DENIED".into(), "not you".into()));
    assert_eq!(world.guard.asked().len(), 5);
    assert_eq!(world.passed(2008, "deny").await, "- - deny", "a route may have no guard");
    assert!(world.guard.asked().is_empty());
}

#[tokio::test]
async fn without_a_decision_a_call_is_refused_or_goes_on_as_the_route_says() {
    let mut world = World::start().await;
    for word in ["slow", "fail", "panic", "mumble", "forge", "extra"] {
        let (code, reason, message) = world.refused(2001, word).await;
        assert_eq!((code, &*reason), (14, "GUARD_UNAVAILABLE"), "{word}: {message}");
        assert!(!message.contains("secret") && message.contains("`guarded`"), "{message}");
        assert_eq!(world.passed(2002, word).await, format!("- - {word}"), "nothing of a bad answer reaches the service");
    }
    assert_eq!(world.refused(2003, "").await.1, "GUARD_UNAVAILABLE");
    assert_eq!(world.passed(2004, "fine").await, "- - fine");
    assert_eq!(world.refused(2005, "").await.1, "GUARD_UNAVAILABLE");
    for word in ["deny", "abort"] {
        assert_eq!(world.refused(2002, word).await.0, 7, "a no is a no, also where the guard may be missing");
    }
    let now = scrape(&world.gateway).await;
    let missed = |guard| value(&now, &format!("protogate_guard_misses_total{{guard=\"{guard}\"}}"));
    assert_eq!((missed("protogate.guard.v1.Guard/Check"), missed("test.v1.Liar/Check")), (14.0, 1.0));
}

#[tokio::test]
async fn who_was_in_too_much_of_a_hurry_for_the_guard_is_told_so() {
    let mut world = World::start().await;
    for protocol in [2001, 2002] {
        let call =
            json!({ "protocol": protocol, "id": 7, "deadlineMs": 50, "metadata": { "x-ask": "slow" }, "payload": { "text": "hello" } });
        world.client.say(call.to_string()).await;
        assert_eq!(world.client.hear_message().await["status"]["reason"], "DEADLINE_EXCEEDED");
    }
}

#[tokio::test]
async fn every_guard_must_allow_and_the_first_no_is_told() {
    let mut world = World::start().await;
    assert_eq!(world.refused(2006, "deny").await.1, "GUARD_DENIED");
    assert_eq!(world.refused(2006, "fine").await.1, "GUARD_UNAVAILABLE");
}

#[tokio::test]
async fn what_a_guard_adds_reaches_the_service_and_no_client_can_say_it() {
    let mut world = World::start().await;
    assert_eq!(world.passed(2001, "tenant").await, "blue - tenant");
    assert_eq!(world.passed(2001, "fine").await, "- - fine", "it holds for its call alone");
    let call = json!({ "protocol": 2001, "id": 8, "metadata": { "x-tenant": "red" }, "payload": {} });
    world.client.say(call.to_string()).await;
    assert_eq!(world.client.hear_message().await["status"]["reason"], "METADATA_REFUSED");
}

#[tokio::test]
async fn a_guard_is_told_who_asks_for_what_and_only_what_passed_everything_else() {
    let mut world = World::start().await;
    assert_eq!(world.refused(2007, "").await.1, "UNAUTHENTICATED");
    assert!(world.guard.asked().is_empty(), "nobody is asked about what is refused anyway");

    world.passed(2001, "fine").await;
    let anonymous = world.guard.asked().remove(0);
    assert_eq!((&*anonymous.user, anonymous.roles.len(), &*anonymous.session, anonymous.payload.len()), ("", 0, "", 0));

    let token = world.gateway.token("alice", &["player"]);
    world.client = TestClient::connect_as(world.gateway.edge(), &token).await;
    let answer = world.ask(2007, "fine").await;
    assert!(answer["payload"]["text"].as_str().unwrap().ends_with("alice"), "{answer}");
    let question = world.guard.asked().remove(0);
    assert_eq!((question.protocol, &*question.route, &*question.rpc), (2007, "seen", "protogate.echo.v1.EchoService/Echo"));
    assert_eq!((&*question.user, question.roles, &*question.peer_ip), ("alice", vec!["player".to_owned()], "127.0.0.1"));
    assert!(!question.session.is_empty());
    assert_eq!(question.metadata, [("x-ask".to_owned(), "fine".to_owned())].into());
    assert_eq!(EchoRequest::decode(question.payload).unwrap().text, "alice", "as the service reads it, stamped");

    let other = world.gateway.token("bob", &["guest"]);
    world.client = TestClient::connect_as(world.gateway.edge(), &other).await;
    assert_eq!(world.refused(2007, "fine").await.1, "PERMISSION_DENIED");
    assert!(world.guard.asked().is_empty());
}
