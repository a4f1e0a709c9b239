//! A cluster of engines in one thread from one seed: simulated clock, network and disk, stand-in signatures, and
//! execution reduced to what consensus can see: the header binds parent and batches, and no batch is in twice.
#![allow(dead_code, unused_imports, clippy::unwrap_used, missing_docs)]

mod blocks;
mod cluster;
mod disk;
mod effects;
mod faults;
mod keys;
mod random;
mod scenarios;
mod traitors;

pub use blocks::*;
pub use cluster::*;
pub use disk::*;
pub use keys::*;
pub use random::*;
pub use scenarios::*;
pub use traitors::*;
