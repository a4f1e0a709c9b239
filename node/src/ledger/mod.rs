//! The ledger: what may be written, what a block does, and what can be proven of it.
//!
//! Execution is a pure function of a parent's state and a block ([`execute`]); everything that touches the store is
//! beside it. The driver of the consensus engine ([`crate::driver`]) decides which blocks there are, and comes through
//! the same three calls with one authority and with many: [`execute`], [`finalize::writes`], [`FinalState::advance`].

mod audit;
mod branch;
mod checkpoint;
mod cose;
mod cosignatures;
mod cosigner;
mod execute;
pub mod finalize;
mod genesis;
mod history;
mod lookup;
mod nodes;
mod paths;
mod public;
mod receipts;
mod rules;
mod state;
mod statuses;
mod tiles;

pub use audit::{Audited, TAIL_BLOCKS, TAIL_LEAVES, audit};
pub use branch::Branch;
pub use checkpoint::{CountedCheckpoint, TreeHead, counted_checkpoint, head_at, newer_checkpoint_of};
pub use cose::{CoseFailure, RootSigner, cose_receipt};
pub use cosignatures::{
    KeptLines, LineKeys, LineRules, LinesError, cosignature_times, stored_lines, take_lines,
};
pub use cosigner::{Cosigner, CosignerError, cosigned_size};
pub use execute::{
    BLOCK_BATCHES_MAX, BLOCK_BYTES_MAX, BLOCK_RECORDS_MAX, Draft, ExecuteError, ExecutedBlock, InvalidBlock,
    PlacedStep, PublicAnchor, Turn, execute,
};
pub use genesis::{InitError, init};
pub use lookup::{
    BlockBytes, LookupError, PlacedBatch, block_at, leaf_at, leaves_from, record_count, record_of_batch,
};
pub use paths::PathCache;
pub use public::{OfIssuer, Part, PublicRecord, public_records, public_records_of, public_records_with};
pub use receipts::{BatchReceipts, ReceiptFailure, batch_receipts, receipt, receipt_cached};
pub use rules::{BatchRefusal, Rules, check_author, check_batch, check_next};
pub use state::{FinalState, LastRead, State, Tip, next_time};
pub use statuses::{Statuses, TakenStep};
pub use tiles::{StoredTiles, bundle_bytes, consistency, tile_bytes};
