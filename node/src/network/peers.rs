//! What is known of each peer, shared between the handle, the actor and the tasks that read and write.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use libp2p::{
    PeerId,
    identity::{self, ed25519},
};
use markstein_proto::PublicKey;

use super::{
    NetworkConfig, NetworkError,
    conduct::{Conduct, Noted},
    limits::{self, TokenBucket},
    queue::{Pushed, Queue},
};
use crate::{
    messages::Class,
    peer::{Misbehaviour, Peer},
};

/// One peer as this node sees it now.
#[derive(Clone, Debug)]
pub struct PeerState {
    /// Who.
    pub peer: Peer,
    /// Its name in the configuration or the genesis.
    pub name: String,
    /// Where it is connected from or to, or was last.
    pub address: Option<String>,
    /// Whether messages get through to it.
    pub connected: bool,
    /// Since when, if it is connected.
    pub since: Option<Instant>,
    /// Messages received.
    pub frames_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Messages sent.
    pub frames_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// Batches received by gossip.
    pub batches_in: u64,
    /// Messages not sent because its queue was full, and batches from it not looked at for the same reason.
    pub dropped: u64,
    /// How often it had to wait because it sent too fast.
    pub throttled: u64,
    /// Misbehaviours by kind.
    pub misbehaviours: BTreeMap<&'static str, u64>,
    /// The newest one.
    pub last_misbehaviour: Option<Misbehaviour>,
}

/// All peers, fixed at the start.
#[derive(Debug)]
pub(super) struct Peers {
    records: Vec<Arc<Record>>,
    by_peer: HashMap<Peer, usize>,
    by_id: HashMap<PeerId, usize>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) peer: Peer,
    pub(super) name: String,
    pub(super) id: PeerId,
    urgent: Queue,
    blocks: Queue,
    bulk: Queue,
    pub(super) traffic: Traffic,
    conduct: Mutex<Conduct>,
    contact: Mutex<Contact>,
    allowance: Mutex<Allowance>,
}

/// Counters.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    frames_in: AtomicU64,
    bytes_in: AtomicU64,
    frames_out: AtomicU64,
    bytes_out: AtomicU64,
    batches_in: AtomicU64,
    dropped: AtomicU64,
    throttled: AtomicU64,
}

#[derive(Debug, Default)]
struct Contact {
    address: Option<String>,
    since: Option<Instant>,
}

#[derive(Debug)]
struct Allowance {
    work: TokenBucket,
    bytes: TokenBucket,
    gossip: TokenBucket,
}

/// The name that libp2p has for a key.
pub(super) fn peer_id(key: &PublicKey) -> Result<PeerId, NetworkError> {
    let key = ed25519::PublicKey::try_from_bytes(&key.to_bytes()).map_err(|_| NetworkError::Key)?;
    Ok(identity::PublicKey::from(key).to_peer_id())
}

impl Peers {
    /// Those of the configuration.
    pub(super) fn new(config: &NetworkConfig, own: PeerId) -> Result<Self, NetworkError> {
        let mut peers = Self { records: Vec::new(), by_peer: HashMap::new(), by_id: HashMap::new() };
        for (index, it) in config.peers.iter().enumerate() {
            let id = peer_id(&it.key)?;
            if id == own {
                return Err(NetworkError::OwnKey { name: it.name.clone() });
            }
            let twice = peers.by_id.insert(id, index).is_some();
            if peers.by_peer.insert(it.peer, index).is_some() || twice {
                return Err(NetworkError::Twice { name: it.name.clone() });
            }
            peers.records.push(Arc::new(Record::new(it.peer, it.name.clone(), id)));
        }
        Ok(peers)
    }

    /// In the order of the configuration.
    pub(super) fn all(&self) -> &[Arc<Record>] {
        &self.records
    }

    pub(super) fn find(&self, peer: Peer) -> Option<&Arc<Record>> {
        self.by_peer.get(&peer).map(|index| &self.records[*index])
    }

    /// The number of the peer with this libp2p name.
    pub(super) fn number(&self, id: &PeerId) -> Option<usize> {
        self.by_id.get(id).copied()
    }
}

impl Record {
    fn new(peer: Peer, name: String, id: PeerId) -> Self {
        let now = Instant::now();
        let allowance = Allowance {
            work: TokenBucket::new(limits::WORK_PER_SECOND, limits::WORK_BURST, now),
            bytes: TokenBucket::new(limits::BYTES_PER_SECOND, limits::BYTES_BURST, now),
            gossip: TokenBucket::new(limits::GOSSIP_PER_SECOND, limits::GOSSIP_BURST, now),
        };
        Self {
            peer,
            name,
            id,
            urgent: Queue::new(limits::URGENT_FRAMES_MAX, limits::URGENT_BYTES_MAX),
            blocks: Queue::new(limits::BLOCKS_FRAMES_MAX, limits::BLOCKS_BYTES_MAX),
            bulk: Queue::new(limits::BULK_FRAMES_MAX, limits::BULK_BYTES_MAX),
            traffic: Traffic::default(),
            conduct: Mutex::default(),
            contact: Mutex::default(),
            allowance: Mutex::new(allowance),
        }
    }

    pub(super) fn queue(&self, class: Class) -> &Queue {
        match class {
            Class::Urgent => &self.urgent,
            Class::Blocks => &self.blocks,
            Class::Bulk => &self.bulk,
        }
    }

    /// All queues.
    pub(super) fn queues(&self) -> impl Iterator<Item = &Queue> {
        Class::ALL.into_iter().map(|class| self.queue(class))
    }

    /// Lets a frame wait for this peer; dropped and counted where its queue is full.
    pub(super) fn push(&self, class: Class, frame: Bytes) {
        if self.queue(class).push(frame) == Pushed::Full {
            self.traffic.dropped(1);
        }
    }

    /// Counts a misbehaviour and logs it if a line is due. True where there were too many.
    pub(super) fn misbehaved(&self, misbehaviour: Misbehaviour) -> bool {
        let (kind, detail) = (misbehaviour.kind, misbehaviour.detail.clone());
        let Noted { log, too_many } = lock(&self.conduct).note(misbehaviour, Instant::now());
        if let Some(times) = log {
            tracing::warn!(peer = %self.peer, name = self.name, kind, detail, times, "a peer misbehaved");
        }
        too_many
    }

    /// How long the reader waits after a frame of this length.
    pub(super) fn pace_bytes(&self, bytes: usize) -> Duration {
        lock(&self.allowance).bytes.take(bytes as f64, Instant::now())
    }

    /// How long it waits for what is in the frame: as many units of work as it makes here.
    pub(super) fn pace_work(&self, units: usize) -> Duration {
        lock(&self.allowance).work.take(units as f64, Instant::now())
    }

    /// Whether a batch by gossip is looked at: nobody can be made to wait there.
    pub(super) fn may_gossip(&self) -> bool {
        lock(&self.allowance).gossip.try_take(Instant::now())
    }

    /// It is connected, since now if it was not, at this address.
    pub(super) fn connected_at(&self, address: String) {
        let mut contact = lock(&self.contact);
        contact.address = Some(address);
        contact.since.get_or_insert_with(Instant::now);
    }

    /// It is not connected any more.
    pub(super) fn disconnected(&self) {
        lock(&self.contact).since = None;
    }

    pub(super) fn state(&self) -> PeerState {
        let (traffic, conduct, contact) = (&self.traffic, lock(&self.conduct), lock(&self.contact));
        PeerState {
            peer: self.peer,
            name: self.name.clone(),
            address: contact.address.clone(),
            connected: contact.since.is_some(),
            since: contact.since,
            frames_in: traffic.frames_in.load(Relaxed),
            bytes_in: traffic.bytes_in.load(Relaxed),
            frames_out: traffic.frames_out.load(Relaxed),
            bytes_out: traffic.bytes_out.load(Relaxed),
            batches_in: traffic.batches_in.load(Relaxed),
            dropped: traffic.dropped.load(Relaxed),
            throttled: traffic.throttled.load(Relaxed),
            misbehaviours: conduct.counts(),
            last_misbehaviour: conduct.last(),
        }
    }
}

impl Traffic {
    pub(super) fn received(&self, bytes: usize) {
        self.frames_in.fetch_add(1, Relaxed);
        self.bytes_in.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn sent(&self, frames: usize, bytes: usize) {
        self.frames_out.fetch_add(frames as u64, Relaxed);
        self.bytes_out.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn batch(&self) {
        self.batches_in.fetch_add(1, Relaxed);
    }

    pub(super) fn dropped(&self, messages: usize) {
        self.dropped.fetch_add(messages as u64, Relaxed);
    }

    pub(super) fn throttle(&self) {
        self.throttled.fetch_add(1, Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
