//! `GET /metrics`: everything that is measured, looked up where it lives at the moment it is asked for.
//!
//! Promises: what is written is what the list in `telemetry/metrics` has, all of it and nothing else; a scrape holds nobody up, for what
//! is counted on the data path is read without a lock. A route shows more than its successes only once it was called, so that ten thousand
//! routes of which few are used are no burden to whoever stores this.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, prometheus_text, text};
use prometheus_client::registry::Registry;
use tokio::task::spawn_blocking;

use super::statistics::counted;
use super::{Admin, Reply};
use crate::table::Table;
use crate::telemetry::counters::Counts;
use crate::telemetry::histogram::Spread;
use crate::telemetry::metrics::*;
use crate::telemetry::process::Process;

/// What is said to those that speak OpenMetrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// One scrape.
struct Scrape {
    admin: Arc<Admin>,
    live: Arc<Table>,
}

/// `GET /metrics`: as OpenMetrics, or in Prometheus' older format for those that name that alone.
pub async fn scrape(admin: &Arc<Admin>, request: &Request<Incoming>) -> Reply {
    let scrape = Scrape { admin: Arc::clone(admin), live: admin.reloader.reader().load() };
    let is_old = names_only_the_old_format(request.headers());
    // With ten thousand routes it is some megabytes.
    let written = spawn_blocking(move || scrape.write(is_old)).await.expect("writing does not panic and is not aborted");
    let mut reply = Response::new(Full::new(Bytes::from(written)).boxed_unsync());
    let kind = if is_old { prometheus_text::CONTENT_TYPE } else { OPEN_METRICS };
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    reply.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

fn names_only_the_old_format(headers: &HeaderMap) -> bool {
    let accepts =
        |kind| headers.get_all(header::ACCEPT).iter().filter_map(|accept| accept.to_str().ok()).any(|accept| accept.contains(kind));
    accepts("text/plain") && !accepts("application/openmetrics-text")
}

// === impl Scrape ===

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrape")
    }
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let writer = &mut Writer::new(encoder);
        self.routes(writer)?;
        self.refusals(writer)?;
        self.edge(writer)?;
        self.backends(writer)?;
        self.pushes(writer)?;
        self.configuration(writer)?;
        self.observers(writer)?;
        process(writer)
    }
}

impl Scrape {
    fn write(self, is_old: bool) -> String {
        let (mut registry, mut written) = (Registry::default(), String::new());
        registry.register_collector(Box::new(self));
        let done = if is_old { prometheus_text::encode(&mut written, &registry) } else { text::encode(&mut written, &registry) };
        done.expect("a string takes all that is written to it");
        written
    }

    fn routes(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let all: Vec<(&str, Counts)> = counted(&self.admin, &self.live).map(|(route, counters)| (route, counters.sum())).collect();
        writer.metric(REQUESTS, |samples| {
            all.iter().try_for_each(|(route, counts)| {
                // Success is there from the start, so that the first one is seen as one more.
                let mut ends = counts.ends().enumerate().filter(|(index, ends)| *index == 0 || ends.count > 0);
                ends.try_for_each(|(_, ends)| samples.count(&[route, ends.code.name(), ends.reason], ends.count))
            })
        })?;
        let mut histogram = |metric, of: fn(&Counts) -> &Spread| {
            let mut recorded = all.iter().map(|(route, counts)| (*route, of(counts))).filter(|(_, spread)| spread.count() > 0);
            writer.metric(metric, |samples| recorded.try_for_each(|(route, spread)| samples.histogram(&[route], spread)))
        };
        histogram(REQUEST_SECONDS, |counts| &counts.took)?;
        histogram(REQUEST_QUEUE_SECONDS, |counts| &counts.queued)?;
        histogram(REQUEST_BACKEND_SECONDS, |counts| &counts.backend)?;
        let mut both = |metric, of: fn(&Counts) -> [u64; 2]| {
            let mut moved = all.iter().map(|(route, counts)| (*route, of(counts))).filter(|(_, both)| *both != [0, 0]);
            writer.metric(metric, |samples| {
                moved.try_for_each(|(route, [inward, outward])| {
                    samples.count(&[route, "in"], inward)?;
                    samples.count(&[route, "out"], outward)
                })
            })
        };
        both(REQUEST_BYTES, |counts| counts.bytes)?;
        both(STREAM_MESSAGES, |counts| counts.messages)
    }

    /// What limits and guards did.
    fn refusals(&self, writer: &mut Writer<'_>) -> fmt::Result {
        writer.metric(LIMIT_REFUSALS, |samples| {
            let mut limiters = self.live.limiters.iter();
            limiters.try_for_each(|limiter| samples.count(&[&limiter.spec().name, limiter.spec().mode.name()], limiter.refused()))
        })?;
        let guards = self.live.routes().flat_map(|route| &route.guards);
        let misses: BTreeMap<&str, u64> = guards.map(|guard| (guard.path.path().trim_start_matches('/'), guard.misses.get())).collect();
        writer.counts(GUARD_MISSES, misses)
    }

    fn edge(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let (admin, counters) = (&self.admin, &self.admin.observers.edge);
        writer.gauge(CONNECTIONS, (admin.connections)().into())?;
        writer.gauge(CONNECTIONS_MAX, self.live.settings.connections_max.into())?;
        writer.gauge(CONNECTIONS_ANONYMOUS, (admin.anonymous)().into())?;
        writer.count(ACCEPTS, counters.accepts.get())?;
        writer.counts(REFUSALS, counters.refusals.all())?;
        writer.counts(CLOSES, counters.closes.all())?;
        writer.gauge(OUTBOX_BYTES, admin.outboxes.used() as f64)?;
        writer.gauge(OUTBOX_BYTES_MAX, admin.outboxes.bytes_max() as f64)?;
        writer.count(SLOW_CONSUMERS, counters.slow.get())?;
        writer.histogram(HEARTBEAT_SECONDS, &counters.heartbeat.spread())?;
        writer.counts(TOKENS_REFUSED, self.live.verifier.refusals().all())?;
        writer.gauge(SESSIONS, self.live.sessions.len() as f64)?;
        writer.counts(RESUMES, counters.resumes.all())
    }

    fn backends(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let all: Vec<_> = self.live.backends.iter().map(|backend| backend.status()).collect();
        let unkeyed = self.live.backends.iter().map(|backend| (backend.name(), backend.unkeyed()));
        writer.gauges(BACKEND_IN_FLIGHT, all.iter().map(|backend| (&backend.name, backend.in_flight as f64)))?;
        writer.gauges(BACKEND_PENDING, all.iter().map(|backend| (&backend.name, backend.pending as f64)))?;
        writer.counts(BACKEND_RETRIES, all.iter().map(|backend| (&backend.name, backend.retries)))?;
        writer.counts(BACKEND_SHEDS, all.iter().map(|backend| (&backend.name, backend.sheds)))?;
        writer.counts(BACKEND_UNKEYED, unkeyed)?;
        writer.gauges(BACKEND_RETRY_BUDGET, all.iter().map(|backend| (&backend.name, backend.retry_budget as f64)))?;
        writer.gauges(BACKEND_RETRIES_IN_FLIGHT, all.iter().map(|backend| (&backend.name, backend.retries_in_flight as f64)))?;

        let endpoints =
            || all.iter().flat_map(|backend| backend.endpoints.iter().map(|endpoint| (&*backend.name, &*endpoint.address, endpoint)));
        writer.metric(ENDPOINT_IN_FLIGHT, |samples| {
            endpoints().try_for_each(|(backend, address, endpoint)| samples.gauge(&[backend, address], endpoint.in_flight as f64))
        })?;
        writer.metric(ENDPOINT_ATTEMPTS, |samples| {
            endpoints().try_for_each(|(backend, address, endpoint)| {
                // They go on while they are read, so that more may have failed than were made.
                samples.count(&[backend, address, "success"], endpoint.calls.saturating_sub(endpoint.failures))?;
                samples.count(&[backend, address, "failure"], endpoint.failures)
            })
        })?;
        writer.metric(ENDPOINT_STATE, |samples| {
            endpoints().try_for_each(|(backend, address, endpoint)| {
                let mut states = endpoint.state.among_all().into_iter();
                states.try_for_each(|(state, is_in)| samples.gauge(&[backend, address, state], is_in.into()))
            })
        })?;
        writer.metric(ENDPOINT_EJECTIONS, |samples| {
            endpoints().try_for_each(|(backend, address, endpoint)| samples.count(&[backend, address], endpoint.ejections))
        })
    }

    fn pushes(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let (pushes, outboxes) = (self.live.sessions.pushes(), &self.admin.outboxes.pushes);
        writer.count(PUSHES_PUBLISHED, pushes.published.get())?;
        writer.count(PUSHES_DELIVERED, outboxes.delivered.get())?;
        writer.counts(PUSHES_DROPPED, outboxes.dropped.all().chain([("unpublished", pushes.unpublished.get())]))?;
        writer.histogram(BUS_LAG_SECONDS, &pushes.lag.spread())?;
        writer.gauge(TOPICS, self.live.hub.len() as f64)?;
        writer.gauge(HISTORY_BYTES, self.live.hub.history_bytes() as f64)
    }

    fn configuration(&self, writer: &mut Writer<'_>) -> fmt::Result {
        let counters = self.admin.reloader.counters();
        let last = counters.last();
        writer.gauge(CONFIG_GENERATION, self.live.generation.0 as f64)?;
        writer.metric(CONFIG_INFO, |samples| samples.info(&[&self.live.fingerprint.to_string()]))?;
        writer.counts(CONFIG_RELOADS, counters.outcomes.all())?;
        writer.gauges(CONFIG_ERRORS, last.errors.iter().map(|(code, count)| (code, *count as f64)))?;
        writer.gauge(CONFIG_LAST_RELOAD_SUCCESSFUL, last.is_successful.into())?;
        writer.gauge(CONFIG_LAST_SUCCESS, last.success_ms as f64 / 1e3)?;
        writer.gauge(CONFIG_LAST_ATTEMPT, last.attempt_ms as f64 / 1e3)?;
        writer.gauge(TABLES_ALIVE, self.admin.observers.tables.count() as f64)
    }

    fn observers(&self, writer: &mut Writer<'_>) -> fmt::Result {
        writer.count(SPANS_DROPPED, self.admin.observers.tracer.dropped())?;
        writer.gauge(TAPS, self.admin.observers.taps.watchers() as f64)?;
        writer.metric(BUILD_INFO, |samples| samples.info(&[env!("CARGO_PKG_VERSION")]))
    }
}

/// Without samples where the kernel tells nothing.
fn process(writer: &mut Writer<'_>) -> fmt::Result {
    let process = Process::look();
    writer.metric(PROCESS_CPU_SECONDS, |samples| process.iter().try_for_each(|process| samples.amount(&[], process.cpu_seconds)))?;
    let mut gauge = |metric, of: fn(&Process) -> Option<f64>| {
        writer.metric(metric, |samples| process.iter().filter_map(of).try_for_each(|value| samples.gauge(&[], value)))
    };
    gauge(PROCESS_RESIDENT_MEMORY_BYTES, |process| Some(process.resident_bytes as f64))?;
    gauge(PROCESS_OPEN_FDS, |process| Some(process.open_fds as f64))?;
    gauge(PROCESS_MAX_FDS, |process| process.max_fds.map(|most| most as f64))?;
    gauge(PROCESS_START_TIME_SECONDS, |process| Some(process.start_seconds))
}

#[cfg(test)]
mod tests;
