//! Peers that say too much by gossip, and what they say on other topics.

use bytes::Bytes;
use futures::AsyncWriteExt;
use markstein_node::peer::Peer;

use crate::{
    raw::Raw,
    support::{A, B, Event, LEDGER, Node, authority},
};

const LOUD: Peer = Peer::Authority(3);
/// Messages in one packet of gossipsub, which may have 72 KiB.
const PACKED: usize = 500;

/// A field of protobuf with bytes in it.
fn field(number: u8, value: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2], prefixed(value).as_slice()].concat()
}

fn prefixed(value: &[u8]) -> Vec<u8> {
    let (mut bytes, mut left) = (Vec::new(), value.len());
    while left > 0x7f {
        bytes.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    bytes.push(left as u8);
    bytes.extend(value);
    bytes
}

/// A packet that publishes one message many times: `RPC { publish = 2 }`, `Message { data = 2, topic = 4 }`.
fn packet(topic: &str, data: &[u8]) -> Vec<u8> {
    let message = [field(2, data), field(4, topic.as_bytes())].concat();
    prefixed(&field(2, &message).repeat(PACKED))
}

fn topic() -> String {
    format!("markstein/1/{}/batches", &LEDGER.to_string()[..16])
}

/// Sends the packet again and again until the node is rid of the peer, which names it for this.
async fn is_cut_off_for(kind: &'static str, packet: &[u8]) {
    let a = Node::start(1, vec![authority(2, None), authority(3, None)]).await;
    let b = Node::start(2, vec![authority(1, a.dialled())]).await;
    a.told(Event::Connected(B)).await;
    b.told(Event::Connected(A)).await;
    let mut loud = Raw::dial(3, 1, a.address(), LEDGER);
    let mut stream = loud.open_gossip().await;
    while stream.write_all(packet).await.is_ok() && stream.flush().await.is_ok() {}
    loud.was_closed(1).await;
    a.until(LOUD, "it is named", |state| state.misbehaviours.get(kind).is_some_and(|times| *times >= 100))
        .await;
    assert!(a.count(&Event::Batch(LOUD, Bytes::from_static(b"again"))) <= 1, "a duplicate is looked at once");
    b.network.publish(Bytes::from_static(b"quiet"));
    a.told(Event::Batch(B, Bytes::from_static(b"quiet"))).await;
    assert!(a.state(B).connected && a.state(B).misbehaviours.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_one_batch_again_and_again_is_named_and_cut_off() {
    is_cut_off_for("gossip_flood", &packet(&topic(), b"again")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_empty_packets_without_end_is_named_and_cut_off() {
    is_cut_off_for("gossip_flood", &[0; 4096]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gossips_on_another_topic_is_named_and_cut_off() {
    is_cut_off_for("another_topic", &packet("somewhere else", b"again")).await;
}
