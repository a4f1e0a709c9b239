//! What can be wrong with a log though a quorum of its authorities signed it.

use markstein_proto::{
    AuthorError, BatchId, DecodeError, Hash, Height, IssuerId, LeafIndex, LedgerId, TimeMs, status::StepError,
};

use crate::time::rfc3339;

/// A place of the log where it breaks the rules of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("block {height}, leaf {at}: {what}")]
pub struct Wrong {
    /// The leaf that shows it.
    pub at: LeafIndex,
    /// The block it stands in.
    pub height: Height,
    /// What is wrong.
    pub what: Breach,
}

/// What is wrong there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    /// Block 0 follows from the genesis.
    #[error("the log does not begin with the block that follows from the genesis")]
    Genesis,
    /// Not the canonical form of a leaf.
    #[error("it is no leaf of this ledger: {0}")]
    Leaf(DecodeError),
    /// A record that no batch head announced.
    #[error("a record stands outside of any batch")]
    StrayRecord,
    /// Something else follows where a record of the batch must.
    #[error("batch {batch} ends after {found} of its {count} records: a record is missing")]
    Cut {
        /// The batch.
        batch: BatchId,
        /// Records that are there.
        found: u32,
        /// Records that its head counts.
        count: u32,
    },
    /// The log ends without a header.
    #[error("the log that the checkpoint covers ends in the midst of a block")]
    OpenEnd,
    /// More than a block may hold.
    #[error("the block has more than 4 MiB of batches, 50,000 records or 4,096 batches")]
    TooLarge,
    /// A field of the header that follows from what stands before it.
    #[error("its header has {field} {found}, and it must be {expected}")]
    Header {
        /// Which field.
        field: &'static str,
        /// What it says.
        found: String,
        /// What it must say.
        expected: String,
    },
    /// The root of the log before the header.
    #[error("its header names the log root {found}; the leaves before it lead to {computed}")]
    LogRoot {
        /// What it says.
        found: Hash,
        /// What the leaves lead to.
        computed: Hash,
    },
    /// The root of the status tree before the header.
    #[error("its header names the status root {found}; the records before it lead to {computed}")]
    StatusRoot {
        /// What it says.
        found: Hash,
        /// What the records lead to.
        computed: Hash,
    },
    /// A batch that may not stand there.
    #[error("batch {batch}: {why}")]
    Batch {
        /// Which.
        batch: BatchId,
        /// Why not.
        why: BatchBreach,
    },
}

/// Why a batch may not stand where it does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchBreach {
    /// Signed for another ledger.
    #[error("it was signed for ledger {0}")]
    AnotherLedger(LedgerId),
    /// The author `genesis` after block 0.
    #[error("it has the author of block 0")]
    GenesisAuthor,
    /// No grant.
    #[error("the issuer {0} has no grant")]
    NoGrant(IssuerId),
    /// Not signed as the grant calls for.
    #[error(transparent)]
    Author(#[from] AuthorError),
    /// A record of a kind that its author may not write.
    #[error("leaf {0} is a record that no issuer may write")]
    RecordKind(LeafIndex),
    /// Outside the grant, or not registered.
    #[error("the issuer may not anchor documents of type {kind}, as leaf {at} does")]
    OutOfScope {
        /// The record.
        at: LeafIndex,
        /// Its document type.
        kind: u32,
    },
    /// Another root over the records than was signed.
    #[error("its records are not those that were signed")]
    RecordsRoot,
    /// One record twice.
    #[error("one record stands in it twice")]
    SameRecord,
    /// Longer than a batch may be.
    #[error("it has more than 1 MiB")]
    TooLong,
    /// Already in the log.
    #[error("it stands in the log twice")]
    Duplicate,
    /// A change that its author could not have wanted: another batch had changed the same status long after this one was made.
    #[error(
        "leaf {at} changes the status of leaf {target}, which was changed more than ten minutes after the batch was made"
    )]
    ChangedSince {
        /// The record.
        at: LeafIndex,
        /// Whose status.
        target: LeafIndex,
    },
    /// More than 24 hours between batch and block.
    #[error("it was made {}, more than 24 hours from its block's time {}", rfc3339(*.created_at), rfc3339(*.block))]
    Age {
        /// When the batch says it was made.
        created_at: TimeMs,
        /// The block's time.
        block: TimeMs,
    },
    /// A change of what is no anchor of an earlier block.
    #[error("leaf {at} changes the status of leaf {target}, where no earlier block has an anchor")]
    NoTarget {
        /// The record.
        at: LeafIndex,
        /// What it is about.
        target: LeafIndex,
    },
    /// A change of somebody else's record.
    #[error("leaf {at} changes the status of leaf {target}, which another issuer anchored")]
    AnothersRecord {
        /// The record.
        at: LeafIndex,
        /// What it is about.
        target: LeafIndex,
    },
    /// A change that cannot follow.
    #[error("leaf {at} cannot change the status of leaf {target}: {why}")]
    Status {
        /// The record.
        at: LeafIndex,
        /// What it is about.
        target: LeafIndex,
        /// Why not.
        why: StepError,
    },
}

impl Breach {
    /// A field of a header that is not what follows.
    pub(super) fn header<T: ToString>(field: &'static str, found: &T, expected: &T) -> Self {
        Self::Header { field, found: found.to_string(), expected: expected.to_string() }
    }

    /// Whether the log may be right and this release too old to tell.
    #[must_use]
    pub const fn is_unknown_version(&self) -> bool {
        matches!(self, Self::Leaf(DecodeError::UnknownVersion { .. }))
    }
}
