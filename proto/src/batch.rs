//! Batches: records signed together by one author.

use alloc::{collections::BTreeSet, vec, vec::Vec};
use core::ops::Range;

use prost::{Message, bytes::Bytes};

use crate::{
    Hash, IssuerGrant, IssuerId, KeyId, LedgerId, Record, Sign, Signature, TimeMs, Verdict,
    codec::{self, CountBound, DecodeError},
    domain, key,
    leaf::Leaf,
    log, wire,
};

/// Longest batch, in bytes.
pub const BATCH_MAX: usize = 1024 * 1024;
/// Most records of a batch.
pub const BATCH_RECORDS_MAX: usize = 10_000;
/// How far a block's time may be from the time its batches name, in milliseconds: 24 hours. It bounds what the
/// detection of duplicates must remember.
pub const BATCH_AGE_MAX_MS: u64 = 24 * 60 * 60 * 1000;
/// A batch changes no status that another one changed in a block dated more than this after the batch was made, in
/// milliseconds: its author could not know of that change. So whoever loses a race is told within this time, and not
/// after [`BATCH_AGE_MAX_MS`].
pub const CHANGE_SETTLED_MS: u64 = 10 * 60 * 1000;

const COUNTS: &[CountBound] =
    &[CountBound { what: "records of a batch", path: &[2], max: BATCH_RECORDS_MAX }];

/// Hash of a head without its signatures: names a batch, whatever happens to the signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub Hash);

impl core::fmt::Display for BatchId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

/// Who writes a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Author {
    /// An issuer, with one of its keys.
    Issuer {
        /// Which issuer.
        issuer: IssuerId,
        /// Which of its keys.
        key: KeyId,
    },
    /// The genesis itself; only as the first leaf of the log.
    Genesis,
}

/// What an author signs, once for all records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchHead {
    /// The ledger it is for.
    pub ledger: LedgerId,
    /// The author's clock.
    pub created_at: TimeMs,
    /// 1 to 10,000.
    pub record_count: u32,
    /// RFC 6962 root over the records' leaf hashes.
    pub records_root: Hash,
    /// Whose key signed, and its signature, ascending by key id.
    pub signatures: Vec<(KeyId, Signature)>,
    /// Who writes.
    pub author: Author,
}

/// Why a head is not signed as it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorError {
    /// The grant is another issuer's.
    #[error("the batch is of another issuer than the grant")]
    AnotherIssuer,
    /// The key is not one of the issuer's, or not good at that time.
    #[error("the batch is signed with a key that its issuer does not have, or not at that time")]
    KeyNotValid,
    /// Another number of signatures, or of another key, than the author calls for.
    #[error("a batch of an issuer carries exactly one signature, of the key it names")]
    WrongSigners,
    /// The signature is not the key's.
    #[error("the signature on the batch is not valid")]
    BadSignature,
}

impl BatchHead {
    /// The batch id: SHA-256([`domain::BATCH_ID`] ‖ head without signatures).
    #[must_use]
    pub fn id(&self) -> BatchId {
        BatchId(Hash::of(&[domain::BATCH_ID, &self.unsigned_bytes()]))
    }

    /// What is signed: [`domain::BATCH_SIGNATURE`] ‖ ledger id ‖ head without signatures.
    #[must_use]
    pub fn signing_bytes(&self) -> Vec<u8> {
        [domain::BATCH_SIGNATURE, self.ledger.0.as_ref(), &self.unsigned_bytes()].concat()
    }

    /// Checks that `grant` is the author's, covers its key at `time`, and that the signature is that key's.
    ///
    /// # Errors
    /// See [`AuthorError`].
    pub fn verify_author(&self, grant: &IssuerGrant, time: TimeMs) -> Result<(), AuthorError> {
        self.verify_author_with(grant, time, &key::strictly)
    }

    /// The same with another [`Verdict`] on the signature.
    ///
    /// # Errors
    /// See [`AuthorError`].
    pub fn verify_author_with(
        &self,
        grant: &IssuerGrant,
        time: TimeMs,
        verdict: Verdict<'_>,
    ) -> Result<(), AuthorError> {
        let Author::Issuer { issuer, key } = &self.author else { return Err(AuthorError::AnotherIssuer) };
        if *issuer != grant.issuer {
            return Err(AuthorError::AnotherIssuer);
        }
        let public = grant.key_at(*key, time).ok_or(AuthorError::KeyNotValid)?;
        let [(signer, signature)] = self.signatures.as_slice() else {
            return Err(AuthorError::WrongSigners);
        };
        if signer != key {
            return Err(AuthorError::WrongSigners);
        }
        if verdict(public, &self.signing_bytes(), signature) {
            Ok(())
        } else {
            Err(AuthorError::BadSignature)
        }
    }

    fn unsigned_bytes(&self) -> Vec<u8> {
        self.unsigned_wire().encode_to_vec()
    }

    pub(crate) fn from_wire(head: &wire::BatchHead) -> Result<Self, DecodeError> {
        use wire::batch_head::Author as Wire;
        codec::require_version("batch head", head.version)?;
        codec::require_count("records of a batch", head.record_count as usize, 1, BATCH_RECORDS_MAX)?;
        let author = match head.author.as_ref().ok_or(DecodeError::Missing("author of the batch"))? {
            Wire::Issuer(author) => Author::Issuer {
                issuer: IssuerId::new(&author.issuer_id)?,
                key: codec::key_id("author's key id", &author.key_id)?,
            },
            Wire::Genesis(_) => Author::Genesis,
        };
        let signatures = head
            .signatures
            .iter()
            .map(|s| Ok((codec::key_id("signer", &s.key_id)?, codec::signature("signature", &s.signature)?)))
            .collect::<Result<Vec<_>, DecodeError>>()?;
        let wanted = usize::from(author != Author::Genesis);
        codec::require_count("signatures of a batch head", signatures.len(), wanted, wanted)?;
        Ok(Self {
            ledger: LedgerId(codec::hash("ledger id", &head.ledger_id)?),
            created_at: TimeMs(head.created_at_ms),
            record_count: head.record_count,
            records_root: codec::hash("records' root", &head.records_root)?,
            signatures,
            author,
        })
    }

    pub(crate) fn to_wire(&self) -> wire::BatchHead {
        let signature = |(key, signature): &(KeyId, Signature)| wire::Signature {
            key_id: key.0.to_vec(),
            signature: signature.0.to_vec(),
        };
        let signatures = self.signatures.iter().map(signature).collect();
        wire::BatchHead { signatures, ..self.unsigned_wire() }
    }

    fn unsigned_wire(&self) -> wire::BatchHead {
        use wire::batch_head::Author as Wire;
        let author = match &self.author {
            Author::Issuer { issuer, key } => {
                Wire::Issuer(wire::IssuerAuthor { issuer_id: issuer.as_str().into(), key_id: key.0.to_vec() })
            }
            Author::Genesis => Wire::Genesis(wire::GenesisAuthor {}),
        };
        wire::BatchHead {
            version: 1,
            ledger_id: self.ledger.0.0.to_vec(),
            created_at_ms: self.created_at.0,
            record_count: self.record_count,
            records_root: self.records_root.0.to_vec(),
            signatures: Vec::new(),
            author: Some(author),
        }
    }
}

/// A batch as submitted, stored and executed: its own bytes, and what they say.
///
/// It is well-formed (canonical, count and root match the head, no record twice); whether its author may write it
/// is a question to a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    bytes: Bytes,
    head: BatchHead,
    head_leaf: Bytes,
    /// Both names are asked for many times.
    id: BatchId,
    head_hash: Hash,
    records: Vec<RecordLeaf>,
}

/// One record of a batch with the bytes it stands for in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordLeaf {
    /// Canonical leaf bytes.
    pub bytes: Bytes,
    /// Their RFC 6962 leaf hash.
    pub hash: Hash,
    /// What they say.
    pub record: Record,
}

/// Numbers of the fields of `wire::Batch`.
const HEAD_FIELD: u32 = 1;
const RECORDS_FIELD: u32 = 2;

/// The leaves of a batch, as places in its bytes: most callers want one of thousands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchLeaves {
    bytes: Bytes,
    head: Range<usize>,
    records: Vec<Range<usize>>,
}

impl BatchLeaves {
    /// The head's leaf.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        &self.bytes[self.head.clone()]
    }

    /// The leaf of record number `position`.
    #[must_use]
    pub fn record(&self, position: usize) -> Option<&[u8]> {
        self.records.get(position).map(|place| &self.bytes[place.clone()])
    }

    /// How many records there are.
    #[must_use]
    pub const fn record_count(&self) -> usize {
        self.records.len()
    }
}

impl Batch {
    /// Decodes and checks a batch of at most [`BATCH_MAX`] bytes.
    ///
    /// # Errors
    /// See [`DecodeError`].
    pub fn decode(bytes: impl Into<Bytes>) -> Result<Self, DecodeError> {
        let bytes = bytes.into();
        codec::require_bounds("batch", &bytes, BATCH_MAX, COUNTS)?;
        // The parts stand on the received bytes, so that they are not copied.
        let message = wire::Batch::decode(bytes.clone()).map_err(|_| DecodeError::Malformed("batch"))?;
        codec::require_count("records of a batch", message.records.len(), 1, BATCH_RECORDS_MAX)?;
        codec::require_canonical("batch", &bytes, &message)?;
        let head = Leaf::decode(&message.head)?.into_batch_head()?;
        let records = message.records.into_iter().map(RecordLeaf::decode).collect::<Result<Vec<_>, _>>()?;
        let (id, head_hash) = (head.id(), log::leaf_hash(&message.head));
        let batch = Self { bytes, head, head_leaf: message.head, id, head_hash, records };
        batch.check_head()?;
        Ok(batch)
    }

    /// Splits the bytes of a batch that was checked before into the leaves of its head and records, without
    /// checking them again.
    ///
    /// # Errors
    /// [`DecodeError`] where the bytes are no batch at all.
    pub fn split(bytes: impl Into<Bytes>) -> Result<BatchLeaves, DecodeError> {
        let bytes = bytes.into();
        let (mut rest, mut head, mut records) = (&bytes[..], 0..0, Vec::new());
        let wrong = || DecodeError::Malformed("batch");
        while !rest.is_empty() {
            let (field, length) = codec::delimited(&mut rest).ok_or_else(wrong)?;
            let start = bytes.len() - rest.len();
            rest = rest.get(length..).ok_or_else(wrong)?;
            match field {
                HEAD_FIELD => head = start..start + length,
                RECORDS_FIELD => records.push(start..start + length),
                _ => return Err(wrong()),
            }
        }
        Ok(BatchLeaves { bytes, head, records })
    }

    /// Signs records as a batch of an issuer.
    ///
    /// # Errors
    /// [`DecodeError`] where the records do not fit into one batch or one stands in it twice.
    pub fn sign(
        ledger: LedgerId,
        issuer: &IssuerId,
        key: &(impl Sign + ?Sized),
        created_at: TimeMs,
        records: &[Record],
    ) -> Result<Self, DecodeError> {
        let key_id = key.public().id();
        let author = Author::Issuer { issuer: issuer.clone(), key: key_id };
        let (mut head, leaves) = Self::unsigned(ledger, author, created_at, records)?;
        head.signatures = vec![(key_id, key.sign(&head.signing_bytes()))];
        Self::assemble(head, leaves)
    }

    /// The one batch of block 0.
    ///
    /// # Errors
    /// [`DecodeError`] where the records do not fit into one batch.
    pub(crate) fn genesis(ledger: LedgerId, time: TimeMs, records: &[Record]) -> Result<Self, DecodeError> {
        let (head, leaves) = Self::unsigned(ledger, Author::Genesis, time, records)?;
        Self::assemble(head, leaves)
    }

    fn unsigned(
        ledger: LedgerId,
        author: Author,
        created_at: TimeMs,
        records: &[Record],
    ) -> Result<(BatchHead, Vec<Bytes>), DecodeError> {
        codec::require_count("records of a batch", records.len(), 1, BATCH_RECORDS_MAX)?;
        let leaves: Vec<Bytes> = records.iter().map(|r| Bytes::from(r.to_leaf())).collect();
        let hashes: Vec<Hash> = leaves.iter().map(|leaf| log::leaf_hash(leaf)).collect();
        let record_count = u32::try_from(records.len()).expect("at most 10,000 were let through above");
        let records_root = log::root_of(&hashes);
        let head =
            BatchHead { ledger, created_at, record_count, records_root, signatures: Vec::new(), author };
        Ok((head, leaves))
    }

    fn assemble(head: BatchHead, records: Vec<Bytes>) -> Result<Self, DecodeError> {
        let head = Bytes::from(Leaf::BatchHead(head).encode());
        Self::decode(wire::Batch { head, records }.encode_to_vec())
    }

    fn check_head(&self) -> Result<(), DecodeError> {
        if self.head.record_count as usize != self.records.len() {
            return Err(DecodeError::Value {
                what: "record count of the batch head",
                rule: "must be the number of records that follow",
            });
        }
        let hashes: Vec<Hash> = self.records.iter().map(|r| r.hash).collect();
        if log::root_of(&hashes) != self.head.records_root {
            return Err(DecodeError::Value {
                what: "records' root of the batch head",
                rule: "must be the RFC 6962 root over the records that follow",
            });
        }
        let distinct: BTreeSet<&Hash> = hashes.iter().collect();
        if distinct.len() != hashes.len() {
            return Err(DecodeError::Value { what: "records of a batch", rule: "must all be different" });
        }
        Ok(())
    }

    /// The canonical bytes, as received.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The head.
    #[must_use]
    pub const fn head(&self) -> &BatchHead {
        &self.head
    }

    /// The leaf hash of the signed head: names this version of the batch, where its id names all.
    #[must_use]
    pub const fn head_hash(&self) -> Hash {
        self.head_hash
    }

    /// The leaf bytes of the signed head.
    #[must_use]
    pub const fn head_leaf(&self) -> &Bytes {
        &self.head_leaf
    }

    /// The records in order.
    #[must_use]
    pub fn records(&self) -> &[RecordLeaf] {
        &self.records
    }

    /// The batch id.
    #[must_use]
    pub const fn id(&self) -> BatchId {
        self.id
    }

    /// Leaf hashes in log order: the head's, then the records'.
    pub fn leaf_hashes(&self) -> impl Iterator<Item = Hash> + '_ {
        core::iter::once(self.head_hash).chain(self.records.iter().map(|r| r.hash))
    }
}

impl RecordLeaf {
    fn decode(bytes: Bytes) -> Result<Self, DecodeError> {
        let record = Leaf::decode(&bytes)?.into_record()?;
        Ok(Self { hash: log::leaf_hash(&bytes), bytes, record })
    }
}
