//! Whether one node speaks with a peer's keys, or two: each start of a node has a number, and says it in its heartbeats.

use markstein_proto::TimeMs;

use crate::messages::Heartbeat;

/// Starts of a peer that are remembered; who has more twins is found out by these.
const REMEMBERED: usize = 8;

/// The starts of one peer.
#[derive(Clone, Debug, Default)]
pub(super) struct Runs {
    /// Each with the first time that it said, by its own clock; the newest last.
    known: Vec<(u64, TimeMs)>,
}

impl Runs {
    /// Whether this heartbeat is of a start that was over, had it been the same node: it speaks later than the first
    /// heartbeat of the newest start. What was only late on its way is earlier.
    pub(super) fn is_second(&mut self, beat: &Heartbeat) -> bool {
        let Some((newest, since)) = self.known.last().copied() else {
            self.known.push((beat.run, beat.clock));
            return false;
        };
        if newest == beat.run {
            return false;
        }
        let is_known = self.known.iter().any(|(run, _)| *run == beat.run);
        if is_known {
            return beat.clock > since;
        }
        if self.known.len() == REMEMBERED {
            self.known.remove(0);
        }
        self.known.push((beat.run, beat.clock));
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beat(run: u64, clock: u64) -> Heartbeat {
        Heartbeat { run, clock: TimeMs(clock), ..Heartbeat::default() }
    }

    #[test]
    fn a_node_that_is_started_again_and_again_is_one() {
        let mut runs = Runs::default();
        assert!((1..100).all(|run| !runs.is_second(&beat(run, run)) && !runs.is_second(&beat(run, run + 1))));
    }

    #[test]
    fn what_an_earlier_start_said_and_comes_late_says_nothing() {
        let mut runs = Runs::default();
        assert!(!runs.is_second(&beat(1, 100)));
        assert!(!runs.is_second(&beat(2, 200)));
        assert!(!runs.is_second(&beat(1, 199)));
        assert!(!runs.is_second(&beat(2, 300)));
    }

    #[test]
    fn an_earlier_start_that_goes_on_is_another_node() {
        let mut runs = Runs::default();
        assert!(!runs.is_second(&beat(1, 100)));
        assert!(!runs.is_second(&beat(2, 200)));
        assert!(runs.is_second(&beat(1, 201)));
        assert!(!runs.is_second(&beat(2, 202)), "this one is the newest");
        assert!(runs.is_second(&beat(1, 1201)), "each time");
    }
}
