//! Files of tests and of the demo.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use walkdir::WalkDir;

/// What the name of a receipt ends in, as README and design promise it.
pub const RECEIPT_SUFFIX: &str = ".markstein.json";

/// All files below a folder, sorted.
///
/// # Errors
/// Where something below it cannot be read.
pub fn below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in WalkDir::new(folder).sort_by_file_name() {
        let entry = entry?;
        if entry.file_type().is_file() {
            files.push(entry.into_path());
        }
    }
    Ok(files)
}

/// The same without receipts.
///
/// # Errors
/// As [`below`].
pub fn documents_below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let is_receipt = |path: &PathBuf| path.to_string_lossy().ends_with(RECEIPT_SUFFIX);
    Ok(below(folder)?.into_iter().filter(|path| !is_receipt(path)).collect())
}

/// Where the receipt of a document lies by default.
#[must_use]
pub fn receipt_of(document: &Path) -> PathBuf {
    let mut name = document.as_os_str().to_owned();
    name.push(RECEIPT_SUFFIX);
    name.into()
}

/// Copies a folder with everything in it.
///
/// # Errors
/// The system's word.
pub fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    for file in below(from)? {
        let target = to.join(file.strip_prefix(from).expect("it was found below that folder"));
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::copy(&file, &target)?;
    }
    Ok(())
}
