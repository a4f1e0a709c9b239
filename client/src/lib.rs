//! The client of the Markstein ledger: anchors documents and verifies them offline.
//!
//! Documents never leave the machine. What is sent are salted hashes, signed by an issuer; what comes back are
//! receipts, verified before they are written. Nothing is sent before it is durable in the [`journal`], so a run
//! that is killed at any moment is completed by the next one, and nothing is anchored twice.
//!
//! The way of a document: [`scan`] finds it, [`hash`] reads it, [`batches`] gives it a salt and a place, [`journal`]
//! keeps that, a [`node`] takes it, [`receipts`] checks and writes what comes back. [`session`] leads through all of
//! it; [`verify`] needs none of it. Whose status shall change, [`orders`] finds out of words or of a [`list`], and
//! [`changes`] which record brings it about; from there on the way is the same.
//!
//! Later, [`refresh`] gets newer receipts, and [`online`] a verdict of today. Both compare what nodes show with the
//! receipts at hand and with the newest log in the [`memory`]; two logs that exclude each other become [`evidence`].
//! Where several issuers anchored a document, [`offices`] says what follows. [`range`] gets a verdict without telling a node which record it is about.
//!
//! [`audit`] reads whole ledgers over plain HTTP. [`page`] makes one file of the page on which citizens check in their browser,
//! [`slip`] the paper that leads them there.

pub mod api;
pub mod audit;
pub mod batches;
pub mod bench;
pub mod changes;
pub mod connect;
pub mod cose;
pub mod entry;
pub mod evidence;
pub mod export;
pub mod hash;
pub mod http;
pub mod journal;
pub mod keys;
pub mod list;
pub mod memory;
pub mod node;
pub mod observer;
pub mod offices;
pub mod online;
pub mod orders;
pub mod page;
pub mod range;
pub mod receipts;
pub mod refresh;
pub mod retry;
pub mod scan;
pub mod seen;
pub mod session;
pub mod slip;
#[cfg(test)]
mod testing;
pub mod text;
pub mod time;
pub mod trust;
pub mod verify;
