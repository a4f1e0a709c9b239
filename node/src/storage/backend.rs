//! A store of bytes: named tables of sorted byte keys, written atomically, read consistently.
//!
//! The trait is small and object-safe, so that everything above it runs unchanged on RocksDB and in memory.

use super::StorageError;

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// Reads from one state of the store: the newest (a [`Backend`]) or a fixed one (its snapshot).
pub trait ReadBytes: Send + Sync {
    /// The value at `key`, if there is one.
    ///
    /// # Errors
    /// If the disk fails or the entry is damaged.
    fn get(&self, table: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError>;

    /// The same for a caller who knows what the value must be: where it is damaged, it may come as it is.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    fn get_unchecked(&self, table: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.get(table, key)
    }

    /// The pairs within `scan`, in its direction, at most as many as its limit says.
    ///
    /// # Errors
    /// If the disk fails or an entry is damaged.
    fn scan(&self, table: &'static str, scan: &Scan) -> Result<Vec<Pair>, StorageError>;
}

/// A store that can be written.
pub trait Backend: ReadBytes {
    /// Applies all of `writes`, in order, or none. With [`Durability::Synced`] it returns once these and all earlier
    /// commits are on the disk; an empty set then syncs the earlier ones.
    ///
    /// # Errors
    /// If the disk fails. What is on the disk is then uncertain, and every further commit is refused with
    /// [`StorageError::Poisoned`] until the store is opened again.
    fn commit(&self, writes: WriteSet, durability: Durability) -> Result<(), StorageError>;

    /// The state as it is now, unmoved by later commits. Hold it shortly: it keeps overwritten entries alive.
    fn snapshot(&self) -> Box<dyn ReadBytes + '_>;
}

/// When a commit returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// When it is on the disk: it survives a power cut.
    Synced,
    /// When the system has it: it survives a crash of the process, not a power cut.
    Unsynced,
}

/// Which way a scan goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the smallest key up.
    Forward,
    /// From the greatest key down.
    Reverse,
}

/// A part of a table: keys from `from` (included) to `to` (excluded).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// The smallest key that belongs to it.
    pub from: Vec<u8>,
    /// The first key beyond it; `None` for the end of the table.
    pub to: Option<Vec<u8>>,
    /// Which end comes first.
    pub direction: Direction,
    /// The greatest number of pairs to return.
    pub limit: usize,
}

impl Scan {
    /// Whether no key at all lies within the bounds.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.limit == 0 || self.to.as_ref().is_some_and(|to| *to <= self.from)
    }
}

/// One step of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteOp {
    /// Set the value at a key, whatever was there.
    Put {
        /// Name of the table.
        table: &'static str,
        /// Where.
        key: Vec<u8>,
        /// What.
        value: Vec<u8>,
    },
    /// Remove a key, if it is there.
    Delete {
        /// Name of the table.
        table: &'static str,
        /// Where.
        key: Vec<u8>,
    },
}

/// The steps of one commit, in order: the last one on a key counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteSet {
    /// The steps.
    pub ops: Vec<WriteOp>,
}
