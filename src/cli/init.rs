//! `protogate init`: a first configuration, out of descriptors or the shipped one.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::check::error_code;
use super::{Exit, UNREACHABLE, UNREADABLE, harmless, say};
use crate::author::first::{self, Draft, From, Opening, Placed, ROLE, Refused, Wish};
use crate::config::value::{EndpointUrl, Value as _};
use crate::diagnostic::render::{self, Color};
use crate::proto::Pools;
use crate::reflection::Unanswered;

/// Write a configuration to begin with: a route for every method of some descriptors, or the shipped one where none are named.
///
/// It passes `protogate check` as it is, or nothing is written; files that are there are never written over. Each service has a thousand
/// numbers of its own, each method a route with what its .proto file says of it. In development everybody may call; elsewhere, only who has
/// the role `user`, until you say otherwise.
///
/// Example: protogate init --from proto --out first
#[derive(Args)]
pub struct Init {
    /// A folder of .proto files, a descriptor set, or the URL of a server that has reflection, such as `http://127.0.0.1:50051`.
    #[arg(long, value_name = "SOURCE")]
    from: Option<String>,

    /// The folder to write.
    #[arg(long, value_name = "FOLDER", default_value = "routes")]
    out: PathBuf,

    /// Where the services listen, such as `http://127.0.0.1:50051`; a server that is asked listens where it answers.
    #[arg(long, value_name = "URL", requires = "from", value_parser = endpoint)]
    endpoint: Option<EndpointUrl>,

    /// The number that the first service's thousand begins with.
    #[arg(long, value_name = "NUMBER", requires = "from", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1000..))]
    start: u32,

    /// To whom routes are open.
    #[arg(long, requires = "from", value_enum, default_value = "development")]
    access: Access,

    /// Route deprecated methods as well; otherwise only their numbers are kept.
    #[arg(long, requires = "from")]
    deprecated: bool,

    /// Print the files and write nothing.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Access {
    /// To everybody in development, and elsewhere to the role `user`.
    Development,
    /// To everybody, everywhere.
    Anonymous,
    /// To the role `user`, everywhere.
    Authenticated,
}

// === impl Init ===

impl Init {
    pub fn run(self) -> Result<(), Exit> {
        let pools = Pools::default();
        let draft = match self.wish()? {
            Some(wish) => first::draft(&wish, &pools).map_err(|refused| self.exit(&refused))?,
            None => first::shipped(),
        };
        if self.dry_run {
            draft.files.iter().for_each(|(name, content)| say(&format!("{}\n", shown(name, content))));
            return Ok(());
        }
        let placed = first::place(&draft, &self.out, &pools).map_err(|refused| self.exit(&refused))?;
        self.tell(&draft, &placed);
        Ok(())
    }

    /// Nothing: the shipped configuration.
    fn wish(&self) -> Result<Option<Wish>, Exit> {
        let Some(from) = &self.from else { return Ok(None) };
        Ok(Some(Wish {
            from: source(from)?,
            folder: self.out.clone(),
            endpoint: self.endpoint.clone(),
            first: self.start,
            access: match self.access {
                Access::Development => Opening::Development,
                Access::Anonymous => Opening::Anonymous,
                Access::Authenticated => Opening::Authenticated,
            },
            deprecated: self.deprecated,
        }))
    }

    fn tell(&self, draft: &Draft, placed: &Placed) {
        let count = |n: usize, one: &str| format!("{n} {one}{}", if n == 1 { "" } else { "s" });
        let made = match draft.services {
            0 => "the shipped configuration".to_owned(),
            services => format!("{} of {}", count(draft.routes, "route"), count(services, "service")),
        };
        let out = harmless(&self.out.display().to_string());
        say(&format!("{out}: {made}, in {}\n", count(draft.files.len(), "file")));
        if !placed.report.is_empty() {
            say(&harmless(&render::human(&placed.report, &placed.sources, Color::Plain)));
        }
        if draft.lacks_endpoint {
            say(&format!(
                "note: nobody has said where the services listen; look for CHANGE THIS in {out}, or begin again with --endpoint\n"
            ));
        }
        let config = if self.out == Path::new("routes") { String::new() } else { format!(" --config {}", quoted(&self.out)) };
        say(&format!("next:\n  protogate serve{config}\n"));
        if let Some((number, request)) = &draft.call {
            let caller = if matches!(self.access, Access::Authenticated) { format!(" --as alice --roles {ROLE}") } else { String::new() };
            say(&format!("  protogate call {number} '{request}'{caller}\n"));
        }
        match self.access {
            Access::Development if self.from.is_some() => {
                say(&format!("note: in development everybody may call, see routes.development.yaml; elsewhere only the role `{ROLE}`\n"));
            }
            Access::Anonymous => say("note: everybody may call, everywhere\n"),
            Access::Development | Access::Authenticated => {}
        }
    }

    fn exit(&self, refused: &Refused) -> Exit {
        match refused {
            Refused::Findings(findings) => {
                let (report, sources) = &**findings;
                let told = render::human(report, sources, Color::Plain);
                Exit::new(error_code(report), harmless(&format!("{told}error: nothing is written, because of what is said above")))
            }
            Refused::Server(problem) => {
                let from = self.from.as_deref().unwrap_or_default();
                let why = match problem {
                    Unanswered::Unreachable(why) => format!("error: {from} cannot be asked: {why}"),
                    Unanswered::Refused(why) => format!("error: nothing can be made of what {from} tells: {why}"),
                };
                Exit::new(if matches!(problem, Unanswered::Unreachable(_)) { UNREACHABLE } else { 1 }, harmless(&why))
            }
            Refused::Exists(paths) => {
                let listed: Vec<String> = paths.iter().map(|path| format!("  {}", path.display())).collect();
                let text = format!(
                    "error: nothing is written, because these are there already:\n{}\n  help: name another folder with --out, or move them away",
                    listed.join("\n")
                );
                Exit::new(1, harmless(&text))
            }
            Refused::Because(why) => Exit::new(1, harmless(&format!("error: {why}"))),
        }
    }
}

/// What was typed: a URL has its scheme.
fn source(from: &str) -> Result<From, Exit> {
    if from.contains("://") {
        return endpoint(from).map(From::Server).map_err(|why| Exit::new(super::USAGE, harmless(&format!("error: `{from}`: {why}"))));
    }
    let path = PathBuf::from(from);
    match std::fs::metadata(&path) {
        Ok(found) if found.is_dir() => Ok(From::Folder(path)),
        Ok(_) => Ok(From::Set(path)),
        Err(error) => {
            let why = crate::files::reason(&error);
            let help = match endpoint(&format!("http://{from}")) {
                Ok(_) => format!("a server is named by its URL: http://{from}"),
                Err(_) => "name a folder of .proto files, a descriptor set, or a URL such as http://127.0.0.1:50051".to_owned(),
            };
            Err(Exit::new(UNREADABLE, harmless(&format!("error: `{from}` cannot be read: {why}\n  help: {help}"))))
        }
    }
}

fn endpoint(text: &str) -> Result<EndpointUrl, String> {
    EndpointUrl::parse(text.strip_suffix('/').unwrap_or(text)).map_err(|problem| format!("{}; write {}", problem.why, EndpointUrl::EXAMPLE))
}

/// A file for the terminal; one that is no text by its size.
fn shown(name: &str, content: &[u8]) -> String {
    match std::str::from_utf8(content) {
        Ok(text) if !name.ends_with(".binpb") => format!("# === {name} ===\n{}", harmless(text)),
        _ => format!("# === {name} ===\n# {} bytes that are no text\n", content.len()),
    }
}

/// A path as a shell reads it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '-'));
    if plain { text } else { harmless(&format!("'{}'", text.replace('\'', r"'\''"))) }
}
