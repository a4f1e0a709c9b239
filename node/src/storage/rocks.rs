//! The store on disk: one RocksDB column family per table.
//!
//! Damage is reported, never hidden: checksums are verified on every read but those whose caller compares the value with a
//! hash, and the write-ahead log is replayed in
//! the mode that forgives nothing but a torn tail, which is what a power cut leaves of writes nobody was promised.
//! (Point-in-time recovery would silently drop synced votes behind a damaged record, and skipping would tear holes.)
//! Every write goes through the log, and RocksDB syncs the closed logs before a flush of one of several column
//! families counts, so the tables stay consistent with each other without atomic flushes.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType,
    DBRawIteratorWithThreadMode, DBRecoveryMode, ErrorKind, LogLevel, Options, ReadOptions, Snapshot,
    WriteBatch, WriteOptions,
};
use tokio::sync::watch;

use super::backend::{Backend, Direction, Durability, Pair, ReadBytes, Scan, WriteOp, WriteSet};
use super::error::StorageError;
use super::tables::{ADDED_LATER, TABLES};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Blocks of tables kept in memory, with their indexes and filters; shared by all tables.
const BLOCK_CACHE_BYTES: usize = 32 * MIB;
/// Newest writes kept in memory: of one table, and of all together.
const WRITE_BUFFER_BYTES: usize = 8 * MIB;
const WRITE_BUFFERS_BYTES: usize = 32 * MIB;
/// Memory a table takes with its first write; many of our tables hold little.
const ARENA_BLOCK_BYTES: usize = 64 * KIB;
/// The write-ahead log is replayed at every start: this bounds how long that takes.
const WAL_BYTES_MAX: u64 = 64 * MIB as u64;
const OPEN_FILES_MAX: i32 = 256;
const BACKGROUND_JOBS: i32 = 2;
/// One key in a hundred that is absent costs a read (10 bits a key).
const BLOOM_BITS_PER_KEY: f64 = 10.0;
/// In tables of large values, values from this size on are kept in files of their own, so that sorting keys does
/// not copy them again and again.
const LARGE_VALUE_BYTES: u64 = 4 * KIB as u64;
const LOG_FILE_BYTES: usize = MIB;
const LOG_FILES: usize = 3;

/// A store in a folder of its own.
pub struct RocksStore {
    db: DB,
    path: PathBuf,
    /// The first write failure: from then on no write is tried.
    failed: OnceLock<String>,
    /// Dropped after the database, for fields are dropped in their order.
    open: watch::Sender<()>,
}

impl RocksStore {
    /// Creates an empty store in `path`, making the folder.
    ///
    /// # Errors
    /// [`StorageError::Exists`] if anything is there already; otherwise if the disk fails.
    pub fn create(path: &Path) -> Result<Self, StorageError> {
        if !is_vacant(path)? {
            return Err(StorageError::Exists { path: path.to_owned() });
        }
        let mut options = database_options();
        options.create_if_missing(true);
        options.set_error_if_exists(true);
        Self::start(path, &options, &BTreeSet::new())
    }

    /// Opens the store in `path`; never creates one.
    ///
    /// # Errors
    /// [`StorageError::Missing`] if there is none, [`StorageError::Locked`] if another process has it,
    /// [`StorageError::CorruptStore`] if it is damaged; otherwise if the disk fails.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        Self::start(path, &database_options(), &present_tables(path)?)
    }

    /// Opens these tables of the store in `path` for reading. Nothing in the folder changes, and damage that lies in
    /// other tables is not met. Takes no lock: the caller sees to it that nobody has the store open.
    ///
    /// # Errors
    /// As [`open`](Self::open), but for the lock.
    pub fn open_to_read(path: &Path, tables: &[&str]) -> Result<Self, StorageError> {
        present_tables(path)?;
        let cache = Cache::new_lru_cache(BLOCK_CACHE_BYTES);
        let wanted = TABLES.iter().filter(|table| tables.contains(&table.name));
        let descriptors = wanted
            .map(|table| ColumnFamilyDescriptor::new(table.name, table_options(&cache, table.large_values)));
        let db = DB::open_cf_descriptors_read_only(&database_options(), path, descriptors, false)
            .map_err(|error| open_error(path, &error))?;
        Ok(Self { db, path: path.to_owned(), failed: OnceLock::new(), open: watch::Sender::new(()) })
    }

    /// Opens with the tables in `present`, which may be of another release, and with those of this release.
    fn start(path: &Path, options: &Options, present: &BTreeSet<String>) -> Result<Self, StorageError> {
        let cache = Cache::new_lru_cache(BLOCK_CACHE_BYTES);
        let ours = TABLES.iter().map(|table| (table.name, table.large_values));
        let foreign =
            present.iter().map(String::as_str).filter(|name| TABLES.iter().all(|t| t.name != *name));
        let descriptors = ours.chain(foreign.map(|name| (name, false))).map(|(name, large_values)| {
            ColumnFamilyDescriptor::new(name, table_options(&cache, large_values))
        });
        let db =
            DB::open_cf_descriptors(options, path, descriptors).map_err(|error| open_error(path, &error))?;
        Ok(Self { db, path: path.to_owned(), failed: OnceLock::new(), open: watch::Sender::new(()) })
    }

    /// Changes never, and ends when the store is closed: not when its last handle begins to, but when RocksDB is done.
    pub(super) fn closed(&self) -> watch::Receiver<()> {
        self.open.subscribe()
    }

    fn family(&self, table: &'static str) -> Option<&ColumnFamily> {
        self.db.cf_handle(table)
    }

    fn family_to_read(&self, table: &'static str) -> Result<&ColumnFamily, StorageError> {
        let missing = || StorageError::Read { table, reason: "there is no such table".to_owned() };
        self.family(table).ok_or_else(missing)
    }

    fn batch_of(&self, writes: &WriteSet) -> Result<WriteBatch, StorageError> {
        let family = |table| {
            let missing = || StorageError::Write { reason: format!("there is no table '{table}'") };
            self.family(table).ok_or_else(missing)
        };
        let mut batch = WriteBatch::default();
        for op in &writes.ops {
            match op {
                WriteOp::Put { table, key, value } => batch.put_cf(family(table)?, key, value),
                WriteOp::Delete { table, key } => batch.delete_cf(family(table)?, key),
            }
        }
        Ok(batch)
    }

    fn write(&self, batch: WriteBatch, durability: Durability) -> Result<(), rocksdb::Error> {
        match (durability, batch.is_empty()) {
            (Durability::Synced, true) => self.db.flush_wal(true),
            (Durability::Unsynced, true) => Ok(()),
            (_, false) => {
                let mut options = WriteOptions::default();
                options.set_sync(durability == Durability::Synced);
                self.db.write_opt(batch, &options)
            }
        }
    }

    /// Moves what is in memory into table files, so that tests can damage these.
    #[cfg(test)]
    pub(super) fn flush(&self) {
        TABLES.iter().filter_map(|table| self.family(table.name)).for_each(|family| {
            self.db.flush_cf(family).expect("a test store can be flushed");
        });
    }
}

impl fmt::Debug for RocksStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RocksStore").field("path", &self.path).finish_non_exhaustive()
    }
}

impl ReadBytes for RocksStore {
    fn get(&self, table: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        let family = self.family_to_read(table)?;
        self.db.get_cf_opt(family, key, &ReadOptions::default()).map_err(|error| read_error(table, &error))
    }

    fn scan(&self, table: &'static str, scan: &Scan) -> Result<Vec<Pair>, StorageError> {
        let family = self.family_to_read(table)?;
        if scan.is_empty() {
            return Ok(Vec::new());
        }
        collect(table, scan, self.db.raw_iterator_cf_opt(family, scan_options(scan)))
    }
}

impl Backend for RocksStore {
    fn commit(&self, writes: WriteSet, durability: Durability) -> Result<(), StorageError> {
        if let Some(cause) = self.failed.get() {
            return Err(StorageError::Poisoned { cause: cause.clone() });
        }
        let batch = self.batch_of(&writes)?;
        self.write(batch, durability).map_err(|error| {
            let error = write_error(&self.path, &error);
            // Another thread may have failed first; its cause is as good.
            let _ = self.failed.set(error.to_string());
            error
        })
    }

    fn snapshot(&self) -> Box<dyn ReadBytes + '_> {
        Box::new(RocksSnapshot { store: self, snapshot: self.db.snapshot() })
    }
}

struct RocksSnapshot<'a> {
    store: &'a RocksStore,
    snapshot: Snapshot<'a>,
}

impl ReadBytes for RocksSnapshot<'_> {
    fn get(&self, table: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        let family = self.store.family_to_read(table)?;
        self.snapshot.get_cf(family, key).map_err(|error| read_error(table, &error))
    }

    fn get_unchecked(&self, table: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        let mut options = ReadOptions::default();
        options.set_verify_checksums(false);
        options.fill_cache(false); // what nobody verified must not come from there for those who rely on it
        let family = self.store.family_to_read(table)?;
        self.snapshot.get_cf_opt(family, key, options).map_err(|error| read_error(table, &error))
    }

    fn scan(&self, table: &'static str, scan: &Scan) -> Result<Vec<Pair>, StorageError> {
        let family = self.store.family_to_read(table)?;
        if scan.is_empty() {
            return Ok(Vec::new());
        }
        collect(table, scan, self.snapshot.raw_iterator_cf_opt(family, scan_options(scan)))
    }
}

/// The tables that the store in `path` has, those of other releases included.
fn present_tables(path: &Path) -> Result<BTreeSet<String>, StorageError> {
    if is_vacant(path)? {
        return Err(StorageError::Missing { path: path.to_owned() });
    }
    let damaged = |reason| StorageError::CorruptStore { path: path.to_owned(), reason };
    if !path.join("CURRENT").exists() {
        return Err(damaged("its entry point, the file CURRENT, is gone".to_owned()));
    }
    let present = DB::list_cf(&database_options(), path).map_err(|error| open_error(path, &error))?;
    let present: BTreeSet<String> = present.into_iter().collect();
    // A list of files whose end is lost names less tables; making them anew would hide that they were lost.
    let lacks = |name: &&str| !present.contains(*name) && !ADDED_LATER.contains(name);
    match TABLES.iter().map(|table| table.name).find(lacks) {
        Some(name) => Err(damaged(format!("table '{name}' is gone from its list of files"))),
        None => Ok(present),
    }
}

/// Whether there is nothing at `path`, not even a damaged store. RocksDB itself does not tell these apart.
fn is_vacant(path: &Path) -> Result<bool, StorageError> {
    match std::fs::read_dir(path) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(StorageError::Open { path: path.to_owned(), reason: error.to_string() }),
    }
}

fn scan_options(scan: &Scan) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_iterate_lower_bound(scan.from.clone());
    if let Some(to) = &scan.to {
        options.set_iterate_upper_bound(to.clone());
    }
    options
}

/// Reads what the iterator, bounded by [`scan_options`], gives.
fn collect(
    table: &'static str,
    scan: &Scan,
    mut iterator: DBRawIteratorWithThreadMode<'_, DB>,
) -> Result<Vec<Pair>, StorageError> {
    let mut pairs = Vec::new();
    match scan.direction {
        Direction::Forward => iterator.seek_to_first(),
        Direction::Reverse => iterator.seek_to_last(),
    }
    while let Some((key, value)) = iterator.item() {
        pairs.push((key.to_vec(), value.to_vec()));
        if pairs.len() == scan.limit {
            return Ok(pairs);
        }
        match scan.direction {
            Direction::Forward => iterator.next(),
            Direction::Reverse => iterator.prev(),
        }
    }
    // An iterator also stops where it meets damage, so its end is not yet the end of the table.
    iterator.status().map_err(|error| read_error(table, &error))?;
    Ok(pairs)
}

fn database_options() -> Options {
    let mut options = Options::default();
    options.create_missing_column_families(true);
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_paranoid_checks(true);
    options.set_db_write_buffer_size(WRITE_BUFFERS_BYTES);
    options.set_max_total_wal_size(WAL_BYTES_MAX);
    options.set_max_open_files(OPEN_FILES_MAX);
    options.set_max_background_jobs(BACKGROUND_JOBS);
    options.set_log_level(LogLevel::Warn);
    options.set_max_log_file_size(LOG_FILE_BYTES);
    options.set_keep_log_file_num(LOG_FILES);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options
}

fn table_options(cache: &Cache, large_values: bool) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
    blocks.set_bloom_filter(BLOOM_BITS_PER_KEY, false);

    let mut options = Options::default();
    options.set_block_based_table_factory(&blocks);
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_write_buffer_size(WRITE_BUFFER_BYTES);
    options.set_arena_block_size(ARENA_BLOCK_BYTES);
    if large_values {
        options.set_enable_blob_files(true);
        options.set_min_blob_size(LARGE_VALUE_BYTES);
        options.set_enable_blob_gc(true);
    }
    options
}

/// RocksDB tells a held lock apart from other failures only in its text: the first is said of a holder in this
/// process, the second of one in another.
fn is_locked(error: &rocksdb::Error) -> bool {
    let text = error.as_ref();
    error.kind() == ErrorKind::IOError && (text.contains("lock hold by") || text.contains("While lock file"))
}

/// Likewise for a full disk (the system's ENOSPC) and a used-up quota (EDQUOT).
fn is_full(error: &rocksdb::Error) -> bool {
    let text = error.as_ref();
    text.contains("No space left on device") || text.contains("Disk quota exceeded")
}

/// What the disk does not give back any more is as lost as what it gives back otherwise.
fn is_damage(error: &rocksdb::Error) -> bool {
    let text = error.as_ref();
    error.kind() == ErrorKind::Corruption
        || text.contains("No such file or directory")
        || text.contains("Input/output error")
}

fn open_error(path: &Path, error: &rocksdb::Error) -> StorageError {
    let (path, reason) = (path.to_owned(), error.to_string());
    if is_locked(error) {
        StorageError::Locked { path }
    } else if is_full(error) {
        StorageError::NoSpace { reason }
    } else if is_damage(error) {
        StorageError::CorruptStore { path, reason }
    } else {
        StorageError::Open { path, reason }
    }
}

fn read_error(table: &'static str, error: &rocksdb::Error) -> StorageError {
    let reason = error.to_string();
    if is_damage(error) {
        StorageError::Corrupt { table, reason }
    } else {
        StorageError::Read { table, reason }
    }
}

fn write_error(path: &Path, error: &rocksdb::Error) -> StorageError {
    let reason = error.to_string();
    match error.kind() {
        ErrorKind::Corruption => StorageError::CorruptStore { path: path.to_owned(), reason },
        _ if is_full(error) => StorageError::NoSpace { reason },
        _ => StorageError::Write { reason },
    }
}
