//! `markstein.v1.Verification`: material for those who check. Verdicts are their own.

use std::{pin::Pin, sync::Arc, time::Duration};

use markstein_proto::{BatchId, Hash, IssuerId, LeafIndex, LogSize, status::Status as RecordState};
use tokio::{runtime::Handle, sync::mpsc};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Request, Response, Status};

use super::{
    Context, error,
    schema::{
        GetBatchReceiptsRequest, GetCoseReceiptRequest, GetCoseReceiptResponse, GetReceiptRequest,
        GetReceiptResponse, IssuerRecords, ListPublicRecordsRequest, ListPublicRecordsResponse,
        LookupRequest, LookupResponse, PublicRecord, RecordStatus, get_receipt_request::Record,
        verification_server::Verification,
    },
    storage_status,
};
use crate::{
    finality::Snapshot,
    ledger::{
        self, OfIssuer, Part, ReceiptFailure, batch_receipts, cose_receipt, public_records,
        public_records_of, public_records_with, receipt_cached, record_of_batch,
    },
    storage::{StorageError, View},
};

/// Receipts on their way to one client at once.
const STREAM_AHEAD: usize = 64;
/// A reader that takes no receipt for this long is left.
const READER_PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct VerificationService {
    context: Context,
}

impl VerificationService {
    pub(super) const fn new(context: Context) -> Self {
        Self { context }
    }
}

fn batch_id(bytes: &[u8]) -> Result<BatchId, Status> {
    Hash::try_from(bytes).map(BatchId).map_err(|_| error::invalid("a batch id has 32 bytes"))
}

#[tonic::async_trait]
impl Verification for VerificationService {
    async fn get_receipt(
        &self,
        request: Request<GetReceiptRequest>,
    ) -> Result<Response<GetReceiptResponse>, Status> {
        let record = request.into_inner().record.ok_or_else(|| error::invalid("say which record"))?;
        let (context, paths) = (self.context.clone(), Arc::clone(&self.context.paths));
        let json = context
            .bounds
            .read(&context.finality, move |Snapshot { view, checkpoint, .. }| {
                let index = match record {
                    Record::Index(index) => LeafIndex(index),
                    Record::OfBatch(of) => record_of_batch(view, &batch_id(&of.batch_id)?, of.position)
                        .map_err(|e| error::lookup(&e))?,
                };
                let receipt = receipt_cached(view, checkpoint.as_deref(), index, &paths);
                let receipt = receipt.map_err(|e| error::receipt(&e))?;
                Ok(receipt.to_json())
            })
            .await?;
        self.context.metrics.receipts(1);
        Ok(Response::new(GetReceiptResponse { receipt: json.into_bytes() }))
    }

    type GetBatchReceiptsStream = Pin<Box<dyn Stream<Item = Result<GetReceiptResponse, Status>> + Send>>;

    async fn get_batch_receipts(
        &self,
        request: Request<GetBatchReceiptsRequest>,
    ) -> Result<Response<Self::GetBatchReceiptsStream>, Status> {
        let request = request.into_inner();
        let id = batch_id(&request.batch_id)?;
        let permit = self.context.bounds.receipts()?;
        let (sender, receiver) = mpsc::channel(STREAM_AHEAD);
        let (context, runtime) = (self.context.clone(), Handle::current());
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let send = |answer| runtime.block_on(sender.send_timeout(answer, READER_PATIENCE)).is_ok();
            if let Err(failed) = send_receipts(&context, &id, request.first as usize, &send) {
                send(Err(error::receipt(&failed)));
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn get_cose_receipt(
        &self,
        request: Request<GetCoseReceiptRequest>,
    ) -> Result<Response<GetCoseReceiptResponse>, Status> {
        let GetCoseReceiptRequest { index, size } = request.into_inner();
        let Context { bounds, finality, clock, root_signer, .. } = &self.context;
        let signer = root_signer.clone().ok_or_else(|| {
            error::ask_an_authority("this node is an observer and signs nothing: ask an authority's node")
        })?;
        let (index, size, now) = (LeafIndex(index), size.map(LogSize), clock.now());
        let receipt = bounds
            .read(finality, move |snapshot| {
                cose_receipt(&snapshot.view, snapshot.checkpoint.as_deref(), index, size, &signer, now)
                    .map_err(|e| error::cose(&e))
            })
            .await?;
        self.context.metrics.receipts(1);
        Ok(Response::new(GetCoseReceiptResponse { receipt: receipt.encode() }))
    }

    async fn lookup(&self, request: Request<LookupRequest>) -> Result<Response<LookupResponse>, Status> {
        let LookupRequest { commitment, issuer, after_issuer } = request.into_inner();
        let commitment = commitment_of(&commitment)?;
        let (issuer, after) = (some_issuer(&issuer)?, some_issuer(&after_issuer)?);
        let found = self.read_covered(move |view, size| {
            let Some(issuer) = issuer else { return public_records(view, commitment, after, size) };
            let records = public_records_of(view, commitment, &issuer, size)?;
            let found = if records.is_empty() { Vec::new() } else { vec![OfIssuer { issuer, records }] };
            Ok(Part { found, after: None })
        });
        let Part { found, after } = found.await?;
        let issuers = found.into_iter().map(|OfIssuer { issuer, records }| IssuerRecords {
            issuer: issuer.to_string(),
            records: records.into_iter().map(told).collect(),
        });
        let next_after = after.map(|issuer| issuer.to_string()).unwrap_or_default();
        Ok(Response::new(LookupResponse { issuers: issuers.collect(), next_after }))
    }

    async fn list_public_records(
        &self,
        request: Request<ListPublicRecordsRequest>,
    ) -> Result<Response<ListPublicRecordsResponse>, Status> {
        let request = request.into_inner();
        let status = status_of(request.status())?;
        let commitment = commitment_of(&request.commitment)?;
        let issuer = some_issuer(&request.issuer)?.ok_or_else(|| error::invalid("say which issuer"))?;
        let before = LeafIndex(request.before.unwrap_or(u64::MAX));
        let found = self.read_covered(move |view, size| {
            public_records_with(view, (commitment, &issuer, status), before, size)
        });
        let Part { found, after } = found.await?;
        let records = found.into_iter().map(told).collect();
        Ok(Response::new(ListPublicRecordsResponse { records, next_before: after.map(|since| since.0) }))
    }
}

impl VerificationService {
    /// Reads with the size of the log that the newest checkpoint covers: a record that no receipt can be had of yet is not
    /// told of yet.
    async fn read_covered<T: Send + 'static>(
        &self,
        read: impl FnOnce(&View<'_>, LogSize) -> Result<T, StorageError> + Send + 'static,
    ) -> Result<T, Status> {
        let Context { bounds, finality, .. } = &self.context;
        bounds
            .read(finality, move |snapshot| {
                let size = snapshot.checkpoint.as_ref().map_or(LogSize(0), |checkpoint| checkpoint.size);
                read(&snapshot.view, size).map_err(|e| storage_status(&e))
            })
            .await
    }
}

fn commitment_of(bytes: &[u8]) -> Result<Hash, Status> {
    Hash::try_from(bytes).map_err(|_| error::invalid("a commitment has 32 bytes"))
}

/// The issuer of this id; `None` where it is empty.
fn some_issuer(id: &str) -> Result<Option<IssuerId>, Status> {
    let named = Some(id).filter(|id| !id.is_empty());
    named.map(IssuerId::new).transpose().map_err(|e| error::invalid(format!("issuer: {e}")))
}

fn status_of(status: RecordStatus) -> Result<RecordState, Status> {
    Ok(match status {
        RecordStatus::Unspecified => return Err(error::invalid("say which status")),
        RecordStatus::Valid => RecordState::Valid,
        RecordStatus::Revoked => RecordState::Revoked,
        RecordStatus::Suspended => RecordState::Suspended,
        RecordStatus::Superseded => RecordState::Superseded,
    })
}

fn told(record: ledger::PublicRecord) -> PublicRecord {
    let status = match record.status {
        RecordState::Valid => RecordStatus::Valid,
        RecordState::Revoked => RecordStatus::Revoked,
        RecordState::Suspended => RecordStatus::Suspended,
        RecordState::Superseded => RecordStatus::Superseded,
    };
    PublicRecord { index: record.index.0, status: status.into(), since: record.since.0 }
}

/// Sends the receipts of a batch from one snapshot; ends quietly when nobody listens any more, or too slowly.
fn send_receipts(
    context: &Context,
    id: &BatchId,
    first: usize,
    send: &dyn Fn(Result<GetReceiptResponse, Status>) -> bool,
) -> Result<(), ReceiptFailure> {
    let Snapshot { view, checkpoint, .. } = context.finality.snapshot()?;
    let receipts = batch_receipts(&view, checkpoint.as_deref(), id)?;
    for position in first..receipts.len() {
        let receipt = receipts.receipt(&view, position)?.to_json().into_bytes();
        if !send(Ok(GetReceiptResponse { receipt })) {
            return Ok(());
        }
        context.metrics.receipts(1);
    }
    Ok(())
}
