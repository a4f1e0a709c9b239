//! `markstein.v1.Verification`: material for those who check. Verdicts are their own.

use std::{pin::Pin, sync::Arc, time::Duration};

use markstein_proto::{BatchId, Hash, LeafIndex, LogSize};
use tokio::{runtime::Handle, sync::mpsc};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Request, Response, Status};

use super::{
    Context, error,
    schema::{
        GetBatchReceiptsRequest, GetCoseReceiptRequest, GetCoseReceiptResponse, GetReceiptRequest,
        GetReceiptResponse, LookupRequest, LookupResponse, get_receipt_request::Record,
        verification_server::Verification,
    },
    storage_status,
};
use crate::{
    finality::Snapshot,
    ledger::{ReceiptFailure, batch_receipts, cose_receipt, receipt_cached, record_of_batch},
    storage::{Read, tables::PublicCommitments},
};

/// Receipts on their way to one client at once.
const STREAM_AHEAD: usize = 64;
/// A reader that takes no receipt for this long is left.
const READER_PATIENCE: Duration = Duration::from_secs(30);
/// Records a look-up tells of.
const LOOKUP_MAX: usize = 100;

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
        let commitment = Hash::try_from(request.into_inner().commitment.as_slice())
            .map_err(|_| error::invalid("a commitment has 32 bytes"))?;
        let Context { bounds, finality, .. } = &self.context;
        let indices = bounds
            .read(finality, move |snapshot| {
                let bounds = (commitment, LeafIndex(0))..=(commitment, LeafIndex(u64::MAX));
                // A record that no receipt can be had of yet is not told of yet. Those of one commitment ascend.
                let covered = |entry: &Result<((_, LeafIndex), ()), _>| {
                    entry.as_ref().map_or(true, |((_, index), ())| snapshot.is_covered(*index))
                };
                let entries = snapshot.view.range::<PublicCommitments>(bounds).take_while(covered);
                entries
                    .take(LOOKUP_MAX)
                    .map(|entry| entry.map(|((_, index), ())| index.0))
                    .collect::<Result<Vec<u64>, _>>()
                    .map_err(|e| storage_status(&e))
            })
            .await?;
        Ok(Response::new(LookupResponse { indices }))
    }
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
