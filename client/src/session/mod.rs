//! A session: one run of `anchor`, from documents to receipts.
//!
//! 1. What the journal holds from earlier runs is completed: submitting a batch again gives its first outcome.
//! 2. Documents are hashed, and those that have their receipt already are left out.
//! 3. Each batch is signed, written to the journal, submitted, its receipts verified and written, all of them synced,
//!    and only then forgotten by the journal.
//!
//! A run may stop anywhere. Before the journal's sync nothing was sent; after it, step 1 of the next run goes on.

mod complete;
mod error;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, fs, path::Path, sync::Arc};

use markstein_proto::{BatchId, DocumentDigest, LeafIndex, TimeMs, receipt::TrustRoot};
use rayon::prelude::*;
use tokio::task::{JoinSet, spawn_blocking};

pub use error::SessionError;

use crate::{
    batches::{Planned, Statement, plan},
    entry::{Entry, Signer},
    hash::digest_all,
    journal::Journal,
    keys::IssuerKey,
    node::Node,
    observer::{Event, Observer},
    receipts::{self, Present},
    retry::Nodes,
    scan::{Document, Scan, Unreadable},
};

/// Batches on their way at a time: enough to hide one's way under another's receipts, and little memory.
const IN_FLIGHT: usize = 4;

/// What shall be anchored.
#[derive(Debug)]
pub struct Job {
    /// The documents.
    pub scan: Scan,
    /// What is said about them.
    pub statement: Statement,
    /// Most records of a batch, 1 to 10,000.
    pub batch_records: usize,
    /// Anchor the others where some cannot be read.
    pub keep_going: bool,
}

/// What was done.
#[derive(Debug, Default)]
pub struct Report {
    /// Documents with a new receipt, those of an earlier run that was completed included.
    pub anchored: Vec<Anchored>,
    /// How many batches of earlier runs were completed.
    pub resumed: usize,
    /// Documents that had their receipt already.
    pub already: Vec<(Document, LeafIndex)>,
    /// What cannot be anchored, and why.
    pub failed: Vec<Unreadable>,
    /// Why the run ended early. What is in the journal is completed by the next one.
    pub stopped: Option<SessionError>,
}

/// A document and its new record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchored {
    /// The document.
    pub document: Document,
    /// Its record.
    pub index: LeafIndex,
    /// Its batch.
    pub batch: BatchId,
}

impl Report {
    /// Whether every document has its receipt now.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.stopped.is_none() && self.failed.is_empty()
    }
}

/// All that a run needs.
pub struct Session<N> {
    shared: Arc<Shared<N>>,
}

struct Shared<N> {
    nodes: Nodes<N>,
    journal: Journal,
    trust: TrustRoot,
    key: IssuerKey,
    clock: fn() -> TimeMs,
    observer: Arc<dyn Observer>,
}

impl<N: Node> Session<N> {
    /// Opens the journal below `state` and waits where another run of the same key holds it.
    ///
    /// # Errors
    /// [`SessionError::Journal`].
    pub async fn open(
        nodes: Nodes<N>,
        trust: TrustRoot,
        key: IssuerKey,
        state: &Path,
        clock: fn() -> TimeMs,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, SessionError> {
        let (state, ledger, id) = (state.to_path_buf(), trust.ledger_id(), key.id());
        let listener = observer.clone();
        let open = move || Journal::open(&state, ledger, id, || listener.event(&Event::Locked));
        let journal = blocking(open).await?;
        Ok(Self { shared: Arc::new(Shared { nodes, journal, trust, key, clock, observer }) })
    }

    /// The folder of the journal, to tell people.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.shared.journal.folder()
    }

    /// Completes earlier runs and anchors the documents of this one.
    pub async fn run(&self, job: Job) -> Report {
        let mut report = Report::default();
        if let Err(e) = self.work(job, &mut report).await {
            report.stopped = Some(e);
        }
        report.anchored.sort_by(|a, b| a.document.cmp(&b.document));
        report
    }

    async fn work(&self, job: Job, report: &mut Report) -> Result<(), SessionError> {
        self.resume(report).await?;
        let Job { scan, statement, batch_records, keep_going } = job;
        report.failed = scan.unreadable;
        let documents = self.select(scan.documents, report).await?;
        if !report.failed.is_empty() && !keep_going {
            return Err(SessionError::Unreadable(report.failed.len()));
        }
        self.shared.observer.event(&Event::Anchoring { documents: documents.len() });
        let prepare = move || {
            receipts::prepare(documents.iter().map(|(d, _)| d.receipt.as_path()))?;
            let draw = |salt: &mut [u8]| getrandom::fill(salt);
            plan(documents, statement, batch_records, draw).map_err(|e| SessionError::Random(e.to_string()))
        };
        let batches = blocking(prepare).await?;
        self.anchor(batches, report).await
    }

    /// Step 1: what the journal holds.
    async fn resume(&self, report: &mut Report) -> Result<(), SessionError> {
        let shared = self.shared.clone();
        let entries = blocking(move || shared.journal.entries()).await?;
        if !entries.is_empty() {
            self.shared.observer.event(&Event::Resuming { batches: entries.len() });
        }
        for entry in entries {
            report.anchored.extend(self.shared.clone().complete(Arc::new(entry), false).await?);
            report.resumed += 1;
        }
        Ok(())
    }

    /// Step 2: digests of the documents that have no receipt yet.
    async fn select(
        &self,
        documents: Vec<Document>,
        report: &mut Report,
    ) -> Result<Vec<(Document, DocumentDigest)>, SessionError> {
        let shared = self.shared.clone();
        let look = move || -> Result<_, SessionError> { Ok(shared.look_at(documents)) };
        let resumed: BTreeSet<Document> = report.anchored.iter().map(|a| a.document.clone()).collect();
        let mut missing = Vec::new();
        for (document, found) in blocking(look).await? {
            match found {
                Found::New(digest) => missing.push((document, digest)),
                Found::Anchored(_) if resumed.contains(&document) => {} // told once, as anchored in this run
                Found::Anchored(index) => report.already.push((document, index)),
                Found::Bad(why) => report.failed.push(Unreadable { path: document.path, why }),
            }
        }
        Ok(missing)
    }

    /// Step 3: some batches at a time; after a failure no new one is begun, and those begun are brought to their end.
    async fn anchor(&self, batches: Vec<Vec<Planned>>, report: &mut Report) -> Result<(), SessionError> {
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
                Some(done) => match unwind(done) {
                    Ok(anchored) => report.anchored.extend(anchored),
                    Err(e) => failure = failure.or(Some(e)),
                },
            }
        }
    }
}

/// What a document turned out to be.
enum Found {
    New(DocumentDigest),
    Anchored(LeafIndex),
    Bad(String),
}

impl<N: Node> Shared<N> {
    fn look_at(&self, documents: Vec<Document>) -> Vec<(Document, Found)> {
        let bytes = documents.iter().filter_map(|d| fs::metadata(&d.path).ok()).map(|m| m.len()).sum();
        self.observer.event(&Event::Hashing { documents: documents.len(), bytes });
        let paths: Vec<&Path> = documents.iter().map(|d| d.path.as_path()).collect();
        let digests = digest_all(&paths, &|bytes| self.observer.event(&Event::Read(bytes)));
        let found = documents.into_par_iter().zip(digests).map(|(document, digest)| {
            let found = match digest {
                Err(e) => Found::Bad(e.to_string()),
                Ok(digest) => match receipts::look(&document, &digest, &self.key.issuer, &self.trust) {
                    Present::No => Found::New(digest),
                    Present::Yes(verified) => Found::Anchored(verified.index),
                    Present::Other(why) => Found::Bad(format!("cannot have a receipt: {why}")),
                },
            };
            (document, found)
        });
        found.collect()
    }

    /// Signs a batch, makes it durable here, and completes it.
    async fn begin(self: Arc<Self>, planned: Vec<Planned>) -> Result<Vec<Anchored>, SessionError> {
        let shared = self.clone();
        let sign = move || -> Result<_, SessionError> {
            let entry = Entry::sign(planned, shared.signer(), (shared.clock)())?;
            shared.journal.write(&entry)?;
            Ok(entry)
        };
        let entry = blocking(sign).await?;
        self.observer.event(&Event::Journaled(entry.batch().id()));
        self.complete(Arc::new(entry), true).await
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
