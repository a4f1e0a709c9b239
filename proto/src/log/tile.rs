//! Where the nodes of the log stand in C2SP tlog-tiles of height 8, and the paths under which tiles are served.
//!
//! A tile of level `l` holds up to 256 consecutive roots of full subtrees of 256^l leaves. The levels between two
//! tile levels are not stored: they are hashed up from the tile below ([`node_from_tile`]). Binary levels, as in
//! [`NodeReader`], are eight times as many as tile levels.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{NodeReader, root_of};
use crate::Hash;

/// Binary levels spanned by one tile.
pub const HEIGHT: u8 = 8;
/// Hashes in a full tile, leaves in a full entry bundle.
pub const FULL_WIDTH: u16 = 1 << HEIGHT;
/// Bytes of one hash in a tile.
const HASH_LEN: usize = 32;
/// The greatest tile level a path may name.
const LEVEL_MAX: u8 = 63;

/// A tile of hashes, full or partial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    /// Tile level; level 0 holds leaf hashes.
    pub level: u8,
    /// Position among the tiles of its level.
    pub index: u64,
    /// Number of hashes, 1 to 256.
    pub width: u16,
}

/// An entry bundle, full or partial: the leaves of the level 0 tile with the same index and width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryBundle {
    /// Position among the bundles.
    pub index: u64,
    /// Number of leaves, 1 to 256.
    pub width: u16,
}

/// The path is none that the tlog-tiles specification allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not the path of a tile")]
pub struct TilePathError;

impl Tile {
    /// The tile as a log of `size` leaves has it, or nothing where such a log has no hash in it.
    #[must_use]
    pub fn in_log(level: u8, index: u64, size: u64) -> Option<Self> {
        let hashes = size.checked_shr(u32::from(level) * u32::from(HEIGHT))?;
        Some(Self { level, index, width: width_at(index, hashes)? })
    }

    /// Path below the prefix of the log: `tile/<L>/<N>`, and `.p/<W>` where the tile is partial.
    #[must_use]
    pub fn path(&self) -> String {
        format!("tile/{}/{}", self.level, numbered(self.index, self.width))
    }

    /// Reads what [`Tile::path`] writes, and nothing else.
    ///
    /// # Errors
    /// [`TilePathError`] for anything but the one spelling of a tile's path.
    pub fn parse(path: &str) -> Result<Self, TilePathError> {
        let (level, rest) =
            path.strip_prefix("tile/").and_then(|p| p.split_once('/')).ok_or(TilePathError)?;
        let level = level.parse().map_err(|_| TilePathError)?;
        let (index, width) = parse_numbered(rest).ok_or(TilePathError)?;
        let tile = Self { level, index, width };
        if level <= LEVEL_MAX && tile.path() == path { Ok(tile) } else { Err(TilePathError) }
    }
}

impl EntryBundle {
    /// The bundle as a log of `size` leaves has it, or nothing where such a log has no leaf in it.
    #[must_use]
    pub fn in_log(index: u64, size: u64) -> Option<Self> {
        Some(Self { index, width: width_at(index, size)? })
    }

    /// Path below the prefix of the log: `tile/entries/<N>`, and `.p/<W>` where the bundle is partial.
    #[must_use]
    pub fn path(&self) -> String {
        format!("tile/entries/{}", numbered(self.index, self.width))
    }

    /// Reads what [`EntryBundle::path`] writes, and nothing else.
    ///
    /// # Errors
    /// [`TilePathError`] for anything but the one spelling of a bundle's path.
    pub fn parse(path: &str) -> Result<Self, TilePathError> {
        let rest = path.strip_prefix("tile/entries/").ok_or(TilePathError)?;
        let (index, width) = parse_numbered(rest).ok_or(TilePathError)?;
        let bundle = Self { index, width };
        if bundle.path() == path { Ok(bundle) } else { Err(TilePathError) }
    }
}

/// How many of `count` hashes or leaves stand in tile `index` of their level, if any.
fn width_at(index: u64, count: u64) -> Option<u16> {
    let full = u64::from(FULL_WIDTH);
    let rest = count.checked_sub(index.checked_mul(full)?)?;
    u16::try_from(rest.min(full)).ok().filter(|width| *width > 0)
}

/// `<N>[.p/<W>]`: the index in groups of three digits, all but the last with an `x` before them.
fn numbered(index: u64, width: u16) -> String {
    let mut path = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    if width < FULL_WIDTH { format!("{path}.p/{width}") } else { path }
}

/// Index and width of `<N>[.p/<W>]`; callers write the path again and compare, so spelling is not checked here.
fn parse_numbered(path: &str) -> Option<(u64, u16)> {
    let (index, width) = match path.split_once(".p/") {
        Some((index, width)) => (index, width.parse().ok().filter(|w| (1..FULL_WIDTH).contains(w))?),
        None => (path, FULL_WIDTH),
    };
    let index = index.split('/').try_fold(0_u64, |sum, group| {
        let digits: u64 = group.trim_start_matches('x').parse().ok()?;
        sum.checked_mul(1000)?.checked_add(digits)
    })?;
    Some((index, width))
}

/// Where a node of the binary tree stands in the tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodePlace {
    /// Level of the tile.
    pub tile_level: u8,
    /// Index of the tile.
    pub tile_index: u64,
    /// First hash of the tile that the node spans.
    pub start: u16,
    /// How many hashes of the tile it spans: 1, 2, 4 … 128.
    pub count: u16,
}

impl NodePlace {
    /// The place of the root of full subtree `index` of 2^`level` leaves.
    #[must_use]
    pub const fn of(level: u8, index: u64) -> Self {
        let above = level % HEIGHT;
        let count = 1 << above;
        let in_tile = (index & (0xff >> above)) as u16;
        Self {
            tile_level: level / HEIGHT,
            tile_index: index >> (HEIGHT - above),
            start: in_tile * count,
            count,
        }
    }
}

/// Bytes that should be a tile are none, or lack the hash asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TileError {
    /// Not a whole number of hashes, or more than 256.
    #[error("a tile has up to 256 hashes of 32 bytes, this one has {bytes} bytes")]
    Length {
        /// Length of the tile.
        bytes: usize,
    },
    /// The tile ends before the node asked for.
    #[error("the tile has {found} hashes, {needed} are needed")]
    TooShort {
        /// Hashes the tile would need to have.
        needed: u16,
        /// Hashes it has.
        found: usize,
    },
}

/// Why a node could not be had from tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TileReadError<E> {
    /// The tile could not be read.
    #[error("tile {index} of level {level} could not be read")]
    Reader {
        /// Level of the tile.
        level: u8,
        /// Index of the tile.
        index: u64,
        /// Why.
        source: E,
    },
    /// What was read is not the tile that the node needs.
    #[error("tile {index} of level {level} is damaged or too short")]
    Tile {
        /// Level of the tile.
        level: u8,
        /// Index of the tile.
        index: u64,
        /// What is wrong with it.
        source: TileError,
    },
}

/// Gives tiles, from wherever they are kept.
pub trait TileReader {
    /// Why a tile could not be read.
    type Error;

    /// The hashes of a tile one after the other, 32 bytes each; at the right edge of the log there are fewer than
    /// 256, and where nothing is stored there are none.
    ///
    /// # Errors
    /// Whatever the store says.
    fn tile(&self, level: u8, index: u64) -> Result<Vec<u8>, Self::Error>;
}

impl<R: TileReader + ?Sized> TileReader for &R {
    type Error = R::Error;

    fn tile(&self, level: u8, index: u64) -> Result<Vec<u8>, Self::Error> {
        (**self).tile(level, index)
    }
}

/// Nodes of the binary tree, read out of tiles.
#[derive(Clone, Copy, Debug)]
pub struct TileNodes<R>(pub R);

impl<R: TileReader> NodeReader for TileNodes<R> {
    type Error = TileReadError<R::Error>;

    fn node(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        let place = NodePlace::of(level, index);
        let (level, index) = (place.tile_level, place.tile_index);
        let tile = self.0.tile(level, index);
        let tile = tile.map_err(|source| TileReadError::Reader { level, index, source })?;
        node_from_tile(&tile, place).map_err(|source| TileReadError::Tile { level, index, source })
    }
}

/// The node at this place, hashed up from the bytes of its tile.
///
/// # Errors
/// [`TileError`] where the bytes are no tile or end too early.
pub fn node_from_tile(tile: &[u8], place: NodePlace) -> Result<Hash, TileError> {
    let (hashes, rest) = tile.as_chunks::<HASH_LEN>();
    if !rest.is_empty() || hashes.len() > usize::from(FULL_WIDTH) {
        return Err(TileError::Length { bytes: tile.len() });
    }
    let needed = place.start + place.count;
    let spanned = hashes
        .get(usize::from(place.start)..usize::from(needed))
        .ok_or(TileError::TooShort { needed, found: hashes.len() })?;
    Ok(root_of(spanned.iter().map(|bytes| Hash(*bytes))))
}
