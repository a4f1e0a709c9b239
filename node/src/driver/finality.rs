//! What happens when blocks become final, live or in catch-up.

use std::sync::Arc;

use markstein_proto::{BatchId, Hash, Height, TimeMs, consensus::CheckedCertificate};

use super::{Driver, DriverError};
use crate::{
    activity::Seen,
    ledger::{ExecutedBlock, State, finalize},
    storage::{Durability, Read, StorageError, Writes, tables::Finalizations},
};

/// Of the finalizations within this many heights the newest is kept: it ends a range that this node can serve.
pub(super) const FINALIZATION_EVERY: u64 = 256;

impl Driver {
    /// The engine made blocks final.
    pub(super) fn finalized(
        &mut self,
        blocks: &[Hash],
        certificate: &CheckedCertificate,
    ) -> Result<(), DriverError> {
        let missing =
            |id: &Hash| StorageError::corrupt("journal", format!("final block {id} was not executed"));
        let mut chain: Vec<Arc<ExecutedBlock>> = blocks
            .iter()
            .map(|id| self.executed.get(id).cloned().ok_or_else(|| missing(id)))
            .collect::<Result<_, _>>()?;
        // A catch-up may have stored the first of them already.
        let height = self.state.tip().height;
        chain.retain(|block| block.header.height > height);
        // Own votes that were synced cover block and batches: then the write may reach the disk later. Who only learns
        // of it now syncs it before it puts its name under it.
        let covered = self.journal.has_finalize(certificate.view())
            && blocks.iter().all(|id| self.journal.has_block(id));
        let durability = if covered { Durability::Unsynced } else { Durability::Synced };
        let Some((last, before)) = chain.split_last() else { return Ok(()) };
        for block in before {
            self.store(block, Writes::new(), Durability::Unsynced, true)?;
        }
        let writes = self.closing_writes(last, certificate)?;
        self.store(last, writes, durability, true)?;
        chain.iter().for_each(|block| self.note(block, Some(self.now.clock)));
        self.after_finality(certificate);
        self.cosign_live(&chain)?;
        self.pool_due = true;
        Ok(())
    }

    /// What is written with the last block under a finalization, beside the block.
    pub(super) fn closing_writes(
        &mut self,
        last: &ExecutedBlock,
        certificate: &CheckedCertificate,
    ) -> Result<Writes, DriverError> {
        let mut writes = std::mem::take(&mut self.recorded);
        let height = last.header.height;
        if let Some((newest, _)) = self.db.last::<Finalizations>()?
            && newest.0 / FINALIZATION_EVERY == height.0 / FINALIZATION_EVERY
        {
            writes.delete::<Finalizations>(&newest);
        }
        writes.put::<Finalizations>(&height, &certificate.get().encode());
        self.journal.prune(last.header.view, &mut writes);
        Ok(writes)
    }

    /// Writes one final block, with `more` in the same commit, and tells everybody; `live` where it became final just now.
    pub(super) fn store(
        &mut self,
        block: &ExecutedBlock,
        more: Writes,
        durability: Durability,
        live: bool,
    ) -> Result<(), DriverError> {
        let next = self.state.advance(block);
        let ids: Vec<BatchId> = block.batches.iter().map(|(_, batch)| batch.id()).collect();
        let mut writes = finalize::writes(&self.db, block)?;
        writes.append(more);
        let removal = self.pool.plan_removal(ids.iter().copied(), &mut writes);
        self.db.commit(writes, durability)?;
        removal.finish();
        self.state = next.clone();
        self.publisher.publish(next);
        self.pool.finalized(block, live.then_some(self.now.tick));
        self.tell_metrics(block);
        Ok(())
    }

    /// Forgets what is decided.
    pub(super) fn after_finality(&mut self, certificate: &CheckedCertificate) {
        let view = certificate.view();
        self.courtesy.prune(view);
        self.executed.retain(|_, block| block.header.view > view);
        for header in self.gather.prune(view) {
            self.name_missing(&header);
        }
    }

    /// Keeps what people are shown of a final block; `live` is the time where this node saw it become final.
    pub(super) fn note(&self, block: &ExecutedBlock, live: Option<TimeMs>) {
        let seen = Seen::of(&block.header, &block.batches, live);
        if let Some(took) = seen.took() {
            self.metrics.live(took);
        }
        self.view.activity().add(seen);
    }

    fn tell_metrics(&self, block: &ExecutedBlock) {
        let records = block.batches.iter().map(|(_, batch)| batch.records().len()).sum();
        self.metrics.block(&block.header, block.batches.len(), records);
        let Height(height) = block.header.height;
        tracing::info!(
            height, view = %block.header.view, batches = block.batches.len(), records,
            size = block.frontier.size(), id = %block.header.block_id(), "block final"
        );
    }

    /// Whether there is something to write, or something that a block decides.
    pub(super) fn has_admissible(&self) -> bool {
        self.pool.has_admissible(self.now.clock)
    }
}
