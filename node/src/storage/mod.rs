//! What the node keeps on its disk: typed tables over a store of bytes.
//!
//! Bottom up: [`Backend`] is a store of byte keys in named tables, kept in RocksDB ([`RocksStore`]) or in memory
//! ([`MemoryStore`], for tests and simulations); a [`Table`] gives one of them its key, value and order; [`Db`] reads
//! and writes typed entries; [`DataFolder`] is the folder of one node, bound to one ledger. Only this module sees
//! RocksDB. All calls block: async code calls them from threads made for blocking.
//!
//! Three rules hold in every backend, and one suite (`contract.rs`) checks them on each: a commit is atomic over
//! tables; a synced commit, and all before it, survive a power cut; after a failed write nothing is written until
//! the store is opened again.

mod backend;
mod db;
mod error;
mod folder;
mod memory;
mod rocks;
mod stopped;
mod table;
pub mod tables;

#[cfg(test)]
mod contract;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod failing_disk;

pub use backend::{Backend, Direction, Durability, Pair, ReadBytes, Scan, WriteOp, WriteSet};
pub use db::{Db, Entry, Range, Read, View, Writes};
pub use error::StorageError;
pub use folder::{DataFolder, FORMAT_VERSION, FolderError};
pub use memory::{MemoryStore, WriteFailure};
pub use rocks::RocksStore;
pub use stopped::StoppedFolder;
pub use table::{Fixed, KeyCodec, Table, ValueCodec};
