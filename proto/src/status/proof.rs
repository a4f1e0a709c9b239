//! One proof for the status of several leaves: their chunks and a multiproof.

use alloc::{collections::BTreeMap, vec::Vec};

use super::{
    Chunk, Status, StatusReader, chunk_count, chunk_of,
    tree::{Nodes, status_root},
};
use crate::{
    Hash, LeafIndex, LogSize,
    log::{ProofError, ProveError, leaf_hash, multiproof},
};

/// The status chunks that hold given leaves, and one multiproof of them under a status root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusProof {
    /// Chunk index and bits, ascending.
    pub chunks: Vec<(u64, Chunk)>,
    /// [`multiproof`] over the RFC 6962 tree whose leaves are the chunks' 32 bytes.
    pub proof: Vec<Hash>,
}

/// Chunks proven under a status root. Only [`StatusProof::verify`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenStatus(BTreeMap<u64, Chunk>);

impl StatusProof {
    /// The proof for leaves of a log of `size` leaves.
    ///
    /// # Errors
    /// [`ProofError::NoLeaves`] and [`ProofError::IndexOutOfRange`], and those of the reader.
    pub fn prove<R: StatusReader + ?Sized>(
        reader: &R,
        indices: &[LeafIndex],
        size: LogSize,
    ) -> Result<Self, ProveError<R::Error>> {
        let places = places(indices, size)?;
        let chunk = |place: &u64| Ok((*place, reader.chunk(*place)?.unwrap_or(Chunk::ZERO)));
        let chunks = places.iter().map(chunk).collect::<Result<_, R::Error>>().map_err(ProveError::Reader)?;
        let proof = multiproof::prove(&Nodes::of_log(reader, size.0), &places, chunk_count(size.0))?;
        Ok(Self { chunks, proof })
    }

    /// Checks that these are exactly the chunks that hold `indices`, under the root for a log of `size` leaves.
    ///
    /// # Errors
    /// [`ProofError`]; [`ProofError::StatusBeyondLog`] where the last chunk has bits set for leaves that do not
    /// exist yet, which no honest quorum signs.
    pub fn verify(
        &self,
        indices: &[LeafIndex],
        size: LogSize,
        root: &Hash,
    ) -> Result<ProvenStatus, ProofError> {
        if !self.chunks.iter().map(|(place, _)| *place).eq(places(indices, size)?) {
            return Err(ProofError::OtherChunks);
        }
        let leaves: Vec<(u64, Hash)> =
            self.chunks.iter().map(|(i, chunk)| (*i, leaf_hash(&chunk.0))).collect();
        multiproof::verify(&leaves, chunk_count(size.0), &self.proof, root)?;
        let (last, used) = chunk_of(size.0 - 1); // places() found an index below the size
        let beyond = |chunk: &Chunk| (used + 1..128).any(|position| chunk.get(position) != Status::Valid);
        if self.chunks.iter().any(|(i, chunk)| *i == last && beyond(chunk)) {
            return Err(ProofError::StatusBeyondLog);
        }
        Ok(ProvenStatus(self.chunks.iter().copied().collect()))
    }
}

impl ProvenStatus {
    /// The status of a leaf, `None` where its chunk is not among those proven.
    #[must_use]
    pub fn of(&self, index: LeafIndex) -> Option<Status> {
        let (chunk, position) = chunk_of(index.0);
        self.0.get(&chunk).map(|chunk| chunk.get(position))
    }
}

/// The root of a status tree in which nothing was ever changed, as in block 0.
#[must_use]
pub fn all_valid_root(size: LogSize) -> Hash {
    match status_root(&AllValid, size.0) {
        Ok(root) => root,
        Err(never) => match never {},
    }
}

struct AllValid;

impl StatusReader for AllValid {
    type Error = core::convert::Infallible;

    fn chunk(&self, _: u64) -> Result<Option<Chunk>, Self::Error> {
        Ok(None)
    }

    fn node(&self, _: u8, _: u64) -> Result<Option<Hash>, Self::Error> {
        Ok(None)
    }
}

/// The chunks that hold these leaves, ascending.
fn places(indices: &[LeafIndex], size: LogSize) -> Result<Vec<u64>, ProofError> {
    if let Some(beyond) = indices.iter().find(|index| index.0 >= size.0) {
        return Err(ProofError::IndexOutOfRange { index: beyond.0, size: size.0 });
    }
    let mut places: Vec<u64> = indices.iter().map(|index| chunk_of(index.0).0).collect();
    places.sort_unstable();
    places.dedup();
    if places.is_empty() { Err(ProofError::NoLeaves) } else { Ok(places) }
}
