//! Generates the gRPC server of `proto/schema/markstein/v1/services.proto` with its descriptors, and the messages between
//! nodes of `network.proto`; no protoc needed.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=../proto/schema");
    let descriptors = protox::compile(["markstein/v1/services.proto"], ["../proto/schema"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("services.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().build_client(true).out_dir(&out).compile_fds(descriptors)?;
    let messages = protox::compile(["markstein/network/v1/network.proto"], ["../proto/schema"])?;
    prost_build::Config::new().out_dir(out).compile_fds(messages)?;
    Ok(())
}
