//! The tree over the status chunks: sparse, so that what was never changed takes no space.
//!
//! A node is defined for the tree of chunks padded with zero chunks without end, so what is stored for a range does
//! not depend on how long the log was when it was stored. The root for a log of some size is taken over its first
//! `chunk_count` chunks with the splits of RFC 6962, which ask only for nodes whose whole range lies within those
//! chunks. So the padding never enters a root.
//!
//! A change is carried up to the node that holds all chunks of the log at its time, so it costs about log2(size / 128)
//! hashes. Nothing has to be done when the log grows: the nodes above, which are the first of their levels, follow from
//! those below where they are not stored.

use alloc::collections::{BTreeMap, BTreeSet};

use super::{Chunk, Status, chunk_count, chunk_of, zero::ZERO_ROOTS};
use crate::Hash;
use crate::log::{NodeReader, leaf_hash, node_hash, root_at};

/// Level of the highest node: 2^57 chunks hold the status of 2^64 leaves.
pub const TOP_LEVEL: u8 = 57;

/// Gives status chunks and the nodes over them, from wherever they are kept.
pub trait StatusReader {
    /// Why something could not be read.
    type Error;

    /// Chunk number `index`; nothing stored means all valid.
    ///
    /// # Errors
    /// Whatever the store says.
    fn chunk(&self, index: u64) -> Result<Option<Chunk>, Self::Error>;

    /// Root of the full, aligned subtree number `index` of 2^`level` chunks, in the tree padded with zero chunks.
    /// Levels are 1 to [`TOP_LEVEL`]: level 0 follows from the chunk. Nothing stored means that every chunk below is
    /// zero; of the first node of a level it may also mean that the log was shorter when a chunk below was changed.
    ///
    /// # Errors
    /// Whatever the store says.
    fn node(&self, level: u8, index: u64) -> Result<Option<Hash>, Self::Error>;
}

impl<R: StatusReader + ?Sized> StatusReader for &R {
    type Error = R::Error;

    fn chunk(&self, index: u64) -> Result<Option<Chunk>, Self::Error> {
        (**self).chunk(index)
    }

    fn node(&self, level: u8, index: u64) -> Result<Option<Hash>, Self::Error> {
        (**self).node(level, index)
    }
}

/// Root of a full subtree of 2^`level` zero chunks.
///
/// # Panics
/// Above [`TOP_LEVEL`].
#[must_use]
pub const fn zero_root(level: u8) -> Hash {
    ZERO_ROOTS[level as usize]
}

/// The nodes of the status tree for the log maths, with what is not stored filled in.
pub(super) struct Nodes<'a, R: ?Sized>(pub(super) &'a R);

impl<R: StatusReader + ?Sized> Nodes<'_, R> {
    fn stored(&self, level: u8, index: u64) -> Result<Option<Hash>, R::Error> {
        match level {
            0 => Ok(self.0.chunk(index)?.map(|chunk| leaf_hash(&chunk.0))),
            _ => self.0.node(level, index),
        }
    }

    /// The first node of a level, from the highest stored one below it.
    fn first(&self, level: u8) -> Result<Hash, R::Error> {
        for from in (0..=level).rev() {
            if let Some(mut hash) = self.stored(from, 0)? {
                for below in from..level {
                    let right = self.stored(below, 1)?.unwrap_or_else(|| zero_root(below));
                    hash = node_hash(&hash, &right);
                }
                return Ok(hash);
            }
        }
        Ok(zero_root(level))
    }
}

impl<R: StatusReader + ?Sized> NodeReader for Nodes<'_, R> {
    type Error = R::Error;

    fn node(&self, level: u8, index: u64) -> Result<Hash, R::Error> {
        if index == 0 {
            return self.first(level);
        }
        Ok(self.stored(level, index)?.unwrap_or_else(|| zero_root(level)))
    }
}

/// The status root for a log of `log_size` leaves; that of an empty tree where there are none.
///
/// # Errors
/// Those of the reader.
pub fn status_root<R: StatusReader + ?Sized>(reader: &R, log_size: u64) -> Result<Hash, R::Error> {
    root_at(&Nodes(reader), chunk_count(log_size))
}

/// Chunks and nodes that differ from those of a parent state, all to be stored under the same keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusDelta {
    /// Chunks by index.
    pub chunks: BTreeMap<u64, Chunk>,
    /// Nodes by level, 1 to [`TOP_LEVEL`], and index.
    pub nodes: BTreeMap<(u8, u64), Hash>,
}

impl StatusDelta {
    /// Adds a delta made on top of this one: together they are one delta on the parent of this.
    pub fn merge(&mut self, later: Self) {
        self.chunks.extend(later.chunks);
        self.nodes.extend(later.nodes);
    }
}

/// What `changes`, from leaf index to new status, make of the tree behind the reader, for a log of `log_size` leaves:
/// the changed chunks and every node above them, up to the one that holds all chunks of that log. Whether a change is
/// allowed is for the caller to judge. Changes that change nothing leave no trace.
///
/// # Errors
/// Those of the reader.
pub fn apply<R: StatusReader + ?Sized>(
    reader: &R,
    changes: &BTreeMap<u64, Status>,
    log_size: u64,
) -> Result<StatusDelta, R::Error> {
    let chunks = changed_chunks(reader, changes)?;
    let mut nodes = BTreeMap::new();
    let Some(last) = chunks.keys().next_back() else { return Ok(StatusDelta { chunks, nodes }) };
    let top = level_of_all(chunk_count(log_size).max(last + 1));
    let old = Nodes(reader);
    let mut below: BTreeMap<u64, Hash> = chunks.iter().map(|(i, chunk)| (*i, leaf_hash(&chunk.0))).collect();
    for level in 1..=top {
        let child = |index: u64| match below.get(&index) {
            Some(hash) => Ok(*hash),
            None => old.node(level - 1, index),
        };
        let parents: BTreeSet<u64> = below.keys().map(|index| index / 2).collect();
        let join = |index: u64| Ok((index, node_hash(&child(2 * index)?, &child(2 * index + 1)?)));
        let above: BTreeMap<u64, Hash> = parents.into_iter().map(join).collect::<Result<_, _>>()?;
        nodes.extend(above.iter().map(|(index, hash)| ((level, *index), *hash)));
        below = above;
    }
    Ok(StatusDelta { chunks, nodes })
}

/// The level whose first node holds this many chunks, at least one.
const fn level_of_all(chunks: u64) -> u8 {
    (u64::BITS - (chunks - 1).leading_zeros()) as u8
}

/// The chunks that the changes really change, as they are afterwards.
fn changed_chunks<R: StatusReader + ?Sized>(
    reader: &R,
    changes: &BTreeMap<u64, Status>,
) -> Result<BTreeMap<u64, Chunk>, R::Error> {
    let mut chunks = BTreeMap::new();
    let mut changes = changes.iter().peekable();
    while let Some((first, _)) = changes.peek() {
        let (chunk_index, _) = chunk_of(**first);
        let old = reader.chunk(chunk_index)?.unwrap_or(Chunk::ZERO);
        let mut new = old;
        while let Some((index, status)) = changes.next_if(|(index, _)| chunk_of(**index).0 == chunk_index) {
            new.set(chunk_of(*index).1, *status);
        }
        if new != old {
            chunks.insert(chunk_index, new);
        }
    }
    Ok(chunks)
}

/// A state not yet stored: a delta on its parent. The parent may be an overlay itself, also behind
/// `&dyn StatusReader<Error = E>`.
#[derive(Debug)]
pub struct Overlay<'a, R: ?Sized> {
    /// What differs from the parent.
    pub delta: &'a StatusDelta,
    /// The state below.
    pub parent: &'a R,
}

impl<R: StatusReader + ?Sized> StatusReader for Overlay<'_, R> {
    type Error = R::Error;

    fn chunk(&self, index: u64) -> Result<Option<Chunk>, R::Error> {
        match self.delta.chunks.get(&index) {
            Some(chunk) => Ok(Some(*chunk)),
            None => self.parent.chunk(index),
        }
    }

    fn node(&self, level: u8, index: u64) -> Result<Option<Hash>, R::Error> {
        match self.delta.nodes.get(&(level, index)) {
            Some(hash) => Ok(Some(*hash)),
            None => self.parent.node(level, index),
        }
    }
}
