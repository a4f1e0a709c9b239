//! What a batch waits for, and what a look at it found.

use markstein_proto::{LeafIndex, TimeMs, status::Status};

use crate::{ledger::BatchRefusal, refusal::RefusedReason};

/// What a batch waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The status of a record is to be another.
    Status {
        /// Of which record.
        target: LeafIndex,
        /// What it is to be.
        wants: Status,
    },
    /// A block on which it could not stand is to become final, or to be given up.
    Block,
    /// The log is to reach this leaf.
    Leaf(LeafIndex),
    /// This time is to come.
    Until(TimeMs),
    /// Nothing lets it in any more: time decides it.
    Time,
}

/// Why a batch waits, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// For what.
    pub cause: Cause,
    /// Why it was refused when it was looked at last.
    pub why: BatchRefusal,
    /// A final block later than this decides it.
    pub decided_after: TimeMs,
}

/// What a look at a batch on final state found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::pool) enum Found {
    /// It may stand in the next block.
    Ready,
    /// It may not now.
    Waits(Wait),
    /// It never will.
    Hopeless(RefusedReason),
}

impl Cause {
    /// Whether final blocks bring it about by themselves.
    pub(super) const fn is_of_blocks(&self) -> bool {
        matches!(self, Self::Leaf(_))
    }
}
