//! What a final block writes. Everything of one block is one atomic commit.

use crate::storage::{
    Read, StorageError, Writes,
    tables::{
        BatchAt, Batches, Headers, Heights, Outcome, Outcomes, PublicCommitments, Registry, StatusChunks,
        StatusNodes,
    },
};

use super::{ExecutedBlock, tiles};

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
        writes.put::<Outcomes>(&id, &Outcome::Final { height, head_index: *head_index });
    }
    for (issuer, index) in &block.grants {
        writes.put::<Registry>(issuer, index);
    }
    for entry in &block.public {
        writes.put::<PublicCommitments>(entry, &());
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
