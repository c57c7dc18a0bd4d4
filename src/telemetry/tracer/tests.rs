//! What becomes of spans between whoever offers them and the collector.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, advance, timeout};

use super::queue::{BATCH, BYTES_MAX, LINGER, SPANS_MAX};
use super::{Collector, Kind, Span, Text, Tracer};

fn span(name: &str) -> Span {
    Span {
        trace: 1,
        id: 1,
        parent: None,
        name: Text::Shared(name.into()),
        kind: Kind::Internal,
        began: Instant::now(),
        ended: Instant::now(),
        failed: None,
        attributes: Vec::new(),
    }
}

fn spans(count: usize) -> Vec<Span> {
    (0..count).map(|_| span("a")).collect()
}

/// Where nobody listens.
fn collector() -> Collector {
    Collector {
        url: "http://127.0.0.1:1".to_owned(),
        headers: Vec::new(),
        service_name: "protogate".to_owned(),
        unsampled_max: (2, Duration::from_secs(1)),
    }
}

#[tokio::test(start_paused = true)]
async fn a_span_waits_for_others_and_a_full_batch_does_not() {
    let tracer = Tracer::default();
    assert!(timeout(Duration::from_secs(3600), tracer.queue.batch()).await.is_err(), "there is nothing");
    tracer.offer(spans(3));
    let began = Instant::now();
    assert_eq!((tracer.queue.batch().await.len(), began.elapsed()), (3, LINGER));
    tracer.offer(spans(BATCH + 3));
    let began = Instant::now();
    assert_eq!((tracer.queue.batch().await.len(), began.elapsed()), (BATCH, Duration::ZERO));
    assert_eq!((tracer.queue.batch().await.len(), tracer.dropped()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_drops_calls_whole_and_counts_their_spans() {
    let tracer = Tracer::default();
    tracer.offer(spans(SPANS_MAX - 1));
    tracer.offer(spans(2));
    assert_eq!((tracer.queue.len(), tracer.dropped()), (SPANS_MAX - 1, 2));
    tracer.offer(spans(1));
    assert_eq!((tracer.queue.len(), tracer.dropped()), (SPANS_MAX, 2));
    tracer.queue.take();
    tracer.offer(spans(1));
    assert_eq!(tracer.dropped(), 2, "what was taken makes room");
}

#[tokio::test(start_paused = true)]
async fn so_are_bytes_bounded() {
    let tracer = Tracer::default();
    let large = "x".repeat(BYTES_MAX / 2 - size_of::<Span>());
    for _ in 0..3 {
        tracer.offer(vec![span(&large)]);
    }
    assert_eq!((tracer.queue.len(), tracer.dropped()), (2, 1));
    tracer.queue.take();
    tracer.offer(vec![span(&large), span(&large)]);
    assert_eq!((tracer.queue.len(), tracer.dropped()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn beyond_the_share_there_are_so_many_in_so_long() {
    let tracer = Tracer::default();
    assert!(!tracer.allows_another(), "there is no collector");
    tracer.export_to(Some(Arc::new(collector())));
    let many = |tracer: &Tracer| (0..1000).filter(|_| tracer.allows_another()).count();
    assert_eq!(many(&tracer), 2);
    advance(Duration::from_millis(500)).await;
    assert_eq!(many(&tracer), 1);
    advance(Duration::from_secs(3600)).await;
    assert_eq!(many(&tracer), 2, "what was not used is not saved up");
    tracer.export_to(Some(Arc::new(collector())));
    assert_eq!(many(&tracer), 0, "a reload that changes nothing gives nothing");
}

#[tokio::test]
async fn a_collector_that_is_not_there_costs_spans_alone() {
    let tracer = Tracer::default();
    tracer.export_to(Some(Arc::new(collector())));
    tracer.offer(spans(5));
    // It ends at once: what waits is tried once.
    tracer.export(async {}).await;
    assert_eq!((tracer.queue.len(), tracer.dropped()), (0, 5));
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_given_up_after_a_few_attempts() {
    let tracer = Tracer::default();
    tracer.export_to(Some(Arc::new(collector())));
    tracer.offer(spans(5));
    let began = Instant::now();
    let exporting = tracer.export(pending());
    tokio::pin!(exporting);
    while tracer.dropped() == 0 {
        assert!(timeout(Duration::from_millis(100), &mut exporting).await.is_err(), "it goes on");
        assert!(began.elapsed() < Duration::from_secs(120));
    }
    assert_eq!(tracer.dropped(), 5);
    assert!(began.elapsed() >= LINGER + Duration::from_secs(1 + 2 + 4), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_is_offered_while_spans_go_nowhere_is_forgotten() {
    let tracer = Tracer::default();
    tracer.offer(spans(5));
    assert!(timeout(Duration::from_secs(5), tracer.export(pending())).await.is_err());
    assert_eq!((tracer.queue.len(), tracer.dropped()), (0, 0));
}
