//! Generates the gRPC client stubs from the shared schema, without protoc.

use std::error::Error;

const SCHEMA: &str = "../proto/schema";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={SCHEMA}");
    let files = protox::compile(["markstein/v1/services.proto"], [SCHEMA])?;
    tonic_prost_build::configure().build_server(false).compile_fds(files)?;
    Ok(())
}
