//! A node's disk: a store in memory that fails at a chosen commit, before or after it took it, rots, and counts what is
//! written.
//!
//! A commit that the power cut tore is there as a whole or not at all. RocksDB writes it as one record of its log, with a
//! checksum, and with the recovery that the store asks for (`TolerateCorruptedTailRecords`) an incomplete last record is
//! dropped when the store is opened. Damage anywhere else in that log is no torn tail: opening reports it
//! ([`Harm::Log`]). What lies in table files has a checksum by block, looked at on every read ([`Harm::Entry`]).

use std::{
    path::PathBuf,
    sync::{Mutex, MutexGuard},
};

use markstein_node::storage::{
    Backend, Direction, Durability, MemoryStore, Pair, ReadBytes, Scan, StorageError, WriteOp, WriteSet,
    tables::TABLES,
};

/// Tables that a node with nothing to do still writes: cosignatures, and the promise that goes with them.
const COSIGNING: [&str; 2] = ["cosignatures", "meta"];

pub struct Disk {
    store: MemoryStore,
    state: Mutex<State>,
}

/// How a disk is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Harm {
    /// The block of a table that has this entry: whoever reads it is told.
    Entry(&'static str, Vec<u8>),
    /// The log, before its end: whoever opens the store is told.
    Log,
}

#[derive(Default)]
struct State {
    harm: Option<Harm>,
    /// Commits that still succeed, and whether the one that fails reaches the store before the power goes.
    fails: Option<(u64, bool)>,
    failed: bool,
    /// Commits that wrote anything but cosignatures.
    written: u64,
}

impl Disk {
    pub fn new() -> Self {
        Self { store: MemoryStore::new(), state: Mutex::default() }
    }

    /// The power goes at a commit after `successes` more.
    pub fn fail_after(&self, successes: u64, taken: bool) {
        self.state().fails = Some((successes, taken));
    }

    /// It does not.
    pub fn fail_never(&self) {
        self.state().fails = None;
    }

    /// Whether that happened.
    pub fn has_failed(&self) -> bool {
        self.state().failed
    }

    /// Commits that wrote anything but cosignatures, since the beginning.
    pub fn written(&self) -> u64 {
        self.state().written
    }

    /// Damages one entry of a table, the one with this number if there are so many; tells whether there are any.
    pub fn rot(&self, table: &'static str, number: usize) -> bool {
        let pairs = self.store.scan(table, &everything()).unwrap();
        let Some(number) = number.checked_rem(pairs.len()) else { return false };
        self.state().harm = Some(Harm::Entry(table, pairs[number].0.clone()));
        true
    }

    /// Damages the log of the store.
    pub fn tear_log(&self) {
        self.state().harm = Some(Harm::Log);
    }

    /// What is damaged. An entry that was deleted meanwhile is read by nobody.
    pub fn harm(&self) -> Option<Harm> {
        let harm = self.state().harm.clone();
        harm.filter(|harm| match harm {
            Harm::Entry(table, key) => self.store.get(table, key).unwrap().is_some(),
            Harm::Log => true,
        })
    }

    /// What opening the store reports.
    pub fn open(&self) -> Result<(), StorageError> {
        let reason = "its log is damaged before its end".into();
        let error = StorageError::CorruptStore { path: PathBuf::from("db"), reason };
        if self.harm() == Some(Harm::Log) { Err(error) } else { Ok(()) }
    }

    /// An error where a read meets what is damaged.
    fn meet(&self, table: &'static str, meets: impl FnOnce(&[u8]) -> bool) -> Result<(), StorageError> {
        match &self.state().harm {
            Some(Harm::Entry(rotten, key)) if *rotten == table && meets(key) => {
                Err(StorageError::Corrupt { table, reason: "a block has another checksum".into() })
            }
            _ => Ok(()),
        }
    }

    /// How many commits a power cut can take away.
    pub fn unsynced(&self) -> usize {
        self.store.unsynced()
    }

    /// A power cut at which the disk had the first `kept` unsynced commits already.
    pub fn crash(&self, kept: usize) {
        self.store.crash_keeping(kept);
        let mut state = self.state();
        (state.fails, state.failed) = (None, false);
    }

    /// Everything on it, on another disk: what an operator has who copies the folder and puts it back later.
    pub fn copy(&self) -> Self {
        let copy = Self::new();
        self.copy_to(&copy.store);
        copy
    }

    /// What another store holds.
    pub fn of(store: &dyn ReadBytes) -> Self {
        let disk = Self::new();
        copy(store, &disk.store);
        disk
    }

    /// Writes all that is on it, damaged or not, to another store.
    pub fn copy_to(&self, to: &dyn Backend) {
        copy(&self.store, to);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

/// Copies all tables, each with one commit.
fn copy(from: &dyn ReadBytes, to: &dyn Backend) {
    for table in TABLES {
        let pairs = from.scan(table.name, &everything()).unwrap();
        let put = |(key, value)| WriteOp::Put { table: table.name, key, value };
        let writes = WriteSet { ops: pairs.into_iter().map(put).collect() };
        to.commit(writes, Durability::Synced).unwrap();
    }
}

const fn everything() -> Scan {
    Scan { from: Vec::new(), to: None, direction: Direction::Forward, limit: usize::MAX }
}

impl ReadBytes for Disk {
    fn get(&self, table: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.meet(table, |rotten| rotten == key)?;
        self.store.get(table, key)
    }

    fn scan(&self, table: &'static str, scan: &Scan) -> Result<Vec<Pair>, StorageError> {
        let pairs = self.store.scan(table, scan)?;
        self.meet(table, |rotten| pairs.iter().any(|(key, _)| key == rotten))?;
        Ok(pairs)
    }
}

impl Backend for Disk {
    fn commit(&self, writes: WriteSet, durability: Durability) -> Result<(), StorageError> {
        let error = || StorageError::Write { reason: "the power is gone".into() };
        let mut state = self.state();
        if state.failed {
            return Err(error());
        }
        match &mut state.fails {
            Some((0, taken)) => {
                // Taken or not, the caller never learns of it, and a sync that was begun is not to be relied on.
                let result = if *taken { self.store.commit(writes, Durability::Unsynced) } else { Ok(()) };
                state.failed = true;
                return result.and_then(|()| Err(error()));
            }
            Some((successes, _)) => *successes -= 1,
            None => {}
        }
        let table = |op: &WriteOp| match op {
            WriteOp::Put { table, .. } | WriteOp::Delete { table, .. } => *table,
        };
        state.written += u64::from(!writes.ops.iter().all(|op| COSIGNING.contains(&table(op))));
        self.store.commit(writes, durability)
    }

    fn snapshot(&self) -> Box<dyn ReadBytes + '_> {
        self.store.snapshot()
    }
}
