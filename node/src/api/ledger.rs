//! `markstein.v1.Ledger`: anybody reads the log.

use std::pin::Pin;

use markstein_proto::{Hash, Height, LeafIndex, LogSize, log::ProveError, log::leaf_hash};
use tokio::sync::mpsc;
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Code, Request, Response, Status};

use super::{
    Context, error,
    schema::{
        GetBlockRequest, GetBlockResponse, GetCheckpointRequest, GetCheckpointResponse,
        GetConsistencyProofRequest, GetConsistencyProofResponse, GetGenesisRequest, GetGenesisResponse,
        LeafEntry, ListRecordsRequest, ListRecordsResponse, WatchBlocksRequest, ledger_server::Ledger,
    },
    storage_status,
};
use crate::{
    finality::Snapshot,
    ledger::{State, block_at, consistency, leaves_from},
};

/// Leaves of one answer.
const LEAVES_MAX: u32 = 1000;
/// Leaves where the request does not say.
const LEAVES_DEFAULT: u32 = 100;
/// An answer of leaves ends once it has this many bytes.
const LEAVES_BYTES_MAX: usize = 2 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct LedgerService {
    context: Context,
}

impl LedgerService {
    pub(super) const fn new(context: Context) -> Self {
        Self { context }
    }
}

#[tonic::async_trait]
impl Ledger for LedgerService {
    async fn get_genesis(
        &self,
        _: Request<GetGenesisRequest>,
    ) -> Result<Response<GetGenesisResponse>, Status> {
        Ok(Response::new(GetGenesisResponse { genesis: self.context.genesis.encode() }))
    }

    async fn get_checkpoint(
        &self,
        _: Request<GetCheckpointRequest>,
    ) -> Result<Response<GetCheckpointResponse>, Status> {
        let checkpoint = self.context.finality.checkpoint().ok_or_else(|| {
            error::no_checkpoint("no checkpoint has a quorum of cosignatures yet: try again in a moment")
        })?;
        Ok(Response::new(GetCheckpointResponse { checkpoint: checkpoint.full.to_string() }))
    }

    async fn get_consistency_proof(
        &self,
        request: Request<GetConsistencyProofRequest>,
    ) -> Result<Response<GetConsistencyProofResponse>, Status> {
        let GetConsistencyProofRequest { old_size, new_size } = request.into_inner();
        let Context { bounds, finality, .. } = &self.context;
        let hashes = bounds
            .read(finality, move |snapshot| {
                let size = snapshot.state.tip().size;
                if old_size == 0 || old_size > new_size || new_size > size.0 {
                    return Err(error::invalid(format!(
                        "sizes must rise from 1 to {size}, the size of the log"
                    )));
                }
                if snapshot.checkpoint.as_ref().is_none_or(|checkpoint| new_size > checkpoint.size.0) {
                    return Err(error::no_checkpoint(
                        "no checkpoint of this size has a quorum of cosignatures yet: try again in a moment",
                    ));
                }
                consistency(&snapshot.view, LogSize(old_size), LogSize(new_size)).map_err(|e| match e {
                    ProveError::Request(e) => error::invalid(e.to_string()),
                    ProveError::Reader(e) => {
                        tracing::error!("a consistency proof failed: {e}");
                        error::status(
                            Code::Internal,
                            "STORAGE",
                            "this node cannot read its store: try another one",
                        )
                    }
                })
            })
            .await?;
        let hashes = hashes.iter().map(|h: &Hash| h.0.to_vec()).collect();
        Ok(Response::new(GetConsistencyProofResponse { hashes }))
    }

    async fn list_records(
        &self,
        request: Request<ListRecordsRequest>,
    ) -> Result<Response<ListRecordsResponse>, Status> {
        let ListRecordsRequest { first_index, limit } = request.into_inner();
        let limit = match limit {
            0 => LEAVES_DEFAULT,
            1..=LEAVES_MAX => limit,
            _ => return Err(error::invalid(format!("ask for {LEAVES_MAX} leaves at most"))),
        };
        let Context { bounds, finality, .. } = &self.context;
        let large = bounds.large_answer()?;
        let leaves = bounds
            .read(finality, move |snapshot| {
                leaves_from(&snapshot.view, LeafIndex(first_index), limit as usize, LEAVES_BYTES_MAX)
                    .map_err(|e| storage_status(&e))
            })
            .await?;
        let leaves = leaves.into_iter().map(|(index, leaf)| LeafEntry { index: index.0, leaf }).collect();
        let mut response = Response::new(ListRecordsResponse { leaves });
        response.extensions_mut().insert(large);
        Ok(response)
    }

    async fn get_block(
        &self,
        request: Request<GetBlockRequest>,
    ) -> Result<Response<GetBlockResponse>, Status> {
        let height = Height(request.into_inner().height);
        let large = self.context.bounds.large_answer()?;
        let block = read_block(&self.context, height).await?.ok_or_else(|| {
            error::status(Code::NotFound, "NOT_FOUND", format!("there is no final block {height} yet"))
        })?;
        let mut response = Response::new(block);
        response.extensions_mut().insert(large);
        Ok(response)
    }

    type WatchBlocksStream = Pin<Box<dyn Stream<Item = Result<GetBlockResponse, Status>> + Send>>;

    async fn watch_blocks(
        &self,
        request: Request<WatchBlocksRequest>,
    ) -> Result<Response<Self::WatchBlocksStream>, Status> {
        let from = Height(request.into_inner().from_height);
        let place = self.context.bounds.follower()?;
        let (sender, receiver) = mpsc::channel(1);
        let context = self.context.clone();
        tokio::spawn(async move {
            let _place = place;
            watch_blocks(&context, from, sender).await;
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

async fn read_block(context: &Context, height: Height) -> Result<Option<GetBlockResponse>, Status> {
    let read = move |snapshot: &Snapshot<'_>| {
        let block = block_at(&snapshot.view, height).map_err(|e| storage_status(&e))?;
        Ok(block.map(|block| GetBlockResponse {
            height: height.0,
            block_id: leaf_hash(&block.header).0.to_vec(),
            header: block.header,
            batches: block.batches,
        }))
    };
    context.bounds.read(&context.finality, read).await
}

/// Sends each final block from a height on, as it becomes final, until nobody listens or the node stops. A block is
/// read when there is room for it.
async fn watch_blocks(
    context: &Context,
    mut next: Height,
    sender: mpsc::Sender<Result<GetBlockResponse, Status>>,
) {
    let mut finality = context.finality.clone();
    loop {
        let room = tokio::select! {
            room = sender.reserve() => room,
            () = finality.stopped() => return,
        };
        let Ok(room) = room else { return };
        match read_block(context, next).await {
            Ok(Some(block)) => {
                room.send(Ok(block));
                next = Height(next.0.saturating_add(1));
            }
            Ok(None) => {
                let changed = tokio::select! {
                    changed = finality.next_state() => changed,
                    () = sender.closed() => return,
                };
                if !changed {
                    return;
                }
            }
            Err(status) => return room.send(Err(status)),
        }
    }
}
