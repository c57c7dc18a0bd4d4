//! `protogate schema`: the grammar for editors, and with it, if asked, the names that one configuration has.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use clap::Args;

use super::{Config, Exit, UNREADABLE, USAGE, say};
use crate::config::schema::{self, FileSchema};
use crate::files;
use crate::proto::Pools;
use crate::reload;
use crate::table::compile::Context;

/// Print the JSON Schema of a kind of file, for an editor that completes keys and marks mistakes.
///
/// With `--with-descriptors` it also has the methods, message types, backends, limits, roles, permissions, topics and pushes of the
/// configuration in `--config`, so that names are completed as well. docs/editors.md says how editors are told of it.
///
/// Example: protogate schema --write schemas
#[derive(Args)]
pub struct Schema {
    /// Which: routes, group, gateway, routes-overlay, gateway-overlay or test; routes where nothing is said.
    #[arg(value_name = "KIND", conflicts_with = "write")]
    kind: Option<String>,

    /// Write every schema into this folder, as KIND.schema.json, instead.
    #[arg(long, value_name = "FOLDER")]
    write: Option<PathBuf>,

    /// Put the names of the configuration in.
    #[arg(long)]
    with_descriptors: bool,

    #[command(flatten)]
    config: Config,
}

// === impl Schema ===

impl Schema {
    pub fn run(self) -> Result<(), Exit> {
        let files = self.files();
        let Some(folder) = &self.write else {
            let kind = self.kind.as_deref().unwrap_or("routes");
            let Some(file) = files.iter().find(|file| file.name == kind) else {
                let kinds: Vec<&str> = files.iter().map(|file| file.name).collect();
                return Err(Exit::new(USAGE, format!("error: there is no schema `{kind}`: there is {}", kinds.join(", "))));
            };
            say(&file.text());
            return Ok(());
        };
        let unwritable = |what: &Path, error: &io::Error| {
            Exit::new(UNREADABLE, format!("error: `{}` cannot be written: {}", what.display(), files::reason(error)))
        };
        fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
        let mut said = String::new();
        for file in files {
            let path = folder.join(file.file_name());
            files::replace(&path, file.text().as_bytes()).map_err(|error| unwritable(&path, &error))?;
            writeln!(said, "{}", path.display()).expect("a text takes what is written to it");
        }
        say(&said);
        Ok(())
    }

    fn files(&self) -> Vec<FileSchema> {
        let files = schema::files();
        if !self.with_descriptors {
            return files;
        }
        let (known, has_errors) = reload::known(&self.config.inputs(Context::default()), &Pools::default());
        if has_errors {
            eprintln!("note: the configuration has errors, see `protogate check`; the schema has the names that could be read");
        }
        let (files, left_out) = schema::with(&known, files);
        if !left_out.is_empty() {
            eprintln!("note: there are more {} than an editor takes; any name is taken for one", left_out.join(" and "));
        }
        files
    }
}
