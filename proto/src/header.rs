//! The header: last leaf of a block, naming its parent and the roots before and after it.

use crate::{
    EpochId, Hash, Height, LeafIndex, LogSize, TimeMs, View,
    codec::{self, DecodeError},
    leaf::Leaf,
    wire,
};

/// The checked header of a block. Its leaf index is [`Header::size_before`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whose authorities decided this block.
    pub epoch: EpochId,
    /// Position in the chain.
    pub height: Height,
    /// Whose turn it was.
    pub view: View,
    /// Id of the parent block; zero for block 0.
    pub parent: Hash,
    /// The leader's clock; later than the parent's.
    pub time: TimeMs,
    /// Number of the leader in the epoch's authority set.
    pub proposer: u32,
    /// Index of the block's first leaf (its own index for an empty block).
    pub first_index: LeafIndex,
    /// Leaves before this one.
    pub size_before: LogSize,
    /// Log root over those leaves.
    pub root_before: Hash,
    /// Root of the status tree after those leaves.
    pub status_root: Hash,
    /// Hash of the authority set in force after this block.
    pub authority_set: Hash,
}

impl Header {
    /// The block's id: the leaf hash of its header.
    #[must_use]
    pub fn block_id(&self) -> Hash {
        Leaf::Header(self.clone()).hash()
    }

    /// The header's own place in the log.
    #[must_use]
    pub const fn index(&self) -> LeafIndex {
        LeafIndex(self.size_before.0)
    }

    pub(crate) fn from_wire(header: &wire::Header) -> Result<Self, DecodeError> {
        codec::require_version("header", header.version)?;
        if header.first_index > header.size_before {
            return Err(DecodeError::Value {
                what: "header's first index",
                rule: "must not be above the leaves before the header",
            });
        }
        if header.size_before == u64::MAX {
            return Err(DecodeError::Value { what: "header's size", rule: "must leave room for the header" });
        }
        Ok(Self {
            epoch: EpochId(header.epoch),
            height: Height(header.height),
            view: View(header.view),
            parent: codec::hash("parent block id", &header.parent)?,
            time: TimeMs(header.time_ms),
            proposer: header.proposer,
            first_index: LeafIndex(header.first_index),
            size_before: LogSize(header.size_before),
            root_before: codec::hash("log root", &header.root_before)?,
            status_root: codec::hash("status root", &header.status_root)?,
            authority_set: codec::hash("hash of the authority set", &header.authority_set)?,
        })
    }

    pub(crate) fn to_wire(&self) -> wire::Header {
        wire::Header {
            version: 1,
            epoch: self.epoch.0,
            height: self.height.0,
            view: self.view.0,
            parent: self.parent.0.to_vec(),
            time_ms: self.time.0,
            proposer: self.proposer,
            first_index: self.first_index.0,
            size_before: self.size_before.0,
            root_before: self.root_before.0.to_vec(),
            status_root: self.status_root.0.to_vec(),
            authority_set: self.authority_set.0.to_vec(),
        }
    }
}
