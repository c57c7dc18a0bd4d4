//! Conversations in streams, with services that do not behave, and with networks that fail.

use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use prost::Message as _;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::hostile::{head, status};
use super::peer::{dead_port, h2_service, tcp_service};
use super::{Talk, WORKER, backend, call, framed, opening, said};
use crate::backend::{Closed, Journey, frame};
use crate::services::echo::v1::EchoResponse;

const METHOD: &str = "/test.Stream/Talk";

fn say(body: &mut SendStream<Bytes>, bytes: &[u8]) {
    let _ = body.send_data(Bytes::copy_from_slice(bytes), false);
}

fn begin(mut response: SendResponse<Bytes>) -> SendStream<Bytes> {
    response.send_response(head(), false).expect("the stream is there")
}

fn end(mut body: SendStream<Bytes>, value: &'static str) {
    let _ = body.send_trailers(status(value));
}

#[tokio::test]
async fn what_is_not_grpc_is_a_definite_failure_and_what_came_before_is_heard() {
    type Script = fn(SendResponse<Bytes>);
    const HI: &[u8] = &[0, 0, 0, 0, 4, 10, 2, b'h', b'i'];
    let scripts: [(&[&str], Script); 13] = [
        (&["hi", "hi", "OK"], |response| {
            let mut body = begin(response);
            say(&mut body, &[HI, HI].concat());
            end(body, "0");
        }),
        (&["hi", "INTERNAL BAD_REPLY"], |response| {
            // Compressed.
            let mut body = begin(response);
            say(&mut body, &[HI, &[1, 0, 0, 0, 0]].concat());
            end(body, "0");
        }),
        (&["hi", "RESOURCE_EXHAUSTED REPLY_TOO_LARGE"], |response| {
            let mut body = begin(response);
            say(&mut body, &[HI, &[0, 255, 255, 255, 255]].concat());
            end(body, "0");
        }),
        (&["hi", "INTERNAL BAD_REPLY"], |response| {
            // Ended within a message.
            let mut body = begin(response);
            say(&mut body, &[HI, &HI[..7]].concat());
            end(body, "0");
        }),
        (&["hi", "NOT_FOUND NOT_FOUND"], |response| {
            let mut body = begin(response);
            say(&mut body, &[HI, &HI[..7]].concat());
            end(body, "5");
        }),
        (&["hi", "INTERNAL BAD_REPLY"], |response| {
            // No trailers.
            let mut body = begin(response);
            say(&mut body, HI);
            let _ = body.send_data(Bytes::new(), true);
        }),
        (&["UNKNOWN UNKNOWN"], |response| end(begin(response), "two")),
        (&["OK"], |response| end(begin(response), "0")),
        (&["OK"], |mut response| {
            let mut nothing = head();
            nothing.headers_mut().extend(status("0"));
            let _ = response.send_response(nothing, true);
        }),
        (&["NOT_FOUND NOT_FOUND"], |mut response| {
            let mut failed = head();
            failed.headers_mut().extend(status("5"));
            let _ = response.send_response(failed, true);
        }),
        (&["UNAVAILABLE UNAVAILABLE"], |mut response| {
            let busy = http::Response::builder().status(503).body(()).expect("a response");
            let _ = response.send_response(busy, true);
        }),
        (&["INTERNAL BAD_REPLY"], |mut response| {
            let page = http::Response::builder().header("content-type", "text/html").body(()).expect("a response");
            let _ = response.send_response(page, true);
        }),
        (&["CANCELLED CANCELLED"], |mut response| response.send_reset(Reason::CANCEL)),
    ];
    for (number, (expected, script)) in scripts.into_iter().enumerate() {
        let service = h2_service(move |_, response| async move { script(response) }).await;
        let mut talk = Talk::open(&backend(&[service.port]), opening(METHOD)).await;
        for expected in expected {
            assert_eq!(talk.hear().await, *expected, "script {number}");
        }
    }
}

#[tokio::test]
async fn a_message_in_single_bytes_is_heard_whole_by_whoever_gives_up_at_each() {
    let go = Arc::new(Notify::new());
    let gate = Arc::clone(&go);
    let service = h2_service(move |_, response| {
        let gate = Arc::clone(&gate);
        async move {
            let mut body = begin(response);
            for byte in framed("hello") {
                gate.notified().await;
                say(&mut body, &[byte]);
            }
            end(body, "0");
        }
    })
    .await;
    let mut talk = Talk::open(&backend(&[service.port]), opening(METHOD)).await;
    let message = loop {
        go.notify_one();
        if let Ok(message) = timeout(Duration::from_millis(5), talk.receiving.message()).await {
            break message;
        }
    };
    let message = message.expect("no failure").expect("a message");
    assert_eq!(EchoResponse::decode(message).expect("an echo").text, "hello");
    assert_eq!(talk.hear().await, "OK");
}

#[tokio::test]
async fn a_peer_that_resets_a_stream_or_loses_the_connection_ends_it_definitely() {
    let resetting = h2_service(|_, response| async move {
        let mut body = begin(response);
        say(&mut body, &framed("hello"));
        tokio::task::yield_now().await;
        body.send_reset(Reason::INTERNAL_ERROR);
    })
    .await;
    let mut talk = Talk::open(&backend(&[resetting.port]), opening(METHOD)).await;
    let (_, end) = talk.rest().await;
    assert_eq!(end, "INTERNAL INTERNAL");
    assert_eq!(talk.say("more").await, Err(Closed));

    let losing = tcp_service(|tcp| async move {
        let mut connection = h2::server::handshake(tcp).await.expect("a handshake");
        let (_, response) = connection.accept().await.expect("a stream").expect("a stream");
        let mut body = begin(response);
        say(&mut body, &framed("hello"));
        let _ = timeout(Duration::from_millis(100), connection.accept()).await;
    })
    .await;
    let mut talk = Talk::open(&backend(&[losing.port]), opening(METHOD)).await;
    assert_eq!(talk.hear().await, "hello");
    let failure = talk.receiving.message().await.expect_err("the connection is lost");
    assert_eq!((failure.reason(), failure.is_unsent()), ("UNAVAILABLE", false));
    assert_eq!(talk.say("more").await, Err(Closed));
}

#[tokio::test]
async fn a_stream_outlives_the_goaway_that_closes_its_connection_to_others() {
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    let service = tcp_service(move |tcp| {
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            let mut connection = h2::server::handshake(tcp).await.expect("a handshake");
            while let Some(Ok((request, response))) = connection.accept().await {
                connection.graceful_shutdown();
                tokio::spawn(async move {
                    let mut heard = request.into_body();
                    let mut body = begin(response);
                    while let Some(Ok(chunk)) = heard.data().await {
                        let _ = heard.flow_control().release_capacity(chunk.len());
                        let _ = body.send_data(chunk, false);
                    }
                    end(body, "0");
                });
            }
        }
    })
    .await;
    let backend = backend(&[service.port]);
    let mut talks = Vec::new();
    for number in 0..3 {
        let mut talk = Talk::open(&backend, opening(METHOD)).await;
        talk.say("hello").await.expect("it listens");
        assert_eq!(talk.hear().await, "hello", "stream {number}");
        talks.push(talk);
    }
    assert_eq!(connections.load(Ordering::SeqCst), 3);
    for mut talk in talks {
        talk.say("still here").await.expect("it listens");
        assert_eq!(talk.hear().await, "still here");
        talk.sending.finish();
        assert_eq!(talk.hear().await, "OK");
    }
}

#[tokio::test]
async fn a_stream_that_cannot_be_begun_is_begun_elsewhere_or_fails_unsent() {
    let service = h2_service(|_, response| async move { end(begin(response), "0") }).await;
    let backend_of_two = backend(&[dead_port().await, service.port]);
    for _ in 0..4 {
        assert_eq!(Talk::open(&backend_of_two, opening(METHOD)).await.hear().await, "OK");
    }
    let failure =
        backend(&[dead_port().await]).open_stream(WORKER, opening(METHOD), &mut Journey::default()).await.err().expect("nobody listens");
    assert_eq!((failure.reason(), failure.is_unsent()), ("UNAVAILABLE", true));
}

#[tokio::test]
async fn a_flood_of_tiny_frames_that_nobody_reads_harms_nobody() {
    let flooded = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&flooded);
    let service = h2_service(move |request, response| {
        let count = Arc::clone(&count);
        async move {
            let mut body = begin(response);
            if request.uri().path() != METHOD {
                say(&mut body, &frame(0));
                return end(body, "0");
            }
            // Each byte in a frame of its own, as fast as the window allows.
            loop {
                body.reserve_capacity(1);
                let Some(Ok(_)) = poll_fn(|context| body.poll_capacity(context)).await else { return };
                say(&mut body, &[0]);
                count.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    let backend = backend(&[service.port]);
    let mut unread = Vec::new();
    for _ in 0..8 {
        unread.push(Talk::open(&backend, opening(METHOD)).await);
    }
    let full = async {
        while flooded.load(Ordering::SeqCst) < 8 * (32 << 10) {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(60), full).await.expect("every window is filled");
    assert_eq!(said(call(&backend, "hello").await), "");
    // They are all alive: each has said five zeros, an empty message.
    for talk in &mut unread {
        assert_eq!(talk.hear().await, "");
    }
}

#[tokio::test]
async fn what_a_service_does_not_read_is_not_piled_up() {
    let service = h2_service(|request, response| async move {
        let _held = (request, response);
        pending::<()>().await;
    })
    .await;
    let mut talk = Talk::open(&backend(&[service.port]), opening(METHOD)).await;
    // Not smaller, or h2 at the other end takes it for an attack.
    let words = "x".repeat(300);
    let mut sent = 0;
    while let Ok(outcome) = timeout(Duration::from_millis(100), talk.say(&words)).await {
        outcome.expect("it listens");
        sent += 1;
    }
    // A message takes 308 bytes, and the window is 65,535.
    assert_eq!(sent, 212);
}
