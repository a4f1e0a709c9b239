//! One entry of the journal: a signed batch, the salts, and whose receipts go where.

use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt, OsStringExt},
};

use markstein_proto::{
    Batch, BatchId, DecodeError, DocumentDigest, Hash, IssuerId, LedgerId, Record, Salt, SecretKey, TimeMs,
};
use prost::Message;

use crate::{batches::Planned, scan::Document};

/// A batch and what its receipts need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    batch: Batch,
    records: Vec<EntryRecord>,
    replaces: Option<BatchId>,
}

/// What belongs to one record of the batch, in the same order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryRecord {
    /// The salt, which nobody else has.
    pub salt: Salt,
    /// The document's digest.
    pub digest: DocumentDigest,
    /// The documents and where their receipts go.
    pub documents: Vec<Document>,
}

/// Why bytes are no entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Cut off or changed.
    #[error("this entry of the journal is damaged")]
    Damaged,
    /// The batch in it.
    #[error("the batch in this entry of the journal: {0}")]
    Batch(#[from] DecodeError),
}

/// Who signs.
#[derive(Clone, Copy, Debug)]
pub struct Signer<'a> {
    /// On which ledger.
    pub ledger: LedgerId,
    /// In whose name.
    pub issuer: &'a IssuerId,
    /// With which key.
    pub key: &'a SecretKey,
}

#[derive(Clone, PartialEq, Message)]
struct EntryMessage {
    #[prost(bytes = "vec", tag = "1")]
    batch: Vec<u8>,
    #[prost(message, repeated, tag = "2")]
    records: Vec<RecordMessage>,
    #[prost(bytes = "vec", optional, tag = "3")]
    replaces: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct RecordMessage {
    #[prost(bytes = "vec", tag = "1")]
    salt: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    digest: Vec<u8>,
    #[prost(message, repeated, tag = "3")]
    documents: Vec<DocumentMessage>,
}

/// Paths are bytes, since not all of them are text.
#[derive(Clone, PartialEq, Message)]
struct DocumentMessage {
    #[prost(bytes = "vec", tag = "1")]
    path: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    receipt: Vec<u8>,
}

impl Entry {
    /// Signs planned records as a batch.
    ///
    /// # Errors
    /// [`DecodeError`] where they make no batch.
    pub fn sign(planned: Vec<Planned>, signer: Signer<'_>, now: TimeMs) -> Result<Self, DecodeError> {
        let records: Vec<Record> = planned.iter().map(|p| Record::Anchor(p.anchor.clone())).collect();
        let batch = Batch::sign(signer.ledger, signer.issuer, signer.key, now, &records)?;
        let record = |p: Planned| EntryRecord { salt: p.salt, digest: p.digest, documents: p.documents };
        Ok(Self { batch, records: planned.into_iter().map(record).collect(), replaces: None })
    }

    /// The same records and salts, signed anew at another time because this batch expired. The new entry names this
    /// one, so that a run killed between writing the one and removing the other does not send both.
    ///
    /// # Errors
    /// [`DecodeError`], never for a batch that was signed before.
    pub fn sign_again(&self, signer: Signer<'_>, now: TimeMs) -> Result<Self, DecodeError> {
        let records: Vec<Record> = self.batch.records().iter().map(|r| r.record.clone()).collect();
        let batch = Batch::sign(signer.ledger, signer.issuer, signer.key, now, &records)?;
        Ok(Self { batch, records: self.records.clone(), replaces: Some(self.batch.id()) })
    }

    /// The batch.
    #[must_use]
    pub const fn batch(&self) -> &Batch {
        &self.batch
    }

    /// One for each record of the batch.
    #[must_use]
    pub fn records(&self) -> &[EntryRecord] {
        &self.records
    }

    /// The expired batch that this one stands for.
    #[must_use]
    pub const fn replaces(&self) -> Option<BatchId> {
        self.replaces
    }

    /// The bytes as they stand in the journal.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let message = EntryMessage {
            batch: self.batch.bytes().to_vec(),
            records: self.records.iter().map(RecordMessage::from).collect(),
            replaces: self.replaces.map(|id| id.0.0.to_vec()),
        };
        let message = message.encode_to_vec();
        [Hash::of(&[&message]).0.as_slice(), &message].concat()
    }

    /// Reads what [`Entry::encode`] wrote.
    ///
    /// # Errors
    /// See [`EntryError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        let (hash, message) = bytes.split_first_chunk::<32>().ok_or(EntryError::Damaged)?;
        if Hash::of(&[message]).0 != *hash {
            return Err(EntryError::Damaged);
        }
        let message = EntryMessage::decode(message).map_err(|_| EntryError::Damaged)?;
        let batch = Batch::decode(message.batch)?;
        let replaces = message.replaces.map(|id| Hash::try_from(id.as_slice()).map(BatchId));
        let replaces = replaces.transpose().map_err(|_| EntryError::Damaged)?;
        let records: Option<Vec<_>> = message.records.into_iter().map(EntryRecord::from_message).collect();
        match records {
            Some(records) if records.len() == batch.records().len() => Ok(Self { batch, records, replaces }),
            _ => Err(EntryError::Damaged),
        }
    }
}

impl EntryRecord {
    fn from_message(message: RecordMessage) -> Option<Self> {
        let path = |bytes| OsString::from_vec(bytes).into();
        let document = |d: DocumentMessage| Document { path: path(d.path), receipt: path(d.receipt) };
        Some(Self {
            salt: Salt(message.salt.try_into().ok()?),
            digest: DocumentDigest(Hash(message.digest.try_into().ok()?)),
            documents: message.documents.into_iter().map(document).collect(),
        })
    }
}

impl From<&EntryRecord> for RecordMessage {
    fn from(record: &EntryRecord) -> Self {
        let bytes = |path: &std::path::Path| path.as_os_str().as_bytes().to_vec();
        let document = |d: &Document| DocumentMessage { path: bytes(&d.path), receipt: bytes(&d.receipt) };
        Self {
            salt: record.salt.0.to_vec(),
            digest: record.digest.0.0.to_vec(),
            documents: record.documents.iter().map(document).collect(),
        }
    }
}
