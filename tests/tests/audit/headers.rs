//! Headers that do not say what follows from the blocks before them, though a quorum signed them.

use markstein_client::audit::{
    auditor::Terms,
    report::{FindingKind, Verdict},
    wrong::Breach,
};
use markstein_proto::{EpochId, Hash, Header, Leaf, LeafIndex, LogSize, TimeMs, View};
use markstein_tests::{made::MadeLog, tile_server::TileServer};

use crate::support::{World, anchors, assert_found, audit, breach, filled, replay, signed};

#[test]
fn each_field_of_a_header_is_checked() {
    type Change = fn(&mut Header);
    let changes: [(&str, Change); 10] = [
        ("the parent", |header| header.parent = Hash::ZERO),
        ("the height", |header| header.height = header.height.next()),
        ("the epoch", |header| header.epoch = EpochId(1)),
        ("the authorities", |header| header.authority_set = Hash([9; 32])),
        ("the time", |header| header.time = TimeMs(header.time.0 - 1000)),
        ("the view", |header| {
            header.view = View(header.view.0 - 1);
            header.proposer = (header.proposer + 3) % 4;
        }),
        ("the proposer", |header| header.proposer = (header.proposer + 1) % 4),
        ("the first leaf", |header| header.first_index = LeafIndex(header.first_index.0 - 1)),
        ("the size before it", |header| header.size_before = LogSize(header.size_before.0 + 1)),
        ("the size before it", |header| header.size_before = LogSize(header.size_before.0 - 1)),
    ];
    let good = filled(4);
    for (wanted, change) in changes {
        let mut log = good.clone();
        log.push_batch(&anchors(&log, 3, 5));
        log.close(change);
        let wrong = replay(&log).unwrap_err();
        assert!(matches!(wrong.what, Breach::Header { field, .. } if field == wanted), "{wrong}");
        assert_eq!((wrong.at.0, wrong.height), (log.size() - 1, good.tip().height.next()));
    }
}

#[test]
fn a_wrong_log_root_is_found() {
    let mut log = filled(4);
    log.close(|header| header.root_before = Hash([1; 32]));
    assert!(matches!(breach(&log), Breach::LogRoot { found, .. } if found == Hash([1; 32])));
}

#[test]
fn a_wrong_status_root_is_found_and_named() {
    let mut log = filled(4);
    log.close(|header| header.status_root = Hash([1; 32]));
    assert!(matches!(breach(&log), Breach::StatusRoot { found, .. } if found == Hash([1; 32])));
    let report = audit(&log, TileServer::honest(signed(&log)));
    assert_eq!(report.verdict(), Verdict::Wrong);
    assert_found(&report, FindingKind::WrongLog, "block 5, leaf ");
    assert_found(&report, FindingKind::WrongLog, "its header names the status root 0101");
    assert_eq!(report.size, 0, "nothing of it is taken for audited");
}

#[test]
fn a_wrong_log_is_told_each_time_and_read_as_far_as_it_is_right() {
    let good = filled(4);
    let mut log = good.clone();
    log.close(|header| header.status_root = Hash([1; 32]));
    log.block(&[anchors(&log, 300, 5)]);
    let (world, right) = (World::new(), TileServer::honest(signed(&good)));
    let wrong = TileServer::honest(signed(&log));
    let mut auditor = world.auditor(&good, &[&wrong, &right], Terms::default());
    for pass in 0..2 {
        let report = world.pass(&mut auditor);
        assert_eq!((report.verdict(), report.size), (Verdict::Wrong, good.size()));
        assert_found(&report, FindingKind::WrongLog, "its header names the status root 0101");
        assert_eq!(pass == 1, wrong.asked() == ["checkpoint"], "it is read once");
    }
}

#[test]
fn another_block_0_is_found() {
    let log = filled(4);
    let report = audit(&MadeLog::new(3), TileServer::honest(signed(&log)));
    assert_found(&report, FindingKind::WrongCheckpoint, "no key of an authority");
    // The same authorities, and another genesis.
    let mut other = log.clone();
    let header = other.tip().clone();
    other.push(Leaf::Header(header).encode());
    let mut leaves = other.leaves().to_vec();
    leaves.swap(0, 1);
    let mut replayed = markstein_client::audit::replay::Replay::new(
        log.trust(),
        markstein_client::audit::places::Places::in_memory(),
    );
    let hash = markstein_proto::log::leaf_hash(&leaves[0]);
    let error = replayed.leaf(&leaves[0], hash).unwrap_err();
    assert!(error.to_string().contains("does not begin with the block that follows"), "{error}");
}

#[test]
fn a_log_that_ends_in_the_midst_of_a_block_is_found() {
    let mut log = filled(4);
    log.push_batch(&anchors(&log, 3, 5));
    let report = audit(&log, TileServer::honest(signed(&log)));
    assert_found(&report, FindingKind::WrongLog, "ends in the midst of a block");
}

#[test]
fn a_block_that_is_too_large_is_found() {
    let mut log = MadeLog::new(1);
    for seed in 0..6 {
        log.push_batch(&anchors(&log, if seed < 5 { 10_000 } else { 1 }, seed));
    }
    log.close(|_| ());
    assert_eq!(breach(&log), Breach::TooLarge);
}
