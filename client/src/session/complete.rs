//! From an entry in the journal to receipts on the disk: what a run does, and what the next one does again.

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rayon::prelude::*;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_stream::StreamExt;

use super::{
    Anchored, Changed, SessionError, Shared, Unchanged, blocking, settle::Settled, submit::No, unwind,
};
use crate::{
    entry::Entry,
    node::{Failure, NodeError, Reader, ReceiptStream},
    observer::Event,
    receipts::{self, WriteError},
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

/// What became of a batch, or of those that had to take its place.
#[derive(Default)]
pub(super) struct Completed {
    pub anchored: Vec<Anchored>,
    pub changed: Vec<Changed>,
    pub unchanged: Vec<Unchanged>,
    /// Why it came to no end.
    pub stopped: Option<SessionError>,
}

impl<N: Reader> Shared<N> {
    /// Submits the batch of an entry, writes its receipts and lets the journal forget it. `fresh`: no earlier run
    /// can have sent it.
    pub(super) async fn complete(self: Arc<Self>, entry: Arc<Entry>, fresh: bool) -> Completed {
        let mut done = Completed::default();
        let mut waiting = vec![(entry, fresh)];
        while let Some((entry, fresh)) = waiting.pop() {
            match self.bring_to_end(entry, fresh, &mut done).await {
                Ok(instead) => waiting.extend(instead.into_iter().map(|entry| (entry, true))),
                Err(e) => {
                    done.stopped = Some(e);
                    break;
                }
            }
        }
        done
    }

    /// Brings an entry to its end, or answers with those that take its place.
    async fn bring_to_end(
        self: &Arc<Self>,
        entry: Arc<Entry>,
        fresh: bool,
        done: &mut Completed,
    ) -> Result<Vec<Arc<Entry>>, SessionError> {
        let (mut entry, mut passed) = (entry, Vec::new());
        let mut answer = self.submit(&entry, fresh, &passed).await?;
        if answer.as_ref().is_err_and(No::is_expired) {
            entry = self.sign_again(&entry).await?;
            answer = self.submit(&entry, true, &passed).await?;
        }
        if !matches!(answer, Err(No::Denied { .. })) {
            self.observer.event(&Event::Decided(entry.batch().id()));
        }
        while let Err(no) = answer {
            let settled = match no.about_a_status() {
                Some(no) => self.settle(&entry, no, self.nodes.count() - passed.len() > 1).await?,
                None => Settled::Open,
            };
            match settled {
                Settled::Final => break,
                Settled::Contradicted { no, nobody_has_it } => {
                    passed.push(no);
                    answer = self.submit(&entry, nobody_has_it, &passed).await?;
                    if answer.is_ok() {
                        self.observer.event(&Event::Decided(entry.batch().id()));
                    }
                }
                Settled::Instead { entries, unchanged } => {
                    done.unchanged.extend(unchanged);
                    return Ok(entries);
                }
                Settled::Open => return Err(self.give_up(&entry, no).await?),
            }
        }
        self.finish(&entry, done).await?;
        Ok(Vec::new())
    }

    /// Writes what a final batch calls for; only then the journal forgets it.
    async fn finish(self: &Arc<Self>, entry: &Arc<Entry>, done: &mut Completed) -> Result<(), SessionError> {
        let id = entry.batch().id();
        let anchors = entry.records().iter().any(|record| record.paper.is_some());
        let anchored = if anchors { self.collect(entry).await? } else { Vec::new() };
        let changed = self.renew(entry).await?;
        let (shared, written) = (self.clone(), entry.clone());
        let forget = move || -> Result<(), SessionError> {
            let documents =
                written.records().iter().filter_map(|r| r.paper.as_ref()).flat_map(|p| &p.documents);
            let renewed = written.records().iter().flat_map(|r| &r.renewals).map(|r| r.receipt.as_path());
            receipts::sync(documents.map(|d| d.receipt.as_path()).chain(renewed))?;
            shared.observer.event(&Event::Synced(id));
            Ok(shared.journal.remove(id)?)
        };
        blocking(forget).await?;
        self.observer.event(&Event::Forgotten(id));
        done.anchored.extend(anchored);
        done.changed.extend(changed);
        Ok(())
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
        record.paper.iter().flat_map(|paper| &paper.documents).map(write).collect()
    }
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
