//! JSON over HTTP, for integrators behind proxies that do not pass gRPC. Each call is one of gRPC's, by the same code.
//!
//! No signed message has a form in JSON: what is checked travels as bytes in base64. Beside them stands a view of what
//! they say, which is for people and which no verifier uses.

use axum::{
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode, Uri, header},
    response::Response,
};
use markstein_proto::{BATCH_MAX, encoding::base64_decode, note::SignedCheckpoint};
use prost::Message;
use serde::Deserialize;
use serde_json::{Value, json};
use tonic::{Code, Request, Status};

use super::{
    Shared,
    answer::{ASK_AGAIN, good, kept, refused, with_code},
    network::Newest,
};
use crate::api::{
    Context,
    anchoring::AnchoringService,
    error,
    ledger::LedgerService,
    operations::OperationsService,
    schema::{
        Accepted, BatchState, GetCheckpointRequest, GetConsistencyProofRequest, GetGenesisRequest,
        GetReceiptRequest, ListPublicRecordsRequest, LookupRequest, PublicRecord, RecordOfBatch,
        RecordStatus, Role, StatusRequest, StatusResponse, SubmitRequest, anchoring_server::Anchoring,
        batch_state::State as Wire, get_receipt_request::Record, ledger_server::Ledger,
        operations_server::Operations, verification_server::Verification,
    },
    verification::VerificationService,
};

/// The routes and answers, as OpenAPI 3.1 describes them.
pub(super) const DESCRIPTION: &str = include_str!("openapi.json");

/// The calls of gRPC.
#[derive(Debug)]
pub(super) struct Services {
    pub(super) context: Context,
    anchoring: AnchoringService,
    pub(super) verification: VerificationService,
    ledger: LedgerService,
    operations: OperationsService,
    /// The newest overview, and whether it shows the peers.
    pub(super) newest: Newest,
    pub(super) peers: bool,
}

impl Services {
    pub(super) fn new(context: &Context, peers: bool) -> Self {
        let context = || context.clone();
        Self {
            context: context(),
            anchoring: AnchoringService::new(context()),
            verification: VerificationService::new(context()),
            ledger: LedgerService::new(context()),
            operations: OperationsService { context: context(), peers },
            newest: Newest::default(),
            peers,
        }
    }
}

/// A submission.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Submission {
    /// Base64 of the canonical batch.
    batch: String,
}

fn answered(answer: Result<(Vec<u8>, Value), Status>) -> Response {
    match answer {
        Ok((bytes, view)) => good(&bytes, &view),
        Err(status) => refused(&status),
    }
}

/// Part number `n` of the path; the first is empty. What is asked for here never needs an escape, so none is read.
pub(super) fn part(uri: &Uri, n: usize) -> &str {
    uri.path().split('/').nth(n).unwrap_or_default()
}

/// A number in its one spelling.
pub(super) fn number(text: &str) -> Result<u64, Status> {
    let number = text.parse::<u64>().ok().filter(|number| number.to_string() == text);
    number.ok_or_else(|| error::invalid("write a number in decimal, without sign or leading zeros"))
}

/// 32 bytes as 64 lower-case hexadecimal digits.
fn hash(text: &str) -> Result<Vec<u8>, Status> {
    let bytes = hex::decode(text).ok().filter(|bytes| bytes.len() == 32 && hex::encode(bytes) == text);
    bytes.ok_or_else(|| error::invalid("write 64 lower-case hexadecimal digits"))
}

/// The description itself.
pub(super) async fn description(headers: HeaderMap) -> Response {
    kept(&headers, "application/json", ASK_AGAIN, DESCRIPTION.into())
}

/// Whether a body is longer than may be, by whoever noticed it first.
fn is_too_long(rejection: &BytesRejection) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(rejection);
    while let Some(error) = cause {
        if error.downcast_ref::<Status>().is_some_and(|status| status.code() == Code::OutOfRange) {
            return true;
        }
        cause = error.source();
    }
    rejection.status() == StatusCode::PAYLOAD_TOO_LARGE
}

/// Submit: answers as soon as the batch is durable here, or decided.
pub(super) async fn submit(
    State(services): State<Shared>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    // A page of another origin could send any other kind without asking first.
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        let status = error::invalid("send the batch as application/json");
        return with_code(StatusCode::UNSUPPORTED_MEDIA_TYPE, &status);
    }
    let body = match body {
        Ok(body) => body,
        Err(rejection) => {
            let (code, said) = if is_too_long(&rejection) {
                let said = format!("the request is too long: a batch has {BATCH_MAX} bytes at most");
                (StatusCode::PAYLOAD_TOO_LARGE, said)
            } else {
                let said = "the request did not come whole, or not in time: send it again";
                (rejection.status(), said.into())
            };
            return with_code(code, &error::invalid(said));
        }
    };
    answered(take(&services, &body).await)
}

async fn take(services: &Services, body: &[u8]) -> Result<(Vec<u8>, Value), Status> {
    let malformed = |message: String| {
        services.context.metrics.submission("MALFORMED");
        error::status(Code::InvalidArgument, "MALFORMED", message)
    };
    let Submission { batch } = serde_json::from_slice(body)
        .map_err(|e| malformed(format!("the request is not {{\"batch\": \"<base64>\"}}: {e}")))?;
    let batch = base64_decode(&batch, BATCH_MAX).map_err(|e| malformed(format!("batch: {e}")))?;
    let answer = services.anchoring.submit(Request::new(SubmitRequest { batch })).await?.into_inner();
    Ok(state(&answer.state.unwrap_or_default()))
}

/// What became of a batch.
pub(super) async fn batch(State(services): State<Shared>, uri: Uri) -> Response {
    let answer = async { services.anchoring.state_of(&hash(part(&uri, 3))?).await };
    answered(answer.await.map(|it| state(&it)))
}

fn state(state: &BatchState) -> (Vec<u8>, Value) {
    let mut view = match &state.state {
        Some(Wire::Accepted(Accepted { waits: None })) => json!({ "state": "accepted" }),
        Some(Wire::Accepted(Accepted { waits: Some(waits) })) => json!({
            "state": "accepted",
            "waits": {
                "reason": waits.reason,
                "message": waits.message,
                "decided_after_ms": waits.decided_after_ms,
            },
        }),
        Some(Wire::Dropped(it)) => json!({ "state": "dropped", "at_ms": it.at_ms, "message": it.message }),
        Some(Wire::Final(it)) => json!({
            "state": "final",
            "height": it.height,
            "head_index": it.head_index,
            "record_count": it.record_count,
            "time_ms": it.time_ms,
        }),
        Some(Wire::Refused(it)) => {
            json!({ "state": "refused", "reason": it.reason, "message": it.message })
        }
        Some(Wire::Unknown(_)) | None => json!({ "state": "unknown" }),
    };
    view["batch_id"] = hex::encode(&state.batch_id).into();
    (state.encode_to_vec(), view)
}

/// The receipt of the record at a place of the log.
pub(super) async fn receipt(State(services): State<Shared>, uri: Uri) -> Response {
    let answer = async { read_receipt(&services, Record::Index(number(part(&uri, 3))?)).await };
    answered(answer.await)
}

/// The receipt of a record of a batch.
pub(super) async fn receipt_of_batch(State(services): State<Shared>, uri: Uri) -> Response {
    let answer = async {
        let batch_id = hash(part(&uri, 3))?;
        let position = number(part(&uri, 5))?;
        let position = u32::try_from(position).map_err(|_| error::invalid("no batch has so many records"))?;
        read_receipt(&services, Record::OfBatch(RecordOfBatch { batch_id, position })).await
    };
    answered(answer.await)
}

async fn read_receipt(services: &Services, record: Record) -> Result<(Vec<u8>, Value), Status> {
    let request = GetReceiptRequest { record: Some(record) };
    let answer = services.verification.get_receipt(Request::new(request)).await?.into_inner();
    let view = serde_json::from_slice(&answer.receipt).unwrap_or_default(); // this node wrote it
    Ok((answer.receipt, view))
}

/// The public records with a commitment, by issuer.
pub(super) async fn lookup(State(services): State<Shared>, uri: Uri) -> Response {
    look_up(&services, &uri, |_| LookupRequest::default()).await
}

/// The same from the issuer on that comes after this one.
pub(super) async fn lookup_after(State(services): State<Shared>, uri: Uri) -> Response {
    look_up(&services, &uri, |after_issuer| LookupRequest { after_issuer, ..LookupRequest::default() }).await
}

/// Those of one issuer.
pub(super) async fn lookup_of(State(services): State<Shared>, uri: Uri) -> Response {
    look_up(&services, &uri, |issuer| LookupRequest { issuer, ..LookupRequest::default() }).await
}

async fn look_up(services: &Services, uri: &Uri, with: impl FnOnce(String) -> LookupRequest) -> Response {
    let answer = async {
        let request = LookupRequest { commitment: hash(part(uri, 3))?, ..with(part(uri, 5).to_owned()) };
        let answer = services.verification.lookup(Request::new(request)).await?.into_inner();
        let issuers: Vec<Value> = answer
            .issuers
            .iter()
            .map(|it| json!({ "issuer": it.issuer, "records": records_view(&it.records) }))
            .collect();
        let next = Some(&answer.next_after).filter(|issuer| !issuer.is_empty());
        Ok((answer.encode_to_vec(), json!({ "issuers": issuers, "next_after": next })))
    };
    answered(answer.await)
}

/// All of one issuer with a status.
pub(super) async fn public_records(State(services): State<Shared>, uri: Uri) -> Response {
    let answer = async {
        let before = Some(part(&uri, 8)).filter(|text| !text.is_empty()).map(number).transpose()?;
        let word = part(&uri, 6);
        let status = STATUSES.into_iter().find(|(_, name)| *name == word);
        let status = status.ok_or_else(|| error::invalid("write revoked, suspended, superseded or valid"))?.0;
        let (commitment, issuer) = (hash(part(&uri, 3))?, part(&uri, 5).to_owned());
        let request = ListPublicRecordsRequest { commitment, issuer, status: status.into(), before };
        let answer = services.verification.list_public_records(Request::new(request)).await?.into_inner();
        let view = json!({ "records": records_view(&answer.records), "next_before": answer.next_before });
        Ok((answer.encode_to_vec(), view))
    };
    answered(answer.await)
}

const STATUSES: [(RecordStatus, &str); 4] = [
    (RecordStatus::Revoked, "revoked"),
    (RecordStatus::Suspended, "suspended"),
    (RecordStatus::Superseded, "superseded"),
    (RecordStatus::Valid, "valid"),
];

fn records_view(records: &[PublicRecord]) -> Vec<Value> {
    let view = |it: &PublicRecord| {
        let word = STATUSES.iter().find(|(status, _)| *status == it.status()).map(|(_, word)| *word);
        json!({ "index": it.index, "status": word, "since": it.since })
    };
    records.iter().map(view).collect()
}

/// The canonical genesis.
pub(super) async fn genesis(State(services): State<Shared>) -> Response {
    let answer = async {
        let answer = services.ledger.get_genesis(Request::new(GetGenesisRequest {})).await?.into_inner();
        let genesis = &services.context.genesis;
        let view = json!({ "ledger_id": genesis.ledger_id().to_string(), "origin": genesis.origin });
        Ok((answer.genesis, view))
    };
    answered(answer.await)
}

/// The newest checkpoint that counts.
pub(super) async fn checkpoint(State(services): State<Shared>) -> Response {
    let answer = async {
        let answer = services.ledger.get_checkpoint(Request::new(GetCheckpointRequest {})).await?;
        let bytes = answer.into_inner().checkpoint.into_bytes();
        let view = SignedCheckpoint::parse(&bytes).map_or(Value::Null, |signed| {
            let (checkpoint, lines) = (signed.checkpoint(), signed.note().signatures());
            let signers: Vec<&str> = lines.iter().map(|line| line.name.as_str()).collect();
            json!({
                "origin": checkpoint.origin(),
                "size": checkpoint.size().0,
                "root": checkpoint.root().to_string(),
                "signers": signers,
            })
        });
        Ok((bytes, view))
    };
    answered(answer.await)
}

/// The proof that the log of one size extends that of another.
pub(super) async fn consistency(State(services): State<Shared>, uri: Uri) -> Response {
    let answer = async {
        let (old_size, new_size) = (number(part(&uri, 3))?, number(part(&uri, 4))?);
        let request = GetConsistencyProofRequest { old_size, new_size };
        let hashes = services.ledger.get_consistency_proof(Request::new(request)).await?.into_inner().hashes;
        let shown: Vec<String> = hashes.iter().map(hex::encode).collect();
        let view = json!({ "old_size": old_size, "new_size": new_size, "hashes": shown });
        Ok((hashes.concat(), view))
    };
    answered(answer.await)
}

/// How the node is.
pub(super) async fn status(State(services): State<Shared>) -> Response {
    let answer = async {
        let answer = services.operations.status(Request::new(StatusRequest {})).await?.into_inner();
        Ok((answer.encode_to_vec(), status_view(&answer)))
    };
    answered(answer.await)
}

fn status_view(status: &StatusResponse) -> Value {
    let authorities: Vec<Value> = status
        .authorities
        .iter()
        .map(|it| {
            json!({
                "authority_id": it.authority_id,
                "name": it.name,
                "here": it.here,
                "connected": it.connected,
                "height": it.height,
                "cosigned_size": it.cosigned_size,
                "cosigned_at_ms": it.cosigned_at_ms,
                "voting": it.voting,
            })
        })
        .collect();
    json!({
        "version": status.version,
        "ledger_id": hex::encode(&status.ledger_id),
        "origin": status.origin,
        "node": status.node,
        "role": if status.role() == Role::Authority { "authority" } else { "observer" },
        "serving": status.serving,
        "voting": status.voting,
        "conditions": status.conditions,
        "epoch": status.epoch,
        "view": status.view,
        "height": status.height,
        "block_id": hex::encode(&status.block_id),
        "log_size": status.log_size,
        "block_time_ms": status.block_time_ms,
        "checkpoint_as_of_ms": status.checkpoint_as_of_ms,
        "pool_batches": status.pool_batches,
        "pool_bytes": status.pool_bytes,
        "pool_waiting": status.pool_waiting,
        "quorum": status.quorum,
        "authorities": authorities,
        "uptime_ms": status.uptime_ms,
        "clock_ms": status.clock_ms,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use markstein_proto::Hash;

    use super::*;

    #[test]
    fn numbers_and_hashes_have_one_spelling() {
        assert_eq!(number("0").unwrap(), 0);
        assert_eq!(number(&u64::MAX.to_string()).unwrap(), u64::MAX);
        for text in ["", "+1", "01", "-1", "1 ", "18446744073709551616", "%31"] {
            assert!(number(text).is_err(), "{text}");
        }
        let good = Hash([0xab; 32]).to_string();
        assert_eq!(hash(&good).unwrap(), [0xab; 32]);
        for text in ["", &good[2..], &good.to_uppercase(), &format!("{good}00")] {
            assert!(hash(text).is_err(), "{text}");
        }
    }
}
