//! `protogate check`: the first half of `serve`. It opens no socket and writes no file.

use std::io::{IsTerminal, Write};

use clap::{Args, ValueEnum};

use super::{Config, Exit, UNREADABLE, harmless};
use crate::diagnostic::render::{self, Color};
use crate::diagnostic::{Report, Rule, Severity};
use crate::proto::Pools;
use crate::reload::{self, Checked, Inputs};
use crate::table::compile::Context;
use crate::table::plan::Plan;

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
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Human,
    Json,
    Sarif,
    Github,
}

/// Codes that are named beside the first.
const PAGES_MAX: usize = 7;

// === impl Check ===

impl Check {
    pub fn run(self) -> Result<(), Exit> {
        let checked = reload::check(&self.config.inputs(Context::default()), None, &Pools::default());
        let color = if std::io::stdout().is_terminal() { Color::Styled } else { Color::Plain };
        let mut out = std::io::stdout().lock();
        // A closed pipe (`check | head`) is no fault of the configuration.
        let _ = writeln!(out, "{}", self.rendered(&checked, color).trim_end());
        match checked.report {
            report if report.has_errors() => Err(Exit::new(error_code(&report), "")),
            report if report.warnings() > 0 && self.deny_warnings => Err(Exit::new(2, "")),
            _ => Ok(()),
        }
    }

    fn rendered(&self, checked: &Checked, color: Color) -> String {
        let Checked { report, sources, summary: counts, .. } = checked;
        match self.format {
            Format::Human => format!("{}{}{}", render::human(report, sources, color), pages(report), summary(checked)),
            Format::Json => render::json(report, sources, *counts),
            Format::Sarif => render::sarif(report, sources),
            Format::Github => render::github(report, sources),
        }
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
