//! Why a session stops before all is done.

use std::path::PathBuf;

use markstein_proto::DecodeError;

use crate::{
    journal::JournalError,
    memory::MemoryError,
    receipts::WriteError,
    refresh::{FetchError, Fork, told},
    retry::RetryError,
};

/// Why a session stops. Nothing that was sent is lost: the same command goes on where this one stopped.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Receipts cannot be written.
    #[error(transparent)]
    Receipt(#[from] WriteError),
    /// The nodes.
    #[error(transparent)]
    Nodes(#[from] RetryError),
    /// The memory of the newest log seen.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// A node showed another log than was seen before: nothing that came with it is taken.
    #[error("the ledger shows two histories: {}", told(.0))]
    Fork(Box<Fork>),
    /// Some documents cannot be anchored, and nobody said to go on without them.
    #[error("{0} of the documents cannot be anchored, so none was; --keep-going anchors the others")]
    Unreadable(usize),
    /// The ledger refused a batch for good.
    #[error("the ledger refused the batch: {message} ({reason}). It was put aside: {aside}")]
    Refused {
        /// The ledger's word.
        reason: String,
        /// The ledger's sentence.
        message: String,
        /// Where the journal's entry is now.
        aside: PathBuf,
    },
    /// A batch was expired when it was signed.
    #[error(
        "the ledger says that a batch signed just now is expired: set this machine's clock right and try again"
    )]
    Clock,
    /// A node turned down a batch that was never sent anywhere else.
    #[error("{failure}. Nothing was anchored; the batch was put aside: {aside}")]
    TurnedDown {
        /// The node's word.
        failure: Box<RetryError>,
        /// Where the journal's entry is now.
        aside: PathBuf,
    },
    /// A node turned down a batch that another one may have taken.
    #[error("{failure}. The batch may be on its way, so it stays in the journal: {entry}")]
    Uncertain {
        /// The node's word.
        failure: Box<RetryError>,
        /// The journal's entry.
        entry: PathBuf,
    },
    /// Records that make no batch.
    #[error("the batch cannot be signed: {0}")]
    Sign(#[from] DecodeError),
    /// The system gives no random bytes.
    #[error("no random bytes for the salts: {0}")]
    Random(String),
}

impl From<FetchError> for SessionError {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Fork(fork) => Self::Fork(fork),
            FetchError::Nodes(e) => Self::Nodes(e),
        }
    }
}

impl SessionError {
    /// Whether the same command goes on where this one stopped, and nothing has to be changed first.
    #[must_use]
    pub const fn is_resumable(&self) -> bool {
        matches!(self, Self::Nodes(_) | Self::Journal(_) | Self::Receipt(_))
    }
}
