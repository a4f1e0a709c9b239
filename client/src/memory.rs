//! The newest log that this client has seen of a ledger, over all its runs.
//!
//! ```text
//! <state>/<ledger id, 16 digits>/        mode 0700
//!     newest.json        the receipt that shows it, without a salt
//!     newest.lock        held while newest.json is compared and replaced
//!     evidence/          two logs that exclude each other, see [`crate::evidence`]
//! ```
//! What is kept is never replaced by something older. It is a receipt, so it is verified whenever it is read: whoever
//! changes the file can make the client forget, and not believe.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use markstein_proto::receipt::{NotVerified, TrustRoot};

use crate::{
    receipts::{self, ReadError},
    seen::{Conflict, SeenLog},
};

/// Why the memory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// The system's word.
    #[error("the newest log seen cannot be kept: {path}: {source}")]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// What is kept cannot be read.
    #[error(
        "{0}; it holds the newest log that was seen of this ledger. If nothing can restore it, delete it: an older log \
         is then not noticed until a newer one was seen"
    )]
    Read(#[from] ReadError),
    /// What is kept does not verify.
    #[error(
        "{path} holds the newest log that was seen of this ledger, and does not verify: {source}. If nothing can \
         restore it, delete it: an older log is then not noticed until a newer one was seen"
    )]
    NotVerified {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: NotVerified,
    },
    /// Another run has seen another log meanwhile.
    #[error("another run of this client was shown another log of the same size")]
    Forked(Box<SeenLog>),
}

/// The memory of one ledger.
#[derive(Debug)]
pub struct Memory {
    folder: PathBuf,
    trust: TrustRoot,
}

impl Memory {
    /// The memory of this ledger below `state`, made where needed.
    ///
    /// # Errors
    /// [`MemoryError::Io`].
    pub fn open(state: &Path, trust: &TrustRoot) -> Result<Self, MemoryError> {
        let folder = state.join(&trust.ledger_id().to_string()[..16]);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(io(&folder))?;
        Ok(Self { folder, trust: trust.clone() })
    }

    /// Where evidence is kept.
    #[must_use]
    pub fn evidence(&self) -> PathBuf {
        self.folder.join("evidence")
    }

    /// The newest log seen, if any.
    ///
    /// # Errors
    /// See [`MemoryError`]: what is there and cannot be read must not be taken for nothing.
    pub fn newest(&self) -> Result<Option<SeenLog>, MemoryError> {
        let path = self.path();
        let receipt = match receipts::read(&path) {
            Ok(receipt) => receipt,
            Err(ReadError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let seen = SeenLog::verify(&receipt, &self.trust);
        Ok(Some(seen.map_err(|source| MemoryError::NotVerified { path, source })?.0))
    }

    /// Keeps a log, unless what is kept is as new or newer. That the one extends the other was checked before, or cannot
    /// be: another run may have kept one meanwhile.
    ///
    /// # Errors
    /// See [`MemoryError`].
    pub fn remember(&self, seen: &SeenLog) -> Result<(), MemoryError> {
        let lock = self.folder.join("newest.lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&lock);
        let file = file.map_err(io(&lock))?;
        file.lock().map_err(io(&lock))?;
        match self.newest()? {
            Some(kept) if seen.conflict(&kept) == Some(Conflict::Roots) => {
                Err(MemoryError::Forked(Box::new(kept)))
            }
            Some(kept) if !seen.is_newer_than(&kept) => Ok(()),
            _ => self.write(seen),
        }
    }

    /// Whole or not at all, and on the disk when this returns. The lock is held.
    fn write(&self, seen: &SeenLog) -> Result<(), MemoryError> {
        let path = self.path();
        let unfinished = receipts::unfinished(&path);
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished);
        let mut file = file.map_err(io(&unfinished))?;
        let written = file.write_all(seen.receipt().to_json().as_bytes()).and_then(|()| file.sync_all());
        written.map_err(io(&unfinished))?;
        fs::rename(&unfinished, &path).map_err(io(&path))?;
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(io(&self.folder))
    }

    fn path(&self) -> PathBuf {
        self.folder.join("newest.json")
    }
}

fn io(path: &Path) -> impl FnOnce(io::Error) -> MemoryError {
    let path = path.to_path_buf();
    |source| MemoryError::Io { path, source }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use markstein_proto::TimeMs;

    use super::*;
    use crate::testing::{Ledger, NOW, entry};

    fn seen(ledger: &Ledger) -> SeenLog {
        let receipt = ledger.receipts(entry(&["a"], NOW).batch().id()).remove(0);
        SeenLog::verify(&receipt, ledger.trust()).unwrap().0
    }

    #[test]
    fn it_lasts_and_is_never_lowered() {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::new();
        ledger.append(entry(&["a"], NOW).batch(), NOW);
        let memory = Memory::open(&dir.path().join("state"), ledger.trust()).unwrap();
        assert!(memory.newest().unwrap().is_none());
        let first = seen(&ledger);
        memory.remember(&first).unwrap();
        ledger.cosigned_at = TimeMs(NOW.0 + 60_000);
        memory.remember(&seen(&ledger)).unwrap();
        assert_eq!(memory.newest().unwrap().unwrap().as_of_s(), first.as_of_s() + 60, "the same log, later");
        memory.remember(&first).unwrap();
        assert_eq!(memory.newest().unwrap().unwrap().as_of_s(), first.as_of_s() + 60);
        ledger.append(entry(&["b"], NOW).batch(), NOW);
        let second = seen(&ledger);
        memory.remember(&second).unwrap();
        memory.remember(&first).unwrap();
        let memory = Memory::open(&dir.path().join("state"), ledger.trust()).unwrap();
        let kept = memory.newest().unwrap().unwrap();
        assert_eq!((kept.size(), kept.root()), (second.size(), second.root()));
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&memory.folder), mode(&memory.path())), (0o700, 0o600));
    }

    #[test]
    fn another_log_of_the_same_size_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let [one, other] = ["b", "c"].map(|name| {
            let mut ledger = Ledger::new();
            ledger.append(entry(&["a"], NOW).batch(), NOW);
            ledger.append(entry(&[name], NOW).batch(), NOW);
            ledger
        });
        let memory = Memory::open(dir.path(), one.trust()).unwrap();
        memory.remember(&seen(&one)).unwrap();
        assert!(matches!(memory.remember(&seen(&other)), Err(MemoryError::Forked(_))));
        assert_eq!(memory.newest().unwrap().unwrap().root(), seen(&one).root());
    }

    #[test]
    fn what_is_damaged_is_not_taken_for_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::new();
        ledger.append(entry(&["a"], NOW).batch(), NOW);
        let memory = Memory::open(dir.path(), ledger.trust()).unwrap();
        memory.remember(&seen(&ledger)).unwrap();
        let good = fs::read_to_string(memory.path()).unwrap();
        fs::write(memory.path(), &good[1..]).unwrap();
        assert!(matches!(memory.newest(), Err(MemoryError::Read(_))));
        fs::write(memory.path(), good.replacen("\"index\":4", "\"index\":3", 1)).unwrap();
        let error = memory.remember(&seen(&ledger)).unwrap_err();
        assert!(matches!(error, MemoryError::NotVerified { .. }), "{error}");
        assert!(error.to_string().contains("delete it"), "{error}");
    }
}
