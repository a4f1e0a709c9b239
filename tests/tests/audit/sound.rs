//! Honest ledgers.

use markstein_client::audit::{auditor::Terms, replay::Counts, report::Verdict};
use markstein_proto::{IssuerId, LeafIndex, status::Status};
use markstein_tests::{made::MadeLog, tile_server::TileServer};

use crate::support::{
    RECORDS, World, anchors, anchors_of, change, filled, found, records_of, replay, signed,
};

#[test]
fn an_honest_ledger_is_sound_and_its_figures_are_right() {
    let log = filled(4);
    let nodes = [TileServer::honest(signed(&log)), TileServer::honest(signed(&log))];
    let report = World::new().audit(&log, &[&nodes[0], &nodes[1]]);
    assert_eq!((report.verdict(), found(&report)), (Verdict::Sound, vec![]));
    let counts = Counts { blocks: 5, batches: 4, records: RECORDS as u64, status_changes: 2 };
    assert_eq!((report.counts, report.new), (counts, counts));
    assert_eq!((report.size, report.new_leaves), (log.size(), log.size()));
    assert_eq!(report.tip, Some((log.tip().height, log.tip().time)));
    assert_eq!(report.nodes[0].view.as_ref().unwrap().signers().len(), 4);
    assert!(nodes.iter().all(|node| node.asked().len() >= 2), "both have something to do");
}

#[test]
fn every_size_has_its_tiles() {
    // Around the ends of tiles of the first and the second level, and with tiles that are all full.
    let mut log = MadeLog::new(1);
    for size in [4, 255, 256, 257, 511, 512, 513, 30_000, 65_535, 65_536, 65_537, 65_792] {
        // One leaf is the header, and one of each batch its head.
        let (mut left, mut batches) = ((size - log.size()).saturating_sub(1), Vec::new());
        while left > 0 {
            let records = (left - 1).min(9_998);
            batches.push(anchors(&log, records as usize, size + left));
            left -= records + 1;
        }
        if size > log.size() {
            log.block(&batches);
        }
        assert_eq!(log.size(), size);
        let node = TileServer::honest(signed(&log));
        let report = World::new().audit(&log, &[&node]);
        assert_eq!((report.verdict(), found(&report)), (Verdict::Sound, vec![]), "{size}");
        assert_eq!(report.size, size);
    }
}

#[test]
fn statuses_follow_each_other() {
    let mut log = MadeLog::new(1);
    let target = log.size() + 1;
    log.block(&[anchors(&log, 300, 1)]);
    let steps = [
        (Status::Valid, Status::Suspended),
        (Status::Suspended, Status::Valid),
        (Status::Valid, Status::Suspended),
        (Status::Suspended, Status::Revoked),
    ];
    log.block(&[records_of(&log, 0, &[change(target, steps[0].0, steps[0].1)])]);
    let rest: Vec<_> = steps[1..].iter().map(|(from, to)| change(target, *from, *to)).collect();
    log.block(&[records_of(&log, 0, &rest)]);
    let replayed = replay(&log).unwrap();
    assert_eq!((replayed.counts().status_changes, replayed.size()), (4, log.size()));
}

#[test]
fn who_watches_an_issuer_hears_of_what_is_new_once() {
    let mut log = filled(1);
    let node = TileServer::honest(signed(&log));
    let world = World::new();
    let issuer = IssuerId::new("registry.example").unwrap();
    let terms = || Terms { watch: vec![issuer.clone()], max_age: None };
    let mut auditor = world.auditor(&log, &[&node], terms());
    let report = world.pass(&mut auditor);
    assert!(report.written.is_empty(), "what stands there already is only counted");
    assert_eq!((report.watched[0].1.batches, report.watched[0].1.records), (1, 50));

    let first = log.size() + 1;
    log.block(&[anchors_of(&log, 1, 3, 9), anchors(&log, 2, 10)]);
    node.replace(signed(&log));
    let written = world.pass(&mut auditor).written;
    assert_eq!(written.len(), 1);
    assert_eq!((&written[0].issuer, written[0].records, written[0].first), (&issuer, 3, LeafIndex(first)));
    assert_eq!(written[0].height, log.tip().height);
    drop(auditor); // before anybody was told
    let mut auditor = world.auditor(&log, &[&node], terms());
    assert_eq!(world.pass(&mut auditor).written, written);
    auditor.told().unwrap();
    assert!(world.pass(&mut auditor).written.is_empty());
    drop(auditor);
    assert!(world.pass(&mut world.auditor(&log, &[&node], terms())).written.is_empty());
}
