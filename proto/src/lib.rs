//! Formats and verification of the Markstein ledger.
//!
//! Everything that is hashed, signed, stored or handed to a citizen is defined here, together with the code that
//! checks it. The crate has no I/O, no clock and no runtime: what it decides depends on its arguments alone, so
//! a node, a client and an auditor come to the same verdict on every machine.
#![no_std]

extern crate alloc;

mod authority;
mod batch;
mod codec;
pub mod consensus;
pub mod cose;
pub mod domain;
pub mod encoding;
mod genesis;
mod genesis_file;
mod hash;
mod header;
mod ids;
mod key;
mod key_file;
mod leaf;
pub mod log;
mod names;
pub mod note;
pub mod receipt;
mod record;
pub mod status;
mod status_change;
mod wire;

pub use authority::{AUTHORITIES_MAX, AUTHORITY_SET_MAX, Authority, AuthoritySet};
pub use batch::{
    Author, AuthorError, BATCH_AGE_MAX_MS, BATCH_MAX, BATCH_RECORDS_MAX, Batch, BatchHead, BatchId,
    BatchLeaves, CHANGE_SETTLED_MS, RecordLeaf,
};
pub use codec::{CountBound, DecodeError, decode_bounded, display_name, is_deceptive, require_different};
pub use genesis::{DocumentType, GENESIS_MAX, Genesis, LedgerId, Parameters};
pub use genesis_file::{AuthorityEntry, GENESIS_FILE_MAX, GenesisFileError, IssuerEntry, IssuerKeyEntry};
pub use hash::{Hash, HashFromSliceError};
pub use header::Header;
pub use ids::{EpochId, Height, LeafIndex, LogSize, TimeMs, View};
pub use key::{KeyError, KeyId, PublicKey, SecretKey, Sign, Signature, SignatureError, Verdict};
pub use key_file::{KEY_FILE_MAX, KeyFile, KeyFileError, KeyPurpose};
pub use leaf::{LEAF_MAX, Leaf};
pub use names::{AuthorityId, DocumentTypeName, IssuerId, ObserverName, SLUG_MAX};
pub use prost::bytes::Bytes;
pub use record::{Anchor, Commitment, DocumentDigest, IssuerGrant, IssuerKey, Record, Salt};
pub use status_change::{Reason, StatusChange};
