//! Receipts that show the new status of their records.

use std::{path::PathBuf, sync::Arc};

use markstein_proto::{LeafIndex, LogSize};
use rayon::prelude::*;

use super::{
    Changed, SessionError, Shared, blocking,
    current::{Current, Need, Wanted, there},
};
use crate::{
    batches::Renewal,
    changes::Wish,
    entry::Entry,
    node::Reader,
    observer::Event,
    receipts::{self, WriteError},
    scan::Document,
};

impl<N: Reader> Shared<N> {
    /// For each record that a final batch changed: gets its newest receipt, sees that it shows the change, and writes it
    /// wherever there was one. They are synced later, all at once.
    pub(super) async fn renew(self: &Arc<Self>, entry: &Arc<Entry>) -> Result<Vec<Changed>, SessionError> {
        let parts = entry.batch().records().iter().zip(entry.records());
        let changes = parts.filter_map(|(leaf, part)| {
            let step = leaf.record.status_step()?;
            Some((step.target(), Wish::of(&leaf.record)?, part.renewals.clone()))
        });
        let batch = entry.batch().id();
        type Target = (LeafIndex, Wish, Vec<Renewal>);
        let renew = move |shared: Arc<Self>, (index, wish, renewals): Target, current| async move {
            let current = there(current);
            let status = current.facts().status;
            let receipts = shared.write_renewals(current, renewals, false).await?;
            shared.observer.event(&Event::Changed(index));
            Ok(Changed { index, wish, status, batch, receipts, labels: Vec::new() })
        };
        let wanted = |item: Target| Wanted { index: item.0, is_there: true, item };
        let need = Need::Change(batch, self.seen_beside(entry).await?);
        self.each_current(changes.map(wanted).collect(), need, renew).await
    }

    /// Size of the newest log that this client or a receipt has seen that an entry renews: a node that is behind it can tell
    /// nothing, and what it shows must not take the place of something newer.
    pub(super) async fn seen_beside(self: &Arc<Self>, entry: &Arc<Entry>) -> Result<LogSize, SessionError> {
        let entry = entry.clone();
        let size = move || -> Result<_, SessionError> {
            let files = entry.records().par_iter().flat_map_iter(|record| &record.renewals);
            Ok(files.filter_map(|renewal| receipts::log_size(&renewal.receipt)).max())
        };
        Ok(self.needed(blocking(size).await?.unwrap_or(LogSize(0))))
    }

    /// Writes the newest receipt of a record wherever there was one, and says where.
    pub(super) async fn write_renewals(
        self: &Arc<Self>,
        current: Current,
        renewals: Vec<Renewal>,
        sync: bool,
    ) -> Result<Vec<PathBuf>, SessionError> {
        let write = move || -> Result<_, WriteError> {
            let mut receipt = current.receipt;
            let mut written = Vec::with_capacity(renewals.len());
            if sync {
                receipts::prepare(renewals.iter().map(|renewal| renewal.receipt.as_path()))?;
            }
            for Renewal { like, receipt: path, salt } in renewals {
                receipt.salt = salt;
                receipts::write(&Document { path: like, receipt: path.clone() }, &receipt)?;
                written.push(path);
            }
            if sync {
                receipts::sync(written.iter().map(PathBuf::as_path))?;
            }
            Ok(written)
        };
        blocking(write).await
    }
}
