//! Receipt files: found, and replaced so that each is at every moment the old one or the new one.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
};

use walkdir::{DirEntry, WalkDir};

use crate::{
    receipts,
    scan::{RECEIPT_SUFFIX, ScanError, Unreadable, receipt_beside},
};

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// Receipts, each once, in the order of the paths named, folders sorted by name.
    pub receipts: Vec<PathBuf>,
    /// What lies in a named folder and cannot be read.
    pub unreadable: Vec<Unreadable>,
}

/// A receipt to be replaced.
#[derive(Debug)]
pub struct Replacement {
    /// Its file.
    pub path: PathBuf,
    /// The file's bytes when it was read.
    pub old: Vec<u8>,
    /// What it shall be.
    pub new: String,
}

/// Finds receipts: files as named, or the one beside a document that was named; of a folder all receipts below it, but
/// nothing hidden. Links are followed.
///
/// # Errors
/// [`ScanError::Path`] where a path that was named is not there.
pub fn find(paths: &[PathBuf]) -> Result<Found, ScanError> {
    let (mut found, mut taken) = (Found::default(), BTreeSet::new());
    let mut take = |path: PathBuf, found: &mut Found| match path.canonicalize() {
        Ok(real) => {
            if taken.insert(real) {
                found.receipts.push(path);
            }
        }
        Err(e) => found.unreadable.push(Unreadable { path, why: format!("cannot be read: {e}") }),
    };
    for path in paths {
        let beside = receipt_beside(path);
        if path.is_dir() {
            for entry in WalkDir::new(path).follow_links(true).sort_by_file_name() {
                match entry {
                    Ok(entry) if is_receipt(&entry) => take(entry.into_path(), &mut found),
                    Ok(_) => {}
                    Err(e) => found.unreadable.push(Unreadable {
                        path: e.path().unwrap_or(path).to_path_buf(),
                        why: match e.io_error() {
                            Some(source) => format!("cannot be read: {source}"),
                            None => "is a link that leads back to a folder above it".into(),
                        },
                    }),
                }
            }
        } else if !is_named_receipt(path) && beside.is_file() {
            take(beside, &mut found);
        } else {
            path.metadata().map_err(|source| ScanError::Path { path: path.clone(), source })?;
            take(path.clone(), &mut found);
        }
    }
    Ok(found)
}

fn is_receipt(entry: &DirEntry) -> bool {
    let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
    entry.depth() > 0 && !hidden && entry.file_type().is_file() && is_named_receipt(entry.path())
}

fn is_named_receipt(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(RECEIPT_SUFFIX.as_bytes())
}

/// Replaces receipts, with their modes and owners, and gives for each what became of it. All new ones are on the disk
/// before the first takes its name: a receipt holds the only copy of its salt.
pub fn replace(replacements: &[Replacement]) -> Vec<io::Result<()>> {
    let mut written: Vec<io::Result<Written>> = replacements.iter().map(Written::new).collect();
    let parts = written.iter().flatten().map(|it| it.part.as_path()).collect::<Vec<_>>();
    if let Err(e) = receipts::sync(parts) {
        let lost = || Err(io::Error::other(e.to_string()));
        written = written.into_iter().map(|it| it.and_then(|_| lost())).collect();
    }
    let done: Vec<io::Result<Option<PathBuf>>> =
        written.into_iter().map(|it| it?.take_place().map(Some)).collect();
    let folders: BTreeSet<&Path> =
        done.iter().flatten().flatten().filter_map(|target| target.parent()).collect();
    let synced = folders.into_iter().try_for_each(|folder| File::open(folder)?.sync_all());
    let synced = synced.map_err(|e| e.to_string());
    let result = |it: io::Result<Option<PathBuf>>| {
        it?;
        synced.clone().map_err(io::Error::other)
    };
    done.into_iter().map(result).collect()
}

/// A new receipt beside the old one; gone again unless it takes its place.
struct Written<'a> {
    target: PathBuf,
    part: PathBuf,
    old: &'a [u8],
}

impl<'a> Written<'a> {
    fn new(replacement: &'a Replacement) -> io::Result<Self> {
        let target = replacement.path.canonicalize()?; // not a link to it
        let old = target.metadata()?;
        let part = receipts::unfinished(&target);
        let _ = fs::remove_file(&part); // left by a killed run
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
        let written = Self { target, part, old: &replacement.old };
        file.write_all(replacement.new.as_bytes())?;
        let new = file.metadata()?;
        if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
            fchown(&file, Some(old.uid()), Some(old.gid()))?;
        }
        file.set_permissions(Permissions::from_mode(old.mode() & 0o7777))?;
        Ok(written)
    }

    fn take_place(self) -> io::Result<PathBuf> {
        if fs::read(&self.target)? != self.old {
            return Err(io::Error::other("it was changed by somebody else meanwhile"));
        }
        fs::rename(&self.part, &self.target)?;
        Ok(self.target.clone())
    }
}

impl Drop for Written<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.part); // not there any more where it took its place
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::Builder::new().prefix("found").tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        dir
    }

    #[test]
    fn receipts_are_found_by_their_folder_their_name_or_their_document() {
        let dir =
            folder(&["b", "b.markstein.json", "a/1.markstein.json", "a/1", "a/.x.markstein.json", "other"]);
        let at = |name: &str| dir.path().join(name);
        let names = |paths: &[PathBuf]| -> Vec<String> {
            let name = |path: &PathBuf| path.strip_prefix(dir.path()).unwrap().to_str().unwrap().to_owned();
            find(paths).unwrap().receipts.iter().map(name).collect()
        };
        assert_eq!(names(&[dir.path().into()]), ["a/1.markstein.json", "b.markstein.json"]);
        assert_eq!(names(&[at("b"), at("b.markstein.json"), at("a/../b")]), ["b.markstein.json"]);
        assert_eq!(names(&[at("other")]), ["other"], "what is named and has none is looked at itself");
        fs::remove_file(at("b")).unwrap();
        assert_eq!(names(&[at("b")]), ["b.markstein.json"], "a receipt outlives its document");
        assert!(matches!(find(&[at("gone")]), Err(ScanError::Path { .. })));
        symlink(at("nowhere"), at("a/2.markstein.json")).unwrap();
        assert_eq!(find(&[dir.path().into()]).unwrap().unreadable.len(), 1);
    }

    fn replacement(path: &Path, old: &str) -> Replacement {
        Replacement { path: path.into(), old: old.into(), new: "new".into() }
    }

    #[test]
    fn a_receipt_is_replaced_whole_with_its_mode_also_behind_a_link() {
        let dir = folder(&["x/r", "left"]);
        let (receipt, link) = (dir.path().join("x/r"), dir.path().join("link"));
        fs::set_permissions(&receipt, Permissions::from_mode(0o640)).unwrap();
        symlink(&receipt, &link).unwrap();
        fs::write(dir.path().join("x/.r.part"), "left by a killed run").unwrap();
        replace(&[replacement(&link, "x/r")]).remove(0).unwrap();
        assert_eq!(fs::read_to_string(&receipt).unwrap(), "new");
        assert_eq!(receipt.metadata().unwrap().permissions().mode() & 0o777, 0o640);
        assert!(link.is_symlink());
        assert_eq!(fs::read_dir(dir.path().join("x")).unwrap().count(), 1, "nothing unfinished stays");
    }

    #[test]
    fn what_fails_leaves_the_old_one_and_the_others_go_on() {
        let dir = folder(&["a", "changed", "b"]);
        let at = |name: &str| dir.path().join(name);
        let results = replace(&[
            replacement(&at("a"), "a"),
            replacement(&at("changed"), "as it was read"),
            replacement(&at("gone"), "gone"),
            replacement(&at("b"), "b"),
        ]);
        assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, false, true]);
        assert_eq!(fs::read_to_string(at("changed")).unwrap(), "changed");
        assert_eq!(fs::read_to_string(at("b")).unwrap(), "new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3, "nothing unfinished stays");
        // No place for the new one: a folder stands where it would be written.
        fs::create_dir_all(at(".a.part/x")).unwrap();
        assert!(replace(&[replacement(&at("a"), "new")]).remove(0).is_err());
        assert_eq!(fs::read_to_string(at("a")).unwrap(), "new");
    }
}
