//! The ledger: what may be written, what a block does, and what can be proven of it.
//!
//! Execution is a pure function of a parent's state and a block ([`execute`]); everything that touches the store is
//! beside it. Blocks are cut by whoever decides ([`crate::sequencer`] today, the consensus engine with more than
//! one authority) through the same three calls: [`execute`], [`finalize::writes`], [`FinalState::advance`].

mod checkpoint;
mod execute;
pub mod finalize;
mod genesis;
mod lookup;
mod receipts;
mod rules;
mod state;
mod tiles;

pub use checkpoint::{Cosigner, CosignerError, CountedCheckpoint, cosignature_times, newest_checkpoint};
pub use execute::{
    BLOCK_BYTES_MAX, BLOCK_RECORDS_MAX, ExecuteError, ExecutedBlock, InvalidBlock, Turn, execute,
};
pub use genesis::{InitError, init};
pub use lookup::{
    BlockBytes, LookupError, PlacedBatch, block_at, leaf_at, leaves_from, record_count, record_of_batch,
};
pub use receipts::{BatchReceipts, ReceiptFailure, batch_receipts, receipt};
pub use rules::{BatchRefusal, Rules, check_batch};
pub use state::{FinalState, State, Tip};
pub use tiles::{StoredTiles, consistency};
