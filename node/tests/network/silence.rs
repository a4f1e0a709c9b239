//! Connections on which nothing comes through any more, and that nobody has closed.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use markstein_node::network::PeerAddress;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

use crate::support::{Event, Node, authority, until, urgent};

/// Passes bytes on between whoever connects and a node, until it is told to swallow what comes on the connections that
/// there are.
struct Wire {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    /// Connections with a smaller number are dead.
    dead: watch::Sender<usize>,
}

impl Wire {
    async fn to(node: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, dead) = (Arc::new(AtomicUsize::new(0)), watch::Sender::new(0));
        let (count, is_dead) = (Arc::clone(&connections), dead.subscribe());
        tokio::spawn(async move {
            while let Ok((from, _)) = listener.accept().await {
                let number = count.fetch_add(1, SeqCst);
                let Ok(to) = TcpStream::connect(node).await else { continue };
                let ((from_read, from_write), (to_read, to_write)) = (from.into_split(), to.into_split());
                tokio::spawn(pass(from_read, to_write, number, is_dead.clone()));
                tokio::spawn(pass(to_read, from_write, number, is_dead.clone()));
            }
        });
        Self { address, connections, dead }
    }

    fn dialled(&self) -> Option<PeerAddress> {
        Some(PeerAddress::Host(self.address.to_string()))
    }

    fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }

    fn swallow(&self) {
        self.dead.send_replace(self.connections());
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, number: usize, dead: watch::Receiver<usize>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(bytes) = from.read(&mut buffer).await
        && bytes > 0
    {
        let swallowed = number < *dead.borrow();
        if !swallowed && to.write_all(&buffer[..bytes]).await.is_err() {
            return;
        }
    }
    // An end that is lost as well is not passed on.
    let mut dead = dead;
    if number < *dead.borrow() {
        let _ = dead.wait_for(|_| false).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_peer_is_dialled_beside_its_connection_and_others_are_left_alone() {
    // The key of one is smaller than that of this node, that of the other larger: either side may be the elder.
    for (dialler, silent, quiet) in [(1, 2, 3), (3, 2, 1)] {
        let peer = |seed: u8| markstein_node::peer::Peer::Authority(seed.into());
        let b = Node::start(silent, vec![authority(dialler, None)]).await;
        let c = Node::start(quiet, vec![authority(dialler, None)]).await;
        let (to_b, to_c) = (Wire::to(b.address()).await, Wire::to(c.address()).await);
        let peers = vec![authority(silent, to_b.dialled()), authority(quiet, to_c.dialled())];
        let a = Node::start(dialler, peers).await;
        a.told(Event::Connected(peer(silent))).await;
        a.told(Event::Connected(peer(quiet))).await;
        b.told(Event::Connected(peer(dialler))).await;
        to_b.swallow();
        // Nobody is told that the connection has ended, for it has not.
        let heard = || {
            a.network.send(peer(silent), urgent(1));
            b.network.send(peer(dialler), urgent(2));
            b.count(&Event::Said(peer(dialler), urgent(1))) > 0
                && a.count(&Event::Said(peer(silent), urgent(2))) > 0
        };
        until("they hear each other again", heard).await;
        assert_eq!(a.count(&Event::Disconnected(peer(silent))), 0);
        assert_eq!(b.count(&Event::Disconnected(peer(dialler))), 0);
        assert!(to_b.connections() >= 2, "one beside the old one");
        assert_eq!(to_c.connections(), 1, "none in vain");
        assert!(a.state(peer(silent)).misbehaviours.is_empty());
    }
}
