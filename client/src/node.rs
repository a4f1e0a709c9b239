//! What a session asks of a node, whoever answers: the gRPC client or a test's fake.

use std::{future::Future, pin::Pin, time::Duration};

use markstein_proto::{BatchId, Commitment, Hash, IssuerId, LeafIndex, LogSize};
use prost::bytes::Bytes;
use tokio_stream::Stream;

use crate::text::safe;

/// A node to write to and to get receipts from.
pub trait Node: Send + Sync + 'static {
    /// What people call it: its URL.
    fn name(&self) -> &str;

    /// The canonical genesis.
    fn genesis(&self) -> impl Future<Output = Result<Vec<u8>, NodeError>> + Send;

    /// Submits a batch and answers when it is decided. Submitting again gives the first outcome.
    fn submit(&self, batch: Bytes) -> impl Future<Output = Result<Outcome, NodeError>> + Send;

    /// The receipts of a final batch in the order of its records, from position `first` on.
    fn receipts(
        &self,
        batch: BatchId,
        first: u32,
    ) -> impl Future<Output = Result<ReceiptStream, NodeError>> + Send;
}

/// What is asked of a node about records by themselves.
pub trait Records: Node {
    /// The receipt of the record at a place of the log, brought up to date, as JSON without its salt.
    fn current_receipt(&self, index: LeafIndex) -> impl Future<Output = Result<Vec<u8>, NodeError>> + Send;

    /// The records of a public commitment by issuer: of each issuer those of which it follows how the document stands. What
    /// is answered has passed [`PublicRecords::check`].
    fn lookup(
        &self,
        commitment: Commitment,
        whose: Whose,
    ) -> impl Future<Output = Result<PublicRecords, NodeError>> + Send;
}

/// Whose public records are looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Those of all issuers.
    All,
    /// Those of all whose ids sort after this one.
    After(IssuerId),
    /// Those of this one.
    Of(IssuerId),
}

/// Issuers that one answer to a look-up may name.
const ISSUERS_MAX: usize = 50;
/// Records of one issuer that it may name: of each status two, and sixteen that changed a moment ago.
const OF_ISSUER_MAX: usize = 4 * (2 + 16);

/// An answer to a look-up: places that a node names, of which nothing is verified yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublicRecords {
    /// By issuer, in the order of their ids.
    pub by_issuer: Vec<(IssuerId, Vec<LeafIndex>)>,
    /// There may be more, after this one.
    pub next: Option<IssuerId>,
}

impl PublicRecords {
    /// Whether it is an answer to what was asked: not too much, of nobody else, and each time further on.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, whose: &Whose) -> Result<(), &'static str> {
        let ids: Vec<&IssuerId> = self.by_issuer.iter().map(|(issuer, _)| issuer).collect();
        let is_bounded = self.by_issuer.len() <= ISSUERS_MAX
            && self.by_issuer.iter().all(|(_, records)| records.len() <= OF_ISSUER_MAX);
        if !is_bounded {
            return Err("sent more records than a look-up tells of");
        }
        let is_further = |id: &IssuerId| match whose {
            Whose::All => true,
            Whose::After(before) => id > before,
            Whose::Of(issuer) => id == issuer,
        };
        let is_on = |next: &IssuerId| {
            !matches!(whose, Whose::Of(_)) && is_further(next) && ids.last().is_none_or(|last| *last <= next)
        };
        let goes_on = self.next.as_ref().is_none_or(is_on);
        if !ids.is_sorted_by(|a, b| a < b) || !ids.iter().all(|id| is_further(id)) || !goes_on {
            return Err("sent records of other issuers than those asked for");
        }
        Ok(())
    }
}

/// A node that shows the log as it is today.
pub trait Reader: Records {
    /// The proof that the log of `older` leaves is the beginning of that of `newer` leaves.
    fn consistency(
        &self,
        older: LogSize,
        newer: LogSize,
    ) -> impl Future<Output = Result<Vec<Hash>, NodeError>> + Send;
}

/// A submission step by step, for those who measure each.
pub trait Steps: Node {
    /// Submits a batch and answers once the node has it on its disk, or tells what became of it before.
    fn accept(&self, batch: Bytes) -> impl Future<Output = Result<Taken, NodeError>> + Send;

    /// Answers when a batch that this node accepted is decided, however long that takes.
    fn decided(&self, batch: BatchId) -> impl Future<Output = Result<Outcome, NodeError>> + Send;

    /// The receipt of one record of a final batch.
    fn receipt(
        &self,
        batch: BatchId,
        position: u32,
    ) -> impl Future<Output = Result<Vec<u8>, NodeError>> + Send;
}

/// What a node says at once about a batch that is submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is on the node's disk.
    Accepted,
    /// It was decided before.
    Decided(Outcome),
}

/// Receipts as JSON, without their salts.
pub type ReceiptStream = Pin<Box<dyn Stream<Item = Result<Vec<u8>, NodeError>> + Send>>;

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the ledger.
    Final,
    /// It can never be.
    Refused {
        /// A stable word, such as [`EXPIRED`].
        reason: String,
        /// What it means and what to do.
        message: String,
    },
}

/// The one reason of a refusal after which the same records are signed anew.
pub const EXPIRED: &str = "EXPIRED";
/// There is nothing at the place that was asked for.
pub const NOT_FOUND: &str = "NOT_FOUND";
/// A change of a status: the node knows no anchored document at that place.
pub const NO_TARGET: &str = "NO_TARGET";
/// A change of a status: the record has one that nothing follows.
pub const STATUS_TERMINAL: &str = "STATUS_TERMINAL";
/// A change of a status: the record has another one than the change expects.
pub const STATUS_OTHER: &str = "STATUS_OTHER";
/// A change of a status: the record is another issuer's.
pub const ANOTHERS_RECORD: &str = "ANOTHERS_RECORD";

/// Why a node did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{node}: {message}{}", shown(reason))]
pub struct NodeError {
    /// Which node.
    pub node: String,
    /// What follows from it.
    pub kind: Failure,
    /// A stable word of the node, or empty.
    pub reason: String,
    /// A sentence, safe to show.
    pub message: String,
}

/// What a failure means for the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Not reachable, too slow, or not able just now: another node may be, or this one later.
    Away,
    /// Come again after this time.
    Busy(Duration),
    /// The node answered something that cannot be right. Another one may do better.
    Faulty,
    /// The node says no, and will say so again.
    Denied,
}

impl NodeError {
    /// A failure without a reason word.
    pub fn new(node: &str, kind: Failure, message: impl AsRef<str>) -> Self {
        Self { node: safe(node), kind, reason: String::new(), message: safe(message.as_ref()) }
    }
}

fn shown(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(" ({reason})") }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn id(text: &str) -> IssuerId {
        IssuerId::new(text).unwrap()
    }

    #[test]
    fn an_answer_to_a_look_up_has_a_measure_and_goes_on() {
        let answer = |issuers: &[&str], next: Option<&str>| PublicRecords {
            by_issuer: issuers.iter().map(|issuer| (id(issuer), vec![LeafIndex(1)])).collect(),
            next: next.map(id),
        };
        for (whose, issuers, next, is_good) in [
            (Whose::All, &[][..], None, true),
            (Whose::All, &["a", "b"], None, true),
            (Whose::All, &["a", "b"], Some("b"), true),
            (Whose::All, &["a", "b"], Some("c"), true),
            (Whose::All, &["a", "b"], Some("a"), false),
            (Whose::All, &["b", "a"], None, false),
            (Whose::All, &["a", "a"], None, false),
            (Whose::After(id("b")), &["c"], Some("c"), true),
            (Whose::After(id("b")), &[], Some("c"), true),
            (Whose::After(id("b")), &[], Some("b"), false),
            (Whose::After(id("b")), &["b"], None, false),
            (Whose::Of(id("b")), &["b"], None, true),
            (Whose::Of(id("b")), &[], None, true),
            (Whose::Of(id("b")), &["a"], None, false),
            (Whose::Of(id("b")), &["b"], Some("b"), false),
        ] {
            assert_eq!(
                answer(issuers, next).check(&whose).is_ok(),
                is_good,
                "{whose:?} {issuers:?} {next:?}"
            );
        }
        let many = |issuers: usize, records: usize| PublicRecords {
            by_issuer: (0..issuers).map(|n| (id(&format!("{n:03}")), vec![LeafIndex(1); records])).collect(),
            next: None,
        };
        for (issuers, records, is_good) in
            [(ISSUERS_MAX, OF_ISSUER_MAX, true), (ISSUERS_MAX + 1, 1, false), (1, OF_ISSUER_MAX + 1, false)]
        {
            assert_eq!(many(issuers, records).check(&Whose::All).is_ok(), is_good);
        }
    }
}
