//! The start of the network: listeners bound, then the actor's task.

use std::{
    collections::HashMap,
    io,
    net::{SocketAddr, TcpListener},
    sync::{Arc, atomic::AtomicU64},
};

use futures::StreamExt;
use libp2p::{Swarm, TransportError, core::transport::ListenerId, swarm::SwarmEvent};
use markstein_proto::SecretKey;
use tokio::task::JoinHandle;

use super::{
    Inbox, Network, NetworkConfig, NetworkError, Shared,
    actor::Actor,
    conduct::Offenders,
    gossip::{Outbox, Publisher},
    peers::Peers,
    swarm::{self, Behaviour, BehaviourEvent},
};
use crate::shutdown::StopSignal;

/// Resolves when the network has ended: with an error where nobody asked it to.
pub type NetworkTask = JoinHandle<Result<(), NetworkError>>;

/// Listens, and starts to dial the peers.
///
/// # Errors
/// [`NetworkError`] where the configuration contradicts itself or an address cannot be listened on.
pub async fn start(
    config: NetworkConfig,
    identity: SecretKey,
    inbox: Arc<dyn Inbox>,
    stop: StopSignal,
) -> Result<(Network, NetworkTask), NetworkError> {
    let key = swarm::keypair(&identity)?;
    let own = key.public().to_peer_id();
    let peers = Peers::new(&config, own)?;
    let mut swarm = swarm::build(key, &config.ledger, &peers)?;
    let (addresses, early) = listen(&mut swarm, &config.listen).await?;
    let publisher = Publisher::new(&config.ledger, own);
    let shared = Arc::new(Shared {
        peers,
        outbox: Outbox::default(),
        offenders: Offenders::default(),
        strangers: AtomicU64::new(0),
        addresses,
    });
    let flush_timeout = config.flush_timeout;
    let to_dial = config.peers.into_iter().map(|peer| peer.address).collect();
    let actor = Actor::new(swarm, Arc::clone(&shared), inbox, to_dial, publisher, flush_timeout);
    let task = tokio::spawn(actor.run(early, stop));
    Ok((Network { shared }, task))
}

/// The addresses bound, and what happened while the last one was.
async fn listen(
    swarm: &mut Swarm<Behaviour>,
    wanted: &[SocketAddr],
) -> Result<(Vec<SocketAddr>, Vec<SwarmEvent<BehaviourEvent>>), NetworkError> {
    let (mut listeners, mut early) = (Vec::new(), Vec::new());
    for &address in wanted {
        let refused = |source| NetworkError::Listen { address, source };
        claim(address).map_err(refused)?;
        let listener = swarm.listen_on(swarm::multiaddr(address)).map_err(|error| refused(cause(error)))?;
        listeners.push((address, listener));
    }
    let mut ports: HashMap<ListenerId, u16> = HashMap::new();
    while ports.len() < listeners.len() {
        match swarm.select_next_some().await {
            SwarmEvent::NewListenAddr { listener_id, address } => {
                ports.extend(swarm::socket(&address).map(|socket| (listener_id, socket.port())));
            }
            SwarmEvent::ListenerClosed { reason: Err(error), .. } => {
                return Err(NetworkError::Listener(error));
            }
            event => early.push(event),
        }
    }
    let bound = listeners.iter().map(|(address, id)| SocketAddr::new(address.ip(), ports[id])).collect();
    Ok((bound, early))
}

/// libp2p lets several processes share a port, so that a second node on the same one would get half of the first one's
/// connections. This fails where the port is taken.
fn claim(address: SocketAddr) -> io::Result<()> {
    TcpListener::bind(address).map(drop)
}

fn cause(error: TransportError<io::Error>) -> io::Error {
    match error {
        TransportError::Other(error) => error,
        TransportError::MultiaddrNotSupported(address) => {
            io::Error::other(format!("not an address: {address}"))
        }
    }
}
