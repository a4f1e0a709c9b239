//! One block at each height over all nodes, byte for byte, for ever: also where a node lost its newest blocks and got
//! them again.

use std::collections::BTreeMap;

use markstein_node::{
    ledger::{BlockBytes, Tip, block_at},
    storage::Db,
};
use markstein_proto::{Batch, Hash, Header, Height, Leaf, log};

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
    pub header: Header,
    pub batches: Vec<Batch>,
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
            if self.is_new(node, height, seen) {
                let header = Leaf::decode(&block.header).and_then(Leaf::into_header).unwrap();
                let batches = block.batches.into_iter().map(|bytes| Batch::decode(bytes).unwrap()).collect();
                new.push(NewBlock { header, batches });
            }
        }
        self.heights[node] = tip.height.0;
        if let Some(seen) = self.blocks.get(&tip.height.0) {
            assert_eq!(seen.id, tip.block_id, "node {node}: its state is not that of its newest block");
        }
        new
    }

    fn is_new(&mut self, node: usize, height: u64, seen: Seen) -> bool {
        let Some(first) = self.blocks.get(&height) else {
            self.blocks.insert(height, seen);
            return true;
        };
        assert_eq!(first.id, seen.id, "node {node} has another final block at height {height}");
        assert_eq!(first.content, seen.content, "node {node} has other bytes in block {height}");
        false
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

#[cfg(test)]
mod tests {
    use super::*;

    const fn seen(id: u8, content: u8) -> Seen {
        Seen { id: Hash([id; 32]), content: Hash([content; 32]), size: 9 }
    }

    #[test]
    fn the_same_block_on_two_nodes_is_agreed_on() {
        let mut agreement = Agreement::new(2);
        assert!(agreement.is_new(0, 1, seen(1, 1)));
        assert!(!agreement.is_new(1, 1, seen(1, 1)));
        assert_eq!(agreement.height_of(9), Some(1));
    }

    #[test]
    #[should_panic(expected = "node 1 has another final block at height 1")]
    fn another_block_is_seen() {
        let mut agreement = Agreement::new(2);
        agreement.is_new(0, 1, seen(1, 1));
        agreement.is_new(1, 1, seen(2, 1));
    }

    #[test]
    #[should_panic(expected = "node 1 has other bytes in block 1")]
    fn other_bytes_are_seen() {
        let mut agreement = Agreement::new(2);
        agreement.is_new(0, 1, seen(1, 1));
        agreement.is_new(1, 1, seen(1, 2));
    }
}
