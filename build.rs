//! Turns `proto/` into Rust with protox (no protoc), and lists the shipped configuration so that it can be compiled in.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use protox::Compiler;

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let top = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    println!("cargo::rerun-if-changed=proto");
    println!("cargo::rerun-if-changed=routes");

    let mut compiler = Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(files_below(Path::new("proto"), "proto")?)?;
    fs::write(out.join("protogate.binpb"), compiler.encode_file_descriptor_set())?;
    // Messages that carry a token or a password cannot be printed. Who connects, and how, is for `backend` to say.
    const SECRET_WIRE: [&str; 5] = ["Authenticate", "Ready", "Resume", "Resumed", "RefreshToken"];
    const SECRET_AUTH: [&str; 8] = [
        "RegisterRequest",
        "RegisterResponse",
        "LoginRequest",
        "LoginResponse",
        "ForgotPasswordRequest",
        "RefreshTokenRequest",
        "RefreshTokenResponse",
        "LogoutRequest",
    ];
    const SECRET_GAME: [&str; 2] = ["CreateRoomRequest", "JoinRoomRequest"];
    const SECRET_GUARD: [&str; 1] = ["CheckRequest"];
    let secret_wire = SECRET_WIRE.iter().map(|name| format!(".protogate.wire.v1.{name}"));
    let secret_auth = SECRET_AUTH.iter().map(|name| format!(".protogate.auth.v1.{name}"));
    let secret_game = SECRET_GAME.iter().map(|name| format!(".protogate.game.v1.{name}"));
    let secret_guard = SECRET_GUARD.iter().map(|name| format!(".protogate.guard.v1.{name}"));
    let secret: Vec<String> = secret_wire.chain(secret_auth).chain(secret_game).chain(secret_guard).collect();
    tonic_prost_build::configure().bytes(".").skip_debug(&secret).build_transport(false).compile_fds(compiler.file_descriptor_set())?;

    example("examples/greeter/proto")?;

    fs::write(out.join("shipped.rs"), shipped(&top)?)?;
    Ok(())
}

/// The messages of an example. They are no part of what the gateway ships, and a packaged crate does not hold them.
fn example(folder: &str) -> Result<(), Box<dyn Error>> {
    let folder = Path::new(folder);
    if !folder.is_dir() {
        return Ok(());
    }
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut compiler = Compiler::new([folder])?;
    compiler.open_files(files_below(folder, "proto")?)?;
    tonic_prost_build::configure().compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

/// A Rust expression: `&[("routes/routes.yaml", include_str!("…")), …]`.
fn shipped(top: &Path) -> Result<String, Box<dyn Error>> {
    let mut list = String::from("&[\n");
    for (folder, extension) in [("routes", "yaml"), ("proto", "proto")] {
        for path in files_below(Path::new(folder), extension)? {
            writeln!(list, "    ({path:?}, include_str!({:?})),", top.join(&path))?;
        }
    }
    list.push_str("]\n");
    Ok(list)
}

fn files_below(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files_below(&path, extension)?);
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
