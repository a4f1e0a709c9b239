//! What a final block writes. Everything of one block is one atomic commit.

use std::sync::Arc;

use crate::storage::{
    Read, StorageError, Writes,
    tables::{
        BatchAt, BatchAuthor, BatchAuthors, Batches, ChangeHeads, Headers, Heights, Outcome, Outcomes,
        Registry, StatusChunks, StatusEntry, StatusHistory, StatusNodes, StatusSteps,
    },
};

use markstein_proto::{Batch, LeafIndex, Record};

use super::{ExecutedBlock, PlacedStep, execute::issuer_of, public, tiles};

/// The writes of a block that was executed on the newest final state of `read`.
///
/// # Errors
/// The store's.
pub fn writes<R: Read>(read: &R, block: &ExecutedBlock) -> Result<Writes, StorageError> {
    let mut writes = Writes::new();
    let (height, index) = (block.header.height, block.header.index());
    writes.put::<Headers>(&index, &block.header_leaf).put::<Heights>(&height, &index);
    for (head_index, batch) in &block.batches {
        let id = batch.id().0;
        // The pool holds the bytes already, but of the same id other valid signatures may exist: this version counts.
        if read.get::<Batches>(&id)?.as_deref() != Some(batch.bytes().as_ref()) {
            writes.put::<Batches>(&id, &batch.bytes().to_vec());
        }
        writes.put::<BatchAt>(head_index, &id);
        if let Some(author) = author_of(batch) {
            writes.put::<BatchAuthors>(head_index, &author);
        }
        writes.put::<Outcomes>(&id, &Outcome::Final { height, head_index: *head_index });
    }
    for (issuer, index) in &block.grants {
        writes.put::<Registry>(issuer, index);
    }
    public::write(read, block, &mut writes)?;
    let mut last_head = None;
    for (step, (head, batch)) in steps(block) {
        let leaf = batch.records()[(step.at.0 - head.0 - 1) as usize].bytes.to_vec();
        writes.put::<StatusSteps>(&step.at, &step.target);
        let entry = StatusEntry { before: step.before, head: *head, leaf };
        writes.put::<StatusHistory>(&(step.target, step.at), &entry);
        if last_head.replace(head) != Some(head) {
            writes.put::<ChangeHeads>(head, &batch.head_leaf().to_vec());
        }
    }
    for (chunk, bits) in &block.status.chunks {
        writes.put::<StatusChunks>(chunk, &bits.0);
    }
    for (place, hash) in &block.status.nodes {
        writes.put::<StatusNodes>(place, hash);
    }
    tiles::append(read, &block.tile_hashes, &mut writes)?;
    Ok(writes)
}

/// The changes of a block, in the order of the log, each with the batch that it stands in.
pub(super) fn steps(block: &ExecutedBlock) -> impl Iterator<Item = (&PlacedStep, &(LeafIndex, Arc<Batch>))> {
    let mut batches = block.batches.iter().peekable();
    block.steps.iter().filter_map(move |step| {
        while batches.peek().is_some_and(|(head, batch)| step.at.0 > head.0 + batch.records().len() as u64) {
            batches.next();
        }
        batches.peek().map(|batch| (step, *batch))
    })
}

/// What is kept of who made a batch; `None` for the genesis.
pub(super) fn author_of(batch: &Batch) -> Option<BatchAuthor> {
    let anchors = batch.records().iter().map(|leaf| matches!(leaf.record, Record::Anchor(_)));
    issuer_of(batch).map(|issuer| BatchAuthor::new(issuer.clone(), anchors))
}
