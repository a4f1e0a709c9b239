//! Several nodes as one: the next is asked where one fails, again and again, until the time is up.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::time::Instant;

use crate::{
    node::{Failure, Node, NodeError},
    observer::{Event, Observer},
};

/// How long to go on, and how often to ask.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For one request, over all nodes.
    pub total: Duration,
    /// Between the first two rounds.
    pub first_delay: Duration,
    /// Between any two rounds, unless a node asks for more.
    pub longest_delay: Duration,
}

impl Patience {
    /// Half a second at first, ten at most, for the given time.
    #[must_use]
    pub const fn of(total: Duration) -> Self {
        Self { total, first_delay: Duration::from_millis(500), longest_delay: Duration::from_secs(10) }
    }
}

/// Why no node did what was asked.
#[derive(Debug, thiserror::Error)]
pub enum RetryError {
    /// A node refused, or all that answered answered wrongly.
    #[error("{0}")]
    Denied(NodeError),
    /// The time is up.
    #[error("gave up after {} s: {last}", total.as_secs())]
    TimedOut {
        /// How long it was tried.
        total: Duration,
        /// The last failure.
        last: NodeError,
    },
}

/// The nodes of a session.
pub struct Nodes<N> {
    nodes: Vec<N>,
    /// The one that answered last is asked first.
    preferred: AtomicUsize,
    patience: Patience,
    observer: Arc<dyn Observer>,
}

impl<N: Node> Nodes<N> {
    /// These nodes.
    ///
    /// # Panics
    /// Where there are none.
    #[must_use]
    pub fn new(nodes: Vec<N>, patience: Patience, observer: Arc<dyn Observer>) -> Self {
        assert!(!nodes.is_empty(), "a session needs a node");
        Self { nodes, preferred: AtomicUsize::new(0), patience, observer }
    }

    /// Asks until a node answers, see [`Failure`].
    ///
    /// # Errors
    /// See [`RetryError`].
    pub async fn any<'a, T, F>(&'a self, ask: impl Fn(&'a N) -> F) -> Result<T, RetryError>
    where
        F: Future<Output = Result<T, NodeError>>,
    {
        let Patience { total, first_delay, longest_delay } = self.patience;
        let deadline = Instant::now().checked_add(total); // none where the clock never gets there
        let delays = ExponentialBuilder::default().with_min_delay(first_delay).with_max_delay(longest_delay);
        let mut delays = delays.without_max_times().with_jitter().build();
        loop {
            let failed = match self.round(&ask).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            let delay = delays.next().unwrap_or(longest_delay).max(failed.wait);
            let last = failed.last;
            if failed.hopeless {
                return Err(RetryError::Denied(last));
            }
            if deadline.is_some_and(|end| end.saturating_duration_since(Instant::now()) < delay) {
                return Err(RetryError::TimedOut { total, last });
            }
            self.observer.event(&Event::Waiting { failure: &last, delay });
            tokio::time::sleep(delay).await;
        }
    }

    /// Asks each node once, until one answers or says no.
    async fn round<'a, T, F>(&'a self, ask: &impl Fn(&'a N) -> F) -> Result<T, Round>
    where
        F: Future<Output = Result<T, NodeError>>,
    {
        let first = self.preferred.load(Ordering::Relaxed);
        let (mut waits, mut all_faulty, mut last) = (Vec::new(), true, None);
        for i in (0..self.nodes.len()).map(|i| (first + i) % self.nodes.len()) {
            let failure = match ask(&self.nodes[i]).await {
                Ok(answer) => {
                    self.preferred.store(i, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(failure) => failure,
            };
            match failure.kind {
                Failure::Denied => return Err(Round { hopeless: true, wait: Duration::ZERO, last: failure }),
                Failure::Busy(wait) => waits.push(wait),
                Failure::Away => waits.push(Duration::ZERO),
                Failure::Faulty => {}
            }
            all_faulty &= failure.kind == Failure::Faulty;
            last = Some(failure);
        }
        let last = last.expect("there is at least one node, and it failed");
        Err(Round { hopeless: all_faulty, wait: waits.into_iter().min().unwrap_or_default(), last })
    }
}

/// A round in which no node answered.
struct Round {
    /// Asking again would bring the same.
    hopeless: bool,
    /// The shortest time after which one of them may be asked again.
    wait: Duration,
    last: NodeError,
}
