//! Leaves: the entries of the log. `Leaf = oneof { batch_head, record, header }`, at most 16 KiB.

use alloc::vec::Vec;

use prost::Message;

use crate::{
    BatchHead, Hash, Header, Record,
    codec::{self, CountBound, DecodeError},
    log,
    record::ISSUER_KEYS_MAX,
    wire,
};

/// Longest leaf, in bytes.
pub const LEAF_MAX: usize = 16 * 1024;

const COUNTS: &[CountBound] = &[
    CountBound { what: "signatures of a batch head", path: &[1, 6], max: 64 },
    CountBound { what: "keys of an issuer", path: &[2, 3, 3], max: ISSUER_KEYS_MAX },
];

/// One entry of the log, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leaf {
    /// Opens a batch.
    BatchHead(BatchHead),
    /// One statement.
    Record(Record),
    /// Closes a block.
    Header(Header),
}

impl Leaf {
    /// Decodes a canonical leaf and checks every field that can be checked by itself.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        use wire::leaf::Kind;
        let message: wire::Leaf = codec::decode_bounded("leaf", bytes, LEAF_MAX, COUNTS)?;
        let leaf = match message.kind.as_ref().ok_or(DecodeError::Missing("kind of the leaf"))? {
            Kind::BatchHead(head) => Self::BatchHead(BatchHead::from_wire(head)?),
            Kind::Record(record) => Self::Record(Record::from_wire(record)?),
            Kind::Header(header) => Self::Header(Header::from_wire(header)?),
        };
        codec::require_canonical("leaf", bytes, &message)?;
        Ok(leaf)
    }

    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        use wire::leaf::Kind;
        let kind = match self {
            Self::BatchHead(head) => Kind::BatchHead(head.to_wire()),
            Self::Record(record) => Kind::Record(record.to_wire()),
            Self::Header(header) => Kind::Header(header.to_wire()),
        };
        wire::Leaf { kind: Some(kind) }.encode_to_vec()
    }

    /// The RFC 6962 leaf hash of the canonical bytes.
    #[must_use]
    pub fn hash(&self) -> Hash {
        log::leaf_hash(&self.encode())
    }

    /// The kind, for messages.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::BatchHead(_) => "batch head",
            Self::Record(_) => "record",
            Self::Header(_) => "header",
        }
    }

    /// The batch head in it.
    ///
    /// # Errors
    /// [`DecodeError::WrongKind`].
    pub fn into_batch_head(self) -> Result<BatchHead, DecodeError> {
        match self {
            Self::BatchHead(head) => Ok(head),
            other => Err(DecodeError::WrongKind { want: "batch head", found: other.kind() }),
        }
    }

    /// The record in it.
    ///
    /// # Errors
    /// [`DecodeError::WrongKind`].
    pub fn into_record(self) -> Result<Record, DecodeError> {
        match self {
            Self::Record(record) => Ok(record),
            other => Err(DecodeError::WrongKind { want: "record", found: other.kind() }),
        }
    }

    /// The header in it.
    ///
    /// # Errors
    /// [`DecodeError::WrongKind`].
    pub fn into_header(self) -> Result<Header, DecodeError> {
        match self {
            Self::Header(header) => Ok(header),
            other => Err(DecodeError::WrongKind { want: "header", found: other.kind() }),
        }
    }
}
