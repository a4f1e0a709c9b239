//! `markstein.v1.Anchoring`: agencies write.

use std::{pin::Pin, sync::Arc};

use markstein_proto::{BATCH_AGE_MAX_MS, Batch, BatchId, Hash, Leaf};
use tokio::sync::mpsc;
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Code, Request, Response, Status};

use super::{
    Context, blocking, bounds, error,
    schema::{
        self, Accepted, BatchState, Dropped, Refused, SubmitRequest, SubmitResponse, Unknown, Waits,
        WatchRequest, anchoring_server::Anchoring, batch_state::State as Wire,
    },
    storage_status,
};
use crate::{
    config::Role,
    finality::{Decision, Snapshot},
    pool::{Pool, SubmitError, Submitted, Wait},
    refusal::RefusedReason,
    storage::{
        Read, StorageError,
        tables::{Dropped as DroppedTable, Headers, Heights, Outcome},
    },
};

/// Batches one call may watch.
const WATCHED_MAX: usize = 1000;

#[derive(Debug)]
pub(super) struct AnchoringService {
    context: Context,
}

#[tonic::async_trait]
impl Anchoring for AnchoringService {
    async fn submit(&self, request: Request<SubmitRequest>) -> Result<Response<SubmitResponse>, Status> {
        let id = self.take(request.into_inner()).await?;
        let state = self.state(id).await?;
        Ok(Response::new(SubmitResponse { state: Some(state) }))
    }

    async fn submit_and_wait(
        &self,
        request: Request<SubmitRequest>,
    ) -> Result<Response<SubmitResponse>, Status> {
        let mut finality = self.context.finality.clone();
        let id = self.take(request.into_inner()).await?;
        loop {
            let state = self.state(id).await?;
            if is_decided(&state) {
                return Ok(Response::new(SubmitResponse { state: Some(state) }));
            }
            if !finality.changed().await {
                return Err(stopping());
            }
        }
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<BatchState, Status>> + Send>>;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let ids = request.into_inner().batch_ids;
        if ids.is_empty() || ids.len() > WATCHED_MAX {
            return Err(error::invalid(format!("watch 1 to {WATCHED_MAX} batches")));
        }
        let parse = |id: &Vec<u8>| Hash::try_from(id.as_slice()).map(BatchId);
        let ids: Vec<BatchId> = ids
            .iter()
            .map(parse)
            .collect::<Result<_, _>>()
            .map_err(|_| error::invalid("a batch id has 32 bytes"))?;
        let places = self.context.bounds.watched(ids.len())?;
        let (sender, receiver) = mpsc::channel(64);
        let context = self.context.clone();
        tokio::spawn(async move {
            let _places = places;
            watch(&context, ids, sender).await;
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

impl AnchoringService {
    pub(super) const fn new(context: Context) -> Self {
        Self { context }
    }

    /// Checks a submission and makes it durable.
    async fn take(&self, request: SubmitRequest) -> Result<BatchId, Status> {
        let (pool, metrics) = (self.context.pool.clone(), Arc::clone(&self.context.metrics));
        let decode = move || {
            let batch = Batch::decode(request.batch).map_err(|e| error::malformed(&e));
            let batch = batch.inspect_err(|_| metrics.submission("MALFORMED"))?;
            let known = pool.known(&batch).map_err(|refused| {
                let (status, reason) = error::submit(&refused);
                metrics.submission(reason);
                status
            })?;
            Ok((batch, known))
        };
        let (batch, known) = blocking(decode).await?;
        let id = batch.id();
        if self.is_for_an_authority(&batch).await? {
            self.context.metrics.submission("ASK_AN_AUTHORITY");
            return Err(error::ask_an_authority(
                "this batch is more than a day old, and only an authority can have it refused for good: submit it to \
                 an authority's node",
            ));
        }
        let submitted = match known {
            Some(known) => Ok(known),
            None => self.context.pool.submit(Arc::new(batch)).await,
        };
        bounds::is_taken();
        match submitted {
            Ok(Submitted::Accepted) => self.context.metrics.submission("ACCEPTED"),
            Ok(Submitted::Decided(_)) => self.context.metrics.submission("DECIDED"),
            Err(refused) => {
                let (status, reason) = error::submit(&refused);
                self.context.metrics.submission(reason);
                return Err(status);
            }
        }
        Ok(id)
    }

    /// Whether an observer is given a batch that can only be refused for good. That takes a later block, which an
    /// authority that has the batch sees to; others take none that is so old from this node.
    async fn is_for_an_authority(&self, batch: &Batch) -> Result<bool, Status> {
        let age = self.context.clock.now().0.saturating_sub(batch.head().created_at.0);
        if !matches!(self.context.role, Role::Observer(_)) || age <= BATCH_AGE_MAX_MS {
            return Ok(false);
        }
        Ok(matches!(self.state(batch.id()).await?.state, Some(Wire::Unknown(_))))
    }

    /// What is known of one batch now.
    pub(super) async fn state_of(&self, id: &[u8]) -> Result<BatchState, Status> {
        let id = Hash::try_from(id).map(BatchId).map_err(|_| error::invalid("a batch id has 32 bytes"))?;
        Ok(states(&self.context, vec![id]).await?.pop().unwrap_or_default())
    }

    async fn state(&self, id: BatchId) -> Result<BatchState, Status> {
        let (finality, pool) = (self.context.finality.clone(), self.context.pool.clone());
        blocking(move || {
            let pooled = Pooled::of(&pool, &id);
            let snapshot = finality.snapshot().map_err(|e| storage_status(&e))?;
            batch_state(&snapshot, id, pooled).map_err(|e| storage_status(&e))
        })
        .await
    }
}

/// Whether a batch is in the pool, and what it waits for there.
#[derive(Clone, Debug)]
enum Pooled {
    No,
    Here(Option<Waits>),
}

impl Pooled {
    fn of(pool: &Pool, id: &BatchId) -> Self {
        if pool.contains(id) { Self::Here(pool.wait_of(id).map(|wait| waits(&wait))) } else { Self::No }
    }
}

/// Why a batch waits, for callers.
pub(super) fn waits(wait: &Wait) -> Waits {
    Waits {
        reason: wait.why.reason().into(),
        message: wait.why.to_string(),
        decided_after_ms: wait.decided_after.0,
    }
}

pub(super) fn stopping() -> Status {
    error::retry(
        Code::Unavailable,
        "STOPPING",
        "this node is stopping: ask another one, or again when it is back",
    )
}

const fn is_decided(state: &BatchState) -> bool {
    matches!(state.state, Some(Wire::Final(_) | Wire::Refused(_) | Wire::Dropped(_)))
}

/// What is known of a batch that was in the pool or not before `snapshot` was taken: a decided batch leaves the pool
/// after the store knows.
fn batch_state(snapshot: &Snapshot<'_>, id: BatchId, pooled: Pooled) -> Result<BatchState, StorageError> {
    let state = match (snapshot.decision(&id)?, pooled) {
        (Decision::Made(outcome), _) => decided(&snapshot.view, outcome)?,
        (Decision::Uncovered, _) => Wire::Accepted(Accepted { waits: None }),
        (Decision::Open, Pooled::Here(waits)) => Wire::Accepted(Accepted { waits }),
        (Decision::Open, Pooled::No) => match snapshot.view.get::<DroppedTable>(&id.0)? {
            Some(at) => Wire::Dropped(Dropped { at_ms: at.0, message: SubmitError::Dropped.to_string() }),
            None => Wire::Unknown(Unknown {}),
        },
    };
    Ok(BatchState { batch_id: id.0.0.to_vec(), state: Some(state) })
}

fn decided<R: Read>(read: &R, outcome: Outcome) -> Result<Wire, StorageError> {
    match outcome {
        Outcome::Final { height, head_index } => {
            let missing =
                |what| StorageError::corrupt("headers", format!("{what} of block {height} is missing"));
            let index = read.get::<Heights>(&height)?.ok_or_else(|| missing("the place"))?;
            let leaf = read.get::<Headers>(&index)?.ok_or_else(|| missing("the header"))?;
            let header = Leaf::decode(&leaf)
                .and_then(Leaf::into_header)
                .map_err(|e| StorageError::corrupt("headers", e.to_string()))?;
            let record_count = crate::ledger::record_count(read, head_index)?;
            Ok(Wire::Final(schema::Final {
                height: height.0,
                head_index: head_index.0,
                record_count,
                time_ms: header.time.0,
            }))
        }
        Outcome::Refused { reason, .. } => {
            let reason = RefusedReason::from_code(reason)
                .ok_or_else(|| StorageError::corrupt("outcomes", format!("unknown reason {reason}")))?;
            Ok(Wire::Refused(Refused { reason: reason.as_str().into(), message: reason.sentence().into() }))
        }
    }
}

/// Sends the state of each batch now and whenever it changes, until all are decided or nobody listens.
async fn watch(context: &Context, ids: Vec<BatchId>, sender: mpsc::Sender<Result<BatchState, Status>>) {
    let mut finality = context.finality.clone();
    let mut open: Vec<(BatchId, Option<BatchState>)> = ids.into_iter().map(|id| (id, None)).collect();
    loop {
        let states = states(context, open.iter().map(|(id, _)| *id).collect()).await;
        let states = match states {
            Ok(states) => states,
            Err(status) => {
                let _ = sender.send(Err(status)).await;
                return;
            }
        };
        let mut still = Vec::with_capacity(open.len());
        for ((id, before), state) in open.into_iter().zip(states) {
            let decided = is_decided(&state);
            if before.as_ref() != Some(&state) && sender.send(Ok(state.clone())).await.is_err() {
                return;
            }
            if !decided {
                still.push((id, Some(state)));
            }
        }
        if still.is_empty() {
            return;
        }
        open = still;
        let changed = tokio::select! {
            changed = finality.changed() => changed,
            () = sender.closed() => return,
        };
        if !changed {
            let _ = sender.send(Err(stopping())).await;
            return;
        }
    }
}

/// What is known of many batches, read in one go.
async fn states(context: &Context, ids: Vec<BatchId>) -> Result<Vec<BatchState>, Status> {
    let pool = context.pool.clone();
    // As with one batch, the pool is asked first: `read` takes its snapshot after this.
    let pooled: Vec<Pooled> = ids.iter().map(|id| Pooled::of(&pool, id)).collect();
    let read = move |snapshot: &Snapshot<'_>| {
        let state = |(id, pooled)| batch_state(snapshot, id, pooled).map_err(|e| storage_status(&e));
        ids.into_iter().zip(pooled).map(state).collect()
    };
    context.bounds.read(&context.finality, read).await
}
