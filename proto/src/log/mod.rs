//! The maths of the log: an RFC 6962 section 2.1 Merkle tree over SHA-256.
//!
//! Nothing here knows a store. What makes proofs reads full subtrees through [`NodeReader`]; what checks proofs takes
//! only hashes and numbers, allocates nothing in proportion to a number it was told, and never goes deeper than 64.
//! Every index and size is a plain `u64`, because the same maths serves the log, the records of a batch and the
//! chunks of the status tree.

mod consistency;
mod error;
mod frontier;
mod inclusion;
mod levels;
pub mod multiproof;
pub mod tile;

#[cfg(test)]
pub(crate) mod tests;

use alloc::vec::Vec;
use core::borrow::Borrow;

pub use consistency::{consistency_proof, earlier_root, verify_consistency};
pub use error::{ProofError, ProveError};
pub use frontier::{Frontier, FrontierError};
pub use inclusion::{inclusion_proof, root_from_inclusion, verify_inclusion};
pub use levels::{Levels, MissingNode, path};

use crate::Hash;

/// Root of a tree without leaves: SHA-256 of nothing.
pub const EMPTY_ROOT: Hash = Hash([
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27,
    0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
]);

/// Gives the roots of full subtrees, from wherever they are kept.
pub trait NodeReader {
    /// Why a node could not be read.
    type Error;

    /// Root of the full, aligned subtree number `index` of 2^`level` leaves: leaves `index * 2^level` up to, not
    /// including, `(index + 1) * 2^level`. Level 0 is the leaf hash. Only asked for ranges that lie wholly inside
    /// the tree.
    ///
    /// # Errors
    /// Whatever the store says.
    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error>;
}

impl<R: NodeReader + ?Sized> NodeReader for &R {
    type Error = R::Error;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        (**self).node(level, index)
    }
}

/// Hash of a leaf: SHA-256 over a zero byte and the leaf's bytes.
#[must_use]
pub fn leaf_hash(bytes: &[u8]) -> Hash {
    #[cfg(test)]
    tests::count_hash();
    Hash::of(&[&[0x00], bytes])
}

/// Hash of an inner node: SHA-256 over a one byte and the hashes of both children.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    #[cfg(test)]
    tests::count_hash();
    Hash::of(&[&[0x01], &left.0, &right.0])
}

/// Root of the tree over these leaf hashes, in order.
#[must_use]
pub fn root_of<I>(leaves: I) -> Hash
where
    I: IntoIterator,
    I::Item: Borrow<Hash>,
{
    let mut frontier = Frontier::new();
    for leaf in leaves {
        frontier.push(*leaf.borrow());
    }
    frontier.root()
}

/// Root of the tree over the first `size` leaves.
///
/// # Errors
/// Those of the reader.
pub fn root_at<R: NodeReader + ?Sized>(reader: &R, size: u64) -> Result<Hash, R::Error> {
    subtree_root(reader, 0, size)
}

/// Root of the tree over the leaves `lo..hi` alone, full or ragged.
///
/// # Errors
/// Those of the reader.
///
/// # Panics
/// Where `lo` is beyond `hi`, or not a multiple of the largest power of two that is not above `hi - lo`. The ranges
/// that RFC 6962 comes to by splitting a tree all begin at such a place.
pub fn subtree_root<R: NodeReader + ?Sized>(reader: &R, lo: u64, hi: u64) -> Result<Hash, R::Error> {
    Ok(frontier::root_of_peaks(&peaks(reader, lo, hi)?))
}

/// Roots of the full subtrees that `lo..hi` falls into, the largest first.
fn peaks<R: NodeReader + ?Sized>(reader: &R, lo: u64, hi: u64) -> Result<Vec<Hash>, R::Error> {
    assert!(lo <= hi, "the range {lo}..{hi} runs backwards");
    let aligned = lo == hi || lo.is_multiple_of(1 << (hi - lo).ilog2());
    assert!(aligned, "the range {lo}..{hi} does not begin at a subtree of its width");

    let mut peaks = Vec::with_capacity((hi - lo).count_ones() as usize);
    let mut at = lo;
    while at < hi {
        let level = (hi - at).ilog2();
        peaks.push(reader.node(level as u8, at >> level)?);
        at += 1 << level;
    }
    Ok(peaks)
}

/// Where RFC 6962 splits a tree of `width` leaves, at least two: the largest power of two smaller than the width.
const fn split(width: u64) -> u64 {
    1 << (width - 1).ilog2()
}
