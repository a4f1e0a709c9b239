//! The receipt: one portable proof for one document.
//!
//! A receipt, the document and the genesis verify without any network. The file is JSON for people and tools, but
//! everything that matters in it is canonical bytes in base64 under a hash or signature. It carries nothing that
//! the verifier does not check.

mod changes;
mod error;
mod file;
mod path;
mod verify;

pub use changes::StatusEvent;
pub use error::{NotVerified, ReceiptError};
pub use verify::{TrustRoot, Verified, VerifiedRecord, Voucher};

use alloc::{string::String, vec::Vec};

use crate::{Hash, LeafIndex, Salt, status::StatusProof};

/// First entry of every receipt file.
pub const RECEIPT_FORMAT: &str = "markstein-receipt/v1";
/// Longest receipt file, in bytes: room for some fifty handovers of large sets.
pub const RECEIPT_MAX: usize = 4 * 1024 * 1024;
/// Most handovers of a receipt.
pub const HANDOVERS_MAX: usize = 1000;

/// Most changes of its status that a receipt carries.
pub const CHANGES_MAX: usize = 32;

/// A leaf's canonical bytes and its place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedLeaf {
    /// Place in the log.
    pub index: LeafIndex,
    /// Canonical bytes, see [`crate::Leaf`].
    pub bytes: Vec<u8>,
}

/// The change from one authority set to the next, vouched for by the old one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handover {
    /// Header of the old epoch's last block; last leaf of the checkpoint.
    pub header: PlacedLeaf,
    /// Multiproof of that header under the checkpoint's root.
    pub proof: Vec<Hash>,
    /// Signed checkpoint with a quorum of the old set.
    pub checkpoint: String,
    /// Canonical bytes of the next [`crate::AuthoritySet`].
    pub next: Vec<u8>,
}

/// The leaves of one change of the record's status. They are under the receipt's multiproof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeLeaves {
    /// The status change, or the anchor that supersedes the record.
    pub record: PlacedLeaf,
    /// The head of its batch: who made it.
    pub batch_head: PlacedLeaf,
    /// Header of its block: when.
    pub header: PlacedLeaf,
}

/// Everything that shows that one record is in the ledger, and its status. Unchecked until [`Receipt::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The document's salt; absent in what a node serves, since only the agency has it.
    pub salt: Option<Salt>,
    /// The record.
    pub record: PlacedLeaf,
    /// The head of its batch.
    pub batch_head: PlacedLeaf,
    /// RFC 6962 path of the record under the head's records root.
    pub batch_path: Vec<Hash>,
    /// The grant of the record's issuer.
    pub grant: PlacedLeaf,
    /// Header of the record's block.
    pub header: PlacedLeaf,
    /// Header of the newest block, last leaf of the checkpoint.
    pub latest_header: PlacedLeaf,
    /// Multiproof (see [`crate::log::multiproof`]) of these five leaves and those of the changes, under the
    /// checkpoint's root.
    pub proof: Vec<Hash>,
    /// Status of record and grant, under the latest header's status root.
    pub status: StatusProof,
    /// What led from valid to the record's status, in the order of the log. A record that is valid may have none.
    pub changes: Vec<ChangeLeaves>,
    /// Signed checkpoint with a quorum of the authorities of the latest header's epoch.
    pub checkpoint: String,
    /// From the genesis set to that epoch's, in order.
    pub handovers: Vec<Handover>,
}
