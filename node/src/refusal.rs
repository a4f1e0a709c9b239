//! `refused(reason)`: decided on final state only, and only for what can never turn.

use markstein_proto::{
    Author, AuthorError, BATCH_AGE_MAX_MS, Batch, CHANGE_SETTLED_MS, TimeMs, status::StepError,
};

use crate::{
    ledger::{BatchRefusal, State},
    storage::StorageError,
};

/// Why an accepted batch can never become final. The numbers stand in the store and are never used anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedReason {
    /// More than 24 hours passed between its signing and a block.
    Expired,
    /// The key it is signed with is no longer good.
    KeyWithdrawn,
    /// It changes a status that is for good.
    StatusTerminal,
    /// Another batch changed a status that it changes, and came first.
    StatusConflict,
}

impl RefusedReason {
    const ALL: [Self; 4] = [Self::Expired, Self::KeyWithdrawn, Self::StatusTerminal, Self::StatusConflict];

    /// The reason behind a refusal on final state at `time`, `None` where the batch may still become final.
    ///
    /// # Errors
    /// The store's.
    pub fn of(
        refusal: &BatchRefusal,
        batch: &Batch,
        state: &dyn State,
        time: TimeMs,
    ) -> Result<Option<Self>, StorageError> {
        let age = time.0.saturating_sub(batch.head().created_at.0);
        Ok(match refusal {
            // Whatever else it waits for: time only goes on.
            _ if age > BATCH_AGE_MAX_MS => Some(Self::Expired),
            BatchRefusal::Expired => Some(Self::Expired),
            BatchRefusal::ChangedSince(_) => Some(Self::StatusConflict),
            // Only another change could make it fit, and that would come too late for this batch.
            BatchRefusal::Status { why: StepError::Other { .. }, .. } if age > CHANGE_SETTLED_MS => {
                Some(Self::StatusConflict)
            }
            BatchRefusal::Status { why: StepError::Terminal(_), .. } => Some(Self::StatusTerminal),
            BatchRefusal::Author(AuthorError::KeyNotValid) if !is_good_later(batch, state, time)? => {
                Some(Self::KeyWithdrawn)
            }
            _ => None,
        })
    }

    /// The number in the store.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::Expired => 1,
            Self::KeyWithdrawn => 2,
            Self::StatusTerminal => 3,
            Self::StatusConflict => 4,
        }
    }

    /// The reason with this number.
    #[must_use]
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.code() == code)
    }

    /// The stable word for programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "EXPIRED",
            Self::KeyWithdrawn => "KEY_WITHDRAWN",
            Self::StatusTerminal => "STATUS_TERMINAL",
            Self::StatusConflict => "STATUS_CONFLICT",
        }
    }

    /// What it means and what to do.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Expired => {
                "more than 24 hours passed before the batch could become final: sign its records again and submit"
            }
            Self::KeyWithdrawn => "the key the batch is signed with is no longer good: sign with another key",
            Self::StatusTerminal => {
                "a document whose status the batch changes was revoked or superseded for good before the batch could \
                 become final"
            }
            Self::StatusConflict => {
                "a document whose status the batch changes had its status changed by another batch first: look at its \
                 status of today, and sign the change again if it is still wanted"
            }
        }
    }
}

/// Whether the key a batch is signed with is one of its issuer's that only begins after `time`.
fn is_good_later(batch: &Batch, state: &dyn State, time: TimeMs) -> Result<bool, StorageError> {
    let Author::Issuer { issuer, key } = &batch.head().author else { return Ok(false) };
    let Some(grant) = state.grant(issuer)? else { return Ok(false) };
    Ok(grant.keys.iter().any(|k| k.key.id() == *key && k.not_before > time))
}
