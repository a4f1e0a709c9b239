//! `markstein.v1.Operations`: operators look after a node.

use markstein_proto::{BatchId, EpochId, Hash, TimeMs};
use tonic::{Code, Request, Response, Status};

use super::{
    Context,
    anchoring::waits,
    blocking, error, finality,
    schema::{
        AuthorityStatus, DropPooledRequest, DropPooledResponse, ListPoolRequest, ListPoolResponse,
        Misbehaviour, Peer, PeersRequest, PeersResponse, PooledBatch, Role, StatusRequest, StatusResponse,
        operations_server::Operations,
    },
    standing::{Condition, Kind, Standing},
    storage_status,
};
use crate::{
    config,
    diagnosis::diagnose,
    driver::CLOCK_SKEW_MAX_MS,
    finality::Snapshot,
    ledger::{CountedCheckpoint, FinalState, State, cosignature_times},
    network::{Network, PeerState},
    network_view, peer,
    pool::{Pool, WaitingBatch},
    storage::{Read, tables::Evidence},
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
        bounds
            .read(&finality, move |snapshot| status(&context, snapshot))
            .await
            .map(|(status, _)| Response::new(status))
    }

    async fn peers(&self, _: Request<PeersRequest>) -> Result<Response<PeersResponse>, Status> {
        if self.peers {
            Ok(Response::new(PeersResponse { peers: peers(&self.context) }))
        } else {
            Err(operators_only("peers are shown"))
        }
    }

    async fn list_pool(
        &self,
        request: Request<ListPoolRequest>,
    ) -> Result<Response<ListPoolResponse>, Status> {
        if !self.peers {
            return Err(operators_only("what is in the pool is shown"));
        }
        Ok(Response::new(list_pool(&self.context.pool, request.get_ref())))
    }

    async fn drop_pooled(
        &self,
        request: Request<DropPooledRequest>,
    ) -> Result<Response<DropPooledResponse>, Status> {
        if !self.peers {
            return Err(operators_only("batches are dropped"));
        }
        let ids = request.into_inner().batch_ids;
        if ids.len() > POOL_LISTED_MAX {
            return Err(error::invalid(format!("drop at most {POOL_LISTED_MAX} batches at once")));
        }
        let id = |id: &Vec<u8>| Hash::try_from(id.as_slice()).map(BatchId);
        let ids: Vec<BatchId> = ids
            .iter()
            .map(id)
            .collect::<Result<_, _>>()
            .map_err(|_| error::invalid("a batch id has 32 bytes"))?;
        let (pool, finality) = (self.context.pool.clone(), self.context.finality.clone());
        let now = self.context.clock.now();
        let drop = move || {
            let db = finality.db();
            pool.drop_batches(db, &ids, now).map_err(|e| storage_status(&e))
        };
        let dropped = blocking(drop).await?;
        for id in &dropped {
            tracing::warn!(batch = %id, "dropped by the operator: nothing is decided about it, and another node may hold it");
        }
        let dropped = dropped.into_iter().map(|id| id.0.0.to_vec()).collect();
        Ok(Response::new(DropPooledResponse { dropped }))
    }
}

/// Batches of one answer, and of one order to drop some.
const POOL_LISTED_MAX: usize = 1000;

fn operators_only(what: &str) -> Status {
    let message = format!("{what} on the operators' listener only");
    error::status(Code::PermissionDenied, "OPERATORS_ONLY", message)
}

fn list_pool(pool: &Pool, request: &ListPoolRequest) -> ListPoolResponse {
    let limit = match request.limit as usize {
        0 => POOL_LISTED_MAX,
        limit => limit.min(POOL_LISTED_MAX),
    };
    let (list, next) = pool.list(request.cursor, limit);
    let is_wanted = |batch: &WaitingBatch| !request.waiting || batch.wait.is_some();
    let batches = list.into_iter().filter(is_wanted).map(|batch| PooledBatch {
        batch_id: batch.id.0.0.to_vec(),
        issuer: batch.issuer.to_string(),
        bytes: batch.bytes as u64,
        records: batch.records as u32,
        created_at_ms: batch.created_at.0,
        waits: batch.wait.as_ref().map(waits),
    });
    ListPoolResponse { batches: batches.collect(), next }
}

/// How this node is, with its conditions as they were put into words.
pub(super) fn status(
    context: &Context,
    snapshot: &Snapshot<'_>,
) -> Result<(StatusResponse, Vec<Condition>), Status> {
    let Snapshot { state, checkpoint, view } = snapshot;
    let (tip, set, pool) = (state.tip(), state.authorities(), context.pool.size());
    let own = |a: &markstein_proto::Authority| context.role == config::Role::Authority(a.id.clone());
    let ids: Vec<_> = set.authorities().iter().map(|a| a.id.as_str()).collect();
    let untold =
        network_view::Snapshot::untold(ids.len(), set.quorum(), set.authorities().iter().position(own));
    let caught = view.last::<Evidence>().map_err(|e| storage_status(&e))?.map(|(key, _)| key);
    let standing = Standing::new(ids, untold, context.network.get(), tip.height, caught);
    let clock = context.clock.now();
    let (as_of_ms, ahead_ms) = times(state, checkpoint.as_deref(), clock);
    let conditions: Vec<_> = standing
        .conditions()
        .into_iter()
        .chain(receipts(checkpoint.is_some()))
        .chain(ahead(ahead_ms))
        .collect();
    let EpochId(epoch) = tip.epoch;
    let status = StatusResponse {
        version: env!("CARGO_PKG_VERSION").into(),
        ledger_id: context.genesis.ledger_id().0.0.to_vec(),
        origin: context.genesis.origin.clone(),
        node: context.role.name().to_owned(),
        role: match context.role {
            config::Role::Authority(_) => Role::Authority.into(),
            config::Role::Observer(_) => Role::Observer.into(),
        },
        serving: !conditions.iter().any(|condition| condition.stops),
        conditions: conditions.iter().map(|condition| condition.text.clone()).collect(),
        epoch,
        view: tip.view.max(standing.network.view).0,
        height: tip.height.0,
        block_id: tip.block_id.0.to_vec(),
        log_size: tip.size.0,
        block_time_ms: tip.time.0,
        checkpoint_as_of_ms: as_of_ms,
        pool_batches: pool.batches as u64,
        pool_bytes: pool.bytes as u64,
        pool_waiting: context.pool.waiting() as u64,
        quorum: set.quorum() as u32,
        authorities: authorities(&standing, snapshot)?,
        uptime_ms: context.started.elapsed().as_millis() as u64,
        clock_ms: clock.0,
        voting: standing.votes(),
        finality: Some(finality::shown(&standing)),
    };
    Ok((status, conditions))
}

/// Whether a submission would be acknowledged now: [`StatusResponse::serving`], for whoever has no snapshot at hand.
pub(super) fn acknowledges(context: &Context) -> bool {
    let (network, state, checkpoint) =
        (context.network.get(), context.finality.state(), context.finality.checkpoint());
    let (_, ahead_ms) = times(&state, checkpoint.as_deref(), context.clock.now());
    let stops = diagnose(&network).stops() || network.authorities.is_empty();
    !stops && receipts(checkpoint.is_some()).is_none() && ahead(ahead_ms).is_none()
}

/// The newest checkpoint's as-of time, and how far the newest of what was signed is ahead of a clock, in milliseconds.
fn times(state: &FinalState, checkpoint: Option<&CountedCheckpoint>, clock: TimeMs) -> (u64, u64) {
    let as_of_ms = checkpoint.map_or(0, |c| c.as_of_s.saturating_mul(1000));
    (as_of_ms, state.tip().time.0.max(as_of_ms).saturating_sub(clock.0))
}

/// Receipts need a checkpoint.
fn receipts(are_there: bool) -> Option<Condition> {
    let text = "no block is cosigned by a quorum yet: receipts wait for it";
    (!are_there).then(|| Condition::stops(Kind::NoCheckpoint, text))
}

/// This node's clock may not be far behind what was signed.
fn ahead(ms: u64) -> Option<Condition> {
    (ms > CLOCK_SKEW_MAX_MS).then(|| {
        let so = "no block is made until the clock is set right";
        let text = format!("the newest checkpoint is {ms} ms ahead of this node's clock: {so}");
        Condition::stops(Kind::Behind { ms }, text)
    })
}

/// Each authority as it said it is, and as the store knows its cosignatures.
fn authorities(standing: &Standing<'_>, snapshot: &Snapshot<'_>) -> Result<Vec<AuthorityStatus>, Status> {
    let (tip, set) = (snapshot.state.tip(), snapshot.state.authorities());
    let times = cosignature_times(&snapshot.view, set).map_err(|e| storage_status(&e))?;
    let height =
        |number| if standing.own() == Some(number) { tip.height } else { standing.of(number).height };
    let heights = (0..set.authorities().len()).map(height);
    let highest = heights.chain([tip.height]).max().unwrap_or_default();
    let mut shown = Vec::new();
    for (number, (a, newest)) in set.authorities().iter().zip(times).enumerate() {
        let (known, height) = (standing.of(number), height(number));
        let (stored, time_s) = newest.unwrap_or_default();
        let heard = known.heard_ms_ago.is_some();
        shown.push(AuthorityStatus {
            authority_id: a.id.to_string(),
            name: a.name.clone(),
            here: standing.own() == Some(number),
            connected: known.connected,
            height: height.0,
            cosigned_size: stored.max(known.cosigned).0,
            // Of a larger one this node has only heard.
            cosigned_at_ms: if stored >= known.cosigned { time_s.saturating_mul(1000) } else { 0 },
            view: heard.then_some(known.view.0),
            lag: heard.then_some(highest.0 - height.0),
            clock_skew_ms: heard.then_some(known.clock_skew_ms),
            heard_ms_ago: known.heard_ms_ago,
            voting: heard.then_some(known.voting),
            version: known.release.map_or_else(String::new, |release| release.to_string()),
        });
    }
    Ok(shown)
}

/// The nodes that are let in.
pub(super) fn peers(context: &Context) -> Vec<Peer> {
    let known = context.link.get().map(Network::peers).unwrap_or_default();
    known.into_iter().map(shown).collect()
}

fn shown(state: PeerState) -> Peer {
    let (authority_id, observer) = match state.peer {
        peer::Peer::Authority(_) => (state.name, String::new()),
        peer::Peer::Observer(_) => (String::new(), state.name),
    };
    let kinds = state.misbehaviours.into_iter();
    Peer {
        authority_id,
        address: state.address.unwrap_or_default(),
        connected: state.connected,
        observer,
        connected_ms: state.since.map_or(0, |since| since.elapsed().as_millis() as u64),
        messages_in: state.frames_in,
        bytes_in: state.bytes_in,
        messages_out: state.frames_out,
        bytes_out: state.bytes_out,
        batches_in: state.batches_in,
        dropped: state.dropped,
        throttled: state.throttled,
        misbehaviours: kinds.map(|(kind, count)| Misbehaviour { kind: kind.into(), count }).collect(),
        last_misbehaviour: state.last_misbehaviour.map(|m| m.to_string()).unwrap_or_default(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{collections::BTreeMap, time::Instant};

    use super::*;

    #[test]
    fn a_peer_is_shown_with_what_it_did() {
        let state = PeerState {
            peer: peer::Peer::Observer(0),
            name: "reader".into(),
            address: Some("192.0.2.7:4602".into()),
            connected: true,
            since: Some(Instant::now()),
            frames_in: 1,
            bytes_in: 2,
            frames_out: 3,
            bytes_out: 4,
            batches_in: 5,
            dropped: 6,
            throttled: 7,
            misbehaviours: BTreeMap::from([("oversized", 2)]),
            last_misbehaviour: Some(peer::Misbehaviour::new("oversized", "9 MiB")),
        };
        let peer = shown(PeerState { peer: peer::Peer::Authority(1), ..state.clone() });
        assert_eq!((peer.authority_id.as_str(), peer.observer.as_str()), ("reader", ""));
        let peer = shown(state);
        assert_eq!((peer.authority_id.as_str(), peer.observer.as_str()), ("", "reader"));
        assert_eq!((peer.messages_out, peer.throttled), (3, 7));
        assert_eq!(peer.misbehaviours, [Misbehaviour { kind: "oversized".into(), count: 2 }]);
        assert_eq!(peer.last_misbehaviour, "oversized: 9 MiB");
    }

    #[test]
    fn a_clock_far_behind_what_was_signed_stops_receipts() {
        assert_eq!(ahead(CLOCK_SKEW_MAX_MS), None);
        assert!(ahead(CLOCK_SKEW_MAX_MS + 1).unwrap().stops);
        assert!(receipts(false).unwrap().stops && receipts(true).is_none());
    }
}
