//! The Merkle tiles of the log, as in C2SP tlog-tiles: 256 hashes a tile, written as the log grows.

use std::collections::BTreeMap;

use markstein_proto::{
    Hash, LogSize,
    log::{
        ProveError, consistency_proof,
        tile::{FULL_WIDTH, TileNodes, TileReadError, TileReader},
    },
};

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
