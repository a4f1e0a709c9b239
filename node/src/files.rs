//! Small files that are there whole or not at all: keys, markers, addresses, settings.
//!
//! A file is written under another name, synced, and given its own name when it is complete, so that neither a crash
//! nor a reader at the wrong moment ever meets half of it.

use markstein_proto::GENESIS_FILE_MAX;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Mode of files that only their owner may read.
pub const SECRET_FILE: u32 = 0o600;
/// Mode of files that everybody may read.
pub const PUBLIC_FILE: u32 = 0o644;
/// Mode of folders that only their owner may enter.
pub const SECRET_FOLDER: u32 = 0o700;
/// Longest text [`read_text`] takes, in bytes: that of a genesis, the longest of them.
pub const TEXT_MAX: u64 = GENESIS_FILE_MAX as u64;

/// A file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// A new file was to be written and there is one already.
    #[error("{} exists already and is never overwritten; choose another name, or move it away", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// There is no such file.
    #[error("{} does not exist; check the path", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// Longer than any file of this kind.
    #[error("{} has more than {TEXT_MAX} bytes; check that the path names the right file", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// Not text.
    #[error("{} is not a text in UTF-8; check that the path names the right file", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot {verb} {}: {source}; check its owner, its permissions and the disk", path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Makes a folder, and its parents if need be, with this mode; a folder that exists is left as it is.
///
/// # Errors
/// [`FileError::Io`].
pub fn make_folder(path: &Path, mode: u32) -> Result<(), FileError> {
    DirBuilder::new().recursive(true).mode(mode).create(path).map_err(failed("create the folder", path))
}

/// Writes a file that must not exist yet; of two that try at once, one is told so.
///
/// # Errors
/// [`FileError::Exists`] or [`FileError::Io`].
pub fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    let in_making = write_beside(path, bytes, mode)?;
    // Unlike a rename, a link never takes the place of a file that is there.
    let linked = fs::hard_link(&in_making, path);
    let removed = fs::remove_file(&in_making).map_err(failed("remove", &in_making));
    match linked {
        Ok(()) => removed.and_then(|()| sync_folder_of(path)),
        Err(source) if source.kind() == ErrorKind::AlreadyExists => {
            Err(FileError::Exists { path: path.to_owned() })
        }
        Err(source) => Err(failed("write", path)(source)),
    }
}

/// Writes a file in the place of the one that may be there; readers see the old or the new one.
///
/// # Errors
/// [`FileError::Io`].
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    let in_making = write_beside(path, bytes, mode)?;
    fs::rename(&in_making, path).map_err(failed("write", path))?;
    sync_folder_of(path)
}

/// Reads a text of at most [`TEXT_MAX`] bytes.
///
/// # Errors
/// See [`FileError`].
pub fn read_text(path: &Path) -> Result<String, FileError> {
    let file = open(path)?;
    read_open(path, &file)
}

/// Removes a file, if it is there.
///
/// # Errors
/// [`FileError::Io`].
pub fn remove_if_there(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(failed("remove", path)(source)),
        _ => Ok(()),
    }
}

/// Opens a file for reading.
pub(crate) fn open(path: &Path) -> Result<File, FileError> {
    File::open(path).map_err(|source| match source.kind() {
        ErrorKind::NotFound => FileError::Missing { path: path.to_owned() },
        _ => failed("open", path)(source),
    })
}

/// Reads an open file as [`read_text`] does.
pub(crate) fn read_open(path: &Path, file: &File) -> Result<String, FileError> {
    let mut bytes = Vec::new();
    file.take(TEXT_MAX + 1).read_to_end(&mut bytes).map_err(failed("read", path))?;
    if bytes.len() as u64 > TEXT_MAX {
        return Err(FileError::TooLong { path: path.to_owned() });
    }
    String::from_utf8(bytes).map_err(|_| FileError::NotText { path: path.to_owned() })
}

pub(crate) fn failed(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError::Io { verb, path, source }
}

/// Writes and syncs `<path>.<process id>.new`. The process id keeps two writers apart.
fn write_beside(path: &Path, bytes: &[u8], mode: u32) -> Result<PathBuf, FileError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let in_making = path.with_file_name(name);
    remove_if_there(&in_making)?;
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&in_making)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?; // whatever the umask
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|source| {
        let _ = fs::remove_file(&in_making); // the first error is the one to tell
        failed("write", path)(source)
    })?;
    Ok(in_making)
}

fn sync_folder_of(path: &Path) -> Result<(), FileError> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent).and_then(|folder| folder.sync_all()).map_err(failed("sync", parent))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_never_takes_the_place_of_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.key");
        write_new(&path, b"first", SECRET_FILE).unwrap();
        let error = write_new(&path, b"second", SECRET_FILE).unwrap_err();
        assert!(matches!(error, FileError::Exists { .. }), "{error}");
        assert_eq!(read_text(&path).unwrap(), "first");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, SECRET_FILE);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_replaced_file_has_the_new_text_and_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        replace(&path, b"first", SECRET_FILE).unwrap();
        replace(&path, b"second", PUBLIC_FILE).unwrap();
        assert_eq!(read_text(&path).unwrap(), "second");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, PUBLIC_FILE);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn files_that_are_no_texts_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        assert!(matches!(read_text(&path).unwrap_err(), FileError::Missing { .. }));
        fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(matches!(read_text(&path).unwrap_err(), FileError::NotText { .. }));
        fs::write(&path, vec![b' '; TEXT_MAX as usize + 1]).unwrap();
        assert!(matches!(read_text(&path).unwrap_err(), FileError::TooLong { .. }));
        assert!(matches!(read_text(folder.path()).unwrap_err(), FileError::Io { .. }));
    }
}
