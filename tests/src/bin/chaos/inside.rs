//! The second half of a run: this program again, in namespaces of its own for network, mounts and processes.
//!
//! As the first process of its namespace it takes all nodes with it, paused ones too, however it ends; the system then
//! removes the networks and disks. Its standard input is a lifeline: closed, the run gives up and clears up.

use std::{
    env,
    ffi::OsString,
    io::Read,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use markstein_tests::process::{self, LOOK_AGAIN};

const UNSHARE: [&str; 5] = ["--net", "--mount", "--pid", "--fork", "--kill-child"];
/// Longer than an interrupted run takes to clear up.
const CLEAR_UP_MAX: Duration = Duration::from_secs(60);

/// How namespaces can be had here.
#[derive(Clone, Copy, Debug)]
pub enum Means {
    /// As root.
    Root,
    /// In a user namespace.
    User,
}

impl Means {
    /// The first that works; or else why none does.
    pub fn find() -> Result<Self, String> {
        let mut why = String::new();
        for means in [Self::Root, Self::User] {
            match means.probe() {
                Ok(()) => return Ok(means),
                Err(error) => why = format!("{error:#}"),
            }
        }
        Err(why)
    }

    fn probe(self) -> anyhow::Result<()> {
        let output = process::output(self.command()?.arg("--probe").stderr(Stdio::piped()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "{}", said.trim());
        Ok(())
    }

    /// This program in namespaces of its own.
    fn command(self) -> anyhow::Result<Command> {
        let mut command = Command::new("unshare");
        if matches!(self, Self::User) {
            command.arg("--map-root-user");
        }
        command
            .args(UNSHARE)
            .arg("--")
            .arg(env::current_exe().context("this program does not know where it lies")?);
        Ok(command)
    }

    /// Runs this program with these arguments to its end.
    pub fn run(self, arguments: &[OsString]) -> anyhow::Result<ExitStatus> {
        let mut child = self.command()?.args(arguments).stdin(Stdio::piped()).spawn()?;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            if process::is_interrupted() {
                return interrupt(child);
            }
            thread::sleep(LOOK_AGAIN * 4);
        }
    }
}

fn interrupt(mut child: Child) -> anyhow::Result<ExitStatus> {
    drop(child.stdin.take());
    let until = Instant::now() + CLEAR_UP_MAX;
    while Instant::now() < until {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        thread::sleep(LOOK_AGAIN * 4);
    }
    child.kill()?; // and with it all that is inside
    Ok(child.wait()?)
}

/// From now on the end of whoever started this process interrupts it.
pub fn hold_lifeline() {
    thread::spawn(|| {
        let mut sink = [0; 64];
        while matches!(std::io::stdin().read(&mut sink), Ok(1..)) {}
        process::interrupt();
    });
}
