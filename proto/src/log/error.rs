//! Errors of the log maths, split by blame: a bad proof or request, or a reader that failed.

/// Why a proof does not prove what it is said to, or why no such proof can exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The index names no leaf of the tree.
    #[error("leaf {index} is not in a tree of {size} leaves")]
    IndexOutOfRange {
        /// The leaf asked for.
        index: u64,
        /// Number of leaves of the tree.
        size: u64,
    },
    /// Consistency is from a smaller tree to a larger one.
    #[error("a tree of {old} leaves cannot grow into one of {new}")]
    SizesReversed {
        /// Size of the tree said to be the earlier.
        old: u64,
        /// Size of the tree said to be the later.
        new: u64,
    },
    /// Every tree is consistent with the empty one, so a proof of it would prove nothing.
    #[error("consistency with an empty tree proves nothing")]
    EmptyTree,
    /// A proof about no leaf at all.
    #[error("a proof needs at least one leaf")]
    NoLeaves,
    /// The leaves of a multiproof are not in strictly ascending order.
    #[error("leaf {index} stands after one with a greater or equal index")]
    NotAscending {
        /// The first leaf out of order.
        index: u64,
    },
    /// The proof has fewer hashes than the tree needs.
    #[error("the proof has too few hashes")]
    TooShort,
    /// The proof has more hashes than the tree needs.
    #[error("the proof has too many hashes")]
    TooLong,
    /// The proof leads to another root.
    #[error("the proof does not lead to this root")]
    RootMismatch,
    /// The last chunk of the status tree says something about leaves that do not exist.
    #[error("the status chunk has bits set for leaves that are not in the log")]
    StatusBeyondLog,
    /// The proof carries other status chunks than those that hold the leaves in question.
    #[error("the proof has other status chunks than those of its leaves")]
    OtherChunks,
}

/// Why a proof could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProveError<E> {
    /// The caller asked for what cannot be proven.
    #[error("there is no such proof")]
    Request(#[from] ProofError),
    /// The tree could not be read.
    #[error("the tree could not be read")]
    Reader(#[source] E),
}

/// Refuses an index that names no leaf.
pub(crate) const fn in_range(index: u64, size: u64) -> Result<(), ProofError> {
    if index < size { Ok(()) } else { Err(ProofError::IndexOutOfRange { index, size }) }
}

/// Refuses a proof that has not exactly the number of hashes the tree needs.
pub(crate) const fn expect_len(found: usize, expected: u32) -> Result<(), ProofError> {
    let expected = expected as usize;
    if found < expected {
        Err(ProofError::TooShort)
    } else if found > expected {
        Err(ProofError::TooLong)
    } else {
        Ok(())
    }
}
