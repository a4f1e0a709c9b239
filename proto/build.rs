//! Generates the Rust types of `schema/markstein/format/v1/`; no protoc needed.

use std::{env, error::Error, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=schema");
    let descriptors = protox::compile(
        ["markstein/format/v1/format.proto", "markstein/format/v1/consensus.proto"],
        ["schema"],
    )?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    prost_build::Config::new()
        .out_dir(out)
        // A batch of 10,000 records is read without copying each of them.
        .bytes([".markstein.format.v1.Batch"])
        .compile_fds(descriptors)?;
    Ok(())
}
