//! An honest issuer's batch is final within a bound, whatever other issuers do: from when it is handed to a node first until
//! that node says that it is final, a checkpoint included.

use std::collections::BTreeMap;

use markstein_node::{
    ledger::CountedCheckpoint,
    storage::{
        Read,
        tables::{Outcome, Outcomes},
    },
};
use markstein_proto::BatchId;

use crate::simulation::node::Live;

#[derive(Default)]
pub struct Fair {
    /// The bound, in milliseconds.
    bound: u64,
    /// What is not final yet: since when, and where it was handed in.
    open: BTreeMap<BatchId, (u64, usize)>,
    /// Milliseconds that each took that is final.
    pub took: Vec<u64>,
}

impl Fair {
    /// With a bound in milliseconds.
    pub fn within(bound: u64) -> Self {
        Self { bound, ..Self::default() }
    }

    /// A batch is handed to a node, perhaps not for the first time.
    pub fn asked(&mut self, id: BatchId, node: usize, at: u64) {
        self.open.entry(id).or_insert((at, node));
    }

    /// What is open is counted from this time on, with this bound: nodes were down.
    pub fn begin_anew(&mut self, at: u64, bound: u64) {
        self.bound = bound;
        self.open.values_mut().for_each(|(since, _)| *since = (*since).max(at));
    }

    /// Whether anything is open.
    pub fn is_waiting(&self) -> bool {
        !self.open.is_empty()
    }

    /// The longest that any took, in milliseconds.
    pub fn longest(&self) -> u64 {
        self.took.iter().copied().max().unwrap_or_default()
    }

    pub fn look(&mut self, node: usize, live: &Live, checkpoint: &CountedCheckpoint, now: u64) {
        let is_final = |id: &BatchId| {
            let outcome = live.db.get::<Outcomes>(&id.0).unwrap();
            matches!(outcome, Some(Outcome::Final { head_index, .. }) if checkpoint.covers(head_index))
        };
        let here: Vec<BatchId> =
            self.open.iter().filter(|(_, (_, at))| *at == node).map(|(id, _)| *id).collect();
        for id in here.into_iter().filter(is_final) {
            self.decide(&id, now);
        }
    }

    fn decide(&mut self, id: &BatchId, now: u64) {
        if let Some((since, _)) = self.open.remove(id) {
            self.took.push(now.saturating_sub(since));
        }
    }

    /// Nothing is open for too long.
    pub fn check(&self, now: u64) {
        for (since, node) in self.open.values() {
            let waits = now.saturating_sub(*since);
            assert!(
                waits <= self.bound,
                "at {now}: an honest batch, handed to node {node} {waits} ms ago, is not final; the bound is {} ms",
                self.bound
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use markstein_proto::Hash;

    use super::*;

    #[test]
    fn what_is_final_in_time_is_counted() {
        let (mut fair, id) = (Fair::within(100), BatchId(Hash([1; 32])));
        fair.asked(id, 0, 50);
        fair.asked(id, 0, 90);
        fair.check(150);
        fair.decide(&id, 150);
        fair.check(1000);
        assert_eq!((fair.longest(), fair.is_waiting()), (100, false));
    }

    #[test]
    #[should_panic(expected = "handed to node 3 101 ms ago, is not final")]
    fn what_waits_too_long_is_seen() {
        let mut fair = Fair::within(100);
        fair.asked(BatchId(Hash([1; 32])), 3, 50);
        fair.check(151);
    }

    #[test]
    fn after_an_outage_time_begins_anew() {
        let mut fair = Fair::within(100);
        fair.asked(BatchId(Hash([1; 32])), 3, 50);
        fair.begin_anew(500, 100);
        fair.check(600);
    }
}
