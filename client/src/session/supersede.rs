//! Documents that replace earlier ones.

use std::collections::{BTreeMap, BTreeSet};

use markstein_proto::{LeafIndex, TimeMs};

use super::{
    Report, Session, SessionError,
    anchor::Found,
    blocking,
    locate::{Looked, Sought, seen_by},
};
use crate::{
    batches::{Statement, Successor, plan_successors},
    node::Reader,
    observer::Event,
    orders::{Label, Order},
    receipts,
    scan::{Document, Unreadable},
};

/// A document that replaces an earlier one.
#[derive(Debug)]
pub struct Replacement {
    /// The new document.
    pub document: Document,
    /// The record that it replaces.
    pub order: Order,
}

/// What shall be replaced.
#[derive(Debug)]
pub struct SupersedeJob {
    /// New and old.
    pub replacements: Vec<Replacement>,
    /// Registered code; none for that of the document that is replaced.
    pub document_type: Option<u32>,
    /// Made with the all-zero salt.
    pub public: bool,
    /// When the new documents end by their own word.
    pub valid_until: Option<TimeMs>,
    /// Most records of a batch, 1 to 10,000.
    pub batch_records: usize,
    /// Anchor the others where some cannot be read.
    pub keep_going: bool,
}

impl<N: Reader> Session<N> {
    /// Completes earlier runs and replaces what this one is about. What cannot be replaced is told of, and the rest is
    /// done.
    pub async fn supersede(&self, job: SupersedeJob) -> Report {
        let (mut report, mut labels) = (Report::default(), BTreeMap::new());
        let done = self.replace(job, &mut report, &mut labels).await;
        report.end(done, &labels);
        report
    }

    async fn replace(
        &self,
        job: SupersedeJob,
        report: &mut Report,
        labels: &mut BTreeMap<LeafIndex, Vec<Label>>,
    ) -> Result<(), SessionError> {
        self.resume(report).await?;
        let (documents, orders): (Vec<Document>, Vec<Order>) =
            job.replacements.into_iter().map(|r| (r.document, r.order)).unzip();
        let named: BTreeMap<Label, Document> =
            orders.iter().map(|order| order.label.clone()).zip(documents.iter().cloned()).collect();
        let seen = self.shared.needed(seen_by(&orders));
        let mut sought = self.locate(orders, seen, report).await?;
        labels.extend(sought.iter().map(|(index, sought)| (*index, sought.labels.clone())));
        // A record is sought by one order, which is about one document.
        let document_of = |sought: &Sought| sought.labels.first().and_then(|label| named.get(label)).cloned();
        let targets: BTreeMap<Document, LeafIndex> =
            sought.values().filter_map(|s| Some((document_of(s)?, s.index))).collect();
        let resumed: BTreeSet<Document> = report.anchored.iter().map(|a| a.document.clone()).collect();
        let mut digests = BTreeMap::new();
        for (document, found) in self.look_at(documents).await? {
            let target = targets.get(&document);
            let why = match found {
                Found::New(digest) => {
                    digests.extend(target.map(|target| (*target, (document, digest))));
                    continue;
                }
                Found::Anchored(verified) if target.is_some() && verified.supersedes.as_ref() == target => {
                    if !resumed.contains(&document) {
                        report.already.push((document, verified.index));
                    }
                    continue;
                }
                Found::Anchored(verified) => format!(
                    "was anchored before, as record {}, which does not replace that one: if it shall be anchored once \
                     more, move its receipt away",
                    verified.index
                ),
                Found::Bad(why) => why,
            };
            report.failed.push(Unreadable { path: document.path, why });
        }
        if !report.failed.is_empty() && !job.keep_going {
            return Err(SessionError::Unreadable(report.failed.len()));
        }
        let mut successors = Vec::new();
        sought.retain(|index, _| digests.contains_key(index));
        for looked in self.look_up(sought.into_values().collect(), seen).await? {
            let (own_type, sought) = match looked {
                Looked::Supersede(own_type, sought) => (own_type, sought),
                Looked::Change(..) => continue, // no such order is in this job
                Looked::Unchanged(unchanged) => {
                    report.unchanged.push(unchanged);
                    continue;
                }
            };
            let Some((document, digest)) = digests.remove(&sought.index) else { continue };
            let statement = Statement {
                document_type: job.document_type.unwrap_or(own_type),
                public: job.public,
                valid_until: job.valid_until,
            };
            let Sought { index: supersedes, renewals, .. } = sought;
            successors.push(Successor { document, digest, statement, supersedes, renewals });
        }
        self.shared.observer.event(&Event::Anchoring { documents: successors.len() });
        let prepare = move || {
            let renewed =
                successors.iter().flat_map(|s| &s.renewals).map(|renewal| renewal.receipt.as_path());
            receipts::prepare(successors.iter().map(|s| s.document.receipt.as_path()).chain(renewed))?;
            let draw = |salt: &mut [u8]| getrandom::fill(salt);
            plan_successors(successors, job.batch_records, draw)
                .map_err(|e| SessionError::Random(e.to_string()))
        };
        let batches = blocking(prepare).await?;
        self.write(batches, report).await
    }
}
