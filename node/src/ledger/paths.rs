//! Paths of records under their batch's root, for callers who ask for one record at a time.
//!
//! A path needs a hash over every other record of the batch. Of batches that were asked for before the upper nodes are
//! kept, so that what is left to hash is the record's own part of at most 64 leaves.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use markstein_proto::{
    Hash, LeafIndex,
    log::{Levels, NodeReader, inclusion_proof, root_of},
};

use super::nodes::TileTrees;
use crate::storage::StorageError;

/// The lowest level that is kept: its nodes cover 64 leaves each.
const KEPT: u8 = 6;
/// Batches kept: some 10 KiB each where a batch has 10,000 records.
const BATCHES_MAX: usize = 2048;

/// Full subtrees of one batch's records, from level [`KEPT`] on.
type Upper = Vec<Vec<Hash>>;

/// The upper nodes of the batches asked for last. A final batch never changes, so they stay true. And the nodes within the
/// log's tiles.
#[derive(Debug, Default)]
pub struct PathCache {
    batches: Mutex<Kept>,
    pub(super) tiles: Arc<TileTrees>,
}

#[derive(Debug, Default)]
struct Kept {
    of: BTreeMap<LeafIndex, Arc<Upper>>,
    /// The oldest first.
    order: VecDeque<LeafIndex>,
}

impl PathCache {
    /// The path of record number `position` of `count` in the batch whose head stands at `head`; `leaves` reads the leaf
    /// hashes of a range of its records.
    pub(super) fn path(
        &self,
        head: LeafIndex,
        (position, count): (u64, u64),
        leaves: impl Fn(u64, u64) -> Result<Vec<Hash>, StorageError>,
    ) -> Result<Vec<Hash>, StorageError> {
        let known = self.kept().of.get(&head).cloned();
        let upper = match known {
            Some(upper) => upper,
            None => self.keep(head, upper_of(leaves(0, count)?)),
        };
        let path = inclusion_proof(&Nodes { upper: &upper, leaves: &leaves }, position, count);
        path.map_err(|e| StorageError::corrupt("tiles", e.to_string()))
    }

    fn keep(&self, head: LeafIndex, upper: Upper) -> Arc<Upper> {
        let upper = Arc::new(upper);
        let mut kept = self.kept();
        if kept.of.insert(head, Arc::clone(&upper)).is_none() {
            kept.order.push_back(head);
        }
        if kept.order.len() > BATCHES_MAX
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.of.remove(&oldest);
        }
        upper
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn upper_of(leaves: Vec<Hash>) -> Upper {
    let count = leaves.len() as u64;
    let levels = Levels::new(leaves);
    let full = |level: u8| (0..count >> level).filter_map(|index| levels.node(level, index).ok()).collect();
    (KEPT..64).map(full).take_while(|nodes: &Vec<Hash>| !nodes.is_empty()).collect()
}

/// Upper nodes from memory, lower ones from the leaves.
struct Nodes<'a, L> {
    upper: &'a Upper,
    leaves: &'a L,
}

impl<L: Fn(u64, u64) -> Result<Vec<Hash>, StorageError>> NodeReader for Nodes<'_, L> {
    type Error = StorageError;

    fn node(&self, level: u8, index: u64) -> Result<Hash, StorageError> {
        let Some(kept) = level.checked_sub(KEPT) else {
            return Ok(root_of((self.leaves)(index << level, (index + 1) << level)?));
        };
        let node =
            usize::try_from(index).ok().and_then(|index| self.upper.get(usize::from(kept))?.get(index));
        node.copied().ok_or_else(|| StorageError::corrupt("tiles", "a subtree of a batch is not there"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn hashes(count: u64) -> Vec<Hash> {
        (0..count).map(|number| Hash::of(&[&number.to_be_bytes()])).collect()
    }

    #[test]
    fn paths_are_those_of_the_whole_tree_and_read_little_the_second_time() {
        for count in [1, 2, 3, 63, 64, 65, 127, 128, 129, 1000, 4097, 10_000] {
            let (cache, all) = (PathCache::default(), hashes(count));
            let levels = Levels::new(all.clone());
            let read = Cell::new(0);
            let leaves = |from: u64, to: u64| {
                read.set(read.get() + (to - from));
                Ok(all[from as usize..to as usize].to_vec())
            };
            for position in [0, 1, count / 3, count / 2, count - 1].into_iter().filter(|at| *at < count) {
                read.set(0);
                let path = cache.path(LeafIndex(7), (position, count), leaves).unwrap();
                assert_eq!(path, levels.path(position).unwrap(), "{position} of {count}");
                assert!(position == 0 || read.get() <= 2 * 64, "{} leaves read", read.get());
            }
        }
    }

    #[test]
    fn it_keeps_so_many_and_no_more() {
        let cache = PathCache::default();
        let all = hashes(70);
        let leaves = |from: u64, to: u64| Ok(all[from as usize..to as usize].to_vec());
        for head in 0..BATCHES_MAX as u64 + 10 {
            cache.path(LeafIndex(head), (3, 70), leaves).unwrap();
        }
        let kept = cache.kept();
        assert_eq!((kept.of.len(), kept.order.len()), (BATCHES_MAX, BATCHES_MAX));
        assert!(!kept.of.contains_key(&LeafIndex(9)) && kept.of.contains_key(&LeafIndex(10)));
    }
}
