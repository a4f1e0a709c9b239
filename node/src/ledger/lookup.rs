//! From a place in the log, a height or a batch id to the bytes.

use std::ops::RangeInclusive;

use markstein_proto::{Batch, BatchId, BatchLeaves, DecodeError, Hash, Height, LeafIndex};

use crate::storage::{
    Read, StorageError,
    tables::{BatchAt, Batches, Headers, Heights, Outcome, Outcomes},
};

/// Why something could not be looked up.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// There is no such thing, or not yet.
    #[error("{0}")]
    NotFound(String),
    /// Our disk is to blame.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// A final batch: its leaves as they stand in the log.
#[derive(Debug)]
pub struct PlacedBatch {
    /// Its id.
    pub id: BatchId,
    /// Where its head stands.
    pub head_index: LeafIndex,
    /// Its leaves.
    pub leaves: BatchLeaves,
}

impl PlacedBatch {
    fn read<R: Read>(read: &R, head_index: LeafIndex, id: Hash) -> Result<Self, StorageError> {
        Self::of(batch_bytes(read, &id)?, head_index, id)
    }

    fn of(bytes: Vec<u8>, head_index: LeafIndex, id: Hash) -> Result<Self, StorageError> {
        let leaves = Batch::split(bytes).map_err(|e| damaged(&id, &e))?;
        Ok(Self { id: BatchId(id), head_index, leaves })
    }

    /// Where its records stand.
    #[must_use]
    pub const fn indices(&self) -> RangeInclusive<u64> {
        self.head_index.0 + 1..=self.head_index.0 + self.leaves.record_count() as u64
    }

    /// The leaf at this place, the head's or a record's; `None` where it is not this batch's.
    #[must_use]
    pub fn leaf(&self, index: LeafIndex) -> Option<&[u8]> {
        match index.0.checked_sub(self.head_index.0)? {
            0 => Some(self.leaves.head()),
            place => self.leaves.record(usize::try_from(place - 1).ok()?),
        }
    }
}

fn damaged(id: &Hash, error: &DecodeError) -> StorageError {
    StorageError::corrupt("batches", format!("batch {id} is damaged: {error}"))
}

fn batch_bytes<R: Read>(read: &R, id: &Hash) -> Result<Vec<u8>, StorageError> {
    read.get::<Batches>(id)?.ok_or_else(|| missing(id))
}

fn missing(id: &Hash) -> StorageError {
    StorageError::corrupt("batches", format!("batch {id} is missing"))
}

/// The final batch whose leaves include this place, if it is a batch's.
pub(super) fn batch_around<R: Read>(read: &R, index: LeafIndex) -> Result<Option<PlacedBatch>, StorageError> {
    let Some((head_index, id)) = read.last_at_or_below::<BatchAt>(&index)? else { return Ok(None) };
    let batch = PlacedBatch::read(read, head_index, id)?;
    Ok((index.0 <= *batch.indices().end()).then_some(batch))
}

/// The same for a caller who compares the leaves that it takes with the log's tiles: the disk's checksum over the whole
/// batch, up to 1 MiB, takes longer than all the rest of a receipt.
pub(super) fn batch_around_unchecked<R: Read>(
    read: &R,
    index: LeafIndex,
) -> Result<Option<PlacedBatch>, StorageError> {
    let Some((head_index, id)) = read.last_at_or_below::<BatchAt>(&index)? else { return Ok(None) };
    let bytes = read.get_unchecked::<Batches>(&id)?.ok_or_else(|| missing(&id))?;
    let batch = PlacedBatch::of(bytes, head_index, id)?;
    let count = record_count(read, head_index)?;
    if batch.leaves.record_count() != count as usize {
        return Err(StorageError::corrupt(
            "batches",
            format!("batch {id} is damaged: it had {count} records"),
        ));
    }
    Ok((index.0 <= *batch.indices().end()).then_some(batch))
}

/// The leaf at a place of the final log.
///
/// # Errors
/// The store's.
pub fn leaf_at<R: Read>(read: &R, index: LeafIndex) -> Result<Option<Vec<u8>>, StorageError> {
    Ok(leaves_from(read, index, 1, usize::MAX)?.pop().map(|(_, leaf)| leaf))
}

/// Leaves from a place on: at most `limit`, and no more once their bytes exceed `bytes_max`.
///
/// # Errors
/// The store's.
pub fn leaves_from<R: Read>(
    read: &R,
    first: LeafIndex,
    limit: usize,
    bytes_max: usize,
) -> Result<Vec<(LeafIndex, Vec<u8>)>, StorageError> {
    let (mut leaves, mut bytes, mut next) = (Vec::new(), 0, first);
    let mut batch: Option<PlacedBatch> = None;
    while leaves.len() < limit && bytes <= bytes_max {
        if batch.as_ref().is_none_or(|b| next.0 > *b.indices().end()) {
            batch = batch_around(read, next)?;
        }
        let leaf = match &batch {
            Some(b) => b.leaf(next).unwrap_or_default().to_vec(), // it is within
            None => match read.get::<Headers>(&next)? {
                Some(leaf) => leaf,
                None => break,
            },
        };
        bytes += leaf.len();
        leaves.push((next, leaf));
        next = next.next();
    }
    Ok(leaves)
}

/// Where record number `position` of a batch stands.
///
/// # Errors
/// [`LookupError::NotFound`] where the batch is not final or has fewer records.
pub fn record_of_batch<R: Read>(read: &R, id: &BatchId, position: u32) -> Result<LeafIndex, LookupError> {
    let head_index = final_head(read, id)?;
    let count = record_count(read, head_index)?;
    if position < count {
        Ok(LeafIndex(head_index.0 + 1 + u64::from(position)))
    } else {
        Err(LookupError::NotFound(format!("batch {id} has {count} records, numbered from 0")))
    }
}

/// A batch of the final log by its id.
pub(super) fn final_batch<R: Read>(read: &R, id: &BatchId) -> Result<PlacedBatch, LookupError> {
    Ok(PlacedBatch::read(read, final_head(read, id)?, id.0)?)
}

/// Where the head of a final batch stands.
fn final_head<R: Read>(read: &R, id: &BatchId) -> Result<LeafIndex, LookupError> {
    match read.get::<Outcomes>(&id.0)? {
        Some(Outcome::Final { head_index, .. }) => Ok(head_index),
        _ => Err(LookupError::NotFound(format!("batch {id} is not in the ledger"))),
    }
}

/// A final block: the header's place and leaf, and its batches' bytes in order.
#[derive(Debug)]
pub struct BlockBytes {
    /// Where the header stands.
    pub header_index: LeafIndex,
    /// The header's leaf.
    pub header: Vec<u8>,
    /// Canonical batches.
    pub batches: Vec<Vec<u8>>,
}

/// The final block at a height.
///
/// # Errors
/// The store's.
pub fn block_at<R: Read>(read: &R, height: Height) -> Result<Option<BlockBytes>, StorageError> {
    let Some(header_index) = read.get::<Heights>(&height)? else { return Ok(None) };
    let header = read.get::<Headers>(&header_index)?.ok_or_else(|| {
        StorageError::corrupt("headers", format!("the header of block {height} is missing"))
    })?;
    let parsed = markstein_proto::Leaf::decode(&header)
        .and_then(markstein_proto::Leaf::into_header)
        .map_err(|e| StorageError::corrupt("headers", format!("the header of block {height}: {e}")))?;
    let batches = read
        .range::<BatchAt>(parsed.first_index..header_index)
        .map(|entry| batch_bytes(read, &entry?.1))
        .collect::<Result<_, _>>()?;
    Ok(Some(BlockBytes { header_index, header, batches }))
}

/// The header of the block that holds a leaf: the first header at or after it.
pub(super) fn header_after<R: Read>(
    read: &R,
    index: LeafIndex,
) -> Result<Option<(LeafIndex, Vec<u8>)>, StorageError> {
    read.first_at_or_above::<Headers>(&index)
}

/// How many records the batch has whose head stands here: they reach to the next head or the header of its block. The
/// batch itself, up to 1 MiB, is not read: whoever asks for the state of a thousand batches shall cost little.
///
/// # Errors
/// The store's.
pub fn record_count<R: Read>(read: &R, head_index: LeafIndex) -> Result<u32, StorageError> {
    let next = head_index.next();
    let (header, _) = read
        .first_at_or_above::<Headers>(&next)?
        .ok_or_else(|| StorageError::corrupt("headers", format!("no block holds leaf {head_index}")))?;
    let end = read.first_at_or_above::<BatchAt>(&next)?.map_or(header, |(head, _)| head.min(header));
    Ok((end.0 - next.0) as u32) // a block has 50,000 records at most
}
