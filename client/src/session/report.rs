//! What a run did.

use std::{collections::BTreeMap, path::PathBuf};

use markstein_proto::{BatchId, LeafIndex, status::Status};

use super::{SessionError, complete::Completed};
use crate::{
    changes::Wish,
    orders::Label,
    scan::{Document, Unreadable},
};

/// What was done.
#[derive(Debug, Default)]
pub struct Report {
    /// Documents with a new receipt, those of an earlier run that was completed included.
    pub anchored: Vec<Anchored>,
    /// Records whose status was changed, those of an earlier run that was completed included.
    pub changed: Vec<Changed>,
    /// How many batches of earlier runs were completed.
    pub resumed: usize,
    /// Documents that had their receipt already.
    pub already: Vec<(Document, LeafIndex)>,
    /// Records whose status was not changed, and why.
    pub unchanged: Vec<Unchanged>,
    /// What cannot be anchored, and why.
    pub failed: Vec<Unreadable>,
    /// Why the run ended early. What is in the journal is completed by the next one.
    pub stopped: Option<SessionError>,
}

/// A document and its new record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchored {
    /// The document.
    pub document: Document,
    /// Its record.
    pub index: LeafIndex,
    /// Its batch.
    pub batch: BatchId,
}

/// A record whose status was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The record.
    pub index: LeafIndex,
    /// What was wanted.
    pub wish: Wish,
    /// Its status in the newest receipt, which is another one where somebody changed it again.
    pub status: Status,
    /// The batch with the change.
    pub batch: BatchId,
    /// Its receipts that were renewed.
    pub receipts: Vec<PathBuf>,
    /// What it was called in this run.
    pub labels: Vec<Label>,
}

/// A record whose status was not changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unchanged {
    /// The record, where it was found.
    pub index: Option<LeafIndex>,
    /// Why it was not changed.
    pub kept: Kept,
    /// Its receipts: renewed where it has the status already, otherwise as they were.
    pub receipts: Vec<PathBuf>,
    /// What it was called in this run.
    pub labels: Vec<Label>,
}

/// Why a status was not changed, as the end of a sentence that begins with the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is what was wanted.
    Already(String),
    /// It cannot be changed so.
    Refused(String),
}

impl Report {
    /// Whether every document has its receipt now, and every record its status.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let refused = |unchanged: &Unchanged| matches!(unchanged.kept, Kept::Refused(_));
        self.stopped.is_none() && self.failed.is_empty() && !self.unchanged.iter().any(refused)
    }

    /// Takes up what became of a batch.
    pub(super) fn take(&mut self, done: Completed) -> Result<(), SessionError> {
        self.anchored.extend(done.anchored);
        self.changed.extend(done.changed);
        self.unchanged.extend(done.unchanged);
        done.stopped.map_or(Ok(()), Err)
    }

    /// Ends a run: puts everything in the order of its names, and calls records by them.
    pub(super) fn end(&mut self, done: Result<(), SessionError>, labels: &BTreeMap<LeafIndex, Vec<Label>>) {
        self.stopped = done.err();
        let of = |index: LeafIndex| labels.get(&index).cloned().unwrap_or_default();
        self.changed.iter_mut().for_each(|changed| changed.labels = of(changed.index));
        for unchanged in self.unchanged.iter_mut().filter(|unchanged| unchanged.labels.is_empty()) {
            unchanged.labels = unchanged.index.map(of).unwrap_or_default();
        }
        self.anchored.sort_by(|a, b| a.document.cmp(&b.document));
        self.changed.sort_by(|a, b| (&a.labels, a.index).cmp(&(&b.labels, b.index)));
        self.unchanged.sort_by(|a, b| (&a.labels, a.index).cmp(&(&b.labels, b.index)));
    }
}
