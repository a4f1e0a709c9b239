//! The Merkle tiles of the log, as in C2SP tlog-tiles: 256 hashes a tile, written as the log grows.

use std::collections::BTreeMap;

use markstein_proto::{
    Hash, LeafIndex, LogSize,
    log::{
        ProveError, consistency_proof,
        tile::{EntryBundle, FULL_WIDTH, Tile, TileNodes, TileReadError, TileReader},
    },
};

use super::leaves_from;
use crate::storage::{Read, StorageError, Writes, tables::Tiles};

/// The tiles of a store or a snapshot, for the log maths.
#[derive(Debug)]
pub struct StoredTiles<'a, R>(pub &'a R);

impl<R: Read> TileReader for StoredTiles<'_, R> {
    type Error = StorageError;

    fn tile(&self, level: u8, index: u64) -> Result<Vec<u8>, StorageError> {
        self.0.get::<Tiles>(&(level, index))?.ok_or_else(|| {
            StorageError::corrupt("tiles", format!("tile {index} of level {level} is missing"))
        })
    }
}

/// Appends hashes (tile level, index within the level, hash; each level in order) to the stored tiles.
pub(super) fn append<R: Read>(
    read: &R,
    hashes: &[(u8, u64, Hash)],
    writes: &mut Writes,
) -> Result<(), StorageError> {
    let width = u64::from(FULL_WIDTH);
    let mut grown: BTreeMap<(u8, u64), Vec<u8>> = BTreeMap::new();
    for &(level, index, hash) in hashes {
        let key = (level, index / width);
        let tile = match grown.entry(key) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(read.get::<Tiles>(&key)?.unwrap_or_default())
            }
        };
        if tile.len() as u64 != index % width * 32 {
            return Err(StorageError::corrupt("tiles", format!("tile {} of level {level} has a gap", key.1)));
        }
        tile.extend_from_slice(&hash.0);
    }
    for (key, tile) in &grown {
        writes.put::<Tiles>(key, tile);
    }
    Ok(())
}

/// RFC 6962 proof that the log of `new` leaves extends that of `old`.
///
/// # Errors
/// A request for what cannot be proven, or the store's.
pub fn consistency<R: Read>(
    read: &R,
    old: LogSize,
    new: LogSize,
) -> Result<Vec<Hash>, ProveError<TileReadError<StorageError>>> {
    consistency_proof(&TileNodes(StoredTiles(read)), old.0, new.0)
}

/// The bytes of a tile as a log of `size` leaves has it, or nothing where it has fewer hashes there. A tile that has grown
/// since is cut to the width asked for: its first hashes never change.
///
/// # Errors
/// The store's.
pub fn tile_bytes<R: Read>(read: &R, tile: Tile, size: LogSize) -> Result<Option<Vec<u8>>, StorageError> {
    let Tile { level, index, width } = tile;
    if Tile::in_log(level, index, size.0).is_none_or(|there| there.width < width) {
        return Ok(None);
    }
    let mut bytes = StoredTiles(read).tile(level, index)?;
    let length = usize::from(width) * size_of::<Hash>();
    if bytes.len() < length {
        return Err(StorageError::corrupt("tiles", format!("tile {index} of level {level} is too short")));
    }
    bytes.truncate(length);
    Ok(Some(bytes))
}

/// The bytes of an entry bundle, each leaf after its length in two bytes, as a log of `size` leaves has it; or nothing
/// where it has fewer leaves there.
///
/// # Errors
/// The store's.
pub fn bundle_bytes<R: Read>(
    read: &R,
    bundle: EntryBundle,
    size: LogSize,
) -> Result<Option<Vec<u8>>, StorageError> {
    let EntryBundle { index, width } = bundle;
    if EntryBundle::in_log(index, size.0).is_none_or(|there| there.width < width) {
        return Ok(None);
    }
    let first = LeafIndex(index * u64::from(FULL_WIDTH)); // within the log, so within 64 bits
    let leaves = leaves_from(read, first, usize::from(width), usize::MAX)?;
    if leaves.len() != usize::from(width) {
        return Err(StorageError::corrupt("batches", format!("entry bundle {index} has a gap")));
    }
    let mut bytes = Vec::with_capacity(leaves.iter().map(|(_, leaf)| 2 + leaf.len()).sum());
    for (at, leaf) in leaves {
        let length =
            u16::try_from(leaf.len()) // a leaf has 16 KiB at most
                .map_err(|_| StorageError::corrupt("batches", format!("leaf {at} is too long")))?;
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&leaf);
    }
    Ok(Some(bytes))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use markstein_proto::log::{leaf_hash, root_of, tile::NodePlace};

    use super::*;
    use crate::storage::{Db, Durability, MemoryStore};

    /// The tiles of a log of so many made-up leaves, stored in pieces as blocks would.
    fn stored(size: u64) -> Db {
        let db = Db::new(Arc::new(MemoryStore::new()));
        let mut log = markstein_proto::log::Frontier::new();
        while log.size() < size {
            let mut hashes = Vec::new();
            for index in log.size()..size.min(log.size() + 10_007) {
                log.push_with(leaf(index), |level, index, hash| {
                    if level % 8 == 0 {
                        hashes.push((NodePlace::of(level, index).tile_level, index, hash));
                    }
                });
            }
            let mut writes = Writes::new();
            append(&db.snapshot(), &hashes, &mut writes).unwrap();
            db.commit(writes, Durability::Unsynced).unwrap();
        }
        db
    }

    fn leaf(index: u64) -> Hash {
        leaf_hash(&index.to_be_bytes())
    }

    /// Hash number `index` of a tile level, from the leaves.
    fn expected(level: u8, index: u64) -> Hash {
        let width = 1_u64 << (8 * level);
        root_of((index * width..(index + 1) * width).map(leaf))
    }

    #[test]
    fn tiles_end_where_the_log_does_at_every_edge() {
        let db = stored(65_537);
        let view = db.snapshot();
        for size in [1_u64, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537] {
            for level in 0..=3_u8 {
                let count = size >> (8 * u32::from(level));
                for index in [0, 1, 254, 255, 256] {
                    let there = count.saturating_sub(index * 256).min(256) as u16;
                    for width in [1, there.saturating_sub(1), there, there + 1, 256] {
                        if !(1..=256).contains(&width) {
                            continue;
                        }
                        let tile = tile_bytes(&view, Tile { level, index, width }, LogSize(size)).unwrap();
                        assert_eq!(tile.is_some(), width <= there, "{size}: {level}/{index}.p/{width}");
                        let Some(tile) = tile else { continue };
                        assert_eq!(tile.len(), usize::from(width) * 32);
                        let last = expected(level, index * 256 + u64::from(width) - 1);
                        assert_eq!(tile[tile.len() - 32..], last.0, "{size}: {level}/{index}.p/{width}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_stored_tile_that_is_short_or_missing_is_damage_and_not_an_answer() {
        let db = stored(300);
        let mut writes = Writes::new();
        writes.put::<Tiles>(&(0, 1), &vec![0; 32]);
        writes.delete::<Tiles>(&(0, 0));
        db.commit(writes, Durability::Unsynced).unwrap();
        let view = db.snapshot();
        for (index, width) in [(0, 256), (1, 44)] {
            assert!(tile_bytes(&view, Tile { level: 0, index, width }, LogSize(300)).is_err());
        }
        assert!(bundle_bytes(&view, EntryBundle { index: 0, width: 1 }, LogSize(300)).is_err());
    }
}
