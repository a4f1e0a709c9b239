//! The leader's side: a block of what waits in the pool, and what of it can never become final.

use std::{collections::BTreeSet, sync::Arc};

use markstein_consensus::{Body, Input};
use markstein_proto::{BATCH_AGE_MAX_MS, Batch, BatchId, Hash, TimeMs, View};

use super::{Driver, DriverError};
use crate::{
    ledger::{
        BLOCK_BATCHES_MAX, BLOCK_BYTES_MAX, BLOCK_RECORDS_MAX, ExecutedBlock, State, Statuses, Turn,
        check_batch, check_next, execute,
    },
    refusal::RefusedReason,
    storage::{
        Durability, Writes,
        tables::{Batches, Outcome, Outcomes},
    },
};

/// How far the newest block and its as-of time may be ahead of this clock before no block is built on it.
pub const CLOCK_SKEW_MAX_MS: u64 = 5_000;

/// Rounds in which pooled changes of a status are looked at after others became final.
const STATUS_ROUNDS: u8 = 2;

/// What the builder remembers of pooled batches: those that could not go into a block when one was built last. They are
/// tried again each second, and hold up nobody in between.
#[derive(Debug, Default)]
pub(super) struct Builder {
    set_aside: BTreeSet<BatchId>,
    /// Rounds since a block changed a status that became final, or since the start.
    unchanged_rounds: u8,
}

impl Builder {
    pub(super) fn look_again(&mut self) {
        self.set_aside.clear();
    }

    /// A block became final.
    pub(super) fn finalized(&mut self, block: &ExecutedBlock) {
        if !block.steps.is_empty() {
            self.unchanged_rounds = 0;
        }
    }

    /// Whether pooled changes of a status have to be looked at: some time after others became final, so that what was
    /// let in just before is not missed.
    fn is_status_new(&mut self) -> bool {
        self.unchanged_rounds = self.unchanged_rounds.saturating_add(1);
        self.unchanged_rounds <= STATUS_ROUNDS
    }

    /// How many are set aside.
    pub(super) fn set_aside(&self) -> usize {
        self.set_aside.len()
    }

    /// A batch was decided.
    pub(super) fn forget(&mut self, id: &BatchId) {
        self.set_aside.remove(id);
    }
}

impl Driver {
    /// Something came into the pool.
    pub(super) fn on_pooled(&mut self) -> Result<(), DriverError> {
        self.gather.look_again();
        self.tell_pool()
    }

    /// Tells the engine whether there is anything to write.
    pub(super) fn tell_pool(&mut self) -> Result<(), DriverError> {
        self.input(Input::Pool(self.has_admissible()))
    }

    /// The engine wants a block for this node's turn.
    pub(super) fn build(&mut self, view: View, parent: Hash, batches: bool) -> Result<(), DriverError> {
        self.has_built = true;
        let body = self.built(view, parent, batches)?;
        self.answers.push_back(Input::Built(view, body.map(Box::new)));
        Ok(())
    }

    fn built(&mut self, view: View, parent: Hash, batches: bool) -> Result<Option<Body>, DriverError> {
        let (Some(branch), Some(me)) = (self.branch(&parent), self.me) else { return Ok(None) };
        let cosigned_s = self.checkpoints.as_of_s();
        let earliest = (branch.tip().time.0 + 1).max(cosigned_s.saturating_mul(1000));
        let clock = self.now.clock.0;
        if earliest > clock.saturating_add(CLOCK_SKEW_MAX_MS) {
            let ahead_ms = earliest - clock;
            tracing::warn!(
                ahead_ms,
                "no block now: the newest one, or its cosignature, is ahead of this clock"
            );
            return Ok(None);
        }
        let time = TimeMs(clock.max(earliest));
        let (mut good, mut refused, mut waits) = (Vec::new(), Vec::new(), false);
        let (mut bytes, mut records, mut statuses) = (0, 0, Statuses::default());
        for pending in self.pool.pending().into_iter().filter(|_| batches) {
            let full = bytes + pending.bytes > BLOCK_BYTES_MAX
                || records + pending.records > BLOCK_RECORDS_MAX
                || good.len() == BLOCK_BATCHES_MAX;
            if full {
                break;
            }
            if branch.contains(&pending.id)? {
                continue;
            }
            let Some(batch) = self.pool.batch(&self.db, &pending.id)? else { continue };
            match check_next(&branch, &self.rules, &mut statuses, &batch, time)? {
                Ok(_) => {
                    (bytes, records) = (bytes + pending.bytes, records + pending.records);
                    good.push(batch);
                }
                Err(refusal) => match self.refused_for_good(&batch)? {
                    Some(reason) => refused.push((pending.id, reason)),
                    None => {
                        // What only time can decide is decided by a block, if need be an empty one.
                        waits |= RefusedReason::of(&refusal, &batch, &branch, time)?.is_some();
                        self.builder.set_aside.insert(pending.id);
                    }
                },
            }
        }
        self.refuse(&refused)?;
        if batches && good.is_empty() && !waits {
            return Ok(None);
        }
        let turn = Turn { epoch: self.set.epoch(), view, proposer: me, time };
        let block = execute(&branch, &self.rules, turn, good)?;
        let named = block.batches.iter().map(|(_, batch)| (batch.id(), batch.head_hash())).collect();
        let body = Body { header: block.header.clone(), batches: named };
        self.executed.insert(block.header.block_id(), Arc::new(block));
        Ok(Some(body))
    }

    /// Decides `refused` for batches that no later block can hold: the newest final block is younger than they may be,
    /// and time only goes on, or a status that they change is for good. This is a fact about the final ledger, so every node comes to it.
    pub(super) fn refuse_hopeless(&mut self) -> Result<(), DriverError> {
        let time = self.state.tip().time;
        let is_status_new = self.builder.is_status_new();
        let mut refused = Vec::new();
        for pending in self.pool.pending() {
            let suspect = self.builder.set_aside.contains(&pending.id)
                || (is_status_new && pending.changes_status)
                || time.0.saturating_sub(pending.created_at.0) > BATCH_AGE_MAX_MS;
            if suspect
                && let Some(batch) = self.pool.batch(&self.db, &pending.id)?
                && let Some(reason) = self.refused_for_good(&batch)?
            {
                refused.push((pending.id, reason));
            }
        }
        self.refuse(&refused)
    }

    fn refused_for_good(&self, batch: &Batch) -> Result<Option<RefusedReason>, DriverError> {
        let time = self.state.tip().time;
        match check_batch(&self.state, &self.rules, batch, time)? {
            Ok(()) => Ok(None),
            Err(refusal) => Ok(RefusedReason::of(&refusal, batch, &self.state, time)?),
        }
    }

    fn refuse(&mut self, refused: &[(BatchId, RefusedReason)]) -> Result<(), DriverError> {
        if refused.is_empty() {
            return Ok(());
        }
        let (mut writes, at) = (Writes::new(), self.state.tip().time);
        for (id, reason) in refused {
            tracing::warn!(batch = %id, reason = reason.as_str(), "refused for good: {}", reason.sentence());
            writes.delete::<Batches>(&id.0);
            writes.put::<Outcomes>(&id.0, &Outcome::Refused { reason: reason.code(), at });
        }
        let ids: Vec<BatchId> = refused.iter().map(|(id, _)| *id).collect();
        let removal = self.pool.plan_removal(ids.iter().copied(), &mut writes);
        self.db.commit(writes, Durability::Synced)?;
        removal.finish();
        ids.iter().for_each(|id| self.builder.forget(id));
        self.publisher.announce();
        Ok(())
    }
}
