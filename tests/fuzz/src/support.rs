//! The stand-ins of the engine's tests: blocks, keys and a disk. In place of a seeded generator there are bytes.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../../../node/consensus/tests/support/blocks.rs"]
mod blocks;
#[path = "../../../node/consensus/tests/support/disk.rs"]
mod disk;
#[path = "../../../node/consensus/tests/support/keys.rs"]
mod keys;

pub use crate::bytes::Bytes as Random;
pub use blocks::*;
pub use disk::*;
pub use keys::*;
