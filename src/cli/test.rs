//! `protogate test`: the tests that a team writes for its routes. It opens no socket and writes no file.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::check::{error_code, summary};
use super::{Config, Exit, TESTS_FAILED, UNREADABLE, harmless};
use crate::diagnostic::render::{self, Color};
use crate::diagnostic::{Report, Sources};
use crate::files::{self, Files};
use crate::proto::Pools;
use crate::reload;
use crate::table::compile::Context;
use crate::trial::{self, Coverage, Results, Seen, Suite, Test as Written};

/// Run the tests of routes: files named `*.test.yaml`, of what a session may call, and what comes of it.
///
/// The configuration is compiled as for `serve`, and every call goes the way of a client's; what services answer stands in the test, and so
/// does what time it is. Without PATHS the tests below the folder of the configuration are run.
///
/// Example: protogate test --fail-under 100
#[derive(Args)]
pub struct Test {
    #[command(flatten)]
    config: Config,

    /// Files of tests, or folders that hold some.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// Only tests with this in their names.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,

    /// End with exit code 3 when fewer of the routes were called.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    fail_under: Option<u8>,

    /// Say of each route and each push what was seen of it.
    #[arg(long)]
    coverage: bool,

    /// Where policies begin that draw at random, such as `least_request`.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    seed: u64,

    /// How to say it: for people, for programs, or for whoever shows the results of builds.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,

    /// Name the tests, and run none.
    #[arg(long)]
    list: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Format {
    Human,
    Json,
    Junit,
}

// === impl Test ===

impl Test {
    pub fn run(self) -> Result<(), Exit> {
        let (inputs, pools) = (self.config.inputs(Context::default()), Pools::default());
        let checked = reload::check(&inputs, None, &pools);
        let Some(plan) = &checked.plan else {
            return Err(self.mistakes(&checked.report, &checked.sources, &summary(&checked)));
        };
        let (files, paths) = match self.paths.is_empty() {
            true => (inputs.origin.files(), vec![inputs.origin.folder().to_path_buf()]),
            false => (Files::on_disk(), self.paths.clone()),
        };
        let found = trial::files_of(&files, &paths).map_err(|(path, error)| {
            Exit::new(UNREADABLE, harmless(&format!("error: `{}` cannot be read: {}", path.display(), files::reason(&error))))
        })?;
        let suite = Suite::read(&files, &found, plan);
        if suite.report.has_errors() {
            let count = |n: usize, one: &str| format!("{n} {one}{}", if n == 1 { "" } else { "s" });
            let last = format!("test: {}, {}", count(suite.report.errors(), "error"), count(found.len(), "file"));
            return Err(self.mistakes(&suite.report, &suite.sources, &last));
        }
        let wanted = |test: &Written| self.filter.as_ref().is_none_or(|filter| test.name.value.contains(filter.as_str()));
        if let Some(filter) = self.filter.as_ref().filter(|_| !suite.tests.iter().any(wanted)) {
            return Err(Exit::new(1, format!("error: no test has `{filter}` in its name\n  help: `protogate test --list` names them")));
        }
        if self.list {
            suite.tests.iter().filter(|test| wanted(test)).for_each(|test| print(&named(&suite, test)));
            return Ok(());
        }
        let results = suite.run(wanted, plan, self.seed);
        print(&match self.format {
            Format::Human => self.human(&suite, &results),
            Format::Json => trial::render::json(&suite, &results),
            Format::Junit => trial::render::junit(&suite, &results),
        });
        self.verdict(&results)
    }

    /// Says what keeps the tests from being run, for whoever reads it.
    fn mistakes(&self, report: &Report, sources: &Sources, last: &str) -> Exit {
        print(&match self.format {
            Format::Human => format!("{}{last}", render::human(report, sources, color())),
            Format::Json => trial::render::json_of_mistakes(report, sources),
            Format::Junit => trial::render::junit_of_mistakes(report, sources),
        });
        Exit::new(error_code(report), "")
    }

    fn verdict(&self, results: &Results) -> Result<(), Exit> {
        let percent = results.coverage.percent();
        match self.fail_under.map(usize::from) {
            _ if results.failed() > 0 => Err(Exit::new(TESTS_FAILED, "")),
            Some(least) if percent < least => {
                Err(Exit::new(TESTS_FAILED, format!("error: {percent} % of the routes are covered, which is less than {least} %")))
            }
            _ => Ok(()),
        }
    }

    fn human(&self, suite: &Suite, results: &Results) -> String {
        let mut out = String::new();
        let mut say = |line: &str| writeln!(out, "{line}").expect("a text takes what is written to it");
        for ran in &results.tests {
            let verdict = if ran.passed() { "ok    " } else { "FAILED" };
            say(&format!("{verdict}  {}", named(suite, &suite.tests[ran.test])));
            if !ran.passed() {
                say("");
                say(render::human(&ran.report, &suite.sources, color()).trim_end());
                say("");
            }
        }
        // Of some of the tests it says nothing.
        if self.coverage {
            table(&results.coverage).iter().for_each(|line| say(line));
        } else if self.filter.is_none() {
            missing(&results.coverage).iter().for_each(|line| say(line));
        }
        say(&format!("test: {}", trial::render::summary(results)));
        out
    }
}

/// `routes/tests/game.test.yaml:12: a player may join a room`.
fn named(suite: &Suite, test: &Written) -> String {
    let file = suite.sources.file(test.file);
    harmless(&format!("{}:{}: {}", file.path.display(), file.position(test.name.span.start).line, test.name.value))
}

/// Routes that no test has called, and pushes that none has pushed.
fn missing(coverage: &Coverage) -> Vec<String> {
    let unseen = |(number, seen): (&u32, &Seen)| (!seen.is_seen()).then(|| format!("{number} {}", seen.name));
    let routes: Vec<String> = coverage.routes.iter().filter_map(unseen).collect();
    let pushes: Vec<String> = coverage.pushes.iter().filter_map(unseen).collect();
    let line = |what: &str, names: Vec<String>| (!names.is_empty()).then(|| format!("{what}: {}", names.join(", ")));
    line("never called", routes).into_iter().chain(line("never pushed", pushes)).collect()
}

/// What was seen of each route and each push, a line each.
fn table(coverage: &Coverage) -> Vec<String> {
    let all = || coverage.routes.values().chain(coverage.pushes.values());
    let width = all().map(|seen| seen.name.len()).max().unwrap_or(0);
    let route = |(number, seen): (&u32, &Seen)| {
        let remark = match (seen.succeeded, seen.refused) {
            (0, 0) => "never called",
            (0, _) => "never succeeds",
            (_, 0) => "never fails",
            _ => "",
        };
        format!("{number:>6} {:width$}  {:>4} ok {:>4} not  {remark}", seen.name, seen.succeeded, seen.refused)
    };
    let push = |(number, seen): (&u32, &Seen)| {
        let remark = if seen.is_seen() { "" } else { "never pushed" };
        format!("{number:>6} {:width$}  {:>4} pushed       {remark}", seen.name, seen.succeeded)
    };
    let lines = coverage.routes.iter().map(route).chain(coverage.pushes.iter().map(push));
    lines.map(|line| line.trim_end().to_owned()).collect()
}

fn color() -> Color {
    if std::io::stdout().is_terminal() { Color::Styled } else { Color::Plain }
}

/// A closed pipe (`test | head`) is no fault of the tests.
fn print(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{}", text.trim_end());
}
