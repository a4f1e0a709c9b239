//! The nodes of a run: round robin over those that are there, and enough connections to each.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// Submissions on one connection: nodes let 128 requests of one HTTP/2 connection run at once, and more would wait
/// here, unseen by the node.
const PER_CONNECTION: usize = 100;
/// Receipts of this many batches are read from one node at once: it serves 64 such streams to all its callers.
const STREAMS: usize = 32;
/// A node that is away is asked again after this time, with one submission.
const AWAY: Duration = Duration::from_secs(1);

/// How many connections to each node this many submissions under way need.
#[must_use]
pub const fn connections(in_flight: usize) -> usize {
    in_flight.div_ceil(PER_CONNECTION)
}

/// All nodes.
pub(super) struct Targets<N> {
    targets: Vec<Target<N>>,
    presence: Mutex<Vec<Presence>>,
}

/// One node.
pub(super) struct Target<N> {
    connections: Vec<(N, Arc<Semaphore>)>,
    streams: Semaphore,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Here,
    /// Not to be asked before this time.
    Away(Duration),
    /// One submission finds out whether it is back; if it does not by this time, another one does.
    Probed(Duration),
}

impl<N> Targets<N> {
    /// Nodes with their connections.
    pub fn new(nodes: Vec<Vec<N>>) -> Self {
        let connection = |node| (node, Arc::new(Semaphore::new(PER_CONNECTION)));
        let target = |connections: Vec<N>| Target {
            connections: connections.into_iter().map(connection).collect(),
            streams: Semaphore::new(STREAMS),
        };
        let presence = Mutex::new(vec![Presence::Here; nodes.len()]);
        Self { targets: nodes.into_iter().map(target).collect(), presence }
    }

    pub fn get(&self, index: usize) -> &Target<N> {
        &self.targets[index]
    }

    /// The node for a submission, none of those that it was sent to before. The share of one that is away goes evenly
    /// to the others; where all are away, the first attempt is made all the same.
    pub fn choose(
        &self,
        submission: u64,
        tried: &[usize],
        now: Duration,
        patience: Duration,
    ) -> Option<usize> {
        let mut presence = self.presence();
        let untried = |index: &usize| !tried.contains(index);
        let is_due =
            |p: &Presence| matches!(p, Presence::Away(until) | Presence::Probed(until) if *until <= now);
        if let Some(back) = (0..presence.len()).filter(untried).find(|i| is_due(&presence[*i])) {
            presence[back] = Presence::Probed(now + patience);
            return Some(back);
        }
        let here = |index: &usize| presence[*index] == Presence::Here;
        let mut choices: Vec<usize> = (0..presence.len()).filter(untried).filter(here).collect();
        if choices.is_empty() && tried.is_empty() {
            choices = (0..presence.len()).collect();
        }
        let place = usize::try_from(submission % u64::try_from(choices.len().max(1)).ok()?).ok()?;
        choices.get(place).copied()
    }

    /// A node did not answer. Says whether that is news.
    pub fn is_away(&self, index: usize, now: Duration) -> bool {
        let before = std::mem::replace(&mut self.presence()[index], Presence::Away(now + AWAY));
        before == Presence::Here
    }

    /// A node answered. Says whether that is news.
    pub fn is_here(&self, index: usize) -> bool {
        std::mem::replace(&mut self.presence()[index], Presence::Here) != Presence::Here
    }

    fn presence(&self) -> MutexGuard<'_, Vec<Presence>> {
        self.presence.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<N> Target<N> {
    /// A connection with room for one more; the earlier ones first, so that the later ones are only made when needed.
    pub async fn connection(&self) -> (&N, OwnedSemaphorePermit) {
        loop {
            for (node, places) in &self.connections {
                if let Ok(place) = places.clone().try_acquire_owned() {
                    return (node, place);
                }
            }
            // There is room for all submissions under way, so this is as rare as it is short.
            tokio::task::yield_now().await;
        }
    }

    /// Room for reading the receipts of a batch.
    pub async fn stream(&self) -> SemaphorePermit<'_> {
        self.streams.acquire().await.expect("nobody closes it")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn targets(count: usize) -> Targets<()> {
        Targets::new(vec![vec![()]; count])
    }

    fn chosen(targets: &Targets<()>, numbers: std::ops::Range<u64>, now: Duration) -> Vec<Option<usize>> {
        numbers.map(|number| targets.choose(number, &[], now, PATIENCE)).collect()
    }

    #[test]
    fn the_share_of_a_node_that_is_away_goes_evenly_to_the_others() {
        let targets = targets(3);
        let now = Duration::from_secs(5);
        assert_eq!(chosen(&targets, 0..4, now), [Some(0), Some(1), Some(2), Some(0)]);
        assert!(targets.is_away(1, now));
        assert!(!targets.is_away(1, now), "that is known");
        assert_eq!(chosen(&targets, 0..4, now), [Some(0), Some(2), Some(0), Some(2)]);
        assert_eq!(targets.choose(0, &[0], now, PATIENCE), Some(2));
        assert_eq!(targets.choose(0, &[0, 2], now, PATIENCE), None, "the one that is away is not waited for");
    }

    #[test]
    fn one_submission_finds_out_whether_a_node_is_back() {
        let targets = targets(2);
        let now = Duration::from_secs(5);
        targets.is_away(0, now);
        let later = now + AWAY;
        assert_eq!(chosen(&targets, 0..4, later), [Some(0), Some(1), Some(1), Some(1)]);
        assert_eq!(
            targets.choose(0, &[], later + PATIENCE, PATIENCE),
            Some(0),
            "the first one never came back"
        );
        assert!(targets.is_here(0));
        assert!(!targets.is_here(0), "that is known");
        assert_eq!(chosen(&targets, 0..2, later), [Some(0), Some(1)]);
    }

    #[test]
    fn where_all_are_away_the_first_attempt_is_made_all_the_same() {
        let targets = targets(2);
        targets.is_away(0, Duration::ZERO);
        targets.is_away(1, Duration::ZERO);
        assert_eq!(chosen(&targets, 0..3, Duration::ZERO), [Some(0), Some(1), Some(0)]);
        assert_eq!(targets.choose(0, &[0], Duration::ZERO, PATIENCE), None);
    }

    #[tokio::test]
    async fn connections_fill_one_after_the_other() {
        let targets = Targets::new(vec![vec!["a", "b"]]);
        let mut held = Vec::new();
        for number in 0..connections(150) * PER_CONNECTION {
            let (node, place) = targets.get(0).connection().await;
            assert_eq!(*node, if number < PER_CONNECTION { "a" } else { "b" });
            held.push(place);
        }
        assert_eq!(held.len(), 200);
    }
}
