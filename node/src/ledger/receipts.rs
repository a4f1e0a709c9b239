//! Receipts, put together from what is stored, under a checkpoint that counts.

use std::{cell::RefCell, collections::BTreeSet, sync::Arc};

use markstein_proto::{
    Author, BatchId, Hash, Header, Leaf, LeafIndex,
    log::{Levels, ProofError, ProveError, leaf_hash, multiproof},
    receipt::{CHANGES_MAX, ChangeLeaves, PlacedLeaf, Receipt},
    status::{Overlay, StatusDelta, StatusProof},
};

use super::{
    CountedCheckpoint, LookupError, PathCache, StoredTiles,
    history::{changes_of, taken_back},
    lookup::{PlacedBatch, batch_around_unchecked, final_batch, header_after, leaf_at},
    nodes::{TileTrees, TreeNodes},
    state::Stored,
};
use crate::storage::{
    Read, StorageError,
    tables::{ChangeHeads, Headers, Registry, StatusEntry},
};

/// Why there is no receipt.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptFailure {
    /// No such record, or the leaf is no record of an issuer.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// It is final, but no checkpoint that covers it has a quorum yet.
    #[error("no checkpoint that covers this record has a quorum of cosignatures yet: try again in a moment")]
    NoCheckpoint,
}

impl From<StorageError> for ReceiptFailure {
    fn from(error: StorageError) -> Self {
        Self::Lookup(LookupError::Storage(error))
    }
}

/// Receipts of one batch, which share everything but the record and its proofs.
#[derive(Debug)]
pub struct BatchReceipts {
    batch: PlacedBatch,
    /// The records' tree, where many paths are wanted.
    levels: Option<Levels>,
    shared: Receipt,
    latest: Header,
    /// What newer blocks changed in the stored status tree, taken back.
    status: StatusDelta,
    tiles: Arc<TileTrees>,
    /// The head over the change that was read last: those of many records are often made together.
    change_head: RefCell<Option<PlacedLeaf>>,
}

/// The receipt of one record, without its salt, under `checkpoint`, whose blocks `read` holds.
///
/// # Errors
/// See [`ReceiptFailure`].
pub fn receipt<R: Read>(
    read: &R,
    checkpoint: Option<&CountedCheckpoint>,
    index: LeafIndex,
) -> Result<Receipt, ReceiptFailure> {
    receipt_cached(read, checkpoint, index, &PathCache::default())
}

/// The same, with paths of batches that were asked for before.
///
/// # Errors
/// As [`receipt`].
pub fn receipt_cached<R: Read>(
    read: &R,
    checkpoint: Option<&CountedCheckpoint>,
    index: LeafIndex,
    paths: &PathCache,
) -> Result<Receipt, ReceiptFailure> {
    let none = || LookupError::NotFound(format!("there is no record at leaf {index}"));
    let found = batch_around_unchecked(read, index)?;
    let batch = found.filter(|b| b.indices().contains(&index.0)).ok_or_else(none)?;
    for place in [batch.head_index, index] {
        is_in_log(read, &batch, place)?;
    }
    let position = (index.0 - batch.head_index.0 - 1) as usize;
    let (first, count) = (batch.head_index.0 + 1, batch.leaves.record_count() as u64);
    let leaves = |from: u64, to: u64| leaf_hashes(read, first + from, first + to);
    let path = paths.path(batch.head_index, (position as u64, count), leaves)?;
    BatchReceipts::new(read, checkpoint, batch, Arc::clone(&paths.tiles))?.receipt_with(read, position, path)
}

/// The receipts of a batch, under `checkpoint`, whose blocks `read` holds.
///
/// # Errors
/// See [`ReceiptFailure`].
pub fn batch_receipts<R: Read>(
    read: &R,
    checkpoint: Option<&CountedCheckpoint>,
    id: &BatchId,
) -> Result<BatchReceipts, ReceiptFailure> {
    let mut receipts = BatchReceipts::new(read, checkpoint, final_batch(read, id)?, Arc::default())?;
    let first = receipts.batch.head_index.0 + 1;
    receipts.levels = Some(Levels::new(leaf_hashes(read, first, first + receipts.len() as u64)?));
    Ok(receipts)
}

impl BatchReceipts {
    fn new<R: Read>(
        read: &R,
        checkpoint: Option<&CountedCheckpoint>,
        batch: PlacedBatch,
        tiles: Arc<TileTrees>,
    ) -> Result<Self, ReceiptFailure> {
        let header = header_after(read, batch.head_index)?
            .ok_or_else(|| StorageError::corrupt("headers", "a final batch has no header"))?;
        let checkpoint = checkpoint.filter(|c| c.covers(header.0)).ok_or(ReceiptFailure::NoCheckpoint)?;
        let latest_leaf = latest_header(read, checkpoint.header_index())?;
        let latest = Leaf::decode(&latest_leaf)
            .and_then(Leaf::into_header)
            .map_err(|e| StorageError::corrupt("headers", format!("the newest that is cosigned: {e}")))?;
        let shared = Receipt {
            salt: None,
            record: placed(batch.head_index, Vec::new()), // replaced for each record
            batch_head: placed(batch.head_index, batch.leaves.head().to_vec()),
            batch_path: Vec::new(),
            grant: grant_of(read, &batch)?,
            header: placed(header.0, header.1),
            latest_header: placed(checkpoint.header_index(), latest_leaf),
            proof: Vec::new(),
            status: StatusProof { chunks: Vec::new(), proof: Vec::new() },
            changes: Vec::new(),
            checkpoint: checkpoint.cosigned.to_string(),
            handovers: Vec::new(), // one epoch so far: the set of the genesis
        };
        let status = taken_back(read, latest.size_before)?;
        Ok(Self { batch, levels: None, shared, latest, status, tiles, change_head: RefCell::new(None) })
    }

    /// How many receipts there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.batch.leaves.record_count()
    }

    /// A batch has at least one record.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// The receipt of record number `position`, from the same snapshot.
    ///
    /// # Errors
    /// See [`ReceiptFailure`].
    pub fn receipt<R: Read>(&self, read: &R, position: usize) -> Result<Receipt, ReceiptFailure> {
        let path = self.levels.as_ref().and_then(|levels| levels.path(position as u64).ok());
        self.receipt_with(read, position, path.unwrap_or_default())
    }

    /// The receipt of record number `position`, whose path under the records' root is given.
    fn receipt_with<R: Read>(
        &self,
        read: &R,
        position: usize,
        path: Vec<Hash>,
    ) -> Result<Receipt, ReceiptFailure> {
        let bytes = self.batch.leaves.record(position).ok_or_else(|| {
            LookupError::NotFound(format!("batch {} has {} records", self.batch.id, self.len()))
        })?;
        let index = LeafIndex(self.batch.head_index.0 + 1 + position as u64);
        let mut receipt =
            Receipt { record: PlacedLeaf { index, bytes: bytes.to_vec() }, ..self.shared.clone() };
        receipt.batch_path = path;
        receipt.changes = self.changes(read, index)?;
        receipt.proof = self.log_proof(read, &receipt)?;
        receipt.status = self.status_proof(read, &receipt)?;
        Ok(receipt)
    }

    fn log_proof<R: Read>(&self, read: &R, receipt: &Receipt) -> Result<Vec<Hash>, StorageError> {
        let places = [
            receipt.grant.index,
            receipt.batch_head.index,
            receipt.record.index,
            receipt.header.index,
            receipt.latest_header.index,
        ];
        let of_change =
            |change: &ChangeLeaves| [change.record.index, change.batch_head.index, change.header.index];
        let all = places.into_iter().chain(receipt.changes.iter().flat_map(of_change));
        let indices: Vec<u64> = all.map(|i| i.0).collect::<BTreeSet<_>>().into_iter().collect();
        let nodes = TreeNodes::new(read, &self.tiles);
        multiproof::prove(&nodes, &indices, self.latest.size_before.next().0).map_err(|error| match error {
            ProveError::Reader(error) => error,
            ProveError::Request(error) => StorageError::corrupt("tiles", error.to_string()),
        })
    }

    /// What led to the record's status under the checkpoint.
    fn changes<R: Read>(&self, read: &R, record: LeafIndex) -> Result<Vec<ChangeLeaves>, StorageError> {
        let end = self.latest.index();
        let changes = changes_of(read, record, end, CHANGES_MAX)?;
        changes.into_iter().map(|(at, change)| self.change_leaves(read, at, change)).collect()
    }

    /// The leaves of the change that stands at `at`. None of them is read from its batch, which may have 1 MiB.
    fn change_leaves<R: Read>(
        &self,
        read: &R,
        at: LeafIndex,
        change: StatusEntry,
    ) -> Result<ChangeLeaves, StorageError> {
        let missing =
            |table, what: &str| StorageError::corrupt(table, format!("the {what} of leaf {at} is missing"));
        let mut last = self.change_head.borrow_mut();
        if last.as_ref().is_none_or(|head| head.index != change.head) {
            let head = read.get::<ChangeHeads>(&change.head)?;
            *last = Some(placed(change.head, head.ok_or_else(|| missing("change_heads", "batch head"))?));
        }
        let batch_head = last.clone().ok_or_else(|| missing("change_heads", "batch head"))?;
        let header = header_after(read, at)?.ok_or_else(|| missing("headers", "header"))?;
        Ok(ChangeLeaves { record: placed(at, change.leaf), batch_head, header: placed(header.0, header.1) })
    }

    /// The stored status tree is that of the newest final block, which may be newer than the checkpoint: what newer blocks
    /// changed is taken back. A proof that does not lead to the header's root is refused here, and not by citizens.
    fn status_proof<R: Read>(&self, read: &R, receipt: &Receipt) -> Result<StatusProof, StorageError> {
        let corrupt = |e: ProofError| StorageError::corrupt("status_chunks", e.to_string());
        let indices = [receipt.record.index, receipt.grant.index];
        let size = self.latest.size_before;
        let tree = Overlay { delta: &self.status, parent: &Stored(read) };
        let proof = StatusProof::prove(&tree, &indices, size).map_err(|e| match e {
            ProveError::Reader(e) => e,
            ProveError::Request(e) => corrupt(e),
        })?;
        proof.verify(&indices, size, &self.latest.status_root).map_err(corrupt)?;
        Ok(proof)
    }
}

/// A batch was read without a look at the disk's checksum: its leaf at this place must be the one in the log.
fn is_in_log<R: Read>(read: &R, batch: &PlacedBatch, place: LeafIndex) -> Result<(), StorageError> {
    let logged = leaf_hashes(read, place.0, place.0 + 1)?;
    let leaf = batch.leaf(place).map(leaf_hash);
    if leaf.is_some() && leaf == logged.first().copied() {
        return Ok(());
    }
    Err(StorageError::corrupt("batches", format!("batch {} is damaged at leaf {place}", batch.id)))
}

const fn placed(index: LeafIndex, bytes: Vec<u8>) -> PlacedLeaf {
    PlacedLeaf { index, bytes }
}

fn stored_leaf<R: Read>(read: &R, index: LeafIndex) -> Result<Vec<u8>, StorageError> {
    leaf_at(read, index)?.ok_or_else(|| StorageError::corrupt("headers", format!("leaf {index} is missing")))
}

/// The last leaf under a checkpoint, which is a header: the batches before it need not be read.
fn latest_header<R: Read>(read: &R, index: LeafIndex) -> Result<Vec<u8>, StorageError> {
    read.get::<Headers>(&index)?
        .ok_or_else(|| StorageError::corrupt("headers", format!("the header at leaf {index} is missing")))
}

/// The grant in force of the batch's issuer.
fn grant_of<R: Read>(read: &R, batch: &PlacedBatch) -> Result<PlacedLeaf, ReceiptFailure> {
    let head = Leaf::decode(batch.leaves.head())
        .and_then(Leaf::into_batch_head)
        .map_err(|e| StorageError::corrupt("batches", e.to_string()))?;
    let Author::Issuer { issuer, .. } = head.author else {
        return Err(LookupError::NotFound("the records of the genesis have no receipts".into()).into());
    };
    let index = read
        .get::<Registry>(&issuer.as_str().to_owned())?
        .ok_or_else(|| StorageError::corrupt("registry", format!("issuer {issuer} has no grant")))?;
    Ok(placed(index, stored_leaf(read, index)?))
}

/// The leaf hashes from place `from` up to, and without, place `to`.
fn leaf_hashes<R: Read>(read: &R, from: u64, to: u64) -> Result<Vec<Hash>, StorageError> {
    use markstein_proto::log::tile::TileReader;
    let tiles = StoredTiles(read);
    let mut hashes = Vec::with_capacity((to - from) as usize);
    for number in from / 256..to.div_ceil(256) {
        let tile = tiles.tile(0, number)?;
        let (tile, _) = tile.as_chunks::<32>();
        let first = from.saturating_sub(number * 256) as usize;
        let end = (to - number * 256).min(256) as usize;
        let part = tile.get(first..end).ok_or_else(|| {
            StorageError::corrupt("tiles", format!("tile {number} of level 0 is too short"))
        })?;
        hashes.extend(part.iter().map(|h| Hash(*h)));
    }
    Ok(hashes)
}
