//! How libp2p is put together: TCP, noise, yamux, and the behaviours.

use std::{net::SocketAddr, time::Duration};

use libp2p::{
    Multiaddr, PeerId, Swarm, SwarmBuilder, allow_block_list,
    connection_limits::{self, ConnectionLimits},
    identity::{self, ed25519},
    multiaddr::Protocol,
    noise, ping,
    swarm::NetworkBehaviour,
    tcp, yamux,
};
use markstein_proto::{LedgerId, SecretKey};

use super::{
    NetworkError,
    doors::Doors,
    gossip,
    lanes::{Lanes, Protocols},
    limits::{CONNECT_TIMEOUT, CONNECTIONS_PER_PEER_MAX, PING_INTERVAL, PING_TIMEOUT},
    meter::Metered,
    peers::Peers,
};

/// Yamux lets the windows of a connection's streams grow to 1 GiB together, less 256 KiB for each stream there may
/// be, and has no setting for the first number here. So many streams leave 64 MiB for windows to grow; there are never
/// that many, for the swarm negotiates few at a time and keeps one of each kind.
const STREAMS_MAX: usize = 3840;
/// Streams of a peer that are being negotiated.
const NEGOTIATING_MAX: usize = 16;
/// Never reached: the streams keep the connection.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// What a connection is used for. Those who refuse come first.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    pub(super) doors: Doors,
    pub(super) allowed: allow_block_list::Behaviour<allow_block_list::AllowedPeers>,
    limits: connection_limits::Behaviour,
    pub(super) lanes: Lanes,
    pub(super) gossipsub: Metered,
    ping: ping::Behaviour,
}

/// The key as libp2p has it.
pub(super) fn keypair(secret: &SecretKey) -> Result<identity::Keypair, NetworkError> {
    let secret = ed25519::SecretKey::try_from_bytes(secret.seed()).map_err(|_| NetworkError::Key)?;
    Ok(ed25519::Keypair::from(secret).into())
}

/// A swarm that lets these peers in, and does not listen yet.
pub(super) fn build(
    key: identity::Keypair,
    ledger: &LedgerId,
    peers: &Peers,
) -> Result<Swarm<Behaviour>, NetworkError> {
    let behaviour = behaviour(ledger, peers)?;
    let multiplexer = || {
        let mut config = yamux::Config::default();
        config.set_max_num_streams(STREAMS_MAX);
        config
    };
    let swarm = SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_tcp(tcp::Config::new().nodelay(true), noise::Config::new, multiplexer)
        .map_err(|error| NetworkError::Noise(error.to_string()))?
        .with_behaviour(|_| behaviour)
        .expect("the behaviour is there already")
        .with_swarm_config(|config| {
            config
                .with_idle_connection_timeout(IDLE_TIMEOUT)
                .with_max_negotiating_inbound_streams(NEGOTIATING_MAX)
        })
        .with_connection_timeout(CONNECT_TIMEOUT)
        .build();
    Ok(swarm)
}

fn behaviour(ledger: &LedgerId, peers: &Peers) -> Result<Behaviour, NetworkError> {
    let mut allowed = allow_block_list::Behaviour::default();
    for record in peers.all() {
        allowed.allow_peer(record.id);
    }
    let established =
        u32::try_from(peers.all().len()).unwrap_or(u32::MAX).saturating_mul(CONNECTIONS_PER_PEER_MAX);
    let limits = ConnectionLimits::default()
        .with_max_established_per_peer(Some(CONNECTIONS_PER_PEER_MAX))
        .with_max_established(Some(established));
    Ok(Behaviour {
        doors: Doors::default(),
        allowed,
        limits: connection_limits::Behaviour::new(limits),
        lanes: Lanes::new(Protocols::new(ledger)),
        gossipsub: gossip::behaviour(ledger)?,
        ping: ping::Behaviour::new(
            ping::Config::new().with_interval(PING_INTERVAL).with_timeout(PING_TIMEOUT),
        ),
    })
}

/// An address as libp2p has it.
pub(super) fn multiaddr(address: SocketAddr) -> Multiaddr {
    Multiaddr::from(address.ip()).with(Protocol::Tcp(address.port()))
}

/// An address for people.
pub(super) fn readable(address: &Multiaddr) -> String {
    socket(address).map_or_else(|| address.to_string(), |socket| socket.to_string())
}

/// Address and port of a TCP address.
pub(super) fn socket(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    let ip = match parts.next()? {
        Protocol::Ip4(ip) => ip.into(),
        Protocol::Ip6(ip) => ip.into(),
        _ => return None,
    };
    match parts.next()? {
        Protocol::Tcp(port) => Some(SocketAddr::new(ip, port)),
        _ => None,
    }
}

/// Whether this node's choice counts where there are two connections.
pub(super) fn is_elder(own: &PeerId, other: &PeerId) -> bool {
    own.to_bytes() < other.to_bytes()
}
