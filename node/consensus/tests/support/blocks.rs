//! Blocks of a stand-in ledger: the header binds parent and batches, as the real one does through the log's root.

use markstein_consensus::{Body, FinalBlock};
use markstein_proto::{BatchId, EpochId, Hash, Header, Height, LeafIndex, LogSize, TimeMs, View};

pub const START: u64 = 1_790_000_000_000;

pub type Batches = Vec<(BatchId, Hash)>;

pub fn genesis_block() -> FinalBlock {
    FinalBlock { id: Hash([1; 32]), view: View(0), height: Height(0), time: TimeMs(START) }
}

pub fn batch(number: u64) -> (BatchId, Hash) {
    let number = number.to_be_bytes();
    (BatchId(Hash::of(&[b"batch", &number])), Hash::of(&[b"head", &number]))
}

/// The block of these batches on `parent`.
pub fn body(parent: &FinalBlock, view: u64, proposer: u32, time: u64, batches: Batches) -> Body {
    let content = Hash::of(&batches.iter().flat_map(|b| [b.0.0.as_ref(), b.1.as_ref()]).collect::<Vec<_>>());
    let header = Header {
        epoch: EpochId(0),
        height: parent.height.next(),
        view: View(view),
        parent: parent.id,
        time: TimeMs(time),
        proposer,
        first_index: LeafIndex(0),
        size_before: LogSize(0),
        root_before: Hash::of(&[&parent.id.0, &content.0]),
        status_root: Hash::ZERO,
        authority_set: Hash::ZERO,
    };
    Body { header, batches }
}

pub fn final_block(header: &Header) -> FinalBlock {
    FinalBlock { id: header.block_id(), view: header.view, height: header.height, time: header.time }
}
