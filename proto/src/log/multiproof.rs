//! One proof for many leaves of one tree, each needed hash given once.
//!
//! Prover and verifier walk the tree in the same order, from the whole tree down, splitting each range as RFC 6962
//! does, left part first. A range that holds none of the leaves is the next hash of the proof; a range that is one
//! leaf is that leaf's hash; any other is the node over its two parts. The proof holds exactly the hashes that the
//! walk asks for. The walk enters at most 2 * 64 ranges for each leaf and never goes deeper than 64.

use alloc::vec::Vec;
use core::slice;

use super::error::in_range;
use super::{NodeReader, ProofError, ProveError, node_hash, split, subtree_root};
use crate::Hash;

/// The hashes that prove the leaves at `indices`, strictly ascending, in the tree over the first `size` leaves.
///
/// # Errors
/// [`ProofError::NoLeaves`], [`ProofError::NotAscending`], [`ProofError::IndexOutOfRange`], and those of the reader.
pub fn prove<R: NodeReader + ?Sized>(
    reader: &R,
    indices: &[u64],
    size: u64,
) -> Result<Vec<Hash>, ProveError<R::Error>> {
    check_indices(indices.iter().copied(), size)?;
    let mut proof = Vec::new();
    prove_range(reader, 0, size, indices, &mut proof).map_err(ProveError::Reader)?;
    Ok(proof)
}

fn prove_range<R: NodeReader + ?Sized>(
    reader: &R,
    lo: u64,
    hi: u64,
    indices: &[u64],
    proof: &mut Vec<Hash>,
) -> Result<(), R::Error> {
    if indices.is_empty() {
        proof.push(subtree_root(reader, lo, hi)?);
        return Ok(());
    }
    if hi - lo == 1 {
        return Ok(());
    }
    let mid = lo + split(hi - lo);
    let (left, right) = indices.split_at(indices.partition_point(|index| *index < mid));
    prove_range(reader, lo, mid, left, proof)?;
    prove_range(reader, mid, hi, right, proof)
}

/// The root that these leaves, `(index, leaf hash)` strictly ascending by index, and their proof lead to.
///
/// # Errors
/// [`ProofError::NoLeaves`], [`ProofError::NotAscending`], [`ProofError::IndexOutOfRange`], [`ProofError::TooShort`],
/// [`ProofError::TooLong`].
pub fn root_from(leaves: &[(u64, Hash)], size: u64, proof: &[Hash]) -> Result<Hash, ProofError> {
    walk(leaves, size, proof, &mut |_, _, _| ())
}

/// The RFC 6962 path of the leaf at `index`, from its sibling upwards, out of the proof of these leaves, of which it
/// must be one; and the root that it leads to. For those who know single paths only.
///
/// # Errors
/// [`ProofError::NoLeaves`] where it is none of them, and those of [`root_from`].
pub fn path_of(
    index: u64,
    leaves: &[(u64, Hash)],
    size: u64,
    proof: &[Hash],
) -> Result<(Vec<Hash>, Hash), ProofError> {
    if leaves.iter().all(|(at, _)| *at != index) {
        return Err(ProofError::NoLeaves);
    }
    let mut path = Vec::new();
    // Parts come from below, so siblings do as well.
    let root = walk(leaves, size, proof, &mut |[lo, mid, hi], left, right| {
        if (lo..mid).contains(&index) {
            path.push(right);
        } else if (mid..hi).contains(&index) {
            path.push(left);
        }
    })?;
    Ok((path, root))
}

/// The root, telling of each node on the way its range, where that is split, and both children.
fn walk(
    leaves: &[(u64, Hash)],
    size: u64,
    proof: &[Hash],
    told: &mut dyn FnMut([u64; 3], Hash, Hash),
) -> Result<Hash, ProofError> {
    check_indices(leaves.iter().map(|(index, _)| *index), size)?;
    let mut rest = proof.iter();
    let root = root_of_range(0, size, leaves, &mut rest, told)?;
    if rest.as_slice().is_empty() { Ok(root) } else { Err(ProofError::TooLong) }
}

fn root_of_range(
    lo: u64,
    hi: u64,
    leaves: &[(u64, Hash)],
    proof: &mut slice::Iter<'_, Hash>,
    told: &mut dyn FnMut([u64; 3], Hash, Hash),
) -> Result<Hash, ProofError> {
    let Some((_, first)) = leaves.first() else {
        return proof.next().copied().ok_or(ProofError::TooShort);
    };
    if hi - lo == 1 {
        return Ok(*first);
    }
    let mid = lo + split(hi - lo);
    let (left, right) = leaves.split_at(leaves.partition_point(|(index, _)| *index < mid));
    let left = root_of_range(lo, mid, left, proof, told)?;
    let right = root_of_range(mid, hi, right, proof, told)?;
    told([lo, mid, hi], left, right);
    Ok(node_hash(&left, &right))
}

/// Checks that all these leaves, `(index, leaf hash)` strictly ascending by index, stand in the tree of `size` leaves
/// with this root. The size must come from where the root comes from, such as a checkpoint.
///
/// # Errors
/// [`ProofError::RootMismatch`], and those of [`root_from`].
pub fn verify(leaves: &[(u64, Hash)], size: u64, proof: &[Hash], root: &Hash) -> Result<(), ProofError> {
    if root_from(leaves, size, proof)? == *root { Ok(()) } else { Err(ProofError::RootMismatch) }
}

/// Refuses an empty list, one out of order or with an index twice, and indices outside the tree.
fn check_indices(indices: impl Iterator<Item = u64>, size: u64) -> Result<(), ProofError> {
    let mut previous = None;
    for index in indices {
        if previous >= Some(index) {
            return Err(ProofError::NotAscending { index });
        }
        in_range(index, size)?;
        previous = Some(index);
    }
    if previous.is_none() { Err(ProofError::NoLeaves) } else { Ok(()) }
}
