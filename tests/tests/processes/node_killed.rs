//! `kill -9` of the node in the middle of a thousand submissions.

use markstein_tests::{craft::Submission, grpc::Api, random::Random};

use crate::support::{Ledger, Load, anchors, assert_final, assert_recorded, batches, runtime, submissions};

const SUBMISSIONS: usize = 1000;
const KILLS: u64 = 5;

#[test]
fn no_acknowledged_record_is_missing_and_no_batch_is_in_twice_after_kills() {
    let mut ledger = Ledger::start();
    let trust = ledger.devnet.trust().unwrap();
    let mut random = Random::new(9);
    let all = submissions(&ledger.signer(), &mut random, SUBMISSIONS);
    let runtime = runtime();
    let (mut open, mut acknowledged) = (all.clone(), Vec::new());
    for kill in 0..KILLS {
        // Somewhere in the part that each run has to itself, in the middle of what its tasks are doing.
        let part = SUBMISSIONS as u64 / (KILLS + 1);
        let moment = usize::try_from(1 + random.below(part)).unwrap();
        let mut load = runtime.block_on(Load::start(ledger.devnet.url(), open, 16));
        runtime.block_on(load.acknowledged(moment));
        ledger.devnet.kill().unwrap();
        let done = runtime.block_on(load.end());
        assert!(!done.open.is_empty(), "kill {kill} came in the middle");
        acknowledged.extend(done.acknowledged);
        open = done.open;
        ledger.devnet.restart().unwrap();
        let api = runtime.block_on(Api::connect(ledger.devnet.url())).unwrap();
        runtime.block_on(assert_final(&api, &acknowledged));
    }
    let load = runtime.block_on(Load::start(ledger.devnet.url(), open, 16));
    let done = runtime.block_on(load.end());
    assert!(done.open.is_empty());
    acknowledged.extend(done.acknowledged);
    assert_eq!(acknowledged.len(), SUBMISSIONS);

    runtime.block_on(async {
        let api = Api::connect(ledger.devnet.url()).await.unwrap();
        assert_final(&api, &all).await;
        assert_not_taken_again(&api, &all).await;
        assert_recorded(&api, &trust, &all).await;
        let log = api.log().await.unwrap();
        assert_eq!(batches(&log).len(), SUBMISSIONS + 1, "and the batch of the genesis");
        assert_eq!(anchors(&log), all.iter().map(|s| s.papers.len()).sum::<usize>());
    });
}

/// Submitting again gives the first outcome.
async fn assert_not_taken_again(api: &Api, submissions: &[Submission]) {
    for submission in submissions {
        let first = api.decided(&[submission.id()]).await.unwrap();
        assert_eq!(api.submit(submission.bytes()).await.unwrap(), first[0]);
    }
}
