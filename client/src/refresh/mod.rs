//! Newer receipts: what a node sends is verified, compared with what this client knows, and taken only if it is the
//! same record of the same log, not older than anything seen before.
//!
//! | a node that sends | is |
//! | --- | --- |
//! | what does not verify, another record, a time ahead of the clock | named as faulty; another one is asked |
//! | an older log, or an older as-of time, than was seen before it was asked | named as behind; asked again for a while |
//! | a log that a quorum signed and that excludes one seen before | a [`Fork`] |
//! | a log of which no node can show that it extends one seen before | a [`Fork`] that nothing proves, and nothing refutes |

mod files;
mod run;
#[cfg(test)]
mod tests;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use markstein_proto::{
    Hash, LeafIndex, LogSize, TimeMs,
    receipt::{Receipt, TrustRoot, Verified},
};

pub use files::{Found, Replacement, find, replace};
pub use run::{Changed, Options, Report, Run, Stopped};

use crate::{
    node::{Failure, NodeError, Reader},
    retry::{Nodes, RetryError},
    seen::{Conflict, SeenLog},
    time::rfc3339,
    verify::{AHEAD_MAX_MS, as_of},
};

/// A receipt at hand that verifies.
#[derive(Clone, Debug)]
pub struct Known {
    /// The receipt.
    pub receipt: Receipt,
    /// The log it shows.
    pub log: SeenLog,
    /// What it proves.
    pub verified: Verified,
}

/// A receipt as new as a node has it.
#[derive(Clone, Debug)]
pub struct Fresh {
    /// The receipt, with the salt of the one at hand.
    pub receipt: Receipt,
    /// The log it shows.
    pub log: SeenLog,
    /// What it proves.
    pub verified: Verified,
    /// The node that sent it.
    pub node: String,
}

/// Two logs of one ledger, each signed by a quorum, that are not shown to be one.
#[derive(Clone, Debug)]
pub struct Fork {
    /// What shows that they exclude each other; none where only the proof is missing that they do not.
    pub conflict: Option<Conflict>,
    /// The shorter one.
    pub older: SeenLog,
    /// The longer one.
    pub newer: SeenLog,
    /// The proof that a node gave and that does not link them; empty where none was needed.
    pub proof: Vec<Hash>,
    /// The node that showed it.
    pub node: String,
}

/// Why there is no newer receipt.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Two logs.
    #[error("{}", told(.0))]
    Fork(Box<Fork>),
    /// No node gave a good one.
    #[error(transparent)]
    Nodes(#[from] RetryError),
}

/// Asks nodes, and remembers what they showed.
pub struct Refresher<N> {
    nodes: Arc<Nodes<N>>,
    trust: TrustRoot,
    clock: fn() -> TimeMs,
    seen: Mutex<Option<SeenLog>>,
    linked: Mutex<HashSet<Link>>,
}

/// Two logs that a proof linked.
type Link = (LogSize, Hash, LogSize, Hash);

/// What a node's receipt comes to.
enum Answer {
    Good(Box<Fresh>),
    Fork(Box<Fork>),
}

impl Known {
    /// A receipt that verifies; of its document nothing is said.
    ///
    /// # Errors
    /// Where it does not verify.
    pub fn verify(
        receipt: Receipt,
        trust: &TrustRoot,
    ) -> Result<Self, markstein_proto::receipt::NotVerified> {
        let (log, verified) = SeenLog::verify(&receipt, trust)?;
        Ok(Self { receipt, log, verified })
    }
}

impl<N: Reader> Refresher<N> {
    /// Nodes of one ledger, and the newest log seen before.
    #[must_use]
    pub fn new(
        nodes: impl Into<Arc<Nodes<N>>>,
        trust: TrustRoot,
        seen: Option<SeenLog>,
        clock: fn() -> TimeMs,
    ) -> Self {
        Self { nodes: nodes.into(), trust, clock, seen: Mutex::new(seen), linked: Mutex::default() }
    }

    /// The trust root.
    #[must_use]
    pub const fn trust(&self) -> &TrustRoot {
        &self.trust
    }

    /// The nodes.
    #[must_use]
    pub const fn nodes(&self) -> &Arc<Nodes<N>> {
        &self.nodes
    }

    /// The newest log seen, in this run or before.
    #[must_use]
    pub fn seen(&self) -> Option<SeenLog> {
        locked(&self.seen).clone()
    }

    /// The newest receipt of the record at a place, which must go on from the one at hand, if there is one, and from
    /// everything seen before.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn newest(&self, index: LeafIndex, known: Option<&Known>) -> Result<Fresh, FetchError> {
        let seen = self.seen(); // before a node is asked: what comes meanwhile, it need not know
        let ask = async |node: &N| self.ask(node, index, known, seen.as_ref()).await;
        let fresh = match self.nodes.any(ask).await? {
            Answer::Good(fresh) => fresh,
            Answer::Fork(fork) => return Err(FetchError::Fork(fork)),
        };
        if let Some(known) = known {
            self.link(&known.log, &fresh.log, &fresh.node).await?;
        }
        self.take(&fresh.log, &fresh.node).await?;
        Ok(*fresh)
    }

    /// The newest receipt that one node has of the record at a place. It is asked once, and must go on from the one at hand, if
    /// there is one, and from everything seen before.
    ///
    /// # Errors
    /// See [`FetchError`]; of a node that did not give one, its failure is the last one.
    pub async fn newest_of(
        &self,
        node: &N,
        index: LeafIndex,
        known: Option<&Known>,
    ) -> Result<Fresh, FetchError> {
        let seen = self.seen();
        let answer = self.ask(node, index, known, seen.as_ref()).await;
        match answer.map_err(RetryError::Denied)? {
            Answer::Good(fresh) => {
                if let Some(known) = known {
                    self.link(&known.log, &fresh.log, &fresh.node).await?;
                }
                self.take(&fresh.log, &fresh.node).await?;
                Ok(*fresh)
            }
            Answer::Fork(fork) => Err(FetchError::Fork(fork)),
        }
    }

    async fn ask(
        &self,
        node: &N,
        index: LeafIndex,
        known: Option<&Known>,
        seen: Option<&SeenLog>,
    ) -> Result<Answer, NodeError> {
        let error = |kind, message: String| NodeError::new(node.name(), kind, message);
        let faulty = |message: String| error(Failure::Faulty, message);
        let json = node.current_receipt(index).await.map_err(softened)?;
        let mut receipt =
            Receipt::from_json(&json).map_err(|e| faulty(format!("sent what is no receipt: {e}")))?;
        let (log, verified) = SeenLog::verify(&receipt, &self.trust)
            .map_err(|e| faulty(format!("sent a receipt that does not verify: {e}")))?;
        let fork = |(conflict, earlier): (Conflict, &SeenLog)| {
            Answer::Fork(Box::new(Fork::new(Some(conflict), earlier, &log, Vec::new(), node.name())))
        };
        let earlier = || known.map(|known| &known.log).into_iter().chain(seen);
        if let Some(found) = earlier().find_map(|it| Some((it.conflict(&log)?, it))) {
            return Ok(fork(found));
        }
        if verified.index != index || known.is_some_and(|known| !is_same_record(&known.receipt, &receipt)) {
            return Err(faulty("sent the receipt of another record".into()));
        }
        let clock = (self.clock)();
        if as_of(&verified).max(verified.anchored_at).0 > clock.0.saturating_add(AHEAD_MAX_MS) {
            return Err(faulty(format!(
                "sent a receipt of {}, and this machine's clock says {}: one of the two is wrong",
                rfc3339(as_of(&verified).max(verified.anchored_at)),
                rfc3339(clock)
            )));
        }
        if let Some(older) = earlier().find_map(|earlier| behind(&log, earlier)) {
            return Err(error(Failure::Away, older));
        }
        if let Some(known) = known.filter(|known| log.as_of_s() < known.log.as_of_s()) {
            return Err(error(
                Failure::Away,
                format!(
                    "sent a receipt as of {}, older than the one at hand, which is as of {}",
                    rfc3339(as_of(&verified)),
                    rfc3339(as_of(&known.verified))
                ),
            ));
        }
        receipt.salt = known.and_then(|known| known.receipt.salt);
        Ok(Answer::Good(Box::new(Fresh { receipt, log, verified, node: node.name().into() })))
    }

    /// Sees to it that the newest log seen is, or extends, or is extended by this one, which a node showed. Answers whether
    /// it is the newest one now.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub async fn take(&self, log: &SeenLog, node: &str) -> Result<bool, FetchError> {
        let mut is_new = false;
        loop {
            let Some(now) = self.seen() else {
                locked(&self.seen).get_or_insert_with(|| log.clone());
                is_new = true;
                continue;
            };
            self.link(&now, log, node).await?;
            if !log.is_newer_than(&now) {
                return Ok(is_new);
            }
            let mut seen = locked(&self.seen);
            // Another task may have come first: then that one's is compared, too.
            if seen.as_ref().is_some_and(|seen| !seen.is_newer_than(&now)) {
                *seen = Some(log.clone());
                is_new = true;
            }
        }
    }

    /// Checks that one of two logs is the beginning of the other. Any node may give the proof: it proves itself.
    async fn link(&self, one: &SeenLog, other: &SeenLog, node: &str) -> Result<(), FetchError> {
        let (older, newer) = if other.size() < one.size() { (other, one) } else { (one, other) };
        let fork = |conflict, proof, node: &str| {
            FetchError::Fork(Box::new(Fork::new(conflict, older, newer, proof, node)))
        };
        if let Some(conflict) = older.conflict(newer) {
            return Err(fork(Some(conflict), Vec::new(), node));
        }
        let link = (older.size(), older.root(), newer.size(), newer.root());
        if older.size() == newer.size() || locked(&self.linked).contains(&link) {
            return Ok(());
        }
        let wrong = Mutex::new(None::<(String, Vec<Hash>)>);
        let attempt = async |asked: &N| {
            let proof = asked.consistency(older.size(), newer.size()).await.map_err(softened)?;
            if older.check_extended_by(newer, &proof).is_ok() {
                return Ok(None);
            }
            let by = asked.name();
            // What is shown not to be one log, no other node can link.
            if let Some(conflict) = older.conflict_shown(newer, &proof) {
                return Ok(Some((conflict, proof, by.to_owned())));
            }
            let mut wrong = locked(&wrong);
            if by == node || wrong.as_ref().is_none_or(|(earlier, _)| earlier != node) {
                *wrong = Some((by.to_owned(), proof));
            }
            Err(NodeError::new(by, Failure::Faulty, "cannot show that its log extends the one seen before"))
        };
        let linked = self.nodes.any(attempt).await;
        let wrong = wrong.into_inner().unwrap_or_else(PoisonError::into_inner);
        match (linked, wrong) {
            (Ok(None), _) => {
                locked(&self.linked).insert(link);
                Ok(())
            }
            (Ok(Some((conflict, proof, by))), _) => Err(fork(Some(conflict), proof, &by)),
            // Who shows a log can prove it, and all that answer can. Of another node's useless proof nothing follows while
            // the one that showed the log does not answer.
            (Err(e), Some((by, proof))) if by == node || matches!(e, RetryError::Denied(_)) => {
                Err(fork(None, proof, &by))
            }
            (Err(e), _) => Err(e.into()),
        }
    }
}

impl Fork {
    /// Two logs in the order of their sizes.
    #[must_use]
    pub fn new(
        conflict: Option<Conflict>,
        one: &SeenLog,
        other: &SeenLog,
        proof: Vec<Hash>,
        node: &str,
    ) -> Self {
        let (older, newer) = if other.size() < one.size() { (other, one) } else { (one, other) };
        Self { conflict, older: older.clone(), newer: newer.clone(), proof, node: node.into() }
    }
}

/// How a log falls short of one seen before. At the same size it is the same log, whenever it was signed.
fn behind(log: &SeenLog, earlier: &SeenLog) -> Option<String> {
    (log.epoch() < earlier.epoch() || log.size() < earlier.size()).then(|| {
        let time = |log: &SeenLog| rfc3339(TimeMs(log.as_of_s().saturating_mul(1000)));
        format!(
            "shows an older log than was seen before: {} leaves as of {}, not {} as of {}",
            log.size(),
            time(log),
            earlier.size(),
            time(earlier)
        )
    })
}

/// The record, its batch and its block: all that does not change while the log grows.
fn is_same_record(one: &Receipt, other: &Receipt) -> bool {
    one.record == other.record
        && one.batch_head == other.batch_head
        && one.header == other.header
        && one.grant == other.grant
}

/// A node that does not have what was seen before is behind, and one that says no must not keep others from being asked.
fn softened(error: NodeError) -> NodeError {
    let kind = match (error.kind, error.reason.as_str()) {
        (Failure::Denied, "NOT_FOUND" | "INVALID_REQUEST") => Failure::Away,
        (Failure::Denied, _) => Failure::Faulty,
        (kind, _) => kind,
    };
    NodeError { kind, ..error }
}

/// Two histories in a sentence.
pub(crate) fn told(fork: &Fork) -> String {
    let (older, newer) = (fork.older.size(), fork.newer.size());
    match fork.conflict {
        Some(Conflict::Roots) => format!("the authorities signed two different logs of {older} leaves"),
        Some(Conflict::Leaves(index)) => {
            format!("the authorities signed two logs with different leaves at place {index}")
        }
        Some(Conflict::Beginning) => {
            format!("the authorities signed a log of {newer} leaves that does not begin with that of {older}")
        }
        None => format!("{} cannot show that the log of {newer} leaves extends that of {older}", fork.node),
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
