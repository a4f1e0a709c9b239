//! Each batch that a counted checkpoint covers has a receipt, and it verifies as a citizen would verify it: one record of
//! each batch, on the node that comes first. Once for each batch; that nothing is left out is demanded at the end.

use std::collections::BTreeSet;

use markstein_proto::BatchId;

use super::Once;

#[derive(Default)]
pub struct Receipts {
    verified: BTreeSet<BatchId>,
}

impl Receipts {
    /// Whether this batch is in the ledger and had no receipt yet.
    pub fn is_due(&self, id: &BatchId, placed: &Once) -> bool {
        placed.height(id).is_some() && !self.verified.contains(id)
    }

    /// A receipt of this batch verified.
    pub fn verified(&mut self, id: BatchId) {
        self.verified.insert(id);
    }

    /// No batch in the ledger is without one.
    pub fn demand_all(&self, placed: &Once) {
        for id in placed.all() {
            assert!(self.verified.contains(id), "batch {id} is in the ledger, and no node gives a receipt");
        }
    }
}

#[cfg(test)]
mod tests {
    use markstein_proto::Hash;

    use super::*;

    #[test]
    #[should_panic(expected = "no node gives a receipt")]
    fn a_batch_without_a_receipt_is_seen() {
        let mut placed = Once::default();
        placed.place(BatchId(Hash([1; 32])), 1);
        Receipts::default().demand_all(&placed);
    }
}
