//! What a batch costs everybody who checks, executes and stores it, in steps: the unit of every budget of the pool.

use markstein_proto::Batch;

/// Steps of a batch beside its records: its signature, its way through the network and its places in the store.
const BATCH: u64 = 32;
/// Steps of a record beside its one: the look-ups of a change of a status.
const CHANGE: u64 = 3;

/// Steps of the batches of a block that a leader builds: [`crate::ledger::BLOCK_BATCHES_MAX`] batches of one record each.
/// A leader's rule, not one of validity.
pub const BLOCK_COST_MAX: u64 = 4096 * (BATCH + 1);
/// Steps that one issuer puts into a block before another has its turn.
pub const TURN_COST: u64 = 16 * 1024;
/// Steps of looks at one go, between which others have the pool's thread.
pub const LOOK_COST: u64 = 32 * 1024;

/// The steps of a batch with so many records, of which so many change a status.
#[must_use]
pub const fn cost(records: usize, changes: usize) -> u64 {
    BATCH + records as u64 + CHANGE * changes as u64
}

/// The steps of a batch.
#[must_use]
pub fn cost_of(batch: &Batch) -> u64 {
    cost(batch.records().len(), changes_in(batch))
}

/// How many records of a batch change a status.
#[must_use]
pub fn changes_in(batch: &Batch) -> usize {
    batch.records().iter().filter(|leaf| leaf.record.status_step().is_some()).count()
}
