//! Inclusion proofs: one leaf is in the tree at this index (RFC 6962 section 2.1.1).

use alloc::vec::Vec;

use super::error::{expect_len, in_range};
use super::{NodeReader, ProofError, ProveError, node_hash, split, subtree_root};
use crate::Hash;

/// The way from the root down to one leaf: on which side its sibling stands at each step.
struct Descent {
    /// One bit a step, the lowest for the step next to the leaf: 1 where the sibling stands on the left.
    left_siblings: u64,
    steps: u32,
}

impl Descent {
    /// The way to leaf `index` of `size`; the index is in range.
    const fn new(index: u64, size: u64) -> Self {
        let (mut offset, mut width) = (index, size);
        let mut descent = Self { left_siblings: 0, steps: 0 };
        while width > 1 {
            let k = split(width);
            let right = offset >= k;
            (offset, width) = if right { (offset - k, width - k) } else { (offset, k) };
            descent.left_siblings = descent.left_siblings << 1 | right as u64;
            descent.steps += 1;
        }
        descent
    }
}

/// The inclusion proof of leaf `index` in the tree over the first `size` leaves: siblings, the lowest first.
///
/// # Errors
/// [`ProofError::IndexOutOfRange`], and those of the reader.
pub fn inclusion_proof<R: NodeReader + ?Sized>(
    reader: &R,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, ProveError<R::Error>> {
    in_range(index, size)?;
    let mut proof = Vec::new();
    let (mut lo, mut hi) = (0, size);
    while hi - lo > 1 {
        let mid = lo + split(hi - lo);
        let sibling = if index < mid {
            (mid, core::mem::replace(&mut hi, mid))
        } else {
            (core::mem::replace(&mut lo, mid), mid)
        };
        proof.push(subtree_root(reader, sibling.0, sibling.1).map_err(ProveError::Reader)?);
    }
    proof.reverse();
    Ok(proof)
}

/// The root that this leaf and its inclusion proof lead to.
///
/// # Errors
/// [`ProofError::IndexOutOfRange`]; [`ProofError::TooShort`] or [`ProofError::TooLong`] where the proof has not
/// exactly the number of hashes that this index and size need.
pub fn root_from_inclusion(
    leaf_hash: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
) -> Result<Hash, ProofError> {
    in_range(index, size)?;
    let Descent { mut left_siblings, steps } = Descent::new(index, size);
    expect_len(proof.len(), steps)?;
    let mut hash = *leaf_hash;
    for sibling in proof {
        hash = if left_siblings & 1 == 1 { node_hash(sibling, &hash) } else { node_hash(&hash, sibling) };
        left_siblings >>= 1;
    }
    Ok(hash)
}

/// Checks that the leaf stands at `index` in the tree of `size` leaves with this root.
///
/// The size must come from where the root comes from, such as a checkpoint: a proof alone does not tell apart all
/// sizes.
///
/// # Errors
/// [`ProofError::RootMismatch`], and those of [`root_from_inclusion`].
pub fn verify_inclusion(
    leaf_hash: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    if root_from_inclusion(leaf_hash, index, size, proof)? == *root {
        Ok(())
    } else {
        Err(ProofError::RootMismatch)
    }
}
