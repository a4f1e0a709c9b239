//! Statuses as the batches of a block change them, one after the other, on the state of the block's parent.

use std::collections::BTreeMap;

use markstein_proto::{
    Batch, IssuerId, LeafIndex,
    status::{Chunk, Status, chunk_of},
};

use super::{BatchRefusal, State};
use crate::storage::StorageError;

/// What the batches of a block changed so far.
#[derive(Clone, Debug, Default)]
pub struct Statuses(BTreeMap<LeafIndex, Status>);

/// A record that changes the status of an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TakenStep {
    /// Its number in its batch, from 0.
    pub position: usize,
    /// Whose status.
    pub target: LeafIndex,
    /// What it was.
    pub before: Status,
    /// What it is then.
    pub after: Status,
}

impl Statuses {
    /// What a batch of `issuer` changes, record by record, each on what those before it made. Its targets are anchors
    /// of the same issuer in blocks before this one: nobody knows the place of a record that is not in one, and a
    /// receipt shows a change only in a later block.
    pub(super) fn steps_of(
        &self,
        state: &dyn State,
        issuer: &IssuerId,
        batch: &Batch,
    ) -> Result<Result<Vec<TakenStep>, BatchRefusal>, StorageError> {
        let (mut own, mut steps) = (Self::default(), Vec::new());
        for (position, leaf) in batch.records().iter().enumerate() {
            let Some(step) = leaf.record.status_step() else { continue };
            let target = step.target();
            match state.anchored_by(target)? {
                None => return Ok(Err(BatchRefusal::NoTarget(target))),
                Some(other) if other != *issuer => return Ok(Err(BatchRefusal::AnothersRecord(target))),
                Some(_) => {}
            }
            let before = match own.0.get(&target).or_else(|| self.0.get(&target)) {
                Some(status) => *status,
                None => status_of(state, target)?,
            };
            match step.applied_to(before) {
                Ok(after) => {
                    own.0.insert(target, after);
                    steps.push(TakenStep { position, target, before, after });
                }
                Err(why) => return Ok(Err(BatchRefusal::Status { target, why })),
            }
        }
        Ok(Ok(steps))
    }

    /// Takes up what a batch changes.
    pub(super) fn take(&mut self, steps: &[TakenStep]) {
        self.0.extend(steps.iter().map(|step| (step.target, step.after)));
    }

    /// What was changed, by leaf index, as the status tree wants it.
    pub(super) fn changes(&self) -> BTreeMap<u64, Status> {
        self.0.iter().map(|(target, status)| (target.0, *status)).collect()
    }
}

fn status_of(state: &dyn State, index: LeafIndex) -> Result<Status, StorageError> {
    let (chunk, position) = chunk_of(index.0);
    Ok(state.chunk(chunk)?.unwrap_or(Chunk::ZERO).get(position))
}
