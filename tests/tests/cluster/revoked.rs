//! A document is revoked on one node: what any other node tells a citizen says so, and why.

use std::fs;

use markstein_client::{api::batch_state::State, time::now};
use markstein_proto::{LeafIndex, Reason, Record, StatusChange, receipt::Receipt, status::Status};
use markstein_tests::grpc::reason;

use crate::support::{AUTHORITIES, Net, wait_for};

#[test]
fn a_document_revoked_on_one_node_is_shown_revoked_by_the_receipt_of_any_other() {
    let mut net = Net::start(0);
    let document = net.document("permit");
    let path = document.to_str().unwrap().to_owned();
    let (key, genesis) = (net.cluster.issuer_key(), net.cluster.genesis());
    let (key, genesis) = (key.to_str().unwrap(), genesis.to_str().unwrap());
    let url = net.cluster.url(0).unwrap();
    let anchored = net.client.run(["anchor", "--node", &url, "--key", key, &path]).unwrap();
    assert_eq!(anchored.code, Some(0), "{}", anchored.said());
    let file = document.with_file_name("permit.markstein.json");
    let old = Receipt::from_json(&fs::read(&file).unwrap()).unwrap();
    let target = old.record.index;

    let change =
        |from, to, reason| Record::StatusChange(StatusChange::new(target, from, to, reason).unwrap());
    let (valid, suspended) = (Status::Valid, Status::Suspended);
    let history = [
        change(valid, suspended, Reason::UnderReview),
        change(suspended, valid, Reason::Resolved),
        change(valid, Status::Revoked, Reason::CourtOrder),
    ];
    for (node, record) in history.iter().enumerate() {
        let submission = net.signer.records(now(), std::slice::from_ref(record)).unwrap();
        // A node that is behind does not know the change before it yet.
        wait_for(
            || format!("node {node} takes the change"),
            || match net.runtime.block_on(net.api(node).submit(submission.bytes())) {
                Ok(state) => {
                    assert!(!matches!(state.state, Some(State::Refused(_))), "{state:?}");
                    Some(())
                }
                Err(error) => {
                    assert!(["NO_TARGET", "STATUS_OTHER"].contains(&reason(&error)), "{error}");
                    None
                }
            },
        );
        net.wait_final(node, &submission);
    }

    for node in 0..AUTHORITIES {
        let api = net.api(node);
        let receipt = wait_for(
            || format!("node {node} shows the revocation"),
            || {
                let receipt = net.runtime.block_on(api.receipt(target.0)).unwrap();
                (receipt.changes.len() == history.len()).then_some(receipt)
            },
        );
        fs::write(&file, Receipt { salt: old.salt, ..receipt }.to_json()).unwrap();
        let shown = net.client.run(["verify", "--genesis", genesis, &path]).unwrap();
        assert_eq!(shown.code, Some(3), "{}", shown.said());
        for said in ["genuine, but it was revoked", "suspended on", "made valid again", "a court ordered it"]
        {
            assert!(shown.stdout.contains(said), "{said}: {}", shown.said());
        }
    }
    fs::write(&file, old.to_json()).unwrap();
    let before = net.client.run(["verify", "--genesis", genesis, &path]).unwrap();
    assert_eq!(before.code, Some(0), "an older receipt tells of its own time: {}", before.said());

    let again = net.signer.records(now(), &[change(valid, suspended, Reason::Appeal)]).unwrap();
    let refused = net.runtime.block_on(net.api(0).submit(again.bytes())).unwrap_err();
    assert_eq!(reason(&refused), "STATUS_TERMINAL", "{refused}");
    assert!(refused.message().contains("revoked for good"), "{refused}");
    let stranger = StatusChange::new(LeafIndex(target.0 - 1), valid, suspended, Reason::Other).unwrap();
    let of_a_head = net.signer.records(now(), &[Record::StatusChange(stranger)]).unwrap();
    let refused = net.runtime.block_on(net.api(0).submit(of_a_head.bytes())).unwrap_err();
    assert_eq!(reason(&refused), "NO_TARGET", "{refused}");
    net.assert_same_logs(&[0, 1, 2, 3]);
}
