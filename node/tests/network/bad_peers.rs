//! Peers that do what no honest one does.

use futures::AsyncWriteExt;
use markstein_node::{
    messages::MESSAGE_MAX,
    peer::{Misbehaviour, Peer},
};

use crate::{
    raw::{Raw, ended, frame},
    support::{A, B, Event, LEDGER, Node, OTHER_LEDGER, authority, bulk, until, urgent},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_refused_and_gets_no_stream() {
    let a = Node::start(1, vec![authority(2, None)]).await;
    let mut stranger = Raw::dial(9, 1, a.address(), LEDGER);
    stranger.was_closed(1).await;
    assert!(!stranger.can_open_within(2, "urgent").await);
    until("it is counted", || a.network.strangers() > 0).await;
    assert!(a.events().is_empty());
    assert_eq!(a.network.peers().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_of_another_ledger_is_named() {
    let a = Node::start(1, vec![authority(2, None)]).await;
    let b = Node::start_at(2, vec![authority(1, a.dialled())], OTHER_LEDGER, a_port()).await;
    a.until(B, "a names b", |state| state.misbehaviours.get("another_ledger") == Some(&1)).await;
    let last = a.state(B).last_misbehaviour.unwrap();
    assert!(last.detail.contains("authority-2") && last.detail.contains("genesis"), "{last}");
    b.until(A, "b names a", |state| state.misbehaviours.contains_key("another_ledger")).await;
    assert!(a.events().is_empty() && b.events().is_empty());
}

fn a_port() -> std::net::SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_frames_cost_the_connection_and_the_peer_comes_back() {
    let peers = (2..=7).map(|seed| authority(seed, None)).collect();
    let a = Node::start(1, peers).await;
    let mut oversized = (MESSAGE_MAX as u32 + 1).to_be_bytes().to_vec();
    oversized.extend([7; 100]);
    let mut million = 1_000_000u32.to_be_bytes().to_vec();
    million.resize(1_000_004, 7);
    let mut garbage = 5u32.to_be_bytes().to_vec();
    garbage.extend([0xFF; 5]);
    let cases: [(u8, &[u8], &str); 5] = [
        (2, &oversized, "frame_length"),
        (3, &[0xFF; 4], "frame_length"),
        (4, &million, "undecodable"),
        (5, &garbage, "undecodable"),
        (6, &[0; 4], "undecodable"),
    ];
    let good = Raw::dial(7, 1, a.address(), LEDGER);
    let mut good_stream = good.open("urgent").await;
    let mut bad = Vec::new();
    for (seed, bytes, kind) in cases {
        let mut raw = Raw::dial(seed, 1, a.address(), LEDGER);
        let peer = Peer::Authority(seed.into());
        let mut stream = raw.open("urgent").await;
        // It may be closed while it still writes.
        let _ = stream.write_all(bytes).await;
        let _ = stream.flush().await;
        raw.was_closed(1).await;
        a.until(peer, kind, |state| state.misbehaviours.get(kind) == Some(&1)).await;
        a.told(Event::Disconnected(peer)).await;
        bad.push((peer, raw));
    }
    frame(&mut good_stream, &urgent(1).encode()).await.unwrap();
    a.told(Event::Said(Peer::Authority(7), urgent(1))).await;
    for (peer, raw) in bad {
        a.told_times(Event::Connected(peer), 2).await;
        let mut stream = raw.open("urgent").await;
        frame(&mut stream, &urgent(2).encode()).await.unwrap();
        a.told(Event::Said(peer, urgent(2))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_frame_is_waited_for_and_forgotten_with_its_connection() {
    let a = Node::start(1, vec![authority(2, None)]).await;
    let raw = Raw::dial(2, 1, a.address(), LEDGER);
    let mut stream = raw.open("urgent").await;
    let bytes = urgent(1).encode();
    frame(&mut stream, &bytes).await.unwrap();
    stream.write_all(&[0, 0]).await.unwrap();
    stream.flush().await.unwrap();
    a.told(Event::Said(B, urgent(1))).await;
    drop(raw);
    a.told(Event::Disconnected(B)).await;
    assert!(a.state(B).misbehaviours.is_empty(), "a crash is no misbehaviour");
    let raw = Raw::dial(2, 1, a.address(), LEDGER);
    frame(&mut raw.open("bulk").await, &bulk(2, 10).encode()).await.unwrap();
    a.told(Event::Said(B, bulk(2, 10))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_on_the_other_stream_costs_the_connection() {
    let a = Node::start(1, vec![authority(2, None)]).await;
    let raw = Raw::dial(2, 1, a.address(), LEDGER);
    let mut stream = raw.open("bulk").await;
    frame(&mut stream, &urgent(2).encode()).await.unwrap();
    a.until(B, "it is named", |state| state.misbehaviours.contains_key("wrong_stream")).await;
    assert_eq!(a.count(&Event::Said(B, urgent(2))), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_shows_behind_the_network_has_the_same_end_unless_it_is_excusable() {
    let a = Node::start(1, vec![authority(2, None)]).await;
    let b = Node::start(2, vec![authority(1, a.dialled())]).await;
    a.told(Event::Connected(B)).await;
    b.told(Event::Connected(A)).await;
    for _ in 0..200 {
        a.network.misbehaved(B, Misbehaviour::excusable("odd", "a clock that differs"));
    }
    b.network.send(A, urgent(1));
    a.told(Event::Said(B, urgent(1))).await;
    assert_eq!(a.state(B).misbehaviours.get("odd"), Some(&200));
    assert_eq!(a.count(&Event::Disconnected(B)), 0);
    for _ in 0..100 {
        a.network.misbehaved(B, Misbehaviour::new("bad", "it lies"));
    }
    a.told(Event::Disconnected(B)).await;
    a.told_times(Event::Connected(B), 2).await; // after a while it is let in again
}

#[tokio::test(flavor = "multi_thread")]
async fn who_misbehaves_too_often_is_blocked_and_comes_back() {
    let a = Node::start(1, vec![authority(2, None)]).await;
    let b = Node::start(2, vec![authority(1, a.dialled())]).await;
    b.told(Event::Connected(A)).await;
    a.refuse(true);
    for number in 0..99 {
        b.network.send(A, urgent(number));
    }
    a.until(B, "all are counted", |state| state.misbehaviours.get("refused") == Some(&99)).await;
    assert_eq!(a.count(&Event::Disconnected(B)), 0);
    b.network.send(A, urgent(99));
    a.told(Event::Disconnected(B)).await;
    b.told(Event::Disconnected(A)).await;
    a.refuse(false);
    a.told_times(Event::Connected(B), 2).await;
    b.told_times(Event::Connected(A), 2).await;
    b.network.send(A, urgent(100));
    a.told(Event::Said(B, urgent(100))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_stream_takes_the_place_of_the_first() {
    let a = Node::start(1, vec![authority(2, None)]).await;
    let raw = Raw::dial(2, 1, a.address(), LEDGER);
    let mut first = raw.open("urgent").await;
    frame(&mut first, &urgent(1).encode()).await.unwrap();
    a.told(Event::Said(B, urgent(1))).await;
    let mut second = raw.open("urgent").await;
    frame(&mut second, &urgent(2).encode()).await.unwrap();
    a.told(Event::Said(B, urgent(2))).await;
    ended(first).await;
    frame(&mut second, &urgent(3).encode()).await.unwrap();
    a.told(Event::Said(B, urgent(3))).await;
    assert_eq!(a.count(&Event::Disconnected(B)), 0);
}
