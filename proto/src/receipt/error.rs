//! Why a receipt is no receipt, or does not prove what it should.

use alloc::string::String;

use crate::{AuthorError, DecodeError, encoding::Base64Error, log, note::CheckpointError, status::Status};

use super::RECEIPT_MAX;

/// Why a text is no receipt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Larger than any receipt.
    #[error("a receipt has {RECEIPT_MAX} bytes at most, this one has {0}")]
    TooLong(usize),
    /// No JSON, or not the JSON of a receipt.
    #[error("this is not a Markstein receipt: {0}")]
    Malformed(String),
    /// Written by a later release.
    #[error(
        "this receipt has the format {0:?}, this release knows markstein-receipt/v1: use a newer release"
    )]
    UnknownFormat(String),
    /// A field that should be base64.
    #[error("{field} of the receipt: {source}")]
    Base64 {
        /// Which field.
        field: &'static str,
        /// What is wrong.
        source: Base64Error,
    },
    /// A field with a wrong number of bytes.
    #[error("{field} of the receipt has a wrong length")]
    Length {
        /// Which field.
        field: &'static str,
    },
}

/// Why a receipt does not prove that the document was anchored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotVerified {
    /// Another document, or a changed one, or the receipt of another one.
    #[error(
        "this is not the document that was anchored: it was changed, or the receipt is another document's"
    )]
    AnotherDocument,
    /// The salt is missing.
    #[error("the receipt has no salt, so it cannot be compared with a document")]
    NoSalt,
    /// The salt is zero where it must not be, or the other way round.
    #[error(
        "the receipt's salt does not fit its record: a public record has the all-zero salt, others never"
    )]
    SaltKind,
    /// A part that cannot be decoded.
    #[error("{part} of the receipt: {source}")]
    Decode {
        /// Which part.
        part: &'static str,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// The record is no anchor.
    #[error("the record of the receipt does not anchor a document")]
    NotAnAnchor,
    /// The leaf given as grant admits no issuer.
    #[error("the grant of the receipt does not admit an issuer")]
    NotAGrant,
    /// The receipt is of another ledger than the trust root.
    #[error(
        "the receipt is of another ledger than the genesis: use the genesis of the ledger it was made on"
    )]
    AnotherLedger,
    /// The leaves do not stand in the order in which a block holds them.
    #[error("the leaves of the receipt do not stand where a block holds them: {0}")]
    Places(&'static str),
    /// The record is not part of the batch its head names.
    #[error("the record is not part of the batch that the issuer signed")]
    NotInBatch,
    /// The batch is not the issuer's.
    #[error(transparent)]
    Author(#[from] AuthorError),
    /// The grant does not cover this type of document.
    #[error("the issuer was not admitted to anchor documents of this type")]
    OutOfScope,
    /// The batch's own time is too far from its block's.
    #[error("the batch says it was made more than 24 hours before or after its block")]
    CreatedAt,
    /// A handover that does not lead from one authority set to the next.
    #[error("handover {number} of the receipt: {why}")]
    Handover {
        /// Which one, from 1.
        number: usize,
        /// What is wrong.
        why: &'static str,
    },
    /// The newest header is decided by, or names, another authority set than the one that vouches.
    #[error("the newest header names other authorities than those that the handovers lead to")]
    AnotherAuthoritySet,
    /// The checkpoint is no checkpoint of this ledger, or has no quorum.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A signature line of somebody who is no authority of the epoch.
    #[error("the checkpoint carries a signature line that no authority of its epoch made: {0}")]
    Stranger(String),
    /// The leaves are not in the log of the checkpoint.
    #[error("the receipt's leaves are not in the log that the authorities signed")]
    Inclusion(log::ProofError),
    /// The status chunks are not those of the newest header.
    #[error("the receipt's status is not the one that the authorities signed: {0}")]
    Status(log::ProofError),
    /// A change of the record's status that is none, or stands where it cannot.
    #[error("change {number} of the record's status: {why}")]
    Change {
        /// Which one, from 1.
        number: usize,
        /// What is wrong.
        why: &'static str,
    },
    /// What the changes lead to is not what the authorities signed.
    #[error("the receipt shows changes up to the status {shown}, and the authorities signed {signed}")]
    ChangesMissing {
        /// The status after the changes of the receipt.
        shown: Status,
        /// The status in the chunk.
        signed: Status,
    },
    /// The record's document type is not registered in the genesis.
    #[error("the record's document type is not registered in the genesis")]
    UnknownDocumentType,
}

impl NotVerified {
    /// Whether nothing can be said because the receipt was written by a later release.
    #[must_use]
    pub const fn is_unknown_version(&self) -> bool {
        matches!(self, Self::Decode { source: DecodeError::UnknownVersion { .. }, .. })
    }
}
