//! How far a request is, and whether its caller keeps it waiting.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    shares::{Holder, Share, Use},
    shutdown::StopSignal,
};

/// A caller that is this far behind keeps this node waiting.
const LATE: Duration = Duration::from_secs(1);
/// A body is behind where it comes more slowly than this, in bytes a second: the longest one takes about a minute then.
const PACE: u64 = 16 * 1024;

/// How far a request is. Its places are held for it.
#[derive(Debug)]
pub(super) struct Progress {
    stage: Mutex<Stage>,
    gone: StopSignal,
}

#[derive(Debug)]
enum Stage {
    /// Its body comes.
    Uploading { since: Instant, received: u64 },
    /// It is this node's turn.
    Working,
    /// It was given a piece of its answer, and has not asked for the next one.
    Given { since: Instant },
}

impl Progress {
    /// A request that begins now.
    pub(super) fn new() -> Self {
        let stage = Stage::Uploading { since: Instant::now(), received: 0 };
        Self { stage: Mutex::new(stage), gone: StopSignal::new() }
    }

    /// So many bytes of its body came.
    pub(super) fn received(&self, more: usize) {
        self.with(|stage| {
            if let Stage::Uploading { received, .. } = stage {
                *received += more as u64;
            }
        });
    }

    /// Its body is here, or it asks for the next piece of its answer.
    pub(super) fn works(&self) {
        self.with(|stage| *stage = Stage::Working);
    }

    /// It was given a piece of its answer.
    pub(super) fn given(&self, now: Instant) {
        self.with(|stage| *stage = Stage::Given { since: now });
    }

    /// Since when it takes nothing of what it was given.
    pub(super) fn given_since(&self) -> Option<Instant> {
        self.with(|stage| if let Stage::Given { since } = stage { Some(*since) } else { None })
    }

    /// Completes when it has to give way.
    pub(super) fn gone(&self) -> impl Future<Output = ()> + Send + 'static {
        self.gone.stopped()
    }

    fn with<T>(&self, work: impl FnOnce(&mut Stage) -> T) -> T {
        work(&mut self.stage.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Use for Progress {
    fn idle(&self, now: Instant) -> Option<Duration> {
        let due = self.with(|stage| match *stage {
            Stage::Uploading { since, received } => {
                Some(since + Duration::from_millis(received.saturating_mul(1000) / PACE))
            }
            Stage::Working => None,
            Stage::Given { since } => Some(since),
        })?;
        let late = now.saturating_duration_since(due);
        (late >= LATE).then_some(late)
    }

    fn give_way(&self) {
        self.gone.stop();
    }
}

/// A request and what it holds beside its place.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) holder: Holder,
    pub(super) progress: std::sync::Arc<Progress>,
    /// Bytes for its body.
    pub(super) body: Mutex<Option<Share>>,
}

impl Call {
    /// Its body is not held any more.
    pub(super) fn give_back(&self) {
        let held = self.body.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(held);
    }

    /// More bytes for its body; `false` where there is no room.
    pub(super) fn grow(&self, more: usize) -> bool {
        let held = self.body.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().is_none_or(|share| share.grow(more as u64).is_ok())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_body_lies_idle_where_it_comes_too_slowly() {
        let progress = Progress::new();
        let begun = Instant::now();
        let after = |ms| progress.idle(begun + Duration::from_millis(ms));
        assert_eq!(after(900), None, "everybody has a moment");
        assert!(after(1100).is_some());
        progress.received(PACE as usize * 5);
        assert_eq!(after(5_500), None, "five seconds' worth is here");
        assert!(after(6_100).is_some(), "a byte now and then is not enough");
        progress.works();
        assert_eq!(after(3_600_000), None, "it is this node's turn");
        progress.received(1);
        assert_eq!(after(3_600_000), None);
    }

    #[test]
    fn an_answer_lies_idle_where_nobody_takes_it() {
        let progress = Progress::new();
        let now = Instant::now();
        progress.given(now);
        assert_eq!(progress.given_since(), Some(now));
        assert_eq!(progress.idle(now + LATE / 2), None);
        assert_eq!(progress.idle(now + LATE * 3), Some(LATE * 3));
        progress.works();
        assert_eq!((progress.given_since(), progress.idle(now + LATE * 3)), (None, None));
    }
}
