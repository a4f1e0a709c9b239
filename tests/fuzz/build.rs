//! Generates the messages between nodes, as the node's own build script does.

use std::{env, error::Error};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=../../proto/schema");
    let messages = protox::compile(["markstein/network/v1/network.proto"], ["../../proto/schema"])?;
    prost_build::Config::new().out_dir(env::var("OUT_DIR")?).compile_fds(messages)?;
    Ok(())
}
