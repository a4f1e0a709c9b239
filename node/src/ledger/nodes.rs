//! Nodes of the log's tree for proofs: each tile is read and hashed up once, and not again for each node in it.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use markstein_proto::{
    Hash,
    log::{
        Levels, NodeReader,
        tile::{FULL_WIDTH, NodePlace, TileReader},
    },
};

use super::StoredTiles;
use crate::storage::{Read, StorageError};

/// Full tiles of leaf hashes that are kept, and of those above: 16 KiB each.
const LEAF_TILES_MAX: usize = 256;
const UPPER_TILES_MAX: usize = 256;

/// Level and index of a tile.
type Place = (u8, u64);

/// All nodes within the full tiles that were asked for last. A full tile never changes, so they stay true.
#[derive(Debug, Default)]
pub(super) struct TileTrees([Mutex<Kept>; 2]);

#[derive(Debug, Default)]
struct Kept {
    of: BTreeMap<Place, Arc<Levels>>,
    /// The oldest first.
    order: VecDeque<Place>,
}

impl TileTrees {
    fn get(&self, place: Place) -> Option<Arc<Levels>> {
        self.kept(place).of.get(&place).cloned()
    }

    fn keep(&self, place: Place, tree: &Arc<Levels>) {
        let max = if place.0 == 0 { LEAF_TILES_MAX } else { UPPER_TILES_MAX };
        let mut kept = self.kept(place);
        if kept.of.insert(place, Arc::clone(tree)).is_none() {
            kept.order.push_back(place);
        }
        if kept.order.len() > max
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.of.remove(&oldest);
        }
    }

    /// Tiles of leaves apart, of which there are many, so that they do not drive out the few above.
    fn kept(&self, (level, _): Place) -> MutexGuard<'_, Kept> {
        self.0[usize::from(level > 0)].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The nodes of the log as `read` has it, for one proof or a few.
#[derive(Debug)]
pub(super) struct TreeNodes<'a, R> {
    tiles: StoredTiles<'a, R>,
    full: &'a TileTrees,
    /// Tiles that were read here, the partial ones among them.
    here: RefCell<BTreeMap<Place, Arc<Levels>>>,
}

impl<'a, R: Read> TreeNodes<'a, R> {
    pub(super) const fn new(read: &'a R, full: &'a TileTrees) -> Self {
        Self { tiles: StoredTiles(read), full, here: RefCell::new(BTreeMap::new()) }
    }

    fn tree(&self, place: Place) -> Result<Arc<Levels>, StorageError> {
        if let Some(tree) = self.here.borrow().get(&place) {
            return Ok(Arc::clone(tree));
        }
        let tree = match self.full.get(place) {
            Some(tree) => tree,
            None => self.read(place)?,
        };
        self.here.borrow_mut().insert(place, Arc::clone(&tree));
        Ok(tree)
    }

    fn read(&self, (level, index): Place) -> Result<Arc<Levels>, StorageError> {
        let bytes = self.tiles.tile(level, index)?;
        let (hashes, rest) = bytes.as_chunks::<32>();
        if !rest.is_empty() || hashes.len() > usize::from(FULL_WIDTH) {
            return Err(StorageError::corrupt("tiles", format!("tile {index} of level {level} is none")));
        }
        let tree = Arc::new(Levels::new(hashes.iter().map(|hash| Hash(*hash)).collect()));
        if hashes.len() == usize::from(FULL_WIDTH) {
            self.full.keep((level, index), &tree);
        }
        Ok(tree)
    }
}

impl<R: Read> NodeReader for TreeNodes<'_, R> {
    type Error = StorageError;

    fn node(&self, level: u8, index: u64) -> Result<Hash, StorageError> {
        let NodePlace { tile_level, tile_index, start, count } = NodePlace::of(level, index);
        let tree = self.tree((tile_level, tile_index))?;
        let node = tree.node(count.ilog2() as u8, u64::from(start / count));
        node.map_err(|_| {
            StorageError::corrupt("tiles", format!("tile {tile_index} of level {tile_level} is too short"))
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use markstein_proto::log::{leaf_hash, root_of};

    use super::*;
    use crate::storage::{Db, Durability, MemoryStore, Writes, tables::Tiles};

    fn leaves(count: u64) -> Vec<Hash> {
        (0..count).map(|number| leaf_hash(&number.to_be_bytes())).collect()
    }

    /// The tiles of these leaves.
    fn stored(leaves: &[Hash]) -> Db {
        let db = Db::new(Arc::new(MemoryStore::new()));
        let (mut level, mut hashes) = (0, leaves.to_vec());
        while !hashes.is_empty() {
            let mut writes = Writes::new();
            for (index, tile) in hashes.chunks(256).enumerate() {
                let bytes = tile.iter().flat_map(|hash| hash.0).collect();
                writes.put::<Tiles>(&(level, index as u64), &bytes);
            }
            db.commit(writes, Durability::Unsynced).unwrap();
            hashes = hashes.chunks_exact(256).map(root_of).collect();
            level += 1;
        }
        db
    }

    #[test]
    fn nodes_are_those_of_the_whole_tree() {
        let all = leaves(66_000);
        let (db, whole) = (stored(&all), Levels::new(all));
        let (view, full) = (db.snapshot(), TileTrees::default());
        for _ in 0..2 {
            let nodes = TreeNodes::new(&view, &full);
            for (level, index) in
                [(0, 0), (0, 65_999), (3, 8_249), (7, 514), (8, 256), (8, 3), (11, 31), (15, 1), (16, 0)]
            {
                assert_eq!(nodes.node(level, index).unwrap(), whole.node(level, index).unwrap());
            }
            assert!(nodes.node(0, 66_000).is_err() && nodes.node(8, 257).is_err());
        }
    }

    #[test]
    fn a_partial_tile_is_read_again_once_it_has_grown_and_only_so_many_full_ones_are_kept() {
        let all = leaves((LEAF_TILES_MAX as u64 + 3) * 256 + 10);
        let (few, many) = (stored(&all[..300]), stored(&all));
        let full = TileTrees::default();
        let (few, many) = (few.snapshot(), many.snapshot());
        assert!(TreeNodes::new(&few, &full).node(0, 511).is_err());
        let nodes = TreeNodes::new(&many, &full);
        assert_eq!(nodes.node(0, 511).unwrap(), all[511]);
        for tile in 0..LEAF_TILES_MAX as u64 + 3 {
            nodes.node(7, 2 * tile).unwrap();
        }
        let kept = full.kept((0, 0));
        assert_eq!((kept.of.len(), kept.order.len()), (LEAF_TILES_MAX, LEAF_TILES_MAX));
    }
}
