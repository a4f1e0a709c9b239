//! What a session tells while it works. The library prints nothing itself.

use std::{path::Path, time::Duration};

use markstein_proto::{BatchId, LeafIndex};

use crate::node::NodeError;

/// Something that happened. Each step that can be interrupted has one, in this order for every batch.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// Another run holds the journal; this one waits.
    Locked,
    /// Batches of an earlier run are completed first.
    Resuming {
        /// How many.
        batches: usize,
    },
    /// Documents are read.
    Hashing {
        /// How many.
        documents: usize,
        /// Their size in all.
        bytes: u64,
    },
    /// This many bytes more were read.
    Read(u64),
    /// Documents are about to be anchored.
    Anchoring {
        /// How many receipts there will be.
        documents: usize,
    },
    /// Records are looked up, to learn their status.
    LookingUp {
        /// How many.
        records: usize,
    },
    /// One of them was.
    LookedUp(LeafIndex),
    /// Changes of a status are about to be made.
    Changing {
        /// Of how many records.
        records: usize,
    },
    /// A signed batch is durable here, and not sent yet.
    Journaled(BatchId),
    /// The ledger decided about it.
    Decided(BatchId),
    /// It was refused as expired and is signed anew.
    SignedAgain(BatchId),
    /// A node turned it down, which may submit it after all: it is kept there, with its salts.
    PutAside(&'a Path),
    /// Receipts are about to be refreshed.
    Refreshing {
        /// How many.
        receipts: usize,
    },
    /// A part of the log is about to be downloaded.
    Downloading {
        /// How many bundles of leaves.
        bundles: usize,
    },
    /// A bundle more was downloaded.
    Downloaded,
    /// A verified receipt was written, or is as new as can be.
    Receipt(&'a Path),
    /// A verified receipt shows the new status of this record, and was written where there was one.
    Changed(LeafIndex),
    /// All receipts of the batch are on the disk.
    Synced(BatchId),
    /// The journal forgot the batch.
    Forgotten(BatchId),
    /// No node could do it; the session asks again.
    Waiting {
        /// The last failure.
        failure: &'a NodeError,
        /// After this time.
        delay: Duration,
    },
}

/// Listens to a session, from any thread.
pub trait Observer: Send + Sync {
    /// Something happened.
    fn event(&self, event: &Event<'_>);
}

/// Listens to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Deaf;

impl Observer for Deaf {
    fn event(&self, _: &Event<'_>) {}
}
