//! What a person types.
//!
//! One file a command. `call` has more, since it is a whole client: `client` and `dictionary`, and where it stays `follow`, `hearing`,
//! `returning`, `typing`, `standing` and `lines`. `explain` and `routes` show a route by `in_full`, and a page by `markdown`.
//!
//! Exit codes: 0 fine, 1 the configuration or the call is at fault, 2 warnings under `--deny-warnings`, 3 tests of routes that fail, 4 and 5 what `diff` found, 64 the command line is wrong, 66 a
//! file cannot be read, 69 the gateway, or a backend that is asked, cannot be reached, 70 it could not start. What a program may read goes to standard output; everything else to standard error.

mod admin_client;
mod call;
mod check;
mod client;
mod codegen;
mod connections;
mod dashboard;
mod dictionary;
mod diff;
mod docs;
mod drain;
mod explain;
mod fmt;
mod follow;
mod hearing;
mod in_full;
mod init;
mod kick;
mod lines;
mod lock;
mod markdown;
mod notify;
mod push;
mod register;
mod reload;
mod returning;
mod revoke;
mod routes;
mod schema;
mod serve;
mod services;
mod standing;
mod streaming;
mod tap;
mod template;
mod test;
mod token;
mod typing;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};

use crate::config::Environment;
use crate::data::DataFolder;
use crate::pipeline::signer::Signer;
use crate::reload::{Inputs, Origin};
use crate::table::compile::Context;
use crate::telemetry::line::is_harmless;

const TESTS_FAILED: u8 = 3;
const COMPATIBLE: u8 = 4;
const BREAKING: u8 = 5;
const USAGE: u8 = 64;
const UNREADABLE: u8 = 66;
const UNREACHABLE: u8 = 69;
const CANNOT_START: u8 = 70;

/// What ends every help text.
const EXIT_CODES: &str = "\
Exit codes:
  0   fine
  1   the configuration or the call is at fault
  2   warnings, under `check --deny-warnings`
  3   tests of routes failed, or cover too little
  4   under `diff`: a change, and no client breaks
  5   under `diff`: a change that breaks clients
  64  the command line is wrong
  66  a file cannot be read
  69  the gateway, or a backend that is asked, cannot be reached
  70  the gateway could not start";

/// A gateway between WebSocket clients and gRPC services, driven by a route file.
///
/// Example: protogate serve
#[derive(Parser)]
#[command(name = "protogate", version, arg_required_else_help = true, after_long_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Serve(serve::Serve),
    Check(check::Check),
    Explain(explain::Explain),
    Diff(diff::Diff),
    Test(test::Test),
    Schema(schema::Schema),
    Fmt(fmt::Fmt),
    Init(init::Init),
    Docs(docs::Docs),
    Codegen(codegen::Codegen),
    Lock(lock::Lock),
    Reload(reload::Reload),
    Dashboard(dashboard::Dashboard),
    Routes(routes::Routes),
    Drain(drain::Drain),
    Revoke(revoke::Revoke),
    Kick(kick::Kick),
    Connections(connections::Connections),
    Tap(tap::Tap),
    Push(push::Push),
    Register(register::Register),
    Notify(notify::Notify),
    Template(template::Template),
    Call(call::Call),
    #[command(subcommand)]
    Services(services::Services),
    #[command(subcommand)]
    Token(token::Token),
}

/// Which configuration.
#[derive(Args, Clone)]
struct Config {
    /// The folder that holds routes.yaml and gateway.yaml [default: routes; without one, in development, the shipped files].
    #[arg(long, value_name = "FOLDER")]
    config: Option<PathBuf>,

    /// The environment: development, testing or production. Selects overlays such as routes.production.yaml.
    #[arg(long = "env", value_name = "NAME", env = "GATEWAY_MODE", default_value = "development", value_parser = environment)]
    environment: Environment,
}

/// Where the process keeps what it writes.
#[derive(Args, Clone)]
struct Data {
    /// The data folder.
    #[arg(long, value_name = "FOLDER", default_value = "data")]
    data: PathBuf,
}

/// Why a command ends without success: what to say, and the exit code.
struct Exit {
    code: u8,
    message: String,
}

/// Runs the command that `arguments` name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody is left to tell when even this cannot be printed.
            let _ = error.print();
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
                _ => ExitCode::from(USAGE),
            };
        }
    };
    let ended = match cli.command {
        Command::Serve(serve) => serve.run(),
        Command::Check(check) => check.run(),
        Command::Explain(explain) => explain.run(),
        Command::Diff(diff) => diff.run(),
        Command::Test(test) => test.run(),
        Command::Schema(schema) => schema.run(),
        Command::Fmt(fmt) => fmt.run(),
        Command::Init(init) => init.run(),
        Command::Docs(docs) => docs.run(),
        Command::Codegen(codegen) => codegen.run(),
        Command::Lock(lock) => lock.run(),
        Command::Reload(reload) => reload.run(),
        Command::Dashboard(dashboard) => dashboard.run(),
        Command::Routes(routes) => routes.run(),
        Command::Drain(drain) => drain.run(),
        Command::Revoke(revoke) => revoke.run(),
        Command::Kick(kick) => kick.run(),
        Command::Connections(connections) => connections.run(),
        Command::Tap(tap) => tap.run(),
        Command::Push(push) => push.run(),
        Command::Register(register) => register.run(),
        Command::Notify(notify) => notify.run(),
        Command::Template(template) => template.run(),
        Command::Call(call) => call.run(),
        Command::Services(services) => services.run(),
        Command::Token(token) => token.run(),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => {
            if !exit.message.is_empty() {
                // Who closed the pipe (`2>&1 | head`) does not want to hear it; the exit code stays what it is.
                let _ = writeln!(std::io::stderr().lock(), "{}", exit.message.trim_end());
            }
            ExitCode::from(exit.code)
        }
    }
}

fn environment(name: &str) -> Result<Environment, String> {
    let found = Environment::ALL.into_iter().find(|environment| environment.name() == name);
    found.ok_or_else(|| format!("there is {}", Environment::ALL.map(Environment::name).join(", ")))
}

/// Lets time pass, in a command that has nothing else to do meanwhile.
fn wait(time: Duration) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime for one wait");
    // Made inside: a timer belongs to a runtime.
    runtime.block_on(async { tokio::time::sleep(time).await });
}

/// Prints. A closed pipe (`check | head`) is nobody's fault; a full disk is told.
fn say(text: &str) {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush())
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        eprintln!("error: not all was printed: {}", crate::files::reason(&error));
    }
}

/// What somebody else wrote, for a terminal: control characters but the end of a line are shown, not obeyed.
fn harmless(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c != '\n' && !is_harmless(c) {
            // As JSON writes it.
            true => write!(out, "\\u{:04x}", u32::from(c)).expect("a text takes what is written to it"),
            false => out.push(c),
        }
    }
    out
}

// === impl Config ===

impl Config {
    /// The named folder, or `routes`, or in development what is compiled in.
    fn origin(&self) -> Origin {
        match &self.config {
            Some(folder) => Origin::Folder(folder.clone()),
            None if Path::new("routes").is_dir() || self.environment != Environment::Development => Origin::Folder(PathBuf::from("routes")),
            None => Origin::Shipped,
        }
    }

    fn inputs(&self, context: Context) -> Inputs {
        let variables = Box::new(|name: &str| std::env::var(name).ok());
        Inputs { origin: self.origin(), environment: self.environment, variables, context }
    }
}

// === impl Data ===

impl Data {
    fn folder(&self) -> DataFolder {
        DataFolder::at(&self.data)
    }

    /// The development key that a gateway with this folder made.
    fn signer(&self) -> Result<Signer, Exit> {
        let key = self.folder().read(crate::data::DEVELOPMENT_KEY).map_err(|error| {
            Exit::new(UNREADABLE, format!("error: there is no development key: {error}\n  help: start `protogate serve` in development first, or name its `--data` folder"))
        })?;
        Signer::from_pkcs8(&key).map_err(|error| Exit::new(UNREADABLE, format!("error: the development key is broken: {error}")))
    }
}

// === impl Exit ===

impl Exit {
    fn new(code: u8, message: impl Into<String>) -> Exit {
        Exit { code, message: message.into() }
    }

    /// What the operator's door said instead of doing what it was asked.
    fn refused(answer: &serde_json::Value) -> Exit {
        let why = answer["error"].as_str().map_or_else(|| answer.to_string(), str::to_owned);
        Exit::new(1, harmless(&format!("error: the gateway refused: {why}")))
    }
}
