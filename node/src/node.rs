//! The node's assembly: opens the store, starts each part, and stops them in order.

use std::{
    sync::{
        Arc,
        mpsc::{SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

use markstein_proto::{AuthoritySet, Genesis};
use tokio::{sync::oneshot, task::JoinSet};

use crate::{
    api::{self, Bounds, Context, Health},
    chain::{Chain, ChainError},
    clock::{Clock, SystemClock},
    config::{AuthorityKeys, NodeConfig, PoolConfig},
    files::FileError,
    finality::{Finality, finality},
    ledger::{Cosigner, FinalState, Rules, State, newest_checkpoint},
    metrics::Metrics,
    pool::{self, PoolFailure, PoolLimits, Wake, WakeSender},
    sequencer,
    server::{Bound, ServerError, write_address_file},
    shutdown::{Phase, Phases, StopSignal},
    storage::{DataFolder, FolderError, StorageError},
};

/// Connections on the operators' listener at once.
const OPERATOR_CONNECTIONS_MAX: usize = 64;

/// Why a node did not start, or stopped other than by being told to.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The data folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The store.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A listener.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The pool.
    #[error(transparent)]
    Pool(#[from] PoolFailure),
    /// The chain.
    #[error("the ledger cannot go on: {0}")]
    Chain(#[from] ChainError),
    /// The API's own description.
    #[error("the API could not be put together: {0}")]
    Api(String),
    /// The address file.
    #[error("address file: {0}")]
    AddressFile(#[source] FileError),
    /// More than one authority.
    #[error(
        "this genesis names {0} authorities; this release runs ledgers of one authority: make a genesis with one"
    )]
    ManyAuthorities(usize),
    /// A part that should run as long as the node ended.
    #[error("the {0} ended unexpectedly; the log says more")]
    Ended(&'static str),
}

/// Runs a node until `shutdown` completes or something fails. The data folder must exist.
///
/// # Errors
/// See [`NodeError`].
pub async fn run(
    config: NodeConfig,
    genesis: Genesis,
    keys: AuthorityKeys,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), NodeError> {
    let number = own_number(&genesis.authorities, &config)?;
    let folder = DataFolder::open(&config.data_dir, &genesis.ledger_id().0)?;
    let api_bound = Bound::bind(&config.api.listeners, config.api.connections_max)?;
    let operator_bound = Bound::bind(std::slice::from_ref(&config.operator), OPERATOR_CONNECTIONS_MAX)?;
    let (api_addresses, operator_addresses) = (api_bound.addresses(), operator_bound.addresses());
    let mut parts = Parts::start(&config, &genesis, keys, number, &folder)?;

    let (router, health) = api::public(&parts.context).await.map_err(|e| NodeError::Api(e.to_string()))?;
    let (listen_until, drain) = (StopSignal::new(), config.shutdown_deadline * 3 / 4);
    let mut servers = JoinSet::new();
    servers.spawn(api_bound.serve(router, listen_until.stopped(), drain));
    servers.spawn(operator_bound.serve(api::operator(&parts.context), listen_until.stopped(), drain));

    let ended = parts.serve(&health, shutdown, &mut servers, || {
        for address in &api_addresses {
            tracing::info!(address = %address, "serving");
        }
        match &config.api.address_file {
            Some(file) => write_address_file(file, &api_addresses, &operator_addresses[0])
                .map_err(NodeError::AddressFile),
            None => Ok(()),
        }
    });
    let ended = ended.await;
    health.set_serving(false).await;
    parts.stop(ended, config.shutdown_deadline, &listen_until, servers, folder).await
}

fn own_number(set: &AuthoritySet, config: &NodeConfig) -> Result<u32, NodeError> {
    if set.authorities().len() > 1 {
        return Err(NodeError::ManyAuthorities(set.authorities().len()));
    }
    let number = set.authorities().iter().position(|a| a.id == config.authority);
    Ok(number.expect("load_genesis() found this node's authority in the genesis") as u32)
}

/// Limits as the pool counts them.
fn limits(config: PoolConfig) -> PoolLimits {
    let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    PoolLimits {
        bytes_max: count(config.bytes_max),
        batches_per_issuer_max: count(config.batches_per_issuer_max),
        bytes_per_issuer_max: count(config.bytes_per_issuer_max),
    }
}

/// The running parts below the API.
struct Parts {
    context: Context,
    wake: SyncSender<Wake>,
    stop_waiting: StopSignal,
    sequencer: Thread<ChainError>,
    pool: Thread<PoolFailure>,
}

/// A thread that should run as long as the node.
struct Thread<E> {
    name: &'static str,
    end: Option<oneshot::Receiver<Result<(), E>>>,
}

impl<E> Thread<E>
where
    NodeError: From<E>,
{
    const fn new(name: &'static str, end: oneshot::Receiver<Result<(), E>>) -> Self {
        Self { name, end: Some(end) }
    }

    /// Completes when the thread ends; at once where that was told before.
    async fn ended(&mut self) -> Result<(), NodeError> {
        let Some(end) = &mut self.end else { return Ok(()) };
        let result = end.await;
        self.end = None;
        Ok(result.map_err(|_| NodeError::Ended(self.name))??)
    }
}

impl Parts {
    fn start(
        config: &NodeConfig,
        genesis: &Genesis,
        keys: AuthorityKeys,
        number: u32,
        folder: &DataFolder,
    ) -> Result<Self, NodeError> {
        let state = FinalState::load(folder.db())?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let metrics = Arc::new(Metrics::default());
        metrics.tip(state.tip().height.0, state.tip().size.0, state.tip().time.0);
        let rules = Rules::new(genesis);
        let stop_waiting = StopSignal::new();
        let (publisher, finality) = finality(state.clone(), stop_waiting.clone());
        let (wake, wakes) = sync_channel(4);
        let wake_pool = WakeSender(wake.clone());
        let (pool, pool_thread) = pool::start(
            folder.db(),
            rules.clone(),
            limits(config.pool),
            finality.clone(),
            Arc::clone(&clock),
            wake_pool,
        )?;
        let cosigner = Cosigner::new(&genesis.origin, &genesis.authorities, number, keys.cosigner, keys.log);
        let chain = Chain::new(rules, state, pool.clone(), cosigner, Arc::clone(&clock), publisher);
        let recosign = Duration::from_millis(genesis.parameters.recosign_interval_ms);
        let (ended, sequencer) = oneshot::channel();
        let sequencer_metrics = Arc::clone(&metrics);
        std::thread::Builder::new()
            .name("sequencer".into())
            .spawn(move || ended.send(sequencer::run(chain, &wakes, recosign, &sequencer_metrics)))
            .map_err(|e| StorageError::Write { reason: format!("no thread for the sequencer: {e}") })?;
        let context = Context {
            genesis: Arc::new(genesis.clone()),
            authority: config.authority.clone(),
            finality,
            pool,
            metrics,
            clock,
            started: Instant::now(),
            bounds: Bounds::default(),
        };
        Ok(Self {
            context,
            wake,
            stop_waiting,
            sequencer: Thread::new("sequencer", sequencer),
            pool: Thread::new("pool", pool_thread),
        })
    }

    /// Serves until `shutdown` or until a part ends; `ready` is called once a submission would succeed.
    async fn serve(
        &mut self,
        health: &Health,
        shutdown: impl Future<Output = ()>,
        servers: &mut JoinSet<Result<(), ServerError>>,
        ready: impl FnOnce() -> Result<(), NodeError>,
    ) -> Result<(), NodeError> {
        let finality = self.context.finality.clone();
        let origin = self.context.genesis.origin.clone();
        let work = async {
            wait_for_checkpoint(finality, &origin).await?;
            health.set_serving(true).await;
            ready()?;
            shutdown.await;
            Ok(())
        };
        tokio::select! {
            ended = work => ended,
            ended = self.sequencer.ended() => ended.and(Err(NodeError::Ended("sequencer"))),
            ended = self.pool.ended() => ended.and(Err(NodeError::Ended("pool"))),
            ended = servers.join_next() => match ended {
                Some(Ok(result)) => result.map_err(NodeError::from).and(Err(NodeError::Ended("server"))),
                _ => Err(NodeError::Ended("server")),
            },
        }
    }

    /// Stops everything in order, whatever the reason.
    async fn stop(
        self,
        ended: Result<(), NodeError>,
        deadline: Duration,
        listen_until: &StopSignal,
        mut servers: JoinSet<Result<(), ServerError>>,
        folder: DataFolder,
    ) -> Result<(), NodeError> {
        let Self { context, wake, stop_waiting, mut sequencer, mut pool } = self;
        let mut phases = Phases::begin(deadline);
        let _ = phases.run(Phase::StopListening, async { listen_until.stop() }).await;
        stop_waiting.stop();
        let drained =
            phases.run(Phase::DrainRequests, async { while servers.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            servers.shutdown().await;
        }
        drop(context);
        let stopped = phases
            .run(Phase::StopSequencer, async move {
                let told = tokio::task::spawn_blocking(move || wake.send(Wake::Stop)).await;
                let _ = told; // a sequencer that ended already needs no telling
                sequencer.ended().await
            })
            .await;
        let closed = phases
            .run(Phase::CloseStore, async move {
                let ended = pool.ended().await; // every handle of the pool is dropped by now
                let _ = tokio::task::spawn_blocking(move || drop(folder)).await;
                ended
            })
            .await;
        // A phase that was left behind said so; what was acknowledged is on the disk.
        ended.and(stopped.unwrap_or(Ok(()))).and(closed.unwrap_or(Ok(())))
    }
}

/// Completes once the newest checkpoint has its quorum.
async fn wait_for_checkpoint(mut finality: Finality, origin: &str) -> Result<(), NodeError> {
    loop {
        {
            let (state, view) = finality.snapshot()?;
            if newest_checkpoint(&view, &*state, origin)?.is_some() {
                return Ok(());
            }
        }
        if !finality.changed().await {
            return Err(NodeError::Ended("sequencer"));
        }
    }
}
