//! The breaker by itself, with a clock that is moved by hand, and beside a model of it.

use proptest::prelude::*;

use super::*;
use crate::failure::Reason;

const MS: Duration = Duration::from_millis(1);

fn spec() -> BreakerSpec {
    BreakerSpec { consecutive_failures: 3, open_min: MS * 1_000, open_max: MS * 8_000, ..BreakerSpec::default() }
}

/// The breaker of the only endpoint there is.
fn alone(spec: &BreakerSpec) -> Breaker {
    of(spec, 1)
}

/// The breaker of one among several.
fn of(spec: &BreakerSpec, endpoints: usize) -> Breaker {
    let ejections = Ejections::new(spec.ejected_percent);
    ejections.set_endpoints(endpoints);
    Breaker::new(spec, &ejections)
}

/// So many calls that end so.
fn calls(breaker: &Breaker, count: usize, verdict: Verdict, now: Instant) {
    for _ in 0..count {
        let admission = breaker.admit(now).expect("it takes calls");
        breaker.record(admission, verdict, now);
    }
}

/// Opens, and waits until one call may go through.
fn opened(breaker: &Breaker, now: Instant) -> Instant {
    calls(breaker, 3, Verdict::Failure, now);
    now + MS * 1_200
}

#[test]
fn failures_in_a_row_open_it() {
    let (breaker, now) = (alone(&spec()), Instant::now());
    calls(&breaker, 2, Verdict::Failure, now);
    calls(&breaker, 1, Verdict::Success, now);
    calls(&breaker, 2, Verdict::Failure, now);
    assert!(breaker.takes(now), "not in a row");
    calls(&breaker, 1, Verdict::Silent, now);
    calls(&breaker, 1, Verdict::Failure, now);
    assert!(!breaker.takes(now) && breaker.admit(now).is_none(), "what says nothing does not interrupt a row");
    assert!(breaker.wait(now).is_some_and(|wait| (MS * 800..=MS * 1_200).contains(&wait)));
    assert_eq!(breaker.opened(), 1);
}

#[test]
fn too_few_successes_in_the_window_open_it_if_there_were_enough_answers() {
    let spec = BreakerSpec { consecutive_failures: 1_000, success_percent: Some(80), window: MS * 10_000, requests_min: 20, ..spec() };
    let (breaker, now) = (alone(&spec), Instant::now());
    calls(&breaker, 5, Verdict::Failure, now);
    calls(&breaker, 14, Verdict::Success, now);
    assert!(breaker.takes(now), "too few to judge");
    calls(&breaker, 1, Verdict::Failure, now);
    assert!(!breaker.takes(now), "14 of 20 are less than 80 %");

    let breaker = alone(&spec);
    calls(&breaker, 10, Verdict::Failure, now);
    calls(&breaker, 9, Verdict::Success, now);
    let later = now + MS * 11_000;
    calls(&breaker, 19, Verdict::Success, later);
    calls(&breaker, 4, Verdict::Failure, later);
    assert!(breaker.takes(later), "19 of 23 are more, and what is older does not count");
}

#[test]
fn after_a_while_exactly_one_call_goes_through_and_closes_it() {
    let (breaker, now) = (alone(&spec()), Instant::now());
    let now = opened(&breaker, now);
    let probe = breaker.admit(now).expect("one");
    assert!(!breaker.takes(now) && breaker.admit(now).is_none(), "and no other");
    breaker.record(probe, Verdict::Success, now);
    assert!(!breaker.is_open() && breaker.wait(now).is_none());
    calls(&breaker, 2, Verdict::Failure, now);
    assert!(breaker.takes(now), "it begins afresh");
}

#[test]
fn however_many_workers_ask_at_once_one_call_goes_through() {
    let (breaker, now) = (alone(&spec()), Instant::now());
    let mut now = opened(&breaker, now);
    for _ in 0..50 {
        let admitted: Vec<Admission> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4).map(|_| scope.spawn(|| breaker.admit(now))).collect();
            workers.into_iter().filter_map(|worker| worker.join().expect("nobody panics")).collect()
        });
        let [probe] = admitted[..] else { panic!("{} calls went through", admitted.len()) };
        breaker.record(probe, Verdict::Failure, now);
        now += MS * 10_000;
    }
}

#[test]
fn a_probe_that_fails_opens_it_for_twice_as_long_up_to_the_longest() {
    let (breaker, now) = (alone(&spec()), Instant::now());
    let mut now = opened(&breaker, now);
    for pause in [2_000, 4_000, 8_000, 8_000] {
        let probe = breaker.admit(now).expect("one");
        breaker.record(probe, Verdict::Failure, now);
        let wait = breaker.wait(now).expect("it is open");
        assert!((MS * pause * 4 / 5..=MS * pause * 6 / 5).contains(&wait), "{wait:?}, not {pause} ms");
        assert!(!breaker.takes(now));
        now += wait;
    }
    let probe = breaker.admit(now).expect("one");
    breaker.record(probe, Verdict::Success, now);
    calls(&breaker, 3, Verdict::Failure, now);
    assert!(breaker.wait(now).is_some_and(|wait| wait <= MS * 1_200), "once well, it begins with the shortest again");
}

#[test]
fn a_probe_that_comes_to_nothing_lets_the_next_one_through() {
    let (breaker, now) = (alone(&spec()), Instant::now());
    let now = opened(&breaker, now);
    let dropped = breaker.admit(now).expect("one");
    breaker.record(dropped, Verdict::Silent, now);
    let endless = breaker.admit(now).expect("the next");
    assert!(!breaker.takes(now + PROBE_MAX - MS));
    let third = breaker.admit(now + PROBE_MAX).expect("the time of the other is up");
    breaker.record(endless, Verdict::Failure, now + PROBE_MAX);
    breaker.record(third, Verdict::Success, now + PROBE_MAX);
    assert!(!breaker.is_open());
}

#[test]
fn answers_from_before_change_nothing() {
    let (breaker, now) = (alone(&spec()), Instant::now());
    let early: Vec<_> = (0..10).map(|_| breaker.admit(now).expect("it takes calls")).collect();
    let later = opened(&breaker, now);
    breaker.record(early[0], Verdict::Success, now);
    breaker.record(early[1], Verdict::Failure, now);
    assert!(breaker.is_open() && breaker.opened() == 1);
    let probe = breaker.admit(later).expect("one");
    breaker.record(probe, Verdict::Success, later);
    for admission in &early[2..] {
        breaker.record(*admission, Verdict::Failure, later);
    }
    assert!(!breaker.is_open(), "they are not failures of what came back");
}

#[test]
fn never_more_than_the_share_are_open_and_always_one_may_be() {
    for (endpoints, percent, expected) in [(1, 0, 1), (1, 50, 1), (3, 50, 1), (4, 50, 2), (10, 30, 3), (5, 100, 5), (5, 0, 1)] {
        let spec = BreakerSpec { ejected_percent: percent, ..spec() };
        let ejections = Ejections::new(percent);
        ejections.set_endpoints(endpoints);
        let breakers: Vec<_> = (0..endpoints).map(|_| Breaker::new(&spec, &ejections)).collect();
        let now = Instant::now();
        breakers.iter().for_each(|breaker| calls(breaker, 3, Verdict::Failure, now));
        let open = || breakers.iter().filter(|breaker| breaker.is_open()).count();
        assert_eq!(open(), expected, "{percent} % of {endpoints}");

        // One comes back; the next failure of another takes its place.
        let later = now + MS * 1_200;
        let back = breakers.iter().find(|breaker| breaker.is_open()).expect("one is open");
        calls(back, 1, Verdict::Success, later);
        if let Some(other) = breakers.iter().rfind(|breaker| !breaker.is_open()).filter(|other| !std::ptr::eq(*other, back)) {
            calls(other, 1, Verdict::Failure, later);
            assert!(other.is_open());
            assert_eq!(open(), expected);
        }
    }
}

#[test]
fn an_endpoint_that_is_gone_takes_no_part_in_the_share() {
    let ejections = Ejections::new(50);
    ejections.set_endpoints(2);
    let (gone, stays) = (Breaker::new(&spec(), &ejections), Breaker::new(&spec(), &ejections));
    let now = Instant::now();
    calls(&gone, 3, Verdict::Failure, now);
    calls(&stays, 3, Verdict::Failure, now);
    assert!(gone.is_open() && !stays.is_open());
    drop(gone);
    calls(&stays, 1, Verdict::Failure, now);
    assert!(stays.is_open());
}

#[test]
fn what_an_answer_says_about_its_endpoint() {
    let spec = BreakerSpec::default();
    let gateway = |reason| Failure::gateway(reason, "");
    let backend = |code| Failure::backend(code, None, String::new(), Vec::new());
    let table = [
        (backend(Code::Unavailable), Verdict::Failure),
        (backend(Code::Internal), Verdict::Failure),
        (backend(Code::DataLoss), Verdict::Failure),
        (backend(Code::DeadlineExceeded), Verdict::Failure),
        (backend(Code::Unknown), Verdict::Success),
        (backend(Code::NotFound), Verdict::Success),
        (backend(Code::ResourceExhausted), Verdict::Success),
        (gateway(Reason::DeadlineExceeded), Verdict::Failure),
        (gateway(Reason::BadReply), Verdict::Failure),
        (gateway(Reason::ReplyTooLarge), Verdict::Success),
        (gateway(Reason::Overloaded).unsent(), Verdict::Silent),
        (gateway(Reason::Unavailable), Verdict::Silent),
        (gateway(Reason::Unavailable).unsent(), Verdict::Silent),
        (gateway(Reason::Unavailable).reached(Reach::Unprocessed), Verdict::Silent),
        (gateway(Reason::DeadlineExceeded).unsent(), Verdict::Silent),
    ];
    for (failure, verdict) in table {
        assert_eq!(Verdict::of(&failure, &spec, false), verdict, "{failure:?}");
    }
    for late in [backend(Code::DeadlineExceeded), gateway(Reason::DeadlineExceeded)] {
        assert_eq!(Verdict::of(&late, &spec, true), Verdict::Silent, "its caller was in a hurry");
    }
    assert_eq!(Verdict::of(&backend(Code::Internal), &spec, true), Verdict::Failure);
    let strict = BreakerSpec { failures: vec![Code::Unknown], ..spec };
    assert_eq!(Verdict::of(&backend(Code::Unknown), &strict, false), Verdict::Failure);
    assert_eq!(Verdict::of(&backend(Code::Internal), &strict, false), Verdict::Success);
}

// What a breaker is, said in the simplest way: no atomics, no lock, everything remembered.

#[derive(Clone, Debug)]
enum Step {
    /// A call is let through, if one may be.
    Begin(usize),
    /// One of those under way ends.
    End(usize, Verdict),
    Pass(u32),
}

struct Model {
    state: ModelState,
    /// Which time it is closed, open or tried.
    era: u32,
    row: u32,
}

#[derive(Debug)]
enum ModelState {
    Closed,
    /// Since when, and for how long give or take a tenth.
    Open {
        since: u32,
        pause: u32,
    },
    /// Since when one call is under way.
    Tried {
        since: u32,
        pause: u32,
    },
}

/// Where the jitter decides, the model cannot.
#[derive(PartialEq, Debug)]
enum Takes {
    Yes,
    No,
    Perhaps,
}

// === impl Model ===

impl Model {
    fn takes(&self, now: u32) -> Takes {
        match self.state {
            ModelState::Closed => Takes::Yes,
            ModelState::Tried { since, .. } if now - since >= 30_000 => Takes::Yes,
            ModelState::Tried { .. } => Takes::No,
            ModelState::Open { since, pause } if (now - since) * 10 >= pause * 11 => Takes::Yes,
            ModelState::Open { since, pause } if (now - since) * 10 < pause * 9 => Takes::No,
            ModelState::Open { .. } => Takes::Perhaps,
        }
    }

    fn begin(&mut self, now: u32) -> u32 {
        if let ModelState::Open { pause, .. } | ModelState::Tried { pause, .. } = self.state {
            self.state = ModelState::Tried { since: now, pause };
            self.era += 1;
        }
        self.era
    }

    fn end(&mut self, era: u32, verdict: Verdict, now: u32, may_open: bool) {
        if era != self.era {
            return;
        }
        let next = match (&self.state, verdict) {
            (ModelState::Closed, Verdict::Failure) => {
                self.row += 1;
                (self.row >= 3 && may_open).then_some(ModelState::Open { since: now, pause: 1_000 })
            }
            (ModelState::Closed, Verdict::Success) => {
                self.row = 0;
                None
            }
            (ModelState::Closed, Verdict::Silent) => None,
            (ModelState::Tried { .. }, Verdict::Success) => Some(ModelState::Closed),
            (ModelState::Tried { pause, .. }, Verdict::Failure) => Some(ModelState::Open { since: now, pause: (pause * 2).min(8_000) }),
            // Long since.
            (ModelState::Tried { pause, .. }, Verdict::Silent) => {
                Some(ModelState::Open { since: now.saturating_sub(20_000), pause: *pause })
            }
            (ModelState::Open { .. }, _) => unreachable!("nothing is let through that could end"),
        };
        if let Some(next) = next {
            self.state = next;
            self.era += 1;
            self.row = 0;
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let verdict = prop_oneof![2 => Just(Verdict::Success), 6 => Just(Verdict::Failure), 1 => Just(Verdict::Silent)];
    let step = prop_oneof![
        4 => (0_usize..4).prop_map(Step::Begin),
        4 => (0_usize..32, verdict).prop_map(|(call, verdict)| Step::End(call, verdict)),
        1 => prop_oneof![0_u32..3_000, 0_u32..40_000].prop_map(Step::Pass),
    ];
    proptest::collection::vec(step, 0..200)
}

proptest! {
    #[test]
    fn it_does_as_the_model_does(endpoints in 1_usize..=4, percent in 0_u32..=100, steps in steps()) {
        let spec = BreakerSpec { ejected_percent: percent, ..spec() };
        let ejections = Ejections::new(percent);
        ejections.set_endpoints(endpoints);
        let open_max = (endpoints * percent as usize / 100).max(1);
        let began = Instant::now();
        let mut all: Vec<_> =
            (0..endpoints).map(|_| (Breaker::new(&spec, &ejections), Model { state: ModelState::Closed, era: 0, row: 0 })).collect();
        let mut under_way = Vec::new();
        // Far enough from the beginning that the model can look back.
        let mut now = 100_000;
        for step in steps {
            let instant = began + MS * now;
            match step {
                Step::Pass(time) => now += time,
                Step::Begin(endpoint) => {
                    let endpoint = endpoint % endpoints;
                    let (breaker, model) = &mut all[endpoint];
                    let expected = model.takes(now);
                    let takes = breaker.takes(instant);
                    let admission = breaker.admit(instant);
                    prop_assert_eq!(takes, admission.is_some());
                    prop_assert!(expected == Takes::Perhaps || takes == (expected == Takes::Yes), "{:?} but {:?}", takes, model.state);
                    if let Some(admission) = admission {
                        under_way.push((endpoint, admission, model.begin(now)));
                    }
                }
                Step::End(call, verdict) => {
                    if under_way.is_empty() {
                        continue;
                    }
                    let (endpoint, admission, era) = under_way.swap_remove(call % under_way.len());
                    let may_open = all.iter().filter(|(breaker, _)| breaker.is_open()).count() < open_max;
                    let (breaker, model) = &mut all[endpoint];
                    breaker.record(admission, verdict, instant);
                    model.end(era, verdict, now, may_open);
                }
            }
            for (breaker, model) in &all {
                prop_assert_eq!(breaker.is_open(), !matches!(model.state, ModelState::Closed));
            }
            prop_assert!(all.iter().filter(|(breaker, _)| breaker.is_open()).count() <= open_max);
        }
    }
}
