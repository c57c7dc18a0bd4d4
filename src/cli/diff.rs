//! `protogate diff`: what another configuration would do otherwise, and whether clients would break.
//!
//! Two folders are compared; or a folder with itself at an earlier revision (`git`), or with what a gateway runs, which then compares. Exit
//! codes: 0 the same, 4 a change that breaks no client, 5 one that does.

mod git;
mod shown;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use self::git::Revision;
use super::admin_client::{AdminClient, Door};
use super::reload::refusal;
use super::{BREAKING, COMPATIBLE, Exit, USAGE, check, harmless};
use crate::compare::{Told, View, compare};
use crate::diagnostic::render::{self, Color};
use crate::pipeline::Signer;
use crate::proto::Pools;
use crate::reload::{self, Checked, Inputs, Origin};
use crate::table::compile::Context;

/// Say what another configuration would do otherwise, and whether clients would break.
///
/// Exit codes: 0 nothing means anything else, 4 a change that breaks no client, 5 one that does, 1 one side does not compile.
///
/// Example: protogate diff --against running
#[derive(Args)]
pub struct Diff {
    /// Two folders, the old one first; what differs is said of the second.
    #[arg(value_name = "FOLDER", num_args = 2, conflicts_with = "against")]
    folders: Vec<PathBuf>,

    /// Compare `--config` with what a gateway runs (`running`), or with itself at a revision (`git:main`, `git:HEAD~1`).
    #[arg(long, value_name = "WHAT")]
    against: Option<Against>,

    /// How to say it: for people, for programs, as annotations of a workflow run, or for a comment under a pull request.
    #[arg(long, value_enum, default_value = "human")]
    format: Format,

    #[command(flatten)]
    door: Door,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Human,
    Json,
    Github,
    Markdown,
}

/// What one configuration is compared with.
#[derive(Clone)]
enum Against {
    Running,
    Revision(String),
}

impl std::str::FromStr for Against {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Against, &'static str> {
        match text.split_once(':') {
            None if text == "running" => Ok(Against::Running),
            Some(("git", revision)) => {
                git::is_revision(revision).then(|| Against::Revision(revision.to_owned())).ok_or("that is no revision")
            }
            _ => Err("there is `running` and `git:REVISION`"),
        }
    }
}

// === impl Diff ===

impl Diff {
    pub fn run(self) -> Result<(), Exit> {
        let format = self.format;
        let told = self.told()?;
        let color = if std::io::stdout().is_terminal() { Color::Styled } else { Color::Plain };
        let text = match format {
            Format::Human => shown::human(&told, color),
            Format::Json => serde_json::to_string(&told).expect("text and numbers always become JSON") + "\n",
            Format::Github => shown::github(&told),
            Format::Markdown => shown::markdown(&told),
        };
        // A closed pipe (`diff | head`) is no fault of the configuration.
        let _ = write!(std::io::stdout().lock(), "{text}");
        match () {
            () if told.breaking => Err(Exit::new(BREAKING, "")),
            () if !told.changes.is_empty() => Err(Exit::new(COMPATIBLE, "")),
            () => Ok(()),
        }
    }

    fn told(self) -> Result<Told, Exit> {
        // A gateway in development has a key to sign by; without one nothing of `auth.signing` would be compared.
        let context = Context { development: Some(Signer::generate()), ..Context::default() };
        let inputs = self.door.inputs(context.clone());
        match (self.against, &*self.folders) {
            (Some(Against::Running), _) => running(&AdminClient::of(self.door)?),
            (Some(Against::Revision(name)), _) => {
                let Origin::Folder(folder) = &inputs.origin else {
                    let what = "error: the files that are compiled in have no revisions\n  help: name a folder with `--config`";
                    return Err(Exit::new(USAGE, what));
                };
                let revision = Revision::open(folder, &name)?;
                let old = Inputs { origin: Origin::Folder(revision.folder().to_owned()), ..self.door.inputs(context) };
                let before = reload::check_in(&revision.files(), &old, None, &Pools::default());
                both(before, &format!("at {name}"), reload::check(&inputs, None, &Pools::default()))
            }
            (None, [old, new]) => {
                let of = |folder: &PathBuf| {
                    let inputs = Inputs { origin: Origin::Folder(folder.clone()), ..self.door.inputs(context.clone()) };
                    reload::check(&inputs, None, &Pools::default())
                };
                both(of(old), &format!("in {}", old.display()), of(new))
            }
            (None, _) => {
                Err(Exit::new(USAGE, "error: name two folders, or what to compare with: `--against running`, `--against git:main`"))
            }
        }
    }
}

/// What the gateway says of its own files.
fn running(gateway: &AdminClient) -> Result<Told, Exit> {
    let answer = gateway.get("/api/v1/diff")?;
    if answer["check"].is_object() {
        return Err(Exit::new(1, refusal(&answer["check"]) + "error: the gateway's files have errors, see above"));
    }
    serde_json::from_value(answer.clone()).map_err(|_| Exit::refused(&answer))
}

/// `which`: what to say of the old side where it does not compile.
fn both(before: Checked, which: &str, after: Checked) -> Result<Told, Exit> {
    let failed = |checked: &Checked, which: &str| {
        let said = harmless(&render::human(&checked.report, &checked.sources, Color::Plain));
        let count = checked.report.errors();
        let what = format!("{said}error: the configuration {which} does not compile ({count} error{})", if count == 1 { "" } else { "s" });
        Exit::new(check::error_code(&checked.report), what)
    };
    let Some(old) = &before.plan else { return Err(failed(&before, &harmless(which))) };
    let Some(new) = &after.plan else { return Err(failed(&after, "as it is now")) };
    let place = |span| new.explained.file_and_line(span);
    Ok(compare(&View::from(old), &View::from(new)).told(&place, &|_| None))
}
