//! Looks at pooled batches on the newest final state: the pool's thread does them between submissions, a bounded part at a
//! time, so that whoever builds a block finds only what may go into one.

use markstein_proto::{BATCH_AGE_MAX_MS, Batch, CHANGE_SETTLED_MS, TimeMs, status::StepError};

use super::{
    admission::Admission,
    contents::{PoolFailure, stored},
    cost::{LOOK_COST, cost_of},
    schedule::{Cause, Found, Wait},
};
use crate::{
    ledger::{BatchRefusal, FinalState, Rules, State, check_batch, next_time},
    refusal::RefusedReason,
    storage::StorageError,
};

/// A key that is not good now may be so later: it is looked at again after this time, in milliseconds.
const LOOK_AGAIN_MS: u64 = 60_000;

impl Admission {
    /// Whether anything is to be looked at.
    #[must_use]
    pub fn has_queued(&self) -> bool {
        self.contents.index().has_queued()
    }

    /// Looks at what is to be looked at, until [`LOOK_COST`] steps are spent. Issuers have their turns.
    ///
    /// # Errors
    /// See [`PoolFailure`].
    pub fn look(&self) -> Result<(), PoolFailure> {
        let mut spent = 0;
        let mut looked = false;
        while spent < LOOK_COST {
            let Some((id, seen)) = self.contents.index().next_queued() else { break };
            let state = self.finality.state();
            let batch = match self.contents.index().cache.get(&id) {
                Some(batch) => batch,
                None => match stored(&self.db, &id)? {
                    Some(batch) => batch.into(),
                    None => break, // it was decided a moment ago, and leaves the index in another
                },
            };
            spent += cost_of(&batch);
            let found = find(&state, &self.rules, &batch, self.clock.now())?;
            self.contents.index().place(&id, seen, state.tip().time, found);
            looked = true;
        }
        if looked {
            self.announce.looked();
        }
        Ok(())
    }
}

/// What becomes of a batch on final state, where the next block may be of time `now`.
fn find(state: &FinalState, rules: &Rules, batch: &Batch, now: TimeMs) -> Result<Found, StorageError> {
    let tip = state.tip().time;
    let time = next_time(state, now);
    let why = match check_batch(state, rules, batch, time)? {
        Ok(()) => return Ok(Found::Ready),
        Err(why) => why,
    };
    // Only what holds at the final block's own time holds for every later one; what a status is does not depend on it.
    let at_tip = match &why {
        BatchRefusal::Status { .. } | BatchRefusal::ChangedSince(_) | BatchRefusal::NoTarget(_) => {
            Err(why.clone())
        }
        _ => check_batch(state, rules, batch, tip)?,
    };
    if let Err(refusal) = at_tip
        && let Some(reason) = RefusedReason::of(&refusal, batch, state, tip)?
    {
        return Ok(Found::Hopeless(reason));
    }
    let decided_after = decided_after(batch, &why, state, (tip, time))?;
    let cause = match why {
        BatchRefusal::Status { target, why: StepError::Other { expected, .. } } => {
            Cause::Status { target, wants: expected }
        }
        BatchRefusal::NoTarget(target) => Cause::Leaf(target),
        BatchRefusal::FromTheFuture => {
            Cause::Until(TimeMs(batch.head().created_at.0.saturating_sub(BATCH_AGE_MAX_MS)))
        }
        BatchRefusal::Author(_) => Cause::Until(TimeMs(now.0.saturating_add(LOOK_AGAIN_MS))),
        _ => Cause::Time,
    };
    Ok(Found::Waits(Wait { cause, why, decided_after }))
}

/// The time after which a final block decides a batch that `state` refuses at `time`, where the newest final block is of
/// time `tip`: the next block where it can never stand in a later one, or when it is too old.
pub(crate) fn decided_after(
    batch: &Batch,
    why: &BatchRefusal,
    state: &dyn State,
    (tip, time): (TimeMs, TimeMs),
) -> Result<TimeMs, StorageError> {
    if RefusedReason::of(why, batch, state, time)?.is_some() {
        return Ok(tip);
    }
    let span = match why {
        BatchRefusal::Status { .. } => CHANGE_SETTLED_MS,
        _ => BATCH_AGE_MAX_MS,
    };
    Ok(TimeMs(batch.head().created_at.0.saturating_add(span)))
}
