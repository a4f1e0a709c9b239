//! Peers that take nothing, and inboxes that take little.

use crate::{
    raw::Raw,
    support::{A, B, Event, LEDGER, Node, authority, bulk, urgent},
};

const MIB: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_takes_nothing_costs_a_bounded_queue_and_holds_up_nobody() {
    let a = Node::start(1, vec![authority(2, None), authority(3, None)]).await;
    let _deaf = Raw::dial(3, 1, a.address(), LEDGER);
    let deaf = markstein_node::peer::Peer::Authority(3);
    let b = Node::start(2, vec![authority(1, a.dialled())]).await;
    a.told(Event::Connected(deaf)).await;
    a.told(Event::Connected(B)).await;
    b.told(Event::Connected(A)).await;
    for number in 0..200 {
        a.network.send(deaf, bulk(number, MIB));
        a.network.send(deaf, urgent(number));
    }
    let state = a.state(deaf);
    assert!(
        state.dropped >= 200 - 64 - 8 && state.dropped < 200,
        "of the bulk messages alone: {}",
        state.dropped
    );
    assert!(state.connected);
    a.network.send(B, urgent(1));
    b.told(Event::Said(A, urgent(1))).await;
    assert_eq!(a.state(B).dropped, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_inbox_holds_up_the_sender_and_nothing_grows() {
    let a = Node::start(1, vec![authority(2, None)]).await;
    let b = Node::start(2, vec![authority(1, a.dialled())]).await;
    a.told(Event::Connected(B)).await;
    b.told(Event::Connected(A)).await;
    b.take_nothing();
    // Until this node's queue is full, whatever the system's own buffers hold.
    let mut number = 0;
    while a.state(B).dropped == 0 {
        a.network.send(B, bulk(number, MIB));
        number += 1;
        tokio::task::yield_now().await;
    }
    b.until(A, "one message waits for the inbox", |state| state.frames_in == 1).await;
    a.network.send(B, urgent(1));
    b.until(A, "on each stream", |state| state.frames_in == 2).await;
    assert!(number < 64 + 64, "{number} MiB were taken by somebody");
    b.take(2);
    b.until(A, "two more are read", |state| state.frames_in >= 3).await;
    b.take(1000);
    b.told(Event::Said(A, urgent(1))).await;
    b.told(Event::Said(A, bulk(0, MIB))).await;
    a.until(B, "the queue is empty again", |state| state.frames_out + state.dropped == number + 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_too_fast_is_slowed_down_and_loses_nothing() {
    let a = Node::start(1, vec![authority(2, None)]).await;
    let b = Node::start(2, vec![authority(1, a.dialled())]).await;
    b.told(Event::Connected(A)).await;
    // More than may come at once: 20,000.
    let all = 21_000;
    for number in 0..all {
        b.network.send(A, urgent(number));
        if number % 1000 == 999 {
            b.until(A, "they are sent", |state| state.frames_out == number + 1).await;
        }
    }
    a.told(Event::Said(B, urgent(all - 1))).await;
    assert_eq!(a.state(B).frames_in, all);
    assert_eq!(b.state(A).dropped, 0);
}
