//! `refused(reason)`: decided on final state only, and only for what can never turn.

use markstein_proto::{Author, AuthorError, Batch, TimeMs, status::StepError};

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
}

impl RefusedReason {
    const ALL: [Self; 3] = [Self::Expired, Self::KeyWithdrawn, Self::StatusTerminal];

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
        Ok(match refusal {
            BatchRefusal::Expired => Some(Self::Expired),
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
        }
    }
}

/// Whether the key a batch is signed with is one of its issuer's that only begins after `time`.
fn is_good_later(batch: &Batch, state: &dyn State, time: TimeMs) -> Result<bool, StorageError> {
    let Author::Issuer { issuer, key } = &batch.head().author else { return Ok(false) };
    let Some(grant) = state.grant(issuer)? else { return Ok(false) };
    Ok(grant.keys.iter().any(|k| k.key.id() == *key && k.not_before > time))
}
