//! Nodes of a network in one process, with an inbox that writes down what it is told.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use markstein_node::{
    messages::Message,
    network::{
        GossipVerdict, Inbox, Network, NetworkConfig, NetworkTask, PeerAddress, PeerConfig, PeerState, start,
    },
    peer::{Misbehaviour, Peer},
    shutdown::StopSignal,
};
use markstein_proto::{Hash, Height, LedgerId, SecretKey};
use tokio::sync::{Semaphore, watch};

/// Only a test that would never end reaches it.
pub const NEVER: Duration = Duration::from_secs(120);

pub const LEDGER: LedgerId = LedgerId(Hash([1; 32]));
pub const OTHER_LEDGER: LedgerId = LedgerId(Hash([2; 32]));

/// What an inbox was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Connected(Peer),
    Disconnected(Peer),
    Said(Peer, Message),
    Batch(Peer, Bytes),
}

/// Batches that begin with this are refused.
pub const BAD: u8 = b'!';

/// Writes down what it is told, while it has permits.
pub struct Recorder {
    events: watch::Sender<Vec<Event>>,
    permits: Arc<Semaphore>,
    refuses: Mutex<bool>,
}

impl Recorder {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            events: watch::Sender::new(Vec::new()),
            permits: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            refuses: Mutex::new(false),
        })
    }

    fn add(&self, event: Event) {
        self.events.send_modify(|events| events.push(event));
    }
}

impl Inbox for Recorder {
    fn connected(&self, peer: Peer) {
        self.add(Event::Connected(peer));
    }

    fn disconnected(&self, peer: Peer) {
        self.add(Event::Disconnected(peer));
    }

    fn message(&self, from: Peer, message: Message) -> BoxFuture<'static, Result<(), Misbehaviour>> {
        let (events, permits) = (self.events.clone(), Arc::clone(&self.permits));
        let refuses = *self.refuses.lock().unwrap();
        async move {
            permits.acquire().await.unwrap().forget();
            events.send_modify(|events| events.push(Event::Said(from, message)));
            if refuses { Err(Misbehaviour::new("refused", "by this test")) } else { Ok(()) }
        }
        .boxed()
    }

    fn batch(&self, from: Peer, bytes: Bytes) -> BoxFuture<'static, GossipVerdict> {
        self.add(Event::Batch(from, bytes.clone()));
        let bad = bytes.first() == Some(&BAD);
        let verdict = if bad {
            GossipVerdict::Reject(Misbehaviour::new("bad_batch", ""))
        } else {
            GossipVerdict::Accept
        };
        futures::future::ready(verdict).boxed()
    }
}

/// A running node.
pub struct Node {
    pub network: Network,
    pub inbox: Arc<Recorder>,
    stop: StopSignal,
    task: NetworkTask,
}

impl Node {
    /// Listens on a port chosen by the system.
    pub async fn start(seed: u8, peers: Vec<PeerConfig>) -> Self {
        Self::start_at(seed, peers, LEDGER, "127.0.0.1:0".parse().unwrap()).await
    }

    pub async fn start_at(seed: u8, peers: Vec<PeerConfig>, ledger: LedgerId, listen: SocketAddr) -> Self {
        let config = NetworkConfig { listen: vec![listen], peers, ledger, flush_timeout: NEVER };
        let (inbox, stop) = (Recorder::new(), StopSignal::new());
        let (network, task) =
            start(config, key(seed), Arc::clone(&inbox) as Arc<dyn Inbox>, stop.clone()).await.unwrap();
        Self { network, inbox, stop, task }
    }

    pub fn address(&self) -> SocketAddr {
        self.network.addresses()[0]
    }

    pub fn dialled(&self) -> Option<PeerAddress> {
        Some(PeerAddress::Host(self.address().to_string()))
    }

    /// Stops it and waits for its end.
    pub async fn stop(self) {
        self.stop.stop();
        guarded("the stop", self.task).await.unwrap().unwrap();
    }

    /// Messages wait for [`Self::take`] from now on.
    pub fn take_nothing(&self) {
        self.inbox.permits.forget_permits(usize::MAX);
    }

    /// Lets so many messages in.
    pub fn take(&self, messages: usize) {
        self.inbox.permits.add_permits(messages);
    }

    /// Calls every message a misbehaviour, or none.
    pub fn refuse(&self, refuses: bool) {
        *self.inbox.refuses.lock().unwrap() = refuses;
    }

    pub fn events(&self) -> Vec<Event> {
        self.inbox.events.borrow().clone()
    }

    pub fn count(&self, event: &Event) -> usize {
        self.inbox.events.borrow().iter().filter(|it| *it == event).count()
    }

    /// Waits until the inbox was told this.
    pub async fn told(&self, event: Event) {
        self.told_times(event, 1).await;
    }

    pub async fn told_times(&self, event: Event, times: usize) {
        let mut events = self.inbox.events.subscribe();
        let enough = events.wait_for(|events| events.iter().filter(|it| **it == event).count() >= times);
        let _ = guarded(&format!("{times} times {event:?}"), enough).await.unwrap();
    }

    pub fn state(&self, peer: Peer) -> PeerState {
        self.network.peers().into_iter().find(|state| state.peer == peer).unwrap()
    }

    /// Waits until the network says this of a peer.
    pub async fn until(&self, peer: Peer, what: &str, holds: impl Fn(&PeerState) -> bool) {
        until(what, || holds(&self.state(peer))).await;
    }
}

/// Waits until something holds that nobody announces.
pub async fn until(what: &str, holds: impl Fn() -> bool) {
    guarded(what, async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

pub async fn guarded<F: Future>(what: &str, wait: F) -> F::Output {
    tokio::time::timeout(NEVER, wait).await.unwrap_or_else(|_| panic!("waited for ever: {what}"))
}

pub fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32])
}

/// Authority number `seed`, with that key.
pub fn authority(seed: u8, address: Option<PeerAddress>) -> PeerConfig {
    let peer = Peer::Authority(seed.into());
    PeerConfig { peer, name: format!("authority-{seed}"), key: key(seed).public(), address }
}

/// Observer number `seed`, with that key.
pub fn observer(seed: u8, address: Option<PeerAddress>) -> PeerConfig {
    PeerConfig { peer: Peer::Observer(seed.into()), ..authority(seed, address) }
}

/// An urgent message, each number another.
pub fn urgent(number: u64) -> Message {
    Message::AskBlock(Hash::of(&[&number.to_be_bytes()]))
}

/// A bulk message of this many bytes and a few.
pub fn bulk(number: u64, bytes: usize) -> Message {
    Message::BlockBatches { height: Height(number), batches: vec![vec![7; bytes]] }
}

pub const A: Peer = Peer::Authority(1);
pub const B: Peer = Peer::Authority(2);
