//! The client of the Markstein ledger: anchors documents and verifies them offline.
//!
//! Documents never leave the machine. What is sent are salted hashes, signed by an issuer; what comes back are
//! receipts, verified before they are written. Nothing is sent before it is durable in the [`journal`], so a run
//! that is killed at any moment is completed by the next one, and nothing is anchored twice.
//!
//! The way of a document: [`scan`] finds it, [`hash`] reads it, [`batches`] gives it a salt and a place, [`journal`]
//! keeps that, a [`node`] takes it, [`receipts`] checks and writes what comes back. [`session`] leads through all of
//! it; [`verify`] needs none of it.

pub mod api;
pub mod batches;
pub mod bench;
pub mod connect;
pub mod entry;
pub mod hash;
pub mod journal;
pub mod keys;
pub mod node;
pub mod observer;
pub mod receipts;
pub mod retry;
pub mod scan;
pub mod session;
#[cfg(test)]
mod testing;
pub mod text;
pub mod time;
pub mod trust;
pub mod verify;
