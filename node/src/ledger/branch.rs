//! A final state with executed blocks on it that are not final yet.
//!
//! What such a block changes is kept with the block and looked up newest first; what none of them changed is asked of
//! the final state. While the blocks of a branch become final, one by one, it stays right: the store then says what
//! the block says. A branch that lacks a final block is of no use any more; [`Branch::on`] tells these apart.

use std::sync::Arc;

use markstein_proto::{
    AuthoritySet, Batch, BatchId, Hash, IssuerGrant, IssuerId, LeafIndex, Record, TimeMs,
    log::Frontier,
    status::{Chunk, StatusReader},
};

use super::{ExecutedBlock, FinalState, LastRead, State, Tip, execute::issuer_of};
use crate::storage::StorageError;

/// A state that may become final: a final state and executed blocks on it, each on the one before. A clone is cheap.
#[derive(Clone, Debug)]
pub struct Branch {
    base: FinalState,
    layers: Vec<Arc<Layer>>,
}

/// One block of a branch, shared by all branches that hold it.
#[derive(Debug)]
struct Layer {
    block: Arc<ExecutedBlock>,
    tip: Tip,
}

impl Branch {
    /// The final state itself.
    #[must_use]
    pub const fn new(base: FinalState) -> Self {
        Self { base, layers: Vec::new() }
    }

    /// This branch with one more block.
    ///
    /// # Panics
    /// Where the block was not executed on this state.
    #[must_use]
    pub fn extend(&self, block: Arc<ExecutedBlock>) -> Self {
        assert_eq!(block.header.parent, self.tip().block_id, "a branch grows by blocks executed on it");
        let layer = Arc::new(Layer { tip: Tip::of(&block.header), block });
        Self { base: self.base.clone(), layers: self.layers.iter().cloned().chain([layer]).collect() }
    }

    /// The same state on a newer final state; `None` where this branch lacks its newest block, so that the two can
    /// never be of one chain.
    #[must_use]
    pub fn on(&self, base: FinalState) -> Option<Self> {
        let ids = std::iter::once(self.base.tip().block_id).chain(self.layers.iter().map(|l| l.tip.block_id));
        let below = ids.into_iter().position(|id| id == base.tip().block_id)?;
        Some(Self { base, layers: self.layers[below..].to_vec() })
    }

    /// The final state below.
    #[must_use]
    pub const fn base(&self) -> &FinalState {
        &self.base
    }

    /// The blocks on it, oldest first.
    #[must_use]
    pub fn blocks(&self) -> Vec<Arc<ExecutedBlock>> {
        self.layers.iter().map(|layer| Arc::clone(&layer.block)).collect()
    }

    /// Whether a batch is in one of the blocks on the final state.
    #[must_use]
    pub fn holds(&self, batch: &BatchId) -> bool {
        self.newest_first().any(|layer| layer.block.holds(batch))
    }

    fn newest_first(&self) -> impl Iterator<Item = &Layer> {
        self.layers.iter().rev().map(|layer| &**layer)
    }
}

impl State for Branch {
    fn tip(&self) -> &Tip {
        self.layers.last().map_or_else(|| self.base.tip(), |layer| &layer.tip)
    }

    fn frontier(&self) -> &Frontier {
        self.layers.last().map_or_else(|| self.base.frontier(), |layer| &layer.block.frontier)
    }

    fn authorities(&self) -> &AuthoritySet {
        self.base.authorities() // no block changes them yet
    }

    fn grant(&self, issuer: &IssuerId) -> Result<Option<IssuerGrant>, StorageError> {
        let mut blocks = self.newest_first().map(|layer| &layer.block);
        match blocks.find_map(|block| Some((block, *block.grants.get(issuer.as_str())?))) {
            Some((block, index)) => Ok(Some(grant_of(block, index))),
            None => self.base.grant(issuer),
        }
    }

    fn anchored_by(&self, index: LeafIndex, last: &mut LastRead) -> Result<Option<IssuerId>, StorageError> {
        match self.newest_first().find(|layer| layer.block.header.first_index <= index) {
            Some(layer) => Ok(anchored_in(&layer.block, index)),
            None => self.base.anchored_by(index, last),
        }
    }

    fn changed_at(&self, target: LeafIndex) -> Result<Option<TimeMs>, StorageError> {
        match self.newest_first().find(|layer| layer.block.changes(target)) {
            Some(layer) => Ok(Some(layer.tip.time)),
            None => self.base.changed_at(target),
        }
    }

    fn contains(&self, batch: &BatchId) -> Result<bool, StorageError> {
        if self.holds(batch) {
            return Ok(true);
        }
        self.base.contains(batch)
    }
}

/// The record of a block at `index`, and the batch it is in.
fn record_at(block: &ExecutedBlock, index: LeafIndex) -> Option<(&Batch, &Record)> {
    let batches_up_to = block.batches.partition_point(|(head, _)| *head < index);
    let (head, batch) = &block.batches[batches_up_to.checked_sub(1)?];
    let leaf = batch.records().get((index.0 - head.0 - 1) as usize)?;
    Some((batch, &leaf.record))
}

/// Who anchored the document at `index` of this block.
fn anchored_in(block: &ExecutedBlock, index: LeafIndex) -> Option<IssuerId> {
    match record_at(block, index)? {
        (batch, Record::Anchor(_)) => issuer_of(batch).cloned(),
        _ => None,
    }
}

/// The grant that execution of this block found at `index`.
fn grant_of(block: &ExecutedBlock, index: LeafIndex) -> IssuerGrant {
    match record_at(block, index).map(|(_, record)| record) {
        Some(Record::IssuerGrant(grant)) => grant.clone(),
        other => unreachable!("execution lists the places of grants only, and at {index} is {other:?}"),
    }
}

impl StatusReader for Branch {
    type Error = StorageError;

    fn chunk(&self, index: u64) -> Result<Option<Chunk>, StorageError> {
        match self.newest_first().find_map(|layer| layer.block.status.chunks.get(&index)) {
            Some(chunk) => Ok(Some(*chunk)),
            None => self.base.chunk(index),
        }
    }

    fn node(&self, level: u8, index: u64) -> Result<Option<Hash>, StorageError> {
        match self.newest_first().find_map(|layer| layer.block.status.nodes.get(&(level, index))) {
            Some(hash) => Ok(Some(*hash)),
            None => self.base.node(level, index),
        }
    }
}
