//! Batches, honest and not, made field by field.

use std::path::Path;

use anyhow::Context;
use markstein_client::keys::IssuerKey;
use markstein_proto::{
    Anchor, Author, Batch, BatchHead, BatchId, Commitment, DocumentDigest, Hash, IssuerId, Leaf, LedgerId,
    Record, Salt, SecretKey, TimeMs, log,
};

use crate::random::Random;

/// Who signs, and for which ledger.
#[derive(Clone, Debug)]
pub struct Signer {
    /// The ledger.
    pub ledger: LedgerId,
    /// The issuer.
    pub issuer: IssuerId,
    /// Its key.
    pub key: SecretKey,
}

/// A document's digest and salt, all that is needed for its record.
#[derive(Clone, Debug)]
pub struct Paper {
    /// SHA-256 of the document.
    pub digest: DocumentDigest,
    /// The salt.
    pub salt: Salt,
}

/// A batch with the papers behind its records, in their order.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The batch.
    pub batch: Batch,
    /// One for each record that was made from one.
    pub papers: Vec<Paper>,
}

impl Paper {
    /// A made-up one.
    pub fn random(random: &mut Random) -> Self {
        let mut bytes = || {
            let mut array = [0; 32];
            array.copy_from_slice(&random.bytes(32));
            array
        };
        Self { digest: DocumentDigest(Hash(bytes())), salt: Salt(bytes()) }
    }

    /// Its record, with document type 1.
    #[must_use]
    pub fn record(&self) -> Record {
        let commitment = Commitment::of(&self.salt, &self.digest);
        Record::Anchor(Anchor {
            commitment,
            public: false,
            document_type: 1,
            valid_until: None,
            supersedes: None,
        })
    }
}

impl Signer {
    /// The author of a key file that names its ledger.
    ///
    /// # Errors
    /// Where the file is none, or names none.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let IssuerKey { issuer, ledger, key } = IssuerKey::read(path)?;
        Ok(Self { ledger: ledger.context("the key file names no ledger")?, issuer, key })
    }

    /// A batch as an honest client makes it.
    ///
    /// # Errors
    /// Where the papers do not fit into one batch.
    pub fn submission(&self, created_at: TimeMs, papers: Vec<Paper>) -> anyhow::Result<Submission> {
        let records: Vec<Record> = papers.iter().map(Paper::record).collect();
        let batch = Batch::sign(self.ledger, &self.issuer, &self.key, created_at, &records)?;
        Ok(Submission { batch, papers })
    }

    /// A batch of any records that a batch may hold.
    ///
    /// # Errors
    /// Where they do not fit into one batch.
    pub fn records(&self, created_at: TimeMs, records: &[Record]) -> anyhow::Result<Submission> {
        let batch = Batch::sign(self.ledger, &self.issuer, &self.key, created_at, records)?;
        Ok(Submission { batch, papers: Vec::new() })
    }

    /// A batch of any leaves whatever, rightly signed.
    #[must_use]
    pub fn batch_of(&self, created_at: TimeMs, leaves: &[Vec<u8>]) -> Vec<u8> {
        let hashes: Vec<Hash> = leaves.iter().map(|leaf| log::leaf_hash(leaf)).collect();
        let key = self.key.public().id();
        let mut head = BatchHead {
            ledger: self.ledger,
            created_at,
            record_count: u32::try_from(leaves.len()).unwrap_or(u32::MAX),
            records_root: log::root_of(&hashes),
            signatures: Vec::new(),
            author: Author::Issuer { issuer: self.issuer.clone(), key },
        };
        head.signatures = vec![(key, self.key.sign(&head.signing_bytes()))];
        with_head(head, leaves)
    }
}

impl Submission {
    /// The batch id.
    #[must_use]
    pub fn id(&self) -> BatchId {
        self.batch.id()
    }

    /// The bytes to submit.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.batch.bytes().to_vec()
    }
}

/// A batch of this head and these leaves.
#[must_use]
pub fn with_head(head: BatchHead, leaves: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = field(1, &Leaf::BatchHead(head).encode());
    for leaf in leaves {
        bytes.extend(field(2, leaf));
    }
    bytes
}

/// A protobuf field of bytes.
#[must_use]
pub fn field(number: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    let mut length = value.len();
    while length >= 0x80 {
        bytes.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend_from_slice(value);
    bytes
}
