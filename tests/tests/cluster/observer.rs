//! A node without a vote: it follows from block 0, serves proofs, and passes submissions on.

use markstein_client::api::{Role, batch_state::State};

use crate::{
    load::Load,
    support::{AUTHORITIES, Net, wait_for},
};

const OBSERVER: usize = AUTHORITIES;
const BLOCKS: u64 = 150;

#[test]
fn an_observer_that_comes_late_has_the_whole_log_and_is_as_good_as_any_node_but_for_its_vote() {
    let mut net = Net::prepare(1);
    for node in 0..AUTHORITIES {
        net.cluster.start(node).unwrap();
    }
    for node in 0..AUTHORITIES {
        net.cluster.wait_ready(node).unwrap();
    }
    let load = Load::start(&mut net, &[0, 1], 1);
    wait_for(
        || format!("there are {BLOCKS} blocks"),
        || (net.cluster.status(0).unwrap().height >= BLOCKS).then_some(()),
    );
    net.cluster.start(OBSERVER).unwrap(); // in the middle of it
    net.cluster.wait_ready(OBSERVER).unwrap();
    let height = net.cluster.status(0).unwrap().height;
    net.cluster.wait_status(OBSERVER, "has caught up", |status| status.height >= height).unwrap();

    net.cluster.kill(OBSERVER).unwrap();
    let count = load.count();
    let mut load = load;
    load.answered(&net, count + 20);
    net.cluster.start(OBSERVER).unwrap();
    net.cluster.wait_ready(OBSERVER).unwrap();
    let mut all = load.end(&net).acknowledged;

    all.push(net.anchor(OBSERVER));
    let status = net.cluster.status(OBSERVER).unwrap();
    assert_eq!((status.role(), status.voting), (Role::Observer, false));
    assert!(status.authorities.iter().all(|authority| !authority.here && authority.connected), "{status:?}");
    let log = net.assert_same_logs(&[0, 1, 2, 3, OBSERVER]);
    eprintln!("{} acknowledged, {} leaves", all.len(), log.len());
    let sample: Vec<_> = all.into_iter().rev().step_by(10).collect();
    let api = net.api(OBSERVER);
    for (submission, place) in &sample {
        net.runtime.block_on(crate::support::assert_receipts(&api, &net.trust, submission, place));
    }
}

#[test]
fn an_observer_is_no_authority_where_one_is_missing() {
    let mut net = Net::start(1);
    net.anchor(OBSERVER);
    net.cluster.kill(0).unwrap();
    net.anchor(OBSERVER);
    net.cluster.kill(1).unwrap();
    let no_quorum = |status: &markstein_client::api::StatusResponse| !status.serving;
    net.cluster.wait_status(OBSERVER, "says that there is no quorum", no_quorum).unwrap();
    let submission = net.submission();
    assert!(matches!(net.submit(OBSERVER, &submission), State::Accepted(_)));
    for node in [2, 3] {
        net.cluster.wait_status(node, "has it", |status| status.pool_batches == 1).unwrap();
    }
    assert!(matches!(net.state(OBSERVER, &submission), State::Accepted(_)));
    let run = net.client.run(["status", "--node", &net.cluster.url(OBSERVER).unwrap()]).unwrap();
    assert_eq!(run.code, Some(3), "{}", run.said());
    net.cluster.start(1).unwrap();
    let place = net.wait_final(OBSERVER, &submission);
    net.cluster.wait_ready(1).unwrap();
    net.assert_recorded(&[(submission, place)]);
}
