//! SIGTERM in the middle of submissions.

use std::time::Instant;

use markstein_tests::{grpc::Api, random::Random};

use crate::support::{Ledger, Load, assert_final, assert_recorded, runtime, submissions};

#[test]
fn a_node_that_is_stopped_under_load_ends_cleanly_and_keeps_what_it_acknowledged() {
    let mut ledger = Ledger::start();
    let trust = ledger.devnet.trust().unwrap();
    let runtime = runtime();
    let mut random = Random::new(15);
    let mut open = submissions(&ledger.signer(), &mut random, 600);
    let mut acknowledged = Vec::new();
    for _ in 0..2 {
        let moment = usize::try_from(20 + random.below(200)).unwrap();
        let mut load = runtime.block_on(Load::start(ledger.devnet.url(), open, 16));
        runtime.block_on(load.acknowledged(moment));
        let asked = Instant::now();
        // The devnet ends with 0 only where its node did so, and kills it where its deadline of 10 s is not kept.
        let status = ledger.devnet.stop().unwrap();
        assert!(status.success(), "{status} after {:?}", asked.elapsed());
        let done = runtime.block_on(load.end());
        acknowledged.extend(done.acknowledged);
        open = done.open;
        ledger.devnet.restart().unwrap();
        runtime.block_on(async {
            let api = Api::connect(ledger.devnet.url()).await.unwrap();
            assert_final(&api, &acknowledged).await;
            assert_recorded(&api, &trust, &acknowledged).await;
        });
    }
    assert!(!open.is_empty(), "the node was stopped in the middle");
}
