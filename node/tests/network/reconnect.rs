//! Connections that end and come back.

use std::fs;

use markstein_node::{
    network::PeerAddress,
    server::{Address, AddressFile, write_address_file},
};

use crate::{
    raw::{Raw, frame},
    support::{A, B, Event, LEDGER, Node, authority, until, urgent},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_starts_again_is_connected_again() {
    let a = Node::start(1, vec![authority(2, None)]).await;
    let mut b = Node::start(2, vec![authority(1, a.dialled())]).await;
    for times in 1..=3 {
        a.told_times(Event::Connected(B), times).await;
        a.network.send(B, urgent(times as u64));
        b.told(Event::Said(A, urgent(times as u64))).await;
        b.stop().await;
        a.told_times(Event::Disconnected(B), times).await;
        a.network.send(B, urgent(0));
        b = Node::start(2, vec![authority(1, a.dialled())]).await;
    }
    b.told(Event::Connected(A)).await;
    a.told_times(Event::Connected(B), 4).await;
    a.network.send(B, urgent(9));
    b.told(Event::Said(A, urgent(9))).await;
    assert_eq!(b.count(&Event::Said(A, urgent(0))), 0, "what was said while it was away is not kept");
    assert_eq!(a.state(B).dropped, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_dialled_is_dialled_again() {
    let b = Node::start(2, vec![authority(1, None)]).await;
    let a = Node::start(1, vec![authority(2, b.dialled())]).await;
    a.told(Event::Connected(B)).await;
    let address = b.address();
    b.stop().await;
    a.told(Event::Disconnected(B)).await;
    let b = Node::start_at(2, vec![authority(1, None)], LEDGER, address).await;
    b.told(Event::Connected(A)).await;
    a.told_times(Event::Connected(B), 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_file_is_read_again_at_each_dial() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("listening.json");
    let write = |node: &Node| {
        let api = Address { socket: "127.0.0.1:1".parse().unwrap(), tls: false };
        write_address_file(&path, &AddressFile::new(&[api], &api, &node.network.addresses())).unwrap();
    };
    let a = Node::start(1, vec![authority(2, Some(PeerAddress::File(path.clone())))]).await;
    let b = Node::start(2, vec![authority(1, None)]).await;
    fs::write(&path, "not yet").unwrap();
    write(&b);
    b.told(Event::Connected(A)).await;
    let first = b.address();
    // Whoever has the old port now has another key.
    b.stop().await;
    let _other = Node::start_at(3, vec![authority(1, None)], LEDGER, first).await;
    let b = Node::start(2, vec![authority(1, None)]).await;
    assert_ne!(b.address(), first);
    a.told(Event::Disconnected(B)).await;
    write(&b);
    b.told(Event::Connected(A)).await;
    a.told_times(Event::Connected(B), 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_name_is_resolved() {
    let a = Node::start(1, vec![authority(2, None)]).await;
    let host = format!("localhost:{}", a.address().port());
    let b = Node::start(2, vec![authority(1, Some(PeerAddress::Host(host)))]).await;
    b.told(Event::Connected(A)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_an_old_connection_leaves_the_new_one_its_streams() {
    // The key of one is smaller than that of this node, that of the other larger: either side may be the elder.
    for seed in [2, 3] {
        let peer = markstein_node::peer::Peer::Authority(seed.into());
        let a = Node::start(1, vec![authority(seed, None)]).await;
        let old = Raw::dial(seed, 1, a.address(), LEDGER);
        let mut stream = old.open("urgent").await;
        frame(&mut stream, &urgent(1).encode()).await.unwrap();
        a.told(Event::Said(peer, urgent(1))).await;
        let new = Node::start(seed, vec![authority(1, a.dialled())]).await;
        new.told(Event::Connected(A)).await;
        drop(old);
        // What this node wrote to the old one is lost with it.
        let heard = || {
            a.network.send(peer, urgent(1000));
            new.count(&Event::Said(A, urgent(1000))) > 0
        };
        until("the new connection is written to", heard).await;
        for number in 0..100 {
            new.network.send(A, urgent(10 + number));
            a.told(Event::Said(peer, urgent(10 + number))).await;
            a.network.send(peer, urgent(number));
            new.told(Event::Said(A, urgent(number))).await;
        }
        assert_eq!(a.count(&Event::Connected(peer)), 2, "once for each connection");
        assert_eq!(a.count(&Event::Disconnected(peer)), 0);
    }
}
