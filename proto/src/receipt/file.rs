//! The receipt as JSON: `<document>.markstein.json`.
//!
//! Bytes are canonical base64 (RFC 4648 section 4, padded). A list of hashes is the base64 of the hashes one after
//! the other; that of a status proof is shorter (`status::proof`). Entries that are unknown or stand there twice are refused, and so is another JSON value that would be
//! read as the same receipt: a list in place of an object, `null`, an empty list of handovers or changes.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    AUTHORITY_SET_MAX, Hash, LEAF_MAX, LeafIndex, Salt,
    encoding::{base64_decode, base64_encode},
    status::{Chunk, PROOF_BYTES_MAX, StatusProof},
};

use super::{
    CHANGES_MAX, ChangeLeaves, HANDOVERS_MAX, Handover, PlacedLeaf, RECEIPT_FORMAT, RECEIPT_MAX, Receipt,
    ReceiptError,
};

/// Most hashes of one proof: five leaves, and three for each change, in a tree of 2^63.
const HASHES_MAX: usize = (5 + 3 * CHANGES_MAX) * 64;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    salt: Option<String>,
    record: LeafFile,
    batch_head: LeafFile,
    batch_path: String,
    grant: LeafFile,
    header: LeafFile,
    latest_header: LeafFile,
    proof: String,
    status: StatusFile,
    checkpoint: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    handovers: Vec<HandoverFile>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LeafFile {
    index: u64,
    leaf: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StatusFile {
    chunks: Vec<ChunkFile>,
    proof: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    changes: Vec<ChangeFile>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeFile {
    record: LeafFile,
    batch_head: LeafFile,
    header: LeafFile,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChunkFile {
    index: u64,
    bits: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HandoverFile {
    header: LeafFile,
    proof: String,
    checkpoint: String,
    authorities: String,
}

/// Only what tells the format, to say "newer" before anything else is looked at.
#[derive(Deserialize)]
struct FormatOnly {
    format: String,
}

impl Receipt {
    /// Reads a receipt file.
    ///
    /// # Errors
    /// See [`ReceiptError`].
    pub fn from_json(json: &[u8]) -> Result<Self, ReceiptError> {
        if json.len() > RECEIPT_MAX {
            return Err(ReceiptError::TooLong(json.len()));
        }
        // The message may quote the file, whose names and texts have any length.
        let malformed =
            |e: serde_json::Error| ReceiptError::Malformed(e.to_string().chars().take(200).collect());
        let FormatOnly { format } = serde_json::from_slice(json).map_err(malformed)?;
        if format != RECEIPT_FORMAT {
            return Err(ReceiptError::UnknownFormat(format.chars().take(64).collect()));
        }
        let file: File = serde_json::from_slice(json).map_err(malformed)?;
        // A part takes far more memory as a JSON value than in the file, so they are counted before that is made.
        let StatusFile { chunks, changes, .. } = &file.status;
        if file.handovers.len() > HANDOVERS_MAX || chunks.len() > 2 || changes.len() > CHANGES_MAX {
            return Err(ReceiptError::Malformed("more parts than a receipt can have".into()));
        }
        // Serde would also read a list as an object and `null` as an absent entry.
        let value: Value = serde_json::from_slice(json).map_err(malformed)?;
        if serde_json::to_value(&file).map_err(malformed)? != value {
            return Err(ReceiptError::Malformed(
                "its parts are objects, and what is empty is left out".into(),
            ));
        }
        Self::try_from(file)
    }

    /// The receipt file: one line of JSON, for many of them are kept and sent.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut json = serde_json::to_string(&File::from(self))
            .expect("strings, numbers and lists always have a JSON form");
        json.push('\n');
        json
    }
}

impl TryFrom<File> for Receipt {
    type Error = ReceiptError;

    fn try_from(file: File) -> Result<Self, ReceiptError> {
        let salt = file.salt.map(|text| fixed("salt", &text).map(Salt)).transpose()?;
        let chunks = file.status.chunks.iter().map(|c| Ok((c.index, Chunk(fixed("status chunk", &c.bits)?))));
        Ok(Self {
            salt,
            record: leaf("record", &file.record)?,
            batch_head: leaf("batch head", &file.batch_head)?,
            batch_path: hashes("batch path", &file.batch_path)?,
            grant: leaf("grant", &file.grant)?,
            header: leaf("header", &file.header)?,
            latest_header: leaf("latest header", &file.latest_header)?,
            proof: hashes("proof", &file.proof)?,
            status: StatusProof::from_bytes(
                chunks.collect::<Result<_, ReceiptError>>()?,
                &bytes("status proof", &file.status.proof, PROOF_BYTES_MAX)?,
            )
            .map_err(|_| ReceiptError::Length { field: "status proof" })?,
            changes: file.status.changes.iter().map(ChangeLeaves::try_from).collect::<Result<_, _>>()?,
            checkpoint: file.checkpoint,
            handovers: file.handovers.into_iter().map(Handover::try_from).collect::<Result<_, _>>()?,
        })
    }
}

impl TryFrom<&ChangeFile> for ChangeLeaves {
    type Error = ReceiptError;

    fn try_from(file: &ChangeFile) -> Result<Self, ReceiptError> {
        Ok(Self {
            record: leaf("status change", &file.record)?,
            batch_head: leaf("batch head of a status change", &file.batch_head)?,
            header: leaf("header of a status change", &file.header)?,
        })
    }
}

impl TryFrom<HandoverFile> for Handover {
    type Error = ReceiptError;

    fn try_from(file: HandoverFile) -> Result<Self, ReceiptError> {
        Ok(Self {
            header: leaf("header of a handover", &file.header)?,
            proof: hashes("proof of a handover", &file.proof)?,
            checkpoint: file.checkpoint,
            next: bytes("authorities of a handover", &file.authorities, AUTHORITY_SET_MAX)?,
        })
    }
}

impl From<&Receipt> for File {
    fn from(receipt: &Receipt) -> Self {
        let chunk =
            |(index, chunk): &(u64, Chunk)| ChunkFile { index: *index, bits: base64_encode(&chunk.0) };
        Self {
            format: RECEIPT_FORMAT.into(),
            salt: receipt.salt.map(|salt| base64_encode(&salt.0)),
            record: (&receipt.record).into(),
            batch_head: (&receipt.batch_head).into(),
            batch_path: hashes_text(&receipt.batch_path),
            grant: (&receipt.grant).into(),
            header: (&receipt.header).into(),
            latest_header: (&receipt.latest_header).into(),
            proof: hashes_text(&receipt.proof),
            status: StatusFile {
                chunks: receipt.status.chunks.iter().map(chunk).collect(),
                proof: base64_encode(&receipt.status.to_bytes()),
                changes: receipt.changes.iter().map(ChangeFile::from).collect(),
            },
            checkpoint: receipt.checkpoint.clone(),
            handovers: receipt.handovers.iter().map(HandoverFile::from).collect(),
        }
    }
}

impl From<&ChangeLeaves> for ChangeFile {
    fn from(change: &ChangeLeaves) -> Self {
        Self {
            record: (&change.record).into(),
            batch_head: (&change.batch_head).into(),
            header: (&change.header).into(),
        }
    }
}

impl From<&Handover> for HandoverFile {
    fn from(handover: &Handover) -> Self {
        Self {
            header: (&handover.header).into(),
            proof: hashes_text(&handover.proof),
            checkpoint: handover.checkpoint.clone(),
            authorities: base64_encode(&handover.next),
        }
    }
}

impl From<&PlacedLeaf> for LeafFile {
    fn from(leaf: &PlacedLeaf) -> Self {
        Self { index: leaf.index.0, leaf: base64_encode(&leaf.bytes) }
    }
}

fn bytes(field: &'static str, text: &str, max: usize) -> Result<Vec<u8>, ReceiptError> {
    base64_decode(text, max).map_err(|source| ReceiptError::Base64 { field, source })
}

fn fixed<const N: usize>(field: &'static str, text: &str) -> Result<[u8; N], ReceiptError> {
    bytes(field, text, N)?.try_into().map_err(|_| ReceiptError::Length { field })
}

fn leaf(field: &'static str, file: &LeafFile) -> Result<PlacedLeaf, ReceiptError> {
    Ok(PlacedLeaf { index: LeafIndex(file.index), bytes: bytes(field, &file.leaf, LEAF_MAX)? })
}

fn hashes(field: &'static str, text: &str) -> Result<Vec<Hash>, ReceiptError> {
    let bytes = bytes(field, text, HASHES_MAX * 32)?;
    let (whole, rest) = bytes.as_chunks::<32>();
    if rest.is_empty() {
        Ok(whole.iter().map(|h| Hash(*h)).collect())
    } else {
        Err(ReceiptError::Length { field })
    }
}

fn hashes_text(hashes: &[Hash]) -> String {
    base64_encode(&hashes.iter().flat_map(|h| h.0).collect::<Vec<u8>>())
}
