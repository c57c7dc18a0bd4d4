//! `GET /api/v1/tap`: calls as they end, a line of JSON each, for as long as somebody reads.
//!
//! Promises: it ends when its time is over, whether it is read or not; when the operator leaves nothing of it is left.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Incoming;
use tokio::time::{Instant, sleep, sleep_until};

use super::audit::Audit;
use super::life::Life;
use super::query::Query;
use super::{Admin, Reply, error};
use crate::telemetry::taps::{Filter, TAPS_MAX, Tap, Wanted};

/// How long it lasts where nothing is said, and at most.
const SECONDS: u64 = 60;
const SECONDS_MAX: u64 = 3600;

/// How long nothing is said at most.
const QUIET_MAX: Duration = Duration::from_secs(15);

/// How much longer its connection may live, for the last lines.
const SLACK: Duration = Duration::from_secs(5);

/// `GET /api/v1/tap?route=&user=&seconds=`
pub fn open(admin: &Admin, request: &Request<Incoming>, query: &Query, audit: &Audit) -> Reply {
    let asked = |name| query.text(name).filter(|text| !text.is_empty());
    let filter = Filter { route: asked("route").map(Wanted::said), user: asked("user").map(str::to_owned) };
    audit.what(format!("calls of route {}, of user {}", asked("route").unwrap_or("any"), asked("user").unwrap_or("any")));
    let seconds = match query.value("seconds") {
        Ok(None) => Duration::from_secs(SECONDS),
        Ok(Some(seconds @ 1..=SECONDS_MAX)) => Duration::from_secs(seconds),
        Ok(_) => return error(StatusCode::BAD_REQUEST, &format!("`seconds` is between 1 and {SECONDS_MAX}")),
        Err(refusal) => return *refusal,
    };
    if *request.method() == Method::HEAD {
        return lines(Empty::new().boxed_unsync());
    }
    let Some(tap) = admin.observers.taps.open(filter) else {
        return error(StatusCode::SERVICE_UNAVAILABLE, &format!("{TAPS_MAX} taps are open, which is as many as may be; close one first"));
    };
    // What is read is bounded by `until`; what is not read is bounded by the life of its connection.
    if let Some(life) = request.extensions().get::<Life>() {
        life.last(seconds + SLACK);
    }
    let until = Instant::now() + seconds;
    lines(StreamBody::new(stream::unfold(Some(tap), move |tap| said(tap, until))).boxed_unsync())
}

/// The next lines, until then; and then what still waits, or is missing.
async fn said(tap: Option<Tap>, until: Instant) -> Option<(Result<Frame<Bytes>, Infallible>, Option<Tap>)> {
    let tap = tap?;
    // Both are cancel-safe.
    tokio::select! {
        biased;
        () = sleep_until(until) => {
            let last = tap.take()?;
            Some((Ok(Frame::data(last)), None))
        }
        lines = tap.next() => Some((Ok(Frame::data(lines)), Some(tap))),
        // That nobody reads any more is seen when something is written.
        () = sleep(QUIET_MAX) => Some((Ok(Frame::data(Bytes::from_static(b"{\"lost\":0}\n"))), Some(tap))),
    }
}

fn lines(body: http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>) -> Reply {
    let mut reply = Response::new(body);
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    reply.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}
