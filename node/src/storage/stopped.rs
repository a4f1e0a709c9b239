//! The data folder of a node that does not run: looked at without changing it, and given a new store.
//!
//! A new store is made beside the damaged one and takes its place when it is complete:
//!
//! 1. `db.repairing` is filled. What an interrupted repair left there is worth nothing and removed.
//! 2. It is renamed `db.repaired`: complete.
//! 3. `db` is renamed `db.damaged-1` (or the next number that is free), and never touched again.
//! 4. `db.repaired` is renamed `db`.
//!
//! Between 3 and 4 there is no `db`, and no node starts; [`StoppedFolder::go_on`] does step 4. A `db.repaired` beside a
//! `db` is thrown away: a node may have run in between, and voted.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use markstein_proto::Hash;

use super::db::Db;
use super::error::StorageError;
use super::folder::{DataFolder, FolderError, STORE, failed, fill, lock, meta, storage_error, sync};
use super::rocks::RocksStore;
use super::table::Table;
use super::tables::{Meta, MetaKey, TABLES};

const IN_MAKING: &str = "db.repairing";
const COMPLETE: &str = "db.repaired";
const ASIDE: &str = "db.damaged";

/// A data folder that no node has open, and that none can open meanwhile.
#[derive(Debug)]
pub struct StoppedFolder {
    path: PathBuf,
    _lock: File,
}

impl StoppedFolder {
    /// Holds the folder.
    ///
    /// # Errors
    /// [`FolderError::NotInitialised`] where there is neither a store nor what a repair left,
    /// [`FolderError::Locked`] where a node runs, and whatever the system says.
    pub fn hold(path: &Path) -> Result<Self, FolderError> {
        if !DataFolder::is_initialised(path) && !Self::is_interrupted(path) {
            return Err(FolderError::NotInitialised { path: path.to_owned() });
        }
        Ok(Self { path: path.to_owned(), _lock: lock(path)? })
    }

    /// Whether a repair of this folder was interrupted after it had taken the damaged store aside.
    #[must_use]
    pub fn is_interrupted(path: &Path) -> bool {
        path.join(COMPLETE).is_dir() && !path.join(STORE).exists()
    }

    /// Ends a repair that was interrupted so; `false` where none was.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn go_on(&self) -> Result<bool, FolderError> {
        let interrupted = Self::is_interrupted(&self.path);
        if interrupted {
            self.rename(COMPLETE, STORE)?;
        }
        Ok(interrupted)
    }

    /// The ledger whose store is here, as far as that can be read.
    ///
    /// # Errors
    /// As those of [`Self::read`].
    pub fn ledger_id(&self) -> Result<Hash, FolderError> {
        meta(&self.read::<Meta>().map_err(FolderError::Storage)?, MetaKey::LedgerId)
    }

    /// All of the store, for reading only.
    ///
    /// # Errors
    /// Damage in any table, as far as opening meets it.
    pub fn read_all(&self) -> Result<Db, StorageError> {
        let all: Vec<&str> = TABLES.iter().map(|table| table.name).collect();
        Ok(Db::new(Arc::new(RocksStore::open_to_read(&self.path.join(STORE), &all)?)))
    }

    /// One table of the store, for reading only: damage in the others does not matter.
    ///
    /// # Errors
    /// Damage of the store as a whole, or of this table, as far as opening meets it.
    pub fn read<T: Table>(&self) -> Result<Db, StorageError> {
        Ok(Db::new(Arc::new(RocksStore::open_to_read(&self.path.join(STORE), &[T::NAME])?)))
    }

    /// A new store beside the damaged one; what an earlier repair left unfinished is removed.
    ///
    /// # Errors
    /// Whatever the disk gives.
    pub fn begin(&self, ledger_id: &Hash) -> Result<Db, FolderError> {
        for name in [IN_MAKING, COMPLETE] {
            let left = self.path.join(name);
            if left.exists() {
                fs::remove_dir_all(&left).map_err(failed("remove the unfinished", &left))?;
            }
        }
        let path = self.path.join(IN_MAKING);
        fill(&path, ledger_id).map_err(|error| storage_error(&self.path, error))?;
        let store = RocksStore::open(&path).map_err(|error| storage_error(&self.path, error))?;
        Ok(Db::new(Arc::new(store)))
    }

    /// Puts the new store, which is closed and synced, in the place of the damaged one. `step` hears of each rename;
    /// the last one done, the repair is done. Gives where the damaged store is now.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn complete(&self, mut step: impl FnMut()) -> Result<PathBuf, FolderError> {
        self.rename(IN_MAKING, COMPLETE)?;
        step();
        let aside = (1_u32..).map(|number| format!("{ASIDE}-{number}"));
        let aside = aside.into_iter().find(|name| !self.path.join(name).exists());
        let aside = aside.expect("there are more numbers than repairs");
        self.rename(STORE, &aside)?;
        step();
        self.rename(COMPLETE, STORE)?;
        step();
        Ok(self.path.join(aside))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), FolderError> {
        let from = self.path.join(from);
        fs::rename(&from, self.path.join(to)).map_err(failed("rename", &from))?;
        sync(&self.path)
    }
}
