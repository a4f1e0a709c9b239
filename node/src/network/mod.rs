//! The network between nodes: one libp2p swarm, run by one task, with a typed handle.
//!
//! Nodes talk over TCP, encrypted and authenticated by the network keys of the genesis and the configuration; whoever
//! has another key is refused after the handshake, before there is any stream. Messages go over two streams to each
//! peer, so that a vote never waits behind a range of blocks; batches go by gossip. Nothing of libp2p is seen outside
//! this module.
//!
//! What holds, whatever peers do: queues are bounded, and full ones drop what is new (consensus says everything again,
//! pools reconcile); a message is allocated only after its length was checked; who sends faster than the inbox takes
//! is held up by TCP; who misbehaves is counted, named in the log, and blocked for a while, never for ever.

mod actor;
mod conduct;
mod dial;
mod doors;
mod ear;
mod frame;
mod gossip;
mod lanes;
mod limits;
mod links;
mod meter;
mod peers;
mod queue;
mod silence;
mod start;
mod streams;
mod swarm;
mod verdicts;

use std::{
    fmt, io,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use markstein_proto::{LedgerId, PublicKey};

use self::{conduct::Offenders, gossip::Outbox, peers::Peers};
pub use self::{
    limits::{FLUSH_TIMEOUT, GOSSIPED_BATCH_MAX},
    peers::PeerState,
    start::{NetworkTask, start},
};
use crate::{
    messages::Message,
    peer::{Misbehaviour, Peer},
};

/// What the network needs to know.
#[derive(Clone, Debug)]
pub struct NetworkConfig {
    /// Where to listen; with port 0 the system chooses one. May be empty.
    pub listen: Vec<SocketAddr>,
    /// All peers, this node not among them.
    pub peers: Vec<PeerConfig>,
    /// Peers with another one are told apart.
    pub ledger: LedgerId,
    /// Time for what waits to leave at a stop.
    pub flush_timeout: Duration,
}

/// One peer.
#[derive(Clone, Debug)]
pub struct PeerConfig {
    /// Who.
    pub peer: Peer,
    /// Name for people.
    pub name: String,
    /// Its network key.
    pub key: PublicKey,
    /// Where to dial it; without one it has to dial this node.
    pub address: Option<PeerAddress>,
}

/// Where a peer is. Looked up anew at each dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeerAddress {
    /// Host and port, `node.example:4700`.
    Host(String),
    /// The address file of a node on this machine.
    File(PathBuf),
}

/// Who gets a broadcast message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// All authorities.
    Authorities,
    /// All peers.
    All,
    /// All observers.
    Observers,
}

/// What becomes of a batch from a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GossipVerdict {
    /// It is good: others get it.
    Accept,
    /// It is of no use here, and nobody's fault: nobody else gets it from this node.
    Ignore,
    /// No honest peer passes this on.
    Reject(Misbehaviour),
}

/// Who takes in what peers say. Called from many tasks at once.
pub trait Inbox: Send + Sync + 'static {
    /// Messages get through to this peer from now on. Said before its first message, and again for each further
    /// connection of it; a batch by gossip may come earlier. Must not block.
    fn connected(&self, peer: Peer);

    /// The peer has no connection any more. A message of it may still be under way. Must not block.
    fn disconnected(&self, peer: Peer);

    /// A message. The next one on the same stream is read when this is done, so waiting holds up that stream of that
    /// peer and nothing else.
    fn message(&self, from: Peer, message: Message) -> BoxFuture<'static, Result<(), Misbehaviour>>;

    /// A batch that this peer passed on: bytes of any form. Answer within 3 s, or it is not passed on from here; each
    /// is looked at in a task of its own, a bounded number of them for each peer.
    fn batch(&self, from: Peer, bytes: Bytes) -> BoxFuture<'static, GossipVerdict>;
}

/// Why there is no network, or none any more.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// Bytes that are no key.
    #[error("a network key is none")]
    Key,
    /// The configuration contradicts itself.
    #[error("the peer {name} has this node's own network key; name other nodes only")]
    OwnKey {
        /// Whose.
        name: String,
    },
    /// The configuration contradicts itself.
    #[error("the peer {name}, or its network key, is named twice")]
    Twice {
        /// Whose.
        name: String,
    },
    /// The address is taken, or not this machine's.
    #[error("the network cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A listener ended.
    #[error("a listener of the network ended")]
    Listener(#[source] io::Error),
    /// The encryption does not start.
    #[error("the encryption of connections cannot be set up: {0}")]
    Noise(String),
    /// Gossip does not start.
    #[error("gossip cannot be set up: {0}")]
    Gossip(String),
    /// A fault of this program.
    #[error("a task of the network panicked: {0}")]
    Panicked(String),
}

/// The handle. Cheap to clone; nothing in it blocks.
#[derive(Clone)]
pub struct Network {
    shared: Arc<Shared>,
}

/// What handles and actor share.
#[derive(Debug)]
struct Shared {
    peers: Peers,
    outbox: Outbox,
    offenders: Offenders,
    strangers: AtomicU64,
    addresses: Vec<SocketAddr>,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("addresses", &self.shared.addresses).finish_non_exhaustive()
    }
}

impl Network {
    /// Sends a message to one peer. It is dropped where the peer is not connected, and dropped and counted where its
    /// queue is full.
    pub fn send(&self, to: Peer, message: Message) {
        if let Some(record) = self.shared.peers.find(to) {
            record.push(message.class(), message.encode().into());
        }
    }

    /// Sends a message to many, as [`Self::send`] does; it is encoded once.
    pub fn broadcast(&self, message: Message, to: Audience) {
        let (class, frame) = (message.class(), Bytes::from(message.encode()));
        for record in self.shared.peers.all().iter().filter(|record| to.has(record.peer)) {
            record.push(class, frame.clone());
        }
    }

    /// Says a batch to all by gossip. Where nobody can be told yet it waits; it is dropped and counted where too many
    /// wait.
    pub fn publish(&self, batch: Bytes) {
        self.shared.outbox.push(batch);
    }

    /// Counts a misbehaviour that showed only behind the network, and names it in the log. Too many of them have the
    /// same end as those that show in the network: the peer is blocked for a while.
    pub fn misbehaved(&self, peer: Peer, what: Misbehaviour) {
        if let Some(record) = self.shared.peers.find(peer)
            && record.misbehaved(what)
        {
            self.shared.offenders.add(record.id);
        }
    }

    /// All peers, in the order of the configuration.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerState> {
        self.shared.peers.all().iter().map(|record| record.state()).collect()
    }

    /// Where it listens: the configured addresses with their real ports.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.shared.addresses.clone()
    }

    /// Connections refused because no peer has their key.
    #[must_use]
    pub fn strangers(&self) -> u64 {
        self.shared.strangers.load(Relaxed)
    }

    /// Batches not published because too many waited.
    #[must_use]
    pub fn batches_dropped(&self) -> u64 {
        self.shared.outbox.dropped()
    }
}

impl Audience {
    const fn has(self, peer: Peer) -> bool {
        match (self, peer) {
            (Self::All, _)
            | (Self::Authorities, Peer::Authority(_))
            | (Self::Observers, Peer::Observer(_)) => true,
            (Self::Authorities, Peer::Observer(_)) | (Self::Observers, Peer::Authority(_)) => false,
        }
    }
}
