//! Conversations in streams, with services that behave: over the network and inside alike.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use http::uri::PathAndQuery;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use super::peer::{Service, serve};
use super::streaming::{Heard, Talkative};
use super::{Talk, WORKER, backend, echo, framed, open_as, opening, said, text};
use crate::backend::{Backend, BreakerSpec, Builtins, Closed, EndpointSpec, GrpcSpec, Journey, Request, Spec, SpecKind};
use crate::failure::Code;

/// A backend with the service behind it.
struct Stage {
    backend: Arc<Backend>,
    heard: Arc<Heard>,
    _service: Option<Service>,
}

/// The service over the network, and inside.
async fn stages() -> [Stage; 2] {
    let remote = Talkative::default();
    let heard = Arc::clone(&remote.0);
    let service = serve(remote).await;
    let remote = Stage { backend: backend(&[service.port]), heard, _service: Some(service) };

    let inside = Talkative::default();
    let heard = Arc::clone(&inside.0);
    let mut builtins = Builtins::new(Handle::current());
    builtins.add("talkative", inside);
    let spec = Spec { name: Arc::from("inside"), kind: SpecKind::Builtin(Arc::from("talkative")) };
    let backend = Backend::open(spec, 1, &builtins, None).expect("it was added");
    [remote, Stage { backend, heard, _service: None }]
}

impl Stage {
    async fn open(&self, method: &'static str) -> Talk {
        Talk::open(&self.backend, opening(method)).await
    }

    /// A call of one reply.
    async fn echo(&self) -> String {
        let mut request = echo("hello");
        request.path = PathAndQuery::from_static("/test.Talkative/Echo");
        said(self.backend.call(WORKER, request).await.map(text))
    }

    /// A stream of so many messages of twenty bytes.
    async fn count(&self, messages: u32) -> Talk {
        self.count_in(messages, 20).await
    }

    async fn count_in(&self, messages: u32, bytes: usize) -> Talk {
        let mut talk = self.open("/test.Talkative/Count").await;
        talk.say(&format!("{messages} {bytes}")).await.expect("it listens");
        talk.sending.finish();
        talk
    }
}

/// Lets everything happen that can without us.
async fn settle() {
    for _ in 0..2_000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn every_kind_of_method_is_a_stream() {
    for stage in stages().await {
        let mut count = stage.count(3).await;
        let numbers = ["0...................", "1...................", "2..................."];
        assert_eq!(count.rest().await, (numbers.map(str::to_owned).to_vec(), "OK".to_owned()));

        let mut gather = stage.open("/test.Talkative/Gather").await;
        for word in ["one", "two", "three"] {
            gather.say(word).await.expect("it listens");
        }
        gather.sending.finish();
        assert_eq!(gather.rest().await, (vec!["one two three".to_owned()], "OK".to_owned()));

        let mut chat = stage.open("/test.Talkative/Chat").await;
        for word in ["one", "two", "three"] {
            chat.say(word).await.expect("it listens");
            assert_eq!(chat.hear().await, word);
        }
        chat.sending.finish();
        assert_eq!(chat.hear().await, "OK");
        assert_eq!(chat.hear().await, "OK", "and ever after");

        let mut echo = stage.open("/test.Talkative/Echo").await;
        echo.say("hello").await.expect("it listens");
        echo.sending.finish();
        assert_eq!(echo.rest().await, (vec!["hello".to_owned()], "OK".to_owned()));
    }
}

#[tokio::test]
async fn a_long_message_travels_both_ways_in_a_stream() {
    for stage in stages().await {
        let mut chat = stage.open("/test.Talkative/Chat").await;
        let long = "x".repeat(1_000_000);
        for _ in 0..3 {
            let Talk { sending, receiving } = &mut chat;
            let (sent, heard) = tokio::join!(sending.send(framed(&long)), Talk::hear_from(receiving));
            assert_eq!(sent, Ok(()));
            assert!(heard == long, "{} bytes", heard.len());
        }
    }
}

#[tokio::test]
async fn who_does_not_read_stops_the_service_and_misses_nothing() {
    for stage in stages().await {
        let mut count = stage.count(30_000).await;
        assert_eq!(count.hear().await, "0...................");
        settle().await;
        let said = stage.heard.said();
        settle().await;
        assert_eq!(stage.heard.said(), said, "it waits");
        // A window and the buffers of tonic; a message takes 27 bytes.
        assert!(said < 6_000, "{said}");
        assert!(count.receiving.held_bytes() <= 32 << 10, "{}", count.receiving.held_bytes());

        let (rest, end) = count.rest().await;
        assert_eq!((rest.len(), end.as_str()), (29_999, "OK"));
        assert!(rest.iter().enumerate().all(|(number, text)| *text == format!("{:.<20}", number + 1)));
    }
}

#[tokio::test]
async fn a_service_that_does_not_read_stops_who_says() {
    for stage in stages().await {
        let mut gather = stage.open("/test.Talkative/Gather").await;
        gather.say("wait").await.expect("it listens");
        let long = "x".repeat(10_000);
        let mut sent = 0;
        while let Ok(outcome) = timeout(Duration::from_millis(100), gather.say(&long)).await {
            outcome.expect("it listens");
            sent += 1;
        }
        // What fits the windows of tonic, a megabyte, and what h2 holds.
        assert!(sent < 200, "{sent} messages of ten thousand bytes");
        assert_eq!(stage.heard.heard(), 1);
    }
}

#[tokio::test]
async fn a_service_that_ends_early_is_heard_and_told_no_more() {
    for stage in stages().await {
        for (word, end) in [("bye", "OK"), ("fail", "FAILED_PRECONDITION FAILED_PRECONDITION")] {
            let mut chat = stage.open("/test.Talkative/Chat").await;
            chat.say("hello").await.expect("it listens");
            chat.say(word).await.expect("it listens");
            assert_eq!(chat.rest().await, (vec!["hello".to_owned()], end.to_owned()));
            let closed = async { while chat.say("more").await.is_ok() {} };
            timeout(Duration::from_secs(5), closed).await.expect("it is over");
            assert_eq!(chat.say("more").await, Err(Closed));
        }
    }
}

#[tokio::test]
async fn at_its_deadline_a_stream_fails_and_the_service_learns_of_it() {
    for stage in stages().await {
        let mut soon = opening("/test.Talkative/Chat");
        soon.deadline = Instant::now() + Duration::from_secs(1);
        let mut chat = Talk::open(&stage.backend, soon).await;
        chat.say("hello").await.expect("it listens");
        assert_eq!(chat.hear().await, "hello");
        assert_eq!(chat.hear().await, "DEADLINE_EXCEEDED DEADLINE_EXCEEDED");
        stage.heard.until_gone(1).await;

        // Nobody asks for this one.
        let mut soon = opening("/test.Talkative/Chat");
        soon.deadline = Instant::now() + Duration::from_secs(1);
        let mut chat = Talk::open(&stage.backend, soon).await;
        chat.say("wait").await.expect("it listens");
        stage.heard.until_gone(2).await;
        assert_eq!(chat.hear().await, "DEADLINE_EXCEEDED DEADLINE_EXCEEDED");
        assert_eq!(chat.say("more").await, Err(Closed));

        let mut late = opening("/test.Talkative/Chat");
        late.deadline = Instant::now();
        let failure = stage.backend.open_stream(WORKER, late, &mut Journey::default()).await.err().expect("its time is up");
        assert!(failure.is_unsent() && failure.reason() == "DEADLINE_EXCEEDED");
    }
}

#[tokio::test]
async fn the_end_of_the_hearing_half_is_the_end_at_the_service() {
    for stage in stages().await {
        let Talk { mut sending, mut receiving } = stage.open("/test.Talkative/Chat").await;
        sending.send(framed("hello")).await.expect("it listens");
        assert_eq!(Talk::hear_from(&mut receiving).await, "hello");
        drop(receiving);
        stage.heard.until_gone(1).await;
        assert_eq!(sending.send(framed("more")).await, Err(Closed));
    }
}

#[tokio::test]
async fn who_says_no_more_without_saying_so_has_not_ended_the_stream() {
    for stage in stages().await {
        let Talk { mut sending, mut receiving } = stage.open("/test.Talkative/Chat").await;
        sending.send(framed("hello")).await.expect("it listens");
        drop(sending);
        assert_eq!(Talk::hear_from(&mut receiving).await, "hello");
        assert!(timeout(Duration::from_millis(50), receiving.message()).await.is_err(), "it waits for more");
        drop(receiving);
        stage.heard.until_gone(1).await;
    }
}

#[tokio::test]
async fn a_message_that_nobody_waited_for_to_the_end_is_not_lost() {
    for stage in stages().await {
        let mut count = stage.count(10_000).await;
        let (mut heard, mut turn) = (0, 0_usize);
        loop {
            // Every other time it is asked once, and not waited for.
            turn += 1;
            let outcome = match turn.is_multiple_of(2) {
                true => count.receiving.message().now_or_never(),
                false => Some(count.receiving.message().await),
            };
            match outcome {
                Some(Ok(Some(_))) => heard += 1,
                Some(Ok(None)) => break,
                Some(Err(failure)) => panic!("{failure}"),
                None => {}
            }
        }
        assert_eq!(heard, 10_000);
    }
}

#[tokio::test]
async fn streams_that_nobody_reads_hold_up_neither_calls_nor_each_other() {
    let [stage, _] = stages().await;
    // One connection's streams, all of which the service would fill for ever.
    let mut unread = join_all((0..256).map(|_| stage.count(20_000))).await;
    settle().await;
    assert_eq!(stage.echo().await, "hello");
    let mut chat = stage.open("/test.Talkative/Chat").await;
    chat.say("hello").await.expect("it listens");
    assert_eq!(chat.hear().await, "hello");

    // Each of them goes on by itself.
    assert_eq!(unread[255].rest().await.0.len(), 20_000);
    assert_eq!(unread[0].rest().await.0.len(), 20_000);
}

#[tokio::test]
async fn a_thousand_streams_that_nobody_reads_hold_a_window_each() {
    let [stage, _] = stages().await;
    let mut unread = join_all((0..1_000).map(|_| stage.count_in(1_000_000, 1_000))).await;
    settle().await;
    // That one message was read makes no difference.
    for talk in &mut unread {
        assert_eq!(talk.hear().await.len(), 1_000);
    }
    settle().await;
    let held = unread.iter().map(|talk| talk.receiving.held_bytes()).collect::<Vec<_>>();
    assert!(held.iter().all(|&bytes| bytes <= 32 << 10), "{:?}", held.iter().max());
    assert!(held.iter().sum::<usize>() > 1_000 * (16 << 10), "they are full: {}", held.iter().sum::<usize>());
    assert_eq!(stage.echo().await, "hello");
}

#[tokio::test]
async fn streams_dropped_at_once_do_no_harm_to_the_others() {
    let [stage, _] = stages().await;
    let mut chat = stage.open("/test.Talkative/Chat").await;
    for round in 1..=10 {
        // Some of them before the service has seen them.
        let dropped = join_all((0..40).map(|_| stage.open("/test.Talkative/Chat"))).await;
        drop(dropped);
        chat.say("still there").await.expect("it listens");
        assert_eq!(chat.hear().await, "still there", "round {round}");
    }
    // All give their seats back: these and those are more than eight connections take.
    for _ in 0..3 {
        let streams = join_all((0..600).map(|_| stage.count(1))).await;
        for mut stream in streams {
            assert_eq!(stream.rest().await.1, "OK");
        }
    }
}

#[tokio::test]
async fn a_panic_inside_fails_its_stream_alone() {
    let [_, inside] = stages().await;
    for _ in 0..2 {
        let mut chat = inside.open("/test.Talkative/Chat").await;
        chat.say("hello").await.expect("it listens");
        chat.say("panic").await.expect("it listens");
        assert_eq!(chat.rest().await, (vec!["hello".to_owned()], "INTERNAL INTERNAL".to_owned()));
    }
}

#[tokio::test]
async fn streams_inside_are_shed_beyond_their_bound_and_leave_calls_alone() {
    let [_, inside] = stages().await;
    let held = join_all((0..1_024).map(|_| inside.open("/test.Talkative/Chat"))).await;
    let failure =
        inside.backend.open_stream(WORKER, opening("/test.Talkative/Chat"), &mut Journey::default()).await.err().expect("it is full");
    assert_eq!((failure.reason(), failure.is_unsent()), ("OVERLOADED", true));
    assert_eq!(inside.echo().await, "hello");
    drop(held);
    inside.heard.until_gone(1_024).await;
    inside.open("/test.Talkative/Chat").await;
}

#[tokio::test]
async fn a_stream_that_does_well_brings_an_endpoint_back_before_it_ends() {
    let service = serve(Talkative::default()).await;
    let breaker = BreakerSpec {
        consecutive_failures: 1,
        open_min: Duration::from_secs(1),
        failures: vec![Code::FailedPrecondition],
        ..BreakerSpec::default()
    };
    let backend = open_as(GrpcSpec { breaker, ..GrpcSpec::at(vec![EndpointSpec::new("127.0.0.1", service.port, false)]) });
    let ask = async || {
        let request = Request { path: PathAndQuery::from_static("/test.Talkative/Echo"), ..echo("hello") };
        said(backend.call(WORKER, request).await.map(text))
    };
    let mut failing = Talk::open(&backend, opening("/test.Talkative/Chat")).await;
    failing.say("fail").await.expect("it listens");
    assert_eq!(failing.hear().await, "FAILED_PRECONDITION FAILED_PRECONDITION");
    assert_eq!(ask().await, "UNAVAILABLE UNAVAILABLE", "it is left alone");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut chat = Talk::open(&backend, opening("/test.Talkative/Chat")).await;
    assert_eq!(ask().await, "UNAVAILABLE UNAVAILABLE", "one is let through");
    chat.say("hello").await.expect("it listens");
    assert_eq!(chat.hear().await, "hello");
    assert_eq!(ask().await, "hello");
}
