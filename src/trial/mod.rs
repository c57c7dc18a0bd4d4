//! Tests of routes: what a table does with a message, a session and a clock that the test names.
//!
//! The production compile and the production data path run; only the clock and what services answer are the test's. Promises: no network,
//! no file that is written, no state that one test leaves to another; a test that passes passes each time, with the same seed.
//!
//! - `suite`: which tests there are; `meaning`, `expectation`: what they say, looked up before anything runs
//! - `world`: a gateway for one test; `stage`: the services behind it
//! - `step`: what comes of a step; `judge`, `matching`: whether it is what was expected
//! - `coverage`: which routes were called
//! - `render`: what is said about all of it, for programs

mod coverage;
mod expectation;
mod judge;
mod matching;
mod meaning;
pub mod render;
mod stage;
mod step;
mod suite;
mod world;

pub use coverage::{Coverage, Seen};
pub use suite::{Suite, Test, files_of};

use tokio::time::Instant;

use self::suite::{Doing, Step};
use self::world::World;
use crate::diagnostic::{Diagnostic, Report, Rule};
use crate::pipeline::signer::Signer;
use crate::table::plan::Plan;

/// What came of the tests.
pub struct Results {
    /// In the order of the files.
    pub tests: Vec<Ran>,
    pub coverage: Coverage,
}

/// A test that ran.
pub struct Ran {
    /// Its place in the suite.
    pub test: usize,
    /// What was not as expected.
    pub report: Report,
    pub took: std::time::Duration,
}

// === impl Suite ===

impl Suite {
    /// Runs the tests that are `wanted`, each in a world of its own by the same plan.
    pub fn run(&self, wanted: impl Fn(&Test) -> bool, plan: &Plan, seed: u64) -> Results {
        let mut coverage = Coverage::of(plan);
        let mut tests = Vec::new();
        for (index, test) in self.tests.iter().enumerate().filter(|(_, test)| wanted(test)) {
            let began = Instant::now();
            let report = run(test, plan.clone(), seed, &mut coverage);
            tests.push(Ran { test: index, report, took: began.elapsed() });
        }
        Results { tests, coverage }
    }
}

// === impl Results ===

impl Results {
    pub fn failed(&self) -> usize {
        self.tests.iter().filter(|ran| !ran.passed()).count()
    }
}

// === impl Ran ===

impl Ran {
    pub fn passed(&self) -> bool {
        self.report.is_empty()
    }
}

fn run(test: &Test, plan: Plan, seed: u64, coverage: &mut Coverage) -> Report {
    let mut report = Report::default();
    let signer = Signer::generate();
    let runtime = world::runtime();
    runtime.block_on(async {
        let plan = world::alone(plan, &test.endpoints, &signer);
        match World::open(plan, signer, &test.who, seed).await {
            Err(failure) => {
                report.push(
                    Diagnostic::new(Rule::TestFailed, test.name.span, format!("the client gets no session: {failure}")).path("tests"),
                );
            }
            Ok(mut world) => {
                for step in &test.steps {
                    take(&mut world, step, coverage, &mut report).await;
                    // What follows a step that went wrong says little.
                    if !report.is_empty() {
                        break;
                    }
                }
            }
        }
    });
    // Nothing of the test goes on behind it.
    runtime.shutdown_background();
    report
}

async fn take(world: &mut World, step: &Step, coverage: &mut Coverage, report: &mut Report) {
    let expected = step.expect.heard.as_ref().map_or(0, |heard| heard.value.len());
    match &step.doing {
        Doing::Wait(by) => world.wait(*by),
        Doing::Push { number, to, message } => {
            let got = step::push(world, *number, to, message.clone()).await;
            coverage.pushed(*number);
            let heard = world.heard(expected).await;
            tell(judge::judge(&world.table, &step.expect, &got, &heard, step.span), step, None, report);
        }
        Doing::Call(call) => {
            for time in 1..=call.times {
                if time > 1 {
                    world.wait(call.every);
                }
                let got = step::call(world, call).await;
                coverage.called(call.number, got.failure.is_none());
                got.published.iter().for_each(|(_, number, _)| coverage.pushed(*number));
                let heard = world.heard(expected).await;
                let findings = judge::judge(&world.table, &step.expect, &got, &heard, step.span);
                if !findings.is_empty() {
                    return tell(findings, step, (call.times > 1).then_some((time, call.times)), report);
                }
            }
        }
    }
}

fn tell(findings: Vec<Diagnostic>, step: &Step, time: Option<(u32, u32)>, report: &mut Report) {
    for mut finding in findings {
        if let Some((time, times)) = time {
            finding.message.push_str(&format!(", in call {time} of {times}"));
        }
        report.push(finding.path(step.path.clone()));
    }
}
