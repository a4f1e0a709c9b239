//! The handle of the pool, for callers and for whoever builds and decides blocks.

use std::sync::{
    Arc,
    mpsc::{SyncSender, TrySendError},
};

use markstein_proto::{Batch, BatchId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{
    actor::Request,
    admission::{Admitted, Answer, Origin, SubmitError, Verdict},
    contents::{Contents, PoolFailure, Removal, stored},
    index::{PendingBatch, PoolSize},
};
use crate::storage::{Db, Writes, tables::Outcome};

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
    mailbox: SyncSender<Request>,
    gossip: Arc<Semaphore>,
    contents: Arc<Contents>,
}

impl Pool {
    pub(super) fn new(mailbox: SyncSender<Request>, contents: Arc<Contents>) -> Self {
        Self { mailbox, gossip: Arc::new(Semaphore::new(GOSSIP_MAX)), contents }
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
        let Ok(place) = Arc::clone(&self.gossip).acquire_owned().await else { return Verdict::NotNow };
        self.ask(batch, Origin::Gossip, Some(place)).await.1
    }

    async fn ask(
        &self,
        batch: Arc<Batch>,
        origin: Origin,
        place: Option<OwnedSemaphorePermit>,
    ) -> (Answer, Verdict) {
        let (reply, answer) = oneshot::channel();
        match self.mailbox.try_send(Request { batch, origin, reply, place }) {
            Ok(()) => answer.await.unwrap_or((Err(SubmitError::Stopping), Verdict::NotNow)),
            Err(TrySendError::Full(_)) => (Err(SubmitError::Busy), Verdict::NotNow),
            Err(TrySendError::Disconnected(_)) => (Err(SubmitError::Stopping), Verdict::NotNow),
        }
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

    /// All undecided batches, oldest first.
    #[must_use]
    pub fn pending(&self) -> Vec<PendingBatch> {
        self.contents.index().pending()
    }

    /// At most `limit` undecided batches, oldest first, from `cursor` on, and the cursor to go on with: 0 at first, and
    /// again once the newest was given. So a window wanders over the whole pool, whatever comes and goes.
    #[must_use]
    pub fn ids(&self, cursor: u64, limit: usize) -> (Vec<BatchId>, u64) {
        self.contents.index().ids(cursor, limit)
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
