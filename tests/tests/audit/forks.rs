//! A quorum that signs two ledgers.

use std::fs;

use markstein_client::audit::report::{FindingKind, Report, Verdict};
use markstein_tests::{made::MadeLog, tile_server::TileServer};

use crate::support::{World, anchors, filled, found, signed};

/// Two ledgers with a common beginning.
fn forked() -> [MadeLog; 2] {
    let common = filled(4);
    [11, 12].map(|seed| {
        let mut log = common.clone();
        log.block(&[anchors(&log, 5, seed)]);
        log
    })
}

#[track_caller]
fn assert_fork(report: &Report, checkpoints: [&MadeLog; 2]) {
    assert_eq!(report.verdict(), Verdict::Fork, "{:?}", found(report));
    assert_eq!(report.verdict().exit_code(), 4);
    let fork = report.findings.iter().find(|f| f.kind == FindingKind::Fork).unwrap();
    let folder = fork.evidence.as_ref().unwrap();
    let kept = ["known.checkpoint", "other.checkpoint"].map(|n| fs::read_to_string(folder.join(n)).unwrap());
    let mut expected = checkpoints.map(|log| log.checkpoint(0..4));
    if kept[0] != expected[0] {
        expected.swap(0, 1);
    }
    assert_eq!(kept, expected, "both are kept as they were signed");
}

#[test]
fn two_nodes_that_show_two_trees_are_a_fork() {
    let [one, mut two] = forked();
    for _ in 0..2 {
        let nodes = [TileServer::honest(signed(&one)), TileServer::honest(signed(&two))];
        assert_fork(&World::new().audit(&one, &[&nodes[0], &nodes[1]]), [&one, &two]);
        assert_fork(&World::new().audit(&one, &[&nodes[1], &nodes[0]]), [&one, &two]);
        let next = anchors(&two, 2, 20);
        two.block(&[next]); // and once more with logs of different sizes
    }
}

#[test]
fn a_log_whose_block_ends_elsewhere_is_a_fork() {
    let common = filled(4);
    let (mut one, mut two) = (common.clone(), common);
    one.block(&[anchors(&one, 7, 1)]);
    two.block(&[anchors(&two, 4, 2)]);
    let nodes = [TileServer::honest(signed(&one)), TileServer::honest(signed(&two))];
    let world = World::new(); // the evidence goes with it
    let report = world.audit(&one, &[&nodes[0], &nodes[1]]);
    assert_fork(&report, [&one, &two]);
    assert!(found(&report)[0].1.contains("no block ends there"), "{report:?}");
}

#[test]
fn a_node_that_rewrites_history_is_found_by_who_audited_before() {
    let [one, mut two] = forked();
    let (world, node) = (World::new(), TileServer::honest(signed(&one)));
    assert_eq!(world.audit(&one, &[&node]).verdict(), Verdict::Sound);
    node.replace(signed(&two)); // as large as the other one
    let report = world.audit(&one, &[&node]);
    assert_fork(&report, [&one, &two]);
    for seed in 0..2 {
        two.block(&[anchors(&two, 400, 30 + seed)]);
        node.replace(signed(&two)); // larger
        let report = world.audit(&one, &[&node]);
        assert_fork(&report, [&one, &two]);
        assert!(found(&report)[0].1.contains("history was rewritten"), "{report:?}");
        assert_eq!(report.size, one.size(), "nothing of it is taken over");
    }
}

#[test]
fn two_clients_that_are_shown_two_trees_find_out_together() {
    let [one, two] = forked();
    let (world, node) = (World::new(), TileServer::honest(signed(&one)));
    assert_eq!(world.audit(&one, &[&node]).verdict(), Verdict::Sound);
    node.replace(signed(&two));
    assert_eq!(World::new().audit(&two, &[&node]).verdict(), Verdict::Sound, "alone nobody can tell");
    assert_fork(&world.audit(&one, &[&node]), [&one, &two]);
}
