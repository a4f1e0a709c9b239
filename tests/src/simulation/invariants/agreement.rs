//! One block at each height over all nodes, byte for byte, for ever: also where a node lost its newest blocks and got
//! them again.

use std::collections::BTreeMap;

use markstein_node::{
    ledger::{BlockBytes, Tip, block_at},
    storage::Db,
};
use markstein_proto::{Batch, BatchId, Hash, Height, log};

pub struct Agreement {
    blocks: BTreeMap<u64, Seen>,
    /// Up to which height each node was looked at.
    heights: Vec<u64>,
}

struct Seen {
    id: Hash,
    content: Hash,
    /// Size of the log with it.
    size: u64,
}

/// A block that nobody had before.
pub struct NewBlock {
    pub height: u64,
    pub batches: Vec<BatchId>,
}

impl Agreement {
    pub fn new(nodes: usize) -> Self {
        Self { blocks: BTreeMap::new(), heights: vec![0; nodes] }
    }

    pub fn admit_node(&mut self) {
        self.heights.push(0);
    }

    /// Compares the blocks that are new on a node; gives those that are new to all.
    pub fn look(&mut self, node: usize, db: &Db, tip: &Tip) -> Vec<NewBlock> {
        let mut new = Vec::new();
        for height in self.heights[node] + 1..=tip.height.0 {
            let block = block_at(db, Height(height)).unwrap().expect("a final block is stored");
            let seen = Seen {
                id: log::leaf_hash(&block.header),
                content: content(&block),
                size: block.header_index.0 + 1,
            };
            let Some(first) = self.blocks.get(&height) else {
                let id = |bytes: &Vec<u8>| Batch::decode(bytes.clone()).unwrap().id();
                new.push(NewBlock { height, batches: block.batches.iter().map(id).collect() });
                self.blocks.insert(height, seen);
                continue;
            };
            assert_eq!(first.id, seen.id, "node {node} has another final block at height {height}");
            assert_eq!(first.content, seen.content, "node {node} has other bytes in block {height}");
        }
        self.heights[node] = tip.height.0;
        if let Some(seen) = self.blocks.get(&tip.height.0) {
            assert_eq!(seen.id, tip.block_id, "node {node}: its state is not that of its newest block");
        }
        new
    }

    pub fn restarted(&mut self, node: usize) {
        self.heights[node] = 0;
    }

    pub fn height(&self) -> u64 {
        self.blocks.last_key_value().map_or(0, |(height, _)| *height)
    }

    /// The height of the block that ends a log of this size.
    pub fn height_of(&self, size: u64) -> Option<u64> {
        self.blocks.iter().find(|(_, seen)| seen.size == size).map(|(height, _)| *height)
    }
}

fn content(block: &BlockBytes) -> Hash {
    let parts: Vec<&[u8]> = std::iter::once(&block.header).chain(&block.batches).map(Vec::as_slice).collect();
    let hashes: Vec<Hash> = parts.iter().map(|part| Hash::of(&[part])).collect();
    Hash::of(&hashes.iter().map(|hash| hash.0.as_slice()).collect::<Vec<_>>())
}
