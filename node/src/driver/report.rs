//! Tells operators how things stand: the status, the metrics, and where finality pauses the log.

use super::Driver;
use crate::{
    diagnosis::{News, diagnose, sentence, span},
    network_view::Snapshot,
};

impl Driver {
    /// Publishes how things stand now.
    pub(super) fn publish_view(&mut self) {
        let snapshot = self.snapshot();
        let diagnosis = diagnose(&snapshot);
        self.metrics.finality(&snapshot, &diagnosis);
        match self.watch.look(&diagnosis, snapshot.waiting_ms, snapshot.catch_up.is_some(), self.now.tick) {
            Some(News::Paused) => {
                let Snapshot { view, own, .. } = &snapshot;
                let ids: Vec<&str> = self.set.authorities().iter().map(|a| a.id.as_str()).collect();
                let text = sentence(&snapshot, &diagnosis, &ids).unwrap_or_default();
                let voting = own.is_some() && snapshot.voting;
                tracing::warn!(%view, voting, needed_more = diagnosis.needed_more, "{text}");
            }
            Some(News::Back(ms)) => {
                tracing::info!(paused_ms = ms, "finality is back: nothing had become final for {}", span(ms));
            }
            None => {}
        }
        self.view.publish(snapshot);
    }
}
