//! Asks a node over gRPC as any program could, without the patience and the checks of the client.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use anyhow::{Context, bail};
use markstein_client::api::{
    BatchState, GetBatchReceiptsRequest, GetBlockRequest, GetBlockResponse, GetCheckpointRequest,
    GetGenesisRequest, GetReceiptRequest, ListRecordsRequest, LookupRequest, Peer, PeersRequest,
    StatusRequest, StatusResponse, SubmitRequest, WatchRequest, anchoring_client::AnchoringClient,
    batch_state::State, get_receipt_request::Record, ledger_client::LedgerClient,
    operations_client::OperationsClient, verification_client::VerificationClient,
};
use markstein_proto::{BatchId, Commitment, Leaf, receipt::Receipt};
use tokio::time::timeout;
use tonic::{
    Status, Streaming,
    transport::{Channel, Endpoint},
};

use crate::strangers;

/// Longer than any answer takes; a test that meets it has found a node that hangs.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// A connection to one node.
#[derive(Clone, Debug)]
pub struct Api {
    channel: Channel,
}

impl Api {
    /// Connects.
    ///
    /// # Errors
    /// Where nobody listens.
    pub async fn connect(url: &str) -> anyhow::Result<Self> {
        let endpoint = Endpoint::from_shared(url.to_owned())?.timeout(ANSWER_MAX);
        Ok(Self { channel: endpoint.connect().await? })
    }

    /// The same from one of this machine's addresses.
    ///
    /// # Errors
    /// Where nobody listens, or nobody is let in.
    pub async fn connect_from(url: &str, from: IpAddr) -> anyhow::Result<Self> {
        Ok(Self { channel: strangers::channel(url, from).await? })
    }

    /// Submits bytes that may be a batch.
    ///
    /// # Errors
    /// The node's.
    pub async fn submit(&self, batch: impl Into<Vec<u8>>) -> Result<BatchState, Status> {
        let request = SubmitRequest { batch: batch.into() };
        let answer = AnchoringClient::new(self.channel.clone()).submit(request).await?;
        answer.into_inner().state.ok_or_else(|| Status::internal("no state"))
    }

    /// Submits and waits until it is decided.
    ///
    /// # Errors
    /// The node's.
    pub async fn submit_and_wait(&self, batch: impl Into<Vec<u8>>) -> Result<BatchState, Status> {
        let request = SubmitRequest { batch: batch.into() };
        let answer = AnchoringClient::new(self.channel.clone()).submit_and_wait(request).await?;
        answer.into_inner().state.ok_or_else(|| Status::internal("no state"))
    }

    /// What became of batches that were submitted before, in their order, without submitting them again: each is known
    /// to the node, and decided by now or soon.
    ///
    /// # Errors
    /// The node's, or where it does not know one of them.
    pub async fn decided(&self, batches: &[BatchId]) -> anyhow::Result<Vec<BatchState>> {
        let mut decided = BTreeMap::new();
        for some in batches.chunks(1000) {
            let batch_ids = some.iter().map(|id| id.0.0.to_vec()).collect();
            let answer = AnchoringClient::new(self.channel.clone()).watch(WatchRequest { batch_ids }).await?;
            let mut states = answer.into_inner();
            while let Some(state) =
                timeout(ANSWER_MAX, states.message()).await.context("the node is silent")??
            {
                if matches!(state.state, None | Some(State::Unknown(_))) {
                    bail!("the node does not know the batch {:?}", state.batch_id);
                }
                decided.insert(state.batch_id.clone(), state);
            }
        }
        let outcome =
            |id: &BatchId| decided.get(id.0.0.as_slice()).cloned().context("the node is silent on a batch");
        batches.iter().map(outcome).collect()
    }

    /// What is known of batches now, and each change until all are decided.
    ///
    /// # Errors
    /// The node's.
    pub async fn watch(&self, batches: &[BatchId]) -> Result<Streaming<BatchState>, Status> {
        let batch_ids = batches.iter().map(|id| id.0.0.to_vec()).collect();
        Ok(AnchoringClient::new(self.channel.clone()).watch(WatchRequest { batch_ids }).await?.into_inner())
    }

    /// What is known of a batch now.
    ///
    /// # Errors
    /// The node's.
    pub async fn state(&self, batch: BatchId) -> Result<State, Status> {
        let first = self.watch(&[batch]).await?.message().await?;
        first.and_then(|state| state.state).ok_or_else(|| Status::internal("no state"))
    }

    /// The node's own account.
    ///
    /// # Errors
    /// The node's.
    pub async fn status(&self) -> Result<StatusResponse, Status> {
        Ok(OperationsClient::new(self.channel.clone()).status(StatusRequest {}).await?.into_inner())
    }

    /// The canonical genesis.
    ///
    /// # Errors
    /// The node's.
    pub async fn genesis(&self) -> Result<Vec<u8>, Status> {
        Ok(LedgerClient::new(self.channel.clone())
            .get_genesis(GetGenesisRequest {})
            .await?
            .into_inner()
            .genesis)
    }

    /// One block, header and batches as they are stored.
    ///
    /// # Errors
    /// The node's.
    pub async fn block(&self, height: u64) -> Result<GetBlockResponse, Status> {
        let request = GetBlockRequest { height };
        Ok(LedgerClient::new(self.channel.clone()).get_block(request).await?.into_inner())
    }

    /// The newest checkpoint that a quorum cosigned.
    ///
    /// # Errors
    /// The node's.
    pub async fn checkpoint(&self) -> Result<String, Status> {
        let request = GetCheckpointRequest {};
        let answer = LedgerClient::new(self.channel.clone()).get_checkpoint(request).await?;
        Ok(answer.into_inner().checkpoint)
    }

    /// Where a public commitment was anchored, as far as a look-up tells of it at once.
    ///
    /// # Errors
    /// The node's.
    pub async fn lookup(&self, commitment: &Commitment) -> Result<Vec<u64>, Status> {
        let request = LookupRequest { commitment: commitment.0.0.to_vec(), ..LookupRequest::default() };
        let answer = VerificationClient::new(self.channel.clone()).lookup(request).await?.into_inner();
        let records = answer.issuers.iter().flat_map(|it| &it.records);
        Ok(records.map(|record| record.index).collect())
    }

    /// The receipt of the record at an index, without its salt.
    ///
    /// # Errors
    /// The node's, or where it is no receipt.
    pub async fn receipt(&self, index: u64) -> anyhow::Result<Receipt> {
        let request = GetReceiptRequest { record: Some(Record::Index(index)) };
        let answer = VerificationClient::new(self.channel.clone()).get_receipt(request).await?;
        Ok(Receipt::from_json(&answer.into_inner().receipt)?)
    }

    /// The other nodes as this one sees them; asked of the operators' listener.
    ///
    /// # Errors
    /// The node's.
    pub async fn peers(&self) -> Result<Vec<Peer>, Status> {
        let answer = OperationsClient::new(self.channel.clone()).peers(PeersRequest {}).await?;
        Ok(answer.into_inner().peers)
    }

    /// The whole log, leaf by leaf, as ListRecords gives it.
    ///
    /// # Errors
    /// The node's, or where an index is left out or a leaf cannot be read.
    pub async fn log(&self) -> anyhow::Result<Vec<Leaf>> {
        self.leaves().await?.iter().map(|leaf| Ok(Leaf::decode(leaf)?)).collect()
    }

    /// The same as the bytes that are hashed.
    ///
    /// # Errors
    /// The node's, or where an index is left out.
    pub async fn leaves(&self) -> anyhow::Result<Vec<Vec<u8>>> {
        let mut ledger = LedgerClient::new(self.channel.clone());
        let size = usize::try_from(self.status().await?.log_size)?;
        let mut leaves = Vec::with_capacity(size);
        while leaves.len() < size {
            let request = ListRecordsRequest { first_index: leaves.len() as u64, limit: 1000 };
            let answer = ledger.list_records(request).await?.into_inner().leaves;
            if answer.is_empty() {
                bail!("the log ends at {} of {size} leaves", leaves.len());
            }
            for entry in answer {
                if entry.index != leaves.len() as u64 {
                    bail!("leaf {} comes in place of leaf {}", entry.index, leaves.len());
                }
                leaves.push(entry.leaf);
            }
        }
        Ok(leaves)
    }

    /// The receipts of a final batch, in the order of its records, without their salts.
    ///
    /// # Errors
    /// The node's, or where one is no receipt.
    pub async fn receipts(&self, batch: BatchId) -> anyhow::Result<Vec<Receipt>> {
        let request = GetBatchReceiptsRequest { batch_id: batch.0.0.to_vec(), first: 0 };
        let mut verification = VerificationClient::new(self.channel.clone());
        let mut stream = verification.get_batch_receipts(request).await?.into_inner();
        let mut receipts = Vec::new();
        while let Some(answer) = stream.message().await.context("the receipts break off")? {
            receipts.push(Receipt::from_json(&answer.receipt)?);
        }
        Ok(receipts)
    }
}

/// The stable word in a refusal.
#[must_use]
pub fn reason(status: &Status) -> &str {
    status.metadata().get("markstein-reason").and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// When to come again, where a refusal says so.
#[must_use]
pub fn retry_after(status: &Status) -> Option<Duration> {
    let hint = status.metadata().get("retry-after-ms")?.to_str().ok()?;
    hint.parse().ok().map(Duration::from_millis)
}
