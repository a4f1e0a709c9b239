//! Formats and verification of the Markstein ledger.
//!
//! Everything that is hashed, signed, stored or handed to a citizen is defined here, together with the code that
//! checks it. The crate has no I/O, no clock and no runtime: what it decides depends on its arguments alone, so
//! a node, a client and an auditor come to the same verdict on every machine.
#![no_std]

extern crate alloc;

pub mod domain;
pub mod encoding;
mod hash;
mod ids;
mod key;
pub mod log;
pub mod note;
pub mod status;

pub use hash::{Hash, HashFromSliceError};
pub use ids::{EpochId, Height, LeafIndex, LogSize, TimeMs, View};
pub use key::{KeyError, KeyId, PublicKey, SecretKey, Signature, SignatureError};
