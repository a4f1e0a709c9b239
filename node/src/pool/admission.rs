//! Admission: which batches come into the pool, and how they get there. No thread and no queue: the pool's thread uses
//! it, and a simulation may.

use std::{collections::HashSet, fmt::Debug, sync::Arc};

use markstein_proto::{Author, AuthorError, Batch, BatchId};

use super::{
    contents::{Contents, describe, issuer_of},
    exchange::Until,
    index::{Entry, PoolFull},
    mutant::Mutant,
    schedule::Seen,
};
use crate::{
    clock::Clock,
    finality::Finality,
    ledger::{BatchRefusal, Rules, State, check_batch, next_time},
    storage::{
        Db, Durability, Read, StorageError, Writes,
        tables::{Batches, Dropped, Outcome, Outcomes, Pool as PoolTable, PoolEntry},
    },
};

/// What was not taken for want of room, or of what may come any moment, is asked for again after this time, in
/// milliseconds.
const DECLINED_MS: u64 = 5_000;
/// What was refused for a status is asked for again after this time at the latest, in milliseconds.
const REFUSED_MS: u64 = 60_000;

/// From where a batch came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A caller of this node, who is told *accepted* once it is durable here.
    Submitted,
    /// Another node. It becomes durable with the vote for a block that holds it, at the latest.
    Gossip,
}

/// What became of a batch that was not turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// Taken now.
    New,
    /// It was in the pool before.
    Known,
    /// It was decided before.
    Decided(Outcome),
}

/// Why a batch was turned away.
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
    /// The operator of this node dropped it.
    #[error(
        "the operator of this node dropped this batch; it is not refused, another node may still hold it: ask the \
         operator, or submit to another node"
    )]
    Dropped,
    /// The node stops.
    #[error("this node is stopping: submit to another one, or again when it is back")]
    Stopping,
    /// Our disk is to blame.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// What another node is to be told, or thought of, for a batch that it passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Taken: others shall have it too.
    New,
    /// It was here before.
    Known,
    /// Not taken, for a reason that is nobody's fault: no room, a clock that differs, an age that passed on the way.
    NotNow,
    /// No honest node passes this on.
    Bad(BatchRefusal),
}

/// Is told of each batch that is new in the pool, after it is written and before it is synced. Must not wait.
pub trait Announce: Debug + Send + Sync {
    /// `batch` is in the pool now.
    fn pooled(&self, batch: &Arc<Batch>, origin: Origin);
    /// Batches of the pool were looked at: some may be ready now, or hopeless.
    fn looked(&self);
}

/// The checks and writes of the pool. Use one at a time.
#[derive(Debug)]
pub struct Admission {
    pub(super) db: Db,
    pub(super) rules: Rules,
    pub(super) finality: Finality,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) announce: Arc<dyn Announce>,
    pub(super) contents: Arc<Contents>,
}

/// An answer to one batch.
pub type Answer = Result<Admitted, SubmitError>;

/// Batches that passed the checks and are to be written together.
#[derive(Default)]
struct Staged {
    new: Vec<New>,
    entries: Vec<Entry>,
    ids: HashSet<BatchId>,
}

struct New {
    /// Its place in the group.
    place: usize,
    batch: Arc<Batch>,
    origin: Origin,
    /// What its check found.
    seen: Seen,
}

impl Admission {
    /// Checks a group of batches and takes what is good: written, in the index and announced; then, where callers wait
    /// for *accepted*, synced, all with one sync. The answers are in the order of the group. After a
    /// [`SubmitError::Storage`] the pool must not be used any more.
    pub fn admit(&self, group: &[(Arc<Batch>, Origin)]) -> Vec<Answer> {
        let mut staged = Staged::default();
        let mut answers: Vec<Answer> = Vec::with_capacity(group.len());
        for (place, (batch, origin)) in group.iter().enumerate() {
            answers.push(self.stage(place, batch, *origin, &mut staged));
        }
        if let Err(error) = self.write(staged, &mut answers).and_then(|()| self.sync(group, &answers)) {
            let taken = answers.iter_mut().filter(|answer| answer.is_ok());
            taken.for_each(|answer| *answer = Err(error.clone().into()));
        }
        answers
    }

    /// What the answer to a batch that another node passed on means for that node. One that was not taken is not asked
    /// for again as long as the reason lasts.
    #[must_use]
    pub fn verdict(&self, batch: &Batch, answer: Answer) -> Verdict {
        self.contents.exchange().arrived(&batch.id());
        if let Err(error) = &answer {
            self.decline(batch, error);
        }
        match answer {
            Ok(Admitted::New) => Verdict::New,
            Ok(Admitted::Known | Admitted::Decided(_)) => Verdict::Known,
            Err(SubmitError::Refused(refusal)) if self.is_senders_fault(batch, &refusal) => {
                Verdict::Bad(refusal)
            }
            Err(_) => Verdict::NotNow,
        }
    }

    fn decline(&self, batch: &Batch, error: &SubmitError) {
        if self.contents.index().breaks(Mutant::ForgetNotNow) {
            return;
        }
        let soon = || Until::Tick(self.clock.now().0 + DECLINED_MS);
        let until = match (error, issuer_of(batch)) {
            (SubmitError::Stopping | SubmitError::Storage(_), _) => return,
            (SubmitError::Refused(BatchRefusal::Status { .. }), Some(issuer)) => {
                let seen = self.contents.index().changes_of(issuer);
                Until::Changes(issuer.clone(), seen, self.clock.now().0 + REFUSED_MS)
            }
            // What is so for every version of this id, and for good.
            (
                SubmitError::Dropped
                | SubmitError::Refused(
                    BatchRefusal::AnotherLedger(_)
                    | BatchRefusal::GenesisAuthor
                    | BatchRefusal::ChangedSince(_),
                ),
                _,
            ) => Until::End,
            // Room and blocks may come any moment; and another version of this id may be signed well.
            (SubmitError::Refused(_) | SubmitError::Full(_) | SubmitError::Busy, _) => soon(),
        };
        self.contents.exchange().decline(batch.id(), until);
    }

    /// Whether no honest node could have taken the batch for good, whatever its clock says. Grants and document types
    /// stand in the genesis; once they change, what depends on them must count as nobody's fault for a while.
    fn is_senders_fault(&self, batch: &Batch, refusal: &BatchRefusal) -> bool {
        match refusal {
            BatchRefusal::AnotherLedger(_)
            | BatchRefusal::GenesisAuthor
            | BatchRefusal::UnknownIssuer(_)
            | BatchRefusal::RecordKind
            | BatchRefusal::OutOfScope(_)
            | BatchRefusal::AnothersRecord(_)
            | BatchRefusal::UnregisteredType(_) => true,
            BatchRefusal::Author(AuthorError::KeyNotValid) => !self.is_key_known(batch),
            BatchRefusal::Author(_) => true,
            // Other nodes may be ahead of this one, or were behind it; and so may their clocks.
            BatchRefusal::NoTarget(_)
            | BatchRefusal::Status { .. }
            | BatchRefusal::ChangedSince(_)
            | BatchRefusal::Expired
            | BatchRefusal::FromTheFuture
            | BatchRefusal::Duplicate => false,
        }
    }

    /// Whether the batch names a key that its issuer has, now or at another time.
    fn is_key_known(&self, batch: &Batch) -> bool {
        let Author::Issuer { issuer, key } = &batch.head().author else { return false };
        match self.finality.state().grant(issuer) {
            Ok(grant) => grant.is_some_and(|grant| grant.keys.iter().any(|k| k.key.id() == *key)),
            Err(_) => true, // our disk's fault, never a peer's
        }
    }

    /// Checks a batch and puts it with those to be written. The index is asked before the store: a decided batch leaves
    /// it after the store knows.
    fn stage(&self, place: usize, batch: &Arc<Batch>, origin: Origin, staged: &mut Staged) -> Answer {
        let id = batch.id();
        if staged.ids.contains(&id) || self.contents.index().contains(&id) {
            return Ok(Admitted::Known);
        }
        if let Some(outcome) = self.outcome(&id)? {
            return Ok(Admitted::Decided(outcome));
        }
        if self.db.contains::<Dropped>(&id.0)? {
            return Err(SubmitError::Dropped);
        }
        let entry = describe(batch).ok_or(BatchRefusal::GenesisAuthor)?;
        // What has no room need not be checked; nor may the check be older than what it is remembered by.
        let changes = {
            let index = self.contents.index();
            index.check_room(&entry, &staged.entries)?;
            if origin == Origin::Submitted && !index.accepts_all() {
                index.check_backlog(&entry, &staged.entries)?;
            }
            index.changes_of(&entry.issuer)
        };
        let state = self.finality.state();
        let seen = match check_batch(&*state, &self.rules, batch, next_time(&*state, self.clock.now()))? {
            Ok(()) => Seen::Good(changes),
            // Its issuer must hear `refused`, on final state, before it may sign the records again: so it goes in where
            // it was submitted, and is decided with the others. All else is good, its key too, so nobody else comes in
            // this way.
            Err(BatchRefusal::Expired) if origin == Origin::Submitted => Seen::Refused,
            // It became final a moment ago.
            Err(BatchRefusal::Duplicate) => {
                return self.outcome(&id)?.map(Admitted::Decided).ok_or(BatchRefusal::Duplicate.into());
            }
            Err(refusal) => return Err(refusal.into()),
        };
        staged.ids.insert(id);
        staged.entries.push(entry);
        staged.new.push(New { place, batch: Arc::clone(batch), origin, seen });
        Ok(Admitted::New)
    }

    fn outcome(&self, id: &BatchId) -> Result<Option<Outcome>, StorageError> {
        self.db.get::<Outcomes>(&id.0)
    }

    /// Writes what is new and tells of it. Not synced yet: a sync takes milliseconds, and others may start on it now.
    fn write(&self, staged: Staged, answers: &mut [Answer]) -> Result<(), StorageError> {
        if staged.new.is_empty() {
            return Ok(());
        }
        let turn = self.contents.turn();
        let first = self.contents.index().next();
        let (mut writes, mut written) = (Writes::new(), Vec::with_capacity(staged.new.len()));
        for (new, entry) in staged.new.into_iter().zip(staged.entries) {
            // A block that holds it may have become final since it was checked. Nobody decides from here on.
            if let Some(outcome) = self.outcome(&entry.id)? {
                answers[new.place] = Ok(Admitted::Decided(outcome));
                continue;
            }
            let sequence = first + written.len() as u64;
            let pooled = PoolEntry { batch_id: entry.id.0, accepted_at: self.clock.now() };
            writes.put::<Batches>(&entry.id.0, &new.batch.bytes().to_vec());
            writes.put::<PoolTable>(&sequence, &pooled);
            written.push((sequence, entry, new));
        }
        self.db.commit(writes, Durability::Unsynced)?;
        let mut index = self.contents.index();
        for (sequence, entry, new) in &written {
            index.insert(*sequence, entry.clone(), new.seen);
            index.cache.insert(entry.id, Arc::clone(&new.batch));
        }
        drop((index, turn));
        written.iter().for_each(|(_, _, new)| self.announce.pooled(&new.batch, new.origin));
        Ok(())
    }

    /// Makes durable what callers are told is accepted; also what came before by gossip and is submitted now.
    fn sync(&self, group: &[(Arc<Batch>, Origin)], answers: &[Answer]) -> Result<(), StorageError> {
        let index = self.contents.index();
        let waits = |((batch, origin), answer): (&(Arc<Batch>, Origin), &Answer)| {
            *origin == Origin::Submitted && answer.is_ok() && index.is_unsynced(&batch.id())
        };
        if !group.iter().zip(answers).any(waits) {
            return Ok(());
        }
        drop(index);
        self.db.commit(Writes::new(), Durability::Synced)?;
        self.contents.index().synced(); // nothing came in since: only this thread lets batches in
        Ok(())
    }
}
