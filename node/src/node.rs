//! The node's assembly: opens the store, starts each part, and stops them in order.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use markstein_proto::Genesis;
use tokio::{sync::oneshot, task::JoinSet};

use crate::{
    activity::Activity,
    api::{self, Bounds, Context, Health},
    check,
    clock::{Clock, SystemClock},
    config::{self, ConfigError, NodeConfig, NodeKeys, PoolConfig},
    driver::{self, DriverError, Events, Hands, Inspector, mailbox},
    files::FileError,
    finality::{Finality, finality},
    ingress::{Announcer, Ingress, Link, Outlet},
    ledger::{Cosigner, FinalState, RootSigner, Rules, State, counted_checkpoint},
    metrics::Metrics,
    network::{self, NetworkError, NetworkTask},
    network_view::NetworkView,
    pool::{self, PoolFailure, PoolLimits},
    server::{AddressFile, Bound, ServerError, write_address_file},
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
    /// Consensus and the ledger.
    #[error("the ledger cannot go on: {0}")]
    Driver(#[from] DriverError),
    /// The network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// What the configuration says of the other nodes.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The API's own description.
    #[error("the API could not be put together: {0}")]
    Api(String),
    /// The address file.
    #[error("address file: {0}")]
    AddressFile(#[source] FileError),
    /// No random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
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
    keys: NodeKeys,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), NodeError> {
    let folder = DataFolder::open(&config.data_dir, &genesis.ledger_id().0)?;
    let mut running = Running::default();
    // However it ends, and however early: what runs by then is stopped, and the store is closed before the process ends.
    let ended = running.live(&config, &genesis, keys, shutdown, &folder).await;
    running.stop(ended, config.shutdown_deadline, folder).await
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

/// What runs of a node, and how it is told to stop; nothing at first.
#[derive(Default)]
struct Running {
    listen_until: StopSignal,
    stop_waiting: StopSignal,
    stop_driver: StopSignal,
    stop_network: StopSignal,
    servers: JoinSet<Result<(), ServerError>>,
    driver: Thread<DriverError>,
    network: Option<NetworkTask>,
    pool: Thread<PoolFailure>,
}

/// A thread that should run as long as the node. One that was never started counts as ended.
struct Thread<E> {
    name: &'static str,
    end: Option<oneshot::Receiver<Result<(), E>>>,
}

impl<E> Default for Thread<E> {
    fn default() -> Self {
        Self { name: "", end: None }
    }
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

impl Running {
    /// Starts everything and serves until `shutdown` or until a part ends. Keeps nothing of the store to itself.
    async fn live(
        &mut self,
        config: &NodeConfig,
        genesis: &Genesis,
        keys: NodeKeys,
        shutdown: impl Future<Output = ()>,
        folder: &DataFolder,
    ) -> Result<(), NodeError> {
        let api_bound = Bound::bind(&config.api.listeners, config.api.connections_max)?
            .behind(Arc::clone(&config.api.proxies.nets));
        let operator = &config.operator;
        let operator_bound = Bound::bind(std::slice::from_ref(&operator.listener), OPERATOR_CONNECTIONS_MAX)?;
        let (api_addresses, operator_addresses) = (api_bound.addresses(), operator_bound.addresses());
        let context = self.start(config, genesis, keys, folder).await?;

        let (router, health) =
            api::public(&context, config.api.pages).await.map_err(|e| NodeError::Api(e.to_string()))?;
        let drain = config.shutdown_deadline * 3 / 4;
        self.servers.spawn(api_bound.serve(router, self.listen_until.stopped(), drain));
        let router = api::operator(&context, &operator.hosts);
        self.servers.spawn(operator_bound.serve(router, self.listen_until.stopped(), drain));

        let network = context.link.get().map(network::Network::addresses).unwrap_or_default();
        let ended = self.serve(&context, &health, shutdown, || {
            for address in &api_addresses {
                tracing::info!(address = %address, "listening");
            }
            for address in &network {
                tracing::info!(address = %address, "listening for other nodes");
            }
            let Some(file) = &config.api.address_file else { return Ok(()) };
            let addresses = AddressFile::new(&api_addresses, &operator_addresses[0], &network);
            write_address_file(file, &addresses).map_err(NodeError::AddressFile)
        });
        let ended = ended.await;
        health.stop().await;
        ended
    }

    /// Starts the parts below the API.
    async fn start(
        &mut self,
        config: &NodeConfig,
        genesis: &Genesis,
        keys: NodeKeys,
        folder: &DataFolder,
    ) -> Result<Context, NodeError> {
        let plan = config.network_in(genesis)?;
        let number = config.authority_in(genesis)?.map(|(number, _)| number);
        let checking = Instant::now();
        let checked = check::at_start(folder.db(), genesis, number)?;
        tracing::info!(from = %checked.from, tip = %checked.tip, took = ?checking.elapsed(), "the data is whole");
        let state = FinalState::load_beside(folder.db(), Some(&genesis.authorities))?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let metrics = Arc::new(Metrics::default());
        metrics.tip(state.tip().height.0, state.tip().size.0, state.tip().time.0);
        let rules = Rules::new(genesis);
        let checkpoint = counted_checkpoint(folder.db(), &state, &genesis.origin, rules.verified())?;
        let (publisher, finality) = finality(state.clone(), checkpoint, self.stop_waiting.clone());
        let (mailbox, events) = mailbox();
        let link: Link = Arc::new(OnceLock::new());
        let announce = Announcer { mailbox: mailbox.clone(), link: Arc::clone(&link) };
        let (pool, pool_thread) = pool::start(
            folder.db(),
            rules.clone(),
            limits(config.pool),
            finality.clone(),
            Arc::clone(&clock),
            Arc::new(announce),
        )?;
        self.pool = Thread::new("pool", pool_thread);
        let inspector = Arc::new(Inspector::new(genesis.ledger_id(), state.authorities(), number));
        let ingress = Ingress {
            inspector: Arc::clone(&inspector),
            mailbox,
            pool: pool.clone(),
            db: folder.db().clone(),
            link: Arc::clone(&link),
            places: Arc::default(),
            clock: Arc::clone(&clock),
        };
        let (hands, root_signer, identity) = hands(genesis, number, keys);
        if let Some(plan) = plan {
            let config = network_config(plan, genesis);
            let started = network::start(config, identity, Arc::new(ingress), self.stop_network.clone());
            let (network, task) = started.await?;
            self.network = Some(task);
            let _ = link.set(network); // it is the first
        }
        let view = NetworkView::new(Activity::load(folder.db())?);
        let parts = driver::Parts {
            ledger: genesis.ledger_id(),
            origin: genesis.origin.clone(),
            rules,
            state,
            pool: pool.clone(),
            publisher,
            hands,
            outbox: Box::new(Outlet(Arc::clone(&link))),
            inspector,
            view: view.clone(),
            metrics: Arc::clone(&metrics),
            timing: markstein_consensus::Timing::default(),
            recosign: genesis.parameters.recosign_interval_ms,
            run: getrandom::u64().map_err(NodeError::Random)?,
        };
        self.driver = start_driver(parts, Arc::clone(&clock), events, self.stop_driver.clone())?;
        Ok(Context {
            genesis: Arc::new(genesis.clone()),
            role: config.role.clone(),
            finality,
            pool,
            metrics,
            clock,
            started: Instant::now(),
            bounds: Bounds::new(config.api.proxies.clone()),
            network: view,
            link,
            root_signer: root_signer.map(Arc::new),
            paths: Arc::default(),
        })
    }

    /// Serves until `shutdown` or until a part ends. `bound` tells the addresses before anything is waited for: the
    /// quorum that is waited for may be found by means of them.
    async fn serve(
        &mut self,
        context: &Context,
        health: &Health,
        shutdown: impl Future<Output = ()>,
        bound: impl FnOnce() -> Result<(), NodeError>,
    ) -> Result<(), NodeError> {
        let work = async {
            bound()?;
            wait_for_checkpoint(context.finality.clone()).await?;
            tracing::info!("serving");
            tokio::select! {
                () = shutdown => Ok(()),
                () = health.follow(context) => std::future::pending().await, // the driver's end says more
            }
        };
        tokio::select! {
            ended = work => ended,
            ended = self.driver.ended() => ended.and(Err(NodeError::Ended("consensus"))),
            ended = network_ended(&mut self.network) => ended.and(Err(NodeError::Ended("network"))),
            ended = self.pool.ended() => ended.and(Err(NodeError::Ended("pool"))),
            ended = self.servers.join_next() => match ended {
                Some(Ok(result)) => result.map_err(NodeError::from).and(Err(NodeError::Ended("server"))),
                _ => Err(NodeError::Ended("server")),
            },
        }
    }

    /// Stops what runs in order, whatever the reason, and closes the store.
    async fn stop(
        self,
        ended: Result<(), NodeError>,
        deadline: Duration,
        folder: DataFolder,
    ) -> Result<(), NodeError> {
        let Self {
            listen_until,
            stop_waiting,
            stop_driver,
            stop_network,
            mut servers,
            mut driver,
            mut network,
            mut pool,
        } = self;
        let mut phases = Phases::begin(deadline);
        let _ = phases.run(Phase::StopListening, async { listen_until.stop() }).await;
        stop_waiting.stop();
        let drained =
            phases.run(Phase::DrainRequests, async { while servers.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            servers.shutdown().await;
        }
        let stopped = phases
            .run(Phase::StopDriver, async move {
                stop_driver.stop();
                driver.ended().await
            })
            .await;
        let left = phases
            .run(Phase::StopNetwork, async move {
                stop_network.stop();
                if network.is_some() { network_ended(&mut network).await } else { Ok(()) }
            })
            .await;
        let closed = phases
            .run(Phase::CloseStore, async move {
                let ended = pool.ended().await; // every handle of the pool is dropped by now
                folder.close().await;
                ended
            })
            .await;
        // A phase that was left behind said so; what was acknowledged is on the disk.
        ended.and(stopped.unwrap_or(Ok(()))).and(left.unwrap_or(Ok(()))).and(closed.unwrap_or(Ok(())))
    }
}

/// Completes once a checkpoint has its quorum.
async fn wait_for_checkpoint(mut finality: Finality) -> Result<(), NodeError> {
    while finality.checkpoint().is_none() {
        if !finality.changed().await {
            return Err(NodeError::Ended("consensus"));
        }
    }
    Ok(())
}

/// What an authority signs with, and who the node is for others.
fn hands(
    genesis: &Genesis,
    number: Option<u32>,
    keys: NodeKeys,
) -> (Option<Hands>, Option<RootSigner>, markstein_proto::SecretKey) {
    match (keys, number) {
        (NodeKeys::Authority(keys), Some(number)) => {
            let set = &genesis.authorities;
            let log = Arc::new(keys.log);
            let cosigner = Cosigner::new(&genesis.origin, set, number, keys.cosigner, Arc::clone(&log));
            let hands = Hands { number, consensus: Box::new(keys.consensus), cosigner };
            (Some(hands), Some(RootSigner::new(log)), keys.network)
        }
        (NodeKeys::Authority(keys), None) => (None, None, keys.network),
        (NodeKeys::Observer { network }, _) => (None, None, network),
    }
}

fn network_config(plan: config::network::NetworkPlan, genesis: &Genesis) -> network::NetworkConfig {
    let address = |address| match address {
        config::network::PeerAddress::Host(host) => network::PeerAddress::Host(host),
        config::network::PeerAddress::File(file) => network::PeerAddress::File(file),
    };
    let peer = |config::network::PeerPlan { peer, name, key, address: at }| network::PeerConfig {
        peer,
        name,
        key,
        address: at.map(address),
    };
    let peers = plan.peers.into_iter().map(peer).collect();
    network::NetworkConfig {
        listen: plan.listen,
        peers,
        ledger: genesis.ledger_id(),
        flush_timeout: network::FLUSH_TIMEOUT,
    }
}

fn start_driver(
    parts: driver::Parts,
    clock: Arc<dyn Clock>,
    events: Events,
    stop: StopSignal,
) -> Result<Thread<DriverError>, NodeError> {
    let (ended, end) = oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    std::thread::Builder::new()
        .name("consensus".into())
        .spawn(move || ended.send(driver::run(parts, &*clock, events, &stop, &runtime)))
        .map_err(|e| StorageError::Write { reason: format!("no thread for consensus: {e}") })?;
    Ok(Thread::new("consensus", end))
}

/// Completes when the network ends; never where there is none.
async fn network_ended(task: &mut Option<NetworkTask>) -> Result<(), NodeError> {
    match task {
        None => std::future::pending().await,
        Some(running) => {
            let ended = running.await;
            *task = None;
            Ok(ended.map_err(|e| NetworkError::Panicked(e.to_string()))??)
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use markstein_proto::Hash;

    use super::*;

    fn ending(result: Option<Result<(), DriverError>>) -> Thread<DriverError> {
        let (ended, end) = oneshot::channel();
        if let Some(result) = result {
            ended.send(result).unwrap();
        } // else its thread panicked, and takes the sender with it
        Thread::new("consensus", end)
    }

    #[tokio::test]
    async fn a_thread_that_ends_tells_why() {
        let block = Hash([7; 32]);
        let mut diverged = ending(Some(Err(DriverError::Diverged { block })));
        let error = diverged.ended().await.unwrap_err();
        assert!(matches!(error, NodeError::Driver(DriverError::Diverged { .. })), "{error}");
        assert!(error.to_string().contains("one of the two is broken"), "{error}");
        assert!(diverged.ended().await.is_ok(), "it is told once");
        let error = ending(None).ended().await.unwrap_err();
        assert!(matches!(error, NodeError::Ended("consensus")), "{error}");
        assert!(ending(Some(Ok(()))).ended().await.is_ok(), "who waits says that it should not have");
    }

    #[tokio::test]
    async fn a_network_that_ends_tells_why() {
        let failed: NetworkTask = tokio::spawn(async { Err(NetworkError::Noise("no randomness".into())) });
        let error = network_ended(&mut Some(failed)).await.unwrap_err();
        assert!(error.to_string().contains("no randomness"), "{error}");
        let panicked: NetworkTask = tokio::spawn(async { panic!("a fault of this program") });
        let error = network_ended(&mut Some(panicked)).await.unwrap_err();
        assert!(matches!(error, NodeError::Network(NetworkError::Panicked(_))), "{error}");
    }
}
