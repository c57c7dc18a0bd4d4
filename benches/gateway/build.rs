//! Turns the product's own `.proto` files into Rust, so that the bench cannot speak another wire.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let proto = "../../proto";
    println!("cargo::rerun-if-changed={proto}");
    let files = ["protogate/wire/v1/wire.proto", "protogate/echo/v1/echo.proto"];
    tonic_prost_build::configure().bytes(".").compile_fds(protox::compile(files, [proto])?)?;
    Ok(())
}
