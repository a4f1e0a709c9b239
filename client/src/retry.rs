//! Several nodes as one: the next is asked where one fails, again and again, until the time is up.

use std::{
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::{Instant, timeout};

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

/// So long a node may take in any case, however little patience there is.
const ASKED_MIN: Duration = Duration::from_secs(1);

/// So long a node that did not answer is asked after the others, or not at all: see [`How::Awake`].
const SET_ASIDE: Duration = Duration::from_secs(30);
/// So long [`How::Insist`] waits for those that do not answer, once there is an answer.
const INSIST_MAX: Duration = Duration::from_secs(15);

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

impl RetryError {
    /// The last failure.
    #[must_use]
    pub const fn last(&self) -> &NodeError {
        match self {
            Self::Denied(last) | Self::TimedOut { last, .. } => last,
        }
    }
}

/// The nodes of a session.
pub struct Nodes<N> {
    nodes: Vec<N>,
    /// Of each one that did not answer when it was asked last.
    silent: Vec<Mutex<Option<Silence>>>,
    /// [`SET_ASIDE`] and [`INSIST_MAX`], but in tests.
    set_aside: Duration,
    insist_max: Duration,
    /// The one that answered last is asked first.
    preferred: AtomicUsize,
    patience: Patience,
    observer: Arc<dyn Observer>,
}

/// How often nodes are asked that shall all be asked, see [`Nodes::each`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Each once.
    Once,
    /// Each once, and where others answer not those that did not answer a moment ago: with many questions one silent node
    /// would otherwise be waited for with each.
    Awake,
    /// Those that do not answer again, for a while and once in a run, even where others answered: what only one of several
    /// nodes says must not count because the others were away for a moment.
    Insist,
}

/// A node that does not answer.
#[derive(Clone)]
struct Silence {
    until: Instant,
    /// It was waited for in vain.
    is_given_up: bool,
    failure: NodeError,
}

impl<N: Node> Nodes<N> {
    /// These nodes.
    ///
    /// # Panics
    /// Where there are none.
    #[must_use]
    pub fn new(nodes: Vec<N>, patience: Patience, observer: Arc<dyn Observer>) -> Self {
        assert!(!nodes.is_empty(), "a session needs a node");
        let silent = nodes.iter().map(|_| Mutex::default()).collect();
        Self {
            nodes,
            silent,
            set_aside: SET_ASIDE,
            insist_max: INSIST_MAX,
            preferred: AtomicUsize::new(0),
            patience,
            observer,
        }
    }

    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.nodes.len()
    }

    /// Asks until a node answers, see [`Failure`].
    ///
    /// # Errors
    /// See [`RetryError`].
    pub async fn any<'a, T, F>(&'a self, ask: impl Fn(&'a N) -> F) -> Result<T, RetryError>
    where
        F: Future<Output = Result<T, NodeError>>,
    {
        let mut pauses = Pauses::of(self.patience);
        loop {
            let failed = match self.round(&ask).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            let Round { hopeless, wait, last } = failed;
            if hopeless {
                return Err(RetryError::Denied(last));
            }
            let Some(delay) = pauses.next(wait) else {
                return Err(RetryError::TimedOut { total: self.patience.total, last });
            };
            self.observer.event(&Event::Waiting { failure: &last, delay });
            tokio::time::sleep(delay).await;
        }
    }

    /// What the last failure of a round means that nobody answered in [`Self::each`].
    #[must_use]
    pub const fn gave_up(&self, last: NodeError) -> RetryError {
        match wait_of(&last) {
            Some(_) => RetryError::TimedOut { total: self.patience.total, last },
            None => RetryError::Denied(last),
        }
    }

    /// Asks each node, unless an answer is `enough` for all, those last that did not answer a moment ago; where none answers,
    /// again, until the time is up. Answers what each node that was asked said last. A node that takes all the time for itself
    /// is taken for away.
    pub async fn each<'a, T, F>(
        &'a self,
        how: How,
        ask: impl Fn(&'a N) -> F,
        enough: impl Fn(&T) -> bool,
    ) -> Vec<Result<T, NodeError>>
    where
        F: Future<Output = Result<T, NodeError>>,
    {
        let (mut pauses, began) = (Pauses::of(self.patience), Instant::now());
        let mut said: Vec<Option<Result<T, NodeError>>> = self.nodes.iter().map(|_| None).collect();
        for round in 0_u64.. {
            for number in self.awake_first() {
                if said[number].as_ref().is_some_and(|said| said.as_ref().err().and_then(wait_of).is_none()) {
                    continue; // it answered, or would say the same again
                }
                let left_out = self.locked(number).clone().filter(|it| round == 0 && it.is_left_out(how));
                if let Some(silence) = left_out {
                    said[number] = Some(Err(silence.failure));
                    continue;
                }
                let answer = self.ask_one(number, &ask).await;
                let ends = answer.as_ref().is_ok_and(&enough);
                said[number] = Some(answer);
                if ends {
                    self.preferred.store(number, Ordering::Relaxed);
                    return said.into_iter().flatten().collect();
                }
            }
            let is_answered = said.iter().flatten().any(Result::is_ok);
            let waiting =
                if is_answered && how != How::Insist { Vec::new() } else { self.waiting(&said, is_answered) };
            let Some(wait) = waiting.iter().map(|(_, _, wait)| *wait).min() else { break };
            let pause = pauses.next(wait).filter(|_| !is_answered || began.elapsed() < self.insist_max);
            let (Some(delay), Some((_, failure, _))) = (pause, waiting.last()) else {
                waiting.iter().for_each(|(number, failure, _)| self.set_aside(*number, failure, true));
                break;
            };
            self.observer.event(&Event::Waiting { failure, delay });
            tokio::time::sleep(delay).await;
        }
        said.into_iter().flatten().collect()
    }

    /// Those that may still say something, why they did not, and when to ask again; where there is an answer already, without
    /// those that were waited for in vain.
    fn waiting<'s, T>(
        &self,
        said: &'s [Option<Result<T, NodeError>>],
        is_answered: bool,
    ) -> Vec<(usize, &'s NodeError, Duration)> {
        let open = (0..).zip(said).filter_map(|(number, said)| {
            let failure = said.as_ref()?.as_ref().err()?;
            Some((number, failure, wait_of(failure)?))
        });
        let is_given_up = |number| self.locked(number).as_ref().is_some_and(|silence| silence.is_given_up);
        open.filter(|(number, ..)| !is_answered || !is_given_up(*number)).collect()
    }

    /// Asks one node, and remembers where it does not answer.
    async fn ask_one<'a, T, F>(&'a self, number: usize, ask: &impl Fn(&'a N) -> F) -> Result<T, NodeError>
    where
        F: Future<Output = Result<T, NodeError>>,
    {
        let node = &self.nodes[number];
        let answer = timeout(self.patience.total.max(ASKED_MIN), ask(node)).await;
        let late = || NodeError::new(node.name(), Failure::Away, "does not answer in time");
        let answer = answer.unwrap_or_else(|_| Err(late()));
        match &answer {
            Err(failure) if failure.kind == Failure::Away => self.set_aside(number, failure, false),
            _ => *self.locked(number) = None,
        }
        answer
    }

    fn locked(&self, number: usize) -> MutexGuard<'_, Option<Silence>> {
        self.silent[number].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_aside(&self, number: usize, failure: &NodeError, is_given_up: bool) {
        let mut silence = self.locked(number);
        let is_given_up = is_given_up || silence.as_ref().is_some_and(|silence| silence.is_given_up);
        *silence =
            Some(Silence { until: Instant::now() + self.set_aside, is_given_up, failure: failure.clone() });
    }

    /// The numbers of all, those last that did not answer a moment ago.
    fn awake_first(&self) -> Vec<usize> {
        let mut all: Vec<usize> = self.in_turn().map(|(number, _)| number).collect();
        // Looked at once for each: while they are sorted, the time of one may be over.
        all.sort_by_cached_key(|number| self.locked(*number).as_ref().is_some_and(Silence::is_recent));
        all
    }

    /// All of them with their numbers, the one that answered last first.
    fn in_turn(&self) -> impl Iterator<Item = (usize, &N)> {
        let first = self.preferred.load(Ordering::Relaxed);
        let all = || self.nodes.iter().enumerate();
        all().skip(first).chain(all().take(first))
    }

    /// Asks each node once, until one answers or says no.
    async fn round<'a, T, F>(&'a self, ask: &impl Fn(&'a N) -> F) -> Result<T, Round>
    where
        F: Future<Output = Result<T, NodeError>>,
    {
        let (mut waits, mut all_faulty, mut last) = (Vec::new(), true, None);
        for (number, node) in self.in_turn() {
            let failure = match ask(node).await {
                Ok(answer) => {
                    self.preferred.store(number, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(failure) => failure,
            };
            if failure.kind == Failure::Denied {
                return Err(Round { hopeless: true, wait: Duration::ZERO, last: failure });
            }
            waits.extend(wait_of(&failure));
            all_faulty &= failure.kind == Failure::Faulty;
            last = Some(failure);
        }
        let last = last.expect("there is at least one node, and it failed");
        Err(Round { hopeless: all_faulty, wait: waits.into_iter().min().unwrap_or_default(), last })
    }
}

impl Silence {
    fn is_recent(&self) -> bool {
        Instant::now() < self.until
    }

    /// Whether a node is not asked in the first round.
    fn is_left_out(&self, how: How) -> bool {
        self.is_recent() && (how == How::Awake || (how == How::Insist && self.is_given_up))
    }
}

/// After which time a node may be asked again; none where that would bring the same.
const fn wait_of(failure: &NodeError) -> Option<Duration> {
    match failure.kind {
        Failure::Busy(wait) => Some(wait),
        Failure::Away => Some(Duration::ZERO),
        Failure::Faulty | Failure::Denied => None,
    }
}

/// The times between rounds.
struct Pauses {
    delays: ExponentialBackoff,
    longest: Duration,
    /// None where the clock never gets there.
    deadline: Option<Instant>,
}

impl Pauses {
    fn of(Patience { total, first_delay, longest_delay }: Patience) -> Self {
        let delays = ExponentialBuilder::default().with_min_delay(first_delay).with_max_delay(longest_delay);
        let delays = delays.without_max_times().with_jitter().build();
        Self { delays, longest: longest_delay, deadline: Instant::now().checked_add(total) }
    }

    /// The next one, `least` at least; none where the time is up before its end.
    fn next(&mut self, least: Duration) -> Option<Duration> {
        let delay = self.delays.next().unwrap_or(self.longest).max(least);
        let is_late = self.deadline.is_some_and(|end| end.saturating_duration_since(Instant::now()) < delay);
        (!is_late).then_some(delay)
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

#[cfg(test)]
#[path = "retry_tests.rs"]
mod tests;
