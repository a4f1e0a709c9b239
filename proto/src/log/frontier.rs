//! Append with a compact frontier: at most 64 hashes stand for a log of any size.

use alloc::vec::Vec;

use super::{EMPTY_ROOT, NodeReader, node_hash, peaks};
use crate::Hash;

/// The right edge of a log: all that is needed to append to it and to know its root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// Roots of the full subtrees that the size falls into, the largest first: one for each one bit of the size.
    nodes: Vec<Hash>,
}

/// The nodes given do not belong to a log of the size given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a log of {size} leaves has a frontier of {} nodes, not {nodes}", .size.count_ones())]
pub struct FrontierError {
    /// Number of leaves.
    pub size: u64,
    /// Number of nodes given.
    pub nodes: usize,
}

impl Frontier {
    /// The frontier of an empty log.
    #[must_use]
    pub const fn new() -> Self {
        Self { size: 0, nodes: Vec::new() }
    }

    /// A frontier as [`Frontier::size`] and [`Frontier::nodes`] gave it. The hashes are taken as they are: compare
    /// [`Frontier::root`] with a known root.
    ///
    /// # Errors
    /// [`FrontierError`] where the number of nodes is not that of the size's one bits.
    pub fn from_parts(size: u64, nodes: Vec<Hash>) -> Result<Self, FrontierError> {
        if nodes.len() == size.count_ones() as usize {
            Ok(Self { size, nodes })
        } else {
            Err(FrontierError { size, nodes: nodes.len() })
        }
    }

    /// The frontier of the first `size` leaves of a tree.
    ///
    /// # Errors
    /// Those of the reader.
    pub fn read<R: NodeReader + ?Sized>(reader: &R, size: u64) -> Result<Self, R::Error> {
        Ok(Self { size, nodes: peaks(reader, 0, size)? })
    }

    /// Appends one leaf by its hash.
    ///
    /// # Panics
    /// At 2^64 - 1 leaves, which no log reaches.
    pub fn push(&mut self, leaf_hash: Hash) {
        self.push_with(leaf_hash, |_, _, _| ());
    }

    /// Appends one leaf by its hash and reports each full subtree that it completes as `(level, index, root)`, from
    /// the leaf itself at level 0 upwards. A store keeps those whose level is a multiple of 8, as tiles.
    ///
    /// # Panics
    /// At 2^64 - 1 leaves, which no log reaches.
    pub fn push_with(&mut self, leaf_hash: Hash, mut completed: impl FnMut(u8, u64, Hash)) {
        let size = self.size.checked_add(1).expect("no log reaches 2^64 leaves");
        let (mut level, mut index, mut hash) = (0, self.size, leaf_hash);
        completed(level, index, hash);
        while index & 1 == 1 {
            let left = self.nodes.pop().expect("a frontier has one node for each one bit of its size");
            (level, index, hash) = (level + 1, index >> 1, node_hash(&left, &hash));
            completed(level, index, hash);
        }
        self.nodes.push(hash);
        self.size = size;
    }

    /// Root of the log.
    #[must_use]
    pub fn root(&self) -> Hash {
        root_of_peaks(&self.nodes)
    }

    /// Number of leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Roots of the full subtrees that the size falls into, the largest first.
    #[must_use]
    pub fn nodes(&self) -> &[Hash] {
        &self.nodes
    }
}

/// Joins the full subtrees of a ragged tree into its root, from the smallest, rightmost one leftwards.
pub(super) fn root_of_peaks(peaks: &[Hash]) -> Hash {
    peaks.iter().rev().copied().reduce(|right, left| node_hash(&left, &right)).unwrap_or(EMPTY_ROOT)
}
