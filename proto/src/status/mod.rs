//! The status of every leaf: two bits each, in chunks of 128, under an RFC 6962 tree.
//!
//! The status root in a block header covers all leaves of the log up to that header. The values and their packing
//! are those of the IETF Token Status List with two bits a status, least significant bits first. Leaves that can
//! have no status, such as headers, stay at zero.

mod proof;
mod step;
mod tree;
mod zero;

#[cfg(test)]
mod tests;

pub use proof::{PROOF_BYTES_MAX, ProofBytesError, ProvenStatus, StatusProof, all_valid_root};
pub use step::{StatusStep, StepError};
pub use tree::{Overlay, StatusDelta, StatusReader, TOP_LEVEL, apply, status_root, zero_root};

/// Statuses in one chunk.
pub const CHUNK_STATUSES: u64 = 128;

/// What a leaf is worth now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Status {
    /// In force.
    #[default]
    Valid = 0,
    /// Withdrawn for good.
    Revoked = 1,
    /// Withdrawn for now; can become valid again.
    Suspended = 2,
    /// Replaced for good by a later record.
    Superseded = 3,
}

impl Status {
    /// The two bits.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self as u8
    }

    /// The status of the two lowest bits; the others are ignored.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        match bits & 0b11 {
            0 => Self::Valid,
            1 => Self::Revoked,
            2 => Self::Suspended,
            _ => Self::Superseded,
        }
    }

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Revoked => "revoked",
            Self::Suspended => "suspended",
            Self::Superseded => "superseded",
        }
    }

    /// Whether nothing can follow it.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Revoked | Self::Superseded)
    }
}

impl core::fmt::Display for Status {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The statuses of 128 consecutive leaves: the leaf of the status tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chunk(pub [u8; 32]);

impl Chunk {
    /// All valid: the chunk that is not stored.
    pub const ZERO: Self = Self([0; 32]);

    /// The status at this position.
    ///
    /// # Panics
    /// Where the position is not below 128.
    #[must_use]
    pub const fn get(&self, position: u8) -> Status {
        Status::from_bits(self.0[position as usize / 4] >> (position % 4 * 2))
    }

    /// Sets the status at this position.
    ///
    /// # Panics
    /// Where the position is not below 128.
    pub const fn set(&mut self, position: u8, status: Status) {
        let shift = position % 4 * 2;
        let byte = &mut self.0[position as usize / 4];
        *byte = *byte & !(0b11 << shift) | status.bits() << shift;
    }
}

/// A chunk had another length than 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a status chunk has 32 bytes, this one has {0}")]
pub struct ChunkFromSliceError(pub usize);

impl TryFrom<&[u8]> for Chunk {
    type Error = ChunkFromSliceError;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        bytes.try_into().map(Self).map_err(|_| ChunkFromSliceError(bytes.len()))
    }
}

/// The chunk that holds the status of leaf `index`, and the position in it.
#[must_use]
pub const fn chunk_of(index: u64) -> (u64, u8) {
    (index / CHUNK_STATUSES, (index % CHUNK_STATUSES) as u8)
}

/// Number of chunks, the leaves of the status tree, for a log of `log_size` leaves.
#[must_use]
pub const fn chunk_count(log_size: u64) -> u64 {
    log_size.div_ceil(CHUNK_STATUSES)
}
