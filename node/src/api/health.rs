//! What gRPC health answers: reads and submissions are told apart.

use tonic_health::{ServingStatus, server::HealthReporter};

use super::{Context, operations::acknowledges};

/// The service that takes submissions.
const SUBMISSIONS: &str = "markstein.v1.Anchoring";
/// What answers as long as the node runs, the whole server first: whoever spreads reads over nodes keeps one that sees
/// no quorum.
const READS: [&str; 4] = ["", "markstein.v1.Verification", "markstein.v1.Ledger", "markstein.v1.Operations"];

/// Tells the health service how the node is.
#[derive(Clone)]
pub struct Health(HealthReporter);

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Health")
    }
}

impl Health {
    pub(super) const fn new(reporter: HealthReporter) -> Self {
        Self(reporter)
    }

    /// Nothing is served: not yet, or not any more.
    pub async fn stop(&self) {
        for service in READS.into_iter().chain([SUBMISSIONS]) {
            self.0.set_service_status(service, ServingStatus::NotServing).await;
        }
    }

    /// Reads are served from now on. Submissions are for as long as they would be acknowledged, which is looked at each
    /// time the driver tells how things stand. Goes on until it is dropped.
    pub async fn follow(&self, context: &Context) {
        for service in READS {
            self.0.set_service_status(service, ServingStatus::Serving).await;
        }
        let (mut network, mut told) = (context.network.follow(), None);
        loop {
            let status =
                if acknowledges(context) { ServingStatus::Serving } else { ServingStatus::NotServing };
            if told.replace(status) != Some(status) {
                self.0.set_service_status(SUBMISSIONS, status).await;
            }
            if network.changed().await.is_err() {
                return;
            }
        }
    }
}
