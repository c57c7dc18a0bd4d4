//! `protogate check`: the first half of `serve`. It opens no socket and writes no file.

use std::io::{IsTerminal, Write};

use clap::{Args, ValueEnum};

use super::{Config, Exit, UNREADABLE};
use crate::diagnostic::render::{self, Color};
use crate::diagnostic::{Report, Rule, Severity};
use crate::proto::Pools;
use crate::reload::{self, Checked};
use crate::table::compile::Context;

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
            Format::Human => format!("{}{}", render::human(report, sources, color), summary(checked)),
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

/// 66 when a file could not be read at all, else 1.
pub fn error_code(report: &Report) -> u8 {
    let mut errors = report.sorted().into_iter().filter(|d| d.rule.severity() == Severity::Error);
    if errors.any(|d| d.rule == Rule::Unreadable) { UNREADABLE } else { 1 }
}
