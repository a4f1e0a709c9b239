//! The newest final state, published to everybody who reads or waits.

use std::{sync::Arc, thread, time::Duration};

use tokio::sync::watch;

use crate::{
    ledger::{FinalState, State},
    shutdown::StopSignal,
    storage::{Db, Read, StorageError, View, tables::Heights},
};

/// Where the newest final state is published, and each decision about a batch is announced.
#[derive(Debug)]
pub struct Publisher {
    states: watch::Sender<Arc<FinalState>>,
    decisions: watch::Sender<u64>,
}

/// A reader's end.
#[derive(Clone, Debug)]
pub struct Finality {
    db: Db,
    states: watch::Receiver<Arc<FinalState>>,
    decisions: watch::Receiver<u64>,
    stop: StopSignal,
}

/// Publisher and reader, starting with `state`; `stop` ends every wait for a decision, so that open streams do not
/// hold up a stop.
#[must_use]
pub fn finality(state: FinalState, stop: StopSignal) -> (Publisher, Finality) {
    let db = state.db().clone();
    let (states, state_reader) = watch::channel(Arc::new(state));
    let (decisions, decision_reader) = watch::channel(0);
    let finality = Finality { db, states: state_reader, decisions: decision_reader, stop };
    (Publisher { states, decisions }, finality)
}

impl Publisher {
    /// A block became final; its writes are in the store.
    pub fn publish(&self, state: FinalState) {
        self.states.send_replace(Arc::new(state));
        self.announce();
    }

    /// Something was decided about a batch, or a checkpoint was cosigned anew; the store says what.
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

    /// A snapshot of the store together with the state that it holds.
    ///
    /// # Errors
    /// The store's.
    pub fn snapshot(&self) -> Result<(Arc<FinalState>, View<'_>), StorageError> {
        loop {
            let state = self.state();
            let view = self.db.snapshot();
            if view.last::<Heights>()?.map(|(height, _)| height) == Some(state.tip().height) {
                return Ok((state, view));
            }
            thread::sleep(Duration::from_micros(50)); // a block is stored a moment before it is published
        }
    }

    /// Completes when the node stops.
    pub fn stopped(&self) -> impl Future<Output = ()> + Send + 'static {
        self.stop.stopped()
    }

    /// Completes at the next decision after this reader looked last; `false` when the node stops.
    pub async fn changed(&mut self) -> bool {
        tokio::select! {
            changed = self.decisions.changed() => changed.is_ok(),
            () = self.stop.stopped() => false,
        }
    }
}
