//! Parses the command line, runs one command, and ends with its exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    protogate::cli::run(std::env::args_os())
}
