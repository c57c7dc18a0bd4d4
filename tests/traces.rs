//! Traces: where a call has been, told to a collector; who has a call traced, and how many.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::TestClient;
use crate::support::collector::{Collector, Instrumented, Seen};
use crate::support::guard::TestGuard;
use crate::support::mirror::Mirror;
use crate::support::streams::{PROTO, Tapper, Taps};
use crate::support::{PATIENCE, TestGateway, reload};

const CLIENTS: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// `gateway.yaml` that exports there.
fn process(collector: &Collector, more: &str) -> String {
    format!("version: 1\nreload: {{ watch: false }}\ntelemetry: {{ otlp: {{ endpoint: \"http://{}\", {more} }} }}\n", collector.address)
}

/// Routes to a backend: 9001 says nothing of traces, 9002 is guarded, 9003 may be repeated.
fn routes(backend: &str, guard: &str) -> String {
    format!(
        "version: 1
descriptors: [{{ proto: ../proto }}]
backends:
  there: {{ grpc: {{ endpoints: [\"http://{backend}\"] }} }}
  guard: {{ grpc: {{ endpoints: [\"http://{guard}\"] }} }}
rate_limits: {{ plenty: {{ key: [caller], rate: 100000/s, burst: 100000 }}, once: {{ key: [caller], rate: 1/h, burst: 1 }} }}
defaults: {{ backend: there, access: anonymous, rate_limits: [plenty] }}
routes:
  9001: {{ name: plain, rpc: protogate.echo.v1.EchoService/Echo }}
  9002:
    name: guarded
    rpc: protogate.echo.v1.EchoService/Echo
    guards: [{{ rpc: protogate.guard.v1.Guard/Check, backend: guard }}]
  9003: {{ name: again, rpc: protogate.echo.v1.EchoService/Echo, idempotent: true, retry: {{ backoff: {{ min: 1ms, max: 5ms }} }} }}
  9004: {{ name: chosen, rpc: protogate.echo.v1.EchoService/Echo, trace: {{ sample: 100% }} }}
  9005: {{ name: quiet, rpc: protogate.echo.v1.EchoService/Echo, trace: {{ sample: 0%, errors: false }} }}
  9006: {{ name: limited, rpc: protogate.echo.v1.EchoService/Echo, rate_limits: {{ replace: [once] }} }}
  9007: {{ name: known, rpc: protogate.echo.v1.EchoService/Echo, access: authenticated }}
"
    )
}

fn start(process: &str, routes: &str) -> TestGateway {
    TestGateway::start_with(&[("routes/gateway.yaml", process), ("routes/routes.yaml", routes)])
}

async fn start_with_mirror(collector: &Collector, more: &str) -> (Mirror, TestGateway, TestClient) {
    let mirror = Mirror::start("mirror").await;
    let gateway = start(&process(collector, more), &routes(&mirror.address.to_string(), "127.0.0.1:1"));
    let client = TestClient::connect(gateway.edge()).await;
    (mirror, gateway, client)
}

async fn say(client: &mut TestClient, protocol: u32, traceparent: &str, text: &str) -> Value {
    client.say(json!({ "protocol": protocol, "id": 1, "traceparent": traceparent, "payload": { "text": text } }).to_string()).await;
    client.hear_message().await
}

fn named<'s>(spans: &'s [Seen], name: &str) -> Vec<&'s Seen> {
    spans.iter().filter(|span| span.name == name).collect()
}

fn one<'s>(spans: &'s [Seen], name: &str) -> &'s Seen {
    let found = named(spans, name);
    assert_eq!(found.len(), 1, "one `{name}` of {spans:#?}");
    found[0]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_trace_shows_the_whole_path_of_a_call_and_the_services_span_below_its_attempt() {
    let (collector, guard) = (Collector::start().await, TestGuard::start().await);
    let service = Instrumented::start(&collector).await;
    let routes = routes(&service.address.to_string(), &guard.address.to_string());
    let gateway = start(&process(&collector, "sample: 100%, service_name: edge.eu, headers: { x-tenant: blue }"), &routes);
    let mut client = TestClient::connect(gateway.edge()).await;

    // The client's own context is where it begins; that the client samples is not what decides.
    let told = say(&mut client, 9002, &CLIENTS.replace("-01", "-00"), "hello").await["payload"]["text"].as_str().unwrap().to_owned();
    let spans = collector.wait_for(1, "guarded").await;
    let (whole, attempt, asked) =
        (one(&spans, "guarded"), one(&spans, "protogate.echo.v1.EchoService/Echo"), one(&spans, "protogate.guard.v1.Guard/Check"));
    let (admit, queue, guarded, write) = (one(&spans, "admit"), one(&spans, "queue"), one(&spans, "guard"), one(&spans, "write"));
    let work = one(&spans, "work");
    assert!(spans.iter().all(|span| span.trace == "0af7651916cd43dd8448eb211c80319c"), "{spans:#?}");
    assert_eq!(whole.parent, "b7ad6b7169203331", "the client's span is its parent");
    assert!([admit, queue, guarded, attempt, write].iter().all(|part| part.parent == whole.id), "{spans:#?}");
    assert_eq!((&asked.parent, &work.parent), (&guarded.id, &attempt.id));
    assert_eq!(told, format!("00-{}-{}-01", whole.trace, attempt.id), "the service is told that it is sampled");
    assert_eq!((whole.kind, attempt.kind, asked.kind, admit.kind), (2, 3, 3, 1), "server, client, client, internal");

    // One thing after the other, from the message that was read to the reply.
    let order = [whole.began, admit.began, admit.ended, queue.began, queue.ended, guarded.began, guarded.ended, attempt.began];
    assert!(order.is_sorted() && [attempt.began, attempt.ended, write.began, write.ended, whole.ended].is_sorted(), "{spans:#?}");

    let says = |span: &Seen, key: &str| span.attributes.get(key).cloned().unwrap_or_default();
    let keys = [
        "rpc.system",
        "rpc.service",
        "rpc.method",
        "rpc.grpc.status_code",
        "protogate.route",
        "protogate.protocol",
        "protogate.generation",
    ];
    assert_eq!(keys.map(|key| says(whole, key)), ["grpc", "protogate.echo.v1.EchoService", "Echo", "0", "guarded", "9002", "1"]);
    let keys = ["rpc.grpc.status_code", "protogate.backend", "protogate.attempt", "server.address", "server.port"];
    assert_eq!(keys.map(|key| says(attempt, key)), ["0", "there", "1", "127.0.0.1", &service.address.port().to_string()]);
    assert_eq!(says(asked, "protogate.backend"), "guard");
    assert_eq!(whole.resource["service.name"], "edge.eu");
    assert_eq!(collector.header("x-tenant"), ["blue"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_attempt_has_a_span_and_tells_the_service_its_own() {
    let collector = Collector::start().await;
    let (_mirror, _gateway, mut client) = start_with_mirror(&collector, "sample: 100%").await;
    assert_eq!(say(&mut client, 9003, "", "shy 1 alice").await["payload"]["text"], "2 1 -");
    let spans = collector.wait_for(1, "again").await;
    let attempts = named(&spans, "protogate.echo.v1.EchoService/Echo");
    assert_eq!(attempts.len(), 2, "{spans:#?}");
    assert_ne!(attempts[0].id, attempts[1].id);
    assert_eq!(attempts.iter().map(|span| span.failed.as_deref()).collect::<Vec<_>>(), [Some("UNAVAILABLE"), None]);
    assert!(attempts[0].ended <= attempts[1].began);
    assert_eq!(attempts.iter().map(|span| &*span.attributes["protogate.attempt"]).collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(one(&spans, "again").failed, None, "the call did well");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_are_traced_when_asked_for_although_nothing_is_sampled() {
    let collector = Collector::start().await;
    let (_mirror, _gateway, mut client) = start_with_mirror(&collector, "sample: 0%, errors: true").await;
    let unsampled = say(&mut client, 9001, "", "tell traceparent").await["payload"]["text"].as_str().unwrap().to_owned();
    assert!(unsampled.ends_with("-00"), "nobody knows that it will not fail: {unsampled}");
    // No fault: the service says no, a limit says no; and a route that is not asked for.
    say(&mut client, 9001, "", "fail 9 canary").await;
    say(&mut client, 9006, "", "hi").await;
    assert_eq!(say(&mut client, 9006, "", "hi").await["status"]["reason"], "RATE_LIMITED");
    say(&mut client, 9005, "", "fail 13 canary").await;
    // A fault, with a client's own context and without.
    say(&mut client, 9001, "", "fail 13 canary").await;
    say(&mut client, 9001, CLIENTS, "fail 14 canary").await;
    let spans = collector.wait_for(2, "plain").await;
    let failed = named(&spans, "plain");
    assert_eq!(failed.len(), 2, "{spans:#?}");
    assert!(failed.iter().all(|span| span.failed.as_deref() == Some("BACKEND")), "{failed:#?}");
    assert_eq!(failed[1].parent, "b7ad6b7169203331");
    assert_eq!(spans.iter().filter(|span| span.parent.is_empty() || span.parent == "b7ad6b7169203331").count(), 2, "{spans:#?}");
    assert!(!collector.everything().contains("canary"), "what a service says is in no span");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_refused_is_traced_as_far_as_it_came() {
    let collector = Collector::start().await;
    let (_mirror, _gateway, mut client) = start_with_mirror(&collector, "sample: 100%").await;
    say(&mut client, 9007, "", "hi").await;
    let spans = collector.wait_for(1, "known").await;
    assert_eq!(spans.len(), 2, "{spans:#?}");
    let (whole, admit) = (one(&spans, "known"), one(&spans, "admit"));
    assert_eq!(whole.attributes["protogate.reason"], "UNAUTHENTICATED");
    assert_eq!(whole.failed, None, "it is its caller's fault");
    assert_eq!(admit.failed.as_deref(), Some("UNAUTHENTICATED"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_have_nothing_traced_unless_they_may_and_then_no_more_than_that() {
    let collector = Collector::start().await;
    let (_mirror, gateway, mut client) = start_with_mirror(&collector, "sample: 0%, errors: true").await;
    for _ in 0..20 {
        let told = say(&mut client, 9001, CLIENTS, "tell traceparent").await;
        assert_eq!(told["payload"]["text"], CLIENTS, "it goes on as it came");
    }
    gateway.write("routes/gateway.yaml", &process(&collector, "sample: 0%, clients: true, errors: true, unsampled_max: 3/h"));
    assert_eq!(reload(&gateway).await.0, 200);
    let mut told = Vec::new();
    for _ in 0..20 {
        told.push(say(&mut client, 9001, CLIENTS, "tell traceparent").await["payload"]["text"].as_str().unwrap().to_owned());
        // Faults are made as easily: a client has only to be in a hurry.
        client.say(json!({ "protocol": 9001, "id": 1, "deadlineMs": 1, "payload": { "text": "slow 50" } }).to_string()).await;
        assert_eq!(client.hear_message().await["status"]["reason"], "DEADLINE_EXCEEDED");
    }
    assert!(told.iter().all(|told| told[..36] == CLIENTS[..36]), "{told:?}");
    assert!((1..=3).contains(&told.iter().filter(|told| **told != CLIENTS).count()), "{told:?}");
    // What comes after them shows that nothing came before.
    say(&mut client, 9004, "", "last").await;
    let spans = collector.wait_for(1, "chosen").await;
    assert_eq!(named(&spans, "plain").len(), 3, "{spans:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_switches_it_off_and_on_and_to_another_collector() {
    let (collector, other) = (Collector::start().await, Collector::start().await);
    let (_mirror, gateway, mut client) = start_with_mirror(&collector, "sample: 100%").await;
    assert_ne!(say(&mut client, 9001, "", "tell traceparent").await["payload"]["text"], "-");
    collector.wait_for(1, "plain").await;

    gateway.write("routes/gateway.yaml", "version: 1\nreload: { watch: false }\n");
    assert_eq!(reload(&gateway).await.0, 200);
    assert_eq!(say(&mut client, 9001, "", "tell traceparent").await["payload"]["text"], "-");
    assert_eq!(say(&mut client, 9001, CLIENTS, "tell traceparent").await["payload"]["text"], CLIENTS);

    gateway.write("routes/gateway.yaml", &process(&other, "sample: 100%"));
    assert_eq!(reload(&gateway).await.0, 200);
    say(&mut client, 9003, "", "hello").await;
    let spans = other.wait_for(1, "again").await;
    assert_eq!((named(&spans, "plain").len(), collector.spans().iter().filter(|span| span.name == "again").count()), (0, 0));
    assert_eq!(named(&collector.spans(), "plain").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_away_holds_nobody_up_and_hears_what_waited() {
    let gone = Collector::start().await;
    let address = gone.address.to_string();
    let (_mirror, gateway, mut client) = start_with_mirror(&gone, "sample: 100%").await;
    drop(gone);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let began = tokio::time::Instant::now();
    for _ in 0..50 {
        assert!(say(&mut client, 9001, "", "hello").await["payload"].is_object());
    }
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    // It is back before it was given up, and is not ready at once.
    let collector = Collector::start_at(&address).await;
    collector.refuse(1);
    assert_eq!(named(&collector.wait_for(50, "plain").await, "plain").len(), 50);
    drop(gateway);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_when_the_gateway_ends_is_exported_first() {
    let collector = Collector::start().await;
    let (_mirror, gateway, mut client) = start_with_mirror(&collector, "sample: 100%").await;
    say(&mut client, 9001, "", "hello").await;
    gateway.stop().await;
    one(&collector.spans(), "plain");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_one_span_that_counts_its_messages() {
    let (collector, taps) = (Collector::start().await, Taps::start().await);
    let routes = format!(
        "version: 1\ndescriptors: [{{ proto: ../stream }}]\nbackends: {{ taps: {{ grpc: {{ endpoints: [\"http://{}\"] }} }} }}\n\
         rate_limits: {{ plenty: {{ key: [caller], rate: 100000/s, burst: 100000 }} }}\n\
         routes:\n  5003: {{ name: tap.talk, rpc: stream.v1.Taps/Talk, backend: taps, access: anonymous, rate_limits: [plenty] }}\n",
        taps.address
    );
    let files =
        [("routes/gateway.yaml", &*process(&collector, "sample: 100%")), ("routes/routes.yaml", &*routes), ("stream/taps.proto", PROTO)];
    let gateway = TestGateway::start_with(&files);
    let mut tapper = Tapper::connect(gateway.edge(), protogate::wire::Codec::Json, None).await;
    tapper.open(5003, 7, "one").await;
    tapper.hear().await;
    tapper.tell(7, "two").await;
    tapper.hear().await;
    tapper.end(7).await;
    let spans = collector.wait_for(1, "tap.talk").await;
    let (whole, attempt) = (one(&spans, "tap.talk"), one(&spans, "stream.v1.Taps/Talk"));
    assert_eq!((&*whole.attributes["protogate.messages_in"], &*whole.attributes["protogate.messages_out"]), ("2", "2"));
    assert_eq!(attempt.parent, whole.id);
    assert!(named(&spans, "write").is_empty(), "{spans:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_in_a_span_and_who_calls_only_if_asked_for() {
    let collector = Collector::start().await;
    let (_mirror, gateway, _) = start_with_mirror(&collector, "sample: 100%, errors: true, headers: { x-tenant: blue }").await;
    let token = gateway.token("alice-canary", &["player"]);
    let mut client = TestClient::connect_as(gateway.edge(), &token).await;
    for text in ["canary", "fail 13 canary", "fail 9 canary"] {
        let call = json!({ "protocol": 9007, "id": 1, "idempotencyKey": "canary", "payload": { "text": text } });
        client.say(call.to_string()).await;
        client.hear_message().await;
    }
    client
        .say(json!({ "protocol": 9007, "id": 1, "metadata": { "canary": "canary" }, "payload": { "canary": "canary" } }).to_string())
        .await;
    client.hear_message().await;
    collector.wait_for(4, "known").await;
    let everything = collector.everything();
    assert!(!everything.contains("canary") && !everything.contains(&token), "{everything}");

    gateway.write("routes/gateway.yaml", &process(&collector, "sample: 100%, user: true"));
    assert_eq!(reload(&gateway).await.0, 200);
    client.echo(9007, "hello").await;
    let spans = collector.wait_for(5, "known").await;
    assert_eq!(named(&spans, "known")[4].attributes["user.id"], "alice-canary");
}
