//! The typed store: what the rest of the node reads and writes.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use super::backend::{Backend, Direction, Durability, Pair, ReadBytes, Scan, WriteOp, WriteSet};
use super::error::StorageError;
use super::table::{KeyCodec, Table, ValueCodec};
use crate::work::{self, Step};

/// A key of a table with its value.
pub type Entry<T> = (<T as Table>::Key, <T as Table>::Value);

/// Typed reads, the same from the newest state ([`Db`]) and from a fixed one ([`View`]).
pub trait Read {
    /// The bytes below.
    fn bytes(&self) -> &dyn ReadBytes;

    /// The value at `key`, if there is one.
    ///
    /// # Errors
    /// If the disk fails or the entry is damaged.
    fn get<T: Table>(&self, key: &T::Key) -> Result<Option<T::Value>, StorageError> {
        let bytes = read(self.bytes().get(T::NAME, &key.encode_key())?);
        bytes.map(|bytes| decode_value::<T>(&bytes)).transpose()
    }

    /// The same without a look at the store's checksum, for a caller who checks the value by other means.
    ///
    /// # Errors
    /// If the disk fails or the entry cannot be decoded.
    fn get_unchecked<T: Table>(&self, key: &T::Key) -> Result<Option<T::Value>, StorageError> {
        let bytes = read(self.bytes().get_unchecked(T::NAME, &key.encode_key())?);
        bytes.map(|bytes| decode_value::<T>(&bytes)).transpose()
    }

    /// Whether there is a value at `key`.
    ///
    /// # Errors
    /// If the disk fails or the entry is damaged.
    fn contains<T: Table>(&self, key: &T::Key) -> Result<bool, StorageError> {
        Ok(read(self.bytes().get(T::NAME, &key.encode_key())?).is_some())
    }

    /// The entries within `bounds`, smallest key first. From a [`Db`] each page of [`Table::PAGE`] entries is read
    /// when it is needed, so later pages show later commits; from a [`View`] all are of one state.
    fn range<T: Table>(&self, bounds: impl RangeBounds<T::Key>) -> Range<'_, T> {
        Range::new(self.bytes(), &bounds, Direction::Forward)
    }

    /// As [`range`](Self::range), greatest key first.
    fn range_reverse<T: Table>(&self, bounds: impl RangeBounds<T::Key>) -> Range<'_, T> {
        Range::new(self.bytes(), &bounds, Direction::Reverse)
    }

    /// The entry with the greatest key that is at most `key`.
    ///
    /// # Errors
    /// If the disk fails or the entry is damaged.
    fn last_at_or_below<T: Table>(&self, key: &T::Key) -> Result<Option<Entry<T>>, StorageError> {
        one::<T>(self.bytes(), (Bound::Unbounded, Bound::Included(key)), Direction::Reverse)
    }

    /// The entry with the smallest key that is at least `key`.
    ///
    /// # Errors
    /// If the disk fails or the entry is damaged.
    fn first_at_or_above<T: Table>(&self, key: &T::Key) -> Result<Option<Entry<T>>, StorageError> {
        one::<T>(self.bytes(), (Bound::Included(key), Bound::Unbounded), Direction::Forward)
    }

    /// The entry with the smallest key.
    ///
    /// # Errors
    /// If the disk fails or the entry is damaged.
    fn first<T: Table>(&self) -> Result<Option<Entry<T>>, StorageError> {
        one::<T>(self.bytes(), (Bound::Unbounded, Bound::Unbounded), Direction::Forward)
    }

    /// The entry with the greatest key.
    ///
    /// # Errors
    /// If the disk fails or the entry is damaged.
    fn last<T: Table>(&self) -> Result<Option<Entry<T>>, StorageError> {
        one::<T>(self.bytes(), (Bound::Unbounded, Bound::Unbounded), Direction::Reverse)
    }
}

/// A handle on the store; clones share it. The store is closed when the last one is dropped.
#[derive(Clone)]
pub struct Db {
    backend: Arc<dyn Backend>,
}

impl Db {
    /// The typed store over `backend`.
    #[must_use]
    pub fn new(backend: Arc<dyn Backend>) -> Self {
        Self { backend }
    }

    /// Applies all of `writes` or none; see [`Backend::commit`].
    ///
    /// # Errors
    /// If the disk fails, and ever after until the store is opened again.
    pub fn commit(&self, writes: Writes, durability: Durability) -> Result<(), StorageError> {
        written(&writes.0, durability);
        self.backend.commit(writes.0, durability)
    }

    /// The state as it is now, unmoved by later commits.
    #[must_use]
    pub fn snapshot(&self) -> View<'_> {
        View { bytes: self.backend.snapshot() }
    }
}

impl Read for Db {
    fn bytes(&self) -> &dyn ReadBytes {
        &*self.backend
    }
}

impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Db").finish_non_exhaustive()
    }
}

/// One state of the store. Hold it shortly: it keeps overwritten entries alive.
pub struct View<'a> {
    bytes: Box<dyn ReadBytes + 'a>,
}

impl Read for View<'_> {
    fn bytes(&self) -> &dyn ReadBytes {
        &*self.bytes
    }
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").finish_non_exhaustive()
    }
}

/// Writes to be committed together, in order: the last one on a key counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writes(WriteSet);

impl Writes {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the value at `key`, whatever was there.
    pub fn put<T: Table>(&mut self, key: &T::Key, value: &T::Value) -> &mut Self {
        let (key, value) = (key.encode_key(), value.encode_value());
        self.0.ops.push(WriteOp::Put { table: T::NAME, key, value });
        self
    }

    /// Removes `key`, if it is there.
    pub fn delete<T: Table>(&mut self, key: &T::Key) -> &mut Self {
        self.0.ops.push(WriteOp::Delete { table: T::NAME, key: key.encode_key() });
        self
    }

    /// Adds the writes of `other` after these.
    pub fn append(&mut self, other: Self) -> &mut Self {
        self.0.ops.extend(other.0.ops);
        self
    }

    /// Number of writes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.ops.len()
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.ops.is_empty()
    }
}

/// The entries of a part of a table, read page by page; it ends after the first error.
pub struct Range<'a, T: Table> {
    bytes: &'a dyn ReadBytes,
    rest: Scan,
    page: std::vec::IntoIter<Pair>,
    ended: bool,
    table: PhantomData<fn() -> T>,
}

impl<'a, T: Table> Range<'a, T> {
    fn new(bytes: &'a dyn ReadBytes, bounds: &impl RangeBounds<T::Key>, direction: Direction) -> Self {
        let rest = scan_of((bounds.start_bound(), bounds.end_bound()), direction, T::PAGE);
        Self { bytes, rest, page: Vec::new().into_iter(), ended: false, table: PhantomData }
    }

    fn next_page(&mut self) -> Result<(), StorageError> {
        let page = scanned(self.bytes.scan(T::NAME, &self.rest)?);
        match page.last() {
            Some((key, _)) if page.len() == self.rest.limit => match self.rest.direction {
                Direction::Forward => self.rest.from = successor(key.clone()),
                Direction::Reverse => self.rest.to = Some(key.clone()),
            },
            _ => self.ended = true,
        }
        self.page = page.into_iter();
        Ok(())
    }

    fn next_entry(&mut self) -> Result<Option<Entry<T>>, StorageError> {
        if self.page.len() == 0 && !self.ended {
            self.next_page()?;
        }
        self.page.next().map(|pair| decode_pair::<T>(&pair)).transpose()
    }
}

impl<T: Table> Iterator for Range<'_, T> {
    type Item = Result<Entry<T>, StorageError>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.next_entry();
        if entry.is_err() {
            self.ended = true;
            self.page = Vec::new().into_iter();
        }
        entry.transpose()
    }
}

impl<T: Table> std::iter::FusedIterator for Range<'_, T> {}

impl<T: Table> fmt::Debug for Range<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Range").field("table", &T::NAME).field("rest", &self.rest).finish_non_exhaustive()
    }
}

/// Charges for a value that was asked for.
fn read(bytes: Option<Vec<u8>>) -> Option<Vec<u8>> {
    work::charge(Step::Read, 1);
    work::charge(Step::ReadByte, bytes.as_ref().map_or(0, Vec::len));
    bytes
}

/// Charges for a page of a range.
fn scanned(pairs: Vec<Pair>) -> Vec<Pair> {
    work::charge(Step::Read, 1);
    work::charge(Step::ReadByte, pairs.iter().map(|(key, value)| key.len() + value.len()).sum());
    pairs
}

/// Charges for a commit.
fn written(writes: &WriteSet, durability: Durability) {
    let length = |op: &WriteOp| match op {
        WriteOp::Put { key, value, .. } => key.len() + value.len(),
        WriteOp::Delete { key, .. } => key.len(),
    };
    work::charge(Step::Write, writes.ops.len());
    work::charge(Step::WrittenByte, writes.ops.iter().map(length).sum());
    work::charge(Step::Sync, usize::from(durability == Durability::Synced));
}

/// The first entry within `bounds` in `direction`.
fn one<T: Table>(
    bytes: &dyn ReadBytes,
    bounds: (Bound<&T::Key>, Bound<&T::Key>),
    direction: Direction,
) -> Result<Option<Entry<T>>, StorageError> {
    let pairs = scanned(bytes.scan(T::NAME, &scan_of(bounds, direction, 1))?);
    pairs.first().map(decode_pair::<T>).transpose()
}

fn scan_of<K: KeyCodec>((start, end): (Bound<&K>, Bound<&K>), direction: Direction, limit: usize) -> Scan {
    let from = match start {
        Bound::Included(key) => key.encode_key(),
        Bound::Excluded(key) => successor(key.encode_key()),
        Bound::Unbounded => Vec::new(),
    };
    let to = match end {
        Bound::Included(key) => Some(successor(key.encode_key())),
        Bound::Excluded(key) => Some(key.encode_key()),
        Bound::Unbounded => None,
    };
    Scan { from, to, direction, limit }
}

/// The smallest byte string above `key`.
fn successor(mut key: Vec<u8>) -> Vec<u8> {
    key.push(0);
    key
}

fn decode_pair<T: Table>((key, value): &Pair) -> Result<Entry<T>, StorageError> {
    let decoded = T::Key::decode_key(key).ok_or_else(|| StorageError::Corrupt {
        table: T::NAME,
        reason: format!("a key of {} bytes is none of this table's", key.len()),
    })?;
    Ok((decoded, decode_value::<T>(value)?))
}

fn decode_value<T: Table>(bytes: &[u8]) -> Result<T::Value, StorageError> {
    T::Value::decode_value(bytes).ok_or_else(|| StorageError::Corrupt {
        table: T::NAME,
        reason: format!("a value of {} bytes is none of this table's", bytes.len()),
    })
}
