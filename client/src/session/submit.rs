//! A batch on its way to a decision.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use markstein_proto::BATCH_AGE_MAX_MS;

use super::{SessionError, Shared, blocking};
use crate::{
    entry::Entry,
    node::{
        ANOTHERS_RECORD, EXPIRED, Failure, NO_TARGET, NodeError, Outcome, Reader, STATUS_OTHER,
        STATUS_TERMINAL,
    },
    observer::Event,
    retry::RetryError,
    text::safe,
};

/// Why a batch is not final.
pub(super) enum No {
    /// The ledger decided so.
    Refused {
        /// The node that says it.
        node: String,
        /// Its word.
        reason: String,
        /// Its sentence.
        message: String,
    },
    /// A node does not take it.
    Denied {
        /// Its words.
        failure: RetryError,
        /// Nobody can have taken it before.
        nobody_has_it: bool,
    },
}

impl No {
    pub(super) fn is_expired(&self) -> bool {
        matches!(self, Self::Refused { reason, .. } if reason == EXPIRED)
    }

    /// Where it is because of the status of a record.
    pub(super) fn about_a_status(&self) -> Option<AboutStatus> {
        match self {
            Self::Refused { node, reason, message } if reason == STATUS_TERMINAL => {
                let error = NodeError::new(node, Failure::Faulty, message);
                Some(AboutStatus {
                    said: error.message.clone(),
                    no: NodeError { reason: reason.clone(), ..error },
                    nobody_has_it: false,
                })
            }
            Self::Denied { failure: RetryError::Denied(no), nobody_has_it }
                if [STATUS_TERMINAL, STATUS_OTHER, ANOTHERS_RECORD].contains(&no.reason.as_str()) =>
            {
                let no = NodeError { kind: Failure::Faulty, ..no.clone() };
                Some(AboutStatus { said: no.to_string(), no, nobody_has_it: *nobody_has_it })
            }
            _ => None,
        }
    }
}

/// A no because of the status of a record.
pub(super) struct AboutStatus {
    /// The node's words.
    pub said: String,
    /// What the node is passed over with, where receipts show otherwise.
    pub no: NodeError,
    /// Nobody else can have the batch.
    pub nobody_has_it: bool,
}

impl<N: Reader> Shared<N> {
    /// Submits the batch of an entry until it is decided or turned down. `fresh`: no earlier run can have sent it; `passed`:
    /// nodes whose no receipts contradict.
    pub(super) async fn submit(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        fresh: bool,
        passed: &[NodeError],
    ) -> Result<Result<(), No>, SessionError> {
        // A node that did not answer may have taken the batch all the same.
        let uncertain = AtomicBool::new(!fresh);
        let attempt = async |node: &N| {
            let name = safe(node.name());
            if let Some(no) = passed.iter().find(|no| no.node == name) {
                return Err(no.clone());
            }
            let outcome = node.submit(entry.batch().bytes().clone()).await;
            let outcome = outcome.and_then(|outcome| self.believe(node, entry, outcome));
            if outcome.as_ref().is_err_and(|e| matches!(e.kind, Failure::Away | Failure::Faulty)) {
                uncertain.store(true, Ordering::Relaxed);
            }
            outcome.map(|outcome| (name, outcome)).map_err(|e| match e.reason.as_str() {
                // A verified receipt shows that the record is there: this node lacks its block.
                NO_TARGET => NodeError { kind: Failure::Away, ..e },
                _ => e,
            })
        };
        match self.nodes.any(attempt).await {
            Ok((_, Outcome::Final)) => Ok(Ok(())),
            Ok((node, Outcome::Refused { reason, message })) => {
                Ok(Err(No::Refused { node, reason, message }))
            }
            Err(failure @ RetryError::Denied(_)) => {
                Ok(Err(No::Denied { failure, nobody_has_it: !uncertain.load(Ordering::Relaxed) }))
            }
            Err(failure) => Err(failure.into()),
        }
    }

    /// A batch that is no day old cannot have expired. Signed anew on a node's word alone, both could become final.
    fn believe(&self, node: &N, entry: &Entry, outcome: Outcome) -> Result<Outcome, NodeError> {
        let age = (self.clock)().0.saturating_sub(entry.batch().head().created_at.0);
        if is_expired(&outcome) && age <= BATCH_AGE_MAX_MS {
            let message = "says that the batch expired, and this machine's clock says that it did not: one of the \
                two clocks is wrong";
            return Err(NodeError::new(node.name(), Failure::Faulty, message));
        }
        Ok(outcome)
    }

    /// The new entry is durable before the old one goes, and both before anything is sent.
    pub(super) async fn sign_again(self: &Arc<Self>, entry: &Arc<Entry>) -> Result<Arc<Entry>, SessionError> {
        let (shared, old) = (self.clone(), entry.clone());
        let sign = move || -> Result<_, SessionError> {
            let new = old.sign_again(shared.signer(), (shared.clock)())?;
            if new.batch().id() == old.batch().id() {
                return Err(SessionError::Clock);
            }
            shared.journal.write(&new)?;
            shared.observer.event(&Event::SignedAgain(new.batch().id()));
            shared.journal.remove(old.batch().id())?;
            Ok(Arc::new(new))
        };
        blocking(sign).await
    }

    /// Why the run ends with a batch that did not become final; the journal is left as that calls for.
    pub(super) async fn give_up(
        self: &Arc<Self>,
        entry: &Entry,
        no: No,
    ) -> Result<SessionError, SessionError> {
        Ok(match no {
            No::Refused { reason, message, .. } => {
                let (reason, message) = (safe(&reason), safe(&message));
                SessionError::Refused { reason, message, aside: self.put_aside(entry).await? }
            }
            No::Denied { failure, nobody_has_it: true } => {
                SessionError::TurnedDown { failure: Box::new(failure), aside: self.put_aside(entry).await? }
            }
            No::Denied { failure, nobody_has_it: false } => {
                let entry = self.journal.path(entry.batch().id());
                SessionError::Uncertain { failure: Box::new(failure), entry }
            }
        })
    }

    async fn put_aside(self: &Arc<Self>, entry: &Entry) -> Result<PathBuf, SessionError> {
        let (shared, id) = (self.clone(), entry.batch().id());
        blocking(move || shared.journal.put_aside(id)).await
    }
}

fn is_expired(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Refused { reason, .. } if reason == EXPIRED)
}
