//! No batch is in the ledger twice.

use std::collections::BTreeMap;

use markstein_proto::BatchId;

use super::agreement::NewBlock;

#[derive(Default)]
pub struct Once {
    heights: BTreeMap<BatchId, u64>,
}

impl Once {
    pub fn look(&mut self, block: &NewBlock) {
        for id in &block.batches {
            let before = self.heights.insert(*id, block.height);
            assert!(before.is_none(), "batch {id} is in block {before:?} and in block {}", block.height);
        }
    }

    pub fn height(&self, id: &BatchId) -> Option<u64> {
        self.heights.get(id).copied()
    }
}
