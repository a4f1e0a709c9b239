//! Batches by gossip.

use bytes::Bytes;
use markstein_node::{network::GOSSIPED_BATCH_MAX, peer::Peer};

use crate::support::{A, B, BAD, Event, Node, authority};

const C: Peer = Peer::Authority(3);

/// A knows B, B knows both, C knows B.
async fn line() -> [Node; 3] {
    let b = Node::start(2, vec![authority(1, None), authority(3, None)]).await;
    let a = Node::start(1, vec![authority(2, b.dialled())]).await;
    let c = Node::start(3, vec![authority(2, b.dialled())]).await;
    a.told(Event::Connected(B)).await;
    c.told(Event::Connected(B)).await;
    [a, b, c]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_batch_is_passed_on_and_a_bad_one_is_not() {
    let [a, b, c] = line().await;
    let (bad, good) = (Bytes::from(vec![BAD; 60_000]), Bytes::from(vec![7; GOSSIPED_BATCH_MAX]));
    a.network.publish(bad.clone());
    b.told(Event::Batch(A, bad.clone())).await;
    // The first one may have been said before C listened; those after it are passed on.
    for number in 0..u64::MAX {
        let batch = Bytes::from(number.to_be_bytes().to_vec());
        a.network.publish(batch.clone());
        b.told(Event::Batch(A, batch.clone())).await;
        if c.events().iter().any(|event| matches!(event, Event::Batch(..))) {
            break;
        }
        tokio::task::yield_now().await;
    }
    a.network.publish(good.clone());
    c.told(Event::Batch(B, good)).await;
    assert_eq!(c.count(&Event::Batch(B, bad)), 0);
    b.until(A, "the misbehaviour is counted", |state| state.misbehaviours.get("bad_batch") == Some(&1)).await;
    assert!(c.state(B).misbehaviours.is_empty());
    assert_eq!(b.state(C).batches_in, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_wait_for_somebody_who_listens() {
    let a = Node::start(1, vec![authority(2, None)]).await;
    for number in 0..1000u64 {
        a.network.publish(Bytes::from(number.to_be_bytes().to_vec()));
    }
    let b = Node::start(2, vec![authority(1, a.dialled())]).await;
    for number in 0..1000u64 {
        b.told(Event::Batch(A, Bytes::from(number.to_be_bytes().to_vec()))).await;
    }
    assert_eq!(a.network.batches_dropped(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_said_twice_comes_once() {
    let [a, b, c] = line().await;
    let (batch, last) = (Bytes::from_static(b"batch"), Bytes::from_static(b"last"));
    a.network.publish(batch.clone());
    b.told(Event::Batch(A, batch.clone())).await;
    a.network.publish(batch.clone());
    a.network.publish(last.clone());
    b.told(Event::Batch(A, last)).await;
    assert_eq!(b.count(&Event::Batch(A, batch)), 1);
    drop(c);
}
