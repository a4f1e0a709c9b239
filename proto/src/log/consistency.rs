//! Consistency proofs: the smaller tree is the beginning of the larger one (RFC 6962 section 2.1.2).

use alloc::vec::Vec;

use super::error::expect_len;
use super::{NodeReader, ProofError, ProveError, node_hash, split, subtree_root};
use crate::Hash;

/// The way from the root of the new tree down to the subtree that ends where the old tree ends.
struct Descent {
    /// One bit a step, the lowest for the last step: 1 where the sibling stands on the left.
    left_siblings: u64,
    steps: u32,
}

impl Descent {
    const fn new(old: u64, new: u64) -> Self {
        let (mut end, mut width) = (old, new);
        let mut descent = Self { left_siblings: 0, steps: 0 };
        while end != width {
            let k = split(width);
            let right = end > k;
            (end, width) = if right { (end - k, width - k) } else { (end, k) };
            descent.left_siblings = descent.left_siblings << 1 | right as u64;
            descent.steps += 1;
        }
        descent
    }

    /// The roots of the old and the new tree, from the subtree at the end of the way and what stands beside the way.
    fn roots(&self, seed: &Hash, siblings: &[Hash]) -> (Hash, Hash) {
        let (mut old, mut new) = (*seed, *seed);
        let mut left_siblings = self.left_siblings;
        for sibling in siblings {
            if left_siblings & 1 == 1 {
                (old, new) = (node_hash(sibling, &old), node_hash(sibling, &new));
            } else {
                new = node_hash(&new, sibling);
            }
            left_siblings >>= 1;
        }
        (old, new)
    }

    /// Whether the subtree at the end of the way is the whole old tree, whose root the verifier knows.
    const fn ends_at_whole_old_tree(&self) -> bool {
        self.left_siblings == 0
    }
}

/// Refuses what no consistency proof can be about.
const fn check_sizes(old: u64, new: u64) -> Result<(), ProofError> {
    if old > new {
        Err(ProofError::SizesReversed { old, new })
    } else if old == 0 {
        Err(ProofError::EmptyTree)
    } else {
        Ok(())
    }
}

/// The consistency proof from the tree over the first `old` leaves to that over the first `new`; empty where the two
/// sizes are equal.
///
/// # Errors
/// [`ProofError::SizesReversed`], [`ProofError::EmptyTree`] where `old` is 0, and those of the reader.
pub fn consistency_proof<R: NodeReader + ?Sized>(
    reader: &R,
    old: u64,
    new: u64,
) -> Result<Vec<Hash>, ProveError<R::Error>> {
    check_sizes(old, new)?;
    let mut proof = Vec::new();
    let (mut lo, mut hi) = (0, new);
    while hi != old {
        let mid = lo + split(hi - lo);
        let sibling = if old <= mid {
            (mid, core::mem::replace(&mut hi, mid))
        } else {
            (core::mem::replace(&mut lo, mid), mid)
        };
        proof.push(subtree_root(reader, sibling.0, sibling.1).map_err(ProveError::Reader)?);
    }
    if lo != 0 {
        proof.push(subtree_root(reader, lo, hi).map_err(ProveError::Reader)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Checks that the tree of `size1` leaves with `root1` is the beginning of that of `size2` leaves with `root2`.
///
/// An empty earlier tree is refused, whatever the proof: everything is consistent with it, so a caller that would
/// rely on the answer has made a mistake.
///
/// # Errors
/// [`ProofError::SizesReversed`], [`ProofError::EmptyTree`], [`ProofError::TooShort`], [`ProofError::TooLong`],
/// [`ProofError::RootMismatch`].
pub fn verify_consistency(
    size1: u64,
    root1: &Hash,
    size2: u64,
    root2: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    check_sizes(size1, size2)?;
    let descent = Descent::new(size1, size2);
    let (seed, siblings) = if descent.ends_at_whole_old_tree() {
        (root1, proof)
    } else {
        proof.split_first().ok_or(ProofError::TooShort)?
    };
    expect_len(siblings.len(), descent.steps)?;

    if descent.roots(seed, siblings) == (*root1, *root2) { Ok(()) } else { Err(ProofError::RootMismatch) }
}

/// The root over the first `size1` leaves of the tree of `size2` leaves with `root2`, where a consistency proof shows it.
/// If it is not the root that somebody signed for `size1`, no other proof can link the two: they are two trees.
///
/// Where `size1` is a power of two, a consistency proof does not hold the root that it links, and shows nothing here.
///
/// # Errors
/// Those of [`verify_consistency`].
pub fn earlier_root(size1: u64, size2: u64, root2: &Hash, proof: &[Hash]) -> Result<Hash, ProofError> {
    check_sizes(size1, size2)?;
    let descent = Descent::new(size1, size2);
    if size1 == size2 {
        return if proof.is_empty() { Ok(*root2) } else { Err(ProofError::TooLong) };
    }
    if descent.ends_at_whole_old_tree() {
        return Err(ProofError::TooShort);
    }
    let (seed, siblings) = proof.split_first().ok_or(ProofError::TooShort)?;
    expect_len(siblings.len(), descent.steps)?;
    let (old, new) = descent.roots(seed, siblings);
    if new == *root2 { Ok(old) } else { Err(ProofError::RootMismatch) }
}
