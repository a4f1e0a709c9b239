//! Receipts on disk: looked at, checked before they are written, and never written over one of something else.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use markstein_proto::{
    Batch, BatchId, DocumentDigest, IssuerId, Leaf, LeafIndex, LogSize,
    note::SignedCheckpoint,
    receipt::{NotVerified, RECEIPT_MAX, Receipt, ReceiptError, TrustRoot, Verified},
};

use crate::{entry::EntryRecord, scan::Document};

/// Up to this number, files and folders are synced one by one.
const SYNCED_ONE_BY_ONE: usize = 32;

/// Why a receipt cannot be read from its file.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The system's word.
    #[error("the receipt {path} cannot be read: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Not a receipt.
    #[error("{path}: {source}")]
    Receipt {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: ReceiptError,
    },
}

/// Why a receipt cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The system's word.
    #[error("the receipt {path} cannot be written: {source}")]
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Its place is taken.
    #[error("{0} is there already and is another record's receipt, or none: move it away")]
    InTheWay(PathBuf),
}

/// What a node sent in place of a receipt.
#[derive(Debug, thiserror::Error)]
pub enum NotAccepted {
    /// Not a receipt.
    #[error("sent what is no receipt: {0}")]
    Receipt(#[from] ReceiptError),
    /// A receipt that does not prove the record.
    #[error("sent a receipt that does not verify: {0}")]
    NotVerified(#[from] NotVerified),
    /// A receipt of something else.
    #[error("sent the receipt of another record")]
    AnotherRecord,
}

/// What stands where a document's receipt goes.
#[derive(Debug)]
pub enum Present {
    /// Nothing.
    No,
    /// A receipt of this issuer for this document.
    Yes(Box<Verified>),
    /// Something else, which must not be lost.
    Other(String),
}

/// Reads a receipt file.
///
/// # Errors
/// See [`ReadError`].
pub fn read(path: &Path) -> Result<Receipt, ReadError> {
    Ok(read_with_bytes(path)?.1)
}

/// The same, and the file's bytes.
///
/// # Errors
/// See [`ReadError`].
pub fn read_with_bytes(path: &Path) -> Result<(Vec<u8>, Receipt), ReadError> {
    let io = |source| ReadError::Io { path: path.into(), source };
    let file = File::open(path).map_err(io)?;
    let mut bytes = Vec::new();
    // One byte more than allowed tells that the file is too long.
    file.take(RECEIPT_MAX as u64 + 1).read_to_end(&mut bytes).map_err(io)?;
    let receipt = Receipt::from_json(&bytes);
    let receipt = receipt.map_err(|source| ReadError::Receipt { path: path.into(), source })?;
    Ok((bytes, receipt))
}

/// The batch with the record of a receipt, and its number in it, from 0.
#[must_use]
pub fn place_of(receipt: &Receipt) -> Option<(BatchId, u32)> {
    let head = Leaf::decode(&receipt.batch_head.bytes).and_then(Leaf::into_batch_head).ok()?;
    let position = receipt.record.index.0.checked_sub(receipt.batch_head.index.0)?.checked_sub(1)?;
    Some((head.id(), u32::try_from(position).ok()?))
}

/// Looks whether a document has its receipt already.
#[must_use]
pub fn look(document: &Document, digest: &DocumentDigest, issuer: &IssuerId, trust: &TrustRoot) -> Present {
    let path = &document.receipt;
    let other = |why: String| Present::Other(format!("{} is in the way: {why}", path.display()));
    match path.symlink_metadata() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Present::No,
        // A link to nowhere would be found only once the document is anchored; a pipe would be waited for.
        Ok(_) if !path.is_file() => return other("it is no file, nor a link to one".into()),
        _ => {}
    }
    let receipt = match read(path) {
        Ok(receipt) => receipt,
        Err(ReadError::Io { source, .. }) => return other(source.to_string()),
        Err(ReadError::Receipt { source, .. }) => return other(source.to_string()),
    };
    match receipt.verify(trust, digest) {
        Ok(verified) if verified.issuer == *issuer => Present::Yes(Box::new(verified)),
        Ok(verified) => {
            other(format!("it is the receipt of {}, who anchored this document, too", verified.issuer))
        }
        Err(e) => other(format!("{e}; move it away, it is the only proof of what it was made for")),
    }
}

/// Makes the folders that receipts go to and checks that they can be written, before anything is sent.
///
/// # Errors
/// [`WriteError::Io`].
pub fn prepare<'a>(receipts: impl IntoIterator<Item = &'a Path>) -> Result<(), WriteError> {
    for folder in folders(receipts) {
        let io = |source| WriteError::Io { path: folder.into(), source };
        fs::create_dir_all(folder).map_err(io)?;
        let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
        rustix::fs::access(folder, access).map_err(|e| io(e.into()))?;
    }
    Ok(())
}

/// Takes what a node sent for the record at `position` of a batch: sets the salt and verifies everything.
///
/// # Errors
/// See [`NotAccepted`]: then the node is at fault.
pub fn accept(
    json: &[u8],
    batch: &Batch,
    position: usize,
    record: &EntryRecord,
    trust: &TrustRoot,
) -> Result<(Receipt, LeafIndex), NotAccepted> {
    let paper = record.paper.as_ref().ok_or(NotAccepted::AnotherRecord)?; // changes of a status have no receipts
    let mut receipt = Receipt::from_json(json)?;
    receipt.salt = Some(paper.salt);
    let verified = receipt.verify(trust, &paper.digest)?;
    let head = Leaf::decode(&receipt.batch_head.bytes).and_then(Leaf::into_batch_head);
    let same_batch = head.is_ok_and(|head| head.id() == batch.id());
    if same_batch && batch.records().get(position).is_some_and(|r| r.bytes == receipt.record.bytes) {
        Ok((receipt, verified.index))
    } else {
        Err(NotAccepted::AnotherRecord)
    }
}

/// Writes a receipt, complete or not at all, readable for those who can read the document. It is on the disk only
/// after [`sync`].
///
/// # Errors
/// See [`WriteError`]; a file that is not this record's receipt is never replaced.
pub fn write(document: &Document, receipt: &Receipt) -> Result<(), WriteError> {
    let path = &document.receipt;
    let io = |source| WriteError::Io { path: path.clone(), source };
    let same_record = || path.is_file() && read(path).is_ok_and(|old| old.record == receipt.record);
    if path.symlink_metadata().is_ok() && !same_record() {
        return Err(WriteError::InTheWay(path.clone()));
    }
    let unfinished = unfinished(path);
    let mode = document.path.metadata().map_or(0o600, |m| m.permissions().mode() & 0o666 | 0o600);
    // A killed run leaves this file; the next one writes over it.
    let _ = fs::remove_file(&unfinished);
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(&unfinished).map_err(io)?;
    let written = file.write_all(receipt.to_json().as_bytes()).and_then(|()| fs::rename(&unfinished, path));
    written.map_err(|e| {
        let _ = fs::remove_file(&unfinished);
        io(e)
    })
}

/// Size of the log under whose checkpoint the receipt in a file is.
#[must_use]
pub fn log_size(path: &Path) -> Option<LogSize> {
    let signed = SignedCheckpoint::parse(read(path).ok()?.checkpoint.as_bytes()).ok()?;
    Some(signed.checkpoint().size())
}

/// Brings written receipts and their names to the disk. Few are synced one by one; for many, whole file systems are:
/// thousands of files then cost as much as one, but a single one would wait for whatever else is being written there.
///
/// # Errors
/// [`WriteError::Io`].
pub fn sync<'a>(receipts: impl IntoIterator<Item = &'a Path>) -> Result<(), WriteError> {
    let receipts: Vec<&Path> = receipts.into_iter().collect();
    let folders = folders(receipts.iter().copied());
    if receipts.len() + folders.len() <= SYNCED_ONE_BY_ONE {
        return receipts.into_iter().chain(folders).try_for_each(|path| {
            File::open(path).and_then(|file| file.sync_all()).map_err(|source| io_of(path, source))
        });
    }
    let mut synced = BTreeSet::new();
    for folder in folders {
        let io = |source| io_of(folder, source);
        let file = File::open(folder).map_err(io)?;
        if synced.insert(file.metadata().map_err(io)?.dev()) {
            rustix::fs::syncfs(&file).map_err(|e| io(e.into()))?;
        }
    }
    Ok(())
}

fn io_of(path: &Path, source: io::Error) -> WriteError {
    WriteError::Io { path: path.into(), source }
}

pub(crate) fn folders<'a>(paths: impl IntoIterator<Item = &'a Path>) -> BTreeSet<&'a Path> {
    paths.into_iter().filter_map(Path::parent).collect()
}

/// The hidden name of a receipt that is being written.
pub(crate) fn unfinished(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".part");
    path.with_file_name(name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::testing::{Ledger, NOW, document, entry};

    /// A ledger with two records, and what a node would send for them.
    fn anchored(dir: &Path) -> (Ledger, crate::entry::Entry, Vec<Vec<u8>>, Document) {
        let mut ledger = Ledger::new();
        let entry = entry(&["a", "b"], NOW);
        ledger.append(entry.batch(), NOW);
        let receipts = ledger.receipts(entry.batch().id()).iter().map(|r| r.to_json().into_bytes()).collect();
        let mut document = document("a");
        document.path = dir.join("a");
        document.receipt = dir.join("a.markstein.json");
        fs::write(&document.path, "a").unwrap();
        (ledger, entry, receipts, document)
    }

    #[test]
    fn only_the_receipt_of_the_very_record_is_accepted() {
        let dir = tempfile::tempdir().unwrap();
        let (ledger, entry, receipts, _) = anchored(dir.path());
        let accept = |json: &[u8], position: usize| {
            accept(json, entry.batch(), position, &entry.records()[position], ledger.trust())
        };
        assert_eq!(
            accept(&receipts[0], 0).unwrap().0.salt,
            Some(entry.records()[0].paper.as_ref().unwrap().salt)
        );
        assert!(matches!(accept(&receipts[1], 0), Err(NotAccepted::NotVerified(_))));
        assert!(matches!(accept(b"{}", 0), Err(NotAccepted::Receipt(_))));
        // The same documents, anchored another time: a good receipt, but of another batch.
        let mut other = Ledger::new();
        let again = crate::testing::entry(&["a", "b"], markstein_proto::TimeMs(NOW.0 + 1));
        other.append(again.batch(), NOW);
        let json = other.receipts(again.batch().id())[0].to_json();
        assert!(matches!(accept(json.as_bytes(), 0), Err(NotAccepted::AnotherRecord)));
    }

    #[test]
    fn a_receipt_is_replaced_only_by_one_of_its_record() {
        let dir = tempfile::tempdir().unwrap();
        let (ledger, entry, receipts, document) = anchored(dir.path());
        let position = entry
            .records()
            .iter()
            .position(|r| r.paper.as_ref().unwrap().digest == crate::testing::digest("a"))
            .unwrap();
        let take =
            |i: usize| accept(&receipts[i], entry.batch(), i, &entry.records()[i], ledger.trust()).unwrap().0;
        let mine = take(position);
        fs::write(unfinished(&document.receipt), "left by a killed run").unwrap();
        write(&document, &mine).unwrap();
        write(&document, &mine).unwrap();
        assert!(matches!(write(&document, &take(1 - position)), Err(WriteError::InTheWay(_))));
        assert_eq!(read(&document.receipt).unwrap(), mine);
        fs::write(&document.receipt, "notes").unwrap();
        assert!(matches!(write(&document, &mine), Err(WriteError::InTheWay(_))));
        sync([document.receipt.as_path()]).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing unfinished stays");
    }

    #[test]
    fn a_receipt_is_as_readable_as_its_document() {
        let dir = tempfile::tempdir().unwrap();
        let (ledger, entry, receipts, document) = anchored(dir.path());
        fs::set_permissions(&document.path, fs::Permissions::from_mode(0o400)).unwrap();
        let receipt = accept(&receipts[0], entry.batch(), 0, &entry.records()[0], ledger.trust()).unwrap().0;
        write(&document, &receipt).unwrap();
        assert_eq!(document.receipt.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_link_to_nowhere_or_a_pipe_is_in_the_way_before_anything_is_anchored() {
        let dir = tempfile::tempdir().unwrap();
        let (ledger, _, receipts, document) = anchored(dir.path());
        let digest = crate::testing::digest("a");
        let issuer = crate::testing::issuer().issuer;
        let look = || look(&document, &digest, &issuer, ledger.trust());
        assert!(matches!(look(), Present::No));
        std::os::unix::fs::symlink("gone", &document.receipt).unwrap();
        assert!(matches!(look(), Present::Other(_)));
        fs::remove_file(&document.receipt).unwrap();
        let (file, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
        rustix::fs::mknodat(rustix::fs::CWD, &document.receipt, file, mode, 0).unwrap();
        assert!(matches!(look(), Present::Other(_)));
        let receipt = Receipt::from_json(&receipts[0]).unwrap();
        assert!(matches!(write(&document, &receipt), Err(WriteError::InTheWay(_))));
    }

    #[test]
    fn folders_are_made_and_checked_first() {
        let dir = tempfile::tempdir().unwrap();
        prepare([dir.path().join("new/sub/x.markstein.json").as_path()]).unwrap();
        assert!(dir.path().join("new/sub").is_dir());
        fs::write(dir.path().join("file"), "").unwrap();
        let error = prepare([dir.path().join("file/x").as_path()]).unwrap_err();
        assert!(matches!(error, WriteError::Io { .. }), "{error}");
    }
}
