//! What can go wrong with the store, each with its subject and verb and what to do about it.
//!
//! All of these are our own disk's fault, never a peer's: the node that meets one stops, it does not ban anybody.

use std::path::PathBuf;

/// The store could not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// The store is there, but cannot be opened.
    #[error("cannot open the store in {}: {reason}; check the folder's owner and permissions, then start again", path.display())]
    Open {
        /// Folder of the store.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// Another process has the store open.
    #[error("the store in {} is in use by another process; stop that one first, two must never share a store", path.display())]
    Locked {
        /// Folder of the store.
        path: PathBuf,
    },
    /// There is no store in the folder.
    #[error("there is no store in {}; check the path, or create one with 'markstein-node init'", path.display())]
    Missing {
        /// Folder that holds no store.
        path: PathBuf,
    },
    /// A store is there already, where a new one was to be created.
    #[error("cannot create a store in {}: there is something already; choose an empty folder", path.display())]
    Exists {
        /// Folder that is taken.
        path: PathBuf,
    },
    /// The disk did not give what was asked of it, for another reason than damage.
    #[error("cannot read table '{table}': {reason}; check the disk, then restart the node")]
    Read {
        /// Name of the table.
        table: &'static str,
        /// What the system said.
        reason: String,
    },
    /// The disk did not take a write.
    #[error("cannot write to the store: {reason}; check the disk, then restart the node")]
    Write {
        /// What the system said.
        reason: String,
    },
    /// The disk is full. Opening the store moves its log into table files, so even that needs space: about 64 MiB.
    #[error(
        "cannot write to the store, the disk is full: {reason}; free at least 256 MiB, then restart the node"
    )]
    NoSpace {
        /// What the system said.
        reason: String,
    },
    /// A write failed before, so what is on the disk is uncertain until the store is opened again.
    #[error("the store takes no more writes since one failed ({cause}); resolve that, then restart the node")]
    Poisoned {
        /// The first failure.
        cause: String,
    },
    /// An entry is not what was written.
    #[error(
        "table '{table}' is damaged: {reason}; check the disk, then run 'markstein-node repair' with this node's \
         configuration: it keeps the damaged data aside and what this node promised, and the ledger comes back from \
         the other nodes"
    )]
    Corrupt {
        /// Name of the table.
        table: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The store as a whole is damaged: its list of files or its write-ahead log.
    #[error(
        "the store in {} is damaged: {reason}; check the disk, then run 'markstein-node repair' with this node's \
         configuration: it keeps the damaged data aside and what this node promised, and the ledger comes back from \
         the other nodes", path.display()
    )]
    CorruptStore {
        /// Folder of the store.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl StorageError {
    /// What stands in `table` cannot be: `reason` says what and why.
    pub(crate) fn corrupt(table: &'static str, reason: impl Into<String>) -> Self {
        Self::Corrupt { table, reason: reason.into() }
    }

    /// Whether the data on the disk is not what was written, so that trying again cannot help.
    #[must_use]
    pub const fn is_corruption(&self) -> bool {
        matches!(self, Self::Corrupt { .. } | Self::CorruptStore { .. })
    }
}
