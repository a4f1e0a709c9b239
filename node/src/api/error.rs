//! Errors as a caller meets them: a gRPC code, a stable reason for programs, and a sentence that says what to do.

use std::time::Duration;

use markstein_proto::DecodeError;
use tonic::{
    Code, Status,
    metadata::{AsciiMetadataValue, MetadataMap},
};

use super::storage_status;
use crate::{
    ledger::{BatchRefusal, CoseFailure, LookupError, ReceiptFailure},
    pool::{PoolFull, SubmitError},
};

/// When a client may come again after the pool was full.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// When a client may come again after a line was full that moves on with each group of batches.
const AT_ONCE: Duration = Duration::from_millis(50);

/// A status with its reason in the trailer `markstein-reason`.
pub(super) fn status(code: Code, reason: &'static str, message: impl Into<String>) -> Status {
    let mut metadata = MetadataMap::new();
    metadata.insert("markstein-reason", AsciiMetadataValue::from_static(reason));
    Status::with_metadata(code, message, metadata)
}

/// The same, with a hint when to come again.
pub(super) fn retry(code: Code, reason: &'static str, message: impl Into<String>) -> Status {
    retry_in(RETRY_AFTER, code, reason, message)
}

fn retry_in(after: Duration, code: Code, reason: &'static str, message: impl Into<String>) -> Status {
    let mut status = status(code, reason, message);
    let after = AsciiMetadataValue::from(after.as_millis() as u64);
    status.metadata_mut().insert("retry-after-ms", after);
    status
}

/// Bytes that are no batch.
pub(super) fn malformed(error: &DecodeError) -> Status {
    status(Code::InvalidArgument, "MALFORMED", error.to_string())
}

/// A request that makes no sense.
pub(super) fn invalid(message: impl Into<String>) -> Status {
    status(Code::InvalidArgument, "INVALID_REQUEST", message)
}

/// A submission that was not taken, and the word for it.
pub(super) fn submit(error: &SubmitError) -> (Status, &'static str) {
    let message = error.to_string();
    match error {
        SubmitError::Refused(refusal) => {
            let code = match refusal {
                BatchRefusal::UnknownIssuer(_)
                | BatchRefusal::OutOfScope(_)
                | BatchRefusal::AnothersRecord(_)
                | BatchRefusal::Author(_) => Code::PermissionDenied,
                BatchRefusal::NoTarget(_) | BatchRefusal::Status { .. } => Code::FailedPrecondition,
                BatchRefusal::Duplicate => Code::AlreadyExists,
                _ => Code::InvalidArgument,
            };
            (status(code, refusal.reason(), message), refusal.reason())
        }
        SubmitError::Full(PoolFull::Backlog { retry_ms }) => {
            let after = Duration::from_millis(*retry_ms);
            (retry_in(after, Code::ResourceExhausted, "BACKLOG", message), "BACKLOG")
        }
        SubmitError::Full(_) => (retry(Code::ResourceExhausted, "POOL_FULL", message), "POOL_FULL"),
        SubmitError::Dropped => (status(Code::FailedPrecondition, "DROPPED", message), "DROPPED"),
        SubmitError::Busy => (retry_in(AT_ONCE, Code::ResourceExhausted, "BUSY", message), "BUSY"),
        SubmitError::Stopping => (retry(Code::Unavailable, "STOPPING", message), "STOPPING"),
        SubmitError::Storage(error) => (storage_status(error), "STORAGE"),
    }
}

/// Something that is not there, or cannot be read.
pub(super) fn lookup(error: &LookupError) -> Status {
    match error {
        LookupError::NotFound(message) => status(Code::NotFound, "NOT_FOUND", message),
        LookupError::Storage(error) => storage_status(error),
    }
}

/// What no quorum has cosigned yet.
pub(super) fn no_checkpoint(message: impl Into<String>) -> Status {
    retry(Code::Unavailable, "NO_CHECKPOINT", message)
}

/// A receipt that cannot be had.
pub(super) fn receipt(error: &ReceiptFailure) -> Status {
    match error {
        ReceiptFailure::Lookup(error) => lookup(error),
        ReceiptFailure::NoCheckpoint => no_checkpoint(error.to_string()),
    }
}

/// A COSE receipt that cannot be had.
pub(super) fn cose(error: &CoseFailure) -> Status {
    match error {
        CoseFailure::Lookup(error) => lookup(error),
        CoseFailure::NoCheckpoint => no_checkpoint(error.to_string()),
        CoseFailure::NoBlockEnds(_) => invalid(error.to_string()),
        CoseFailure::TooFast => retry(Code::ResourceExhausted, "BUSY", error.to_string()),
    }
}

/// What only an authority's own key can do.
pub(super) fn ask_an_authority(message: impl Into<String>) -> Status {
    retry(Code::Unavailable, "ASK_AN_AUTHORITY", message)
}
