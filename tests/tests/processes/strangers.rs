//! Strangers without any key at the public port: what one of them takes, nobody else misses, and not even they themselves
//! where a node keeps places for each kind of request.

use std::{net::IpAddr, time::Duration};

use markstein_client::{api::batch_state::State, time::now};
use markstein_tests::{
    craft::Paper,
    grpc::{Api, reason},
    random::Random,
    strangers::{
        self, address, channel, connect, ended, endless_streams, half_sent, is_healthy, silent_connections,
        watch_health,
    },
};
use tonic::Code;

use crate::support::{Ledger, runtime};

/// What a node may have in its memory whatever strangers do.
const MEMORY_MAX: u64 = 256 << 20;

/// Checks that Submit, the page and health are served; a submission as soon as what does not come has given way, which
/// it need not wait for at another address.
async fn assert_served(ledger: &Ledger, from: IpAddr, seed: u64) {
    let url = ledger.devnet.url();
    for path in ["/", "/web/app.js", "/v1/status", "/checkpoint"] {
        let answer = strangers::get(url, from, path).await.unwrap();
        assert_eq!(answer.code, 200, "{path} for {from}: {}", String::from_utf8_lossy(&answer.body));
    }
    assert!(is_healthy(url, from).await.unwrap());
    let paper = Paper::random(&mut Random::new(seed));
    let submission = ledger.signer().submission(now(), vec![paper]).unwrap();
    let api = Api::connect_from(url, from).await.unwrap();
    loop {
        match api.submit(submission.bytes()).await {
            Err(busy) if busy.code() == Code::ResourceExhausted && from == address(1) => {
                tokio::task::yield_now().await;
            }
            state => break drop(state.unwrap()),
        }
    }
    let state = api.submit_and_wait(submission.bytes()).await.unwrap().state;
    assert!(matches!(state, Some(State::Final(_))), "{state:?}");
}

fn assert_memory(ledger: &Ledger) {
    let most = strangers::memory(ledger.devnet.node().pid, "VmHWM").unwrap();
    assert!(most < MEMORY_MAX, "{most} bytes");
}

#[test]
fn endless_streams_take_no_place_of_anything_else() {
    let ledger = Ledger::start();
    let (stranger, other) = (address(1), address(2));
    runtime().block_on(async {
        let url = ledger.devnet.url();
        let streams = endless_streams(url, stranger, 32, 128).await.unwrap();
        assert_eq!((streams.held.len(), streams.refused), (32, 32 * 128 - 32), "the share of one address");
        assert_served(&ledger, stranger, 1).await;
        assert_served(&ledger, other, 2).await;
        watch_health(channel(url, other).await.unwrap()).await.unwrap();
        // Seven more such addresses take all places. Whoever has none still gets one, at the cost of whoever has most.
        let mut all = vec![streams];
        for number in 10..17 {
            all.push(endless_streams(url, address(number), 1, 40).await.unwrap());
        }
        let newcomer = watch_health(channel(url, address(99)).await.unwrap()).await;
        newcomer.unwrap();
        // One gave way. It says why, and when to come again.
        let mut given_way = None;
        while given_way.is_none() {
            for stream in all.iter_mut().flat_map(|streams| &mut streams.held) {
                let next = tokio::time::timeout(Duration::from_millis(1), stream.message()).await;
                given_way = given_way.or(next.ok().and_then(Result::err));
            }
        }
        let status = given_way.unwrap();
        assert_eq!((status.code(), reason(&status)), (Code::ResourceExhausted, "BUSY"), "{status}");
        assert!(status.metadata().contains_key("retry-after-ms"));
        assert_served(&ledger, stranger, 3).await;
        assert_memory(&ledger);
    });
}

#[test]
fn silent_connections_keep_nobody_out() {
    let ledger = Ledger::start();
    let (stranger, other) = (address(1), address(2));
    runtime().block_on(async {
        let url = ledger.devnet.url();
        // One address.
        let silent = silent_connections(url, 1100, |_| stranger).await.unwrap();
        assert_served(&ledger, other, 1).await;
        assert_served(&ledger, stranger, 2).await;
        while ended(&silent) < 1100 - 512 {
            tokio::task::yield_now().await; // those beyond its share
        }
        // Many addresses, with half a request each: all places are taken, and what lies idle gives way.
        let mut many = Vec::new();
        for number in 0..1100 {
            let stream = connect(url, address(100 + number)).await.unwrap();
            let _ = stream.try_write(b"GET / HTTP/1.1\r\nHost: ledger.ex");
            many.push(stream);
        }
        assert_served(&ledger, other, 3).await;
        assert_served(&ledger, stranger, 4).await;
        assert_memory(&ledger);
        drop((silent, many));
    });
}

#[test]
fn half_sent_submissions_are_bounded_in_bytes_and_give_way() {
    let ledger = Ledger::start();
    let (stranger, other) = (address(1), address(2));
    runtime().block_on(async {
        let url = ledger.devnet.url();
        let half = half_sent(url, stranger, 256).await.unwrap();
        // 32 MiB are the share of one address, and each of these may become a megabyte or more.
        while ended(&half) < 256 - 32 {
            tokio::task::yield_now().await;
        }
        assert_served(&ledger, other, 1).await;
        // For the stranger's own address there is room as well: what does not come gives way.
        assert_served(&ledger, stranger, 2).await;
        assert_memory(&ledger);
        drop(half);
    });
}
