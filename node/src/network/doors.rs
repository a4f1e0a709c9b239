//! Who may begin a handshake: strangers can be told from peers only after it, so their number is bounded by address.
//!
//! Whoever has few addresses takes few places; and the last half of the places is for the addresses at which peers are
//! dialled, so that a node that was cut off gets in again while strangers hold all they can.

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
    limits::{PENDING_MAX, PENDING_PER_ADDRESS_MAX},
    swarm::socket,
};

/// Connections that come in and have not shown their key yet.
#[derive(Debug, Default)]
pub(super) struct Doors {
    pending: HashMap<ConnectionId, IpAddr>,
    /// Where peers were found last.
    peers: HashMap<usize, Vec<IpAddr>>,
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
        let same = self.pending.values().filter(|address| **address == from).count();
        if same >= PENDING_PER_ADDRESS_MAX {
            return Err(Crowded(" from this address"));
        }
        let strangers_max = PENDING_MAX / 2;
        let places = if self.is_a_peers(&from) { PENDING_MAX } else { strangers_max };
        if self.pending.len() >= places {
            return Err(Crowded(""));
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

    fn address(number: usize) -> IpAddr {
        IpAddr::from([192, 0, 2, u8::try_from(number).unwrap()])
    }

    fn id(number: usize) -> ConnectionId {
        ConnectionId::new_unchecked(number)
    }

    #[test]
    fn one_address_takes_few_places_and_gives_them_back() {
        let mut doors = Doors::default();
        for number in 0..PENDING_PER_ADDRESS_MAX {
            doors.let_in(id(number), address(1)).unwrap();
        }
        assert!(doors.let_in(id(90), address(1)).is_err());
        doors.let_in(id(91), address(2)).unwrap();
        let (peer, at) = (PeerId::random(), Multiaddr::empty());
        doors.handle_established_inbound_connection(id(0), peer, &at, &at).unwrap();
        doors.let_in(id(92), address(1)).unwrap();
    }

    #[test]
    fn strangers_leave_places_for_where_peers_are() {
        let mut doors = Doors::default();
        doors.peer_at(0, [address(200)].into_iter());
        for number in 0..PENDING_MAX {
            let _ = doors.let_in(id(number), address(number / PENDING_PER_ADDRESS_MAX));
        }
        assert!(doors.let_in(id(900), address(199)).is_err());
        doors.let_in(id(901), address(200)).unwrap();
        doors.peer_at(0, [address(199)].into_iter());
        doors.let_in(id(902), address(199)).unwrap();
        assert!(doors.let_in(id(903), address(200)).is_err(), "it has moved");
    }
}
