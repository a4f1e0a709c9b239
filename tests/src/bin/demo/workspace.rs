//! The folder the demo works in: copies of the documents, the ledger, and nothing of it beside the user's own files.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use markstein_tests::{binaries, files};
use tempfile::TempDir;

/// The demo's folder. A temporary one is removed when this is dropped.
#[derive(Debug)]
pub struct Workspace {
    path: PathBuf,
    temporary: Option<TempDir>,
}

impl Workspace {
    /// A temporary folder, or this one, which must be new or empty.
    pub fn new(folder: Option<&Path>) -> anyhow::Result<Self> {
        let Some(folder) = folder else {
            let temporary = tempfile::Builder::new().prefix("markstein-demo-").tempdir()?;
            return Ok(Self { path: temporary.path().canonicalize()?, temporary: Some(temporary) });
        };
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        if fs::read_dir(folder)?.next().is_some() {
            bail!("{} is not empty: choose a new folder for --keep", folder.display());
        }
        Ok(Self { path: folder.canonicalize()?, temporary: None })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The copies of the documents.
    pub fn documents(&self) -> PathBuf {
        self.path.join("documents")
    }

    /// Leaves the folder where it is.
    pub fn keep(self) -> PathBuf {
        if let Some(temporary) = self.temporary {
            let _ = temporary.keep();
        }
        self.path
    }

    /// Copies documents here, under names of their own, and gives the copies.
    pub fn copy(&self, sources: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
        let mut taken = BTreeSet::new();
        fs::create_dir_all(self.documents())?;
        for source in sources {
            let name = source.file_name().with_context(|| format!("{} is no file", source.display()))?;
            let name = free_name(name.to_owned(), &mut taken);
            fs::copy(source, self.documents().join(&name)).with_context(|| source.display().to_string())?;
        }
        Ok(taken.into_iter().map(|name| self.documents().join(name)).collect())
    }
}

/// The documents that these paths name; without any, the samples.
pub fn sources(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let samples = [binaries::workspace().join("config/samples")];
    let paths = if paths.is_empty() { &samples[..] } else { paths };
    let mut sources = Vec::new();
    for path in paths {
        let metadata = fs::metadata(path).with_context(|| path.display().to_string())?;
        if metadata.is_dir() {
            sources.extend(files::documents_below(path).with_context(|| path.display().to_string())?);
        } else {
            sources.push(path.clone());
        }
    }
    sources.retain(|path| !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")));
    if sources.is_empty() {
        bail!("there is no document to anchor");
    }
    if let Some(empty) = sources.iter().find(|path| fs::metadata(path).is_ok_and(|m| m.len() == 0)) {
        bail!("{} is empty: an empty file says nothing that could be anchored", empty.display());
    }
    Ok(sources)
}

/// The name, or with a number before it where another document has it.
fn free_name(name: OsString, taken: &mut BTreeSet<OsString>) -> OsString {
    let mut free = name.clone();
    let mut number = 2;
    while !taken.insert(free.clone()) {
        free = OsString::from(format!("{number}-"));
        free.push(&name);
        number += 1;
    }
    free
}
