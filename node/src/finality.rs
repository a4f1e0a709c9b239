//! The newest final state, published to everybody who reads or waits.

use std::{sync::Arc, thread, time::Duration};

use tokio::sync::watch;

use crate::{
    ledger::{FinalState, State},
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
    stop: watch::Receiver<bool>,
}

/// Ends every wait for a decision, so that open streams do not hold up a stop.
#[derive(Debug)]
pub struct StopWaiting(watch::Sender<bool>);

/// Publisher, reader, and the end of all waiting, starting with `state`.
#[must_use]
pub fn finality(state: FinalState) -> (Publisher, Finality, StopWaiting) {
    let db = state.db().clone();
    let (states, state_reader) = watch::channel(Arc::new(state));
    let (decisions, decision_reader) = watch::channel(0);
    let (stop, stop_reader) = watch::channel(false);
    let finality = Finality { db, states: state_reader, decisions: decision_reader, stop: stop_reader };
    (Publisher { states, decisions }, finality, StopWaiting(stop))
}

impl StopWaiting {
    /// From now on nobody waits any more.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
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

    /// Completes at the next decision after this reader looked last; `false` when the node stops.
    pub async fn changed(&mut self) -> bool {
        tokio::select! {
            changed = self.decisions.changed() => changed.is_ok(),
            _ = self.stop.wait_for(|stop| *stop) => false,
        }
    }
}
