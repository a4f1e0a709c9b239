//! One entry of the journal: a signed batch, the salts, and whose receipts go where.

use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::Path,
};

use markstein_proto::{
    Batch, BatchId, DecodeError, DocumentDigest, Hash, IssuerId, LedgerId, Record, RecordLeaf, Salt,
    SecretKey, TimeMs,
};
use prost::Message;

use crate::{
    batches::{Paper, Planned, Renewal},
    scan::Document,
};

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
    /// Of an anchor: the salt, which nobody else has, and the documents and where their receipts go.
    pub paper: Option<Paper>,
    /// Of a record that changes the status of another: that one's receipts.
    pub renewals: Vec<Renewal>,
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
    #[prost(message, repeated, tag = "4")]
    renewals: Vec<RenewalMessage>,
}

/// Paths are bytes, since not all of them are text.
#[derive(Clone, PartialEq, Message)]
struct DocumentMessage {
    #[prost(bytes = "vec", tag = "1")]
    path: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    receipt: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct RenewalMessage {
    #[prost(bytes = "vec", tag = "1")]
    like: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    receipt: Vec<u8>,
    #[prost(bytes = "vec", optional, tag = "3")]
    salt: Option<Vec<u8>>,
}

impl Entry {
    /// Signs planned records as a batch.
    ///
    /// # Errors
    /// [`DecodeError`] where they make no batch.
    pub fn sign(planned: Vec<Planned>, signer: Signer<'_>, now: TimeMs) -> Result<Self, DecodeError> {
        let records: Vec<Record> = planned.iter().map(|p| p.record.clone()).collect();
        let batch = Batch::sign(signer.ledger, signer.issuer, signer.key, now, &records)?;
        let record = |p: Planned| EntryRecord { paper: p.paper, renewals: p.renewals };
        Ok(Self { batch, records: planned.into_iter().map(record).collect(), replaces: None })
    }

    /// The same, in place of a batch that can never become final.
    #[must_use]
    pub fn in_place_of(self, other: BatchId) -> Self {
        Self { replaces: Some(other), ..self }
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

    /// The records as they were planned.
    #[must_use]
    pub fn planned(&self) -> Vec<Planned> {
        let parts = self.batch.records().iter().zip(&self.records);
        let planned = |(leaf, EntryRecord { paper, renewals }): (&RecordLeaf, &EntryRecord)| Planned {
            record: leaf.record.clone(),
            paper: paper.clone(),
            renewals: renewals.clone(),
        };
        parts.map(planned).collect()
    }

    /// The expired or dead batch that this one stands for.
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
        if message.records.len() != batch.records().len() {
            return Err(EntryError::Damaged);
        }
        let parts = message.records.into_iter().zip(batch.records());
        let records = parts.map(|(part, leaf)| EntryRecord::from_message(part, &leaf.record));
        let records = records.collect::<Option<Vec<_>>>().ok_or(EntryError::Damaged)?;
        Ok(Self { batch, records, replaces })
    }
}

impl EntryRecord {
    fn from_message(message: RecordMessage, record: &Record) -> Option<Self> {
        let RecordMessage { salt, digest, documents, renewals } = message;
        let path = |bytes| OsString::from_vec(bytes).into();
        let document = |d: DocumentMessage| Document { path: path(d.path), receipt: path(d.receipt) };
        let paper = if matches!(record, Record::Anchor(_)) {
            let (salt, digest) = (Salt(salt.try_into().ok()?), DocumentDigest(Hash(digest.try_into().ok()?)));
            Some(Paper { salt, digest, documents: documents.into_iter().map(document).collect() })
        } else if salt.is_empty() && digest.is_empty() && documents.is_empty() {
            None
        } else {
            return None;
        };
        let renewal = |r: RenewalMessage| {
            let salt = r.salt.map(|salt| salt.try_into().map(Salt)).transpose().ok()?;
            Some(Renewal { like: path(r.like), receipt: path(r.receipt), salt })
        };
        let renewals = renewals.into_iter().map(renewal).collect::<Option<_>>()?;
        Some(Self { paper, renewals })
    }
}

impl From<&EntryRecord> for RecordMessage {
    fn from(record: &EntryRecord) -> Self {
        let bytes = |path: &Path| path.as_os_str().as_bytes().to_vec();
        let document = |d: &Document| DocumentMessage { path: bytes(&d.path), receipt: bytes(&d.receipt) };
        let renewal = |r: &Renewal| RenewalMessage {
            like: bytes(&r.like),
            receipt: bytes(&r.receipt),
            salt: r.salt.map(|salt| salt.0.to_vec()),
        };
        let paper = record.paper.as_ref();
        Self {
            salt: paper.map(|p| p.salt.0.to_vec()).unwrap_or_default(),
            digest: paper.map(|p| p.digest.0.0.to_vec()).unwrap_or_default(),
            documents: paper.iter().flat_map(|p| &p.documents).map(document).collect(),
            renewals: record.renewals.iter().map(renewal).collect(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use markstein_proto::{LeafIndex, Reason, StatusChange, status::Status};

    use super::*;
    use crate::batches::plan_changes;

    #[test]
    fn changes_of_a_status_are_kept_with_the_receipts_to_renew() {
        let (issuer, key) = (IssuerId::new("permits.example").unwrap(), SecretKey::from_seed(&[1; 32]));
        let signer = Signer { ledger: LedgerId(Hash::ZERO), issuer: &issuer, key: &key };
        let change = |index| {
            let (from, to) = (Status::Valid, Status::Suspended);
            StatusChange::new(LeafIndex(index), from, to, Reason::Appeal).unwrap()
        };
        let renewal = |salt| Renewal { like: "/a.json".into(), receipt: "/new/a.json".into(), salt };
        let changes = vec![
            (change(9), vec![]),
            (change(7), vec![renewal(Some(Salt([7; 32]))), renewal(None), renewal(Some(Salt::PUBLIC))]),
        ];
        let planned = plan_changes(changes, 10).remove(0);
        let entry = Entry::sign(planned.clone(), signer, TimeMs(1)).unwrap();
        assert_eq!(Entry::decode(&entry.encode()), Ok(entry.clone()));
        assert_eq!(entry.planned(), planned);
        let again = entry.clone().in_place_of(entry.batch().id());
        assert_eq!(Entry::decode(&again.encode()).unwrap().replaces(), Some(entry.batch().id()));

        // A change has no paper, and an anchor has one.
        let paper = Paper { salt: Salt::PUBLIC, digest: DocumentDigest(Hash::ZERO), documents: vec![] };
        let mut wrong = entry;
        wrong.records[0].paper = Some(paper);
        assert_eq!(Entry::decode(&wrong.encode()), Err(EntryError::Damaged));
    }
}
