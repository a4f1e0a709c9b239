//! Gossipsub with each peer held to a pace, duplicates and messages on other topics included.
//!
//! Gossipsub itself passes over what it has seen and what is on a topic that nobody subscribed to, and tells nobody. So
//! what a peer makes it look at is counted here: for each packet and each message in it, by number and size. Who uses up
//! what it has is not listened to until it has something again, and is reported.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Instant,
};

use libp2p::{
    Multiaddr, PeerId,
    core::{Endpoint, transport::PortUse},
    gossipsub,
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm,
    },
};

use super::{
    gossip::Gossip,
    limits::{GOSSIP_SEEN_BURST, GOSSIP_SEEN_PER_SECOND, TokenBucket},
};

/// Bytes of a message that cost as much as one more message.
const BYTES_PER_TOKEN: u64 = 4096;

/// What the messages looked at cost, and how many were on other topics; counted by the one who looks.
#[derive(Debug, Default)]
pub(super) struct Seen {
    cost: AtomicU64,
    strange: AtomicU64,
}

impl Seen {
    /// One more message of this length.
    pub(super) fn message(&self, length: usize) {
        self.cost.fetch_add(1 + length as u64 / BYTES_PER_TOKEN, Relaxed);
    }

    /// One more message on another topic.
    pub(super) fn strange(&self) {
        self.strange.fetch_add(1, Relaxed);
    }
}

/// What no honest peer does by gossip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trespass {
    /// It says more than any honest node can.
    Flood,
    /// It says something on another topic.
    AnotherTopic,
}

/// What comes of gossip.
#[derive(Debug)]
pub(super) enum GossipEvent {
    /// What gossipsub tells.
    Told(Box<gossipsub::Event>),
    /// A peer did what no honest one does.
    Trespass(PeerId, Trespass),
}

/// Gossipsub behind a turnstile for each peer.
pub(super) struct Metered {
    gossip: Gossip,
    seen: Arc<Seen>,
    /// One for each peer that was ever let in: a new connection is no new allowance.
    allowances: HashMap<PeerId, TokenBucket>,
    /// At most one of a kind for each peer.
    reports: VecDeque<(PeerId, Trespass)>,
}

impl Metered {
    /// Of gossipsub that counts in `seen`.
    pub(super) fn new(gossip: Gossip, seen: Arc<Seen>) -> Self {
        Self { gossip, seen, allowances: HashMap::new(), reports: VecDeque::new() }
    }

    /// Gossipsub, to say something.
    pub(super) const fn gossip(&mut self) -> &mut Gossip {
        &mut self.gossip
    }

    fn report(&mut self, peer: PeerId, trespass: Trespass) {
        if !self.reports.contains(&(peer, trespass)) {
            self.reports.push_back((peer, trespass));
        }
    }
}

impl NetworkBehaviour for Metered {
    type ConnectionHandler = <Gossip as NetworkBehaviour>::ConnectionHandler;
    type ToSwarm = GossipEvent;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.gossip.handle_pending_inbound_connection(connection, local, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.gossip.handle_established_inbound_connection(connection, peer, local, remote)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.gossip.handle_pending_outbound_connection(connection, peer, addresses, role)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.gossip.handle_established_outbound_connection(connection, peer, address, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        self.gossip.on_swarm_event(event);
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        let now = Instant::now();
        let full = || TokenBucket::new(GOSSIP_SEEN_PER_SECOND, GOSSIP_SEEN_BURST, now);
        let allowance = self.allowances.entry(peer).or_insert_with(full);
        if !allowance.take(0.0, now).is_zero() {
            return self.report(peer, Trespass::Flood);
        }
        self.gossip.on_connection_handler_event(peer, connection, event);
        let cost = 1 + self.seen.cost.swap(0, Relaxed);
        allowance.take(cost as f64, now);
        if self.seen.strange.swap(0, Relaxed) > 0 {
            self.report(peer, Trespass::AnotherTopic);
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if let Some((peer, trespass)) = self.reports.pop_front() {
            return Poll::Ready(ToSwarm::GenerateEvent(GossipEvent::Trespass(peer, trespass)));
        }
        let told = |event| GossipEvent::Told(Box::new(event));
        self.gossip.poll(context).map(|event| event.map_out(told))
    }
}
