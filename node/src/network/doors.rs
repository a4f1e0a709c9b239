//! Who may begin a handshake: strangers can be told from peers only after it, so their number is bounded by network, an
//! IPv4 /24 or an IPv6 /48.
//!
//! The fewer places are left, the fewer may one network have of them: the last ones go to networks that have none. So few
//! networks take few places. And the last half of all places is for the addresses at which peers are dialled, so that a
//! node that was cut off gets in again while strangers hold all they can. A handshake cannot be ended before its time is
//! over, so nobody gives way here.

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    net::IpAddr,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm, dummy,
    },
};

use super::{
    limits::{PENDING_MAX, PENDING_PER_NETWORK},
    swarm::socket,
};
use crate::shares::Prefix;

/// Connections that come in and have not shown their key yet.
#[derive(Debug, Default)]
pub(super) struct Doors {
    pending: HashMap<ConnectionId, IpAddr>,
    /// Where peers were found last.
    peers: HashMap<usize, Vec<IpAddr>>,
}

/// What a network may have of the strangers' places, of which so many are taken.
const fn share(taken: usize) -> usize {
    let strangers = PENDING_MAX / 2;
    match taken {
        _ if taken < strangers / 2 => PENDING_PER_NETWORK[0],
        _ if taken < strangers / 4 * 3 => PENDING_PER_NETWORK[1],
        _ => PENDING_PER_NETWORK[2],
    }
}

/// All places are taken.
#[derive(Debug, thiserror::Error)]
#[error("too many connections that have not shown their key yet{0}")]
struct Crowded(&'static str);

impl Doors {
    /// A peer is dialled at these addresses; those it was dialled at before do not count any more.
    pub(super) fn peer_at(&mut self, number: usize, addresses: impl Iterator<Item = IpAddr>) {
        self.peers.insert(number, addresses.collect());
    }

    fn let_in(&mut self, connection: ConnectionId, from: IpAddr) -> Result<(), Crowded> {
        let from = from.to_canonical();
        let is_a_peers = self.is_a_peers(&from);
        // One address of a peer may hide more than one node, and not more strangers than a network may have at first.
        let (places, share) = if is_a_peers {
            (PENDING_MAX, PENDING_PER_NETWORK[0])
        } else {
            (PENDING_MAX / 2, share(self.pending.len()))
        };
        if self.pending.len() >= places {
            return Err(Crowded(""));
        }
        let network = Prefix::of_network(from);
        let is_near = |other: &&IpAddr| {
            if is_a_peers { **other == from } else { Prefix::of_network(**other) == network }
        };
        if self.pending.values().filter(is_near).count() >= share {
            return Err(Crowded(" from this network"));
        }
        self.pending.insert(connection, from);
        Ok(())
    }

    fn is_a_peers(&self, address: &IpAddr) -> bool {
        let all: HashSet<&IpAddr> = self.peers.values().flatten().collect();
        all.contains(address)
    }
}

impl NetworkBehaviour for Doors {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        let Some(from) = socket(remote) else { return Ok(()) };
        self.let_in(connection, from.ip()).map_err(ConnectionDenied::new)
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.pending.remove(&connection);
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let FromSwarm::ListenFailure(failure) = event {
            self.pending.remove(&failure.connection_id);
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Addresses of one network, a /24.
    fn address(number: usize) -> IpAddr {
        IpAddr::from([192, 0, 2, u8::try_from(number).unwrap()])
    }

    /// An address of a network of its own.
    fn far(number: usize) -> IpAddr {
        let [.., high, low] = number.to_be_bytes();
        IpAddr::from([198, high, low, 1])
    }

    fn id(number: usize) -> ConnectionId {
        ConnectionId::new_unchecked(number)
    }

    /// How many of these many addresses get in, each as often as it can.
    fn fill(doors: &mut Doors, addresses: impl Iterator<Item = IpAddr>) -> usize {
        let before = doors.pending.len();
        for address in addresses {
            while doors.let_in(id(doors.pending.len() + 1_000_000), address).is_ok() {}
        }
        doors.pending.len() - before
    }

    #[test]
    fn one_network_takes_few_places_and_gives_them_back() {
        let mut doors = Doors::default();
        for number in 0..PENDING_PER_NETWORK[0] {
            doors.let_in(id(number), address(number)).unwrap();
        }
        assert!(doors.let_in(id(90), address(99)).is_err());
        doors.let_in(id(91), far(1)).unwrap();
        let (peer, at) = (PeerId::random(), Multiaddr::empty());
        doors.handle_established_inbound_connection(id(0), peer, &at, &at).unwrap();
        doors.let_in(id(92), address(1)).unwrap();
    }

    #[test]
    fn one_site_of_ipv6_is_one_network() {
        let mut doors = Doors::default();
        let site = (0..10_000_u32).map(|n| {
            let [a, b, c, d] = n.to_be_bytes().map(u16::from);
            IpAddr::from([0x2001, 0xdb8, 1, d, a, b, c, 1]) // many a /64
        });
        assert_eq!(fill(&mut doors, site), PENDING_PER_NETWORK[0]);
        doors.let_in(id(0), "2001:db8:2::1".parse().unwrap()).unwrap();
        doors.let_in(id(1), "::ffff:192.0.2.1".parse().unwrap()).unwrap();
    }

    #[test]
    fn few_networks_cannot_take_all_places() {
        let mut doors = Doors::default();
        for networks in [8, 16, 40] {
            fill(&mut doors, (0..networks).map(far));
            doors.let_in(id(networks), far(5000 + networks)).unwrap();
        }
        // Whoever has a place for each of them needs this many networks, and the first ones wait for their turn.
        let strangers = PENDING_MAX / 2;
        let needed = (0..).find(|count| {
            let mut doors = Doors::default();
            fill(&mut doors, (0..*count).map(far)) == strangers
        });
        assert_eq!(needed, Some(88));
    }

    #[test]
    fn strangers_leave_places_for_where_peers_are() {
        let mut doors = Doors::default();
        doors.peer_at(0, [far(20_000)].into_iter());
        assert_eq!(fill(&mut doors, (0..10_000).map(far)), PENDING_MAX / 2);
        assert!(doors.let_in(id(900), far(19_999)).is_err());
        doors.let_in(id(901), far(20_000)).unwrap();
        doors.peer_at(0, [far(19_999)].into_iter());
        doors.let_in(id(902), far(19_999)).unwrap();
        assert!(doors.let_in(id(903), far(20_000)).is_err(), "it has moved");
    }

    #[test]
    fn a_peer_gets_in_from_the_midst_of_strangers() {
        let mut doors = Doors::default();
        doors.peer_at(0, [address(200)].into_iter());
        fill(&mut doors, (0..100).map(address));
        doors.let_in(id(1), address(200)).unwrap();
        assert_eq!(fill(&mut doors, [address(200)].into_iter()), PENDING_PER_NETWORK[0] - 1);
    }
}
