//! One of four down, then two, then one back.

use markstein_client::{api::batch_state::State, time::now};
use markstein_proto::{Anchor, Batch, Commitment, DocumentDigest, Hash, Record, Salt};
use serde_json::{Value, json};

use crate::support::{Net, id, missing, wait_for};

#[test]
fn with_one_down_receipts_come_and_with_two_down_what_was_accepted_waits_for_one_to_return() {
    let mut net = Net::start(0);
    let old = net.anchor(0);
    let (public, index) = anchor_public(&net);

    net.cluster.kill(3).unwrap();
    let mut all = vec![old.clone()];
    for node in [0, 1, 2, 0, 1, 2] {
        all.push(net.anchor(node)); // more than a round of leaders
    }
    assert_eq!(wait_says_missing(&net, 0, &[3]), (0, json!(true)));
    net.assert_recorded(&all);

    net.cluster.kill(2).unwrap();
    assert_eq!(wait_says_missing(&net, 0, &[2, 3]), (3, json!(false)));
    let waiting = [net.submission(), net.submission()];
    let heights: Vec<u64> = (0..2).map(|node| net.cluster.status(node).unwrap().height).collect();
    for (node, submission) in waiting.iter().enumerate() {
        assert!(matches!(net.submit(node, submission), State::Accepted(_)));
    }
    // Each of the two has both by gossip: what could be done was done.
    for node in 0..2 {
        net.cluster.wait_status(node, "has both", |status| status.pool_batches == 2).unwrap();
    }
    assert_reads_go_on(&net, &old.0, old.1.head_index + 1, &public, index);
    for (node, submission) in waiting.iter().enumerate() {
        assert!(matches!(net.state(node, submission), State::Accepted(_)), "nothing is acknowledged");
        assert!(net.runtime.block_on(net.api(node).receipts(submission.id())).is_err());
        assert_eq!(net.cluster.status(node).unwrap().height, heights[node]);
    }

    net.cluster.start(3).unwrap();
    net.cluster.wait_ready(3).unwrap();
    let final_now: Vec<_> =
        waiting.iter().map(|submission| (submission.clone(), net.wait_final(3, submission))).collect();
    net.assert_recorded(&final_now);
    net.assert_recorded(&all);
    assert_eq!(wait_says_missing(&net, 0, &[2]), (0, json!(true)));

    net.cluster.start(2).unwrap();
    net.cluster.wait_ready(2).unwrap();
    assert_eq!(wait_says_missing(&net, 0, &[]), (0, json!(true)));
    net.assert_same_logs(&[0, 1, 2, 3]);
}

/// A public record, and its index.
fn anchor_public(net: &Net) -> (Commitment, u64) {
    let commitment = Commitment::of(&Salt([0; 32]), &DocumentDigest(Hash::of(&[b"a form"])));
    let record = Record::Anchor(Anchor {
        commitment,
        public: true,
        document_type: 1,
        valid_until: None,
        supersedes: None,
    });
    let batch =
        Batch::sign(net.signer.ledger, &net.signer.issuer, &net.signer.key, now(), &[record]).unwrap();
    let state = net.runtime.block_on(net.api(0).submit_and_wait(batch.bytes().to_vec())).unwrap();
    let Some(State::Final(place)) = state.state else { panic!("{state:?}") };
    (commitment, place.head_index + 1)
}

fn assert_reads_go_on(
    net: &Net,
    old: &markstein_tests::craft::Submission,
    index: u64,
    public: &Commitment,
    public_index: u64,
) {
    for node in 0..2 {
        let api = net.api(node);
        net.runtime.block_on(async {
            let mut receipt = api.receipt(index).await.unwrap();
            receipt.salt = Some(old.papers[0].salt);
            receipt.verify(&net.trust, &old.papers[0].digest).unwrap();
            assert_eq!(api.lookup(public).await.unwrap(), [public_index]);
            assert!(api.checkpoint().await.unwrap().starts_with("neustadt.example/devnet\n"));
            assert!(!api.log().await.unwrap().is_empty());
        });
    }
}

/// Waits until a node names exactly these as missing; then what `markstein status` says: its exit code, and whether
/// the node serves.
fn wait_says_missing(net: &Net, node: usize, authorities: &[usize]) -> (i32, Value) {
    let expected: Vec<String> = authorities.iter().map(|node| id(*node)).collect();
    let (what, look) = (
        || format!("{expected:?} are missing: {:?}", net.cluster.status(node)),
        || net.cluster.status(node).ok().filter(|status| missing(status) == expected),
    );
    wait_for(what, look);
    let url = net.cluster.url(node).unwrap();
    let run = net.client.run(["status", "--json", "--node", &url]).unwrap();
    let answer: Value = serde_json::from_str(&run.stdout).unwrap();
    let answer = &answer["nodes"][0];
    assert_eq!(answer["missing"], json!(expected), "{}", run.said());
    if !authorities.is_empty() {
        let words = answer["conditions"].to_string();
        assert!(expected.iter().all(|id| words.contains(id)), "{words}");
    }
    (run.code.unwrap(), answer["serving"].clone())
}
