//! The pool's thread: takes submissions, checks them on the newest final state, and writes a group of them with
//! one sync.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
};

use markstein_proto::{Author, Batch, BatchId, DecodeError};
use tokio::sync::oneshot;

use super::index::{Entry, PendingBatch, PoolFull, PoolIndex, PoolLimits, PoolSize};
use crate::{
    clock::Clock,
    finality::Finality,
    ledger::{BatchRefusal, Rules, check_batch},
    storage::{
        Db, Durability, Read, StorageError, Writes,
        tables::{Batches, Outcome, Outcomes, Pool as PoolTable, PoolEntry},
    },
};

/// Submissions that wait for the pool's thread at once; one more is refused with a hint to come again.
const MAILBOX: usize = 1024;
/// Submissions written with one sync.
const GROUP: usize = 256;

/// What became of a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// Durable in the pool, now or before.
    Accepted,
    /// Decided before.
    Decided(Outcome),
}

/// Why a submission was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The batch may not be written.
    #[error(transparent)]
    Refused(#[from] BatchRefusal),
    /// No room now.
    #[error(transparent)]
    Full(#[from] PoolFull),
    /// Too many submissions at once.
    #[error("this node has more submissions at once than it can take: submit again in a moment")]
    Busy,
    /// The node stops.
    #[error("this node is stopping: submit to another one, or again when it is back")]
    Stopping,
    /// Our disk is to blame.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Why the pool's thread ended other than by being told to.
#[derive(Debug, thiserror::Error)]
pub enum PoolFailure {
    /// The store failed.
    #[error("the pool stopped: {0}")]
    Storage(#[from] StorageError),
    /// A stored batch is damaged.
    #[error("the pool stopped: a stored batch is damaged: {0}")]
    Damaged(#[from] DecodeError),
}

/// What the one who cuts blocks is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// There is something in the pool.
    Pooled,
    /// Stop.
    Stop,
}

/// Wakes the one who cuts blocks. A wake-up that waits already is enough.
#[derive(Clone, Debug)]
pub struct WakeSender(pub SyncSender<Wake>);

impl WakeSender {
    fn pooled(&self) {
        let _ = self.0.try_send(Wake::Pooled);
    }
}

struct Request {
    batch: Arc<Batch>,
    reply: oneshot::Sender<Result<Submitted, SubmitError>>,
}

/// A handle of the pool.
#[derive(Clone, Debug)]
pub struct Pool {
    mailbox: SyncSender<Request>,
    index: Arc<Mutex<PoolIndex>>,
}

/// Loads what is in the store and starts the pool's thread, which ends when every handle is dropped, or when the
/// store fails; the receiver tells.
///
/// # Errors
/// See [`PoolFailure`].
pub fn start(
    db: &Db,
    rules: Rules,
    limits: PoolLimits,
    finality: Finality,
    clock: Arc<dyn Clock>,
    wake: WakeSender,
) -> Result<(Pool, oneshot::Receiver<Result<(), PoolFailure>>), PoolFailure> {
    let index = Arc::new(Mutex::new(load(db, limits)?));
    if lock(&index).size().batches > 0 {
        wake.pooled();
    }
    let (mailbox, requests) = sync_channel(MAILBOX);
    let actor = Actor { db: db.clone(), rules, finality, clock, wake, index: Arc::clone(&index) };
    let (ended, end) = oneshot::channel();
    std::thread::Builder::new()
        .name("pool".into())
        .spawn(move || ended.send(actor.run(&requests)))
        .map_err(|e| StorageError::Write { reason: format!("no thread for the pool: {e}") })?;
    Ok((Pool { mailbox, index }, end))
}

fn load(db: &Db, limits: PoolLimits) -> Result<PoolIndex, PoolFailure> {
    let mut index = PoolIndex::new(limits);
    for entry in db.range::<PoolTable>(..) {
        let (sequence, entry) = entry?;
        let batch = stored(db, &BatchId(entry.batch_id))?;
        index.insert(sequence, describe(&batch).expect("only batches of issuers are accepted"));
    }
    Ok(index)
}

/// The batch with this id, which the pool wrote.
fn stored(db: &Db, id: &BatchId) -> Result<Batch, PoolFailure> {
    let bytes = db
        .get::<Batches>(&id.0)?
        .ok_or_else(|| StorageError::corrupt("pool", format!("the bytes of batch {id} are missing")))?;
    Ok(Batch::decode(bytes)?)
}

fn describe(batch: &Batch) -> Option<Entry> {
    let Author::Issuer { issuer, .. } = &batch.head().author else { return None };
    let (bytes, records) = (batch.bytes().len(), batch.records().len());
    Some(Entry { id: batch.id(), issuer: issuer.clone(), bytes, records })
}

fn lock(index: &Mutex<PoolIndex>) -> MutexGuard<'_, PoolIndex> {
    index.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    /// Submits a batch; completes when it is durable or refused.
    ///
    /// # Errors
    /// See [`SubmitError`].
    pub async fn submit(&self, batch: Arc<Batch>) -> Result<Submitted, SubmitError> {
        let (reply, answer) = oneshot::channel();
        self.mailbox.try_send(Request { batch, reply }).map_err(|e| match e {
            TrySendError::Full(_) => SubmitError::Busy,
            TrySendError::Disconnected(_) => SubmitError::Stopping,
        })?;
        answer.await.unwrap_or(Err(SubmitError::Stopping))
    }

    /// Whether a batch is accepted and undecided.
    #[must_use]
    pub fn contains(&self, id: &BatchId) -> bool {
        lock(&self.index).contains(id)
    }

    /// How much is in it.
    #[must_use]
    pub fn size(&self) -> PoolSize {
        lock(&self.index).size()
    }

    /// All undecided batches, oldest first.
    #[must_use]
    pub fn pending(&self) -> Vec<PendingBatch> {
        lock(&self.index).pending()
    }

    /// The bytes of a pending batch, decoded.
    ///
    /// # Errors
    /// See [`PoolFailure`].
    pub fn read(&self, db: &Db, id: &BatchId) -> Result<Arc<Batch>, PoolFailure> {
        stored(db, id).map(Arc::new)
    }

    /// Adds the removal of decided batches to the writes that decide them.
    pub fn plan_removal(&self, ids: impl IntoIterator<Item = BatchId>, writes: &mut Writes) {
        let index = lock(&self.index);
        for sequence in ids.into_iter().filter_map(|id| index.sequence(&id)) {
            writes.delete::<PoolTable>(&sequence);
        }
    }

    /// Forgets decided batches, once those writes are in the store.
    pub fn remove(&self, ids: impl IntoIterator<Item = BatchId>) {
        let mut index = lock(&self.index);
        for id in ids {
            index.remove(&id);
        }
    }
}

struct Actor {
    db: Db,
    rules: Rules,
    finality: Finality,
    clock: Arc<dyn Clock>,
    wake: WakeSender,
    index: Arc<Mutex<PoolIndex>>,
}

impl Actor {
    fn run(self, requests: &Receiver<Request>) -> Result<(), PoolFailure> {
        while let Ok(first) = requests.recv() {
            let group: Vec<Request> =
                std::iter::once(first).chain(requests.try_iter().take(GROUP - 1)).collect();
            self.admit(group)?;
        }
        Ok(())
    }

    /// Checks a group, writes what is good with one sync, and answers.
    fn admit(&self, group: Vec<Request>) -> Result<(), StorageError> {
        let (mut staged, mut staged_ids, mut waiting) = (Vec::new(), HashSet::new(), Vec::new());
        let mut writes = Writes::new();
        let first = lock(&self.index).next();
        for Request { batch, reply } in group {
            let id = batch.id();
            if staged_ids.contains(&id) {
                waiting.push(reply);
                continue;
            }
            match self.check(&batch, &staged) {
                Ok(None) => {
                    let entry = describe(&batch).expect("check() lets only batches of issuers through");
                    let accepted_at = self.clock.now();
                    writes.put::<Batches>(&id.0, &batch.bytes().to_vec());
                    let sequence = first + staged.len() as u64;
                    writes.put::<PoolTable>(&sequence, &PoolEntry { batch_id: id.0, accepted_at });
                    staged.push(entry);
                    staged_ids.insert(id);
                    waiting.push(reply);
                }
                Ok(Some(before)) => answer(reply, Ok(before)),
                Err(error) => answer(reply, Err(error)),
            }
        }
        if staged.is_empty() {
            return Ok(());
        }
        let written = self.db.commit(writes, Durability::Synced);
        if written.is_ok() {
            let mut index = lock(&self.index);
            for (sequence, entry) in (first..).zip(staged) {
                index.insert(sequence, entry);
            }
        }
        self.wake.pooled();
        let result = written.clone().map(|()| Submitted::Accepted).map_err(SubmitError::from);
        waiting.into_iter().for_each(|reply| answer(reply, result.clone()));
        written
    }

    /// `None`: good and new. The index is asked before the store: a decided batch leaves it after the store knows.
    fn check(&self, batch: &Batch, staged: &[Entry]) -> Result<Option<Submitted>, SubmitError> {
        let id = batch.id();
        if lock(&self.index).contains(&id) {
            return Ok(Some(Submitted::Accepted));
        }
        if let Some(outcome) = self.db.get::<Outcomes>(&id.0)? {
            return Ok(Some(Submitted::Decided(outcome)));
        }
        let state = self.finality.state();
        match check_batch(&*state, &self.rules, batch, self.clock.now())? {
            // Its issuer must hear `refused`, on final state, before it may sign the records again: so it goes in and
            // is decided with the others. All else is good, its key too, so nobody else comes in this way.
            Err(BatchRefusal::Expired) => {}
            checked => checked?,
        }
        let entry = describe(batch).ok_or(BatchRefusal::GenesisAuthor)?;
        lock(&self.index).check_room(&entry, staged)?;
        Ok(None)
    }
}

fn answer(reply: oneshot::Sender<Result<Submitted, SubmitError>>, result: Result<Submitted, SubmitError>) {
    let _ = reply.send(result); // whoever asked may have gone
}
