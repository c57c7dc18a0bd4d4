//! Conversations with services that do not behave, and with networks that fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use h2::Reason;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::peer::{h2_service, serve_h2, tcp_service};
use super::{WORKER, backend, call, echo, open, said, text};
use crate::backend::{EndpointSpec, frame};
use crate::id::WorkerId;

/// The head of every gRPC answer.
pub fn head() -> Response<()> {
    Response::builder().header("content-type", "application/grpc").body(()).expect("a response")
}

pub fn status(value: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), HeaderValue::from_static(value))])
}

/// Answers with an empty message.
pub fn answer_empty(mut response: SendResponse<Bytes>) {
    let Ok(mut body) = response.send_response(head(), false) else { return };
    let _ = body.send_data(Bytes::copy_from_slice(&frame(0)), false);
    let _ = body.send_trailers(status("0"));
}

/// Speaks just enough HTTP/2 to read one request and to answer it with `frames`.
async fn raw(mut tcp: TcpStream, frames: &[u8]) {
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const SETTINGS_ACK: [u8; 9] = [0, 0, 0, 4, 1, 0, 0, 0, 0];
    const HEADERS: u8 = 1;

    let _ = tcp.write_all(&[SETTINGS, SETTINGS_ACK].concat()).await;
    let mut preface = [0; 24];
    let _ = tcp.read_exact(&mut preface).await;
    let mut head = [0; 9];
    while tcp.read_exact(&mut head).await.is_ok() {
        let mut payload = vec![0; usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])];
        let _ = tcp.read_exact(&mut payload).await;
        if head[3] == HEADERS {
            let _ = tcp.write_all(frames).await;
        }
    }
}

#[tokio::test]
async fn a_call_that_a_goaway_leaves_out_is_made_again() {
    // GOAWAY, last stream 0, NO_ERROR.
    const GOAWAY: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let connections = Arc::new(AtomicUsize::new(0));
    let service = tcp_service(move |tcp| {
        let number = connections.fetch_add(1, Ordering::SeqCst);
        async move {
            match number {
                0 => raw(tcp, &GOAWAY).await,
                _ => serve_h2(tcp, |_, response| async { answer_empty(response) }).await,
            }
        }
    })
    .await;
    assert_eq!(said(call(&backend(&[service.port]), "hello").await), "");
}

#[tokio::test]
async fn a_connection_that_is_closed_gracefully_costs_no_call() {
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    let service = tcp_service(move |tcp| {
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            let mut connection = h2::server::handshake(tcp).await.expect("a handshake");
            while let Some(Ok((_, response))) = connection.accept().await {
                // One call, then it wants no more.
                connection.graceful_shutdown();
                answer_empty(response);
            }
        }
    })
    .await;
    let backend = backend(&[service.port]);
    for _ in 0..20 {
        assert_eq!(said(call(&backend, "hello").await), "");
    }
    assert!(connections.load(Ordering::SeqCst) > 1);
}

#[tokio::test]
async fn a_peer_that_turns_every_connection_away_is_not_asked_without_end() {
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    let service = tcp_service(move |tcp| {
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            let mut connection = h2::server::handshake(tcp).await.expect("a handshake");
            connection.abrupt_shutdown(Reason::NO_ERROR);
            let _ = connection.accept().await;
        }
    })
    .await;
    let backend = backend(&[service.port]);
    for _ in 0..100 {
        assert_eq!(said(call(&backend, "hello").await), "UNAVAILABLE UNAVAILABLE");
    }
    assert!(connections.load(Ordering::SeqCst) <= 4, "{connections:?}");
}

#[tokio::test]
async fn a_service_that_comes_back_is_found_again() {
    let up = Arc::new(AtomicBool::new(false));
    let is_up = Arc::clone(&up);
    let service = tcp_service(move |tcp| {
        let is_up = Arc::clone(&is_up);
        async move {
            if is_up.load(Ordering::SeqCst) {
                serve_h2(tcp, |_, response| async { answer_empty(response) }).await;
            }
        }
    })
    .await;
    let backend = backend(&[service.port]);
    assert_eq!(said(call(&backend, "hello").await), "UNAVAILABLE UNAVAILABLE");
    up.store(true, Ordering::SeqCst);
    let failure = loop {
        match call(&backend, "hello").await {
            Ok(_) => break None,
            Err(failure) if failure.is_unsent() => tokio::time::sleep(failure.wait().unwrap_or_default()).await,
            Err(failure) => break Some(failure),
        }
    };
    assert!(failure.is_none(), "{failure:?}");
}

#[tokio::test]
async fn each_worker_has_connections_of_its_own() {
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    let service = tcp_service(move |tcp| {
        count.fetch_add(1, Ordering::SeqCst);
        serve_h2(tcp, |_, response| async { answer_empty(response) })
    })
    .await;
    let endpoints = vec![EndpointSpec::new("127.0.0.1", service.port, false)];
    let backend = open(endpoints, None);
    for _ in 0..3 {
        for worker in [WORKER, WorkerId(1)] {
            backend.call(worker, echo("hello")).await.map(text).expect("an answer");
        }
    }
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn failures_of_headers_alone_keep_no_stream() {
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    let service = tcp_service(move |tcp| {
        count.fetch_add(1, Ordering::SeqCst);
        serve_h2(tcp, |_, mut response| async move {
            let mut failed = head();
            failed.headers_mut().extend(status("5"));
            let _ = response.send_response(failed, true);
        })
    })
    .await;
    let backend = backend(&[service.port]);
    // Twice as many as one connection has streams for.
    for _ in 0..2 {
        for outcome in join_all((0..1_000).map(|_| call(&backend, "hello"))).await {
            assert_eq!(said(outcome), "NOT_FOUND NOT_FOUND");
        }
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_call_that_was_refused_is_made_again_once() {
    for (refusals, expected) in [(1, ""), (2, "UNAVAILABLE UNAVAILABLE")] {
        let calls = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&calls);
        let service = h2_service(move |_, mut response| {
            let number = seen.fetch_add(1, Ordering::SeqCst);
            async move { if number < refusals { response.send_reset(Reason::REFUSED_STREAM) } else { answer_empty(response) } }
        })
        .await;
        assert_eq!(said(call(&backend(&[service.port]), "hello").await), expected);
        assert_eq!(calls.load(Ordering::SeqCst), 2);
    }
}

#[tokio::test]
async fn a_call_that_may_have_had_an_effect_is_not_made_again() {
    let calls = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&calls);
    let service = tcp_service(move |tcp| {
        let seen = Arc::clone(&seen);
        async move {
            let mut connection = h2::server::handshake(tcp).await.expect("a handshake");
            // The connection goes down with the first call on it.
            let _call = connection.accept().await;
            seen.fetch_add(1, Ordering::SeqCst);
        }
    })
    .await;
    let failure = call(&backend(&[service.port, service.port]), "hello").await.expect_err("the connection went down");
    assert_eq!((failure.reason(), failure.is_unsent()), ("UNAVAILABLE", false));
    assert_eq!(calls.load(Ordering::SeqCst), 1);

    let service = h2_service(|_, mut response| async move { response.send_reset(Reason::CANCEL) }).await;
    assert_eq!(said(call(&backend(&[service.port]), "hello").await), "CANCELLED CANCELLED");
}

#[tokio::test]
async fn an_endless_reply_is_cut_off() {
    // One announces four gigabytes, the other ends nowhere.
    for (announced, expected) in [(u32::MAX, "RESOURCE_EXHAUSTED REPLY_TOO_LARGE"), (100_000, "INTERNAL BAD_REPLY")] {
        let sent = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&sent);
        let service = h2_service(move |_, mut response| {
            let count = Arc::clone(&count);
            async move {
                let mut body = response.send_response(head(), false).expect("the call is there");
                let _ = body.send_data(Bytes::from([&[0][..], &announced.to_be_bytes()].concat()), false);
                loop {
                    body.reserve_capacity(16_384);
                    let Some(Ok(room)) = std::future::poll_fn(|context| body.poll_capacity(context)).await else { return };
                    if body.send_data(Bytes::from(vec![0; room]), false).is_err() {
                        return;
                    }
                    count.fetch_add(room, Ordering::SeqCst);
                }
            }
        })
        .await;
        assert_eq!(said(call(&backend(&[service.port]), "hello").await), expected);
        assert!(sent.load(Ordering::SeqCst) <= 4 << 20, "no more than fits a window or two");
    }
}

#[tokio::test]
async fn replies_that_are_not_grpc_fail_with_a_definite_code() {
    type Script = fn(SendResponse<Bytes>);
    let scripts: [(&str, Script); 5] = [
        ("INTERNAL BAD_REPLY", |mut response| {
            let _ = response.send_response(head(), true);
        }),
        ("INTERNAL BAD_REPLY", |mut response| {
            let mut body = response.send_response(head(), false).expect("the call is there");
            let _ = body.send_data(Bytes::copy_from_slice(&frame(0)), true);
        }),
        ("UNKNOWN UNKNOWN", |mut response| {
            let mut body = response.send_response(head(), false).expect("the call is there");
            let _ = body.send_trailers(status("two"));
        }),
        ("UNAVAILABLE UNAVAILABLE", |mut response| {
            let busy = Response::builder().status(503).body(()).expect("a response");
            let _ = response.send_response(busy, true);
        }),
        // Of trailers beyond what we accept, h2 leaves out what is beyond.
        ("NOT_FOUND NOT_FOUND", |mut response| {
            let mut body = response.send_response(head(), false).expect("the call is there");
            let _ = body.send_data(Bytes::copy_from_slice(&frame(0)), false);
            let mut trailers = status("5");
            trailers.insert("grpc-message", HeaderValue::try_from("x".repeat(60_000)).expect("a value"));
            let _ = body.send_trailers(trailers);
        }),
    ];
    for (number, (expected, script)) in scripts.into_iter().enumerate() {
        let service = h2_service(move |_, response| async move { script(response) }).await;
        assert_eq!(said(call(&backend(&[service.port]), "hello").await), expected, "script {number}");
    }
}

/// What a service does to a call, or to a connection, that it should not, and what becomes of the call.
#[tokio::test]
async fn whatever_a_service_does_a_call_has_a_definite_end_and_the_breaker_hears_of_it() {
    // A head of HPACK: `:status 200` and `content-type: application/grpc`.
    const HEAD: &[u8] = b"\x88\x5f\x10application/grpc";
    let frame_of = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
    };
    let headers = |flags| frame_of(1, flags, 1, HEAD);
    let endless = |number: usize| (0..number).map(|_| frame_of(9, 0, 1, &[0; 16_000])).collect::<Vec<_>>().concat();
    let cases: [(&str, Vec<u8>, &str); 9] = [
        ("no end", headers(4), "DEADLINE_EXCEEDED DEADLINE_EXCEEDED"),
        ("nothing at all", Vec::new(), "DEADLINE_EXCEEDED DEADLINE_EXCEEDED"),
        ("half a frame", vec![0, 0, 100, 0, 0], "DEADLINE_EXCEEDED DEADLINE_EXCEEDED"),
        ("a frame of sixteen megabytes", vec![0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1], "INTERNAL BAD_REPLY"),
        ("no HTTP/2", b"HTTP/1.1 200 OK\r\n\r\nhello, hello, hello".to_vec(), "INTERNAL BAD_REPLY"),
        ("broken HPACK", frame_of(1, 4, 1, &[0xff; 8]), "INTERNAL BAD_REPLY"),
        ("data before its head", frame_of(0, 0, 1, &[0; 5]), "INTERNAL BAD_REPLY"),
        ("headers without end", [frame_of(1, 0, 1, HEAD), endless(64)].concat(), "INTERNAL BAD_REPLY"),
        ("a reset", frame_of(3, 0, 1, &[0, 0, 0, 2]), "INTERNAL INTERNAL"),
    ];
    for (what, frames, expected) in cases {
        let service = tcp_service(move |tcp| {
            let frames = frames.clone();
            async move { raw(tcp, &frames).await }
        })
        .await;
        let backend = backend(&[service.port]);
        let mut request = echo("hello");
        request.deadline = tokio::time::Instant::now() + Duration::from_secs(1);
        let outcome = tokio::time::timeout(Duration::from_secs(20), backend.call(WORKER, request)).await.expect("by its deadline");
        assert_eq!(said(outcome.map(text)), expected, "{what}");
        let status = backend.status();
        assert_eq!((status.in_flight, status.endpoints[0].failures), (0, 1), "{what}");
    }
}

#[tokio::test]
async fn a_service_that_goes_away_at_every_call_is_not_asked_without_end() {
    // GOAWAY, last stream 0, NO_ERROR.
    const GOAWAY: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    let service = tcp_service(move |tcp| {
        count.fetch_add(1, Ordering::SeqCst);
        async move { raw(tcp, &GOAWAY).await }
    })
    .await;
    let backend = backend(&[service.port]);
    for _ in 0..20 {
        assert_eq!(said(call(&backend, "hello").await), "UNAVAILABLE UNAVAILABLE");
    }
    assert!(connections.load(Ordering::SeqCst) <= 4, "{connections:?}");
    assert_eq!(backend.status().endpoints[0].failures, 0, "what was left undone is no failure");
}

#[tokio::test]
async fn a_reply_that_trickles_ends_at_the_deadline() {
    let service = h2_service(|_, mut response| async move {
        let Ok(mut body) = response.send_response(head(), false) else { return };
        let _ = body.send_data(Bytes::copy_from_slice(&frame(1_000)), false);
        while body.send_data(Bytes::from_static(b"x"), false).is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let backend = backend(&[service.port]);
    let mut request = echo("hello");
    request.deadline = tokio::time::Instant::now() + Duration::from_secs(1);
    assert_eq!(said(backend.call(WORKER, request).await.map(text)), "DEADLINE_EXCEEDED DEADLINE_EXCEEDED");
    assert_eq!(backend.status().endpoints[0].failures, 1);
}

#[tokio::test]
async fn a_peer_that_says_nothing_is_no_service() {
    let service = tcp_service(|tcp| async move {
        let _held = tcp;
        std::future::pending().await
    })
    .await;
    let endpoints = vec![EndpointSpec::new("127.0.0.1", service.port, false)];
    let backend = open(endpoints, None);
    let mut request = echo("hello");
    request.deadline = tokio::time::Instant::now() + Duration::from_millis(200);
    assert_eq!(said(backend.call(WORKER, request).await.map(text)), "DEADLINE_EXCEEDED DEADLINE_EXCEEDED");
}
