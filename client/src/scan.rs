//! From the paths that somebody named to documents, each with a place for its receipt.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    io,
    path::{Path, PathBuf},
};

use walkdir::{DirEntry, WalkDir};

/// What the name of a receipt ends in.
pub const RECEIPT_SUFFIX: &str = ".markstein.json";
/// Longest name of a receipt file, in bytes: file systems allow 255, and writing needs a few more for a moment.
const NAME_MAX: usize = 249;

/// A document and where its receipt goes; both paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Document {
    /// The document.
    pub path: PathBuf,
    /// Its receipt.
    pub receipt: PathBuf,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Scan {
    /// In the order of the paths named, folders sorted by name.
    pub documents: Vec<Document>,
    /// What lies in a named folder and cannot be read.
    pub unreadable: Vec<Unreadable>,
}

/// Something that cannot become a record, and why.
#[derive(Debug)]
pub struct Unreadable {
    /// Which file or folder.
    pub path: PathBuf,
    /// The end of a sentence that begins with the path.
    pub why: String,
}

/// Why nothing is done at all.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// A path that somebody named is not there.
    #[error("{path}: {source}; nothing was sent")]
    Path {
        /// As named.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// Two documents would share one receipt file.
    #[error(
        "{first} and {second} would both get the receipt {receipt}; nothing was sent: anchor them with \
         different --receipts folders"
    )]
    Collision {
        /// A document.
        first: PathBuf,
        /// Another one.
        second: PathBuf,
        /// The receipt file.
        receipt: PathBuf,
    },
    /// No room for the ending of a receipt's name.
    #[error(
        "{0}: the name is too long for a receipt beside it; nothing was sent: give the file a shorter name"
    )]
    NameTooLong(PathBuf),
}

/// The receipt's place beside a document.
#[must_use]
pub fn receipt_beside(document: &Path) -> PathBuf {
    let mut name = document.as_os_str().to_owned();
    name.push(RECEIPT_SUFFIX);
    name.into()
}

/// Finds the documents. A folder gives all files below it but hidden ones and receipts; links are followed. With
/// `receipts` the receipt of a named file goes into that folder, and those of a named folder go there under their
/// path relative to it.
///
/// # Errors
/// See [`ScanError`].
pub fn scan(paths: &[PathBuf], receipts: Option<&Path>) -> Result<Scan, ScanError> {
    let receipts = receipts.map(absolute).transpose()?;
    let mut scan = Scan::default();
    for path in paths {
        let failed = |source| ScanError::Path { path: path.clone(), source };
        if path.metadata().map_err(failed)?.is_dir() {
            scan.add_folder(&absolute(path)?, receipts.as_deref());
        } else {
            let path = absolute(path)?;
            let root = path.parent().unwrap_or(Path::new("/")).to_path_buf();
            scan.documents.push(place(path, &root, receipts.as_deref()));
        }
    }
    let mut seen = BTreeSet::new();
    scan.documents.retain(|document| seen.insert(document.path.clone()));
    scan.check_receipts()?;
    Ok(scan)
}

impl Scan {
    fn add_folder(&mut self, folder: &Path, receipts: Option<&Path>) {
        let walk = WalkDir::new(folder).follow_links(true).sort_by_file_name();
        for entry in walk.into_iter().filter_entry(is_wanted) {
            match entry {
                Ok(entry) if entry.file_type().is_dir() => {}
                Ok(entry) => self.documents.push(place(entry.into_path(), folder, receipts)),
                Err(e) => self.unreadable.push(Unreadable {
                    path: e.path().unwrap_or(folder).to_path_buf(),
                    why: match e.io_error() {
                        Some(source) => format!("cannot be read: {source}"),
                        None => "is a link that leads back to a folder above it".into(),
                    },
                }),
            }
        }
    }

    fn check_receipts(&self) -> Result<(), ScanError> {
        let mut owners: BTreeMap<&Path, &Path> = BTreeMap::new();
        for Document { path, receipt } in &self.documents {
            if receipt.file_name().is_none_or(|name| name.len() > NAME_MAX) {
                return Err(ScanError::NameTooLong(path.clone()));
            }
            if let Some(first) = owners.insert(receipt, path) {
                return Err(ScanError::Collision {
                    first: first.into(),
                    second: path.clone(),
                    receipt: receipt.clone(),
                });
            }
        }
        Ok(())
    }
}

fn absolute(path: impl AsRef<Path>) -> Result<PathBuf, ScanError> {
    let path = path.as_ref();
    std::path::absolute(path).map_err(|source| ScanError::Path { path: path.into(), source })
}

/// Whether a walk takes this entry: always what was named, otherwise neither hidden files nor receipts.
fn is_wanted(entry: &DirEntry) -> bool {
    let name: &OsStr = entry.file_name();
    let name = name.as_encoded_bytes();
    entry.depth() == 0 || !(name.starts_with(b".") || name.ends_with(RECEIPT_SUFFIX.as_bytes()))
}

fn place(path: PathBuf, root: &Path, receipts: Option<&Path>) -> Document {
    let Some(receipts) = receipts else { return Document { receipt: receipt_beside(&path), path } };
    let below: OsString = path.strip_prefix(root).unwrap_or(&path).into();
    Document { receipt: receipt_beside(&receipts.join(below)), path }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::Builder::new().prefix("scan").tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        dir
    }

    fn names(scan: &Scan, root: &Path) -> Vec<String> {
        let name = |d: &Document| d.path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        scan.documents.iter().map(name).collect()
    }

    #[test]
    fn folders_are_sorted_and_what_is_no_document_is_left_out() {
        let dir = folder(&["b", "a/2", "a/1", ".hidden", ".git/x", "b.markstein.json", "a/.x"]);
        let found = scan(&[dir.path().into()], None).unwrap();
        assert_eq!(names(&found, dir.path()), ["a/1", "a/2", "b"]);
        assert_eq!(found.documents[2].receipt, dir.path().join("b.markstein.json"));
        let named = [dir.path().join(".hidden"), dir.path().join("b.markstein.json")];
        assert_eq!(scan(&named, None).unwrap().documents.len(), 2, "what is named is taken");
    }

    #[test]
    fn a_path_named_twice_is_one_document() {
        let dir = folder(&["a/1", "a/2"]);
        let paths = [dir.path().join("a/2"), dir.path().join("a"), dir.path().join("a/./2")];
        assert_eq!(names(&scan(&paths, None).unwrap(), dir.path()), ["a/2", "a/1"]);
    }

    #[test]
    fn a_missing_path_stops_everything() {
        let dir = folder(&["a"]);
        let error = scan(&[dir.path().join("a"), dir.path().join("gone")], None).unwrap_err();
        assert!(error.to_string().contains("gone: No such file"), "{error}");
    }

    #[test]
    fn receipts_mirror_the_folder_and_never_collide() {
        let dir = folder(&["x/p", "x/sub/p", "y/p"]);
        let out = dir.path().join("out");
        let found = scan(&[dir.path().join("x")], Some(&out)).unwrap();
        let receipts: Vec<_> = found.documents.iter().map(|d| d.receipt.clone()).collect();
        assert_eq!(receipts, [out.join("p.markstein.json"), out.join("sub/p.markstein.json")]);
        for paths in [["x", "y"], ["x/p", "y/p"]] {
            let error = scan(&paths.map(|p| dir.path().join(p)), Some(&out)).unwrap_err();
            assert!(matches!(error, ScanError::Collision { .. }), "{error}");
        }
    }

    #[test]
    fn links_that_lead_nowhere_or_in_circles_are_reported() {
        let dir = folder(&["a/1"]);
        std::os::unix::fs::symlink(dir.path().join("gone"), dir.path().join("a/broken")).unwrap();
        std::os::unix::fs::symlink(dir.path(), dir.path().join("a/circle")).unwrap();
        let found = scan(&[dir.path().into()], None).unwrap();
        assert_eq!((found.documents.len(), found.unreadable.len()), (1, 2));
    }

    #[test]
    fn a_name_without_room_for_its_receipt_is_refused() {
        let dir = folder(&[&"n".repeat(240)]);
        assert!(matches!(scan(&[dir.path().into()], None), Err(ScanError::NameTooLong(_))));
    }
}
