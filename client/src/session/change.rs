//! Records whose status shall change.

use std::collections::{BTreeMap, BTreeSet};

use markstein_proto::LeafIndex;

use super::{
    Kept, Report, Session, SessionError, blocking,
    locate::{Looked, seen_by},
};
use crate::{
    batches::plan_changes,
    node::Reader,
    observer::Event,
    orders::{Label, Order},
    receipts,
};

/// What shall change.
#[derive(Debug)]
pub struct ChangeJob {
    /// One for each record, none of them to supersede it.
    pub orders: Vec<Order>,
    /// Most records of a batch, 1 to 10,000.
    pub batch_records: usize,
}

impl<N: Reader> Session<N> {
    /// Completes earlier runs and changes what this one is about. What cannot be changed is told of, and the rest is done.
    pub async fn change(&self, job: ChangeJob) -> Report {
        let (mut report, mut labels) = (Report::default(), BTreeMap::new());
        let done = self.make_changes(job, &mut report, &mut labels).await;
        report.end(done, &labels);
        report
    }

    async fn make_changes(
        &self,
        job: ChangeJob,
        report: &mut Report,
        labels: &mut BTreeMap<LeafIndex, Vec<Label>>,
    ) -> Result<(), SessionError> {
        self.resume(report).await?;
        let resumed: BTreeSet<LeafIndex> = report.changed.iter().map(|changed| changed.index).collect();
        let seen = self.shared.needed(seen_by(&job.orders));
        let sought = self.locate(job.orders, seen, report).await?;
        labels.extend(sought.iter().map(|(index, sought)| (*index, sought.labels.clone())));
        let mut changes = Vec::new();
        for looked in self.look_up(sought.into_values().collect(), seen).await? {
            match looked {
                Looked::Change(change, sought) => changes.push((change, sought.renewals)),
                Looked::Supersede(..) => {} // no such order is in this job
                Looked::Unchanged(unchanged) => {
                    let again = unchanged.index.is_some_and(|index| resumed.contains(&index));
                    // What an earlier run began was told as changed in this one.
                    if !(again && matches!(unchanged.kept, Kept::Already(_))) {
                        report.unchanged.push(unchanged);
                    }
                }
            }
        }
        self.shared.observer.event(&Event::Changing { records: changes.len() });
        let prepare = move || -> Result<_, SessionError> {
            receipts::prepare(
                changes.iter().flat_map(|(_, all)| all).map(|renewal| renewal.receipt.as_path()),
            )?;
            Ok(plan_changes(changes, job.batch_records))
        };
        let batches = blocking(prepare).await?;
        self.write(batches, report).await
    }
}
