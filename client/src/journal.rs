//! The journal of an issuer's key: what was signed and is not yet receipted, durable before it is sent.
//!
//! ```text
//! <state>/<ledger id, 16 digits>/<key id>/        mode 0700, one run at a time
//!     lock
//!     journal/<batch id>       one batch with its salts and the documents' paths
//!     refused/<batch id>       batches that can never become final, kept for people to look at
//! ```
//! An entry is 32 bytes of SHA-256 and the message it covers. It is complete or not there: written beside its
//! name, synced, renamed, and the folder synced.

use std::{
    collections::BTreeSet,
    env,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use markstein_proto::{BatchId, KeyId, LedgerId};

use crate::entry::{Entry, EntryError};

/// What a file that is not complete ends in.
const UNFINISHED: &str = ".part";

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The system's word.
    #[error("the journal cannot be used: {path}: {source}")]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Neither `XDG_STATE_HOME` nor `HOME` is set.
    #[error("there is no home folder to keep the journal in: say where with --state DIR")]
    NoHome,
    /// An entry that is not what was written.
    #[error(
        "{path}: {source}. Nothing was sent; keep the file, it holds salts, and move it elsewhere to go on"
    )]
    Entry {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: EntryError,
    },
}

/// The open, locked journal of one key.
#[derive(Debug)]
pub struct Journal {
    root: PathBuf,
    _lock: File,
}

/// Where journals are kept unless somebody says otherwise: `$XDG_STATE_HOME/markstein`, else
/// `~/.local/state/markstein`.
///
/// # Errors
/// [`JournalError::NoHome`].
pub fn default_state() -> Result<PathBuf, JournalError> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
    Ok(base.ok_or(JournalError::NoHome)?.join("markstein"))
}

impl Journal {
    /// Opens the journal of this key below `state`, making it where needed. Where another run holds it, calls
    /// `wait` once and then waits for that run to end.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub fn open(
        state: &Path,
        ledger: LedgerId,
        key: KeyId,
        wait: impl FnOnce(),
    ) -> Result<Self, JournalError> {
        let root = state.join(&ledger.to_string()[..16]).join(key.to_string());
        for folder in [root.join("journal"), root.join("refused")] {
            DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(io(&folder))?;
        }
        // Names last as long as what stands under them only once every folder above is synced, too.
        for folder in root.ancestors().take(3) {
            sync_folder(folder)?;
        }
        let path = root.join("lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let lock = file.map_err(io(&path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                wait();
                lock.lock().map_err(io(&path))?;
            }
            Err(TryLockError::Error(e)) => return Err(io(&path)(e)),
        }
        Ok(Self { root, _lock: lock })
    }

    /// The folder, to tell people.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.root
    }

    /// All entries, the oldest first. What a killed run left over is cleared away: unfinished files, which were never
    /// sent, and expired batches that were signed anew.
    ///
    /// # Errors
    /// See [`JournalError`]; an entry that cannot be read stops everything, since its fate is unknown.
    pub fn entries(&self) -> Result<Vec<Entry>, JournalError> {
        let folder = self.root.join("journal");
        let mut entries = Vec::new();
        for item in fs::read_dir(&folder).map_err(io(&folder))? {
            let path = item.map_err(io(&folder))?.path();
            if path.as_os_str().as_encoded_bytes().ends_with(UNFINISHED.as_bytes()) {
                fs::remove_file(&path).map_err(io(&path))?;
                continue;
            }
            let bytes = fs::read(&path).map_err(io(&path))?;
            let entry = Entry::decode(&bytes).map_err(|source| JournalError::Entry { path, source })?;
            entries.push(entry);
        }
        let replaced: BTreeSet<BatchId> = entries.iter().filter_map(Entry::replaces).collect();
        let (expired, mut entries): (Vec<_>, Vec<_>) =
            entries.into_iter().partition(|entry| replaced.contains(&entry.batch().id()));
        for entry in expired {
            self.remove(entry.batch().id())?;
        }
        entries.sort_by_key(|entry| (entry.batch().head().created_at, entry.batch().id()));
        Ok(entries)
    }

    /// Writes an entry. When this returns, it is on the disk.
    ///
    /// # Errors
    /// See [`JournalError`]; then nothing may be sent.
    pub fn write(&self, entry: &Entry) -> Result<(), JournalError> {
        let path = self.path(entry.batch().id());
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(UNFINISHED);
        let unfinished = PathBuf::from(unfinished);
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished);
        let mut file = file.map_err(io(&unfinished))?;
        file.write_all(&entry.encode()).and_then(|()| file.sync_all()).map_err(io(&unfinished))?;
        fs::rename(&unfinished, &path).map_err(io(&path))?;
        sync_folder(&self.root.join("journal"))
    }

    /// Forgets an entry whose receipts are all written and synced.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub fn remove(&self, batch: BatchId) -> Result<(), JournalError> {
        let path = self.path(batch);
        fs::remove_file(&path).map_err(io(&path))?;
        sync_folder(&self.root.join("journal"))
    }

    /// Puts an entry aside that nobody here goes on with, and says where it is.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub fn put_aside(&self, batch: BatchId) -> Result<PathBuf, JournalError> {
        let (from, to) = (self.path(batch), self.root.join("refused").join(batch.to_string()));
        fs::rename(&from, &to).map_err(io(&from))?;
        sync_folder(&self.root.join("refused"))?;
        sync_folder(&self.root.join("journal"))?;
        Ok(to)
    }

    /// Where the entry of a batch stands.
    #[must_use]
    pub fn path(&self, batch: BatchId) -> PathBuf {
        self.root.join("journal").join(batch.to_string())
    }
}

fn io(path: &Path) -> impl FnOnce(io::Error) -> JournalError {
    let path = path.to_path_buf();
    |source| JournalError::Io { path, source }
}

fn sync_folder(folder: &Path) -> Result<(), JournalError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io(folder))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, sync::mpsc, thread};

    use markstein_proto::{Hash, TimeMs};

    use super::*;
    use crate::testing::entry;

    fn open(state: &Path) -> Journal {
        Journal::open(state, LedgerId(Hash([1; 32])), KeyId([2; 16]), || panic!("nobody else")).unwrap()
    }

    #[test]
    fn entries_last_and_leave_in_their_order() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (entry(&["a", "b"], TimeMs(1)), entry(&["c"], TimeMs(2)));
        let journal = open(dir.path());
        journal.write(&second).unwrap();
        journal.write(&first).unwrap();
        drop(journal);
        let journal = open(dir.path());
        assert_eq!(journal.entries().unwrap(), [first.clone(), second.clone()]);
        journal.remove(first.batch().id()).unwrap();
        let aside = journal.put_aside(second.batch().id()).unwrap();
        assert_eq!(journal.entries().unwrap(), []);
        assert_eq!(Entry::decode(&fs::read(aside).unwrap()).unwrap(), second);
    }

    #[test]
    fn salts_are_for_their_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let journal = open(&dir.path().join("state"));
        let entry = entry(&["a"], TimeMs(1));
        journal.write(&entry).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(journal.folder()), 0o700);
        assert_eq!(mode(&journal.path(entry.batch().id())), 0o600);
    }

    #[test]
    fn what_was_never_finished_is_cleared_and_damage_is_reported() {
        let dir = tempfile::tempdir().unwrap();
        let journal = open(dir.path());
        let entry = entry(&["a"], TimeMs(1));
        journal.write(&entry).unwrap();
        let path = journal.path(entry.batch().id());
        fs::copy(&path, path.with_extension("part")).unwrap();
        assert_eq!(journal.entries().unwrap().len(), 1);
        assert!(!path.with_extension("part").exists());
        let mut bytes = fs::read(&path).unwrap();
        for cut in [0, 31, 32, 33, bytes.len() - 1] {
            fs::write(&path, &bytes[..cut]).unwrap();
            assert!(matches!(journal.entries(), Err(JournalError::Entry { .. })), "cut to {cut}");
        }
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert!(journal.entries().unwrap_err().to_string().contains("holds salts"));
    }

    #[test]
    fn two_runs_do_not_mix() {
        let dir = tempfile::tempdir().unwrap();
        let journal = open(dir.path());
        let (waits, waiting) = mpsc::channel();
        let state = dir.path().to_path_buf();
        let other = thread::spawn(move || {
            let tell = || waits.send(()).unwrap();
            Journal::open(&state, LedgerId(Hash([1; 32])), KeyId([2; 16]), tell).unwrap()
        });
        waiting.recv().unwrap();
        assert!(!other.is_finished());
        drop(journal);
        assert!(other.join().unwrap().entries().unwrap().is_empty());
    }
}
