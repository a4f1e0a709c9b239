//! The verdict on a document, offline: what `markstein verify` says, and its exit code.

use std::{fmt, path::Path, time::Duration};

use markstein_proto::{
    Genesis, IssuerId, TimeMs,
    receipt::{NotVerified, TrustRoot, Verified},
    status::Status,
};

use crate::{
    hash::{HashError, digest_file},
    receipts::{self, ReadError},
    time::rfc3339,
};

/// How far a receipt may be ahead of this machine's clock before the clock is doubted.
pub(crate) const AHEAD_MAX_MS: u64 = 5 * 60 * 1000;

/// What can be said about a document.
#[derive(Debug)]
pub enum Verdict {
    /// The receipt proves it.
    Genuine {
        /// What is proven.
        verified: Box<Verified>,
        /// What speaks against relying on it all the same.
        reservations: Vec<Reservation>,
    },
    /// The receipt does not prove it.
    NotGenuine(NotVerified),
    /// Nothing can be said.
    CouldNotCheck(NotChecked),
}

/// Why a genuine document may not be good any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reservation {
    /// Revoked, suspended or superseded.
    Status(Status),
    /// Its status is known only for a time long ago.
    TooOld {
        /// Age of the receipt's as-of time.
        age: Duration,
        /// Age that is accepted.
        max: Duration,
    },
    /// It ended by its own word.
    Ended(TimeMs),
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum NotChecked {
    /// The document.
    #[error("the document {0}")]
    Document(HashError),
    /// The receipt.
    #[error(transparent)]
    Receipt(#[from] ReadError),
    /// A part of the receipt is of a later release, or its salt is missing.
    #[error("{0}")]
    Incomplete(NotVerified),
    /// No node gave what is needed.
    #[error("{0}")]
    Nodes(String),
    /// The receipt is another issuer's than the one asked for.
    #[error("the receipt is one of {name} ({issuer}), and not of {asked}")]
    AnotherIssuer {
        /// Whose it is.
        issuer: IssuerId,
        /// Its name.
        name: String,
        /// Whose was asked for.
        asked: IssuerId,
    },
    /// Several issuers anchored it, and it does not stand with all of them in the same way.
    #[error(
        "it cannot be decided without knowing whose decision this is: {}. Name the issuer with --issuer",
        .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    )]
    Offices(Vec<Standing>),
    /// There is no receipt, and no node that answered knows a public record.
    #[error(
        "it has no receipt, and {}{}: if it was anchored with a salt, its receipt is needed; a record that is not final yet is \
         found a moment later{}",
        none_of(*.asked),
        issuer.iter().map(|issuer| format!(" by {issuer}")).collect::<String>(),
        wrong.iter().map(|wrong| format!("; {wrong}")).collect::<String>()
    )]
    NoRecord {
        /// How many nodes said so.
        asked: usize,
        /// The issuer whose records were asked for, where it was one.
        issuer: Option<IssuerId>,
        /// What the others said or did.
        wrong: Vec<String>,
    },
    /// The receipt comes from the future.
    #[error(
        "the receipt says {} and this machine's clock says {}: set the clock right and check again",
        rfc3339(*.receipt),
        rfc3339(*.clock)
    )]
    Clock {
        /// The latest time in the receipt.
        receipt: TimeMs,
        /// This machine's.
        clock: TimeMs,
    },
}

/// How a document stands with one of several issuers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The issuer.
    pub issuer: IssuerId,
    /// Its name.
    pub name: String,
    /// The status of its record.
    pub status: Status,
    /// Whether it is genuine and valid by this record.
    pub is_good: bool,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = match self.status {
            Status::Valid if !self.is_good => "anchored it, which is not to be relied on any more",
            Status::Valid => "says that it is valid",
            Status::Revoked => "revoked it",
            Status::Suspended => "suspended it",
            Status::Superseded => "replaced it",
        };
        write!(f, "{} ({}) {said}", self.name, self.issuer)
    }
}

fn none_of(asked: usize) -> String {
    match asked {
        1 => "the one node that answered knows no public record of it".into(),
        asked => format!("none of the {asked} nodes that answered knows a public record of it"),
    }
}

/// How to judge.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// The time of the verdict.
    pub now: TimeMs,
    /// Oldest status that is accepted.
    pub max_age: Option<Duration>,
}

/// So old may the status be that nodes tell today: who shows an older one withholds what came since, or no quorum is at work.
const TODAY: Duration = Duration::from_secs(24 * 60 * 60);
/// A status so new ends the asking, however short the ledger's interval is: blocks take their time, and clocks differ.
const PROMPT_MIN: Duration = Duration::from_secs(15 * 60);
/// ... and so many intervals at which a ledger at rest is cosigned.
const PROMPT_INTERVALS: u64 = 10;

impl Terms {
    /// For what nodes say today: a day, unless somebody says otherwise.
    #[must_use]
    pub fn online(now: TimeMs, max_age: Option<Duration>) -> Self {
        Self { now, max_age: Some(max_age.unwrap_or(TODAY)) }
    }

    /// What one node's answer must meet so that no other node is asked. Where none meets it, the newest answer is judged by
    /// the terms themselves.
    #[must_use]
    pub fn prompt(self, genesis: &Genesis) -> Self {
        let interval = genesis.parameters.recosign_interval_ms;
        let prompt = Duration::from_millis(interval.saturating_mul(PROMPT_INTERVALS)).max(PROMPT_MIN);
        Self { max_age: Some(self.max_age.map_or(prompt, |max| max.min(prompt))), ..self }
    }
}

/// Checks a document by its receipt, which must be this issuer's where one is named.
#[must_use]
pub fn verify_file(
    trust: &TrustRoot,
    document: &Path,
    receipt: &Path,
    terms: Terms,
    issuer: Option<&IssuerId>,
) -> Verdict {
    match check(trust, document, receipt) {
        Ok(Ok(verified)) => match is_of(&verified, issuer) {
            Ok(()) => judge(verified, terms),
            Err(why) => Verdict::CouldNotCheck(why),
        },
        Ok(Err(e)) => Verdict::of(e),
        Err(e) => Verdict::CouldNotCheck(e),
    }
}

fn check(
    trust: &TrustRoot,
    document: &Path,
    receipt: &Path,
) -> Result<Result<Verified, NotVerified>, NotChecked> {
    let receipt = receipts::read(receipt)?; // first: the document may be large
    let digest = digest_file(document).map_err(NotChecked::Document)?;
    Ok(receipt.verify(trust, &digest))
}

/// Whether a record is of the issuer that was asked for, if one was.
pub(crate) fn is_of(verified: &Verified, asked: Option<&IssuerId>) -> Result<(), NotChecked> {
    match asked {
        Some(asked) if *asked != verified.issuer => Err(NotChecked::AnotherIssuer {
            issuer: verified.issuer.clone(),
            name: verified.issuer_name.clone(),
            asked: asked.clone(),
        }),
        _ => Ok(()),
    }
}

/// The verdict on a document whose receipt verifies, at a time.
#[must_use]
pub fn judge(verified: Verified, Terms { now, max_age }: Terms) -> Verdict {
    let as_of = as_of(&verified);
    let newest = as_of.max(verified.anchored_at);
    if newest.0 > now.0.saturating_add(AHEAD_MAX_MS) {
        return Verdict::CouldNotCheck(NotChecked::Clock { receipt: newest, clock: now });
    }
    let age = Duration::from_millis(now.0.saturating_sub(as_of.0));
    let status = Some(verified.status).filter(|s| *s != Status::Valid).map(Reservation::Status);
    let ended = verified.valid_until.filter(|end| *end < now).map(Reservation::Ended);
    let too_old = max_age.filter(|max| age > *max).map(|max| Reservation::TooOld { age, max });
    let reservations = [status, ended, too_old].into_iter().flatten().collect();
    Verdict::Genuine { verified: Box::new(verified), reservations }
}

/// The time for which the status is proven.
#[must_use]
pub fn as_of(verified: &Verified) -> TimeMs {
    TimeMs(verified.as_of_s.saturating_mul(1000))
}

impl Verdict {
    /// What follows from a refusal: a part of a later release, or a salt that is missing, says nothing.
    #[must_use]
    pub fn of(refusal: NotVerified) -> Self {
        if refusal.is_unknown_version() || refusal == NotVerified::NoSalt {
            Self::CouldNotCheck(NotChecked::Incomplete(refusal))
        } else {
            Self::NotGenuine(refusal)
        }
    }

    /// 0 genuine and valid, 1 not genuine, 2 could not check, 3 genuine but not to be relied on.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Genuine { reservations, .. } if reservations.is_empty() => 0,
            Self::NotGenuine(_) => 1,
            Self::CouldNotCheck(_) => 2,
            Self::Genuine { .. } => 3,
        }
    }
}

/// The exit code for several documents: the worst, in the order 1, 2, 3, 0.
#[must_use]
pub fn worst(codes: impl IntoIterator<Item = u8>) -> u8 {
    let rank = |code: &u8| [0, 3, 2, 1].iter().position(|c| c == code);
    codes.into_iter().max_by_key(rank).unwrap_or(0)
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
