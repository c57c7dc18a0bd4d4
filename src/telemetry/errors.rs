//! The book of errors: how often which failure was seen, and the last examples of it.
//!
//! Promises: only failures pay, and each no more than a look-up under a lock that is held for moments; a flood makes one example a second
//! of a kind, whoever floods; backends cannot fill the book, because of the reasons they make up only [`REASONS_MAX`] are told apart; what
//! an example quotes is without tokens, and has a bound.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use super::mask::shown;
use crate::clock::Clock;
use crate::failure::{Code, Failure, Source};
use crate::id::ConnectionId;

/// Reasons of backends that are told apart; further ones are [`OTHER`]. The gateway's own are fewer, and always are.
const REASONS_MAX: usize = 64;

/// Longer ones are no reasons: google.rpc.ErrorInfo allows 63.
const REASON_BYTES_MAX: usize = 64;

/// What stands for all reasons of a code that are not told apart.
const OTHER: &str = "other";

/// Examples of a kind, and how far apart they are.
const EXAMPLES_MAX: usize = 5;
const EXAMPLES_EVERY: Duration = Duration::from_secs(1);

/// What is kept of a text in an example.
const TEXT_BYTES_MAX: usize = 512;
const NAME_BYTES_MAX: usize = 128;

/// Failures by source, code and reason.
pub struct Errors {
    book: Mutex<Book>,
    clock: Clock,
    since: u64,
}

#[derive(Default)]
struct Book {
    /// By source and code, and then by reason.
    kinds: HashMap<(Source, Code), HashMap<Box<str>, Kind>>,
    /// Reasons of backends among them.
    reasons: usize,
}

/// One kind of failure.
struct Kind {
    count: u64,
    last: Instant,
    /// The last examples, oldest first.
    examples: VecDeque<Example>,
    exemplified: Option<Instant>,
}

/// What stands in the book of one kind of failure.
pub struct Told {
    pub source: Source,
    pub code: Code,
    pub reason: Box<str>,
    pub count: u64,
    pub last_ms: u64,
    /// Newest first.
    pub examples: Vec<Example>,
}

/// Where a failure was seen.
pub struct Where<'a> {
    pub route: Option<&'a Arc<str>>,
    pub user: Option<&'a str>,
    pub connection: ConnectionId,
    pub endpoint: Option<&'a Arc<str>>,
}

/// A failure that was seen.
#[derive(Clone)]
pub struct Example {
    pub at_ms: u64,
    pub route: Option<Arc<str>>,
    pub user: Option<String>,
    pub connection: ConnectionId,
    pub endpoint: Option<Arc<str>>,
    pub message: String,
    pub cause: Option<String>,
}

// === impl Errors ===

impl Errors {
    /// A call has failed.
    pub fn note(&self, failure: &Failure, at: &Where<'_>) {
        let now = Instant::now();
        if !self.lock().kind(failure, now).wants_example(now) {
            return;
        }
        // Made without the lock.
        let example = Example {
            at_ms: self.clock.now_ms(),
            route: at.route.cloned(),
            user: at.user.map(|user| shown(user, NAME_BYTES_MAX)),
            connection: at.connection,
            endpoint: at.endpoint.cloned(),
            message: shown(failure.message(), TEXT_BYTES_MAX),
            cause: failure.cause().map(|cause| shown(cause, TEXT_BYTES_MAX)),
        };
        self.lock().entry(failure, now).keep(example);
    }

    /// When the book was opened, in milliseconds since 1970.
    pub fn since_ms(&self) -> u64 {
        self.since
    }

    /// All that stands in it, the most frequent first.
    pub fn told(&self) -> Vec<Told> {
        let (now, now_ms) = (Instant::now(), self.clock.now_ms());
        let book = self.lock();
        let kinds = book.kinds.iter().flat_map(|(key, reasons)| reasons.iter().map(move |(reason, kind)| (*key, reason, kind)));
        let mut told: Vec<Told> = kinds
            .map(|((source, code), reason, kind)| Told {
                source,
                code,
                reason: reason.clone(),
                count: kind.count,
                last_ms: now_ms.saturating_sub(u64::try_from((now - kind.last).as_millis()).unwrap_or(u64::MAX)),
                examples: kind.examples.iter().rev().cloned().collect(),
            })
            .collect();
        drop(book);
        told.sort_by(|one, other| other.count.cmp(&one.count).then_with(|| one.reason.cmp(&other.reason)));
        told
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("no holder of this lock panics")
    }
}

impl Default for Errors {
    fn default() -> Errors {
        let clock = Clock::system();
        Errors { book: Mutex::default(), since: clock.now_ms(), clock }
    }
}

// === impl Book ===

impl Book {
    /// Counts a failure under its kind.
    fn kind(&mut self, failure: &Failure, now: Instant) -> &mut Kind {
        let kind = self.entry(failure, now);
        kind.count += 1;
        kind.last = now;
        kind
    }

    /// The kind of a failure. One that is there is found without a copy of its reason.
    fn entry(&mut self, failure: &Failure, now: Instant) -> &mut Kind {
        let key = (failure.source(), failure.code());
        let kinds = self.kinds.entry(key).or_default();
        let mut reason = failure.reason();
        if !kinds.contains_key(reason) {
            if failure.source() == Source::Backend && reason != failure.code().name() {
                if self.reasons < REASONS_MAX && is_reason(reason) {
                    self.reasons += 1;
                } else {
                    reason = OTHER;
                }
            }
            if !kinds.contains_key(reason) {
                kinds.insert(reason.into(), Kind { count: 0, last: now, examples: VecDeque::new(), exemplified: None });
            }
        }
        kinds.get_mut(reason).expect("it was there, or was just put there")
    }
}

/// Whether it looks as google.rpc.ErrorInfo says that reasons do. What does not could be anything, and stands nowhere.
fn is_reason(text: &str) -> bool {
    text.len() <= REASON_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

// === impl Kind ===

impl Kind {
    /// Whether it is time for another example; whoever is told so brings one.
    fn wants_example(&mut self, now: Instant) -> bool {
        let wants = self.exemplified.is_none_or(|last| now.saturating_duration_since(last) >= EXAMPLES_EVERY);
        if wants {
            self.exemplified = Some(now);
        }
        wants
    }

    fn keep(&mut self, example: Example) {
        if self.examples.len() == EXAMPLES_MAX {
            self.examples.pop_front();
        }
        self.examples.push_back(example);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::failure::Reason;

    fn nowhere<'a>() -> Where<'a> {
        Where { route: None, user: Some("ann"), connection: ConnectionId(1), endpoint: None }
    }

    fn backends(reason: &str, message: &str) -> Failure {
        Failure::backend(Code::NotFound, Some(reason.to_owned()), message.to_owned(), vec![])
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_counted_by_source_code_and_reason_and_the_last_examples_kept() {
        let errors = Errors::default();
        for number in 0..8 {
            errors.note(&Failure::gateway(Reason::RateLimited, format!("number {number}")).because("spent"), &nowhere());
            errors.note(&Failure::gateway(Reason::RateLimited, "in the same moment"), &nowhere());
            advance(EXAMPLES_EVERY).await;
        }
        errors.note(&backends("RATE_LIMITED", "a backend may say the same"), &nowhere());
        let told = errors.told();
        assert_eq!((told.len(), told[0].count, told[1].count), (2, 16, 1));
        assert_eq!((told[0].source, &*told[0].reason, told[1].source), (Source::Gateway, "RATE_LIMITED", Source::Backend));
        let messages: Vec<&str> = told[0].examples.iter().map(|example| &*example.message).collect();
        assert_eq!(messages, ["number 7", "number 6", "number 5", "number 4", "number 3"]);
        assert_eq!(told[0].examples[0].cause.as_deref(), Some("spent"));
    }

    #[tokio::test(start_paused = true)]
    async fn reasons_that_backends_make_up_do_not_fill_the_book() {
        let errors = Errors::default();
        for number in 0..10_000 {
            errors.note(&backends(&format!("REASON_{number}"), "x"), &nowhere());
        }
        for wrong in ["", "lower", "A B", "Bearer abcdefghijk", &"A".repeat(65)] {
            errors.note(&backends(wrong, "x"), &nowhere());
        }
        // A code's own name is bounded by the number of codes.
        errors.note(&Failure::backend(Code::NotFound, None, "x".into(), vec![]), &nowhere());
        let told = errors.told();
        assert_eq!(told.len(), REASONS_MAX + 2);
        // An empty reason is one of the right shape that came too late.
        assert_eq!((&*told[0].reason, told[0].count), (OTHER, 10_000 - REASONS_MAX as u64 + 5));
        assert_eq!(told.iter().map(|kind| kind.count).sum::<u64>(), 10_006);
    }

    #[tokio::test(start_paused = true)]
    async fn an_example_has_a_bound_and_holds_no_token() {
        let errors = Errors::default();
        let text = format!("Bearer abcdefghijklm {}", "x".repeat(1 << 20));
        errors.note(&backends("NO", &text).because(&text), &Where { user: Some(&text), ..nowhere() });
        let example = &errors.told()[0].examples[0];
        let texts = [&example.message, example.cause.as_ref().unwrap(), example.user.as_ref().unwrap()];
        assert!(texts.iter().all(|text| text.starts_with("Bearer *** x") && text.ends_with('…') && text.len() <= TEXT_BYTES_MAX));
    }
}
