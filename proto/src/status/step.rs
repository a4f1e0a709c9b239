//! What may become of a status: the rules of transition, as pure functions.

use super::Status;
use crate::{LeafIndex, StatusChange};

impl Status {
    /// Whether a [`StatusChange`] may lead from this status to `to`. Revoked and superseded are for good; superseded
    /// comes about by an anchor only.
    #[must_use]
    pub const fn may_change_to(self, to: Self) -> bool {
        matches!(
            (self, to),
            (Self::Valid, Self::Suspended | Self::Revoked) | (Self::Suspended, Self::Valid | Self::Revoked)
        )
    }
}

/// What a record does to the status of an earlier anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusStep {
    /// By a record of its own.
    Change(StatusChange),
    /// By an anchor that replaces the one at this index.
    Supersede(LeafIndex),
}

/// Why a step cannot be taken from the status that its target has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// Its status is one that nothing follows.
    #[error("its status is {0} for good")]
    Terminal(Status),
    /// It is another than the change expects.
    #[error("its status is {found}, not {expected}")]
    Other {
        /// What the change says it is.
        expected: Status,
        /// What it is.
        found: Status,
    },
}

impl StatusStep {
    /// Whose status it is about.
    #[must_use]
    pub const fn target(&self) -> LeafIndex {
        match self {
            Self::Change(change) => change.target(),
            Self::Supersede(target) => *target,
        }
    }

    /// The status that the target has afterwards, where it had `current` before.
    ///
    /// # Errors
    /// See [`StepError`].
    pub fn applied_to(&self, current: Status) -> Result<Status, StepError> {
        if current.is_terminal() {
            return Err(StepError::Terminal(current));
        }
        match self {
            Self::Supersede(_) => Ok(Status::Superseded),
            Self::Change(change) if change.from() == current => Ok(change.to()),
            Self::Change(change) => Err(StepError::Other { expected: change.from(), found: current }),
        }
    }
}
