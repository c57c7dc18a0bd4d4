//! The decision, held against the rules as they are written here a second time: one sentence of A6 after the other, over every
//! combination of what may be known.

use super::*;

const MS: Duration = Duration::from_millis(1);

const CODES: [Code; 17] = [
    Code::Ok,
    Code::Cancelled,
    Code::Unknown,
    Code::InvalidArgument,
    Code::DeadlineExceeded,
    Code::NotFound,
    Code::AlreadyExists,
    Code::PermissionDenied,
    Code::ResourceExhausted,
    Code::FailedPrecondition,
    Code::Aborted,
    Code::OutOfRange,
    Code::Unimplemented,
    Code::Internal,
    Code::Unavailable,
    Code::DataLoss,
    Code::Unauthenticated,
];
const REACHES: [Reach; 4] = [Reach::Unsent, Reach::Unprocessed, Reach::Sent, Reach::Answered];
const PUSHBACKS: [Option<Pushback>; 4] =
    [None, Some(Pushback::Never), Some(Pushback::After(Duration::ZERO)), Some(Pushback::After(Duration::from_millis(100)))];
const TIMES_LEFT: [Duration; 5] =
    [Duration::ZERO, Duration::from_millis(25), Duration::from_millis(26), Duration::from_millis(100), Duration::from_secs(1)];

/// Whether the rules allow another attempt, and after which wait.
fn rules(facts: &Facts<'_>) -> Option<Duration> {
    // "All attempts lie within the call's deadline." And they are bounded, whatever happens.
    let mut wait = Duration::ZERO;
    let mut allowed = facts.made < 64;
    // "Nothing after response headers."
    allowed &= facts.reach != Reach::Answered;
    // "What never left the client is retried freely", at an endpoint that has not been asked.
    let never_left = facts.reach == Reach::Unsent;
    allowed &= !never_left || facts.elsewhere;
    // "What reached the server and was not seen by its application: once, free."
    let once_free = facts.reach == Reach::Unprocessed && !facts.left_undone;
    if !never_left && !once_free {
        // "Otherwise only what the method's `idempotency_level` or the route allows", "configured codes", "attempts",
        allowed &= facts.policy.is_some_and(|policy| policy.codes.contains(&facts.code) && facts.seen < policy.attempts);
        // "budget always on",
        allowed &= facts.budget;
        // "pushback honoured: exactly that, or never".
        allowed &= facts.pushback != Some(Pushback::Never);
        wait = match facts.pushback {
            Some(Pushback::After(exactly)) => exactly,
            _ => facts.backoff,
        };
    }
    (allowed && wait < facts.time_left).then_some(wait)
}

#[test]
fn every_decision_is_as_the_rules_say() {
    let policies = [
        RetryPolicy::default(),
        RetryPolicy { attempts: 1, ..RetryPolicy::default() },
        RetryPolicy { attempts: 5, codes: vec![Code::Internal, Code::Aborted, Code::Unavailable], ..RetryPolicy::default() },
    ];
    let policies = || std::iter::once(None).chain(policies.iter().map(Some));
    let (mut decided, mut again) = (0, 0);
    for code in CODES {
        for reach in REACHES {
            for policy in policies() {
                for seen in 0..=5 {
                    for made in [1, 5, 63, 64] {
                        for pushback in PUSHBACKS {
                            for time_left in TIMES_LEFT {
                                for flags in 0..8 {
                                    let [left_undone, elsewhere, budget] = [flags & 1 != 0, flags & 2 != 0, flags & 4 != 0];
                                    let backoff = MS * 25;
                                    let facts = Facts {
                                        reach,
                                        code,
                                        pushback,
                                        made,
                                        seen,
                                        left_undone,
                                        policy,
                                        elsewhere,
                                        budget,
                                        backoff,
                                        time_left,
                                    };
                                    let wait = match decide(&facts) {
                                        Decision::Answer => None,
                                        Decision::AtOnce => Some(Duration::ZERO),
                                        Decision::After(wait) => Some(wait),
                                    };
                                    let what = || {
                                        format!(
                                            "{reach:?} {code:?} {policy:?} seen {seen} made {made} {pushback:?} {time_left:?} {flags:03b}"
                                        )
                                    };
                                    assert_eq!(wait, rules(&facts), "{}", what());
                                    decided += 1;
                                    again += usize::from(wait.is_some());
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    assert_eq!(decided, 17 * 4 * 4 * 6 * 4 * 4 * 5 * 8);
    assert!(again > 0);
}

#[test]
fn only_what_the_budget_counts_waits() {
    let facts = Facts {
        reach: Reach::Sent,
        code: Code::Unavailable,
        pushback: Some(Pushback::After(Duration::ZERO)),
        made: 1,
        seen: 1,
        left_undone: false,
        policy: Some(&RetryPolicy::default()),
        elsewhere: true,
        budget: true,
        backoff: MS * 25,
        time_left: MS * 1_000,
    };
    assert_eq!(decide(&facts), Decision::After(Duration::ZERO), "pushed back by nothing, and yet a repetition");
    assert_eq!(decide(&Facts { reach: Reach::Unprocessed, ..facts }), Decision::AtOnce);
    assert_eq!(decide(&Facts { reach: Reach::Unsent, ..facts }), Decision::AtOnce);
}

#[test]
fn the_wait_doubles_up_to_the_longest() {
    let policy = RetryPolicy { backoff_min: MS * 25, backoff_max: MS * 150, ..RetryPolicy::default() };
    assert_eq!([1, 2, 3, 4, 40].map(|seen| policy.backoff(seen)), [MS * 25, MS * 50, MS * 100, MS * 150, MS * 150]);
}

#[test]
fn a_wait_is_a_fifth_more_or_less() {
    let waits: Vec<_> = (0..1_000).map(|_| roughly(MS * 1_000)).collect();
    assert!(waits.iter().all(|wait| (MS * 800..=MS * 1_200).contains(wait)));
    assert!(waits.iter().any(|wait| *wait < MS * 900) && waits.iter().any(|wait| *wait > MS * 1_100));
}
