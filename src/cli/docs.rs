//! `protogate docs`: the protocol reference, for those who write clients.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::check::error_code;
use super::{Config, Exit, harmless, say};
use crate::author::reference::Reference;
use crate::diagnostic::render::{self, Color};
use crate::files;
use crate::proto::Pools;
use crate::reload;
use crate::table::compile::Context;

/// Write the protocol reference: every number with its messages, who may call it, its limits, how it fails, and an example.
///
/// It is made of the configuration and of the comments in .proto files, for those who write clients; what they do not see, such as
/// backends, is not in it. The same configuration makes the same text, so that it can be kept beside the route files and compared.
///
/// Example: protogate docs --format html --out reference.html
#[derive(Args)]
pub struct Docs {
    #[command(flatten)]
    config: Config,

    /// One file of Markdown, or one page of HTML that needs no other file.
    #[arg(long, value_enum, default_value = "markdown")]
    format: Format,

    /// The title of it.
    #[arg(long, value_name = "TEXT", default_value = "Protocol reference")]
    title: String,

    /// Where to write it, over what is there; standard output where nothing is said.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Markdown,
    Html,
}

// === impl Docs ===

impl Docs {
    pub fn run(self) -> Result<(), Exit> {
        let checked = reload::check(&self.config.inputs(Context::default()), None, &Pools::default());
        let Some(plan) = &checked.plan else {
            let told = render::human(&checked.report, &checked.sources, Color::Plain);
            return Err(Exit::new(
                error_code(&checked.report),
                harmless(&format!("{told}error: nothing is written, because the configuration has errors")),
            ));
        };
        let reference = Reference::of(plan, &self.title);
        let text = match self.format {
            Format::Markdown => reference.markdown(),
            Format::Html => reference.html(),
        };
        match &self.out {
            Some(path) => files::replace(path, text.as_bytes()).map_err(|error| {
                Exit::new(1, harmless(&format!("error: `{}` cannot be written: {}", path.display(), files::reason(&error))))
            }),
            None => {
                say(&text);
                Ok(())
            }
        }
    }
}
