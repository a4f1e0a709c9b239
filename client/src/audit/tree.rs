//! The tree that the authorities signed, as far as it is needed to tell at once whether a bundle belongs to it.
//!
//! At the right edge of a tree one partial tile of each level leads to its root. From there every full tile is named by a
//! hash in the tile above it. So at most one tile of each level is in memory, however large the log.

use markstein_proto::{
    Hash,
    log::{
        Frontier, root_of,
        tile::{EntryBundle, FULL_WIDTH, Tile},
    },
};

use super::{
    checkpoint::View,
    nodes::{Nodes, Source, Unavailable},
    tile::{Bundle, TILE_MAX, TileFault, hashes_of},
};

const WIDTH: u64 = FULL_WIDTH as u64;

/// A tree whose root is signed.
#[derive(Debug)]
pub struct Tree {
    size: u64,
    /// The partial tile of each level, lowest first; empty where all tiles of the level are full.
    edges: Vec<Vec<Hash>>,
    /// The full tile of each level that was needed last.
    full: Vec<Option<(u64, Vec<Hash>)>>,
}

/// What a bundle must be.
#[derive(Clone, Debug)]
pub enum Expected {
    /// A full one with this root.
    Root(Hash),
    /// The last one, with these leaf hashes.
    Leaves(Vec<Hash>),
}

impl Expected {
    /// Reads a bundle and refuses another one.
    ///
    /// # Errors
    /// See [`TileFault`].
    pub fn check(&self, bytes: Vec<u8>, width: u16) -> Result<Bundle, TileFault> {
        let bundle = Bundle::read(bytes, width)?;
        let is_it = match self {
            Self::Root(root) => bundle.root() == *root,
            Self::Leaves(hashes) => bundle.hashes() == hashes,
        };
        if is_it { Ok(bundle) } else { Err(TileFault::AnotherTree) }
    }
}

impl Tree {
    /// Reads the right edge of the tree of a checkpoint from one of these nodes, which have that checkpoint.
    ///
    /// # Errors
    /// See [`Unavailable`].
    pub async fn open(nodes: &Nodes, view: &View, holders: &[usize]) -> Result<Self, Unavailable> {
        let mut failure = None;
        for &node in holders {
            match Self::read_edges(nodes, view.size(), node).await {
                Ok(tree) if tree.root() == view.root() => return Ok(tree),
                Ok(tree) => nodes.accuse(node, &tree.edge_paths(), TileFault::AnotherTree),
                Err(unavailable) => failure = Some(unavailable),
            }
        }
        Err(failure.unwrap_or_else(|| Unavailable::Nobody("the tiles at the end of the log".into())))
    }

    async fn read_edges(nodes: &Nodes, size: u64, node: usize) -> Result<Self, Unavailable> {
        let mut edges = Vec::new();
        while let Some(tile) = edge_of(size, edges.len()) {
            let hashes = match tile {
                None => Vec::new(),
                Some(tile) => {
                    let check = |bytes: Vec<u8>| hashes_of(&bytes, tile.width);
                    nodes.fetch(&tile.path(), TILE_MAX, Source::Only(node), check).await?
                }
            };
            edges.push(hashes);
        }
        let full = edges.iter().map(|_| None).collect();
        Ok(Self { size, edges, full })
    }

    fn edge_paths(&self) -> String {
        let tiles = (0..self.edges.len()).filter_map(|level| edge_of(self.size, level).flatten());
        tiles.map(|tile| tile.path()).collect::<Vec<_>>().join(", ")
    }

    /// Leaves of the log.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    fn root(&self) -> Hash {
        let nodes = self.edges.iter().rev().flat_map(|edge| peaks(edge, edge.len() as u64)).collect();
        let frontier = Frontier::from_parts(self.size, nodes);
        frontier.map_or(Hash::ZERO, |frontier| frontier.root())
    }

    /// The hashes of the tile of a level, full or at the edge, found to be what was signed.
    async fn tile(&mut self, nodes: &Nodes, level: usize, index: u64) -> Result<&[Hash], Unavailable> {
        for l in (level..self.edges.len()).rev() {
            let i = index >> (8 * (l - level));
            if self.held(l, i).is_some() {
                continue;
            }
            let above = self.held(l + 1, i / WIDTH).and_then(|tile| tile.get((i % WIDTH) as usize));
            let expected = *above.expect("levels are read from the highest down, and indices are in the log");
            let tile = Tile { level: l as u8, index: i, width: FULL_WIDTH };
            let check = |bytes: Vec<u8>| {
                let hashes = hashes_of(&bytes, FULL_WIDTH)?;
                if root_of(&hashes) == expected { Ok(hashes) } else { Err(TileFault::AnotherTree) }
            };
            let from = Source::Covering { leaves: (i + 1) << (8 * (l + 1)), turn: i };
            self.full[l] = Some((i, nodes.fetch(&tile.path(), TILE_MAX, from, check).await?));
        }
        Ok(self.held(level, index).expect("it was read just now"))
    }

    /// A tile that is at hand.
    fn held(&self, level: usize, index: u64) -> Option<&[Hash]> {
        let edge = self.edges.get(level)?;
        if index == (self.size >> (8 * level)) / WIDTH && !edge.is_empty() {
            return Some(edge);
        }
        self.full[level].as_ref().filter(|(held, _)| *held == index).map(|(_, hashes)| &hashes[..])
    }

    /// An entry bundle of the log, and what it must be.
    ///
    /// # Errors
    /// See [`Unavailable`].
    pub async fn bundle(
        &mut self,
        nodes: &Nodes,
        index: u64,
    ) -> Result<Option<(EntryBundle, Expected)>, Unavailable> {
        let Some(bundle) = EntryBundle::in_log(index, self.size) else { return Ok(None) };
        let expected = if bundle.width < FULL_WIDTH {
            Expected::Leaves(self.edges[0].clone())
        } else {
            Expected::Root(self.tile(nodes, 1, index / WIDTH).await?[(index % WIDTH) as usize])
        };
        Ok(Some((bundle, expected)))
    }

    /// The first `size` leaves of this log, as far as one that reads on needs them.
    ///
    /// # Errors
    /// See [`Unavailable`].
    pub async fn frontier(&mut self, nodes: &Nodes, size: u64) -> Result<Frontier, Unavailable> {
        let mut hashes = Vec::new();
        for level in (0..self.edges.len()).rev() {
            let count = size >> (8 * level);
            if !count.is_multiple_of(WIDTH) {
                let tile = self.tile(nodes, level, count / WIDTH).await?;
                hashes.extend(peaks(tile, count % WIDTH));
            }
        }
        Ok(Frontier::from_parts(size, hashes).expect("the peaks of each level are its bits of the size"))
    }
}

/// The partial tile of a level, if it has one; nothing beyond the highest level.
fn edge_of(size: u64, level: usize) -> Option<Option<Tile>> {
    let count =
        u32::try_from(8 * level).ok().and_then(|bits| size.checked_shr(bits)).filter(|count| *count > 0)?;
    let tile = Tile { level: level as u8, index: count / WIDTH, width: (count % WIDTH) as u16 };
    Some((tile.width > 0).then_some(tile))
}

/// Roots of the full subtrees that the first `count` hashes of a tile fall into, the largest first.
fn peaks(tile: &[Hash], count: u64) -> Vec<Hash> {
    let mut peaks = Vec::new();
    let mut at = 0;
    for bit in (0..8).rev().map(|bit| 1_usize << bit).filter(|bit| count as usize & bit != 0) {
        peaks.push(root_of(&tile[at..at + bit]));
        at += bit;
    }
    peaks
}
