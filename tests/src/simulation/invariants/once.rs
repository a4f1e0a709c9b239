//! No batch is in the ledger twice.

use std::collections::BTreeMap;

use markstein_proto::{Batch, BatchId};

use super::agreement::NewBlock;

#[derive(Default)]
pub struct Once {
    heights: BTreeMap<BatchId, u64>,
}

impl Once {
    pub fn look(&mut self, block: &NewBlock) {
        block.batches.iter().map(Batch::id).for_each(|id| self.place(id, block.header.height.0));
    }

    pub(super) fn place(&mut self, id: BatchId, height: u64) {
        let before = self.heights.insert(id, height);
        assert!(before.is_none(), "batch {id} is in block {before:?} and in block {height}");
    }

    pub fn all(&self) -> impl Iterator<Item = &BatchId> {
        self.heights.keys()
    }

    pub fn height(&self, id: &BatchId) -> Option<u64> {
        self.heights.get(id).copied()
    }
}

#[cfg(test)]
mod tests {
    use markstein_proto::Hash;

    use super::*;

    #[test]
    #[should_panic(expected = "is in block Some(3) and in block 5")]
    fn a_batch_in_two_blocks_is_seen() {
        let mut once = Once::default();
        once.place(BatchId(Hash([1; 32])), 3);
        once.place(BatchId(Hash([1; 32])), 5);
    }
}
