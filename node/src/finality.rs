//! The newest final state and the newest checkpoint that counts, published to everybody who reads or waits.

use std::{sync::Arc, thread, time::Duration};

use markstein_proto::{BatchId, LeafIndex};
use tokio::sync::watch;

use crate::{
    ledger::{CountedCheckpoint, FinalState, State},
    shutdown::StopSignal,
    storage::{
        Db, Read, StorageError, View,
        tables::{Heights, Outcome, Outcomes},
    },
};

/// Where the newest final state and checkpoint are published, and each decision about batches is announced.
#[derive(Debug)]
pub struct Publisher {
    states: watch::Sender<Arc<FinalState>>,
    checkpoints: watch::Sender<Option<Arc<CountedCheckpoint>>>,
    decisions: watch::Sender<u64>,
}

/// A reader's end.
#[derive(Clone, Debug)]
pub struct Finality {
    db: Db,
    states: watch::Receiver<Arc<FinalState>>,
    checkpoints: watch::Receiver<Option<Arc<CountedCheckpoint>>>,
    decisions: watch::Receiver<u64>,
    stop: StopSignal,
}

/// One state of the ledger to answer from: everything in an answer comes from here, so it fits together.
#[derive(Debug)]
pub struct Snapshot<'a> {
    /// The newest final state.
    pub state: Arc<FinalState>,
    /// The newest checkpoint with a quorum, at or below that state: what it does not cover is not final for callers.
    pub checkpoint: Option<Arc<CountedCheckpoint>>,
    /// The store, with that state as its newest.
    pub view: View<'a>,
}

/// What callers are told became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing yet.
    Open,
    /// It is in a final block that no checkpoint covers yet: *accepted* for callers, until there can be receipts.
    Uncovered,
    /// This, for good.
    Made(Outcome),
}

impl Snapshot<'_> {
    /// What became of a batch.
    ///
    /// # Errors
    /// The store's.
    pub fn decision(&self, id: &BatchId) -> Result<Decision, StorageError> {
        Ok(match self.view.get::<Outcomes>(&id.0)? {
            // A checkpoint covers whole blocks, so with a leaf it covers the header that gives its time.
            Some(Outcome::Final { head_index, .. }) if !self.is_covered(head_index) => Decision::Uncovered,
            Some(outcome) => Decision::Made(outcome),
            None => Decision::Open,
        })
    }

    /// Whether the leaf at this place is under the checkpoint.
    #[must_use]
    pub fn is_covered(&self, index: LeafIndex) -> bool {
        self.checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.covers(index))
    }
}

/// Publisher and reader, starting with `state` and the newest checkpoint of the store that counts; `stop` ends every
/// wait for a decision, so that open streams do not hold up a stop.
#[must_use]
pub fn finality(
    state: FinalState,
    checkpoint: Option<CountedCheckpoint>,
    stop: StopSignal,
) -> (Publisher, Finality) {
    let db = state.db().clone();
    let (states, state_reader) = watch::channel(Arc::new(state));
    let (checkpoints, checkpoint_reader) = watch::channel(checkpoint.map(Arc::new));
    let (decisions, decision_reader) = watch::channel(0);
    let finality = Finality {
        db,
        states: state_reader,
        checkpoints: checkpoint_reader,
        decisions: decision_reader,
        stop,
    };
    (Publisher { states, checkpoints, decisions }, finality)
}

impl Publisher {
    /// A block became final; its writes are in the store. For those who wait for a batch nothing is decided by that:
    /// see [`Publisher::checkpoint`].
    pub fn publish(&self, state: FinalState) {
        self.states.send_replace(Arc::new(state));
    }

    /// A checkpoint on a final block has its quorum, and its lines are in the store. One that says less than the newest
    /// is not published.
    pub fn checkpoint(&self, checkpoint: CountedCheckpoint) {
        assert!(checkpoint.size <= self.states.borrow().tip().size, "only what is final is cosigned");
        let replaced = self.checkpoints.send_if_modified(|newest| {
            let newer = newest.as_ref().is_none_or(|newest| checkpoint.is_newer_than(newest));
            if newer {
                *newest = Some(Arc::new(checkpoint));
            }
            newer
        });
        if replaced {
            self.announce();
        }
    }

    /// Something was decided about a batch; the store says what.
    pub fn announce(&self) {
        self.decisions.send_modify(|count| *count += 1);
    }
}

impl Finality {
    /// The newest final state.
    #[must_use]
    pub fn state(&self) -> Arc<FinalState> {
        Arc::clone(&self.states.borrow())
    }

    /// The newest checkpoint with a quorum.
    #[must_use]
    pub fn checkpoint(&self) -> Option<Arc<CountedCheckpoint>> {
        self.checkpoints.borrow().clone()
    }

    /// A snapshot of the store together with the state that it holds and a checkpoint on it.
    ///
    /// # Errors
    /// The store's.
    pub fn snapshot(&self) -> Result<Snapshot<'_>, StorageError> {
        loop {
            let checkpoint = self.checkpoint(); // first, so that what it covers is in what is read next
            let state = self.state();
            let view = self.db.snapshot();
            if view.last::<Heights>()?.map(|(height, _)| height) == Some(state.tip().height) {
                return Ok(Snapshot { state, checkpoint, view });
            }
            thread::sleep(Duration::from_micros(50)); // a block is stored a moment before it is published
        }
    }

    /// The store.
    #[must_use]
    pub const fn db(&self) -> &Db {
        &self.db
    }

    /// Completes when the node stops.
    pub fn stopped(&self) -> impl Future<Output = ()> + Send + 'static {
        self.stop.stopped()
    }

    /// Completes at the next final block after this reader looked last; `false` when the node stops.
    pub async fn next_state(&mut self) -> bool {
        tokio::select! {
            changed = self.states.changed() => changed.is_ok(),
            () = self.stop.stopped() => false,
        }
    }

    /// Completes at the next decision about a batch after this reader looked last, which may be a checkpoint that covers
    /// more; `false` when the node stops.
    pub async fn changed(&mut self) -> bool {
        tokio::select! {
            changed = self.decisions.changed() => changed.is_ok(),
            () = self.stop.stopped() => false,
        }
    }
}
