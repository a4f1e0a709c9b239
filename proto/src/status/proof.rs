//! One proof for the status of several leaves: their chunks and a multiproof.

use alloc::{collections::BTreeMap, vec::Vec};

use super::{
    Chunk, Status, StatusReader, chunk_count, chunk_of,
    tree::{Nodes, TOP_LEVEL, status_root},
    zero::ZERO_ROOTS,
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
        let proof = multiproof::prove(&Nodes(reader), &places, chunk_count(size.0))?;
        Ok(Self { chunks, proof })
    }

    /// The short form of the proof, without the chunks: where nothing was changed, which is nearly everywhere, one byte, the
    /// level of a root of zero chunks; else `ff` and the hash. What can be said by a level is never said by a hash.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        proof_bytes(&self.proof)
    }

    /// A proof of these chunks, from its short form.
    ///
    /// # Errors
    /// [`ProofBytesError`] for anything but what [`StatusProof::to_bytes`] gives.
    pub fn from_bytes(chunks: Vec<(u64, Chunk)>, bytes: &[u8]) -> Result<Self, ProofBytesError> {
        Ok(Self { chunks, proof: proof_from_bytes(bytes)? })
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

/// Before a hash in [`StatusProof::to_bytes`]; below it are the levels of roots of zero chunks.
const HASH_FOLLOWS: u8 = 0xff;
/// Most hashes of a proof: two chunks of 2^57.
const PROOF_MAX: usize = 2 * TOP_LEVEL as usize;
/// Longest form of a proof.
pub const PROOF_BYTES_MAX: usize = PROOF_MAX * (1 + size_of::<Hash>());

/// The bytes are not the one form of a status proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a status proof has `ff` before each hash, and one byte for each root of zero chunks")]
pub struct ProofBytesError;

fn proof_bytes(proof: &[Hash]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for hash in proof {
        match ZERO_ROOTS.iter().position(|root| root == hash) {
            Some(level) => bytes.push(level as u8),
            None => {
                bytes.push(HASH_FOLLOWS);
                bytes.extend_from_slice(&hash.0);
            }
        }
    }
    bytes
}

fn proof_from_bytes(bytes: &[u8]) -> Result<Vec<Hash>, ProofBytesError> {
    let (mut proof, mut rest) = (Vec::new(), bytes);
    while let Some((first, after)) = rest.split_first() {
        let hash = if *first == HASH_FOLLOWS {
            let (hash, after) = after.split_first_chunk().ok_or(ProofBytesError)?;
            rest = after;
            Hash(*hash)
        } else {
            rest = after;
            *ZERO_ROOTS.get(usize::from(*first)).ok_or(ProofBytesError)?
        };
        proof.push(hash);
    }
    if proof.len() <= PROOF_MAX && proof_bytes(&proof) == bytes { Ok(proof) } else { Err(ProofBytesError) }
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
