//! What a final block writes. Everything of one block is one atomic commit.

use crate::storage::{
    Read, StorageError, Writes,
    tables::{
        BatchAt, BatchAuthor, BatchAuthors, Batches, Headers, Heights, Outcome, Outcomes, PublicCommitments,
        Registry, StatusChunks, StatusHistory, StatusNodes, StatusSteps,
    },
};

use markstein_proto::{Batch, Record};

use super::{ExecutedBlock, execute::issuer_of, tiles};

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
    for entry in &block.public {
        writes.put::<PublicCommitments>(entry, &());
    }
    for step in &block.steps {
        writes.put::<StatusSteps>(&step.at, &step.target);
        writes.put::<StatusHistory>(&(step.target, step.at), &step.before);
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

/// What is kept of who made a batch; `None` for the genesis.
pub(super) fn author_of(batch: &Batch) -> Option<BatchAuthor> {
    let anchors = batch.records().iter().map(|leaf| matches!(leaf.record, Record::Anchor(_)));
    issuer_of(batch).map(|issuer| BatchAuthor::new(issuer.clone(), anchors))
}
