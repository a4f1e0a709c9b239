//! An authority that was away for long, and one whose data is an older copy.

use std::{fs, path::Path, process::Command};

use markstein_client::api::{Role, batch_state::State};
use markstein_tests::http;

use crate::{
    load::Load,
    support::{Net, wait_for},
};

const BLOCKS: u64 = 200;

#[test]
fn an_authority_that_was_away_for_hundreds_of_blocks_catches_up_and_its_vote_counts_again() {
    let mut net = Net::start(0);
    net.anchor(3);
    net.cluster.kill(3).unwrap();
    let from = net.cluster.status(0).unwrap().height;
    let load = Load::start(&mut net, &[0, 1, 2], 1);
    wait_height(&net, 0, from + BLOCKS);
    net.cluster.start(3).unwrap();
    net.wait_votes(3); // while the others go on
    let done = load.end(&net);
    assert!(done.open.is_empty());
    let height = net.cluster.status(0).unwrap().height;
    net.cluster.wait_status(3, "has caught up", |status| status.height >= height).unwrap();
    let seen_live = measured(&net, 3, "block_seconds_count");
    let height = measured(&net, 3, "height");
    assert!(
        seen_live + BLOCKS / 2 < height - from,
        "{seen_live} blocks after {from} of {height} are said to be seen live"
    );

    net.cluster.kill(0).unwrap(); // now the quorum needs the one that was late
    let mut all = Vec::new();
    for node in [3, 1, 2, 3] {
        all.push(net.anchor(node));
    }
    net.cluster.start(0).unwrap();
    net.cluster.wait_ready(0).unwrap();
    net.assert_recorded(&all);
    net.assert_same_logs(&[0, 1, 2, 3]);
}

#[test]
fn an_authority_whose_data_is_an_older_copy_never_votes_again_where_a_peer_remembers_its_votes() {
    let mut net = Net::start(0);
    net.anchor(3);
    assert!(net.cluster.stop(3).unwrap().success());
    let (data, copy) = (net.cluster.node_dir(3).join("data"), net.folder.path().join("older"));
    copy_all(&data, &copy);
    net.cluster.start(3).unwrap();
    net.wait_votes(3);
    let old = net.anchor(3);

    // Two do not answer, so that what node 3 votes now is not decided: only its peers' memory holds it.
    net.cluster.pause(0).unwrap();
    net.cluster.pause(1).unwrap();
    let waiting = net.submission();
    assert!(matches!(net.submit(2, &waiting), State::Accepted(_)));
    wait_voted(&net);
    net.cluster.kill(3).unwrap();
    fs::remove_dir_all(&data).unwrap();
    copy_all(&copy, &data);
    net.cluster.start(3).unwrap();
    net.cluster.resume(0).unwrap(); // with node 2 enough to tell node 3 what it said, and not enough to decide anything
    wait_for(
        || format!("node 3 says what happened: {}", net.cluster.log(3)),
        || net.cluster.log(3).contains("its journal does not know").then_some(()),
    );
    net.cluster.resume(1).unwrap();

    let place = net.wait_final(0, &waiting);
    let mut all = vec![old, (waiting, place)];
    for node in [0, 1, 2, 3] {
        all.push(net.anchor(node)); // through node 3 as well: it follows as an observer does
    }
    let said = |text: &String| text.contains("does not vote any more") && text.contains("keys new");
    let mute =
        |status: &markstein_client::api::StatusResponse| !status.voting && status.conditions.iter().any(said);
    net.cluster.wait_status(3, "says that it does not vote", mute).unwrap();
    net.cluster
        .wait_status(0, "says that node 3 does not vote", |status| {
            status.authorities[3].voting == Some(false)
        })
        .unwrap();
    net.assert_recorded(&all);

    // It stays so after a restart.
    net.cluster.kill(3).unwrap();
    net.cluster.start(3).unwrap();
    net.cluster.wait_status(3, "still says it", mute).unwrap();
    assert_eq!(net.cluster.status(3).unwrap().role(), Role::Authority);
    net.anchor(3);
    for node in 0..3 {
        let conditions = net.cluster.status(node).unwrap().conditions;
        assert!(!conditions.iter().any(|text| text.contains("contradicted")), "{conditions:?}");
    }
    net.assert_same_logs(&[0, 1, 2, 3]);
}

/// Waits until node 2 has heard more of node 3 than a heartbeat each second.
fn wait_voted(net: &Net) {
    let heard = || {
        let url = net.cluster.operator(2).unwrap();
        let peers = net.runtime.block_on(async {
            markstein_tests::grpc::Api::connect(&format!("http://{}", url.trim_start_matches("http://")))
                .await
                .unwrap()
                .peers()
                .await
                .unwrap()
        });
        peers.iter().find(|peer| peer.authority_id == crate::support::id(3)).unwrap().messages_in
    };
    // A vote of a view that is not decided is said again and again; the view's timeout alone is a vote.
    let first = heard();
    wait_for(|| "node 3 has voted".into(), || (heard() >= first + 12).then_some(()));
}

/// What a node measures, as a whole number.
fn measured(net: &Net, node: usize, name: &str) -> u64 {
    let metrics = http::get(&net.cluster.operator(node).unwrap(), "/metrics").unwrap().body;
    let metrics = String::from_utf8(metrics).unwrap();
    let value = metrics.lines().find_map(|line| line.strip_prefix(&format!("markstein_{name} ")));
    value.unwrap_or_else(|| panic!("{name} is not in {metrics}")).parse().unwrap()
}

fn wait_height(net: &Net, node: usize, height: u64) {
    wait_for(
        || format!("node {node} has {height} blocks"),
        || (net.cluster.status(node).unwrap().height >= height).then_some(()),
    );
}

/// As an operator would, with modes and times.
fn copy_all(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}
