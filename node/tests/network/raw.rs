//! A libp2p client that says what it likes, for playing bad peers.

use std::{net::SocketAddr, time::Duration};

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::{
    Multiaddr, PeerId, Stream, StreamProtocol, SwarmBuilder,
    identity::{self, ed25519},
    multiaddr::Protocol,
    noise,
    swarm::{SwarmEvent, dial_opts::DialOpts},
    tcp, yamux,
};
use libp2p_stream::{Behaviour, Control};
use markstein_proto::LedgerId;
use tokio::{sync::watch, task::JoinHandle};

use crate::support::{guarded, key};

/// The client; its connection ends when it is dropped.
pub struct Raw {
    control: Control,
    peer: PeerId,
    ledger: LedgerId,
    /// Connections that were there, and whether one is there now.
    connections: watch::Receiver<(usize, bool)>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Gossipsub's.
const GOSSIP: StreamProtocol = StreamProtocol::new("/meshsub/1.1.0");

fn protocol(ledger: &LedgerId, class: &str) -> StreamProtocol {
    let short: String = ledger.to_string().chars().take(16).collect();
    StreamProtocol::try_from_owned(format!("/markstein/1/{short}/{class}")).unwrap()
}

impl Raw {
    /// Dials a node with the key of a seed, again and again, and takes its streams without reading them.
    pub fn dial(seed: u8, node: u8, address: SocketAddr, ledger: LedgerId) -> Self {
        let secret = ed25519::SecretKey::try_from_bytes(*key(seed).seed()).unwrap();
        let peer = ed25519::PublicKey::try_from_bytes(&key(node).public().to_bytes()).unwrap();
        let peer = identity::PublicKey::from(peer).to_peer_id();
        let mut swarm = SwarmBuilder::with_existing_identity(ed25519::Keypair::from(secret).into())
            .with_tokio()
            .with_tcp(tcp::Config::new(), noise::Config::new, yamux::Config::default)
            .unwrap()
            .with_behaviour(|_| Behaviour::new())
            .unwrap()
            .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(3600)))
            .build();
        let mut control = swarm.behaviour().new_control();
        let mut tasks = Vec::new();
        let streams = ["urgent", "blocks", "bulk"].map(|class| protocol(&ledger, class));
        for name in streams.into_iter().chain([GOSSIP]) {
            let mut incoming = control.accept(name).unwrap();
            tasks.push(tokio::spawn(async move {
                let mut kept = Vec::new();
                while let Some(stream) = incoming.next().await {
                    kept.push(stream);
                }
            }));
        }
        let (sender, connections) = watch::channel((0, false));
        let target = Multiaddr::from(address.ip()).with(Protocol::Tcp(address.port()));
        tasks.push(tokio::spawn(async move {
            loop {
                let dial = DialOpts::peer_id(peer).addresses(vec![target.clone()]).build();
                // Refused where one is under way.
                let _ = swarm.dial(dial);
                match swarm.select_next_some().await {
                    SwarmEvent::ConnectionEstablished { .. } => {
                        sender.send_modify(|(count, now)| (*count, *now) = (*count + 1, true));
                    }
                    SwarmEvent::ConnectionClosed { num_established: 0, .. } => {
                        sender.send_modify(|(_, now)| *now = false);
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                    _ => {}
                }
            }
        }));
        Self { control, peer, ledger, connections, tasks }
    }

    /// Opens a stream, again and again until there is one.
    pub async fn open(&self, class: &str) -> Stream {
        self.open_protocol(protocol(&self.ledger, class)).await
    }

    /// The same of gossipsub.
    pub async fn open_gossip(&self) -> Stream {
        self.open_protocol(GOSSIP).await
    }

    async fn open_protocol(&self, name: StreamProtocol) -> Stream {
        guarded("a stream", self.attempts(name)).await
    }

    async fn attempts(&self, name: StreamProtocol) -> Stream {
        loop {
            match self.attempt(&name).await {
                Some(stream) => return stream,
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Waits for a connection and asks once for a stream on it. An end or a start of a connection ends the attempt: the crate
    /// never answers who asks while a connection is being made that is just about to be counted.
    async fn attempt(&self, name: &StreamProtocol) -> Option<Stream> {
        let mut connections = self.connections.clone();
        connections.wait_for(|(_, now)| *now).await.unwrap();
        let mut control = self.control.clone();
        tokio::select! {
            stream = control.open_stream(self.peer, name.clone()) => stream.ok(),
            _ = connections.changed() => None,
        }
    }

    /// Whether there is a stream before so many further connections are made and closed.
    pub async fn can_open_within(&self, connections: usize, class: &str) -> bool {
        let end = self.connections.borrow().0 + connections;
        let mut watched = self.connections.clone();
        guarded("a stream, or the end of the connections", async {
            tokio::select! {
                _ = self.attempts(protocol(&self.ledger, class)) => true,
                closed = watched.wait_for(|(count, now)| *count >= end && !now) => closed.is_err(),
            }
        })
        .await
    }

    /// Waits until so many connections were there and none is.
    pub async fn was_closed(&mut self, times: usize) {
        let closed = self.connections.wait_for(|(count, now)| *count >= times && !now);
        guarded("the connection is closed", closed).await.unwrap();
    }
}

/// A frame with a true length.
pub async fn frame(stream: &mut Stream, bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(&u32::try_from(bytes.len()).unwrap().to_be_bytes()).await?;
    stream.write_all(bytes).await?;
    stream.flush().await
}

/// Waits until the other end gives the stream up.
pub async fn ended(mut stream: Stream) {
    let mut byte = [0];
    let end = guarded("the end of the stream", stream.read(&mut byte)).await;
    assert!(!matches!(end, Ok(1)), "nobody writes on it");
}
