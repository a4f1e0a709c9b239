//! From the paths that somebody named to documents, each with a place for its receipt.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    io, mem,
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
    scan.settle_places()?;
    Ok(scan)
}

impl Scan {
    fn add_folder(&mut self, folder: &Path, receipts: Option<&Path>) {
        let walk = WalkDir::new(folder).follow_links(true).sort_by_file_name();
        for entry in walk.into_iter().filter_entry(is_wanted) {
            match entry {
                Ok(entry) if entry.file_type().is_dir() => {}
                Ok(entry) => self.documents.push(place(entry.into_path(), folder, receipts)),
                // Links to nowhere do not come by the filter; editors make hidden ones.
                Err(e)
                    if e.path().and_then(Path::file_name).is_some_and(|n| !is_wanted_name(e.depth(), n)) => {}
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

    /// Gives each place of a receipt to one document. A document that is reached on two ways, by `..` or by a link to
    /// a folder, is one document: anchored twice, its receipts would fight for one file.
    fn settle_places(&mut self) -> Result<(), ScanError> {
        let (mut folders, mut owners) = (BTreeMap::new(), BTreeMap::<PathBuf, PathBuf>::new());
        let mut documents = Vec::with_capacity(self.documents.len());
        for Document { path, receipt } in mem::take(&mut self.documents) {
            let name = receipt.file_name().filter(|name| name.len() <= NAME_MAX);
            let (Some(name), Some(folder)) = (name, receipt.parent()) else {
                return Err(ScanError::NameTooLong(path));
            };
            let place = folders.entry(folder.to_path_buf()).or_insert_with(|| real(folder)).join(name);
            match owners.get(&place) {
                Some(first) if real(first) == real(&path) => {}
                Some(first) => {
                    return Err(ScanError::Collision { first: first.clone(), second: path, receipt });
                }
                None => {
                    owners.insert(place, path.clone());
                    documents.push(Document { path, receipt });
                }
            }
        }
        self.documents = documents;
        Ok(())
    }
}

/// The path without links and `..`, as far as it leads to something that exists.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => real(parent).join(name),
        _ => path.to_path_buf(),
    })
}

fn absolute(path: impl AsRef<Path>) -> Result<PathBuf, ScanError> {
    let path = path.as_ref();
    std::path::absolute(path).map_err(|source| ScanError::Path { path: path.into(), source })
}

/// Whether a walk takes this entry: always what was named, otherwise neither hidden files nor receipts.
fn is_wanted(entry: &DirEntry) -> bool {
    is_wanted_name(entry.depth(), entry.file_name())
}

fn is_wanted_name(depth: usize, name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    depth == 0 || !(name.starts_with(b".") || name.ends_with(RECEIPT_SUFFIX.as_bytes()))
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
    fn a_document_reached_on_two_ways_is_one_document() {
        let dir = folder(&["a/1", "a/2"]);
        std::os::unix::fs::symlink(dir.path().join("a"), dir.path().join("link")).unwrap();
        let found = scan(&[dir.path().into()], None).unwrap();
        assert_eq!(names(&found, dir.path()), ["a/1", "a/2"], "by a linked folder");
        let paths = [dir.path().join("a/2"), dir.path().join("a/../a/2"), dir.path().join("link/2")];
        assert_eq!(names(&scan(&paths, None).unwrap(), dir.path()), ["a/2"], "by .. and by a link");
        let out = dir.path().join("out/of/here");
        assert_eq!(
            names(&scan(&paths, Some(&out)).unwrap(), dir.path()),
            ["a/2"],
            "with a folder to be made"
        );
        std::os::unix::fs::symlink(dir.path().join("a/1"), dir.path().join("copy")).unwrap();
        let paths = [dir.path().join("a/1"), dir.path().join("copy")];
        assert_eq!(scan(&paths, None).unwrap().documents.len(), 2, "a name of its own has its own receipt");
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
        std::os::unix::fs::symlink("user@host", dir.path().join("a/.#1")).unwrap();
        let found = scan(&[dir.path().into()], None).unwrap();
        assert_eq!((found.documents.len(), found.unreadable.len()), (1, 2));
    }

    #[test]
    fn a_name_without_room_for_its_receipt_is_refused() {
        let dir = folder(&[&"n".repeat(240)]);
        assert!(matches!(scan(&[dir.path().into()], None), Err(ScanError::NameTooLong(_))));
    }
}
