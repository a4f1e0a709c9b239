//! Receipts, put together from what is stored, under a checkpoint that counts.

use std::collections::BTreeSet;

use markstein_proto::{
    Author, BatchId, Hash, Header, Leaf, LeafIndex,
    log::{
        Levels, ProofError, ProveError, multiproof,
        tile::{TileNodes, TileReadError},
    },
    receipt::{PlacedLeaf, Receipt},
    status::StatusProof,
};

use super::{
    CountedCheckpoint, LookupError, StoredTiles,
    lookup::{PlacedBatch, batch_around, final_batch, header_after, leaf_at},
    state::Stored,
};
use crate::storage::{
    Read, StorageError,
    tables::{Headers, Registry},
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
    levels: Levels,
    shared: Receipt,
    latest: Header,
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
    let none = || LookupError::NotFound(format!("there is no record at leaf {index}"));
    let batch = batch_around(read, index)?.filter(|b| b.indices().contains(&index.0)).ok_or_else(none)?;
    let position = (index.0 - batch.head_index.0 - 1) as usize;
    BatchReceipts::new(read, checkpoint, batch)?.receipt(read, position)
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
    BatchReceipts::new(read, checkpoint, final_batch(read, id)?)
}

impl BatchReceipts {
    fn new<R: Read>(
        read: &R,
        checkpoint: Option<&CountedCheckpoint>,
        batch: PlacedBatch,
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
            batch_head: placed(batch.head_index, batch.head.to_vec()),
            batch_path: Vec::new(),
            grant: grant_of(read, &batch)?,
            header: placed(header.0, header.1),
            latest_header: placed(checkpoint.header_index(), latest_leaf),
            proof: Vec::new(),
            status: StatusProof { chunks: Vec::new(), proof: Vec::new() },
            checkpoint: checkpoint.cosigned.to_string(),
            handovers: Vec::new(), // one epoch so far: the set of the genesis
        };
        let levels = Levels::new(record_hashes(read, &batch)?);
        Ok(Self { batch, levels, shared, latest })
    }

    /// How many receipts there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.batch.records.len()
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
        let bytes = self.batch.records.get(position).ok_or_else(|| {
            LookupError::NotFound(format!("batch {} has {} records", self.batch.id, self.len()))
        })?;
        let index = LeafIndex(self.batch.head_index.0 + 1 + position as u64);
        let mut receipt =
            Receipt { record: PlacedLeaf { index, bytes: bytes.to_vec() }, ..self.shared.clone() };
        receipt.batch_path =
            self.levels.path(position as u64).expect("the position is below the number of records");
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
        let indices: Vec<u64> = places.iter().map(|i| i.0).collect::<BTreeSet<_>>().into_iter().collect();
        multiproof::prove(&TileNodes(StoredTiles(read)), &indices, self.latest.size_before.next().0)
            .map_err(tile_error)
    }

    /// The stored status tree is that of the newest final block, which may be newer than the checkpoint. As long as
    /// nothing changes a status it proves every size; once something does, the tree of the checkpoint's header has to be
    /// kept or found again. Until then a proof for another state than the header's is refused here, and not by citizens.
    fn status_proof<R: Read>(&self, read: &R, receipt: &Receipt) -> Result<StatusProof, StorageError> {
        let corrupt = |e: ProofError| StorageError::corrupt("status_chunks", e.to_string());
        let indices = [receipt.record.index, receipt.grant.index];
        let size = self.latest.size_before;
        let proof = StatusProof::prove(&Stored(read), &indices, size).map_err(|e| match e {
            ProveError::Reader(e) => e,
            ProveError::Request(e) => corrupt(e),
        })?;
        proof.verify(&indices, size, &self.latest.status_root).map_err(corrupt)?;
        Ok(proof)
    }
}

fn tile_error(error: ProveError<TileReadError<StorageError>>) -> StorageError {
    match error {
        ProveError::Reader(TileReadError::Reader { source, .. }) => source,
        other => StorageError::corrupt("tiles", other.to_string()),
    }
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
    let head = Leaf::decode(&batch.head)
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

/// The leaf hashes of the records of a batch.
fn record_hashes<R: Read>(read: &R, batch: &PlacedBatch) -> Result<Vec<Hash>, StorageError> {
    use markstein_proto::log::tile::TileReader;
    let tiles = StoredTiles(read);
    let mut hashes = Vec::with_capacity(batch.records.len());
    let (first, last) = (*batch.indices().start(), *batch.indices().end());
    for number in first / 256..=last / 256 {
        let tile = tiles.tile(0, number)?;
        let (tile, _) = tile.as_chunks::<32>();
        let from = first.saturating_sub(number * 256) as usize;
        let to = (last - number * 256 + 1).min(256) as usize;
        let part = tile.get(from..to).ok_or_else(|| {
            StorageError::corrupt("tiles", format!("tile {number} of level 0 is too short"))
        })?;
        hashes.extend(part.iter().map(|h| Hash(*h)));
    }
    Ok(hashes)
}
