//! Who may write what: the rules for a batch, checked on acceptance, before a proposal and before a vote.

use std::sync::Arc;

use markstein_proto::{
    Author, AuthorError, BATCH_AGE_MAX_MS, Batch, Genesis, IssuerGrant, IssuerId, LeafIndex, LedgerId,
    Record, TimeMs, status::StepError,
};

use super::{
    State,
    statuses::{Statuses, TakenStep},
};
use crate::{
    storage::StorageError,
    verified::Verified,
    work::{self, Step},
};

/// What of the genesis the rules need.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The ledger.
    pub ledger: LedgerId,
    /// Registered document types, ascending.
    document_types: Vec<u32>,
    /// Batches are checked on admission, when a block is built and when it is executed: their signatures once.
    verified: Arc<Verified>,
}

impl Rules {
    /// The rules of a ledger.
    #[must_use]
    pub fn new(genesis: &Genesis) -> Self {
        Self::with_signatures(genesis, Verified::default())
    }

    /// The same, with signatures checked by `verified`.
    #[must_use]
    pub fn with_signatures(genesis: &Genesis, verified: Verified) -> Self {
        let document_types = genesis.parameters.document_types.iter().map(|t| t.code).collect();
        Self { ledger: genesis.ledger_id(), document_types, verified: Arc::new(verified) }
    }

    /// What signatures are checked with.
    #[must_use]
    pub fn verified(&self) -> &Verified {
        &self.verified
    }
}

/// Why a batch may not be written, as a fact about the batch and the state it was checked on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchRefusal {
    /// For another ledger.
    #[error("this batch is for ledger {0}, not for this one: submit it to a node of that ledger")]
    AnotherLedger(LedgerId),
    /// Written as genesis, which stands in block 0 only.
    #[error("only the genesis itself has the author `genesis`")]
    GenesisAuthor,
    /// Not admitted.
    #[error("the issuer {0} is not admitted to this ledger: ask the authorities for a grant")]
    UnknownIssuer(IssuerId),
    /// Not signed by a key its issuer has at this time.
    #[error(transparent)]
    Author(#[from] AuthorError),
    /// A kind of record that an issuer may not write.
    #[error("an issuer may anchor documents and change their status; other records are the authorities'")]
    RecordKind,
    /// A type of document outside the grant.
    #[error("the issuer is not admitted to anchor documents of type {0}")]
    OutOfScope(u32),
    /// A type of document nobody registered.
    #[error("document type {0} is not registered on this ledger")]
    UnregisteredType(u32),
    /// A change of a status where no earlier block has an anchor.
    #[error(
        "there is no anchored document at leaf {0}, or its block is not decided yet: its status cannot be changed"
    )]
    NoTarget(LeafIndex),
    /// A change of the status of another issuer's record.
    #[error("the record at leaf {0} is another issuer's: only its issuer changes its status")]
    AnothersRecord(LeafIndex),
    /// A change that cannot follow the status there is.
    #[error("the record at leaf {target} cannot be changed so: {why}")]
    Status {
        /// The record.
        target: LeafIndex,
        /// Why.
        why: StepError,
    },
    /// A change of a status that another batch changed later than this one was made.
    #[error(
        "the status of the record at leaf {0} was changed more than ten minutes after this batch was made: look at its \
         status of today, and sign the change again if it is still wanted"
    )]
    ChangedSince(LeafIndex),
    /// Made more than 24 hours before.
    #[error("the batch was made more than 24 hours ago: sign it anew")]
    Expired,
    /// Made more than 24 hours in the future.
    #[error(
        "the batch says it was made more than 24 hours from now: check the clock of the computer that made it"
    )]
    FromTheFuture,
    /// Already in the ledger.
    #[error("the batch is in the ledger already")]
    Duplicate,
}

impl BatchRefusal {
    /// A stable word for programs.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::AnotherLedger(_) => "ANOTHER_LEDGER",
            Self::GenesisAuthor => "GENESIS_AUTHOR",
            Self::UnknownIssuer(_) => "UNKNOWN_ISSUER",
            Self::Author(AuthorError::BadSignature) => "BAD_SIGNATURE",
            Self::Author(AuthorError::KeyNotValid) => "KEY_NOT_VALID",
            Self::Author(_) => "WRONG_SIGNER",
            Self::RecordKind => "RECORD_KIND",
            Self::OutOfScope(_) => "OUT_OF_SCOPE",
            Self::UnregisteredType(_) => "UNREGISTERED_TYPE",
            Self::NoTarget(_) => "NO_TARGET",
            Self::AnothersRecord(_) => "ANOTHERS_RECORD",
            Self::Status { why: StepError::Terminal(_), .. } => "STATUS_TERMINAL",
            Self::Status { .. } => "STATUS_OTHER",
            Self::ChangedSince(_) => "STATUS_CONFLICT",
            Self::Expired => "EXPIRED",
            Self::FromTheFuture => "CREATED_IN_THE_FUTURE",
            Self::Duplicate => "DUPLICATE",
        }
    }
}

/// Whether a batch is for this ledger and signed by its issuer at a time: the cheap part of [`check_batch`].
///
/// # Errors
/// As [`check_batch`].
pub fn check_author(
    state: &dyn State,
    rules: &Rules,
    batch: &Batch,
    time: TimeMs,
) -> Result<Result<(), BatchRefusal>, StorageError> {
    let (_, grant) = match granted(state, rules, batch)? {
        Ok(granted) => granted,
        Err(refusal) => return Ok(Err(refusal)),
    };
    Ok(verify_author(rules, batch, &grant, time))
}

/// Whose batch it is, and the grant in force of that issuer.
fn granted<'a>(
    state: &dyn State,
    rules: &Rules,
    batch: &'a Batch,
) -> Result<Result<(&'a IssuerId, IssuerGrant), BatchRefusal>, StorageError> {
    let head = batch.head();
    if head.ledger != rules.ledger {
        return Ok(Err(BatchRefusal::AnotherLedger(head.ledger)));
    }
    let Author::Issuer { issuer, .. } = &head.author else {
        return Ok(Err(BatchRefusal::GenesisAuthor));
    };
    Ok(state
        .grant(issuer)?
        .map(|grant| (issuer, grant))
        .ok_or_else(|| BatchRefusal::UnknownIssuer(issuer.clone())))
}

fn verify_author(
    rules: &Rules,
    batch: &Batch,
    grant: &IssuerGrant,
    time: TimeMs,
) -> Result<(), BatchRefusal> {
    let verified = batch.head().verify_author_with(grant, time, &|k, m, s| rules.verified.verify(k, m, s));
    verified.map_err(BatchRefusal::from)
}

/// Whether `batch` may stand in a block of time `time` on `state`. Its form was checked when it was decoded.
///
/// # Errors
/// Outer: the store. Inner: [`BatchRefusal`].
pub fn check_batch(
    state: &dyn State,
    rules: &Rules,
    batch: &Batch,
    time: TimeMs,
) -> Result<Result<(), BatchRefusal>, StorageError> {
    Ok(check_next(state, rules, &mut Statuses::default(), batch, time)?.map(drop))
}

/// The same for the next batch of a block: `statuses` is what those before it changed, and takes up what this one changes
/// unless it is refused. The answer is what the batch changes.
///
/// # Errors
/// As [`check_batch`].
pub fn check_next(
    state: &dyn State,
    rules: &Rules,
    statuses: &mut Statuses,
    batch: &Batch,
    time: TimeMs,
) -> Result<Result<Vec<TakenStep>, BatchRefusal>, StorageError> {
    let head = batch.head();
    let (issuer, grant) = match granted(state, rules, batch)? {
        Ok(granted) => granted,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if state.contains(&batch.id())? {
        return Ok(Err(BatchRefusal::Duplicate));
    }
    work::charge(Step::Record, batch.records().len());
    let records = batch.records().iter().try_for_each(|leaf| check_record(&leaf.record, &grant, rules));
    let signed = records.and_then(|()| verify_author(rules, batch, &grant, time));
    // Only what its issuer signed has statuses looked up.
    let steps = match signed {
        Ok(()) => statuses.steps_of(state, issuer, batch, time)?,
        Err(refusal) => Err(refusal),
    };
    // Age comes last: whose only fault is its age was good but for the delay.
    let taken = steps.and_then(|steps| check_age(head.created_at, time).map(|()| steps));
    Ok(taken.inspect(|steps| statuses.take(steps)))
}

fn check_age(created_at: TimeMs, time: TimeMs) -> Result<(), BatchRefusal> {
    if time.0.saturating_sub(created_at.0) > BATCH_AGE_MAX_MS {
        Err(BatchRefusal::Expired)
    } else if created_at.0.saturating_sub(time.0) > BATCH_AGE_MAX_MS {
        Err(BatchRefusal::FromTheFuture)
    } else {
        Ok(())
    }
}

fn check_record(record: &Record, grant: &IssuerGrant, rules: &Rules) -> Result<(), BatchRefusal> {
    let anchor = match record {
        Record::Anchor(anchor) => anchor,
        Record::StatusChange(_) => return Ok(()),
        Record::IssuerGrant(_) => return Err(BatchRefusal::RecordKind),
    };
    if rules.document_types.binary_search(&anchor.document_type).is_err() {
        return Err(BatchRefusal::UnregisteredType(anchor.document_type));
    }
    if grant.covers(anchor.document_type) {
        Ok(())
    } else {
        Err(BatchRefusal::OutOfScope(anchor.document_type))
    }
}
