//! Tiles and entry bundles as they come from a node, before anybody believes them.

use std::ops::Range;

use markstein_proto::{
    Hash, LEAF_MAX,
    log::{leaf_hash, root_of, tile::FULL_WIDTH},
};

/// Longest tile of hashes, in bytes.
pub const TILE_MAX: usize = FULL_WIDTH as usize * 32;
/// Longest entry bundle, in bytes.
pub const BUNDLE_MAX: usize = FULL_WIDTH as usize * (2 + LEAF_MAX);

/// What is wrong with a tile that a node sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TileFault {
    /// Less than its path says.
    #[error("it is too short: {found} of {wanted} are there")]
    Short {
        /// Whole hashes or leaves that are there.
        found: usize,
        /// How many its path says.
        wanted: u16,
    },
    /// More than its path says.
    #[error("it is too long: something follows the {0} that its path says")]
    Long(u16),
    /// Not what the authorities signed.
    #[error("it is of another tree than the one that the authorities signed")]
    AnotherTree,
    /// Not there, though the node's own checkpoint covers it.
    #[error("the node does not have it, though its checkpoint covers it (HTTP {0})")]
    Missing(u16),
}

/// The hashes of a tile of this width.
///
/// # Errors
/// [`TileFault::Short`], [`TileFault::Long`].
pub fn hashes_of(bytes: &[u8], width: u16) -> Result<Vec<Hash>, TileFault> {
    let (hashes, rest) = bytes.as_chunks::<32>();
    match hashes.len().cmp(&usize::from(width)) {
        std::cmp::Ordering::Less => Err(TileFault::Short { found: hashes.len(), wanted: width }),
        std::cmp::Ordering::Equal if rest.is_empty() => Ok(hashes.iter().map(|hash| Hash(*hash)).collect()),
        _ => Err(TileFault::Long(width)),
    }
}

/// The leaves of an entry bundle with their hashes.
#[derive(Clone, Debug)]
pub struct Bundle {
    bytes: Vec<u8>,
    places: Vec<Range<usize>>,
    hashes: Vec<Hash>,
}

impl Bundle {
    /// Takes a bundle of this many leaves apart.
    ///
    /// # Errors
    /// [`TileFault::Short`], [`TileFault::Long`].
    pub fn read(bytes: Vec<u8>, width: u16) -> Result<Self, TileFault> {
        let (mut places, mut hashes) = (Vec::with_capacity(width.into()), Vec::with_capacity(width.into()));
        let mut at = 0;
        for found in 0..usize::from(width) {
            let short = TileFault::Short { found, wanted: width };
            let length = bytes.get(at..).and_then(<[u8]>::first_chunk).ok_or_else(|| short.clone())?;
            let place = at + 2..at + 2 + usize::from(u16::from_be_bytes(*length));
            hashes.push(leaf_hash(bytes.get(place.clone()).ok_or(short)?));
            at = place.end;
            places.push(place);
        }
        if at == bytes.len() { Ok(Self { bytes, places, hashes }) } else { Err(TileFault::Long(width)) }
    }

    /// The hashes of its leaves.
    #[must_use]
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// Root over its leaves.
    #[must_use]
    pub fn root(&self) -> Hash {
        root_of(&self.hashes)
    }

    /// The leaves in order, each with its hash.
    pub fn leaves(&self) -> impl Iterator<Item = (&[u8], Hash)> {
        self.places.iter().zip(&self.hashes).map(|(place, hash)| (&self.bytes[place.clone()], *hash))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_tile_has_as_many_hashes_as_its_path_says() {
        let bytes = [7; 96];
        assert_eq!(hashes_of(&bytes, 3).unwrap(), [Hash([7; 32]); 3]);
        assert_eq!(hashes_of(&bytes, 4), Err(TileFault::Short { found: 3, wanted: 4 }));
        assert_eq!(hashes_of(&bytes[..95], 3), Err(TileFault::Short { found: 2, wanted: 3 }));
        assert_eq!(hashes_of(&bytes, 2), Err(TileFault::Long(2)));
        assert_eq!(hashes_of(&bytes[..65], 2), Err(TileFault::Long(2)));
    }

    #[test]
    fn a_bundle_has_as_many_leaves_as_its_path_says() {
        let bytes = vec![0, 1, b'a', 0, 0, 0, 2, b'b', b'c'];
        let bundle = Bundle::read(bytes.clone(), 3).unwrap();
        let leaves: Vec<_> = bundle.leaves().collect();
        let expected: [&[u8]; 3] = [b"a", b"", b"bc"];
        assert_eq!(leaves, expected.map(|leaf| (leaf, leaf_hash(leaf))));
        assert_eq!(bundle.root(), root_of(bundle.hashes()));
        let read = |bytes: &[u8], width| Bundle::read(bytes.to_vec(), width).unwrap_err();
        assert_eq!(read(&bytes, 2), TileFault::Long(2));
        assert_eq!(read(&bytes, 4), TileFault::Short { found: 3, wanted: 4 });
        for cut in 0..bytes.len() {
            assert!(matches!(read(&bytes[..cut], 3), TileFault::Short { .. }), "{cut}");
        }
    }
}
