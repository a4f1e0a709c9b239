//! From an entry in the journal to receipts on the disk: what a run does, and what the next one does again.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use markstein_proto::BATCH_AGE_MAX_MS;
use rayon::prelude::*;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_stream::StreamExt;

use super::{Anchored, SessionError, Shared, blocking, unwind};
use crate::{
    entry::Entry,
    node::{EXPIRED, Failure, Node, NodeError, Outcome, ReceiptStream},
    observer::Event,
    receipts::{self, WriteError},
    retry::RetryError,
    text::safe,
};

/// Receipts verified and written at a time, while the next ones arrive.
const CHUNK: usize = 256;
/// And their size, so that long receipts do not fill the memory.
const CHUNK_BYTES: usize = 8 * 1024 * 1024;
/// A node that needs longer for so many is too slow: the next one may do better.
const CHUNK_TIME: Duration = Duration::from_secs(120);

/// How far the receipts of a batch have come.
#[derive(Default)]
struct Progress {
    /// Records whose receipts are written.
    records: usize,
    anchored: Vec<Anchored>,
}

/// Why a piece of receipts was not written.
enum ChunkError {
    /// The node sent something else: another one may do better.
    Node(NodeError),
    /// Our disk: no node can help.
    Local(WriteError),
}

impl<N: Node> Shared<N> {
    /// Submits the batch of an entry, writes its receipts and lets the journal forget it. `fresh`: no earlier run
    /// can have sent it.
    pub(super) async fn complete(
        self: Arc<Self>,
        entry: Arc<Entry>,
        fresh: bool,
    ) -> Result<Vec<Anchored>, SessionError> {
        let mut entry = entry;
        let mut outcome = self.submit(&entry, fresh).await?;
        if is_expired(&outcome) {
            entry = self.sign_again(&entry).await?;
            outcome = self.submit(&entry, true).await?;
        }
        let id = entry.batch().id();
        self.observer.event(&Event::Decided(id));
        if let Outcome::Refused { reason, message } = outcome {
            let (reason, message) = (safe(&reason), safe(&message));
            return Err(SessionError::Refused { reason, message, aside: self.put_aside(&entry).await? });
        }
        let anchored = self.collect(&entry).await?;
        let shared = self.clone();
        let forget = move || -> Result<(), SessionError> {
            let written = entry.records().iter().flat_map(|r| &r.documents);
            receipts::sync(written.map(|d| d.receipt.as_path()))?;
            shared.observer.event(&Event::Synced(id));
            Ok(shared.journal.remove(id)?)
        };
        blocking(forget).await?;
        self.observer.event(&Event::Forgotten(id));
        Ok(anchored)
    }

    async fn submit(self: &Arc<Self>, entry: &Arc<Entry>, fresh: bool) -> Result<Outcome, SessionError> {
        // A node that did not answer may have taken the batch all the same.
        let uncertain = AtomicBool::new(!fresh);
        let attempt = async |node: &N| {
            let outcome = node.submit(entry.batch().bytes().clone()).await;
            let outcome = outcome.and_then(|outcome| self.believe(node, entry, outcome));
            if outcome.as_ref().is_err_and(|e| matches!(e.kind, Failure::Away | Failure::Faulty)) {
                uncertain.store(true, Ordering::Relaxed);
            }
            outcome
        };
        match self.nodes.any(attempt).await {
            Ok(outcome) => Ok(outcome),
            Err(failure @ RetryError::Denied(_)) if uncertain.load(Ordering::Relaxed) => {
                let entry = self.journal.path(entry.batch().id());
                Err(SessionError::Uncertain { failure: Box::new(failure), entry })
            }
            Err(failure @ RetryError::Denied(_)) => {
                let aside = self.put_aside(entry).await?;
                Err(SessionError::TurnedDown { failure: Box::new(failure), aside })
            }
            Err(failure) => Err(failure.into()),
        }
    }

    /// A batch that is no day old cannot have expired. Signed anew on a node's word alone, both could become final.
    fn believe(&self, node: &N, entry: &Entry, outcome: Outcome) -> Result<Outcome, NodeError> {
        let age = (self.clock)().0.saturating_sub(entry.batch().head().created_at.0);
        if is_expired(&outcome) && age <= BATCH_AGE_MAX_MS {
            let message = "says that the batch expired, and this machine's clock says that it did not: one of the \
                two clocks is wrong";
            return Err(NodeError::new(node.name(), Failure::Faulty, message));
        }
        Ok(outcome)
    }

    /// The new entry is durable before the old one goes, and both before anything is sent.
    async fn sign_again(self: &Arc<Self>, entry: &Arc<Entry>) -> Result<Arc<Entry>, SessionError> {
        let (shared, old) = (self.clone(), entry.clone());
        let sign = move || -> Result<_, SessionError> {
            let new = old.sign_again(shared.signer(), (shared.clock)())?;
            if new.batch().id() == old.batch().id() {
                return Err(SessionError::Clock);
            }
            shared.journal.write(&new)?;
            shared.observer.event(&Event::SignedAgain(new.batch().id()));
            shared.journal.remove(old.batch().id())?;
            Ok(Arc::new(new))
        };
        blocking(sign).await
    }

    async fn put_aside(self: &Arc<Self>, entry: &Entry) -> Result<std::path::PathBuf, SessionError> {
        let (shared, id) = (self.clone(), entry.batch().id());
        blocking(move || shared.journal.put_aside(id)).await
    }

    /// Gets, verifies and writes all receipts; what one node sent is not asked from the next.
    async fn collect(self: &Arc<Self>, entry: &Arc<Entry>) -> Result<Vec<Anchored>, SessionError> {
        let progress = Mutex::new(Progress::default());
        let attempt = async |node: &N| match self.collect_from(node, entry, &progress).await {
            Ok(()) => Ok(Ok(())),
            Err(ChunkError::Local(e)) => Ok(Err(e)),
            Err(ChunkError::Node(e)) => Err(e),
        };
        self.nodes.any(attempt).await??;
        Ok(progress.into_inner().unwrap_or_else(PoisonError::into_inner).anchored)
    }

    async fn collect_from(
        self: &Arc<Self>,
        node: &N,
        entry: &Arc<Entry>,
        progress: &Mutex<Progress>,
    ) -> Result<(), ChunkError> {
        let (mut next, count) = (locked(progress).records, entry.records().len());
        let first = u32::try_from(next).expect("a batch has at most 10,000 records");
        let mut stream = node.receipts(entry.batch().id(), first).await.map_err(ChunkError::Node)?;
        let mut writing: Option<JoinHandle<Result<Vec<Anchored>, ChunkError>>> = None;
        let mut failure = None;
        loop {
            let chunk = match &failure {
                None => read_chunk(node.name(), &mut stream, count - next, CHUNK_TIME, &mut failure).await,
                Some(_) => Vec::new(),
            };
            if let Some(writing) = writing.take() {
                let anchored = unwind(writing.await)?;
                let mut progress = locked(progress);
                progress.records = next;
                progress.anchored.extend(anchored);
            }
            if !chunk.is_empty() {
                let (shared, entry, name, position) =
                    (self.clone(), entry.clone(), node.name().to_owned(), next);
                next += chunk.len();
                writing = Some(spawn_blocking(move || shared.write_chunk(&name, &entry, position, &chunk)));
                continue;
            }
            return match failure {
                Some(failure) => Err(ChunkError::Node(failure)),
                None if next == count => Ok(()),
                None => Err(faulty(node.name(), "sent fewer receipts than the batch has records")),
            };
        }
    }

    fn write_chunk(
        &self,
        node: &str,
        entry: &Entry,
        first: usize,
        chunk: &[Vec<u8>],
    ) -> Result<Vec<Anchored>, ChunkError> {
        let write = |(i, json): (usize, &Vec<u8>)| self.write_receipts(node, entry, first + i, json);
        let written: Result<Vec<_>, ChunkError> = chunk.par_iter().enumerate().map(write).collect();
        Ok(written?.into_iter().flatten().collect())
    }

    /// Verifies one receipt and writes it for every document of its record.
    fn write_receipts(
        &self,
        node: &str,
        entry: &Entry,
        position: usize,
        json: &[u8],
    ) -> Result<Vec<Anchored>, ChunkError> {
        let record = &entry.records()[position]; // no more are read than there are records
        let (receipt, index) = receipts::accept(json, entry.batch(), position, record, &self.trust)
            .map_err(|e| faulty(node, &e.to_string()))?;
        let batch = entry.batch().id();
        let write = |document: &crate::scan::Document| {
            receipts::write(document, &receipt).map_err(ChunkError::Local)?;
            let path: &Path = &document.receipt;
            self.observer.event(&Event::Receipt(path));
            Ok(Anchored { document: document.clone(), index, batch })
        };
        record.documents.iter().map(write).collect()
    }
}

fn is_expired(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Refused { reason, .. } if reason == EXPIRED)
}

fn locked(progress: &Mutex<Progress>) -> MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

fn faulty(node: &str, message: &str) -> ChunkError {
    ChunkError::Node(NodeError::new(node, Failure::Faulty, message))
}

/// The next receipts, `missing` at most; none where there are no more, and `failure` says so where the stream broke
/// off or is too slow. What comes behind the last receipt is not waited for.
async fn read_chunk(
    node: &str,
    stream: &mut ReceiptStream,
    missing: usize,
    time: Duration,
    failure: &mut Option<NodeError>,
) -> Vec<Vec<u8>> {
    let (mut chunk, mut bytes, begun) = (Vec::new(), 0, Instant::now());
    while chunk.len() < CHUNK.min(missing) && bytes < CHUNK_BYTES {
        match stream.next().await {
            Some(Ok(receipt)) => {
                bytes += receipt.len();
                chunk.push(receipt);
            }
            Some(Err(e)) => {
                *failure = Some(e);
                break;
            }
            None => break,
        }
        if chunk.len() < CHUNK.min(missing) && begun.elapsed() >= time {
            *failure = Some(NodeError::new(node, Failure::Away, "sends its receipts too slowly"));
            break;
        }
    }
    chunk
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio_stream::{iter, pending};

    use super::*;

    #[tokio::test]
    async fn a_slow_node_is_left_with_what_it_sent_and_nobody_is_waited_for_at_the_end() {
        let receipts = |count: usize| iter(vec![Ok(b"receipt".to_vec()); count]);
        let mut failure = None;
        let mut stream: ReceiptStream = Box::pin(receipts(9));
        let chunk = read_chunk("n", &mut stream, 3, Duration::ZERO, &mut failure).await;
        assert_eq!((chunk.len(), failure.take().map(|e| e.kind)), (1, Some(Failure::Away)));
        let mut endless: ReceiptStream = Box::pin(receipts(3).chain(pending()));
        let chunk = read_chunk("n", &mut endless, 3, Duration::MAX, &mut failure).await;
        assert_eq!((chunk.len(), failure), (3, None));
    }
}
