//! The data folder of a node: private to its user, and bound to one ledger and one format for good.
//!
//! The store lies in the subfolder `db`. It is made under another name and renamed when it is complete, so that a
//! crash during `init` leaves nothing that looks like a ledger.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use markstein_proto::Hash;
use tokio::sync::watch;

use super::backend::Durability;
use super::db::{Db, Read, Writes};
use super::error::StorageError;
use super::rocks::RocksStore;
use super::table::{Table, ValueCodec};
use super::tables::{Meta, MetaKey};

/// Version of the store's format that this release reads and writes.
pub const FORMAT_VERSION: u32 = 1;

pub(super) const STORE: &str = "db";
const STORE_IN_MAKING: &str = "db.new";
/// Its user alone may enter it: pooled batches are nobody else's business yet.
const MODE: u32 = 0o700;

/// The data folder cannot be created or used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// There is a ledger in the folder already.
    #[error(
        "{} holds a ledger already; start it with 'markstein-node run', or choose another folder for a new one",
        path.display()
    )]
    AlreadyInitialised {
        /// The data folder.
        path: PathBuf,
    },
    /// The folder holds something else.
    #[error("{} is not empty (it holds '{found}') and no data folder; choose an empty or a new one", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
        /// One of the things in it.
        found: String,
    },
    /// The folder holds no ledger.
    #[error("{} holds no ledger yet; run 'markstein-node init' first", path.display())]
    NotInitialised {
        /// The folder.
        path: PathBuf,
    },
    /// The folder holds another ledger than the genesis file describes.
    #[error(
        "{} holds ledger {found}, but the genesis file describes ledger {expected}; use the genesis file this folder \
         was made with, or another folder", path.display()
    )]
    AnotherLedger {
        /// The data folder.
        path: PathBuf,
        /// Id of the ledger in it.
        found: Hash,
        /// Id of the ledger asked for.
        expected: Hash,
    },
    /// A later release wrote the folder.
    #[error(
        "{} was written in format {found} by a newer release; this one knows formats up to {known}: install the newer \
         release again", path.display()
    )]
    NewerFormat {
        /// The data folder.
        path: PathBuf,
        /// Its format version.
        found: u32,
        /// The newest version this release knows.
        known: u32,
    },
    /// Another process is creating or using the folder.
    #[error("{} is in use by another process; stop that one first, two must never share a data folder", path.display())]
    Locked {
        /// The data folder.
        path: PathBuf,
    },
    /// The system refused something on the folder itself.
    #[error("cannot {verb} {}: {source}; check its owner, its permissions and the disk", path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The store within failed.
    #[error(transparent)]
    Storage(StorageError),
}

/// An open data folder.
#[derive(Clone, Debug)]
pub struct DataFolder {
    path: PathBuf,
    ledger_id: Hash,
    db: Db,
    closed: watch::Receiver<()>,
    /// Held as long as the folder is open: whoever repairs it never meets a node.
    lock: Arc<File>,
}

impl DataFolder {
    /// Makes the folder (mode 0700, parents included if need be) with an empty store for `ledger_id`. An empty
    /// folder is taken as it is, and so is one that an interrupted `create` left.
    ///
    /// # Errors
    /// [`FolderError::AlreadyInitialised`] or [`FolderError::NotEmpty`] if something is in it, and whatever the
    /// disk gives.
    pub fn create(path: &Path, ledger_id: &Hash) -> Result<Self, FolderError> {
        DirBuilder::new().recursive(true).mode(MODE).create(path).map_err(failed("create", path))?;
        if Self::is_initialised(path) {
            return Err(FolderError::AlreadyInitialised { path: path.to_owned() }); // whoever has it open
        }
        // Held to the end: of two that create the same folder at once, one is told so.
        let lock = lock(path)?;
        refuse_contents(path)?;
        make_private(path)?; // only now: a folder that is somebody else's keeps its mode
        let in_making = path.join(STORE_IN_MAKING);
        if in_making.exists() {
            fs::remove_dir_all(&in_making).map_err(failed("remove the unfinished", &in_making))?;
        }
        fill(&in_making, ledger_id).map_err(|error| storage_error(path, error))?;
        fs::rename(&in_making, path.join(STORE)).map_err(failed("name the store in", path))?;
        sync(path)?;
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync(parent)?;
        }
        Self::open_locked(path, ledger_id, lock)
    }

    /// Opens the folder, which must hold `expected` in a format this release knows. Creates nothing.
    ///
    /// # Errors
    /// [`FolderError::NotInitialised`], [`FolderError::Locked`], [`FolderError::NewerFormat`],
    /// [`FolderError::AnotherLedger`], and whatever the disk gives.
    pub fn open(path: &Path, expected: &Hash) -> Result<Self, FolderError> {
        if !Self::is_initialised(path) {
            return Err(FolderError::NotInitialised { path: path.to_owned() });
        }
        Self::open_locked(path, expected, lock(path)?)
    }

    fn open_locked(path: &Path, expected: &Hash, lock: File) -> Result<Self, FolderError> {
        let store = RocksStore::open(&path.join(STORE)).map_err(|error| storage_error(path, error))?;
        let closed = store.closed();
        let db = Db::new(Arc::new(store));
        check_format(path, &db)?;
        let found: Hash = meta(&db, MetaKey::LedgerId)?;
        if found != *expected {
            return Err(FolderError::AnotherLedger { path: path.to_owned(), found, expected: *expected });
        }
        keep_private(path)?;
        Ok(Self { path: path.to_owned(), ledger_id: found, db, closed, lock: Arc::new(lock) })
    }

    /// Gives this handle up, and completes when nobody has another one and the store is closed; the folder is locked
    /// until then. A process that ends earlier may abort: its end takes down what threads within RocksDB still use.
    pub async fn close(self) {
        let Self { db, mut closed, lock, .. } = self;
        let _ = tokio::task::spawn_blocking(move || drop(db)).await; // flushes, where this is the last handle
        while closed.changed().await.is_ok() {}
        drop(lock);
    }

    /// Whether `path` holds a ledger, of whatever kind and state.
    #[must_use]
    pub fn is_initialised(path: &Path) -> bool {
        path.join(STORE).is_dir()
    }

    /// The store in it.
    #[must_use]
    pub const fn db(&self) -> &Db {
        &self.db
    }

    /// Id of the ledger it holds.
    #[must_use]
    pub const fn ledger_id(&self) -> &Hash {
        &self.ledger_id
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn make_private(path: &Path) -> Result<(), FolderError> {
    fs::set_permissions(path, Permissions::from_mode(MODE)).map_err(failed("make private", path))
}

/// A folder that came back from a backup may be open to everybody.
fn keep_private(path: &Path) -> Result<(), FolderError> {
    let mode = fs::metadata(path).map_err(failed("examine", path))?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    tracing::warn!(path = %path.display(), "others could enter the data folder; it is made private again");
    make_private(path)
}

/// How often a lock that another one has is tried again, and the pause between: a process that is just being started by
/// this one has it for a moment, until it becomes another program.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

pub(super) fn lock(path: &Path) -> Result<File, FolderError> {
    let folder = File::open(path).map_err(failed("open", path))?;
    for _ in 0..LOCK_TRIES {
        match folder.try_lock() {
            Ok(()) => return Ok(folder),
            Err(fs::TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(fs::TryLockError::Error(error)) => return Err(failed("lock", path)(error)),
        }
    }
    Err(FolderError::Locked { path: path.to_owned() })
}

fn refuse_contents(path: &Path) -> Result<(), FolderError> {
    if DataFolder::is_initialised(path) {
        return Err(FolderError::AlreadyInitialised { path: path.to_owned() });
    }
    for entry in fs::read_dir(path).map_err(failed("list", path))? {
        let name = entry.map_err(failed("list", path))?.file_name();
        if name != STORE_IN_MAKING {
            let found = name.to_string_lossy().into_owned();
            return Err(FolderError::NotEmpty { path: path.to_owned(), found });
        }
    }
    Ok(())
}

/// Makes a store that says what it is, and closes it.
pub(super) fn fill(path: &Path, ledger_id: &Hash) -> Result<(), StorageError> {
    let db = Db::new(Arc::new(RocksStore::create(path)?));
    let mut writes = Writes::new();
    writes.put::<Meta>(&MetaKey::FormatVersion, &FORMAT_VERSION.encode_value());
    writes.put::<Meta>(&MetaKey::LedgerId, &ledger_id.encode_value());
    db.commit(writes, Durability::Synced)
}

pub(super) fn sync(path: &Path) -> Result<(), FolderError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(failed("sync", path))
}

fn check_format(path: &Path, db: &Db) -> Result<(), FolderError> {
    match meta(db, MetaKey::FormatVersion)? {
        FORMAT_VERSION => Ok(()),
        0 => Err(FolderError::Storage(damaged(MetaKey::FormatVersion))),
        found => Err(FolderError::NewerFormat { path: path.to_owned(), found, known: FORMAT_VERSION }),
    }
}

pub(super) fn meta<V: ValueCodec>(db: &Db, key: MetaKey) -> Result<V, FolderError> {
    let bytes = db.get::<Meta>(&key).map_err(FolderError::Storage)?;
    bytes.and_then(|bytes| V::decode_value(&bytes)).ok_or_else(|| FolderError::Storage(damaged(key)))
}

fn damaged(key: MetaKey) -> StorageError {
    StorageError::Corrupt { table: Meta::NAME, reason: format!("there is no sound entry '{}'", key.as_str()) }
}

pub(super) fn storage_error(path: &Path, error: StorageError) -> FolderError {
    let path = path.to_owned();
    match error {
        StorageError::Missing { .. } => FolderError::NotInitialised { path },
        StorageError::Locked { .. } => FolderError::Locked { path },
        other => FolderError::Storage(other),
    }
}

pub(super) fn failed(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FolderError {
    let path = path.to_owned();
    move |source| FolderError::Io { verb, path, source }
}
