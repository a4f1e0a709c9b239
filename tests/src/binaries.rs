//! Builds the two programs through the cargo that runs this process, once.
//!
//! The packages are those of `cargo test --workspace --release`, so both agree on the features of every dependency and
//! RocksDB, which takes a quarter of an hour, is compiled by whichever comes first and never again. Of their programs only
//! these two are linked: the others take minutes on a busy machine, which the first test would seem to take.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::process;

/// Where the two programs lie.
#[derive(Clone, Debug)]
pub struct Binaries {
    /// `markstein-node`.
    pub node: PathBuf,
    /// `markstein`.
    pub client: PathBuf,
}

/// How much cargo says while it builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// Only what is wrong.
    Quiet,
    /// Each crate, on standard error.
    Progress,
}

const NODE: &str = "markstein-node";
const CLIENT: &str = "markstein";

/// Variables that cargo sets for the process it runs. Build scripts watch some of them, and would run again.
const OF_ONE_PACKAGE: [&str; 5] =
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];

/// The folder of the workspace.
#[must_use]
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in a folder of the workspace")
}

static BUILT: Mutex<Option<Binaries>> = Mutex::new(None);

/// Takes these programs, where another process has built them already.
pub fn take(built: Binaries) {
    *BUILT.lock().unwrap_or_else(PoisonError::into_inner) = Some(built);
}

/// The two programs, built on the first call.
///
/// # Errors
/// Where cargo cannot be run or the build fails; cargo's own words are on standard error by then.
pub fn binaries(voice: Voice) -> anyhow::Result<Binaries> {
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(binaries) = built.as_ref() {
        return Ok(binaries.clone());
    }
    let binaries = build(voice)?;
    *built = Some(binaries.clone());
    Ok(binaries)
}

fn build(voice: Voice) -> anyhow::Result<Binaries> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(&cargo);
    command.args(["build", "--release", "--workspace", "--bin", NODE, "--bin", CLIENT, "--locked"]);
    command.arg("--message-format=json-render-diagnostics").current_dir(workspace()).stderr(Stdio::inherit());
    if voice == Voice::Quiet {
        command.arg("--quiet");
    }
    for name in
        env::vars_os().filter_map(|(name, _)| name.into_string().ok()).filter(|name| is_inherited(name))
    {
        command.env_remove(name);
    }
    let output =
        process::output(&mut command).with_context(|| format!("{} cannot be run", cargo.display()))?;
    if !output.status.success() {
        bail!("the programs could not be built; cargo says why above");
    }
    let messages: Vec<Value> =
        output.stdout.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    Ok(Binaries { node: executable(&messages, NODE)?, client: executable(&messages, CLIENT)? })
}

fn is_inherited(name: &str) -> bool {
    let from_config = (name == "CC" || name == "CXX")
        && env::var_os(name)
            .is_some_and(|path| Path::new(&path).starts_with(workspace().join("config/compiler")));
    from_config || name == "OUT_DIR" || OF_ONE_PACKAGE.iter().any(|prefix| name.starts_with(prefix))
}

/// The path that cargo names for a binary.
fn executable(messages: &[Value], name: &str) -> anyhow::Result<PathBuf> {
    let found = messages.iter().find_map(|message| {
        let is_it = message["target"]["name"] == name && message["target"]["kind"][0] == "bin";
        is_it.then(|| message["executable"].as_str()).flatten()
    });
    found.map(PathBuf::from).with_context(|| format!("cargo built no program {name}"))
}
