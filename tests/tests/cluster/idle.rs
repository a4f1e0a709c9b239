//! A network with nothing to do.

use std::{collections::BTreeMap, fs, path::PathBuf};

use markstein_client::api::Peer;
use markstein_tests::{files::below, grpc::Api};

use crate::support::{AUTHORITIES, Net, wait_for};

/// Heartbeats that pass.
const BEATS: u64 = 10;
const BYTES_PER_SECOND_MAX: u64 = 2048;

#[test]
fn a_network_with_nothing_to_do_makes_no_blocks_writes_nothing_and_says_little() {
    let mut net = Net::start(0);
    for node in 0..AUTHORITIES {
        net.anchor(node);
        net.wait_votes(node);
    }
    // Until the last cosignature is everywhere.
    let before = wait_for(
        || "all is quiet".into(),
        || {
            let written = written(&net);
            let first = heard(&net);
            wait_for(|| "heartbeats".into(), || has_passed(&first, &heard(&net), 3).then_some(()));
            (written == self::written(&net)).then_some(written)
        },
    );
    let statuses = || (0..AUTHORITIES).map(|node| net.cluster.status(node).unwrap()).collect::<Vec<_>>();
    let (first, started) = (heard(&net), statuses());
    wait_for(|| "heartbeats".into(), || has_passed(&first, &heard(&net), BEATS).then_some(()));
    let (last, ended) = (heard(&net), statuses());
    assert_eq!(written(&net), before, "only cosignatures, once a minute, are written");
    for (then, now) in started.iter().zip(&ended) {
        assert_eq!((now.height, now.view), (then.height, then.view));
        assert_eq!(now.block_id, then.block_id);
    }
    for ((node, id), now) in &last {
        let then = &first[&(*node, id.clone())];
        let ms = ended[*node].uptime_ms - started[*node].uptime_ms;
        let bytes = now.bytes_in - then.bytes_in + now.bytes_out - then.bytes_out;
        let per_second = bytes * 1000 / ms;
        eprintln!(
            "node {node} and {id}: {per_second} bytes/s, {} in {ms} ms",
            now.messages_in - then.messages_in
        );
        assert!(per_second < BYTES_PER_SECOND_MAX, "node {node} and {id}: {bytes} bytes in {ms} ms");
        let trouble = |peer: &Peer| {
            let named: u64 = peer.misbehaviours.iter().map(|misbehaviour| misbehaviour.count).sum();
            peer.dropped + peer.throttled + named
        };
        assert_eq!(trouble(now), trouble(then), "{now:?}");
    }
}

/// What each node sees of each other one.
pub fn heard(net: &Net) -> BTreeMap<(usize, String), Peer> {
    let mut all = BTreeMap::new();
    for node in 0..AUTHORITIES {
        let url = net.cluster.operator(node).unwrap();
        let peers = net.runtime.block_on(async { Api::connect(&url).await.unwrap().peers().await.unwrap() });
        all.extend(peers.into_iter().map(|peer| ((node, peer.authority_id.clone()), peer)));
    }
    assert_eq!(all.len(), AUTHORITIES * (AUTHORITIES - 1));
    all
}

pub fn has_passed(
    first: &BTreeMap<(usize, String), Peer>,
    now: &BTreeMap<(usize, String), Peer>,
    beats: u64,
) -> bool {
    now.iter().all(|(key, peer)| peer.messages_in >= first[key].messages_in + beats)
}

/// Lengths of all files of the stores but RocksDB's own diary.
fn written(net: &Net) -> BTreeMap<PathBuf, u64> {
    let files = (0..AUTHORITIES).flat_map(|node| below(&net.cluster.node_dir(node).join("data")).unwrap());
    let kept = files.filter(|path| !path.file_name().unwrap().to_string_lossy().starts_with("LOG"));
    kept.map(|path| (path.clone(), fs::metadata(&path).unwrap().len())).collect()
}
