//! The store in memory, for tests and simulations: it can lose what was not synced, and fail when told to.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard};

use super::backend::{Backend, Direction, Durability, Pair, ReadBytes, Scan, WriteOp, WriteSet};
use super::error::StorageError;
use super::tables::TABLES;

type Entries = BTreeMap<Vec<u8>, Arc<[u8]>>;

/// One state of all tables: the current one, or a snapshot that shares what has not changed since. There are so few that
/// the fastest way to one is to look at their names one after the other.
#[derive(Clone)]
struct Tables(Vec<(&'static str, Arc<Entries>)>);

/// A store in memory. It outlives its handles, as a disk does: share it in an [`Arc`] and open it again with
/// [`crash`](Self::crash) or [`reopen`](Self::reopen).
pub struct MemoryStore {
    state: Mutex<State>,
}

/// How an injected failure presents itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteFailure {
    /// The disk is full.
    NoSpace,
    /// The disk gave an error.
    Broken,
}

struct State {
    tables: Tables,
    /// What each commit since the last synced one replaced, oldest first.
    unsynced: Vec<Vec<Replaced>>,
    /// Commits that still succeed before the injected failure.
    failure: Option<(u64, WriteFailure)>,
    poisoned: Option<String>,
}

struct Replaced {
    table: &'static str,
    key: Vec<u8>,
    value: Option<Arc<[u8]>>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        let tables = Tables(TABLES.iter().map(|table| (table.name, Arc::default())).collect());
        Self { state: Mutex::new(State { tables, unsynced: Vec::new(), failure: None, poisoned: None }) }
    }

    /// A power cut: all commits since the last synced one are lost. Then the store is as newly opened.
    pub fn crash(&self) {
        self.crash_keeping(0);
    }

    /// A power cut at which the disk happened to have the first `kept` of the unsynced commits already.
    pub fn crash_keeping(&self, kept: usize) {
        let mut state = self.state();
        while state.unsynced.len() > kept {
            let commit = state.unsynced.pop().unwrap_or_default();
            commit.into_iter().rev().for_each(|replaced| state.restore(replaced));
        }
        state.unsynced.clear();
        state.open();
    }

    /// A restart of the process alone: nothing is lost, but a failed write no longer blocks the store.
    pub fn reopen(&self) {
        self.state().open();
    }

    /// Number of commits a power cut would lose now.
    #[must_use]
    pub fn unsynced(&self) -> usize {
        self.state().unsynced.len()
    }

    /// Lets `successes` more commits succeed and the one after them fail.
    pub fn fail_after(&self, successes: u64, failure: WriteFailure) {
        self.state().failure = Some((successes, failure));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds this lock")
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

impl State {
    fn open(&mut self) {
        self.failure = None;
        self.poisoned = None;
    }

    fn commit(&mut self, writes: WriteSet, durability: Durability) -> Result<(), StorageError> {
        if let Some(cause) = &self.poisoned {
            return Err(StorageError::Poisoned { cause: cause.clone() });
        }
        self.check(&writes)?;
        if let Err(error) = self.meet_failure() {
            self.poisoned = Some(error.to_string());
            return Err(error);
        }
        let replaced: Vec<_> = writes.ops.into_iter().map(|op| self.apply(op)).collect();
        match durability {
            Durability::Synced => self.unsynced.clear(),
            Durability::Unsynced if replaced.is_empty() => {}
            Durability::Unsynced => self.unsynced.push(replaced),
        }
        Ok(())
    }

    /// All tables must be there before the first write is applied, so that a commit stays atomic.
    fn check(&self, writes: &WriteSet) -> Result<(), StorageError> {
        let unknown = writes.ops.iter().map(table_of).find(|table| self.tables.find(table).is_none());
        match unknown {
            Some(table) => Err(StorageError::Write { reason: format!("there is no table '{table}'") }),
            None => Ok(()),
        }
    }

    fn meet_failure(&mut self) -> Result<(), StorageError> {
        let reason = "told to fail".to_owned();
        match &mut self.failure {
            None => Ok(()),
            Some((0, WriteFailure::NoSpace)) => Err(StorageError::NoSpace { reason }),
            Some((0, WriteFailure::Broken)) => Err(StorageError::Write { reason }),
            Some((successes, _)) => {
                *successes -= 1;
                Ok(())
            }
        }
    }

    fn apply(&mut self, op: WriteOp) -> Replaced {
        let (table, key, value) = match op {
            WriteOp::Put { table, key, value } => (table, key, Some(Arc::from(value))),
            WriteOp::Delete { table, key } => (table, key, None),
        };
        let previous = self.set(table, key.clone(), value);
        Replaced { table, key, value: previous }
    }

    fn restore(&mut self, replaced: Replaced) {
        self.set(replaced.table, replaced.key, replaced.value);
    }

    /// Copies the table first if a snapshot still reads it.
    fn set(&mut self, table: &'static str, key: Vec<u8>, value: Option<Arc<[u8]>>) -> Option<Arc<[u8]>> {
        let (_, entries) = self.tables.0.iter_mut().find(|(name, _)| *name == table)?;
        let entries = Arc::make_mut(entries);
        match value {
            Some(value) => entries.insert(key, value),
            None => entries.remove(&key),
        }
    }
}

const fn table_of(op: &WriteOp) -> &'static str {
    match op {
        WriteOp::Put { table, .. } | WriteOp::Delete { table, .. } => table,
    }
}

impl ReadBytes for MemoryStore {
    fn get(&self, table: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.state().tables.get(table, key)
    }

    fn scan(&self, table: &'static str, scan: &Scan) -> Result<Vec<Pair>, StorageError> {
        self.state().tables.scan(table, scan)
    }
}

impl Backend for MemoryStore {
    fn commit(&self, writes: WriteSet, durability: Durability) -> Result<(), StorageError> {
        self.state().commit(writes, durability)
    }

    fn snapshot(&self) -> Box<dyn ReadBytes + '_> {
        Box::new(self.state().tables.clone())
    }
}

impl ReadBytes for Tables {
    fn get(&self, table: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.entries(table)?.get(key).map(|value| value.to_vec()))
    }

    fn scan(&self, table: &'static str, scan: &Scan) -> Result<Vec<Pair>, StorageError> {
        if scan.is_empty() {
            return Ok(Vec::new());
        }
        let entries = self.entries(table)?;
        let end = scan.to.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let range = entries.range::<[u8], _>((Bound::Included(scan.from.as_slice()), end));
        let owned = |(key, value): (&Vec<u8>, &Arc<[u8]>)| (key.clone(), value.to_vec());
        Ok(match scan.direction {
            Direction::Forward => range.take(scan.limit).map(owned).collect(),
            Direction::Reverse => range.rev().take(scan.limit).map(owned).collect(),
        })
    }
}

impl Tables {
    fn entries(&self, table: &'static str) -> Result<&Entries, StorageError> {
        let missing = || StorageError::Read { table, reason: "there is no such table".to_owned() };
        self.find(table).ok_or_else(missing)
    }

    fn find(&self, table: &str) -> Option<&Entries> {
        self.0.iter().find(|(name, _)| *name == table).map(|(_, entries)| &**entries)
    }
}
