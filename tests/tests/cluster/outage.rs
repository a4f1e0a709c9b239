//! More than a day without a quorum: what was accepted can never become final, and the agency's own command sees to it.

use std::{convert::Infallible, path::Path, process::Stdio};

use markstein_client::{
    api::batch_state::State,
    batches::{Statement, plan},
    entry::{Entry, Signer},
    hash::digest_file,
    journal::Journal,
    keys::IssuerKey,
    scan::{Document, receipt_beside},
    time::now,
};
use markstein_proto::{Leaf, Record, TimeMs};
use markstein_tests::craft::{Paper, Submission};

use crate::support::{Net, wait_for};

const DAY_MS: u64 = 86_400_000;

/// The outage lies in the past: the batch was signed and accepted a day and an hour ago, as far as anybody can tell.
#[test]
fn after_a_day_without_a_quorum_what_was_accepted_is_refused_and_anchor_signs_it_anew_by_itself() {
    let mut net = Net::start(0);
    net.anchor(0);
    let path = net.document("outbox/decision.pdf");
    let old = signed_before(&mut net, &path, DAY_MS + 3_600_000);
    for node in [2, 3] {
        net.cluster.kill(node).unwrap();
    }
    assert!(matches!(net.submit(0, &old), State::Accepted(_)), "it is on node 0's disk, and nowhere final");

    // The agency repeats its command while there is no quorum yet. It waits, and ends well without anybody's help.
    let (url, genesis, key) = (net.cluster.url(0).unwrap(), net.cluster.genesis(), net.cluster.issuer_key());
    let mut command = net.client.command(["anchor", "--quiet", "--json", "--node", &url, "--genesis"]);
    command.arg(&genesis).arg("--key").arg(&key).arg(path.parent().unwrap());
    let anchoring = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    net.cluster.start(2).unwrap();
    let output = anchoring.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");

    let refused = wait_for(
        || "the old batch is decided".into(),
        || match net.state(0, &old) {
            State::Refused(refused) => Some(refused),
            State::Final(place) => panic!("{place:?}"),
            State::Accepted(_) | State::Unknown(_) | State::Dropped(_) => None,
        },
    );
    assert_eq!(refused.reason, "EXPIRED");
    let genesis = genesis.to_str().unwrap();
    let verified = net.client.run(["verify", "--genesis", genesis, path.to_str().unwrap()]).unwrap();
    assert_eq!(verified.code, Some(0), "{}", verified.said());
    net.cluster.start(3).unwrap();
    net.cluster.wait_ready(3).unwrap();
    let log = net.assert_same_logs(&[0, 1, 2, 3]);
    let commitment = &old.papers[0].record();
    let times =
        log.iter().filter(|leaf| matches!(leaf, Leaf::Record(record) if record == commitment)).count();
    assert_eq!(times, 1, "the same record, with the same salt, once");
    assert!(matches!(net.state(3, &old), State::Refused(_) | State::Unknown(_)));
}

/// Puts a batch with this document into the client's journal, as a run left it that was killed after it was accepted.
fn signed_before(net: &mut Net, path: &Path, age_ms: u64) -> Submission {
    let path = path.canonicalize().unwrap();
    let document = Document { receipt: receipt_beside(&path), path };
    let digest = digest_file(&document.path).unwrap();
    let statement = Statement { document_type: 1, public: false, valid_until: None };
    let draw = |salt: &mut [u8]| {
        salt.copy_from_slice(&net.random.bytes(salt.len()));
        Ok::<(), Infallible>(())
    };
    let planned = plan(vec![(document, digest)], statement, 10, draw).unwrap().remove(0);
    let IssuerKey { issuer, key, .. } = IssuerKey::read(&net.cluster.issuer_key()).unwrap();
    let ledger = net.trust.ledger_id();
    let signer = Signer { ledger, issuer: &issuer, key: &key };
    let entry = Entry::sign(planned, signer, TimeMs(now().0 - age_ms)).unwrap();
    let state = net.folder.path().join("state/markstein");
    Journal::open(&state, ledger, key.public().id(), || ()).unwrap().write(&entry).unwrap();
    let paper = Paper { digest, salt: entry.records()[0].paper.as_ref().unwrap().salt };
    let batch = entry.batch().clone();
    assert!(matches!(&batch.records()[0].record, record @ Record::Anchor(_) if *record == paper.record()));
    Submission { batch, papers: vec![paper] }
}
