//! Runs the `markstein` program as an agency's script would.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    binaries::{Voice, binaries},
    process,
};

/// The program, with a journal of its own.
#[derive(Clone, Debug)]
pub struct Client {
    program: PathBuf,
    state: PathBuf,
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Run {
    /// The exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// What it said on standard output.
    pub stdout: String,
    /// What it said on standard error.
    pub stderr: String,
}

impl Client {
    /// A client that keeps its journal below `state`.
    ///
    /// # Errors
    /// Where the program cannot be built.
    pub fn new(state: &Path) -> anyhow::Result<Self> {
        Ok(Self { program: binaries(Voice::Quiet)?.client, state: state.to_owned() })
    }

    /// The command with these arguments, not yet started. Nothing of this machine's settings reaches it.
    pub fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(&self.program);
        for name in env::vars_os().filter_map(|(name, _)| name.into_string().ok()) {
            if name.starts_with("MARKSTEIN_") {
                command.env_remove(name);
            }
        }
        command.args(arguments).env("XDG_STATE_HOME", &self.state).env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> anyhow::Result<Run> {
        let output = process::output(&mut self.command(arguments))?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Run { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) })
    }
}

impl Run {
    /// All that was said, for messages.
    #[must_use]
    pub fn said(&self) -> String {
        format!("exit code {:?}\n{}{}", self.code, self.stdout, self.stderr)
    }
}
