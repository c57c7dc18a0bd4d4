//! `protogate check`: the first half of `serve`. It opens no socket and writes no file.

use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{Config, Exit, UNREADABLE, harmless, say};
use crate::clock::Clock;
use crate::diagnostic::render::{self, Color};
use crate::diagnostic::{Report, Rule, Severity, Top};
use crate::proto::Pools;
use crate::reload::{self, Checked, Inputs};
use crate::table::compile::Context;
use crate::table::plan::Plan;
use crate::watch::Changes;

/// Read the configuration and say everything that is wrong with it.
///
/// Example: protogate check --env testing --deny-warnings
#[derive(Args)]
pub struct Check {
    #[command(flatten)]
    config: Config,

    /// How to say it: for people, or for programs.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,

    /// End with exit code 2 when there are warnings.
    #[arg(long)]
    deny_warnings: bool,

    /// Check again whenever a file changes that was read or looked for, until Ctrl-C.
    #[arg(long)]
    watch: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Format {
    Human,
    Json,
    Sarif,
    Github,
}

/// Codes that are named beside the first.
const PAGES_MAX: usize = 7;
/// How long files must be quiet before they are checked again: a save is often several steps.
const QUIET: Duration = Duration::from_millis(100);

/// What clears a terminal.
const CLEAR: &str = "\x1b[2J\x1b[H";

// === impl Check ===

impl Check {
    pub fn run(self) -> Result<(), Exit> {
        if self.watch {
            return self.follow();
        }
        let checked = reload::check(&self.config.inputs(Context::default()), None, &Pools::default());
        say(&self.rendered(&checked));
        match checked.report {
            report if report.has_errors() => Err(Exit::new(error_code(&report), "")),
            report if report.warnings() > 0 && self.deny_warnings => Err(Exit::new(2, "")),
            _ => Ok(()),
        }
    }

    /// Checks again and again. What is said of each check goes where that of a single one goes; the line between two of them does not, so
    /// that a program reads one document after the other. Whoever presses Ctrl-C has had enough, and that is no failure.
    fn follow(&self) -> Result<(), Exit> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime to watch files");
        runtime.block_on(async {
            tokio::select! {
                biased;
                _ = tokio::signal::ctrl_c() => {}
                () = self.again_and_again() => {}
            }
        });
        // A check that is under way has nothing to finish.
        runtime.shutdown_background();
        Ok(())
    }

    async fn again_and_again(&self) {
        let (mut changes, pools) = (Changes::begin(), std::sync::Arc::new(Pools::default()));
        // What was checked last stays, so that descriptors which have not changed are not compiled again.
        let mut last: Option<Checked> = None;
        loop {
            let (inputs, known) = (self.config.inputs(Context::default()), pools.clone());
            let checked = tokio::task::spawn_blocking(move || reload::check(&inputs, None, &known));
            let checked = checked.await.expect("a check does not panic and is not aborted");
            // Files that were written again, or whose neighbours were, say nothing new.
            if last.as_ref().is_none_or(|last| last.fingerprint != checked.fingerprint) {
                if last.is_some() {
                    self.begin_again();
                }
                say(&self.rendered(&checked));
            }
            let seen = checked.seen.clone();
            last = Some(checked);
            while !changes.look(seen.clone()).await {}
            changes.settle(QUIET).await;
        }
    }

    fn begin_again(&self) {
        if self.format == Format::Human && std::io::stdout().is_terminal() {
            say(CLEAR);
        }
        let seconds = Clock::system().now_ms() / 1000 % 86_400;
        eprintln!("-- changed at {:02}:{:02}:{:02} UTC", seconds / 3600, seconds / 60 % 60, seconds % 60);
    }

    fn rendered(&self, checked: &Checked) -> String {
        let Checked { report, sources, summary: counts, .. } = checked;
        let color = if std::io::stdout().is_terminal() { Color::Styled } else { Color::Plain };
        let text = match self.format {
            Format::Human => format!("{}{}{}", render::human(report, sources, color), pages(report), summary(checked)),
            Format::Json => render::json(report, sources, *counts),
            Format::Sarif => render::sarif(report, sources, &top()),
            Format::Github => format!("{}{}", render::github(report, sources, &top()), summary(checked)),
        };
        format!("{}\n", text.trim_end())
    }
}

/// The top of the repository that this is typed in.
fn top() -> Top {
    let whole = |path: &Path| path.canonicalize().ok();
    let workspace = std::env::var_os("GITHUB_WORKSPACE").filter(|path| !path.is_empty()).and_then(|path| whole(Path::new(&path)));
    match whole(Path::new(".")) {
        Some(here) => Top::above(&here, workspace.as_deref()),
        // Nobody knows where this is: paths are what they are.
        None => Top::here(),
    }
}

/// `check: 2 errors, 1 warning, 212 routes, 6 files`: the last line, always there, so that silence never has to be interpreted.
pub fn summary(checked: &Checked) -> String {
    let count = |n: usize, one: &str| format!("{n} {one}{}", if n == 1 { "" } else { "s" });
    let parts = [
        count(checked.report.errors(), "error"),
        count(checked.report.warnings(), "warning"),
        count(checked.summary.routes, "route"),
        count(checked.summary.files, "file"),
    ];
    format!("check: {}", parts.join(", "))
}

/// Where there is more about what was found: a line, once a run, errors first.
fn pages(report: &Report) -> String {
    let mut rules: Vec<Rule> = report.sorted().iter().map(|finding| finding.rule).collect();
    rules.sort_unstable_by_key(|rule| (rule.severity() == Severity::Warning, *rule));
    rules.dedup();
    let more = rules.iter().skip(1).take(PAGES_MAX).map(|rule| rule.code()).collect::<Vec<_>>().join(", ");
    match rules.first() {
        Some(first) if more.is_empty() => format!("explain: protogate explain {}\n", first.code()),
        Some(first) => format!("explain: protogate explain {} (or {more})\n", first.code()),
        None => String::new(),
    }
}

/// What the files mean, for a command that needs it; where they have errors these are what it ends with, as `check` does.
pub fn plan(inputs: &Inputs) -> Result<Plan, Exit> {
    let checked = reload::check(inputs, None, &Pools::default());
    match checked.plan {
        Some(plan) => Ok(plan),
        None => {
            let said = render::human(&checked.report, &checked.sources, Color::Plain);
            Err(Exit::new(error_code(&checked.report), harmless(&format!("{said}{}", summary(&checked)))))
        }
    }
}

/// 66 when a file could not be read at all, else 1.
pub fn error_code(report: &Report) -> u8 {
    let mut errors = report.sorted().into_iter().filter(|d| d.rule.severity() == Severity::Error);
    if errors.any(|d| d.rule == Rule::Unreadable) { UNREADABLE } else { 1 }
}
