//! Processes seen from outside, by what Linux tells of them in `/proc`.

use std::{
    fs,
    io::{Read, Seek},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use markstein_tests::process::LOOK_AGAIN;
pub(crate) use markstein_tests::strangers::memory;

/// Linux counts the time of a process in hundredths of a second, on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process that came to its end.
pub(crate) struct Watched {
    pub(crate) time: Duration,
    /// The most memory it had, in bytes.
    pub(crate) peak: u64,
}

/// Runs a command that must succeed.
pub(crate) fn run(mut command: Command) -> anyhow::Result<Watched> {
    let mut errors = tempfile::tempfile()?;
    command.stdout(Stdio::null()).stderr(errors.try_clone()?);
    let start = Instant::now();
    let mut child = command.spawn()?;
    let (mut peak, mut look) = (0, 0_u32);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        // It has no memory any more between its end and our next look.
        if look.is_multiple_of(4) {
            peak = peak.max(memory(child.id(), "VmHWM").unwrap_or(0));
        }
        look += 1;
        thread::sleep(LOOK_AGAIN);
    };
    let time = start.elapsed();
    if !status.success() {
        let mut said = String::new();
        errors.rewind()?;
        errors.read_to_string(&mut said)?;
        bail!("{command:?} ended with {status}: {said}");
    }
    Ok(Watched { time, peak })
}

/// Processor time that a process has used.
pub(crate) fn processor_time(pid: u32) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold anything, so what follows is counted from its end: user and system time are
    // the 12th and 13th fields there.
    let (_, fields) = stat.rsplit_once(')').context("/proc/<pid>/stat has a name")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    let ticks: u64 = ticks.sum::<Result<u64, _>>()?;
    Ok(ticks as f64 / TICKS_PER_SECOND)
}
