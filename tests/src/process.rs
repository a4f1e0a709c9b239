//! Child processes that end with this one: waited for without ever blocking an interruption.

use std::{
    io::{self, Read},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    runtime::Builder,
    signal::unix::{self, SignalKind},
};

/// Pause between two looks at something that is waited for.
pub const LOOK_AGAIN: Duration = Duration::from_millis(5);

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Asks everything here that waits to give up.
pub fn interrupt() {
    INTERRUPTED.store(true, Ordering::SeqCst);
}

/// Whether somebody asked to stop.
#[must_use]
pub fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// Fails once somebody asked to stop.
///
/// # Errors
/// [`io::ErrorKind::Interrupted`].
pub fn check_interrupted() -> io::Result<()> {
    if is_interrupted() { Err(io::Error::new(io::ErrorKind::Interrupted, "interrupted")) } else { Ok(()) }
}

/// From now on a signal makes everything here that waits give up, so that it can clear up after itself.
///
/// # Errors
/// The system's word.
pub fn stop_on_signals() -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let [mut interrupt, mut terminate, mut hangup] = {
        let _guard = runtime.enter();
        [
            unix::signal(SignalKind::interrupt())?,
            unix::signal(SignalKind::terminate())?,
            unix::signal(SignalKind::hangup())?,
        ]
    };
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
        });
        self::interrupt();
    });
    Ok(())
}

/// Sends a signal; a process that has ended does not mind.
pub fn signal(id: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// Runs a command to its end and gives its standard output, and its standard error where it is piped. The command is
/// stopped when somebody asks to.
///
/// # Errors
/// The system's word, or an interruption.
pub fn output(command: &mut Command) -> io::Result<Output> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let (stdout, stderr) = (collect(child.stdout.take()), collect(child.stderr.take()));
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if is_interrupted() {
            end(&mut child, Duration::from_secs(5))?;
            check_interrupted()?;
        }
        thread::sleep(LOOK_AGAIN);
    };
    let join =
        |reader: Option<thread::JoinHandle<Vec<u8>>>| reader.and_then(|r| r.join().ok()).unwrap_or_default();
    Ok(Output { status, stdout: join(stdout), stderr: join(stderr) })
}

/// Asks a process to end, and kills it where it does not within `patience`.
///
/// # Errors
/// The system's word.
pub fn end(child: &mut Child, patience: Duration) -> io::Result<ExitStatus> {
    signal(child.id(), Signal::TERM);
    if let Some(status) = wait(child, patience)? {
        return Ok(status);
    }
    child.kill()?;
    child.wait()
}

/// Waits for a process to end, for `patience` at most.
///
/// # Errors
/// The system's word.
pub fn wait(child: &mut Child, patience: Duration) -> io::Result<Option<ExitStatus>> {
    let until = Instant::now() + patience;
    loop {
        match child.try_wait()? {
            None if Instant::now() < until => thread::sleep(LOOK_AGAIN),
            ended => return Ok(ended),
        }
    }
}

/// Reads a pipe to its end, so that whoever writes into it never has to wait.
fn collect(pipe: Option<impl Read + Send + 'static>) -> Option<thread::JoinHandle<Vec<u8>>> {
    pipe.map(|mut pipe| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = pipe.read_to_end(&mut bytes); // what came before a failure is all there is
            bytes
        })
    })
}
