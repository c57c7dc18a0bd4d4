//! `protogate codegen`: a typed client out of the table.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::check::error_code;
use super::{Config, Exit, harmless, say};
use crate::codegen::typescript::{self, Named};
use crate::diagnostic::render::{self, Color};
use crate::proto::Pools;
use crate::reload;
use crate::table::compile::Context;

/// Write a typed client out of the table, in the language that is named.
///
/// Example: protogate codegen typescript --out client
#[derive(Args)]
pub struct Codegen {
    #[command(subcommand)]
    language: Language,
}

#[derive(Subcommand)]
enum Language {
    Typescript(Typescript),
}

/// Write a package for browsers and Node: messages, routes, pushes, and a client that comes back.
///
/// Example: protogate codegen typescript --out client --name game-client
#[derive(Args)]
struct Typescript {
    #[command(flatten)]
    config: Config,

    /// The folder of the package. Files in it that were not generated are left as they are.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,

    /// The name of the package.
    #[arg(long, value_name = "PACKAGE", default_value = "protogate-client", value_parser = package_name)]
    name: String,

    /// The version of the package.
    #[arg(long, value_name = "VERSION", default_value = "0.1.0", value_parser = version)]
    package_version: String,
}

// === impl Codegen ===

impl Codegen {
    pub fn run(self) -> Result<(), Exit> {
        match self.language {
            Language::Typescript(typescript) => typescript.run(),
        }
    }
}

// === impl Typescript ===

impl Typescript {
    fn run(self) -> Result<(), Exit> {
        let checked = reload::check(&self.config.inputs(Context::default()), None, &Pools::default());
        let Some(plan) = &checked.plan else {
            let said = render::human(&checked.report, &checked.sources, Color::Plain);
            return Err(Exit::new(error_code(&checked.report), harmless(&said)));
        };
        let named = Named { package: &self.name, version: &self.package_version };
        let cannot = |problem: crate::codegen::Problem| Exit::new(1, harmless(&format!("error: {problem}")));
        let package = typescript::generate(plan, &named).map_err(cannot)?;
        let written = package.write(&self.out).map_err(cannot)?;
        let folder = self.out.display();
        say(&format!("{}\n", harmless(&format!("{folder}: {} files, {} of them new or changed", written.files, written.changed))));
        for path in written.left_over {
            eprintln!("{}", harmless(&format!("{folder}/{}: was generated once, and is of no use any more", path.display())));
        }
        Ok(())
    }
}

fn package_name(name: &str) -> Result<String, String> {
    let fine = typescript::is_package_name(name).then(|| name.to_owned());
    fine.ok_or_else(|| "npm takes lower-case letters, digits and `-._~`, with or without a scope: `@acme/game-client`".to_owned())
}

fn version(version: &str) -> Result<String, String> {
    typescript::is_version(version).then(|| version.to_owned()).ok_or_else(|| "a version is three numbers, such as `1.0.0`".to_owned())
}
