//! Messages between good nodes.

use std::{net::TcpListener, sync::Arc};

use markstein_node::{
    network::{Audience, Inbox, NetworkConfig, NetworkError, PeerAddress, PeerConfig, start},
    peer::Peer,
    shutdown::StopSignal,
};

use crate::support::{A, B, Event, LEDGER, NEVER, Node, authority, bulk, key, observer, until, urgent};

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_talk_both_ways_on_both_streams() {
    let a = Node::start(1, vec![authority(2, None)]).await;
    let b = Node::start(2, vec![authority(1, a.dialled())]).await;
    a.told(Event::Connected(B)).await;
    b.told(Event::Connected(A)).await;
    for number in 0..100 {
        a.network.send(B, urgent(number));
        b.network.send(A, urgent(number));
    }
    a.network.send(B, bulk(1, 5 << 20));
    b.network.send(A, bulk(2, 3));
    for number in 0..100 {
        a.told(Event::Said(B, urgent(number))).await;
        b.told(Event::Said(A, urgent(number))).await;
    }
    b.told(Event::Said(A, bulk(1, 5 << 20))).await;
    a.told(Event::Said(B, bulk(2, 3))).await;
    assert_eq!(a.events()[0], Event::Connected(B), "nothing is said before");
    let said: Vec<Event> =
        b.events().into_iter().filter(|it| *it != Event::Said(A, bulk(1, 5 << 20))).collect();
    assert_eq!(
        said[1..],
        (0..100).map(|number| Event::Said(A, urgent(number))).collect::<Vec<_>>(),
        "in order"
    );
    let state = a.state(B);
    assert!(state.connected && state.since.is_some() && state.address.is_some());
    assert_eq!((state.frames_in, state.dropped, state.misbehaviours.len()), (101, 0, 0));
    assert!(state.bytes_out > 5 << 20 && state.bytes_in < 1 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_reaches_those_it_is_for() {
    let observer_id = Peer::Observer(4);
    let a = Node::start(1, vec![authority(2, None), authority(3, None), observer(4, None)]).await;
    let mut others = Vec::new();
    for seed in 2..=4 {
        others.push(Node::start(seed, vec![authority(1, a.dialled())]).await);
    }
    for peer in [B, Peer::Authority(3), observer_id] {
        a.told(Event::Connected(peer)).await;
    }
    a.network.broadcast(urgent(1), Audience::Authorities);
    a.network.broadcast(urgent(2), Audience::Observers);
    a.network.broadcast(urgent(3), Audience::All);
    let mut heard = Vec::new();
    for node in &others {
        node.told(Event::Said(A, urgent(3))).await;
        heard.push([1, 2, 3].map(|number| node.count(&Event::Said(A, urgent(number)))));
    }
    assert_eq!(heard, [[1, 0, 1], [1, 0, 1], [0, 1, 1]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn four_nodes_that_all_dial_each_other_settle_on_one_connection_each() {
    // Ports first, so that all can dial all at once.
    let listeners: Vec<TcpListener> = (0..4).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let addresses: Vec<_> = listeners.iter().map(|it| it.local_addr().unwrap()).collect();
    drop(listeners);
    let peers = |own: u8| -> Vec<PeerConfig> {
        let other = |seed: u8| {
            let host = addresses[usize::from(seed) - 1].to_string();
            authority(seed, Some(PeerAddress::Host(host)))
        };
        (1..=4).filter(|seed| *seed != own).map(other).collect()
    };
    let started =
        (1..=4).map(|seed| Node::start_at(seed, peers(seed), LEDGER, addresses[usize::from(seed) - 1]));
    let nodes = futures::future::join_all(started).await;
    for (index, node) in nodes.iter().enumerate() {
        for other in (0..4).filter(|other| *other != index) {
            node.told(Event::Connected(number_of(other))).await;
        }
    }
    for (index, node) in nodes.iter().enumerate() {
        for other in (0..4).filter(|other| *other != index) {
            let peer = number_of(other);
            // What a second connection took with it is said again, as consensus would.
            let (me, said) = (number_of(index), Event::Said(peer, urgent(1)));
            let heard = || {
                nodes[other].network.send(me, urgent(1));
                node.count(&said) > 0
            };
            until("each hears each", heard).await;
            assert_eq!(node.count(&Event::Disconnected(peer)), 0);
        }
    }
}

fn number_of(index: usize) -> Peer {
    Peer::Authority(u32::try_from(index + 1).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_before_a_stop_arrives() {
    let a = Node::start(1, vec![authority(2, None)]).await;
    let b = Node::start(2, vec![authority(1, a.dialled())]).await;
    a.told(Event::Connected(B)).await;
    b.told(Event::Connected(A)).await;
    for number in 0..1000 {
        a.network.send(B, urgent(number));
    }
    a.stop().await;
    b.told(Event::Said(A, urgent(999))).await;
    b.told(Event::Disconnected(A)).await;
}

#[tokio::test]
async fn a_taken_port_is_an_error() {
    let a = Node::start(1, vec![]).await;
    let config =
        NetworkConfig { listen: vec![a.address()], peers: vec![], ledger: LEDGER, flush_timeout: NEVER };
    let inbox = Arc::clone(&a.inbox) as Arc<dyn Inbox>;
    let refused = start(config, key(2), inbox, StopSignal::new()).await.unwrap_err();
    assert!(matches!(refused, NetworkError::Listen { address, .. } if address == a.address()));
}

#[tokio::test]
async fn a_configuration_that_contradicts_itself_is_refused() {
    let a = Node::start(1, vec![]).await;
    let refused = async |peers| {
        let config = NetworkConfig { listen: vec![], peers, ledger: LEDGER, flush_timeout: NEVER };
        start(config, key(9), Arc::clone(&a.inbox) as Arc<dyn Inbox>, StopSignal::new()).await.unwrap_err()
    };
    assert!(matches!(refused(vec![authority(9, None)]).await, NetworkError::OwnKey { .. }));
    assert!(matches!(
        refused(vec![authority(2, None), authority(2, None)]).await,
        NetworkError::Twice { .. }
    ));
    assert!(matches!(refused(vec![authority(2, None), observer(2, None)]).await, NetworkError::Twice { .. }));
}
