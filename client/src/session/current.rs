//! What the ledger says of a record now: its newest receipt, verified.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use markstein_proto::{
    BatchId, Leaf, LeafIndex, LogSize, Record, TimeMs,
    receipt::{NotVerified, Receipt, TrustRoot, Verified, VerifiedRecord},
};
use tokio::task::spawn_blocking;
use tokio_stream::StreamExt;

use super::{SessionError, Shared, blocking, crew::Crew, unwind};
use crate::{
    memory::MemoryError,
    node::{Failure, NOT_FOUND, NodeError, Reader},
    receipts::{self, NotAccepted},
    refresh::Fork,
    retry::How,
    seen::SeenLog,
};

/// Fewer records of one batch are asked for one by one.
const STREAM_MIN: usize = 8;
/// For each record that is wanted, a stream may have so many that are not.
const STREAM_SPAN: usize = 16;

/// Records of batches, each with its number in the batch, ascending.
type Streams<T> = Vec<(BatchId, Vec<(u32, Wanted<T>)>)>;

/// A record as it is now.
pub(super) struct Current {
    /// Without a salt.
    pub receipt: Receipt,
    pub verified: VerifiedRecord,
    /// The time of the newest block.
    pub latest: TimeMs,
    /// The registered code of the document's type.
    pub document_type: u32,
}

/// What an answer must have seen to count.
#[derive(Clone, Copy, Debug)]
pub(super) enum Need {
    /// A log of this size.
    Log(LogSize),
    /// A change of the status in this batch, and a log of this size.
    Change(BatchId, LogSize),
}

impl Current {
    pub(super) const fn facts(&self) -> &Verified {
        &self.verified.facts
    }

    /// Whether a record of this batch changed the status.
    pub(super) fn shows(&self, batch: BatchId) -> bool {
        let id = |leaf: &[u8]| Leaf::decode(leaf).and_then(Leaf::into_batch_head).map(|head| head.id());
        self.receipt.changes.iter().any(|change| id(&change.batch_head.bytes) == Ok(batch))
    }

    /// The batch with the record, and its number in it.
    fn place(&self) -> Option<(BatchId, u32)> {
        receipts::place_of(&self.receipt)
    }

    fn meets(&self, need: Need) -> bool {
        match need {
            Need::Log(size) => self.facts().log_size >= size,
            Need::Change(batch, size) => self.facts().log_size >= size && self.shows(batch),
        }
    }
}

/// One of many records that are looked up.
#[derive(Debug)]
pub(super) struct Wanted<T> {
    pub index: LeafIndex,
    /// It is known that there is an anchor.
    pub is_there: bool,
    pub item: T,
}

/// In which batches records stand, as receipts show it.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<BTreeMap<LeafIndex, (BatchId, u32)>>);

impl Places {
    /// Remembers where the record of a receipt stands. What a wrong one costs is time.
    pub fn learn(&self, index: LeafIndex, place: (BatchId, u32)) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(index, place);
    }

    fn of(&self, index: LeafIndex) -> Option<(BatchId, u32)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&index).copied()
    }
}

/// Of what is known to be there, no other answer than the record is taken.
pub(super) fn there(current: Option<Current>) -> Current {
    current.expect("current_if() goes on asking for a record that is known to be there")
}

impl<N: Reader> Shared<N> {
    /// Does some work with each of these records as it is now. Where many of one batch are wanted, they come as one
    /// stream: a node then reads the batch once, and not once for each.
    pub(super) async fn each_current<T, R, F>(
        self: &Arc<Self>,
        wanted: Vec<Wanted<T>>,
        need: Need,
        work: impl Fn(Arc<Self>, T, Option<Current>) -> F + Clone + Send + 'static,
    ) -> Result<Vec<R>, SessionError>
    where
        T: Send + 'static,
        R: Send + 'static,
        F: Future<Output = Result<R, SessionError>> + Send + 'static,
    {
        let mut crew = Crew::new();
        let task = |wanted: Wanted<T>, sent: Option<Sent>| {
            let (shared, work) = (self.clone(), work.clone());
            async move {
                let Wanted { index, is_there, item } = wanted;
                let sent = match sent {
                    Some(sent) => {
                        shared.checked(sent, index, need, is_there).await.ok().transpose()?.flatten()
                    }
                    None => None,
                };
                // What was sent in a stream and is of no use is asked for by itself: there it is told what is wrong.
                let current = match sent {
                    Some(current) => Some(current),
                    None => shared.current_if(index, need, is_there).await?,
                };
                work(shared, item, current).await
            }
        };
        let (streams, alone) = self.by_batch(wanted);
        for (batch, wanted) in streams {
            let mut wanted: VecDeque<(u32, Wanted<T>)> = wanted.into();
            let mut next = wanted.front().map_or(0, |(position, _)| *position);
            let open = async |node: &N| Ok((node.name().to_owned(), node.receipts(batch, next).await?));
            let (node, mut stream) = self.nodes.any(open).await.ok().unzip();
            while let Some((position, one)) = wanted.pop_front().filter(|_| !crew.has_failed()) {
                let mut sent = None;
                while let Some(open) = stream.as_mut().filter(|_| next <= position) {
                    match open.next().await {
                        Some(Ok(json)) => sent = Some(Sent { node: node.clone().unwrap_or_default(), json }),
                        _ => (stream, sent) = (None, None),
                    }
                    next += 1;
                }
                crew.begin(task(one, sent)).await;
            }
        }
        for one in alone {
            crew.begin(task(one, None)).await;
        }
        crew.end().await
    }

    /// Those of one batch that stand close enough together, by their number in it, and the others.
    fn by_batch<T>(&self, wanted: Vec<Wanted<T>>) -> (Streams<T>, Vec<Wanted<T>>) {
        let (mut batches, mut alone) = (BTreeMap::<BatchId, Vec<(u32, Wanted<T>)>>::new(), Vec::new());
        for one in wanted {
            match self.places.of(one.index) {
                Some((batch, position)) => batches.entry(batch).or_default().push((position, one)),
                None => alone.push(one),
            }
        }
        let mut streams = Vec::new();
        for (batch, mut wanted) in batches {
            wanted.sort_by_key(|(position, _)| *position);
            let span = wanted.last().map_or(0, |(last, _)| last - wanted[0].0);
            if wanted.len() >= STREAM_MIN && span as usize / STREAM_SPAN < wanted.len() {
                streams.push((batch, wanted));
            } else {
                alone.extend(wanted.into_iter().map(|(_, one)| one));
            }
        }
        (streams, alone)
    }

    /// The record at `index`; none where it is not known to be there, and no node knows an anchored document there. A node
    /// that is behind what is needed is asked again, or another one.
    pub(super) async fn current_if(
        self: &Arc<Self>,
        index: LeafIndex,
        need: Need,
        is_there: bool,
    ) -> Result<Option<Current>, SessionError> {
        let attempt = async |node: &N| {
            let json = match node.current_receipt(index).await {
                Err(e) if e.reason == NOT_FOUND && !is_there => return Ok(Ok(None)),
                Err(e) if e.reason == NOT_FOUND => return Err(NodeError { kind: Failure::Away, ..e }),
                answer => answer?,
            };
            self.checked(Sent { node: node.name().into(), json }, index, need, is_there).await
        };
        if is_there {
            return self.nodes.any(attempt).await?;
        }
        // That there is nothing, one node's word does not decide while others do not answer for a moment.
        let said = self.nodes.each(How::Insist, attempt, |said| !matches!(said, Ok(None))).await;
        let (mut is_none, mut last) = (false, None);
        for said in said {
            match said {
                Ok(Ok(None)) => is_none = true,
                Ok(found) => return found,
                Err(e) => last = Some(e),
            }
        }
        match last {
            Some(last) if !is_none => Err(self.nodes.gave_up(last).into()),
            _ => Ok(None),
        }
    }
}

/// What a node sent as a receipt.
struct Sent {
    node: String,
    json: Vec<u8>,
}

impl<N: Reader> Shared<N> {
    /// What must have been seen to look up records: all that this client has seen in this run and before, and `at_hand`.
    pub(super) fn needed(&self, at_hand: LogSize) -> LogSize {
        self.refresher.seen().map_or(at_hand, |seen| seen.size().max(at_hand))
    }

    /// Verifies what a node sent as the receipt of a record, holds its log against the newest one seen, which is kept before
    /// anything rests on it, and remembers where the record stands. None where there is no anchored document at a place where
    /// none is known to be.
    async fn checked(
        self: &Arc<Self>,
        Sent { node, json }: Sent,
        index: LeafIndex,
        need: Need,
        is_there: bool,
    ) -> Result<Result<Option<Current>, SessionError>, NodeError> {
        let shared = self.clone();
        let failed = |kind, message: String| NodeError::new(&node, kind, message);
        let (current, log) = match unwind(spawn_blocking(move || check(&json, index, &shared.trust)).await) {
            Ok(checked) => checked,
            Err(NotAccepted::NotVerified(NotVerified::NotAnAnchor)) if !is_there => return Ok(Ok(None)),
            Err(e) => return Err(failed(Failure::Faulty, e.to_string())),
        };
        if !current.meets(need) {
            let size = log.size();
            return Err(failed(
                Failure::Away,
                match need {
                    Need::Log(seen) | Need::Change(_, seen) if size < seen => {
                        format!("shows an older log than was seen before: {size} leaves, not {seen}")
                    }
                    _ => format!("does not know the newest blocks yet: its log has {size} leaves"),
                },
            ));
        }
        if let Some(place) = current.place() {
            self.places.learn(index, place);
        }
        Ok(self.take(log, &node).await.map(|()| Some(current)))
    }

    async fn take(self: &Arc<Self>, log: SeenLog, node: &str) -> Result<(), SessionError> {
        if !self.refresher.take(&log, node).await? {
            return Ok(());
        }
        let (shared, by) = (self.clone(), node.to_owned());
        blocking(move || {
            shared.memory.remember(&log).map_err(|e| match e {
                MemoryError::Forked(kept) => {
                    let fork = Fork::new(kept.conflict(&log), &kept, &log, Vec::new(), &by);
                    SessionError::Fork(Box::new(fork))
                }
                e => e.into(),
            })
        })
        .await
    }
}

fn check(json: &[u8], index: LeafIndex, trust: &TrustRoot) -> Result<(Current, SeenLog), NotAccepted> {
    let receipt = Receipt::from_json(json)?;
    let (log, verified) = SeenLog::verify_record(&receipt, trust)?;
    let latest = Leaf::decode(&receipt.latest_header.bytes).and_then(Leaf::into_header);
    let record = Leaf::decode(&receipt.record.bytes).and_then(Leaf::into_record);
    match (latest, record) {
        (Ok(latest), Ok(Record::Anchor(anchor))) if verified.facts.index == index => {
            let document_type = anchor.document_type;
            Ok((Current { receipt, verified, latest: latest.time, document_type }, log))
        }
        _ => Err(NotAccepted::AnotherRecord),
    }
}
