//! A power cut: all four killed with -9 at once under load, and started again.

use std::time::Instant;

use markstein_client::api::{Final, batch_state::State};
use markstein_tests::craft::Submission;

use crate::{
    load::Load,
    support::{AUTHORITIES, Net, repeats, wait_for},
};

const NODES: [usize; AUTHORITIES] = [0, 1, 2, 3];

#[test]
fn after_a_power_cut_all_goes_on_and_nothing_acknowledged_is_missing() {
    let mut net = Net::start(0);
    let mut acknowledged = Vec::new();
    let mut accepted = Vec::new();
    for cut in 0..repeats(3) {
        let mut load = Load::start(&mut net, &NODES, 3);
        let moment = 40 + net.random.below(60) as usize;
        load.answered(&net, moment);
        NODES.iter().for_each(|node| net.cluster.kill(*node).unwrap());
        let done = load.end(&net);
        acknowledged.extend(done.acknowledged.clone());
        accepted.extend(done.accepted);

        let before = Instant::now();
        NODES.iter().for_each(|node| net.cluster.start(*node).unwrap());
        let next = net.submission();
        let place = anchored_somewhere(&net, &next);
        eprintln!("cut {cut} after {moment} answers: final again {:?} after the start", before.elapsed());
        acknowledged.push((next, place));
        NODES.iter().for_each(|node| net.cluster.wait_ready(*node).unwrap());
        // Where a batch without an answer came through, it did so once; that is checked at the end.
        net.assert_recorded(&done.acknowledged);
    }
    net.assert_recorded(&acknowledged);
    for (node, submission) in &accepted {
        net.wait_final(*node, submission); // nobody submits it again
    }
    NODES.iter().for_each(|node| net.wait_votes(*node));
    let log = net.assert_same_logs(&NODES);
    eprintln!("{} acknowledged, {} accepted, {} leaves", acknowledged.len(), accepted.len(), log.len());
}

/// Submits through the first node that takes it, and waits until a node has it.
fn anchored_somewhere(net: &Net, submission: &Submission) -> Final {
    let urls = || NODES.iter().filter_map(|node| net.cluster.url(*node).ok());
    let ask = |url: String| {
        net.runtime.block_on(async {
            let api = markstein_tests::grpc::Api::connect(&url).await.ok()?;
            match api.submit_and_wait(submission.bytes()).await.ok()?.state? {
                State::Final(place) => Some(place),
                other => panic!("{other:?}"),
            }
        })
    };
    wait_for(|| "a submission is final after a power cut".into(), || urls().find_map(ask))
}
