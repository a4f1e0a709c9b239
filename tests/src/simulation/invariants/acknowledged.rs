//! What a counted checkpoint covered on any node is acknowledged: a receipt may be out. It is in the ledger for ever.
//!
//! That it never moves is the agreement's part, which never forgets a block; that it is not lost is demanded at the end.

use std::collections::BTreeMap;

use markstein_node::ledger::CountedCheckpoint;
use markstein_proto::Hash;

use super::Agreement;

pub struct Acknowledged {
    roots: BTreeMap<u64, Hash>,
    /// Newest checkpoint of each node since it started: size, and as-of time.
    newest: Vec<(u64, u64)>,
}

impl Acknowledged {
    pub fn new(nodes: usize) -> Self {
        Self { roots: BTreeMap::new(), newest: vec![(0, 0); nodes] }
    }

    pub fn admit_node(&mut self) {
        self.newest.push((0, 0));
    }

    pub fn look(&mut self, node: usize, checkpoint: &CountedCheckpoint, chain: &Agreement, now: u64) {
        let (size, as_of) = (checkpoint.size.0, checkpoint.as_of_s);
        let newest = (size, as_of);
        if newest == self.newest[node] {
            return;
        }
        assert!(newest > self.newest[node], "at {now}: a checkpoint of node {node} went back");
        self.newest[node] = newest;
        let first = *self.roots.entry(size).or_insert(checkpoint.root);
        assert_eq!(first, checkpoint.root, "two checkpoints of {size} leaves count");
        // Block 0 is not looked at, and its checkpoint counts too.
        let is_block = size == self.roots.first_key_value().map_or(0, |(size, _)| *size)
            || chain.height_of(size).is_some();
        assert!(is_block, "at {now}: node {node} counts a checkpoint of {size} leaves, where no block ends");
    }

    pub fn restarted(&mut self, node: usize) {
        self.newest[node] = (0, 0);
    }

    /// Leaves that are acknowledged.
    pub fn size(&self) -> u64 {
        self.roots.last_key_value().map_or(0, |(size, _)| *size)
    }
}
