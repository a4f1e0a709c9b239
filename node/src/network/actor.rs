//! The task that owns the swarm: it dials, takes connections in, starts the tasks of their streams, and decides who is
//! connected. It never waits for anybody: messages go past it, from and to the tasks of the streams.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use futures::{FutureExt, StreamExt};
use libp2p::{
    PeerId, Swarm, ping,
    swarm::{
        ConnectionId, SwarmEvent,
        dial_opts::{DialOpts, PeerCondition},
    },
};
use tokio::task::{JoinError, JoinSet};

use super::{
    Inbox, NetworkError, Shared,
    dial::{self, Dial},
    gossip::Publisher,
    lanes::{Lane, LaneEvent},
    limits::{BLOCKED_FOR, LINGER_MAX, LogGate, PARTING},
    links::{Link, Links},
    meter::GossipEvent,
    peers::Record,
    queue::Queue,
    silence::Watch,
    streams::{self, Ended, StreamEnd},
    swarm::{Behaviour, BehaviourEvent, is_elder, multiaddr, readable},
    verdicts::Verdict,
};
use crate::{messages::Class, peer::Misbehaviour, shutdown::StopSignal};

/// The actor's state.
pub(super) struct Actor {
    pub(super) swarm: Swarm<Behaviour>,
    pub(super) shared: Arc<Shared>,
    pub(super) inbox: Arc<dyn Inbox>,
    /// In the order of the peers.
    pub(super) links: Vec<Links>,
    pub(super) publisher: Publisher,
    pub(super) resolving: JoinSet<(usize, Result<Vec<SocketAddr>, String>)>,
    pub(super) streams: JoinSet<StreamEnd>,
    pub(super) verdicts: JoinSet<Verdict>,
    /// Batches whose verdict is awaited, and their bytes, for each peer.
    pub(super) judged: Vec<(usize, usize)>,
    pub(super) watch: Watch,
    pub(super) log_strangers: LogGate,
    pub(super) log_listener: LogGate,
    pub(super) flush_timeout: Duration,
}

impl Actor {
    pub(super) fn new(
        swarm: Swarm<Behaviour>,
        shared: Arc<Shared>,
        inbox: Arc<dyn Inbox>,
        addresses: Vec<Option<super::PeerAddress>>,
        publisher: Publisher,
        flush_timeout: Duration,
    ) -> Self {
        let now = Instant::now();
        let judged = vec![(0, 0); addresses.len()];
        let links = addresses.into_iter().map(|address| Links::new(Dial::new(address, now))).collect();
        Self {
            swarm,
            shared,
            inbox,
            links,
            publisher,
            resolving: JoinSet::new(),
            streams: JoinSet::new(),
            verdicts: JoinSet::new(),
            judged,
            watch: Watch::new(now),
            log_strangers: LogGate::default(),
            log_listener: LogGate::default(),
            flush_timeout,
        }
    }

    /// Runs until it is told to stop, or cannot go on.
    pub(super) async fn run(
        mut self,
        early: Vec<SwarmEvent<BehaviourEvent>>,
        stop: StopSignal,
    ) -> Result<(), NetworkError> {
        for event in early {
            self.on_swarm(event)?;
        }
        let mut stopped = std::pin::pin!(stop.stopped());
        loop {
            self.do_what_is_due(Instant::now());
            let next = self.next_due();
            tokio::select! {
                () = &mut stopped => break,
                () = sleep_until(next) => {}
                () = self.shared.outbox.changed() => {}
                () = self.shared.offenders.changed() => self.block_offenders(),
                event = self.swarm.select_next_some() => self.on_swarm(event)?,
                Some(found) = self.resolving.join_next() => self.on_resolved(finished(found)?),
                Some(ended) = self.streams.join_next() => self.on_stream_end(finished(ended)?),
                Some(verdict) = self.verdicts.join_next() => self.on_verdict(finished(verdict)?),
            }
        }
        self.stop().await
    }

    fn next_due(&self) -> Option<Instant> {
        let publish = self.publisher.next(&self.shared.outbox, Instant::now());
        let look = self.links.iter().any(|links| links.connected).then(|| self.watch.due());
        self.links.iter().filter_map(Links::due).chain(publish).chain(look).min()
    }

    fn do_what_is_due(&mut self, now: Instant) {
        self.look_for_silence(now);
        for number in 0..self.links.len() {
            if self.links[number].parting.is_some_and(|at| at <= now) {
                self.block(number);
            }
            if self.links[number].due().is_some_and(|at| at <= now) {
                self.dial_or_unblock(number, now);
            }
        }
        self.publisher.run(&self.shared.outbox, self.swarm.behaviour_mut().gossipsub.gossip(), now);
    }

    fn dial_or_unblock(&mut self, number: usize, now: Instant) {
        let links = &mut self.links[number];
        if links.blocked_until.take().is_some() {
            self.swarm.behaviour_mut().allowed.allow_peer(self.shared.peers.all()[number].id);
            links.dial.at_once(now);
        }
        if let Some(address) = links.dial.begin(now) {
            self.resolving.spawn(async move { (number, dial::resolve(address).await) });
        }
    }

    fn on_resolved(&mut self, resolved: Option<(usize, Result<Vec<SocketAddr>, String>)>) {
        let Some((number, found)) = resolved else { return };
        let links = &mut self.links[number];
        let may_be_dead = links.is_empty() || links.is_silent(Instant::now(), self.watch.awake());
        if !may_be_dead || links.blocked_until.is_some() {
            links.dial.rest();
            return;
        }
        if let Ok(addresses) = &found {
            let addresses = addresses.iter().map(SocketAddr::ip);
            self.swarm.behaviour_mut().doors.peer_at(number, addresses);
        }
        let dialled = found.and_then(|addresses| {
            let addresses = addresses.into_iter().map(multiaddr).collect();
            // A port of its own for each connection: from the listener's port, two nodes that dial each other at once
            // would open one connection with two beginnings.
            let options = DialOpts::peer_id(self.shared.peers.all()[number].id)
                .addresses(addresses)
                .condition(PeerCondition::NotDialing) // there may be a connection on which nothing is heard
                .allocate_new_port()
                .build();
            links.dial.dialling(options.connection_id());
            self.swarm.dial(options).map_err(|error| error.to_string())
        });
        if let Err(reason) = dialled {
            self.dial_failed(number, &reason);
        }
    }

    fn dial_failed(&mut self, number: usize, reason: &str) {
        let now = Instant::now();
        let dial = &mut self.links[number].dial;
        dial.failed(now);
        if let Some(times) = dial.log_due(now) {
            let Record { peer, name, .. } = &*self.shared.peers.all()[number];
            tracing::warn!(%peer, name, reason, times, "a peer cannot be reached; it is tried again and again");
        }
    }

    fn on_swarm(&mut self, event: SwarmEvent<BehaviourEvent>) -> Result<(), NetworkError> {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour(event),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.on_established(&peer_id, connection_id, readable(endpoint.get_remote_address()));
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, cause, .. } => {
                tracing::debug!(%peer_id, %connection_id, ?cause, "a connection ended");
                self.on_closed(&peer_id, connection_id);
            }
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                if let Some(number) = self.links.iter().position(|links| links.dial.is(connection_id)) {
                    self.dial_failed(number, &self.why_not_dialled(&error));
                }
            }
            SwarmEvent::IncomingConnectionError { peer_id, send_back_addr, error, .. } => {
                self.on_refused(peer_id, &readable(&send_back_addr), &error.to_string());
            }
            SwarmEvent::ListenerError { error, .. } => {
                if let Some(times) = self.log_listener.due(Instant::now()) {
                    tracing::warn!(%error, times, "a listener of the network has trouble");
                }
            }
            SwarmEvent::ListenerClosed { reason: Err(error), .. } => {
                return Err(NetworkError::Listener(error));
            }
            _ => {}
        }
        Ok(())
    }

    fn on_behaviour(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Lanes(LaneEvent { peer, connection, what }) => {
                if let Some(number) = self.shared.peers.number(&peer) {
                    self.on_lane(number, connection, what);
                }
            }
            BehaviourEvent::Gossipsub(GossipEvent::Told(event)) => self.on_gossip(*event),
            BehaviourEvent::Gossipsub(GossipEvent::Trespass(peer, trespass)) => {
                self.on_trespass(peer, trespass);
            }
            // Who does not answer pings at all is no node of ours; to close its connection would be to dial for ever.
            BehaviourEvent::Ping(ping::Event { result: Err(ping::Failure::Unsupported), .. }) => {}
            BehaviourEvent::Ping(ping::Event { peer, connection, result: Ok(_) }) => {
                let number = self.shared.peers.number(&peer);
                if let Some(link) = number.and_then(|number| self.links[number].find(connection)) {
                    link.ear.hear(Instant::now());
                }
            }
            BehaviourEvent::Ping(ping::Event { connection, result: Err(error), .. }) => {
                tracing::debug!(%connection, %error, "a ping had no answer");
                self.swarm.close_connection(connection);
            }
            _ => {}
        }
    }

    fn on_refused(&mut self, peer: Option<PeerId>, address: &str, error: &str) {
        let Some(stranger) = peer.filter(|peer| self.shared.peers.number(peer).is_none()) else {
            tracing::debug!(address, error, "an incoming connection did not come about");
            return;
        };
        self.shared.strangers.fetch_add(1, Relaxed);
        if let Some(times) = self.log_strangers.due(Instant::now()) {
            tracing::warn!(%stranger, address, times, "a stranger was refused: no peer has this network key");
        }
    }

    fn why_not_dialled(&self, error: &libp2p::swarm::DialError) -> String {
        let libp2p::swarm::DialError::WrongPeerId { obtained, address } = error else {
            return error.to_string();
        };
        let address = readable(address);
        match self.shared.peers.number(obtained) {
            Some(other) => format!("at {address} there is {} instead", self.shared.peers.all()[other].name),
            None => format!("at {address} there is a node with another network key"),
        }
    }

    fn on_established(&mut self, peer: &PeerId, connection: ConnectionId, address: String) {
        let Some(number) = self.shared.peers.number(peer) else { return };
        self.links[number].dial.established(connection);
        self.links[number].add(Link::new(connection, address));
    }

    fn on_closed(&mut self, peer: &PeerId, connection: ConnectionId) {
        let Some(number) = self.shared.peers.number(peer) else { return };
        let links = &mut self.links[number];
        if !links.remove(connection) {
            return;
        }
        if !links.is_empty() {
            if links.connected {
                self.choose_connection(number);
            }
            return;
        }
        let was_connected = std::mem::take(&mut links.connected);
        links.dial.lost(was_connected, Instant::now());
        if was_connected {
            let record = &self.shared.peers.all()[number];
            record.queues().for_each(Queue::shut);
            record.disconnected();
            if links.may_log(Instant::now()) {
                tracing::info!(peer = %record.peer, name = record.name, "a peer is gone");
            }
            self.inbox.disconnected(record.peer);
        }
    }

    fn on_lane(&mut self, number: usize, connection: ConnectionId, what: Lane) {
        let Some(link) = self.links[number].find(connection) else { return };
        match what {
            Lane::Opened(class, stream) => {
                let record = Arc::clone(&self.shared.peers.all()[number]);
                let written = streams::write(record, class, connection, stream);
                let end = move |why| StreamEnd { number, connection, why };
                link.written_by(self.streams.spawn(written.map(end)));
                if class == Class::Urgent {
                    link.ready = true;
                    self.on_ready(number);
                }
            }
            Lane::Accepted(class, stream) => {
                link.keep(class, stream);
                self.start_reading(number);
            }
            Lane::Unknown if self.links[number].is_welcome() => {
                let record = &self.shared.peers.all()[number];
                let detail = format!("{} does not speak of this ledger: its genesis is another", record.name);
                record.misbehaved(Misbehaviour::new("another_ledger", detail));
                self.links[number].parting = Some(Instant::now() + PARTING);
            }
            Lane::Unknown => {}
            Lane::Failed(reason) => {
                tracing::debug!(%connection, reason, "a stream could not be opened");
                self.swarm.close_connection(connection);
            }
        }
    }

    fn on_ready(&mut self, number: usize) {
        self.choose_connection(number);
        let links = &mut self.links[number];
        links.dial.good();
        if !std::mem::replace(&mut links.connected, true) {
            let record = &self.shared.peers.all()[number];
            if links.may_log(Instant::now()) {
                tracing::info!(peer = %record.peer, name = record.name, "a peer is connected");
            }
        }
        // Also where an earlier connection still looks alive: the peer may have lost its memory since.
        self.inbox.connected(self.shared.peers.all()[number].peer);
        self.start_reading(number);
    }

    /// Writes go to the newest connection with streams from now on; the elder side closes the older ones.
    fn choose_connection(&mut self, number: usize) {
        let (links, record) = (&self.links[number], &self.shared.peers.all()[number]);
        let Some(current) = links.written_to() else {
            record.queues().for_each(|queue| queue.open(None));
            return;
        };
        record.connected_at(current.address.clone());
        record.queues().for_each(|queue| queue.open(Some(current.id)));
        if is_elder(self.swarm.local_peer_id(), &record.id) {
            for older in links.superseded() {
                self.swarm.close_connection(older);
            }
        }
    }

    fn start_reading(&mut self, number: usize) {
        let links = &mut self.links[number];
        if !links.connected {
            return;
        }
        for link in links.all() {
            for (class, stream) in link.kept() {
                let connection = link.id;
                let record = Arc::clone(&self.shared.peers.all()[number]);
                let reading = streams::read(record, class, stream, link.ear.clone(), Arc::clone(&self.inbox));
                let end = move |why| StreamEnd { number, connection, why };
                link.read_by(class, self.streams.spawn(reading.map(end)));
            }
        }
    }

    fn on_stream_end(&mut self, end: Option<StreamEnd>) {
        let Some(StreamEnd { number, connection, why }) = end else { return };
        match why {
            Ended::Written => {}
            // Its other stream may still hold something.
            Ended::Finished => {
                if self.links[number].find(connection).is_some_and(|link| link.is_finished()) {
                    self.swarm.close_connection(connection);
                }
            }
            Ended::Broken(error) => {
                tracing::debug!(%connection, %error, "a stream broke");
                self.swarm.close_connection(connection);
            }
            Ended::Misbehaviour => self.block(number),
        }
    }

    /// Blocks those who misbehaved too often as it showed behind the network.
    fn block_offenders(&mut self) {
        for id in self.shared.offenders.take() {
            if let Some(number) = self.shared.peers.number(&id) {
                self.block(number);
            }
        }
    }

    /// Closes all connections of a peer and takes none for a while.
    pub(super) fn block(&mut self, number: usize) {
        let (links, record, now) =
            (&mut self.links[number], &self.shared.peers.all()[number], Instant::now());
        links.stop_reading();
        (links.parting, links.blocked_until) = (None, Some(now + BLOCKED_FOR));
        self.swarm.behaviour_mut().allowed.disallow_peer(record.id);
        if let Some(times) = links.log_blocked.due(now) {
            let (peer, name, seconds) = (record.peer, &record.name, BLOCKED_FOR.as_secs());
            tracing::warn!(%peer, name, seconds, times, "a peer is blocked for a while");
        }
    }

    /// Writes what waits, closes the connections, and tells the inbox.
    async fn stop(mut self) -> Result<(), NetworkError> {
        for record in self.shared.peers.all() {
            record.queues().for_each(Queue::close);
        }
        // A peer that has read all closes the connection. Before that nothing of it is refused: it would close at once, and
        // lose what is still on its way.
        let patience = Some(Instant::now() + self.flush_timeout.min(LINGER_MAX));
        while self.swarm.network_info().num_peers() > 0 {
            tokio::select! {
                () = sleep_until(patience) => break,
                _ = self.streams.join_next(), if !self.streams.is_empty() => {}
                event = self.swarm.select_next_some() => self.on_swarm(event)?,
            }
        }
        self.links.iter_mut().for_each(Links::stop_reading);
        let deadline = Some(Instant::now() + self.flush_timeout);
        while !self.streams.is_empty() {
            tokio::select! {
                () = sleep_until(deadline) => break,
                _ = self.streams.join_next() => {}
                event = self.swarm.select_next_some() => self.on_swarm(event)?,
            }
        }
        for record in self.shared.peers.all() {
            // An error says that it is not connected.
            let _ = self.swarm.disconnect_peer_id(record.id);
        }
        while self.swarm.network_info().num_peers() > 0 {
            tokio::select! {
                () = sleep_until(deadline) => break,
                event = self.swarm.select_next_some() => self.on_swarm(event)?,
            }
        }
        tracing::debug!("the network has ended");
        Ok(())
    }
}

/// The result of a task; none of one that was no longer needed.
fn finished<T>(result: Result<T, JoinError>) -> Result<Option<T>, NetworkError> {
    match result {
        Ok(result) => Ok(Some(result)),
        Err(error) if error.is_cancelled() => Ok(None),
        Err(error) => Err(NetworkError::Panicked(error.to_string())),
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
