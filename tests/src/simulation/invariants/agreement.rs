//! One block at each height over all nodes, byte for byte, for ever: also where a node lost its newest blocks and got
//! them again.

use std::collections::{BTreeMap, btree_map::Entry};

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
    block: BlockBytes,
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
            if let Some(block) = self.new_block(node, height, block) {
                let header = Leaf::decode(&block.header).and_then(Leaf::into_header).unwrap();
                let decoded = |bytes: &Vec<u8>| Batch::decode(bytes.clone()).unwrap();
                new.push(NewBlock { header, batches: block.batches.iter().map(decoded).collect() });
            }
        }
        self.heights[node] = tip.height.0;
        if let Some(seen) = self.blocks.get(&tip.height.0) {
            assert_eq!(seen.id, tip.block_id, "node {node}: its state is not that of its newest block");
        }
        new
    }

    /// The block, where nobody had one at this height before.
    fn new_block(&mut self, node: usize, height: u64, block: BlockBytes) -> Option<&BlockBytes> {
        match self.blocks.entry(height) {
            Entry::Vacant(place) => {
                let id = log::leaf_hash(&block.header);
                Some(&place.insert(Seen { id, block }).block)
            }
            Entry::Occupied(first) => {
                let first = &first.get().block;
                let is_same = first.header == block.header && first.header_index == block.header_index;
                assert!(is_same, "node {node} has another final block at height {height}");
                assert!(first.batches == block.batches, "node {node} has other bytes in block {height}");
                None
            }
        }
    }

    pub fn restarted(&mut self, node: usize) {
        self.heights[node] = 0;
    }

    pub fn height(&self) -> u64 {
        self.blocks.last_key_value().map_or(0, |(height, _)| *height)
    }

    /// The height of the block that ends a log of this size.
    pub fn height_of(&self, size: u64) -> Option<u64> {
        self.blocks.iter().find(|(_, seen)| seen.block.header_index.0 + 1 == size).map(|(height, _)| *height)
    }
}

#[cfg(test)]
mod tests {
    use markstein_proto::LeafIndex;

    use super::*;

    fn block(header: u8, batch: u8) -> BlockBytes {
        BlockBytes { header_index: LeafIndex(8), header: vec![header], batches: vec![vec![batch]] }
    }

    #[test]
    fn the_same_block_on_two_nodes_is_agreed_on() {
        let mut agreement = Agreement::new(2);
        assert!(agreement.new_block(0, 1, block(1, 1)).is_some());
        assert!(agreement.new_block(1, 1, block(1, 1)).is_none());
        assert_eq!(agreement.height_of(9), Some(1));
    }

    #[test]
    #[should_panic(expected = "node 1 has another final block at height 1")]
    fn another_block_is_seen() {
        let mut agreement = Agreement::new(2);
        agreement.new_block(0, 1, block(1, 1));
        agreement.new_block(1, 1, block(2, 1));
    }

    #[test]
    #[should_panic(expected = "node 1 has other bytes in block 1")]
    fn other_bytes_are_seen() {
        let mut agreement = Agreement::new(2);
        agreement.new_block(0, 1, block(1, 1));
        agreement.new_block(1, 1, block(1, 2));
    }
}
