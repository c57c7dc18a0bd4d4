//! The task that takes spans to the collector, in batches, for as long as the gateway runs.
//!
//! Promises: a batch is tried a few times and then dropped, so that a collector that is gone costs nothing but spans; what waits when the
//! gateway ends is sent before it does, if that takes no two seconds.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::otlp::{self, Batch, Connection, Refused};
use super::{Span, Tracer};
use crate::random;

/// How often a batch is sent at most, and the wait after the first time, which doubles.
const ATTEMPTS_MAX: u32 = 4;
const BACKOFF: Duration = Duration::from_secs(1);

/// How long the end of the gateway waits for the batch that is being sent, and then for what is left.
const FLUSH_PATIENCE: Duration = Duration::from_millis(800);

/// The exporting side of a tracer.
struct Exporter<'a> {
    tracer: &'a Tracer,
    connection: Option<Connection>,
    /// Tells this gateway from others of its name.
    instance: String,
    /// How many spans are on their way.
    in_hand: usize,
}

/// Why a batch was not exported.
enum Undone {
    Refused(Refused),
    /// Spans are exported nowhere any more.
    Off,
}

// === impl Tracer ===

impl Tracer {
    /// Exports what is offered until it is told to stop, and then what is left.
    pub async fn export(&self, stopping: impl Future<Output = ()>) {
        let mut exporter = Exporter { tracer: self, connection: None, instance: random::id(), in_hand: 0 };
        tokio::pin!(stopping);
        loop {
            let spans = tokio::select! {
                biased;
                () = &mut stopping => break,
                // A connection to a collector that is none any more is closed.
                () = self.changed.notified() => {
                    exporter.connection = None;
                    continue;
                }
                spans = self.queue.batch() => spans,
            };
            let stops = {
                let carried = exporter.carry(spans);
                tokio::pin!(carried);
                tokio::select! {
                    biased;
                    () = &mut stopping => {
                        _ = timeout(FLUSH_PATIENCE, carried).await;
                        true
                    }
                    () = &mut carried => false,
                }
            };
            if stops {
                break;
            }
        }
        let left = exporter.in_hand;
        _ = timeout(FLUSH_PATIENCE, exporter.flush()).await;
        self.drop_spans(left + exporter.in_hand + self.queue.len(), "the gateway ends");
    }
}

// === impl Exporter ===

impl Exporter<'_> {
    /// Takes a batch to the collector, more than once if need be.
    async fn carry(&mut self, spans: Vec<Span>) {
        // Told in the words of the collector that is there now; another one that comes meanwhile is told the same.
        let Some(batch) = self.take_in_hand(spans) else { return };
        let (tracer, mut attempt) = (self.tracer, 1);
        let undone = loop {
            let trying = async {
                match self.send(batch.clone()).await {
                    Err(Undone::Refused(refused)) if refused.again && attempt < ATTEMPTS_MAX => {
                        sleep(BACKOFF * 2_u32.pow(attempt - 1)).await;
                        None
                    }
                    done => Some(done.err()),
                }
            };
            tokio::select! {
                biased;
                // Whoever is no collector any more is not waited for.
                () = tracer.changed.notified() => self.connection = None,
                tried = trying => match tried {
                    Some(done) => break done,
                    None => attempt += 1,
                },
            }
        };
        self.put_down(undone);
    }

    /// Sends all that waits, each batch once.
    async fn flush(&mut self) {
        self.in_hand = 0;
        while self.tracer.queue.len() > 0 {
            let spans = self.tracer.queue.take();
            let Some(batch) = self.take_in_hand(spans) else { return };
            let undone = self.send(batch).await.err();
            let refused = undone.is_some();
            self.put_down(undone);
            if refused {
                return;
            }
        }
    }

    fn take_in_hand(&mut self, spans: Vec<Span>) -> Option<Batch> {
        let collector = self.tracer.collector.load_full()?;
        self.in_hand = spans.len();
        Some(otlp::batch(spans, &collector, &self.instance))
    }

    fn put_down(&mut self, undone: Option<Undone>) {
        let count = std::mem::take(&mut self.in_hand);
        if let Some(Undone::Refused(refused)) = undone {
            self.tracer.drop_spans(count, &refused.why);
        }
    }

    async fn send(&mut self, batch: Batch) -> Result<(), Undone> {
        let collector = self.tracer.collector.load_full().ok_or(Undone::Off)?;
        if self.connection.as_ref().is_none_or(|connection| !Arc::ptr_eq(&connection.collector, &collector)) {
            self.connection = Some(Connection::to(&collector).await.map_err(Undone::Refused)?);
        }
        let connection = self.connection.as_mut().expect("made just now");
        match connection.send(batch).await {
            Ok(unwanted) => {
                // It cannot have refused more than it was given.
                self.tracer.drop_spans(unwanted.min(self.in_hand), "the collector does not want them");
                Ok(())
            }
            Err(refused) => {
                // It may be dead and not know it.
                self.connection = None;
                Err(Undone::Refused(refused))
            }
        }
    }
}
