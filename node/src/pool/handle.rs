//! The handle of the pool, for callers and for whoever builds and decides blocks.

use std::sync::{
    Arc,
    mpsc::{SyncSender, TrySendError},
};

use markstein_proto::{Batch, BatchId, IssuerId, TimeMs};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{
    actor::{Request, Wish},
    admission::{Admitted, Answer, Origin, SubmitError, Verdict},
    contents::{Contents, PoolFailure, Removal, stored},
    index::{PendingBatch, PoolSize, WaitingBatch},
    mutant::Mutant,
    schedule::Wait,
};
use crate::{
    clock::Clock,
    finality::Finality,
    ledger::{BatchRefusal, ExecutedBlock, Rules, check_author, next_time},
    messages::Offer,
    peer::Peer,
    refusal::RefusedReason,
    storage::{
        Db, Read, StorageError, Writes,
        tables::{Outcome, Outcomes},
    },
};

/// Batches of other nodes in the mailbox at once: whoever brings one more waits, and submissions keep their places.
const GOSSIP_MAX: usize = 64;

/// What became of a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// Durable in the pool, now or before.
    Accepted,
    /// Decided before.
    Decided(Outcome),
}

/// A handle of the pool.
#[derive(Clone, Debug)]
pub struct Pool {
    mailbox: SyncSender<Wish>,
    gossip: Arc<Semaphore>,
    contents: Arc<Contents>,
    gate: Arc<Gate>,
}

/// What is known before a batch comes to the pool's thread.
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) db: Db,
    pub(super) rules: Rules,
    pub(super) finality: Finality,
    pub(super) clock: Arc<dyn Clock>,
}

impl Pool {
    pub(super) fn new(mailbox: SyncSender<Wish>, contents: Arc<Contents>, gate: Gate) -> Self {
        let gossip = Arc::new(Semaphore::new(GOSSIP_MAX));
        Self { mailbox, gossip, contents, gate: Arc::new(gate) }
    }

    /// What can be said of a submission where the caller runs, and not on the pool's thread: that it is decided or durable
    /// here already, whatever its signatures, or that its issuer did not sign it. So nobody takes the places there of an
    /// issuer whose key they lack. `None`: it is for [`Pool::submit`].
    ///
    /// # Errors
    /// [`SubmitError::Refused`], [`SubmitError::Storage`].
    pub fn known(&self, batch: &Batch) -> Result<Option<Submitted>, SubmitError> {
        let (gate, id) = (&*self.gate, batch.id());
        let is_durable = {
            let index = self.contents.index();
            index.contains(&id) && !index.is_unsynced(&id)
        };
        if is_durable {
            return Ok(Some(Submitted::Accepted));
        }
        if let Some(outcome) = gate.db.get::<Outcomes>(&id.0)? {
            return Ok(Some(Submitted::Decided(outcome)));
        }
        let state = gate.finality.state();
        check_author(&*state, &gate.rules, batch, next_time(&*state, gate.clock.now()))??;
        Ok(None)
    }

    /// Submits a batch; completes when it is durable or turned away.
    ///
    /// # Errors
    /// See [`SubmitError`].
    pub async fn submit(&self, batch: Arc<Batch>) -> Result<Submitted, SubmitError> {
        match self.ask(batch, Origin::Submitted, None).await.0? {
            Admitted::New | Admitted::Known => Ok(Submitted::Accepted),
            Admitted::Decided(outcome) => Ok(Submitted::Decided(outcome)),
        }
    }

    /// Offers a batch that another node passed on; completes when it is in the pool or not taken. Waits while many are
    /// on their way.
    pub async fn gossip(&self, batch: Arc<Batch>) -> Verdict {
        let id = batch.id();
        if self.contains(&id) || matches!(self.gate.db.contains::<Outcomes>(&id.0), Ok(true)) {
            self.arrived(&id);
            return Verdict::Known;
        }
        let Ok(place) = Arc::clone(&self.gossip).acquire_owned().await else { return Verdict::NotNow };
        self.ask(batch, Origin::Gossip, Some(place)).await.1
    }

    async fn ask(
        &self,
        batch: Arc<Batch>,
        origin: Origin,
        place: Option<OwnedSemaphorePermit>,
    ) -> (Answer, Verdict) {
        let ((reply, answer), id) = (oneshot::channel(), batch.id());
        let sent = match self.mailbox.try_send(Wish::Admit(Request { batch, origin, reply, place })) {
            Ok(()) => return answer.await.unwrap_or((Err(SubmitError::Stopping), Verdict::NotNow)),
            Err(TrySendError::Full(_)) => SubmitError::Busy,
            Err(TrySendError::Disconnected(_)) => SubmitError::Stopping,
        };
        self.arrived(&id);
        (Err(sent), Verdict::NotNow)
    }

    /// Whether a batch is in the pool: written, and undecided.
    #[must_use]
    pub fn contains(&self, id: &BatchId) -> bool {
        self.contents.index().contains(id)
    }

    /// How much is in it.
    #[must_use]
    pub fn size(&self) -> PoolSize {
        self.contents.index().size()
    }

    /// What may go into a block, in the order in which it should: issuers take turns. Without what `is_in` one already.
    #[must_use]
    pub fn for_block(&self, is_in: impl Fn(&BatchId) -> bool) -> Vec<PendingBatch> {
        self.contents.index().for_block(is_in)
    }

    /// Whether there is something to put into a block of time `now`, or something that such a block decides.
    #[must_use]
    pub fn has_admissible(&self, now: TimeMs) -> bool {
        self.contents.index().has_admissible(now)
    }

    /// Whether a block of time `now`, were it empty, would decide a batch that waits.
    #[must_use]
    pub fn is_due(&self, now: TimeMs) -> bool {
        self.contents.index().is_due(now)
    }

    /// A batch could not stand in a block that was built: it is looked at once that is settled, or after a while.
    pub fn set_aside(&self, id: &BatchId, why: BatchRefusal, decided_after: TimeMs) {
        self.contents.index().set_aside(id, why, decided_after);
    }

    /// Has what was set aside looked at again, and what waits for a time up to `now`.
    pub fn settle(&self, now: TimeMs) {
        self.contents.index().settle(now);
        self.look();
    }

    /// A block became final, and its batches have left; `live` is the tick where this node saw it become final. What waited
    /// for that is looked at.
    pub fn finalized(&self, block: &ExecutedBlock, live: Option<u64>) {
        self.contents.index().finalized(block, live);
        self.look();
    }

    /// Breaks a rule.
    #[cfg(feature = "mutants")]
    pub fn break_rule(&self, rule: Mutant) {
        self.contents.index().break_rule(rule);
    }

    /// Asks the pool's thread to look at what is to be looked at. Where its mailbox is full it is busy, and looks after
    /// that anyway.
    fn look(&self) {
        if self.contents.index().has_queued() {
            let _ = self.mailbox.try_send(Wish::Look);
        }
    }

    /// Batches that can never become final, as looks found since this was asked last.
    #[must_use]
    pub fn take_hopeless(&self) -> Vec<(BatchId, RefusedReason)> {
        self.contents.index().take_hopeless()
    }

    /// Why a batch waits, and for what; `None` where it does not wait.
    #[must_use]
    pub fn wait_of(&self, id: &BatchId) -> Option<Wait> {
        self.contents.index().wait_of(id)
    }

    /// How many batches wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.contents.index().waiting()
    }

    /// At most `limit` batches, oldest first, from `cursor` on, and the cursor to go on with: 0 at first, and again once
    /// the newest was given.
    #[must_use]
    pub fn list(&self, cursor: u64, limit: usize) -> (Vec<WaitingBatch>, u64) {
        self.contents.index().list(cursor, limit)
    }

    /// Drops batches that an operator does not want here: they are not taken again by this node, and nothing is decided
    /// about them. Tells which were here.
    ///
    /// # Errors
    /// The store's.
    pub fn drop_batches(&self, db: &Db, ids: &[BatchId], now: TimeMs) -> Result<Vec<BatchId>, StorageError> {
        self.contents.drop_batches(db, ids, now)
    }

    /// Whether batches were dropped since this was asked last, so that those who wait for them are to be told.
    #[must_use]
    pub fn take_dropped(&self) -> bool {
        std::mem::take(&mut self.contents.index().has_dropped)
    }

    /// When a submission of this issuer that found no room may come again, in milliseconds.
    #[must_use]
    pub fn hint_ms(&self, issuer: &IssuerId) -> u64 {
        self.contents.index().hint_ms(issuer)
    }

    /// An authority holds a batch.
    pub fn note_holder(&self, id: &BatchId, authority: u32) {
        self.contents.index().note_holder(id, authority);
    }

    /// Of what another node offers, what to ask it for at a time in milliseconds.
    #[must_use]
    pub fn ask_for(&self, peer: Peer, offers: &[Offer], now: TimeMs) -> Vec<BatchId> {
        let index = self.contents.index();
        if index.breaks(Mutant::AskWithoutRoom) {
            return offers.iter().map(|offer| offer.id).filter(|id| !index.contains(id)).collect();
        }
        self.contents.exchange().ask(peer, offers, &index, now.0)
    }

    /// A batch that was asked for came, and does not go to the pool's thread.
    fn arrived(&self, id: &BatchId) {
        self.contents.exchange().arrived(id);
    }

    /// At most `limit` batches that others may have use for, oldest first, from `cursor` on, and the cursor to go on with:
    /// 0 at first, and again once the newest was given. So a window wanders over the whole pool, whatever comes and goes.
    #[must_use]
    pub fn offers(&self, cursor: u64, limit: usize) -> (Vec<Offer>, u64) {
        self.contents.index().offers(cursor, limit)
    }

    /// A pooled batch, or one that became final, in the version stored; `None` where there is none (any more).
    ///
    /// # Errors
    /// See [`PoolFailure`].
    pub fn batch(&self, db: &Db, id: &BatchId) -> Result<Option<Arc<Batch>>, PoolFailure> {
        if let Some(batch) = self.contents.index().cache.get(id) {
            return Ok(Some(batch));
        }
        let Some(batch) = stored(db, id)?.map(Arc::new) else { return Ok(None) };
        let mut index = self.contents.index();
        if index.contains(id) {
            index.cache.insert(*id, Arc::clone(&batch));
        }
        Ok(Some(batch))
    }

    /// Adds the removal of decided batches to the writes that decide them; ids that are not in the pool change nothing.
    /// From here until the [`Removal`] is finished or dropped nothing new comes in: commit the writes, then finish it.
    pub fn plan_removal(&self, ids: impl IntoIterator<Item = BatchId>, writes: &mut Writes) -> Removal<'_> {
        self.contents.plan_removal(ids, writes)
    }
}
