//! Generates the gRPC server of `proto/schema/markstein/v1/services.proto` and its descriptors; no protoc needed.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=../proto/schema");
    let descriptors = protox::compile(["markstein/v1/services.proto"], ["../proto/schema"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("services.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().build_client(false).out_dir(out).compile_fds(descriptors)?;
    Ok(())
}
