//! Where things stand in the log, in files that only grow: what an auditor must look up and need not keep in memory.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use markstein_proto::{Hash, LeafIndex};

/// Rows of `W` bytes in ascending order of the number that their first eight bytes are, big-endian. New rows are in memory
/// until [`Table::flush`].
#[derive(Debug)]
pub struct Table<const W: usize> {
    /// None for a table that is in memory only.
    file: Option<File>,
    /// Rows in the file that count.
    stored: u64,
    tail: Vec<[u8; W]>,
}

impl<const W: usize> Table<W> {
    /// A table without a file.
    #[must_use]
    pub const fn in_memory() -> Self {
        Self { file: None, stored: 0, tail: Vec::new() }
    }

    /// The first `rows` rows of a file, which is made where there is none. What stands behind them is forgotten.
    ///
    /// # Errors
    /// The system's word; [`io::ErrorKind::UnexpectedEof`] where the file has fewer rows.
    pub fn open(path: &Path, rows: u64) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let length = rows.checked_mul(W as u64).ok_or(io::ErrorKind::InvalidData)?;
        if file.metadata()?.len() < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.set_len(length)?;
        Ok(Self { file: Some(file), stored: rows, tail: Vec::new() })
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.stored + self.tail.len() as u64
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a row after all others.
    pub fn push(&mut self, row: [u8; W]) {
        self.tail.push(row);
    }

    /// Brings new rows to the disk.
    ///
    /// # Errors
    /// The system's word.
    pub fn flush(&mut self) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        file.write_all_at(self.tail.as_flattened(), self.stored * W as u64)?;
        file.sync_data()?;
        self.stored += self.tail.len() as u64;
        self.tail.clear();
        Ok(())
    }

    fn row(&self, number: u64) -> io::Result<[u8; W]> {
        if let Some(in_tail) = number.checked_sub(self.stored) {
            return Ok(self.tail[in_tail as usize]);
        }
        let mut row = [0; W];
        let file = self.file.as_ref().expect("only a table with a file has stored rows");
        file.read_exact_at(&mut row, number * W as u64)?;
        Ok(row)
    }

    /// The last row whose number is not above this one.
    ///
    /// # Errors
    /// The system's word.
    pub fn at_or_below(&self, number: u64) -> io::Result<Option<[u8; W]>> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if number_of(&self.row(middle)?) <= number { low = middle + 1 } else { high = middle }
        }
        low.checked_sub(1).map(|last| self.row(last)).transpose()
    }
}

fn number_of(row: &[u8]) -> u64 {
    row.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// What is kept of a log's batches and blocks.
#[derive(Debug)]
pub struct Places {
    /// Place of the head (8), number of records (4), number of the issuer (4).
    pub(super) batches: Table<16>,
    /// Places of records that are no anchors.
    pub(super) others: Table<8>,
    /// Size of the log with the block's header (8), its root (32).
    pub(super) blocks: Table<40>,
}

impl Places {
    /// In memory only, for a log that is read once.
    #[must_use]
    pub const fn in_memory() -> Self {
        Self { batches: Table::in_memory(), others: Table::in_memory(), blocks: Table::in_memory() }
    }

    /// Brings what is new to the disk.
    ///
    /// # Errors
    /// The system's word.
    pub fn flush(&mut self) -> io::Result<()> {
        self.batches.flush()?;
        self.others.flush()?;
        self.blocks.flush()
    }

    pub(super) fn add_batch(&mut self, head: LeafIndex, records: u32, issuer: u32) {
        let mut row = [0; 16];
        row[..8].copy_from_slice(&head.0.to_be_bytes());
        row[8..12].copy_from_slice(&records.to_be_bytes());
        row[12..].copy_from_slice(&issuer.to_be_bytes());
        self.batches.push(row);
    }

    pub(super) fn add_block(&mut self, size: u64, root: Hash) {
        let mut row = [0; 40];
        row[..8].copy_from_slice(&size.to_be_bytes());
        row[8..].copy_from_slice(&root.0);
        self.blocks.push(row);
    }

    /// Number of the issuer that anchored a document at this leaf; `None` where there is no anchor.
    ///
    /// # Errors
    /// The system's word.
    pub fn anchored_by(&self, leaf: LeafIndex) -> io::Result<Option<u32>> {
        let Some(row) = self.batches.at_or_below(leaf.0)? else { return Ok(None) };
        let (head, rest) = row.split_at(8);
        let [records, issuer] =
            [&rest[..4], &rest[4..]].map(|bytes| bytes.first_chunk().map_or(0, |b| u32::from_be_bytes(*b)));
        let position = leaf.0 - number_of(head);
        let is_record = (1..=u64::from(records)).contains(&position);
        let is_other = self.others.at_or_below(leaf.0)?.is_some_and(|row| number_of(&row) == leaf.0);
        Ok((is_record && !is_other).then_some(issuer))
    }

    /// The root of the log where a block ends with this many leaves; `None` where none does.
    ///
    /// # Errors
    /// The system's word.
    pub fn root_at(&self, size: u64) -> io::Result<Option<Hash>> {
        let row = self.blocks.at_or_below(size)?.filter(|row| number_of(row) == size);
        Ok(row.and_then(|row| Hash::try_from(&row[8..]).ok()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_in_the_file_and_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table");
        let mut table = Table::<8>::open(&path, 0).unwrap();
        assert_eq!(table.at_or_below(u64::MAX).unwrap(), None);
        let row = |n: u64| n.to_be_bytes();
        for n in 1..=50 {
            table.push(row(3 * n));
            if n == 20 || n == 35 {
                table.flush().unwrap();
            }
        }
        for n in 0..200 {
            let expected = (n >= 3).then(|| row((n / 3).min(50) * 3));
            assert_eq!(table.at_or_below(n).unwrap(), expected, "{n}");
        }
        let table = Table::<8>::open(&path, 30).unwrap();
        assert_eq!((table.len(), table.at_or_below(1000).unwrap()), (30, Some(row(90))));
        assert_eq!(Table::<8>::open(&path, 31).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn only_anchors_have_somebody_who_anchored_them() {
        let mut places = Places::in_memory();
        places.add_batch(LeafIndex(3), 2, 7);
        places.others.push(5_u64.to_be_bytes());
        places.add_batch(LeafIndex(7), 1, 9);
        let found: Vec<_> = (0..10).map(|leaf| places.anchored_by(LeafIndex(leaf)).unwrap()).collect();
        assert_eq!(found, [None, None, None, None, Some(7), None, None, None, Some(9), None]);
        places.add_block(7, Hash([1; 32]));
        places.add_block(10, Hash([2; 32]));
        assert_eq!(places.root_at(10).unwrap(), Some(Hash([2; 32])));
        assert_eq!([6, 8, 9, 11].map(|size| places.root_at(size).unwrap()), [None; 4]);
    }
}
