//! SHA-256 of documents: streamed in constant memory, many files in parallel.

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::Path,
};

use markstein_proto::{DocumentDigest, Hash};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

/// Bytes read at a time. Each worker has one such buffer, whatever the size of the documents.
const BUFFER: usize = 256 * 1024;

/// Why a document has no digest. The path is the caller's to add.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// The system's word.
    #[error("cannot be read: {0}")]
    Read(#[from] io::Error),
    /// A folder, a pipe or a device.
    #[error("is no ordinary file, so it has no content that could be anchored")]
    NotAFile,
    /// Without a single byte.
    #[error("is empty: an empty document says nothing, and all empty documents have the same hash")]
    Empty,
    /// Somebody wrote to it meanwhile.
    #[error("changed while it was read: try again when nobody writes to it")]
    Changed,
}

/// What tells one state of a file from the next.
#[derive(PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(file: &File) -> io::Result<Self> {
        let meta = file.metadata()?;
        Ok(Self { inode: meta.ino(), size: meta.len(), modified: (meta.mtime(), meta.mtime_nsec()) })
    }
}

/// The digest of one document, an empty one included.
///
/// # Errors
/// See [`HashError`]; never [`HashError::Empty`].
pub fn digest_file(path: &Path) -> Result<DocumentDigest, HashError> {
    digest_into(path, &mut vec![0; BUFFER], &|_| ()).map(|(digest, _)| digest)
}

/// The digests of documents that shall be anchored, in the order of the paths, read by as many threads as the
/// machine has cores. `read` hears how many bytes were read, from any thread. Empty documents are refused.
pub fn digest_all<P: AsRef<Path> + Sync>(
    paths: &[P],
    read: &(dyn Fn(u64) + Sync),
) -> Vec<Result<DocumentDigest, HashError>> {
    let digest = |buffer: &mut Vec<u8>, path: &P| match digest_into(path.as_ref(), buffer, read)? {
        (_, 0) => Err(HashError::Empty),
        (digest, _) => Ok(digest),
    };
    paths.par_iter().map_init(|| vec![0; BUFFER], digest).collect()
}

fn digest_into(
    path: &Path,
    buffer: &mut [u8],
    read: &(dyn Fn(u64) + Sync),
) -> Result<(DocumentDigest, u64), HashError> {
    // Asked by name first: opening a pipe would wait for its writer.
    if !path.metadata()?.is_file() {
        return Err(HashError::NotAFile);
    }
    let mut file = File::open(path)?;
    let before = Stamp::of(&file)?;
    let (digest, size) = digest_reader(&mut file, buffer, read)?;
    if Stamp::of(&file)? != before || size != before.size {
        return Err(HashError::Changed);
    }
    Ok((digest, size))
}

fn digest_reader(
    reader: &mut impl Read,
    buffer: &mut [u8],
    read: &(dyn Fn(u64) + Sync),
) -> io::Result<(DocumentDigest, u64)> {
    let mut hasher = Sha256::new();
    let mut size = 0;
    loop {
        let count = match reader.read(buffer) {
            Ok(0) => return Ok((DocumentDigest(Hash(hasher.finalize().into())), size)),
            Ok(count) => count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        hasher.update(&buffer[..count]);
        size += count as u64;
        read(count as u64);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{
        fs,
        io::Write,
        sync::atomic::{AtomicU64, Ordering},
    };

    use super::*;

    #[test]
    fn digests_are_sha_256_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let sizes = [1, 3, BUFFER - 1, BUFFER, BUFFER + 1, 3 * BUFFER + 7];
        let write = |size: &usize| {
            let path = dir.path().join(size.to_string());
            fs::write(&path, vec![7; *size]).unwrap();
            path
        };
        let paths: Vec<_> = sizes.iter().map(write).collect();
        let total = AtomicU64::new(0);
        let count = |n| {
            total.fetch_add(n, Ordering::Relaxed);
        };
        let digests = digest_all(&paths, &count);
        for (size, digest) in sizes.iter().zip(digests) {
            assert_eq!(digest.unwrap().0, Hash::of(&[&vec![7; *size]]));
        }
        assert_eq!(total.into_inner(), sizes.iter().sum::<usize>() as u64);
    }

    #[test]
    fn what_has_no_content_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let empty = dir.path().join("empty");
        File::create(&empty).unwrap();
        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0)
            .unwrap();
        let paths = [empty.clone(), dir.path().join("missing"), dir.path().to_path_buf(), pipe];
        let found: Vec<_> = digest_all(&paths, &|_| ()).into_iter().map(Result::unwrap_err).collect();
        assert!(matches!(
            found[..],
            [HashError::Empty, HashError::Read(_), HashError::NotAFile, HashError::NotAFile]
        ));
        assert_eq!(digest_file(&empty).unwrap().0, Hash::of(&[]));
    }

    #[test]
    fn a_document_that_grows_while_it_is_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        fs::write(&path, vec![0; 2 * BUFFER]).unwrap();
        let append = |_| fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"x").unwrap();
        let once = std::sync::Once::new();
        let found = digest_all(std::slice::from_ref(&path), &|n| once.call_once(|| append(n)));
        assert!(matches!(found[..], [Err(HashError::Changed)]));
    }
}
