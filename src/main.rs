//! Parses the command line, runs one command, and ends with its exit code.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// Cheaper for calls than the system's, and gives memory back after a reload. Chosen here and not in the library, whose user may have another.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    protogate::cli::run(std::env::args_os())
}
