//! A session: one run of `anchor`, `revoke`, `suspend`, `reinstate` or `supersede`, from documents and words to receipts.
//!
//! 1. What the journal holds from earlier runs is completed, whatever they were for: submitting a batch again gives its
//!    first outcome.
//! 2. Documents are hashed, and those that have their receipt already are left out. Records whose status shall change are
//!    looked up, and those that have it already are left out.
//! 3. Each batch is signed, written to the journal, submitted, its receipts verified and written, all of them synced,
//!    and only then forgotten by the journal.
//!
//! A run may stop anywhere. Before the journal's sync nothing was sent; after it, step 1 of the next run goes on.

mod anchor;
mod change;
#[cfg(test)]
mod change_tests;
mod complete;
mod crew;
mod current;
mod error;
mod locate;
mod renew;
mod report;
#[cfg(test)]
mod seen_tests;
mod settle;
mod submit;
mod supersede;
#[cfg(test)]
mod tests;

use std::{path::Path, sync::Arc};

use markstein_proto::{TimeMs, receipt::TrustRoot};
use tokio::task::{JoinSet, spawn_blocking};

pub use anchor::Job;
pub use change::ChangeJob;
pub use error::SessionError;
pub use report::{Anchored, Changed, Kept, Report, Unchanged};
pub use supersede::{Replacement, SupersedeJob};

use crate::{
    batches::Planned,
    entry::{Entry, Signer},
    journal::Journal,
    keys::IssuerKey,
    memory::Memory,
    node::Reader,
    observer::{Event, Observer},
    refresh::Refresher,
    retry::Nodes,
};
use complete::Completed;
use current::Places;

/// Batches on their way at a time: enough to hide one's way under another's receipts, and little memory.
const IN_FLIGHT: usize = 4;

/// All that a run needs.
pub struct Session<N> {
    shared: Arc<Shared<N>>,
}

struct Shared<N> {
    nodes: Arc<Nodes<N>>,
    /// Compares every log that is shown with the newest one seen, in this run and before.
    refresher: Refresher<N>,
    memory: Memory,
    journal: Journal,
    trust: TrustRoot,
    key: IssuerKey,
    clock: fn() -> TimeMs,
    observer: Arc<dyn Observer>,
    places: Places,
}

impl<N: Reader> Session<N> {
    /// Opens the journal and the memory of the newest log seen below `state`, and waits where another run of the same key
    /// holds the journal.
    ///
    /// # Errors
    /// [`SessionError::Journal`] and [`SessionError::Memory`].
    pub async fn open(
        nodes: Nodes<N>,
        trust: TrustRoot,
        key: IssuerKey,
        state: &Path,
        clock: fn() -> TimeMs,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, SessionError> {
        let (state, ledger, id) = (state.to_path_buf(), trust.ledger_id(), key.id());
        let (listener, at, of) = (observer.clone(), state.clone(), trust.clone());
        let open = move || Journal::open(&state, ledger, id, || listener.event(&Event::Locked));
        let (journal, places) = (blocking(open).await?, Places::default());
        let remembered = move || -> Result<_, SessionError> {
            let memory = Memory::open(&at, &of)?;
            let seen = memory.newest()?;
            Ok((memory, seen))
        };
        let (memory, seen) = blocking(remembered).await?;
        let nodes = Arc::new(nodes);
        let refresher = Refresher::new(nodes.clone(), trust.clone(), seen, clock);
        let shared = Shared { nodes, refresher, memory, journal, trust, key, clock, observer, places };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The folder of the journal, to tell people.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.shared.journal.folder()
    }

    /// Step 1: what the journal holds.
    async fn resume(&self, report: &mut Report) -> Result<(), SessionError> {
        let shared = self.shared.clone();
        let entries = blocking(move || shared.journal.entries()).await?;
        if !entries.is_empty() {
            self.shared.observer.event(&Event::Resuming { batches: entries.len() });
        }
        for entry in entries {
            let done = self.shared.clone().complete(Arc::new(entry), false).await;
            report.take(done)?;
            report.resumed += 1;
        }
        Ok(())
    }

    /// Step 3: some batches at a time; after a failure no new one is begun, and those begun are brought to their end.
    async fn write(&self, batches: Vec<Vec<Planned>>, report: &mut Report) -> Result<(), SessionError> {
        let mut waiting = batches.into_iter();
        let mut running = JoinSet::new();
        let mut failure = None;
        loop {
            while failure.is_none() && running.len() < IN_FLIGHT {
                let Some(batch) = waiting.next() else { break };
                running.spawn(self.shared.clone().begin(batch));
            }
            match running.join_next().await {
                None => return failure.map_or(Ok(()), Err),
                Some(done) => {
                    if let Err(e) = report.take(unwind(done)) {
                        failure = failure.or(Some(e));
                    }
                }
            }
        }
    }
}

impl<N: Reader> Shared<N> {
    /// Signs a batch, makes it durable here, and completes it.
    async fn begin(self: Arc<Self>, planned: Vec<Planned>) -> Completed {
        let shared = self.clone();
        let sign = move || -> Result<_, SessionError> {
            let entry = Entry::sign(planned, shared.signer(), (shared.clock)())?;
            shared.journal.write(&entry)?;
            Ok(entry)
        };
        match blocking(sign).await {
            Ok(entry) => {
                self.observer.event(&Event::Journaled(entry.batch().id()));
                self.complete(Arc::new(entry), true).await
            }
            Err(e) => Completed { stopped: Some(e), ..Completed::default() },
        }
    }

    fn signer(&self) -> Signer<'_> {
        Signer { ledger: self.trust.ledger_id(), issuer: &self.key.issuer, key: &self.key.key }
    }
}

/// Runs what blocks (disk, hashing) where it does not keep the network waiting.
async fn blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, SessionError>
where
    T: Send + 'static,
    E: Into<SessionError> + Send + 'static,
{
    unwind(spawn_blocking(work).await).map_err(Into::into)
}

/// A panic in a task goes on in its caller; nobody cancels these tasks.
fn unwind<T>(done: Result<T, tokio::task::JoinError>) -> T {
    match done {
        Ok(value) => value,
        Err(e) => std::panic::resume_unwind(e.into_panic()),
    }
}
