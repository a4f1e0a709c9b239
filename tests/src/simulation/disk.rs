//! A node's disk: a store in memory that fails at a chosen commit, before or after it took it, and counts what is
//! written.

use std::sync::{Mutex, MutexGuard};

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

#[derive(Default)]
struct State {
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
        let all = Scan { from: Vec::new(), to: None, direction: Direction::Forward, limit: usize::MAX };
        let mut writes = WriteSet::default();
        for table in TABLES {
            let pairs = self.store.scan(table.name, &all).unwrap();
            let put = |(key, value)| WriteOp::Put { table: table.name, key, value };
            writes.ops.extend(pairs.into_iter().map(put));
        }
        copy.store.commit(writes, Durability::Synced).unwrap();
        copy
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl ReadBytes for Disk {
    fn get(&self, table: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.store.get(table, key)
    }

    fn scan(&self, table: &'static str, scan: &Scan) -> Result<Vec<Pair>, StorageError> {
        self.store.scan(table, scan)
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
