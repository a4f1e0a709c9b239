//! Block 0: derived from the genesis and written once, when a data folder is created.

use std::sync::Arc;

use markstein_proto::{EpochId, Genesis, LeafIndex, log::Frontier};

use super::{
    execute::{Appended, finish},
    finalize,
};
use crate::storage::{
    Db, Durability, Read, StorageError,
    tables::{AuthoritySets, Heights, Meta, MetaKey},
};

/// Why block 0 could not be written.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// There are blocks already.
    #[error("this store holds a ledger already; nothing was changed")]
    NotEmpty,
    /// Our disk is to blame.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Writes block 0 and the genesis authority set into an empty store, in one synced commit.
///
/// # Errors
/// See [`InitError`].
pub fn init(db: &Db, genesis: &Genesis) -> Result<(), InitError> {
    if db.last::<Heights>()?.is_some() {
        return Err(InitError::NotEmpty);
    }
    let batch = Arc::new(genesis.batch());
    let mut log = Appended::new(Frontier::new());
    let head = log.append(&batch);
    assert_eq!(head, LeafIndex(0), "the genesis batch is the first of the log");
    let block = finish(genesis.header(), vec![(head, batch)], log);
    assert_eq!(block.header.block_id(), genesis.block_id(), "block 0 is the one the genesis names");
    let mut writes = finalize::writes(db, &block)?;
    writes.put::<AuthoritySets>(&EpochId(0), &genesis.authorities.encode());
    writes.put::<Meta>(&MetaKey::Genesis, &genesis.encode());
    Ok(db.commit(writes, Durability::Synced)?)
}
