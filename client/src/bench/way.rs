//! The way of one submission: to a node, to its decision, to its verified receipts.

use std::{
    sync::{Arc, MutexGuard, PoisonError},
    time::Duration,
};

use rayon::prelude::*;
use tokio_stream::StreamExt;

use super::{Event, Shared, record::Recorder, world::World};
use crate::{
    entry::Entry,
    node::{Failure, NodeError, Outcome, ReceiptStream, Steps, Taken},
    receipts::{self, NotAccepted},
};

/// Receipts verified at a time, while the next ones arrive.
const CHUNK: usize = 256;
/// And their size.
const CHUNK_BYTES: usize = 8 * 1024 * 1024;
/// A node that is asked whether it is back has this long to answer.
const PROBE: Duration = Duration::from_secs(30);

/// How far a submission has come. What one node did, the next one need not do again.
#[derive(Default)]
struct Progress {
    accepted: bool,
    verified: usize,
}

/// Why a submission does not go on at a node.
enum Stop {
    /// The node failed.
    Node(NodeError),
    /// It was turned down for good.
    Refused { reason: String, message: String },
    /// A receipt proves nothing.
    NotVerified(NotAccepted),
}

impl From<NodeError> for Stop {
    fn from(error: NodeError) -> Self {
        Self::Node(error)
    }
}

impl<N: Steps, W: World> Shared<N, W> {
    /// Brings a submission to its end, whichever. A node that is away is left for another one, and that is told;
    /// nothing else is tried twice.
    pub(super) async fn travel(self: Arc<Self>, number: u64, due: Duration, entry: Entry) {
        let (entry, mut progress, mut tried) = (Arc::new(entry), Progress::default(), Vec::new());
        self.recorder().begun(due, self.world.now());
        (self.listener)(&Event::Sent);
        let failed = loop {
            let Some(node) = self.targets.choose(number, &tried, self.world.now(), PROBE) else {
                self.recorder().failed("away", 1);
                break true;
            };
            if !tried.is_empty() {
                self.recorder().moved();
            }
            match self.attempt(node, &entry, due, &mut progress).await {
                Ok(()) => {
                    self.recorder().completed(due, self.world.now());
                    break false;
                }
                Err(Stop::Node(error)) if error.kind == Failure::Away => {
                    self.recorder().away(node, &error.to_string());
                    if self.targets.is_away(node, self.world.now()) {
                        (self.listener)(&Event::Away(&error));
                    }
                    tried.push(node);
                }
                Err(stop) => {
                    self.note(node, stop);
                    break true;
                }
            }
        };
        (self.listener)(&if failed { Event::Failed } else { Event::Done });
    }

    fn note(&self, node: usize, stop: Stop) {
        let mut recorder = self.recorder();
        match stop {
            Stop::Refused { reason, message } => {
                recorder.failure(node, &crate::text::safe(&message));
                recorder.refused(&reason);
            }
            Stop::NotVerified(why) => {
                recorder.not_verified(node, &why.to_string());
                recorder.failed("receipt not verified", 1);
            }
            Stop::Node(error) => {
                recorder.failure(node, &error.to_string());
                match error.kind {
                    Failure::Busy(_) | Failure::Denied if !error.reason.is_empty() => {
                        recorder.refused(&error.reason);
                    }
                    Failure::Busy(_) => recorder.failed("busy", 1),
                    Failure::Denied => recorder.failed("denied", 1),
                    Failure::Faulty => recorder.failed("faulty", 1),
                    Failure::Away => recorder.failed("away", 1),
                }
            }
        }
    }

    async fn attempt(
        &self,
        index: usize,
        entry: &Arc<Entry>,
        due: Duration,
        progress: &mut Progress,
    ) -> Result<(), Stop> {
        let target = self.targets.get(index);
        let (node, _place) = target.connection().await;
        self.recorder().sent_to(index);
        let answer = node.accept(entry.batch().bytes().clone()).await;
        if !matches!(&answer, Err(e) if e.kind == Failure::Away) && self.targets.is_here(index) {
            (self.listener)(&Event::Back(node.name()));
        }
        let taken = answer?;
        let first = !std::mem::replace(&mut progress.accepted, true);
        self.recorder().accepted(index, first.then_some(due), self.world.now());
        let outcome = match taken {
            Taken::Accepted => node.decided(entry.batch().id()).await?,
            Taken::Decided(outcome) => outcome,
        };
        if let Outcome::Refused { reason, message } = outcome {
            return Err(Stop::Refused { reason, message });
        }
        if entry.records().len() == 1 {
            let json = node.receipt(entry.batch().id(), 0).await?;
            return self.verify(index, entry, due, progress, vec![json]).await;
        }
        let _place = target.stream().await;
        let first = u32::try_from(progress.verified).expect("a batch has at most 10,000 records");
        let stream = node.receipts(entry.batch().id(), first).await?;
        self.collect(index, entry, due, progress, node.name(), stream).await
    }

    /// Reads and verifies the receipts that are still missing; the first one by itself, since it is what is timed.
    async fn collect(
        &self,
        index: usize,
        entry: &Arc<Entry>,
        due: Duration,
        progress: &mut Progress,
        name: &str,
        mut stream: ReceiptStream,
    ) -> Result<(), Stop> {
        while progress.verified < entry.records().len() {
            let most = if progress.verified == 0 { 1 } else { CHUNK };
            let missing = entry.records().len() - progress.verified;
            let (chunk, failure) = read_chunk(&mut stream, most.min(missing)).await;
            let ended = chunk.is_empty();
            self.verify(index, entry, due, progress, chunk).await?;
            if let Some(failure) = failure {
                return Err(failure.into());
            }
            if ended {
                let message = "sent fewer receipts than the batch has records";
                return Err(NodeError::new(name, Failure::Faulty, message).into());
            }
        }
        Ok(())
    }

    /// Verifies the next receipts of a submission, all that the verifier checks.
    async fn verify(
        &self,
        index: usize,
        entry: &Arc<Entry>,
        due: Duration,
        progress: &mut Progress,
        chunk: Vec<Vec<u8>>,
    ) -> Result<(), Stop> {
        if chunk.is_empty() {
            return Ok(());
        }
        let (trust, entry, from, count) = (self.trust.clone(), entry.clone(), progress.verified, chunk.len());
        let check = move |(i, json): (usize, &Vec<u8>)| {
            let position = from + i; // no more are read than there are records
            receipts::accept(json, entry.batch(), position, &entry.records()[position], &trust).map(|_| ())
        };
        let verified = self
            .world
            .compute(move || chunk.par_iter().enumerate().map(check).collect::<Result<(), _>>())
            .await;
        verified.map_err(Stop::NotVerified)?;
        let mut recorder = self.recorder();
        if from == 0 {
            recorder.first_receipt(due, self.world.now());
        }
        recorder.receipts(index, count);
        progress.verified += count;
        Ok(())
    }

    pub(super) fn recorder(&self) -> MutexGuard<'_, Recorder> {
        self.recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The next receipts, `most` at most, and why there are not more.
async fn read_chunk(stream: &mut ReceiptStream, most: usize) -> (Vec<Vec<u8>>, Option<NodeError>) {
    let (mut chunk, mut bytes) = (Vec::new(), 0);
    while chunk.len() < most && bytes < CHUNK_BYTES {
        match stream.next().await {
            Some(Ok(receipt)) => {
                bytes += receipt.len();
                chunk.push(receipt);
            }
            Some(Err(failure)) => return (chunk, Some(failure)),
            None => break,
        }
    }
    (chunk, None)
}
