//! The node's storage without RocksDB: its tables, and the store of bytes in memory.

#[path = "../../../node/src/storage/backend.rs"]
mod backend;
#[path = "../../../node/src/storage/db.rs"]
mod db;
#[path = "../../../node/src/storage/error.rs"]
mod error;
#[path = "../../../node/src/storage/memory.rs"]
mod memory;
#[path = "../../../node/src/storage/table.rs"]
mod table;
#[path = "../../../node/src/storage/tables.rs"]
pub mod tables;

/// Named in the documentation of the tables.
pub const FORMAT_VERSION: u32 = 0;

pub use backend::{Backend, Direction, Durability, Pair, ReadBytes, Scan, WriteOp, WriteSet};
pub use db::{Db, Entry, Range, Read, View, Writes};
pub use error::StorageError;
pub use memory::{MemoryStore, WriteFailure};
pub use table::{Fixed, KeyCodec, Table, ValueCodec};
