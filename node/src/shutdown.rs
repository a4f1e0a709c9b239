//! How a node stops: a signal that many can wait for, and named phases under one deadline.
//!
//! The order is fixed by what depends on what: first nobody new is let in, then those inside are served, then nothing
//! more is decided, and at last the store is flushed and closed. A phase that takes too long is left behind, so that
//! the store still gets its share of the time; it is safe without, only slower to start again.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// A request to stop, made once and seen by all clones, also by those that look later.
#[derive(Clone, Debug)]
pub struct StopSignal {
    sender: watch::Sender<bool>,
}

/// One step of stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Take no new connections.
    StopListening,
    /// Answer the requests that are there.
    DrainRequests,
    /// Decide nothing more.
    StopDriver,
    /// Leave the other nodes.
    StopNetwork,
    /// Flush and close the store.
    CloseStore,
}

/// A phase took longer than the deadline leaves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the phase '{phase}' did not end in time and was left behind")]
pub struct Overdue {
    /// Which.
    pub phase: Phase,
}

/// The phases of one stop, under one deadline, logged one by one.
#[derive(Debug)]
pub struct Phases {
    begun: Instant,
    deadline: Duration,
    last: Option<Phase>,
}

impl StopSignal {
    /// Not given yet.
    #[must_use]
    pub fn new() -> Self {
        Self { sender: watch::Sender::new(false) }
    }

    /// Gives it; again does no harm.
    pub fn stop(&self) {
        self.sender.send_replace(true);
    }

    /// Whether it was given.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        *self.sender.borrow()
    }

    /// Resolves once it is given.
    pub fn stopped(&self) -> impl Future<Output = ()> + Send + 'static {
        let signal = self.clone();
        async move {
            let mut receiver = signal.sender.subscribe();
            let waited = receiver.wait_for(|stopped| *stopped).await;
            waited.expect("the sender lives in `signal`, which lives as long as this future");
        }
    }
}

impl Default for StopSignal {
    fn default() -> Self {
        Self::new()
    }
}

impl Phases {
    /// Starts the clock.
    #[must_use]
    pub fn begin(deadline: Duration) -> Self {
        tracing::info!(deadline_s = deadline.as_secs(), "stopping");
        Self { begun: Instant::now(), deadline, last: None }
    }

    /// Runs one phase to its end, or to the deadline: three quarters of it for all phases before the last, so that
    /// closing the store always has time.
    ///
    /// # Errors
    /// [`Overdue`]; go on with the next phase then.
    ///
    /// # Panics
    /// Where phases come in another order than that of [`Phase`].
    pub async fn run<F: Future>(&mut self, phase: Phase, work: F) -> Result<F::Output, Overdue> {
        assert!(self.last < Some(phase), "phases run in their order, each once");
        self.last = Some(phase);
        tracing::info!(%phase, "stopping: phase begins");
        let remaining = self.time_for(phase).saturating_sub(self.begun.elapsed());
        match tokio::time::timeout(remaining, work).await {
            Ok(output) => {
                tracing::info!(%phase, elapsed_ms = self.begun.elapsed().as_millis(), "stopping: phase ended");
                Ok(output)
            }
            Err(_) => {
                tracing::warn!(%phase, "stopping: the phase did not end in time and is left behind");
                Err(Overdue { phase })
            }
        }
    }

    /// What is left for requests to end, for servers that keep the time themselves.
    #[must_use]
    pub fn drain_time(&self) -> Duration {
        self.time_for(Phase::DrainRequests).saturating_sub(self.begun.elapsed())
    }

    fn time_for(&self, phase: Phase) -> Duration {
        if phase == Phase::CloseStore { self.deadline } else { self.deadline * 3 / 4 }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StopListening => "stop listening",
            Self::DrainRequests => "drain requests",
            Self::StopDriver => "stop consensus",
            Self::StopNetwork => "stop network",
            Self::CloseStore => "flush and close store",
        })
    }
}

/// Runs `work` to its end on a runtime of its own, and waits for nothing beyond it: what a phase left behind, like a
/// thread in a read that the disk never answers, must not keep the process from ending.
///
/// # Errors
/// Where the system gives no threads.
pub fn run_to_end<F: Future>(work: F) -> io::Result<F::Output> {
    let runtime = tokio::runtime::Runtime::new()?;
    let output = runtime.block_on(work);
    runtime.shutdown_background();
    Ok(output)
}

/// Takes over SIGTERM and SIGINT at once; the future resolves with the name of the first that comes.
///
/// # Errors
/// Where the system does not let signals be handled.
pub fn termination() -> io::Result<impl Future<Output = &'static str> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn a_signal_is_seen_by_all_also_by_those_that_look_later() {
        let signal = StopSignal::new();
        let early = tokio::spawn(signal.clone().stopped());
        assert!(!signal.is_stopped());
        signal.stop();
        signal.stop();
        early.await.unwrap();
        signal.stopped().await;
        assert!(signal.clone().is_stopped());
    }

    #[tokio::test]
    async fn a_phase_that_never_ends_is_left_behind_and_the_next_one_runs() {
        let mut phases = Phases::begin(Duration::ZERO);
        assert_eq!(
            phases.run(Phase::DrainRequests, pending::<()>()).await,
            Err(Overdue { phase: Phase::DrainRequests })
        );
        assert_eq!(
            phases.run(Phase::CloseStore, ready(7)).await,
            Ok(7),
            "what is ready is taken in any case"
        );
    }

    #[tokio::test]
    async fn closing_the_store_has_time_of_its_own() {
        let phases = Phases::begin(Duration::from_secs(40));
        assert_eq!(phases.time_for(Phase::StopListening), Duration::from_secs(30));
        assert_eq!(phases.time_for(Phase::CloseStore), Duration::from_secs(40));
        assert!(phases.drain_time() <= Duration::from_secs(30));
    }

    #[test]
    fn what_was_left_behind_does_not_keep_the_process_from_ending() {
        let (never, stuck) = std::sync::mpsc::channel::<()>();
        let work = async move {
            tokio::task::spawn_blocking(move || stuck.recv());
            7
        };
        assert_eq!(run_to_end(work).unwrap(), 7);
        drop(never);
    }

    #[tokio::test]
    #[should_panic(expected = "in their order")]
    async fn phases_do_not_run_backwards() {
        let mut phases = Phases::begin(Duration::from_secs(1));
        phases.run(Phase::CloseStore, ready(())).await.unwrap();
        let _ = phases.run(Phase::StopListening, ready(())).await;
    }
}
