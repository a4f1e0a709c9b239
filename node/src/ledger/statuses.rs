//! Statuses as the batches of a block change them, one after the other, on the state of the block's parent.

use std::collections::BTreeMap;

use markstein_proto::{
    Batch, CHANGE_SETTLED_MS, IssuerId, LeafIndex, TimeMs,
    status::{Chunk, Status, chunk_of},
};

use super::{BatchRefusal, LastRead, State};
use crate::{
    storage::StorageError,
    work::{self, Step},
};

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
        time: TimeMs,
    ) -> Result<Result<Vec<TakenStep>, BatchRefusal>, StorageError> {
        let (mut own, mut steps) = (Self::default(), Vec::new());
        // Targets that follow each other, as in a list, are of the same batch and in the same chunk mostly.
        let (mut last, mut chunk) = (LastRead::default(), None);
        let settled = TimeMs(batch.head().created_at.0.saturating_add(CHANGE_SETTLED_MS));
        for (position, leaf) in batch.records().iter().enumerate() {
            let Some(step) = leaf.record.status_step() else { continue };
            let target = step.target();
            work::charge(Step::Change, 1);
            match state.anchored_by(target, &mut last)? {
                None => return Ok(Err(BatchRefusal::NoTarget(target))),
                Some(other) if other != *issuer => return Ok(Err(BatchRefusal::AnothersRecord(target))),
                Some(_) => {}
            }
            let before = match own.0.get(&target).or_else(|| self.0.get(&target)) {
                Some(status) => *status,
                None => status_of(state, target, &mut chunk)?,
            };
            // Blocks before this one are older than it, so for a young batch there is nothing to look up.
            if time > settled
                && !own.0.contains_key(&target)
                && self.is_changed_since(state, target, settled)?
            {
                return Ok(Err(BatchRefusal::ChangedSince(target)));
            }
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

    /// Whether the status of a record was changed after a time: by a block, or by a batch before this one in its own.
    fn is_changed_since(
        &self,
        state: &dyn State,
        target: LeafIndex,
        time: TimeMs,
    ) -> Result<bool, StorageError> {
        Ok(self.0.contains_key(&target) || state.changed_at(target)?.is_some_and(|changed| changed > time))
    }

    /// Takes up what a batch changes.
    pub(super) fn take(&mut self, steps: &[TakenStep]) {
        self.0.extend(steps.iter().map(|step| (step.target, step.after)));
    }

    /// What was changed, ascending.
    pub(super) fn all(&self) -> Vec<(LeafIndex, Status)> {
        self.0.iter().map(|(target, status)| (*target, *status)).collect()
    }

    /// What was changed, by leaf index, as the status tree wants it.
    pub(super) fn changes(&self) -> BTreeMap<u64, Status> {
        self.0.iter().map(|(target, status)| (target.0, *status)).collect()
    }
}

fn status_of(
    state: &dyn State,
    index: LeafIndex,
    last: &mut Option<(u64, Chunk)>,
) -> Result<Status, StorageError> {
    let (number, position) = chunk_of(index.0);
    let chunk = match last {
        Some((at, chunk)) if *at == number => *chunk,
        _ => state.chunk(number)?.unwrap_or(Chunk::ZERO),
    };
    *last = Some((number, chunk));
    Ok(chunk.get(position))
}
