//! Time and processors as a run sees them, so that tests can set the one and do without the other.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use markstein_proto::TimeMs;
use tokio::{sync::oneshot, task::spawn_blocking};

/// The runtime's timer counts in milliseconds and wakes late; the last stretch is slept by a thread.
const COARSE: Duration = Duration::from_millis(2);

/// What a run stands on.
pub trait World: Clone + Send + Sync + 'static {
    /// Time since some moment before the run.
    fn now(&self) -> Duration;

    /// The time of day, for what is signed.
    fn time_of_day(&self) -> TimeMs;

    /// Completes at that time, not before.
    fn sleep_until(&self, at: Duration) -> impl Future<Output = ()> + Send;

    /// Computes beside everything else: not even a queue of [`World::compute`] holds it up.
    fn compute_aside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = T> + Send;

    /// Computes where it keeps nobody waiting, in turn with others.
    fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = T> + Send;
}

/// This machine.
#[derive(Clone, Copy, Debug)]
pub struct ThisMachine {
    start: Instant,
}

impl ThisMachine {
    /// Its time begins now.
    #[must_use]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for ThisMachine {
    fn default() -> Self {
        Self::new()
    }
}

impl World for ThisMachine {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn time_of_day(&self) -> TimeMs {
        crate::time::now()
    }

    async fn sleep_until(&self, at: Duration) {
        if let Some(early) = at.checked_sub(self.now() + COARSE) {
            tokio::time::sleep(early).await;
        }
        let rest = at.saturating_sub(self.now());
        if !rest.is_zero() {
            // Cancelled only where the runtime ends, and then nobody waits any more.
            let _ = spawn_blocking(move || std::thread::sleep(rest)).await;
        }
    }

    async fn compute_aside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        match spawn_blocking(work).await {
            Ok(done) => done,
            Err(e) => match e.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => std::future::pending().await, // the runtime ends, and nobody waits any more
            },
        }
    }

    async fn compute<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (sender, done) = oneshot::channel();
        rayon::spawn(move || {
            let _ = sender.send(work()); // nobody waits where the run has ended
        });
        done.await.expect("rayon runs what it is given, and a panic there ends the program")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_wakes_early_and_work_comes_back() {
        let world = ThisMachine::new();
        for millis in [0, 1, 3, 7] {
            let at = world.now() + Duration::from_millis(millis);
            world.sleep_until(at).await;
            assert!(world.now() >= at);
        }
        assert_eq!(world.compute(|| 6 * 7).await, 42);
        assert_eq!(world.compute_aside(|| 6 * 7).await, 42);
    }
}
