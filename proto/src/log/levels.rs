//! A tree held in memory, for the records of one batch: built once, then any number of paths.

use alloc::vec::Vec;

use super::{NodeReader, ProveError, inclusion_proof, node_hash, root_at};
use crate::Hash;

/// Every full subtree over a list of leaf hashes, level by level: two hashes a leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Levels(Vec<Vec<Hash>>);

/// A node that lies outside the tree in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tree has no full subtree {index} at level {level}")]
pub struct MissingNode {
    /// Level asked for.
    pub level: u8,
    /// Index asked for.
    pub index: u64,
}

impl Levels {
    /// The tree over these leaf hashes.
    #[must_use]
    pub fn new(leaves: Vec<Hash>) -> Self {
        let mut levels = Vec::new();
        let mut below = leaves;
        while below.len() > 1 {
            let above = below.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
            levels.push(core::mem::replace(&mut below, above));
        }
        levels.push(below);
        Self(levels)
    }

    /// The leaf hashes.
    #[must_use]
    pub fn leaves(&self) -> &[Hash] {
        &self.0[0]
    }

    /// Number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.leaves().len() as u64
    }

    /// Root over all leaves.
    #[must_use]
    pub fn root(&self) -> Hash {
        root_at(self, self.size()).expect("all full subtrees of a tree in memory are there")
    }

    /// The inclusion proof of leaf `index` under [`Levels::root`].
    ///
    /// # Errors
    /// [`super::ProofError::IndexOutOfRange`].
    pub fn path(&self, index: u64) -> Result<Vec<Hash>, ProveError<MissingNode>> {
        inclusion_proof(self, index, self.size())
    }
}

impl NodeReader for Levels {
    type Error = MissingNode;

    fn node(&self, level: u8, index: u64) -> Result<Hash, MissingNode> {
        let nodes = self.0.get(usize::from(level));
        let node = nodes.and_then(|nodes| nodes.get(usize::try_from(index).ok()?));
        node.copied().ok_or(MissingNode { level, index })
    }
}

/// The inclusion proof of one leaf in the tree over these leaf hashes (`PATH` of RFC 6962). Where more than one path
/// is wanted, [`Levels`] hashes the tree only once.
///
/// # Errors
/// [`super::ProofError::IndexOutOfRange`].
pub fn path(leaves: &[Hash], index: u64) -> Result<Vec<Hash>, ProveError<MissingNode>> {
    Levels::new(leaves.to_vec()).path(index)
}
