//! `markstein.v1.Operations`: operators look after a node.

use markstein_proto::EpochId;
use tonic::{Code, Request, Response, Status};

use super::{
    Context, error,
    schema::{
        AuthorityStatus, PeersRequest, PeersResponse, Role, StatusRequest, StatusResponse,
        operations_server::Operations,
    },
    storage_status,
};
use crate::{
    chain::CLOCK_SKEW_MAX_MS,
    ledger::{FinalState, State, cosignature_times, newest_checkpoint},
    storage::View,
};

#[derive(Debug)]
pub(super) struct OperationsService {
    pub(super) context: Context,
    /// Whether peers are shown: on the operators' listener only.
    pub(super) peers: bool,
}

#[tonic::async_trait]
impl Operations for OperationsService {
    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        let context = self.context.clone();
        let finality = context.finality.clone();
        let bounds = context.bounds.clone();
        bounds.read(&finality, move |state, view| status(&context, state, view)).await.map(Response::new)
    }

    async fn peers(&self, _: Request<PeersRequest>) -> Result<Response<PeersResponse>, Status> {
        if self.peers {
            Ok(Response::new(PeersResponse { peers: Vec::new() })) // one authority has no peers
        } else {
            let message = "peers are shown on the operators' listener only";
            Err(error::status(Code::PermissionDenied, "OPERATORS_ONLY", message))
        }
    }
}

fn status(context: &Context, state: &FinalState, view: &View<'_>) -> Result<StatusResponse, Status> {
    let (tip, set, pool) = (state.tip(), state.authorities(), context.pool.size());
    let origin = &context.genesis.origin;
    let checkpoint = newest_checkpoint(view, state, origin).map_err(|e| storage_status(&e))?;
    let times = cosignature_times(view, state, origin).map_err(|e| storage_status(&e))?;
    let authority = |(a, time): (&markstein_proto::Authority, Option<u64>)| {
        let here = a.id == context.authority;
        AuthorityStatus {
            authority_id: a.id.to_string(),
            name: a.name.clone(),
            here,
            connected: here,
            height: if here { tip.height.0 } else { 0 },
            cosigned_size: if time.is_some() { tip.size.0 } else { 0 },
            cosigned_at_ms: time.unwrap_or(0).saturating_mul(1000),
        }
    };
    let clock = context.clock.now();
    let as_of_ms = checkpoint.as_ref().map_or(0, |c| c.as_of_s.saturating_mul(1000));
    let ahead = tip.time.0.max(as_of_ms).saturating_sub(clock.0);
    let condition = if checkpoint.is_none() {
        "the newest block is not cosigned by a quorum yet: receipts wait for it".into()
    } else if ahead > CLOCK_SKEW_MAX_MS {
        format!(
            "the newest checkpoint is {ahead} ms ahead of this node's clock: no block is made until the clock is set right"
        )
    } else {
        String::new()
    };
    let EpochId(epoch) = tip.epoch;
    Ok(StatusResponse {
        version: env!("CARGO_PKG_VERSION").into(),
        ledger_id: context.genesis.ledger_id().0.0.to_vec(),
        origin: origin.clone(),
        node: context.authority.to_string(),
        role: Role::Authority.into(),
        serving: condition.is_empty(),
        condition,
        epoch,
        view: tip.view.0,
        height: tip.height.0,
        block_id: tip.block_id.0.to_vec(),
        log_size: tip.size.0,
        block_time_ms: tip.time.0,
        checkpoint_as_of_ms: as_of_ms,
        pool_batches: pool.batches as u64,
        pool_bytes: pool.bytes as u64,
        quorum: set.quorum() as u32,
        authorities: set.authorities().iter().zip(times).map(authority).collect(),
        uptime_ms: context.started.elapsed().as_millis() as u64,
        clock_ms: clock.0,
    })
}
