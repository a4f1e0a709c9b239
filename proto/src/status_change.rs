//! The record that changes a status, and the reasons it may give.

use crate::{LeafIndex, codec::DecodeError, status::Status, wire};

/// Changes the status of an anchor, compare and set. Only a change that can be made at all can be decoded or made:
/// from valid to suspended or revoked, from suspended to valid or revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusChange {
    target: LeafIndex,
    from: Status,
    to: Status,
    reason: Reason,
}

/// Why a status was changed: a registered code, since free text might name persons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Reason {
    /// It should not have been issued, or not so.
    IssuedInError = 1,
    /// It was found unlawful.
    Unlawful = 2,
    /// Its conditions are not met, or no longer.
    ConditionsNotMet = 3,
    /// Its holder asked for it.
    HolderRequest = 4,
    /// A court ordered it.
    CourtOrder = 5,
    /// Somebody appealed against it.
    Appeal = 6,
    /// It is being looked into.
    UnderReview = 7,
    /// What it was suspended for no longer stands.
    Resolved = 8,
    /// Another reason.
    Other = 9,
}

impl Reason {
    /// All of them, in the order of their codes.
    pub const ALL: [Self; 9] = [
        Self::IssuedInError,
        Self::Unlawful,
        Self::ConditionsNotMet,
        Self::HolderRequest,
        Self::CourtOrder,
        Self::Appeal,
        Self::UnderReview,
        Self::Resolved,
        Self::Other,
    ];

    /// The code in the record.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The word on the command line and for programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IssuedInError => "issued-in-error",
            Self::Unlawful => "unlawful",
            Self::ConditionsNotMet => "conditions-not-met",
            Self::HolderRequest => "holder-request",
            Self::CourtOrder => "court-order",
            Self::Appeal => "appeal",
            Self::UnderReview => "under-review",
            Self::Resolved => "resolved",
            Self::Other => "other",
        }
    }

    /// The reason of this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}

impl StatusChange {
    /// A change of the anchor at `target`.
    ///
    /// # Errors
    /// [`DecodeError::Value`] where no anchor can go from `from` to `to` by such a record.
    pub fn new(target: LeafIndex, from: Status, to: Status, reason: Reason) -> Result<Self, DecodeError> {
        if from.may_change_to(to) {
            Ok(Self { target, from, to, reason })
        } else {
            Err(DecodeError::Value {
                what: "status change",
                rule: "must lead from valid to suspended or revoked, or from suspended to valid or revoked",
            })
        }
    }

    /// The anchor.
    #[must_use]
    pub const fn target(&self) -> LeafIndex {
        self.target
    }

    /// What it must be.
    #[must_use]
    pub const fn from(&self) -> Status {
        self.from
    }

    /// What it is then.
    #[must_use]
    pub const fn to(&self) -> Status {
        self.to
    }

    /// Why.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    pub(crate) fn from_wire(change: &wire::StatusChange) -> Result<Self, DecodeError> {
        let status = |number: i32| {
            u8::try_from(number)
                .ok()
                .filter(|bits| *bits < 4)
                .map(Status::from_bits)
                .ok_or(DecodeError::Value { what: "status of a status change", rule: "must be 0 to 3" })
        };
        let reason = Reason::ALL.into_iter().find(|reason| i32::from(reason.code()) == change.reason);
        let reason =
            reason.ok_or(DecodeError::Value { what: "reason of a status change", rule: "must be 1 to 9" })?;
        Self::new(LeafIndex(change.target_index), status(change.from)?, status(change.to)?, reason)
    }

    pub(crate) fn to_wire(self) -> wire::StatusChange {
        wire::StatusChange {
            target_index: self.target.0,
            from: self.from.bits().into(),
            to: self.to.bits().into(),
            reason: self.reason.code().into(),
        }
    }
}
