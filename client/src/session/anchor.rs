//! Documents that shall be anchored.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use markstein_proto::{DocumentDigest, receipt::Verified};
use rayon::prelude::*;

use super::{Report, Session, SessionError, Shared, blocking};
use crate::{
    batches::{Statement, plan},
    hash::digest_all,
    node::Reader,
    observer::Event,
    receipts::{self, Present},
    scan::{Document, Scan, Unreadable},
};

/// What shall be anchored.
#[derive(Debug)]
pub struct Job {
    /// The documents.
    pub scan: Scan,
    /// What is said about them.
    pub statement: Statement,
    /// Most records of a batch, 1 to 10,000.
    pub batch_records: usize,
    /// Anchor the others where some cannot be read.
    pub keep_going: bool,
}

impl<N: Reader> Session<N> {
    /// Completes earlier runs and anchors the documents of this one.
    pub async fn run(&self, job: Job) -> Report {
        let mut report = Report::default();
        let done = self.anchor(job, &mut report).await;
        report.end(done, &BTreeMap::new());
        report
    }

    async fn anchor(&self, job: Job, report: &mut Report) -> Result<(), SessionError> {
        self.resume(report).await?;
        let Job { scan, statement, batch_records, keep_going } = job;
        report.failed = scan.unreadable;
        let documents = self.select(scan.documents, report).await?;
        if !report.failed.is_empty() && !keep_going {
            return Err(SessionError::Unreadable(report.failed.len()));
        }
        self.shared.observer.event(&Event::Anchoring { documents: documents.len() });
        let prepare = move || {
            receipts::prepare(documents.iter().map(|(d, _)| d.receipt.as_path()))?;
            let draw = |salt: &mut [u8]| getrandom::fill(salt);
            plan(documents, statement, batch_records, draw).map_err(|e| SessionError::Random(e.to_string()))
        };
        let batches = blocking(prepare).await?;
        self.write(batches, report).await
    }

    /// Step 2: digests of the documents that have no receipt yet.
    async fn select(
        &self,
        documents: Vec<Document>,
        report: &mut Report,
    ) -> Result<Vec<(Document, DocumentDigest)>, SessionError> {
        let resumed: BTreeSet<Document> = report.anchored.iter().map(|a| a.document.clone()).collect();
        let mut missing = Vec::new();
        for (document, found) in self.look_at(documents).await? {
            match found {
                Found::New(digest) => missing.push((document, digest)),
                Found::Anchored(_) if resumed.contains(&document) => {} // told once, as anchored in this run
                Found::Anchored(verified) => report.already.push((document, verified.index)),
                Found::Bad(why) => report.failed.push(Unreadable { path: document.path, why }),
            }
        }
        Ok(missing)
    }

    /// What each document is, in their order.
    pub(super) async fn look_at(
        &self,
        documents: Vec<Document>,
    ) -> Result<Vec<(Document, Found)>, SessionError> {
        let shared = self.shared.clone();
        blocking(move || -> Result<_, SessionError> { Ok(shared.look_at(documents)) }).await
    }
}

/// What a document turned out to be.
pub(super) enum Found {
    New(DocumentDigest),
    Anchored(Box<Verified>),
    Bad(String),
}

impl<N: Reader> Shared<N> {
    fn look_at(&self, documents: Vec<Document>) -> Vec<(Document, Found)> {
        let bytes = documents.iter().filter_map(|d| fs::metadata(&d.path).ok()).map(|m| m.len()).sum();
        self.observer.event(&Event::Hashing { documents: documents.len(), bytes });
        let paths: Vec<&Path> = documents.iter().map(|d| d.path.as_path()).collect();
        let digests = digest_all(&paths, &|bytes| self.observer.event(&Event::Read(bytes)));
        let found = documents.into_par_iter().zip(digests).map(|(document, digest)| {
            let found = match digest {
                Err(e) => Found::Bad(e.to_string()),
                Ok(digest) => match receipts::look(&document, &digest, &self.key.issuer, &self.trust) {
                    Present::No => Found::New(digest),
                    Present::Yes(verified) => Found::Anchored(verified),
                    Present::Other(why) => Found::Bad(format!("cannot have a receipt: {why}")),
                },
            };
            (document, found)
        });
        found.collect()
    }
}
