//! COSE receipts (RFC 9942, `RFC9162_SHA256`): one authority's word that a leaf is in the log, for tools that read COSE.
//!
//! A receipt is a COSE_Sign1 whose payload, the root, is left out: its reader gets it from the leaf and the inclusion
//! proof. Of all encodings that CBOR allows there is one here (RFC 8949 section 4.2.1), and one set of headers.
//!
//! Size and index are not signed, and where the way up from a leaf is the same in logs of several sizes, each of them
//! verifies: what is proven is that the leaf is in a log with the root that was signed.

mod cbor;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;

pub use cbor::Malformed;
use cbor::{Reader, Writer};

use crate::{
    Hash, KeyId, LeafIndex, LogSize, PublicKey, Sign, Signature,
    log::{ProofError, leaf_hash, root_from_inclusion},
};

/// Most hashes on the way up from a leaf.
const PATH_MAX: u64 = 64;
/// Longest receipt, in bytes: one with as many hashes as a path can have, rounded up.
pub const COSE_RECEIPT_MAX: usize = 2500;

/// Tag of COSE_Sign1 (RFC 9052 section 2).
const SIGN1: u64 = 18;
/// Header parameters: algorithm, key id (RFC 9052 section 3.1), verifiable data structure and its proofs (RFC 9942).
const ALG: u64 = 1;
const KID: u64 = 4;
const VDS: u64 = 395;
const VDP: u64 = 396;
/// EdDSA is -8, inclusion proofs are -1: CBOR writes a negative number n as -1 - n.
const EDDSA: u64 = 7;
const INCLUSION: u64 = 0;
const RFC9162_SHA256: u64 = 1;
/// Parameters of a COSE_Key (RFC 9052 section 7, RFC 9053 section 7.2): its type OKP, the curve -1, the point -2.
const KTY: u64 = 1;
const OKP: u64 = 1;
const KEY_ALG: u64 = 3;
const KEY_KID: u64 = 2;
const CRV: u64 = 0;
const X: u64 = 1;
const ED25519: u64 = 6;

/// One authority's receipt of one leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoseReceipt {
    /// Which log key signed the root.
    pub key: KeyId,
    /// Size of the log whose root it is.
    pub size: LogSize,
    /// Place of the leaf.
    pub index: LeafIndex,
    /// The siblings of the leaf, the lowest first.
    pub path: Vec<Hash>,
    /// The signature over [`signed_message`].
    pub signature: Signature,
}

/// Why bytes are no receipt, or prove nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CoseError {
    /// More bytes than a receipt can have.
    #[error("a COSE receipt has {COSE_RECEIPT_MAX} bytes at most, this one has {0}")]
    TooLong(usize),
    /// Not the one encoding of a receipt.
    #[error("this is no COSE receipt as a ledger of this kind gives it: {0}")]
    Malformed(#[from] Malformed),
    /// Index, size and path do not fit each other.
    #[error("its inclusion proof is none: {0}")]
    Path(#[from] ProofError),
    /// Signed with another key.
    #[error("it names the key {found} and not {wanted}")]
    AnotherKey {
        /// What it names.
        found: KeyId,
        /// The key it is checked with.
        wanted: KeyId,
    },
    /// The root that the leaf leads to was not signed.
    #[error("its signature does not cover this leaf: the leaf, the proof or the signature was changed")]
    BadSignature,
}

impl CoseReceipt {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut proof = Writer::default();
        proof.array(3);
        proof.unsigned(self.size.0);
        proof.unsigned(self.index.0);
        proof.array(self.path.len() as u64);
        self.path.iter().for_each(|hash| proof.bytes(&hash.0));
        let mut all = Writer::default();
        all.tag(SIGN1);
        all.array(4);
        all.bytes(&protected(self.key));
        all.map(1);
        all.unsigned(VDP);
        all.map(1);
        all.negative(INCLUSION);
        all.array(1);
        all.bytes(&proof.finish());
        all.null();
        all.bytes(&self.signature.0);
        all.finish()
    }

    /// Reads what [`CoseReceipt::encode`] writes, and nothing else.
    ///
    /// # Errors
    /// [`CoseError::TooLong`], [`CoseError::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, CoseError> {
        if bytes.len() > COSE_RECEIPT_MAX {
            return Err(CoseError::TooLong(bytes.len()));
        }
        let mut all = Reader::new(bytes);
        all.tag(SIGN1)?;
        all.array(4)?;
        let mut headers = Reader::new(all.bytes()?);
        headers.map(3)?;
        headers.unsigned_of(ALG)?;
        headers.negative_of(EDDSA)?;
        headers.unsigned_of(KID)?;
        let key = KeyId(headers.bytes_of()?);
        headers.unsigned_of(VDS)?;
        headers.unsigned_of(RFC9162_SHA256)?;
        headers.end()?;
        all.map(1)?;
        all.unsigned_of(VDP)?;
        all.map(1)?;
        all.negative_of(INCLUSION)?;
        all.array(1)?;
        let mut proof = Reader::new(all.bytes()?);
        all.null()?;
        let signature = Signature(all.bytes_of()?);
        all.end()?;
        proof.array(3)?;
        let (size, index) = (LogSize(proof.unsigned()?), LeafIndex(proof.unsigned()?));
        let hashes = proof.array_up_to(PATH_MAX)?;
        let path = (0..hashes).map(|_| Ok(Hash(proof.bytes_of()?))).collect::<Result<Vec<_>, Malformed>>()?;
        proof.end()?;
        Ok(Self { key, size, index, path, signature })
    }

    /// The root that this leaf and the proof lead to. Whether it was signed is not looked at.
    ///
    /// # Errors
    /// Where index, size and path do not fit each other.
    pub fn root(&self, leaf: &[u8]) -> Result<Hash, ProofError> {
        root_from_inclusion(&leaf_hash(leaf), self.index.0, self.size.0, &self.path)
    }

    /// Checks that the owner of `key` signed a root over `leaf`, and returns the root.
    ///
    /// # Errors
    /// [`CoseError::AnotherKey`], [`CoseError::Path`], [`CoseError::BadSignature`].
    pub fn verify(&self, leaf: &[u8], key: &PublicKey) -> Result<Hash, CoseError> {
        let wanted = key.id();
        if self.key != wanted {
            return Err(CoseError::AnotherKey { found: self.key, wanted });
        }
        let root = self.root(leaf)?;
        let signed = key.verify(&signed_message(wanted, &root), &self.signature);
        signed.map(|()| root).map_err(|_| CoseError::BadSignature)
    }
}

/// The protected headers, as the bytes that are signed.
fn protected(key: KeyId) -> Vec<u8> {
    let mut headers = Writer::default();
    headers.map(3);
    headers.unsigned(ALG);
    headers.negative(EDDSA);
    headers.unsigned(KID);
    headers.bytes(&key.0);
    headers.unsigned(VDS);
    headers.unsigned(RFC9162_SHA256);
    headers.finish()
}

/// What is signed: COSE's `Sig_structure` (RFC 9052 section 4.4) over the headers and the root, without external data. It
/// begins with byte 0x84, which no UTF-8 text begins with: no receipt's signature is one on a note, nor the other way.
#[must_use]
pub fn signed_message(key: KeyId, root: &Hash) -> Vec<u8> {
    let mut message = Writer::default();
    message.array(4);
    message.text("Signature1");
    message.bytes(&protected(key));
    message.bytes(&[]);
    message.bytes(&root.0);
    message.finish()
}

/// Signs a root with a log key. The caller knows that it is a root of the final log.
#[must_use]
pub fn sign_root(key: &(impl Sign + ?Sized), root: &Hash) -> Signature {
    key.sign(&signed_message(key.public().id(), root))
}

/// The keys as a COSE_KeySet, each with the id that receipts name it by.
#[must_use]
pub fn key_set(keys: &[PublicKey]) -> Vec<u8> {
    let mut set = Writer::default();
    set.array(keys.len() as u64);
    for key in keys {
        set.map(5);
        set.unsigned(KTY);
        set.unsigned(OKP);
        set.unsigned(KEY_KID);
        set.bytes(&key.id().0);
        set.unsigned(KEY_ALG);
        set.negative(EDDSA);
        set.negative(CRV);
        set.unsigned(ED25519);
        set.negative(X);
        set.bytes(&key.to_bytes());
    }
    set.finish()
}
