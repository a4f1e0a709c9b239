//! A client of the operators' listener, for the commands that ask a running node.

use markstein_proto::{BatchId, Hash};
use tonic::transport::Channel;

use super::schema::{self, operations_client::OperationsClient};

/// A connection with a node's operators' listener.
#[derive(Debug)]
pub struct Operators(OperationsClient<Channel>);

/// A batch in the pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PooledBatch {
    /// Which.
    pub id: BatchId,
    /// Whose.
    pub issuer: String,
    /// Its bytes.
    pub bytes: u64,
    /// Its records.
    pub records: u32,
    /// When it was made, by its author's clock, in milliseconds.
    pub created_at_ms: u64,
    /// Why it is not to go into one of the next blocks.
    pub waits: Option<Waits>,
}

/// Why a batch waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waits {
    /// A stable word.
    pub reason: String,
    /// What it waits for.
    pub message: String,
    /// A block of a later time decides it, in milliseconds.
    pub decided_after_ms: u64,
}

/// Why a node did not do what its operator asked for.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// It cannot be reached.
    #[error(transparent)]
    Unreachable(#[from] tonic::transport::Error),
    /// It refused.
    #[error("{0}")]
    Refused(String),
    /// It answered what makes no sense.
    #[error("the node named a batch by an id that is none")]
    Faulty,
}

impl From<tonic::Status> for OperatorError {
    fn from(status: tonic::Status) -> Self {
        Self::Refused(status.message().to_owned())
    }
}

impl Operators {
    /// Connects.
    ///
    /// # Errors
    /// [`OperatorError::Unreachable`].
    pub async fn connect(url: &str) -> Result<Self, OperatorError> {
        Ok(Self(OperationsClient::connect(url.to_owned()).await?))
    }

    /// Batches of the pool from `cursor` on, oldest first, and the cursor to go on with: 0 after the last one.
    ///
    /// # Errors
    /// See [`OperatorError`].
    pub async fn list_pool(
        &mut self,
        cursor: u64,
        limit: u32,
        waiting: bool,
    ) -> Result<(Vec<PooledBatch>, u64), OperatorError> {
        let request = schema::ListPoolRequest { cursor, limit, waiting };
        let answer = self.0.list_pool(request).await?.into_inner();
        let batches = answer.batches.into_iter().map(batch).collect::<Result<_, _>>()?;
        Ok((batches, answer.next))
    }

    /// Drops batches; tells which were there.
    ///
    /// # Errors
    /// See [`OperatorError`].
    pub async fn drop_pooled(&mut self, ids: &[BatchId]) -> Result<Vec<BatchId>, OperatorError> {
        let batch_ids = ids.iter().map(|id| id.0.0.to_vec()).collect();
        let answer = self.0.drop_pooled(schema::DropPooledRequest { batch_ids }).await?.into_inner();
        answer.dropped.iter().map(|bytes| id(bytes)).collect()
    }
}

fn id(bytes: &[u8]) -> Result<BatchId, OperatorError> {
    Hash::try_from(bytes).map(BatchId).map_err(|_| OperatorError::Faulty)
}

fn batch(batch: schema::PooledBatch) -> Result<PooledBatch, OperatorError> {
    Ok(PooledBatch {
        id: id(&batch.batch_id)?,
        issuer: batch.issuer,
        bytes: batch.bytes,
        records: batch.records,
        created_at_ms: batch.created_at_ms,
        waits: batch.waits.map(|waits| Waits {
            reason: waits.reason,
            message: waits.message,
            decided_after_ms: waits.decided_after_ms,
        }),
    })
}
