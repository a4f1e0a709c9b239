//! Runs the system's own tools: `ip`, `nft`, `tc`, `mount`.

use std::{
    ffi::OsStr,
    io::Write,
    process::{Command, Stdio},
};

use anyhow::{Context, bail};

/// Runs a command to its end, with this on its standard input; fails with what it says where it fails.
pub fn run<A: AsRef<OsStr>>(program: &str, arguments: &[A], input: &str) -> anyhow::Result<()> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("{program} cannot be run"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let words: Vec<_> = arguments.iter().map(|word| word.as_ref().to_string_lossy()).collect();
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {}: {}", words.join(" "), said.trim());
    }
    Ok(())
}
