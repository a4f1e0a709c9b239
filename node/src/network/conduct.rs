//! How a peer behaved: counted by kind, logged at a bounded rate, and judged.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::{Mutex, PoisonError},
    time::Instant,
};

use libp2p::PeerId;
use tokio::sync::Notify;

use super::limits::{LogGate, MISBEHAVIOUR_SPAN, MISBEHAVIOURS_MAX};
use crate::peer::Misbehaviour;

/// The misbehaviours of one peer.
#[derive(Debug, Default)]
pub(super) struct Conduct {
    kinds: BTreeMap<&'static str, (u64, LogGate)>,
    recent: VecDeque<Instant>,
    last: Option<Misbehaviour>,
}

/// What to do about one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Noted {
    /// The number of times since the last line, where a line is due.
    pub(super) log: Option<u64>,
    /// There were too many of them lately.
    pub(super) too_many: bool,
}

impl Conduct {
    /// Counts one.
    pub(super) fn note(&mut self, misbehaviour: Misbehaviour, now: Instant) -> Noted {
        let (count, gate) = self.kinds.entry(misbehaviour.kind).or_default();
        *count += 1;
        let log = gate.due(now);
        if !misbehaviour.excusable {
            self.recent.push_back(now);
        }
        self.last = Some(misbehaviour);
        let old = |at: &Instant| now.saturating_duration_since(*at) >= MISBEHAVIOUR_SPAN;
        while self.recent.front().is_some_and(old) {
            self.recent.pop_front();
        }
        let too_many = self.recent.len() >= MISBEHAVIOURS_MAX;
        if too_many {
            self.recent.clear();
        }
        Noted { log, too_many }
    }

    /// Counts by kind.
    pub(super) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.kinds.iter().map(|(kind, (count, _))| (*kind, *count)).collect()
    }

    /// The newest one.
    pub(super) fn last(&self) -> Option<Misbehaviour> {
        self.last.clone()
    }
}

/// Peers to be blocked by the actor, for what showed behind the network.
#[derive(Debug, Default)]
pub(super) struct Offenders {
    waiting: Mutex<HashSet<PeerId>>,
    changed: Notify,
}

impl Offenders {
    /// One more; at most as many as there are peers.
    pub(super) fn add(&self, peer: PeerId) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(peer);
        self.changed.notify_one();
    }

    /// Resolves after one was added.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// All of them, once.
    pub(super) fn take(&self) -> HashSet<PeerId> {
        std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn they_are_counted_by_kind_and_logged_once_a_minute() {
        let start = Instant::now();
        let mut conduct = Conduct::default();
        let first = conduct.note(Misbehaviour::new("a", "x"), start);
        assert_eq!(first, Noted { log: Some(1), too_many: false });
        assert_eq!(conduct.note(Misbehaviour::new("a", "y"), start).log, None);
        assert_eq!(conduct.note(Misbehaviour::new("b", "z"), start).log, Some(1));
        let later = conduct.note(Misbehaviour::new("a", "y"), start + Duration::from_secs(60));
        assert_eq!(later.log, Some(2));
        assert_eq!(conduct.counts(), BTreeMap::from([("a", 3), ("b", 1)]));
        assert_eq!(conduct.last(), Some(Misbehaviour::new("a", "y")));
    }

    #[test]
    fn a_hundred_within_a_minute_are_too_many_and_the_count_begins_anew() {
        let start = Instant::now();
        let mut conduct = Conduct::default();
        let mut note = |at: Duration| conduct.note(Misbehaviour::new("a", ""), start + at).too_many;
        assert!((0..99).all(|_| !note(Duration::ZERO)));
        assert!(!note(MISBEHAVIOUR_SPAN), "the old ones do not count any more");
        assert!((0..98).all(|_| !note(MISBEHAVIOUR_SPAN)));
        assert!(note(MISBEHAVIOUR_SPAN));
        assert!(!note(MISBEHAVIOUR_SPAN));
    }
}
