//! What a counted checkpoint covered on any node is acknowledged: a receipt may be out. It is in the ledger for ever.
//!
//! That it never moves is the agreement's part, which never forgets a block; that it is not lost is demanded at the end.

use std::collections::BTreeMap;

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

    /// `newest` is the checkpoint's size and as-of time.
    pub fn look(&mut self, node: usize, newest: (u64, u64), root: Hash, chain: &Agreement, now: u64) {
        let (size, _) = newest;
        if newest == self.newest[node] {
            return;
        }
        assert!(newest > self.newest[node], "at {now}: a checkpoint of node {node} went back");
        self.newest[node] = newest;
        let first = *self.roots.entry(size).or_insert(root);
        assert_eq!(first, root, "two checkpoints of {size} leaves count");
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

#[cfg(test)]
mod tests {
    use super::*;

    fn look_twice(first: (u64, u64), second: (u64, u64), other_root: bool) {
        let (chain, mut acknowledged) = (Agreement::new(2), Acknowledged::new(2));
        acknowledged.look(0, first, Hash([1; 32]), &chain, 0);
        acknowledged.look(0, second, Hash([1 + u8::from(other_root); 32]), &chain, 1);
    }

    #[test]
    #[should_panic(expected = "a checkpoint of node 0 went back")]
    fn a_smaller_checkpoint_is_seen() {
        look_twice((5, 1), (4, 2), false);
    }

    #[test]
    #[should_panic(expected = "two checkpoints of 5 leaves")]
    fn another_root_is_seen() {
        look_twice((5, 1), (5, 2), true);
    }

    #[test]
    #[should_panic(expected = "where no block ends")]
    fn a_checkpoint_within_a_block_is_seen() {
        look_twice((5, 1), (6, 2), false);
    }
}
